//! The rows that a batch adds, and how many of one kind are written in one statement.

use jit_ssh_proto::event::{Actor, Event, What};
use jit_ssh_proto::{SessionId, Timestamp};
use sqlx::AnyConnection;

use super::change::CallId;
use super::sql::{Part, Query, Texts, insert_size};

/// A number as the database holds it. Times fit by construction; leaves and serials would take 10^11 years.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A kind of row: where it goes and what it binds, in that order.
pub(super) trait Row {
    /// `INSERT INTO table (columns)`.
    const INSERT: &'static str;
    /// How many columns.
    const COLUMNS: usize;
    /// What follows the rows.
    const AFTER: &'static str = "";
    /// Binds its values.
    fn bind(self, query: Query) -> Query;
}

/// An event, ready to be written.
pub(super) struct EventRow {
    pub(super) leaf: u64,
    pub(super) time: Timestamp,
    kind: &'static str,
    index: Index,
    body: Vec<u8>,
    salt: [u8; 32],
    hash: [u8; 32],
}

/// What an event can be found by. Taken from the event alone, so that it can be made again from it.
#[derive(Default)]
struct Index {
    identity: Option<(String, String, String)>,
    session: Option<String>,
    request: Option<String>,
    grant: Option<String>,
    certificate: Option<(String, u64)>,
}

impl EventRow {
    /// Writes the event in canonical form, salts and hashes it.
    pub(super) fn new(leaf: u64, event: &Event) -> Result<Self, serde_json::Error> {
        let body = event.canonical()?;
        let salt = crate::entropy::salt();
        let hash = Event::leaf(&salt, &body);
        let index = Index::of(event);
        Ok(Self {
            leaf,
            time: event.time,
            kind: event.what.kind(),
            index,
            body,
            salt: *salt.as_bytes(),
            hash,
        })
    }
}

impl Index {
    fn of(event: &Event) -> Self {
        let mut index = Self::default();
        match &event.actor {
            Actor::Identity { issuer, sub, name } => {
                index.identity = Some((issuer.to_string(), sub.clone(), name.to_string()));
            }
            Actor::Operator | Actor::Ca => {}
        }
        match &event.what {
            What::CaInitialised(_)
            | What::PolicyLoaded(_)
            | What::SessionRefused(_)
            | What::KeyUsed(_)
            | What::ConfigChanged(_)
            | What::EventErased(_)
            | What::StoreRestored(_)
            | What::StoreMoved(_) => {}
            What::LogExported(exported) => index.session = Some(exported.session.to_string()),
            What::CertificateRevoked(revoked) => {
                index.certificate = Some((revoked.authority.to_string(), revoked.serial));
            }
            What::SessionOpened(opened) => index.session = Some(opened.session.to_string()),
            What::SessionEnded(ended) => index.session = Some(ended.session.to_string()),
            What::RequestDecided(decided) => {
                index.session = Some(decided.session.to_string());
                index.request = Some(decided.request.to_string());
                index.grant = match &decided.outcome {
                    jit_ssh_proto::event::Outcome::Granted { grant, .. } => Some(grant.to_string()),
                    jit_ssh_proto::event::Outcome::Denied { .. } => None,
                };
            }
            What::CertificateIssued(issued) => {
                index.session = Some(issued.session.to_string());
                index.grant = Some(issued.grant.to_string());
                index.certificate = Some((issued.authority.to_string(), issued.serial));
            }
        }
        index
    }
}

impl Row for EventRow {
    const INSERT: &'static str = "INSERT INTO events \
        (leaf, time, kind, issuer, sub, name, session, request, grant_id, authority, serial, body, salt, hash)";
    const COLUMNS: usize = 14;

    fn bind(self, query: Query) -> Query {
        let (issuer, sub, name) = match self.index.identity {
            Some((issuer, sub, name)) => (Some(issuer), Some(sub), Some(name)),
            None => (None, None, None),
        };
        let (authority, serial) = self.index.certificate.unzip();
        query
            .bind(int(self.leaf))
            .bind(int(self.time.seconds()))
            .bind(self.kind)
            .bind(issuer)
            .bind(sub)
            .bind(name)
            .bind(self.index.session)
            .bind(self.index.request)
            .bind(self.index.grant)
            .bind(authority)
            .bind(serial.map(int))
            .bind(self.body)
            .bind(self.salt.to_vec())
            .bind(self.hash.to_vec())
    }
}

/// A used-up call id.
pub(super) struct CallRow(pub(super) CallId);

impl Row for CallRow {
    const INSERT: &'static str = "INSERT INTO call_ids (id)";
    const COLUMNS: usize = 1;

    fn bind(self, query: Query) -> Query {
        query.bind(call_key(&self.0))
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

/// How a replay key is stored: the time that the token was issued at comes first, so that new ones lie together.
pub(super) fn replay_key(issued: Timestamp, replay: &[u8; 32]) -> Vec<u8> {
    let mut key = issued.seconds().to_be_bytes().to_vec();
    key.extend_from_slice(replay);
    key
}

/// The next serial of an authority.
pub(super) struct SerialRow {
    authority: String,
    next: u64,
}

impl Row for SerialRow {
    const INSERT: &'static str = "INSERT INTO serials (authority, next)";
    const COLUMNS: usize = 2;
    const AFTER: &'static str = " ON CONFLICT (authority) DO UPDATE SET next = excluded.next";

    fn bind(self, query: Query) -> Query {
        query.bind(self.authority).bind(int(self.next))
    }
}

/// A login or name that is somebody's from now on.
pub(super) struct IdentityRow {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) sub: String,
    pub(super) leaf: u64,
}

impl Row for IdentityRow {
    const INSERT: &'static str = "INSERT INTO identities (name, issuer, sub, leaf)";
    const COLUMNS: usize = 4;

    fn bind(self, query: Query) -> Query {
        query.bind(self.name).bind(self.issuer).bind(self.sub).bind(int(self.leaf))
    }
}

/// A new session.
pub(super) struct SessionRow {
    pub(super) id: SessionId,
    pub(super) token_hash: [u8; 32],
    pub(super) replay: Vec<u8>,
    pub(super) issuer: String,
    pub(super) sub: String,
    pub(super) claims: String,
    pub(super) key: String,
    pub(super) opened: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) keep_until: Timestamp,
    pub(super) leaf: u64,
}

impl Row for SessionRow {
    const INSERT: &'static str = "INSERT INTO sessions \
        (id, token_hash, replay, issuer, sub, claims, session_key, opened, expires, keep_until, leaf)";
    const COLUMNS: usize = 11;

    fn bind(self, query: Query) -> Query {
        query
            .bind(self.id.to_string())
            .bind(self.token_hash.to_vec())
            .bind(self.replay)
            .bind(self.issuer)
            .bind(self.sub)
            .bind(self.claims)
            .bind(self.key)
            .bind(int(self.opened.seconds()))
            .bind(int(self.expires.seconds()))
            .bind(int(self.keep_until.seconds()))
            .bind(int(self.leaf))
    }
}

/// A change to a session that is there.
pub(super) enum SessionUpdate {
    /// Its earlier bearer token is replaced.
    Token(SessionId, [u8; 32]),
    /// It ended.
    Ended(SessionId, Timestamp),
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
    const INSERT: &'static str = "INSERT INTO requests \
        (id, session, issuer, sub, time, asked, refused, grant_id, not_before, not_after, policy_digest, leaf)";
    const COLUMNS: usize = 12;

    fn bind(self, query: Query) -> Query {
        let (grant, from, to) = match self.grant {
            Some((grant, from, to)) => (Some(grant), Some(int(from.seconds())), Some(int(to.seconds()))),
            None => (None, None, None),
        };
        query
            .bind(self.id)
            .bind(self.session)
            .bind(self.issuer)
            .bind(self.sub)
            .bind(int(self.time.seconds()))
            .bind(self.asked)
            .bind(self.refused)
            .bind(grant)
            .bind(from)
            .bind(to)
            .bind(self.policy_digest)
            .bind(int(self.leaf))
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
    const INSERT: &'static str = "INSERT INTO certificates \
        (authority, serial, grant_id, request, session, fingerprint, tbs_sha256, valid_after, valid_before, leaf)";
    const COLUMNS: usize = 10;

    fn bind(self, query: Query) -> Query {
        query
            .bind(self.authority)
            .bind(int(self.serial))
            .bind(self.grant)
            .bind(self.request)
            .bind(self.session)
            .bind(self.fingerprint)
            .bind(self.tbs_sha256)
            .bind(int(self.valid_after.seconds()))
            .bind(int(self.valid_before.seconds()))
            .bind(int(self.leaf))
    }
}

/// Everything that a batch adds.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) events: Vec<EventRow>,
    pub(super) calls: Vec<CallRow>,
    pub(super) identities: Vec<IdentityRow>,
    pub(super) sessions: Vec<SessionRow>,
    pub(super) updates: Vec<SessionUpdate>,
    pub(super) requests: Vec<RequestRow>,
    pub(super) certificates: Vec<CertificateRow>,
    /// Authority → its next serial, where it moved.
    pub(super) serials: std::collections::BTreeMap<String, u64>,
}

impl Rows {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        // A call id or an event belongs to every change that was kept.
        self.events.is_empty() && self.calls.is_empty() && self.updates.is_empty()
    }

    /// Writes everything, and commits if told to: as many rows a statement and statements a call as there are.
    pub(super) async fn write(
        self,
        conn: &mut AnyConnection,
        texts: &mut Texts,
        commit: bool,
    ) -> Result<(), sqlx::Error> {
        // What changes a session comes after all new ones: it may be of this batch.
        let commit_with_rows = commit && self.updates.is_empty();
        let mut calls = Left::new(self.calls);
        let mut identities = Left::new(self.identities);
        let mut sessions = Left::new(self.sessions);
        let mut requests = Left::new(self.requests);
        let mut certificates = Left::new(self.certificates);
        let mut events = Left::new(self.events);
        let serials = self.serials.into_iter().map(|(authority, next)| SerialRow { authority, next });
        let mut serials = Left::new(serials.collect());
        loop {
            let mut parts = Vec::with_capacity(8);
            parts.extend(calls.part());
            parts.extend(identities.part());
            parts.extend(sessions.part());
            parts.extend(requests.part());
            parts.extend(certificates.part());
            parts.extend(events.part());
            parts.extend(serials.part());
            let last = calls.ends()
                && identities.ends()
                && sessions.ends()
                && requests.ends()
                && certificates.ends()
                && events.ends()
                && serials.ends();
            if last && commit_with_rows {
                parts.push(Part::Plain("COMMIT"));
            }
            if parts.is_empty() {
                break;
            }
            let mut query = texts.script(parts);
            query = calls.bind(query);
            query = identities.bind(query);
            query = sessions.bind(query);
            query = requests.bind(query);
            query = certificates.bind(query);
            query = events.bind(query);
            query = serials.bind(query);
            query.execute(&mut *conn).await?;
            if last {
                break;
            }
        }
        for update in self.updates {
            let query = match update {
                SessionUpdate::Token(id, hash) => {
                    sqlx::query("UPDATE sessions SET token_hash = $1 WHERE id = $2")
                        .bind(hash.to_vec())
                        .bind(id.to_string())
                }
                SessionUpdate::Ended(id, at) => sqlx::query("UPDATE sessions SET ended = $1 WHERE id = $2")
                    .bind(int(at.seconds()))
                    .bind(id.to_string()),
            };
            query.execute(&mut *conn).await?;
        }
        if commit && !commit_with_rows {
            sqlx::query("COMMIT").execute(conn).await?;
        }
        Ok(())
    }
}

/// Rows of one kind that are still to be written.
struct Left<R>(std::vec::IntoIter<R>);

impl<R: Row> Left<R> {
    fn new(rows: Vec<R>) -> Self {
        Self(rows.into_iter())
    }

    /// How many go into the next statement.
    fn size(&self) -> usize {
        insert_size(self.0.len())
    }

    /// Whether the next statement is the last one.
    fn ends(&self) -> bool {
        self.size() == self.0.len()
    }

    /// The next statement, if there is one.
    fn part(&self) -> Option<Part> {
        let rows = self.size();
        (rows > 0).then_some(Part::Insert { insert: R::INSERT, rows, columns: R::COLUMNS, after: R::AFTER })
    }

    /// Binds its rows.
    fn bind(&mut self, query: Query) -> Query {
        let size = self.size();
        self.0.by_ref().take(size).fold(query, |query, row| row.bind(query))
    }
}
