//! The store: one way to change (`apply`), state and event in one transaction, a few reads (DESIGN 7).

mod backup;
mod batch;
pub mod change;
mod copy;
mod engine;
mod erase;
mod error;
mod event_row;
mod facts;
mod gather;
mod migrate;
mod moving;
mod offline;
mod parts;
mod people;
mod place;
mod prune;
mod read;
mod readers;
mod requests;
mod restore;
mod rows;
mod search;
mod seen;
mod sight;
#[cfg(test)]
mod tests;
mod tree;
mod verify;
mod writer;

pub use backup::Backup;
pub use change::{
    Answer, BindIssuer, CallId, Change, Changed, ClaimRevalidation, DecideRequest, Decided, DisableIdentity,
    EnableIdentity, EndSession, EraseEvent, ExportLog, IssueCertificate, LoadRules, LogOut, OpenSession,
    Outcome, Prepare, RecordEvent, Recorded, Refresh, Refusal, RefuseSession, ReleaseLogin, Revalidated,
};
pub use erase::NotErasable;
pub use gather::Coming;
pub use moving::{Move, Moved, resume};
pub use people::{KnownName, LiveSession};
pub use restore::{GoodBackup, Restore, RestoredStore, Said};
pub use search::{Found, Search};
pub use tree::{NodeHash, TreeHead};
pub use verify::{Database, Finding, Known, Progress, Report, Verify};

use std::path::PathBuf;
use std::sync::Arc;

use jit_ssh_core::identity::Claims;
use jit_ssh_proto::{CaId, Name, SessionId, Span, Timestamp, UserKey};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use gather::Gather;
use place::Place;
use readers::Readers;
use sight::Seen;
use writer::{Job, Writer};

/// The last checkpoint that a process of this data directory saw, if it is remembered and readable.
#[must_use]
pub fn last_seen(file: &std::path::Path) -> Option<TreeHead> {
    seen::look(file)
}

/// How long ended requests and certificates stay in the hot tables unless told otherwise.
pub const KEEP: Span = Span::from_seconds(30 * 24 * 3600);

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
    /// The clock is too far off the database's for two processes to agree on what has ended.
    #[error("the clock of this machine is {off_ms} ms off the database's: set both by NTP")]
    ClockOff {
        /// By how much, in milliseconds.
        off_ms: u64,
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

/// A live session about which its provider is to be asked.
#[derive(Clone, Debug)]
pub struct DueSession {
    /// `ses_…`
    pub session: SessionId,
    /// The issuer's alias.
    pub issuer: Name,
    /// The claims it has now.
    pub claims: Claims,
    /// The refresh token, sealed.
    pub token: Vec<u8>,
}

/// Whose live sessions are meant.
#[derive(Clone, Debug)]
pub enum Whose {
    /// This one.
    Session(SessionId),
    /// Those of an issuer's subject.
    Identity(Name, String),
    /// Those of an issuer that belong to a session of the provider (`sid`).
    ProvidersSession(Name, String),
    /// All of an issuer.
    Issuer(Name),
}

/// An event as stored.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The leaf's index, from 0.
    pub index: u64,
    /// What it says; none where it was erased.
    pub content: Option<Content>,
    /// SHA-256(salt ‖ body).
    pub leaf: [u8; 32],
}

/// What an event says.
#[derive(Clone, Debug)]
pub struct Content {
    /// The canonical event.
    pub body: Vec<u8>,
    /// Its salt.
    pub salt: [u8; 32],
}

/// Which database, whose, and what else the store needs to know.
#[derive(Clone)]
pub struct Options {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: String,
    /// The CA.
    pub ca: CaId,
    /// Whether to make what is not there.
    pub create: bool,
    /// Where the last checkpoint that was seen is remembered, outside the database.
    pub seen: PathBuf,
    /// This machine's clock, to be compared with that of a database server; none to take any.
    pub clock: Option<Arc<dyn Clock>>,
    /// How long requests and certificates stay in the hot tables after they ended.
    pub keep: Span,
}

/// A handle on the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    place: Place,
    readers: Readers,
    /// For what anybody may read.
    public: Readers,
    /// None if it was opened to be read only.
    writer: Option<mpsc::Sender<Job>>,
    seen: Arc<Seen>,
    gather: Arc<Gather>,
}

impl Store {
    /// Opens (creating if told) the database: every commit flushed, one writer a process. Refuses another CA's data, a
    /// newer schema, and a ledger that does not extend the last checkpoint seen. A SQLite file is locked against a
    /// second process until this is closed, or until the last handle is gone and what waited is done.
    ///
    /// # Errors
    /// In one sentence, what is wrong with the database.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        let place = Place::parse(&options.url)?;
        let seen = Arc::new(Seen::default());
        let (jobs, waiting) = mpsc::channel(writer::WAITING);
        let gather = Arc::new(Gather::default());
        let (at, sight, gathered) = (place.clone(), Arc::clone(&seen), Arc::clone(&gather));
        blocking(move || Writer::open(at, &options, sight)?.start(waiting, gathered)).await?;
        let readers = Readers::new(place.clone(), readers::READERS);
        let public = Readers::new(place.clone(), readers::PUBLIC_READERS);
        let shared = Shared { place, readers, public, writer: Some(jobs), seen, gather };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Opens a database to read it only, beside a server or without one. Takes no lock, changes nothing; `apply`
    /// is refused.
    ///
    /// # Errors
    /// In one sentence, what is wrong with the database.
    pub async fn open_read_only(url: &str, ca: &CaId) -> Result<Self, StoreError> {
        Self::read_only(Place::parse(url)?, *ca).await
    }

    async fn read_only(place: Place, ca: CaId) -> Result<Self, StoreError> {
        place.ensure(false)?;
        let at = place.clone();
        blocking(move || at.check(&ca)).await?;
        let readers = Readers::new(place.clone(), readers::READERS);
        let public = Readers::new(place.clone(), readers::PUBLIC_READERS);
        let shared =
            Shared { place, readers, public, writer: None, seen: Arc::default(), gather: Arc::default() };
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
        self.apply_announced(self.announce(), now, changes).await
    }

    /// Says that a call is on its way here, so that the writer waits a little for it.
    #[must_use]
    pub fn announce(&self) -> Coming {
        self.shared.gather.announce()
    }

    /// As [`Store::apply`], of a call that was announced.
    ///
    /// # Errors
    /// When nothing could be kept.
    pub async fn apply_announced(
        &self,
        coming: Coming,
        now: Timestamp,
        changes: Vec<Change>,
    ) -> Result<Vec<Result<Outcome, Refusal>>, StoreError> {
        self.ask(Some(coming), |reply| Job::Apply { now, changes, reply }).await?
    }

    /// The time of the last event: what a backwards clock is lifted to.
    #[must_use]
    pub fn last_time(&self) -> Timestamp {
        self.shared.seen.time()
    }

    /// Whether the store answers, holds the ledger still and can be written: a read, and whether the last write worked.
    /// If it did not, a write is tried, so that this recovers when the cause is gone.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn ready(&self) -> Result<(), StoreError> {
        if let Some(moved) = self.goes_on().await? {
            return Err(moved.refusal(&self.shared.place));
        }
        self.shared.place.file()?;
        match (&self.shared.writer, self.shared.seen.trouble()) {
            (None, _) => Ok(()),
            (Some(writer), None) if !writer.is_closed() => Ok(()),
            (Some(_), _) => self.ask(None, |reply| Job::Probe { reply }).await?,
        }
    }

    /// Finishes what waits and closes. Other handles then answer that the store is closed.
    pub async fn close(self) {
        // Readers first: whoever leaves a SQLite file last brings its log back into it, which only a writer can.
        self.shared.readers.close().await;
        self.shared.public.close().await;
        // A writer that is gone has closed already.
        let _closed = self.ask(None, |reply| Job::Close { reply }).await;
    }

    async fn ask<T>(
        &self,
        coming: Option<Coming>,
        job: impl FnOnce(oneshot::Sender<T>) -> Job,
    ) -> Result<T, StoreError> {
        let Some(writer) = &self.shared.writer else {
            return Err(StoreError::ReadOnly(format!(
                "{} was opened to be read only",
                self.shared.place.shown()
            )));
        };
        let closed = || StoreError::Unavailable(format!("{} was closed", self.shared.place.shown()));
        let (reply, answer) = oneshot::channel();
        writer.send(job(reply)).await.map_err(|_| closed())?;
        // The writer has taken one out of its queue already.
        let there = writer.max_capacity().saturating_sub(writer.capacity()).saturating_add(1);
        match coming {
            Some(coming) => coming.arrived(there),
            None => self.shared.gather.wake(),
        }
        answer.await.map_err(|_| closed())
    }
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| StoreError::Unavailable(format!("the store could not be opened: {e}")))?
}
