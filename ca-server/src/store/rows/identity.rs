//! Rows about who may log in, and about what the provider is asked of live sessions.

use jit_ssh_proto::{SessionId, Timestamp};

use super::super::engine::{Conn, EngineError, Insert, Kind, Value};
use super::Row;

use Kind::{Bytes, Int, Text};

/// What the name of an issuer stands for from now on.
pub(in crate::store) struct IssuerRow {
    pub(in crate::store) name: String,
    pub(in crate::store) url: String,
    pub(in crate::store) leaf: u64,
}

impl Row for IssuerRow {
    const INSERT: Insert = Insert {
        table: "issuers",
        columns: &[("name", Text), ("url", Text), ("leaf", Int)],
        after: " ON CONFLICT (name) DO UPDATE SET url = excluded.url, leaf = excluded.leaf",
    };

    fn cells(self, cells: &mut Vec<Value>) {
        cells.extend([self.name.into(), self.url.into(), self.leaf.into()]);
    }
}

/// Whether an identity may log in.
pub(in crate::store) enum DisabledUpdate {
    /// Not any more.
    Disabled { id: String, reason: String, time: Timestamp, leaf: u64 },
    /// Again.
    Enabled(String),
}

impl DisabledUpdate {
    pub(super) fn write(self, conn: &mut dyn Conn) -> Result<(), EngineError> {
        match self {
            Self::Disabled { id, reason, time, leaf } => conn.execute(
                "INSERT INTO disabled (id, reason, time, leaf) VALUES ($1, $2, $3, $4)",
                &[id.into(), reason.into(), time.into(), leaf.into()],
            ),
            Self::Enabled(id) => conn.execute("DELETE FROM disabled WHERE id = $1", &[id.into()]),
        }
        .map(drop)
    }
}

/// A refresh token for a session. The same session's earlier one makes way.
pub(in crate::store) struct RevalidationRow {
    pub(in crate::store) session: SessionId,
    pub(in crate::store) token: Vec<u8>,
    pub(in crate::store) due: Timestamp,
    pub(in crate::store) ends: Timestamp,
}

impl Row for RevalidationRow {
    const INSERT: Insert = Insert {
        table: "revalidations",
        columns: &[
            ("session", Text),
            ("token", Bytes),
            ("due", Int),
            ("holder", Text),
            ("held", Int),
            ("ends", Int),
        ],
        after: " ON CONFLICT (session) DO UPDATE SET token = excluded.token, due = excluded.due, \
            holder = excluded.holder, held = excluded.held",
    };

    fn cells(self, cells: &mut Vec<Value>) {
        cells.extend([
            self.session.to_string().into(),
            self.token.into(),
            self.due.into(),
            "".into(),
            Value::Int(0),
            self.ends.into(),
        ]);
    }
}

/// A change to one that is there.
pub(in crate::store) enum RevalidationUpdate {
    /// A process is about it.
    Held { session: SessionId, holder: String, until: Timestamp },
    /// Nobody is; it is due then, with this token if there is a new one.
    Due { session: SessionId, token: Option<Vec<u8>>, due: Timestamp },
    /// It is not needed any more.
    Gone(SessionId),
}

impl RevalidationUpdate {
    pub(super) fn write(self, conn: &mut dyn Conn) -> Result<(), EngineError> {
        match self {
            Self::Held { session, holder, until } => conn.execute(
                "UPDATE revalidations SET holder = $1, held = $2 WHERE session = $3",
                &[holder.into(), until.into(), session.to_string().into()],
            ),
            Self::Due { session, token: None, due } => conn.execute(
                "UPDATE revalidations SET due = $1, holder = '', held = 0 WHERE session = $2",
                &[due.into(), session.to_string().into()],
            ),
            Self::Due { session, token: Some(token), due } => conn.execute(
                "UPDATE revalidations SET due = $1, holder = '', held = 0, token = $3 WHERE session = $2",
                &[due.into(), session.to_string().into(), token.into()],
            ),
            Self::Gone(session) => {
                conn.execute("DELETE FROM revalidations WHERE session = $1", &[session.to_string().into()])
            }
        }
        .map(drop)
    }
}
