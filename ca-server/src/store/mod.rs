//! The store: one way to change (`apply`), state and event in one transaction, a few reads (DESIGN 7).

mod batch;
pub mod change;
mod error;
mod facts;
mod migrate;
mod place;
mod prune;
mod read;
mod rows;
mod sql;
#[cfg(test)]
mod tests;
mod writer;

pub use change::{
    CallId, Change, DecideRequest, Decided, EndSession, IssueCertificate, OpenSession, Outcome, Prepare,
    RecordEvent, Refusal, RefuseSession,
};

use std::sync::Arc;

use jit_ssh_core::identity::Claims;
use jit_ssh_proto::{CaId, Name, SessionId, Timestamp, UserKey};
use sqlx::AnyPool;
use tokio::sync::{mpsc, oneshot};

use place::Place;
use writer::{Job, Seen, Writer};

/// Why the store as a whole could not do it. Nothing of the batch was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    place: Place,
    readers: AnyPool,
    /// None if it was opened to be read only.
    writer: Option<mpsc::Sender<Job>>,
    seen: Arc<Seen>,
}

impl Store {
    /// Opens (creating if `create`) `sqlite:PATH`: WAL, full durability, one writer. Refuses another CA's data and a
    /// newer schema. Holds an exclusive lock against a second server until it is closed, or until the last handle is
    /// gone and what waited is done.
    ///
    /// # Errors
    /// In one sentence, what is wrong with the database.
    pub async fn open(url: &str, ca: &CaId, create: bool) -> Result<Self, StoreError> {
        let place = Place::parse(url)?;
        let lock = place.lock()?;
        place.ensure(create)?;
        let mut conn = place.writer().await?;
        migrate::migrate(&mut conn, &place, ca, create).await?;
        let seen = Arc::new(Seen::default());
        let writer = Writer::new(place.clone(), *ca, conn, lock, Arc::clone(&seen)).await?;
        let (jobs, waiting) = mpsc::channel(writer::WAITING);
        tokio::spawn(writer.run(waiting));
        let readers = place.readers()?;
        let shared = Shared { place, readers, writer: Some(jobs), seen };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Opens a database to read it only, beside a server or without one. Takes no lock, changes nothing; `apply`
    /// is refused.
    ///
    /// # Errors
    /// In one sentence, what is wrong with the database.
    pub async fn open_read_only(url: &str, ca: &CaId) -> Result<Self, StoreError> {
        let place = Place::parse(url)?;
        place.ensure(false)?;
        place.check(ca).await?;
        let readers = place.readers()?;
        let shared = Shared { place, readers, writer: None, seen: Arc::default() };
        let store = Self { shared: Arc::new(shared) };
        store.shared.seen.set_time(store.newest_time().await?);
        Ok(store)
    }

    /// The one way to change: all of `changes` in one transaction with whatever else is waiting; each one alone
    /// succeeds or is refused, and sees the earlier ones; durable when this returns. A caller who goes away does
    /// not take the changes back.
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
        self.ask(|reply| Job::Apply { now, changes, reply }).await?
    }

    /// The time of the last event: what a backwards clock is lifted to.
    #[must_use]
    pub fn last_time(&self) -> Timestamp {
        self.shared.seen.time()
    }

    /// Whether the store answers and can be written: a read, and whether the last write worked. If it did not, a
    /// write is tried, so that this recovers when the cause is gone.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.answers().await?;
        self.shared.place.file()?;
        match (&self.shared.writer, self.shared.seen.trouble()) {
            (None, _) => Ok(()),
            (Some(writer), None) if !writer.is_closed() => Ok(()),
            (Some(_), _) => self.ask(|reply| Job::Probe { reply }).await?,
        }
    }

    /// Finishes what waits and closes. Other handles then answer that the store is closed.
    pub async fn close(self) {
        // A writer that is gone has closed already.
        let _closed = self.ask(|reply| Job::Close { reply }).await;
        self.shared.readers.close().await;
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let Some(writer) = &self.shared.writer else {
            return Err(StoreError::ReadOnly(format!(
                "{} was opened to be read only",
                self.shared.place.shown()
            )));
        };
        let closed = || StoreError::Unavailable(format!("{} was closed", self.shared.place.shown()));
        let (reply, answer) = oneshot::channel();
        writer.send(job(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }
}
