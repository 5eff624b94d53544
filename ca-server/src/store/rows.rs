//! The rows that a batch adds.

use jit_ssh_proto::event::CertificateRevoked;
use jit_ssh_proto::{SessionId, Timestamp};

use super::change::CallId;
use super::engine::{Conn, EngineError, Insert, Kind, Value};
use super::event_row::EventRow;
use super::tree::NewTile;

use Kind::{Bytes, Int, Text};

/// A kind of row: where it goes, and its values in that order.
pub(super) trait Row {
    const INSERT: Insert;
    fn cells(self, cells: &mut Vec<Value>);
}

/// A used-up call id.
pub(super) struct CallRow(pub(super) CallId);

impl Row for CallRow {
    const INSERT: Insert = Insert { table: "call_ids", columns: &[("id", Text)], after: "" };

    fn cells(self, cells: &mut Vec<Value>) {
        cells.push(call_key(&self.0).into());
    }
}

/// How a call id is stored: the time that it was signed at comes first, so that new ones lie together and old ones
/// go together.
pub(super) fn call_key(call: &CallId) -> String {
    format!("{}.{}", calls_of(call.signed), call.id)
}

/// What every call that was signed at `time` is stored under begins with; those of an earlier time sort before it.
pub(super) fn calls_of(time: Timestamp) -> String {
    format!("{:020}", time.seconds())
}

/// The next serial of an authority.
pub(super) struct SerialRow {
    authority: String,
    next: u64,
}

impl Row for SerialRow {
    const INSERT: Insert =
        Insert { table: "serials", columns: &[("authority", Text), ("next", Int)], after: "" };

    fn cells(self, cells: &mut Vec<Value>) {
        cells.extend([self.authority.into(), self.next.into()]);
    }
}

mod identity;

pub(super) use identity::{DisabledUpdate, IssuerRow, RevalidationRow, RevalidationUpdate};

/// A login or name that is somebody's from now on.
pub(super) struct IdentityRow {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) sub: String,
    pub(super) leaf: u64,
}

impl Row for IdentityRow {
    const INSERT: Insert = Insert {
        table: "identities",
        columns: &[("name", Text), ("issuer", Text), ("sub", Text), ("leaf", Int)],
        after: "",
    };

    fn cells(self, cells: &mut Vec<Value>) {
        cells.extend([self.name.into(), self.issuer.into(), self.sub.into(), self.leaf.into()]);
    }
}

/// A new session.
pub(super) struct SessionRow {
    pub(super) id: SessionId,
    pub(super) token_hash: [u8; 32],
    pub(super) replay: [u8; 32],
    pub(super) issuer: String,
    pub(super) sub: String,
    pub(super) claims: String,
    pub(super) key: String,
    pub(super) opened: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) keep_until: Timestamp,
    pub(super) sid: Option<String>,
    pub(super) leaf: u64,
}

impl Row for SessionRow {
    const INSERT: Insert = Insert {
        table: "sessions",
        columns: &[
            ("leaf", Int),
            ("id", Text),
            ("token_hash", Bytes),
            ("replay", Bytes),
            ("issuer", Text),
            ("sub", Text),
            ("claims", Text),
            ("session_key", Text),
            ("opened", Int),
            ("expires", Int),
            ("keep_until", Int),
            ("sid", Text),
        ],
        after: "",
    };

    fn cells(self, cells: &mut Vec<Value>) {
        cells.extend([
            self.leaf.into(),
            self.id.to_string().into(),
            self.token_hash.into(),
            self.replay.into(),
            self.issuer.into(),
            self.sub.into(),
            self.claims.into(),
            self.key.into(),
            self.opened.into(),
            self.expires.into(),
            self.keep_until.into(),
            self.sid.into(),
        ]);
    }
}

/// A change to a session that is there.
pub(super) enum SessionUpdate {
    /// Its earlier bearer token is replaced.
    Token(SessionId, [u8; 32]),
    /// It ended.
    Ended(SessionId, Timestamp),
    /// Its claims are others.
    Claims(SessionId, String),
}

/// A decided request.
pub(super) struct RequestRow {
    pub(super) id: String,
    pub(super) session: String,
    pub(super) issuer: String,
    pub(super) sub: String,
    pub(super) time: Timestamp,
    pub(super) asked: String,
    pub(super) refused: Option<&'static str>,
    pub(super) grant: Option<(String, Timestamp, Timestamp)>,
    pub(super) policy_digest: String,
    pub(super) leaf: u64,
}

impl Row for RequestRow {
    const INSERT: Insert = Insert {
        table: "requests",
        columns: &[
            ("id", Text),
            ("session", Text),
            ("issuer", Text),
            ("sub", Text),
            ("time", Int),
            ("asked", Text),
            ("refused", Text),
            ("grant_id", Text),
            ("not_before", Int),
            ("not_after", Int),
            ("policy_digest", Text),
            ("leaf", Int),
        ],
        after: "",
    };

    fn cells(self, cells: &mut Vec<Value>) {
        let (grant, from, to) = match self.grant {
            Some((grant, from, to)) => (Some(grant), Some(from), Some(to)),
            None => (None, None, None),
        };
        cells.extend([
            self.id.into(),
            self.session.into(),
            self.issuer.into(),
            self.sub.into(),
            self.time.into(),
            self.asked.into(),
            self.refused.into(),
            grant.into(),
            from.into(),
            to.into(),
            self.policy_digest.into(),
            self.leaf.into(),
        ]);
    }
}

/// A certificate that was determined.
pub(super) struct CertificateRow {
    pub(super) authority: String,
    pub(super) serial: u64,
    pub(super) grant: String,
    pub(super) request: String,
    pub(super) session: String,
    pub(super) fingerprint: String,
    pub(super) tbs_sha256: String,
    pub(super) valid_after: Timestamp,
    pub(super) valid_before: Timestamp,
    pub(super) leaf: u64,
}

impl Row for CertificateRow {
    const INSERT: Insert = Insert {
        table: "certificates",
        columns: &[
            ("authority", Text),
            ("serial", Int),
            ("grant_id", Text),
            ("request", Text),
            ("session", Text),
            ("fingerprint", Text),
            ("tbs_sha256", Text),
            ("valid_after", Int),
            ("valid_before", Int),
            ("leaf", Int),
        ],
        after: "",
    };

    fn cells(self, cells: &mut Vec<Value>) {
        cells.extend([
            self.authority.into(),
            self.serial.into(),
            self.grant.into(),
            self.request.into(),
            self.session.into(),
            self.fingerprint.into(),
            self.tbs_sha256.into(),
            self.valid_after.into(),
            self.valid_before.into(),
            self.leaf.into(),
        ]);
    }
}

impl Row for NewTile {
    const INSERT: Insert =
        Insert { table: "tiles", columns: &[("level", Int), ("idx", Int), ("hash", Bytes)], after: "" };

    fn cells(self, cells: &mut Vec<Value>) {
        cells.extend([self.level.into(), self.index.into(), self.hash.into()]);
    }
}

/// Everything that a batch adds.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) events: Vec<EventRow>,
    pub(super) tiles: Vec<NewTile>,
    pub(super) calls: Vec<CallRow>,
    pub(super) identities: Vec<IdentityRow>,
    pub(super) sessions: Vec<SessionRow>,
    pub(super) updates: Vec<SessionUpdate>,
    pub(super) requests: Vec<RequestRow>,
    pub(super) certificates: Vec<CertificateRow>,
    /// Authority → its next serial, where it moved.
    pub(super) serials: std::collections::BTreeMap<String, u64>,
    /// Names that are nobody's; before [`Rows::identities`], which may have them again.
    pub(super) released: Vec<String>,
    /// By name: one that is written twice in a batch is the later one's.
    pub(super) issuers: std::collections::BTreeMap<String, IssuerRow>,
    /// In order: an identity may be disabled and enabled in one batch.
    pub(super) disabled: Vec<DisabledUpdate>,
    /// By session, for the same reason.
    pub(super) refreshes: std::collections::BTreeMap<SessionId, RevalidationRow>,
    pub(super) revalidations: Vec<RevalidationUpdate>,
    pub(super) erasures: Vec<Erasure>,
    pub(super) restored: Option<RestoredRows>,
}

/// An event whose body goes, and the request whose row goes with it.
pub(super) struct Erasure {
    pub(super) leaf: u64,
    pub(super) request: Option<String>,
}

impl Erasure {
    fn write(self, conn: &mut dyn Conn) -> Result<(), EngineError> {
        // Authority and serial stay: serials are counted, and tell of nobody.
        let erase = "UPDATE events \
            SET body = NULL, salt = NULL, issuer = NULL, sub = NULL, name = NULL, session = NULL, request = NULL, \
            grant_id = NULL \
            WHERE leaf = $1";
        conn.execute(erase, &[self.leaf.into()])?;
        if let Some(request) = self.request {
            conn.execute("DELETE FROM requests WHERE id = $1", &[request.into()])?;
        }
        Ok(())
    }
}

/// What a restoration changes in the rows that came with the backup.
pub(super) struct RestoredRows {
    pub(super) time: Timestamp,
    pub(super) floor: Timestamp,
    pub(super) revocations: Vec<CertificateRevoked>,
}

impl RestoredRows {
    fn write(self, conn: &mut dyn Conn) -> Result<(), EngineError> {
        conn.execute("UPDATE sessions SET ended = $1 WHERE ended IS NULL", &[self.time.into()])?;
        conn.execute("DELETE FROM revalidations", &[])?;
        let revoke = "UPDATE certificates \
            SET revoked = $1 \
            WHERE authority = $2 AND serial >= $3 AND serial <= $4 AND revoked IS NULL";
        for revoked in self.revocations {
            let through = revoked.through.unwrap_or(revoked.serial);
            let (reason, authority) = (revoked.reason.to_string(), revoked.authority.to_string());
            conn.execute(revoke, &[reason.into(), authority.into(), revoked.serial.into(), through.into()])?;
        }
        let floor = "INSERT INTO meta (name, value) VALUES ($1, $2) \
            ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let value = self.floor.seconds().to_string();
        conn.execute(floor, &[Value::from(super::facts::FLOOR), value.into()]).map(drop)
    }
}

impl Rows {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        // A call id, an event or something of a session belongs to every change that was kept.
        self.events.is_empty()
            && self.calls.is_empty()
            && self.updates.is_empty()
            && self.revalidations.is_empty()
    }

    /// Writes everything.
    pub(super) fn write(mut self, conn: &mut dyn Conn) -> Result<(), EngineError> {
        add(conn, self.calls)?;
        for name in self.released {
            conn.execute("DELETE FROM identities WHERE name = $1", &[name.into()])?;
        }
        add(conn, self.identities)?;
        add(conn, self.issuers.into_values().collect())?;
        self.disabled.into_iter().try_for_each(|update| update.write(conn))?;
        add(conn, self.sessions)?;
        add(conn, self.requests)?;
        add(conn, self.certificates)?;
        add(conn, self.events)?;
        add(conn, self.tiles)?;
        for (authority, next) in self.serials {
            // An upsert would make SQLite open a table in memory for each.
            let args = [next.into(), authority.clone().into()];
            if conn.execute("UPDATE serials SET next = $1 WHERE authority = $2", &args)? == 0 {
                add(conn, vec![SerialRow { authority, next }])?;
            }
        }
        if !self.erasures.is_empty() {
            conn.forget_deleted()?;
        }
        self.erasures.into_iter().try_for_each(|erasure| erasure.write(conn))?;
        if let Some(restored) = self.restored {
            restored.write(conn)?;
        }
        // What changes a session comes after all new ones: it may be of this batch.
        for update in self.updates {
            match update {
                SessionUpdate::Token(id, hash) => {
                    let args = [hash.into(), id.to_string().into()];
                    conn.execute("UPDATE sessions SET token_hash = $1 WHERE id = $2", &args)?;
                }
                SessionUpdate::Ended(id, at) => {
                    let args = [at.into(), id.to_string().into()];
                    conn.execute("UPDATE sessions SET ended = $1 WHERE id = $2", &args)?;
                    self.revalidations.push(RevalidationUpdate::Gone(id));
                }
                SessionUpdate::Claims(id, claims) => {
                    let args = [claims.into(), id.to_string().into()];
                    conn.execute("UPDATE sessions SET claims = $1 WHERE id = $2", &args)?;
                }
            }
        }
        add(conn, self.refreshes.into_values().collect())?;
        self.revalidations.into_iter().try_for_each(|update| update.write(conn))
    }
}

fn add<R: Row>(conn: &mut dyn Conn, rows: Vec<R>) -> Result<(), EngineError> {
    if rows.is_empty() {
        return Ok(());
    }
    let insert: &'static Insert = const { &R::INSERT };
    let mut cells = Vec::with_capacity(rows.len().saturating_mul(insert.columns.len()));
    for row in rows {
        row.cells(&mut cells);
    }
    conn.insert(insert, cells)
}
