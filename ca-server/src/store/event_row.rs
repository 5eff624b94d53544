//! An event as a row: its canonical form, salted and hashed, and what it can be found by.

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::event::{Actor, Event, What};

use super::engine::{Insert, Kind, Value};
use super::rows::Row;

use Kind::{Bytes, Int, Text};

/// An event, ready to be written.
pub(super) struct EventRow {
    pub(super) leaf: u64,
    pub(super) time: Timestamp,
    kind: &'static str,
    index: Index,
    pub(super) body: Vec<u8>,
    pub(super) salt: [u8; 32],
    pub(super) hash: [u8; 32],
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
            | What::KeyAdded(_)
            | What::ConfigChanged(_)
            | What::EventErased(_)
            | What::IdentityDisabled(_)
            | What::IdentityEnabled(_)
            | What::LoginReleased(_)
            | What::IssuerBound(_)
            | What::StoreRestored(_)
            | What::StoreMoved(_) => {}
            What::SessionRevalidated(now) => index.session = Some(now.session.to_string()),
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

/// The columns of `events` that an event can be found by.
pub(super) const INDEX_COLUMNS: [&str; 8] =
    ["issuer", "sub", "name", "session", "request", "grant_id", "authority", "serial"];

/// What these columns say for an event.
pub(super) fn index_cells(event: &Event) -> [Value; 8] {
    Index::of(event).cells()
}

impl Index {
    fn cells(self) -> [Value; 8] {
        let (issuer, sub, name) = match self.identity {
            Some((issuer, sub, name)) => (Some(issuer), Some(sub), Some(name)),
            None => (None, None, None),
        };
        let (authority, serial) = self.certificate.unzip();
        [
            issuer.into(),
            sub.into(),
            name.into(),
            self.session.into(),
            self.request.into(),
            self.grant.into(),
            authority.into(),
            serial.into(),
        ]
    }
}

impl Row for EventRow {
    const INSERT: Insert = Insert {
        table: "events",
        columns: &[
            ("leaf", Int),
            ("time", Int),
            ("kind", Text),
            ("issuer", Text),
            ("sub", Text),
            ("name", Text),
            ("session", Text),
            ("request", Text),
            ("grant_id", Text),
            ("authority", Text),
            ("serial", Int),
            ("body", Bytes),
            ("salt", Bytes),
            ("hash", Bytes),
        ],
        after: "",
    };

    fn cells(self, cells: &mut Vec<Value>) {
        cells.extend([self.leaf.into(), self.time.into(), self.kind.into()]);
        cells.extend(self.index.cells());
        cells.extend([self.body.into(), self.salt.into(), self.hash.into()]);
    }
}
