//! The reads there are. They run beside the writer, on connections that cannot write, and decide nothing: what a
//! change depends on is read again in its transaction.

use std::time::Duration;

use jit_ssh_proto::{SessionId, Timestamp};
use subtle::ConstantTimeEq;

use super::engine::{Conn, EngineError, Row, Trouble, Value, first};
use super::migrate::{Moved, moved};
use super::parts::parts_of_sessions;
use super::tree::{NodeHash, StoredTree, TreeHead, last_leaf, read_entries};
use super::{Content, DueSession, Store, StoreError, StoredEvent, StoredSession, Whose};

const SESSION: &str =
    "SELECT id, issuer, claims, session_key, opened, expires, ended, token_hash FROM sessions WHERE id = $1";
const DUE: &str = "SELECT r.session, r.token, s.issuer, s.claims \
    FROM revalidations r JOIN sessions s ON s.id = r.session \
    WHERE r.due <= $1 AND r.held <= $1 AND r.ends > $1 AND s.ended IS NULL \
    ORDER BY r.due LIMIT $2";
const HELD: &str = "SELECT r.session, r.token, s.issuer, s.claims \
    FROM revalidations r JOIN sessions s ON s.id = r.session \
    WHERE s.ended IS NULL";
const HELD_OF: &str = concat!(
    parts_of_sessions!(),
    "SELECT r.session, r.token, s.issuer, s.claims \
    FROM parts CROSS JOIN sessions s CROSS JOIN revalidations r \
    WHERE s.leaf / 1024 = part AND r.session = s.id AND s.ended IS NULL"
);
const EVENTS: &str = "SELECT leaf, body, salt, hash FROM events WHERE leaf >= $1 ORDER BY leaf LIMIT $2";

const LEAVES: &str = "SELECT hash FROM events WHERE leaf >= $1 AND leaf < $2 ORDER BY leaf";

/// How often the ledger's end is looked at where other processes may append too.
const LOOK: Duration = Duration::from_millis(250);

impl Store {
    /// The session that a bearer token names, live or not, if the token has this SHA-256.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn session_by_token(
        &self,
        id: &SessionId,
        token_hash: &[u8; 32],
    ) -> Result<Option<StoredSession>, StoreError> {
        let (id, token_hash) = (id.to_string(), *token_hash);
        self.read(move |conn| {
            let Some(row) = first(conn, SESSION, &[id.into()])? else { return Ok(None) };
            if bool::from(row.hash(7)?.ct_eq(&token_hash)) { session(&row).map(Some) } else { Ok(None) }
        })
        .await
    }

    /// Live sessions about which their providers are to be asked at `now`, and nobody is about it; the longest due first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn due_revalidations(&self, now: Timestamp, limit: u32) -> Result<Vec<DueSession>, StoreError> {
        let args = [now.into(), Value::from(u64::from(limit))];
        self.read(move |conn| conn.select(DUE, &args)?.iter().map(due).collect()).await
    }

    /// What the providers of these live sessions are asked with.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn refresh_tokens(&self, whose: Whose) -> Result<Vec<DueSession>, StoreError> {
        let (held, of, args): (_, _, Vec<Value>) = match whose {
            Whose::Session(id) => (HELD, "s.id = $1", vec![id.to_string().into()]),
            Whose::Identity(issuer, sub) => {
                (HELD_OF, "s.issuer = $1 AND s.sub = $2", vec![issuer.to_string().into(), sub.into()])
            }
            Whose::ProvidersSession(issuer, sid) => (
                HELD_OF,
                "s.issuer = $1 AND s.sid = $2 AND s.sid IS NOT NULL",
                vec![issuer.to_string().into(), sid.into()],
            ),
            Whose::Issuer(issuer) => (HELD, "s.issuer = $1", vec![issuer.to_string().into()]),
        };
        let text = format!("{held} AND {of}");
        self.read(move |conn| conn.select(&text, &args)?.iter().map(due).collect()).await
    }

    /// Events from index `from`, at most `limit`, in order.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn events(&self, from: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let args = [Value::from(from), Value::from(u64::from(limit))];
        self.read(move |conn| conn.select(EVENTS, &args)?.iter().map(event).collect()).await
    }

    /// Size and root of the ledger as it is now, whoever appended last.
    ///
    /// # Errors
    /// When the store does not answer or its tree is damaged.
    pub async fn tree_head(&self) -> Result<TreeHead, StoreError> {
        let known = self.shared.seen.head();
        self.read_public(move |conn| {
            let size = size(conn)?;
            if size == known.size {
                return Ok(known);
            }
            // Nothing is signed that does not go on from what was seen here, whoever put it there.
            extends(conn, known, size)?;
            Ok(TreeHead { size, root: StoredTree::new(conn, size).root()? })
        })
        .await
    }

    /// Hashes of one level of the tree's tiles: `count` from `first` on; at level 0 those of leaves. None if not all
    /// of them are there.
    ///
    /// # Errors
    /// When the store does not answer or its tree is damaged.
    pub async fn tree_hashes(
        &self,
        level: u8,
        first: u64,
        count: u64,
    ) -> Result<Option<Vec<NodeHash>>, StoreError> {
        self.read_public(move |conn| {
            let complete = size(conn)?.checked_shr(u32::from(level).saturating_mul(8)).unwrap_or(0);
            if first.checked_add(count).is_none_or(|end| end > complete) {
                return Ok(None);
            }
            read_entries(conn, level, first, count).map(Some)
        })
        .await
    }

    /// What leaves are made of, SHA-256(salt ‖ event): `count` from `first` on. None if not all of them are there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn leaves(&self, first: u64, count: u64) -> Result<Option<Vec<[u8; 32]>>, StoreError> {
        let args = [Value::from(first), Value::from(first.saturating_add(count))];
        self.read_public(move |conn| {
            let rows = conn.select(LEAVES, &args)?;
            let leaves = rows.iter().map(|row| row.hash(0)).collect::<Result<Vec<_>, _>>()?;
            Ok((u64::try_from(leaves.len()).ok() == Some(count)).then_some(leaves))
        })
        .await
    }

    /// That a leaf is in the ledger as it was when it had `size` leaves: the path to the root. None if there is no
    /// such leaf or size.
    ///
    /// # Errors
    /// When the store does not answer or its tree is damaged.
    pub async fn prove(&self, leaf: u64, of: u64) -> Result<Option<Vec<NodeHash>>, StoreError> {
        self.read_public(move |conn| {
            if leaf >= of || of > size(conn)? {
                return Ok(None);
            }
            StoredTree::new(conn, of).prove(leaf).map(Some)
        })
        .await
    }

    /// That the ledger of `of` leaves begins with that of `old` leaves (RFC 6962 section 2.1.2). None if there was no
    /// such size.
    ///
    /// # Errors
    /// When the store does not answer or its tree is damaged.
    pub async fn prove_extends(&self, old: u64, of: u64) -> Result<Option<Vec<NodeHash>>, StoreError> {
        self.read_public(move |conn| {
            if old > of || of > size(conn)? {
                return Ok(None);
            }
            StoredTree::new(conn, of).prove_extends(old).map(Some)
        })
        .await
    }

    /// The time of the newest event.
    pub(super) async fn newest_time(&self) -> Result<Timestamp, StoreError> {
        self.read(|conn| last_leaf(conn)?.map_or(Ok(Timestamp::default()), |row| row.time(1))).await
    }

    /// Where the ledger went, if it was moved away. Else it is there and goes on from what was seen of it.
    pub(super) async fn goes_on(&self) -> Result<Option<Moved>, StoreError> {
        let known = self.shared.seen.head();
        self.read(move |conn| {
            let moved = moved(conn)?;
            if moved.is_none() && conn.shared() {
                let size = size(conn)?;
                extends(conn, known, size)?;
            }
            Ok(moved)
        })
        .await
    }

    /// Waits until the ledger has more than `size` leaves, whoever appends them.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn grown(&self, beyond: u64) -> Result<(), StoreError> {
        let mut own = self.shared.seen.watch();
        loop {
            if *own.borrow_and_update() > beyond {
                return Ok(());
            }
            if self.shared.place.path().is_some() && self.shared.writer.is_some() {
                // Nobody else appends to a file.
                if own.changed().await.is_err() {
                    return Ok(());
                }
                continue;
            }
            if self.read(size).await? > beyond {
                return Ok(());
            }
            // In time, or at once where this process appends.
            let _looked = tokio::time::timeout(LOOK, own.changed()).await;
        }
    }

    /// Reads what anybody may read, on a connection of its own.
    pub(super) async fn read_public<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Conn) -> Result<T, EngineError> + Send + 'static,
    {
        self.shared.public.read(work).await
    }

    /// Reads on a connection of its own.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Conn) -> Result<T, EngineError> + Send + 'static,
    {
        self.shared.readers.read(work).await
    }
}

/// The ledger of `size` leaves begins with what was seen of it.
fn extends(conn: &mut dyn Conn, known: TreeHead, size: u64) -> Result<(), EngineError> {
    if known.size == 0 || (size >= known.size && StoredTree::new(conn, known.size).root()? == known.root) {
        return Ok(());
    }
    let text = format!("its {size} events do not go on from the {} that were there", known.size);
    Err(EngineError::new(Trouble::Damaged, text))
}

pub(super) fn size(conn: &mut dyn Conn) -> Result<u64, EngineError> {
    last_leaf(conn)?.map_or(Ok(0), |row| row.number(0).map(|leaf| leaf.saturating_add(1)))
}

fn session(row: &Row) -> Result<StoredSession, EngineError> {
    Ok(StoredSession {
        id: row.parsed(0)?,
        issuer: row.parsed(1)?,
        claims: serde_json::from_str(row.text(2)?).map_err(|e| EngineError::row(2, &e.to_string()))?,
        key: row.parsed(3)?,
        opened: row.time(4)?,
        expires: row.time(5)?,
        ended: row.maybe_number(6)?.is_some(),
    })
}

fn due(row: &Row) -> Result<DueSession, EngineError> {
    Ok(DueSession {
        session: row.parsed(0)?,
        token: row.maybe_bytes(1)?.unwrap_or_default().to_vec(),
        issuer: row.parsed(2)?,
        claims: serde_json::from_str(row.text(3)?).map_err(|e| EngineError::row(3, &e.to_string()))?,
    })
}

pub(super) fn event(row: &Row) -> Result<StoredEvent, EngineError> {
    let body = row.maybe_bytes(1)?.map(<[u8]>::to_vec);
    let content = match body {
        Some(body) => Some(Content { body, salt: row.hash(2)? }),
        None => None,
    };
    Ok(StoredEvent { index: row.number(0)?, content, leaf: row.hash(3)? })
}
