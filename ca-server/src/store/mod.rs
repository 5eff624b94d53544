//! The store: one way to change (`apply`), state and event in one transaction, a few reads (DESIGN 7).

pub mod change;

pub use change::{
    CallId, Change, DecideRequest, Decided, EndSession, IssueCertificate, OpenSession, Outcome, RecordEvent,
    Refusal, RefuseSession,
};

use jit_ssh_core::identity::Claims;
use jit_ssh_proto::wire::RequestInfo;
use jit_ssh_proto::{CaId, Name, RequestId, SessionId, Timestamp, UserKey};

/// Why the store as a whole could not do it. Nothing of the batch was kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It cannot be written: disk full, read-only.
    #[error("the store cannot be written: {0}")]
    ReadOnly(String),
    /// The clock is more than a minute behind the ledger's last event.
    #[error("the clock ({clock}) is behind the ledger ({ledger})")]
    ClockBehind {
        /// The clock.
        clock: Timestamp,
        /// The last event's time.
        ledger: Timestamp,
    },
    /// Made by a later version, another CA's, or damaged.
    #[error("{0}")]
    Unusable(String),
}

/// A session, as a call finds it by its token.
#[derive(Clone, Debug)]
pub struct StoredSession {
    /// `ses_…`
    pub id: SessionId,
    /// The issuer's alias.
    pub issuer: Name,
    /// The claims it was opened with, to be admitted again under today's entry.
    pub claims: Claims,
    /// The session key.
    pub key: UserKey,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// Whether it was ended before.
    pub ended: bool,
}

/// An event as stored.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The leaf's index, from 0.
    pub index: u64,
    /// The canonical event.
    pub body: Vec<u8>,
    /// Its salt.
    pub salt: [u8; 32],
    /// SHA-256(salt ‖ body).
    pub leaf: [u8; 32],
}

/// A handle on the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// Opens (creating if `create`) `sqlite:PATH`: WAL, full durability, one writer. Refuses another CA's data and a
    /// newer schema. Holds an exclusive lock against a second server for as long as it lives.
    ///
    /// # Errors
    /// In one sentence, what is wrong with the database.
    pub async fn open(url: &str, ca: &CaId, create: bool) -> Result<Self, StoreError> {
        let _ = (url, ca, create);
        todo!("store")
    }

    /// Opens for reading only, beside a running server or on a copy: takes no lock.
    ///
    /// # Errors
    /// In one sentence, what is wrong with the database.
    pub async fn open_read_only(url: &str, ca: &CaId) -> Result<Self, StoreError> {
        let _ = (url, ca);
        todo!("store")
    }

    /// The one way to change: all of `changes` in one transaction with whatever else is waiting; each one alone
    /// succeeds or is refused, and sees the earlier ones; durable when this returns.
    ///
    /// `now` is the caller's clock. Ledger time is the later of that and the last event's.
    ///
    /// # Errors
    /// When nothing could be kept.
    pub async fn apply(
        &self,
        now: Timestamp,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<Outcome, Refusal>>, StoreError> {
        let _ = (now, changes);
        todo!("store")
    }

    /// The time of the last event: what a backwards clock is lifted to.
    #[must_use]
    pub fn last_time(&self) -> Timestamp {
        todo!("store")
    }

    /// The session whose token has this SHA-256, live or not.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn session_by_token(&self, token_hash: &[u8; 32]) -> Result<Option<StoredSession>, StoreError> {
        let _ = token_hash;
        todo!("store")
    }

    /// A request of this session's identity.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn request(
        &self,
        issuer: &Name,
        sub: &str,
        id: &RequestId,
    ) -> Result<Option<RequestInfo>, StoreError> {
        let _ = (issuer, sub, id);
        todo!("store")
    }

    /// Requests of this identity, newest first, at most `limit`, older than `before` if given.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn requests(
        &self,
        issuer: &Name,
        sub: &str,
        before: Option<&RequestId>,
        limit: u32,
    ) -> Result<Vec<RequestInfo>, StoreError> {
        let _ = (issuer, sub, before, limit);
        todo!("store")
    }

    /// Events from index `from`, at most `limit`, in order.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn events(&self, from: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let _ = (from, limit);
        todo!("store")
    }

    /// Whether the store answers and can be written.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn ready(&self) -> Result<(), StoreError> {
        todo!("store")
    }

    /// Finishes what waits and closes.
    pub async fn close(self) {
        todo!("store")
    }
}
