//! The one writer: a task that owns the one connection that writes. It takes whatever waits, runs it in one
//! transaction and so flushes once for everybody.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jit_ssh_proto::{CaId, Timestamp};
use sqlx::{AnyConnection, Connection, Executor};
use tokio::sync::{mpsc, oneshot};

use super::StoreError;
use super::batch::Batch;
use super::change::{Change, Outcome, Refusal};
use super::facts::{Facts, Head, Wanted};
use super::migrate;
use super::place::{FileId, Place};
use super::prune::Pruning;
use super::sql::Texts;

/// How many calls may wait; the next one waits for a place.
pub(super) const WAITING: usize = 1024;

/// How many changes share one transaction at most: bounds what a failed flush takes with it, and its memory.
const BATCH: usize = 256;

/// What a call of `apply` comes to.
pub(super) type Applied = Result<Vec<Result<Outcome, Refusal>>, StoreError>;

/// What the writer is asked for.
pub(super) enum Job {
    /// Changes, by a caller whose clock says `now`.
    Apply { now: Timestamp, changes: Vec<Change>, reply: oneshot::Sender<Applied> },
    /// To show that a write works.
    Probe { reply: oneshot::Sender<Result<(), StoreError>> },
    /// To finish what waits and stop.
    Close { reply: oneshot::Sender<()> },
}

/// What others may see of the writer without asking it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    time: AtomicU64,
    trouble: Mutex<Option<StoreError>>,
}

impl Seen {
    /// The time of the last durable event.
    pub(super) fn time(&self) -> Timestamp {
        Timestamp::from_seconds(self.time.load(Ordering::Acquire))
    }

    pub(super) fn set_time(&self, time: Timestamp) {
        self.time.store(time.seconds(), Ordering::Release);
    }

    /// Why the last write failed, if it did.
    pub(super) fn trouble(&self) -> Option<StoreError> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<StoreError>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// The writer.
pub(super) struct Writer {
    place: Place,
    ca: CaId,
    seen: Arc<Seen>,
    /// Keeps a second server away for as long as this can write.
    lock: File,
    file: FileId,
    /// How long the ledger was known to be.
    leaves: u64,
    /// None after a failed transaction: the next one starts on a new connection with the head read again.
    open: Option<Open>,
}

struct Open {
    conn: AnyConnection,
    texts: Texts,
    head: Head,
    pruning: Pruning,
}

impl Open {
    async fn new(mut conn: AnyConnection, place: &Place) -> Result<Self, StoreError> {
        let head = Head::read(&mut conn).await.map_err(|e| place.explain(&e))?;
        Ok(Self { conn, texts: Texts::default(), head, pruning: Pruning::default() })
    }
}

impl Writer {
    /// A writer on a connection whose schema is in order.
    pub(super) async fn new(
        place: Place,
        ca: CaId,
        conn: AnyConnection,
        lock: File,
        seen: Arc<Seen>,
    ) -> Result<Self, StoreError> {
        let file = place.file()?;
        let open = Open::new(conn, &place).await?;
        seen.set_time(open.head.time);
        Ok(Self { place, ca, seen, lock, file, leaves: open.head.next_leaf, open: Some(open) })
    }

    /// Works until it is told to close or nobody is left who could ask.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut closing = None;
        while closing.is_none() {
            let Some(first) = jobs.recv().await else { break };
            let mut calls = Vec::new();
            let mut size = 0_usize;
            let mut next = Some(first);
            while let Some(job) = next.take() {
                match job {
                    Job::Apply { now, changes, reply } => {
                        size = size.saturating_add(changes.len());
                        calls.push(Call { now, changes, reply });
                    }
                    Job::Probe { reply } => {
                        let probed = self.probe().await;
                        // Whoever asked may have gone.
                        let _gone = reply.send(probed);
                    }
                    Job::Close { reply } => {
                        jobs.close();
                        closing = Some(reply);
                    }
                }
                if size < BATCH {
                    next = jobs.try_recv().ok();
                }
            }
            if !calls.is_empty() {
                self.batch(calls).await;
            }
        }
        // Calls that were accepted before the channel closed but did not fit the last batch.
        while let Ok(job) = jobs.try_recv() {
            if let Job::Apply { now, changes, reply } = job {
                self.batch(vec![Call { now, changes, reply }]).await;
            }
        }
        if let Some(open) = self.open.take() {
            // Everything acknowledged is durable; closing only tidies up.
            let _closed = open.conn.close().await;
        }
        drop(self.lock);
        if let Some(reply) = closing {
            let _gone = reply.send(());
        }
    }

    async fn batch(&mut self, calls: Vec<Call>) {
        let mut replies = Vec::with_capacity(calls.len());
        let mut work = Vec::with_capacity(calls.len());
        for call in calls {
            replies.push(call.reply);
            work.push((call.now, call.changes));
        }
        let applied = self.transaction(work).await;
        self.seen.set_trouble(applied.as_ref().err().cloned());
        match applied {
            Ok(applied) => {
                for (reply, applied) in replies.into_iter().zip(applied) {
                    let _gone = reply.send(applied);
                }
            }
            Err(error) => {
                for reply in replies {
                    let _gone = reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// One transaction. An error means that nothing of it was kept; only when the flush of the commit itself fails
    /// may all of it turn out to be there, which is why the head is then read again.
    async fn transaction(&mut self, work: Vec<(Timestamp, Vec<Change>)>) -> Result<Vec<Applied>, StoreError> {
        // Whatever failed before, this starts from what is in the database: SQLite ends a transaction by itself
        // when the disk is full, and then neither driver nor writer know where they are.
        let mut open = self.take().await?;
        match append(&mut open, work).await {
            Ok(applied) => {
                self.seen.set_time(open.head.time);
                self.leaves = open.head.next_leaf;
                self.open = Some(open);
                Ok(applied)
            }
            Err(error) => {
                let _closed = open.conn.close().await;
                Err(self.place.explain(&error))
            }
        }
    }

    async fn take(&mut self) -> Result<Open, StoreError> {
        self.place.same_file(self.file)?;
        if let Some(open) = self.open.take() {
            return Ok(open);
        }
        let mut conn = self.place.writer().await?;
        migrate::check(&mut conn, &self.place, &self.ca).await?;
        let open = Open::new(conn, &self.place).await?;
        if open.head.next_leaf < self.leaves {
            return Err(StoreError::Unusable(format!(
                "{} has only {} of {} events: it was cut short or an older copy put in its place; put the newer one back",
                self.place.shown(),
                open.head.next_leaf,
                self.leaves
            )));
        }
        Ok(open)
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        let mut open = self.take().await?;
        let probed = probe(&mut open.conn).await;
        match probed {
            Ok(()) => {
                self.open = Some(open);
                self.seen.set_trouble(None);
                Ok(())
            }
            Err(error) => {
                let _closed = open.conn.close().await;
                let error = self.place.explain(&error);
                self.seen.set_trouble(Some(error.clone()));
                Err(error)
            }
        }
    }
}

struct Call {
    now: Timestamp,
    changes: Vec<Change>,
    reply: oneshot::Sender<Applied>,
}

/// Two calls of the driver where the batch is small: begin and read, write and commit. Whoever gets an error closes
/// the connection, which takes back what was begun.
async fn append(open: &mut Open, work: Vec<(Timestamp, Vec<Change>)>) -> Result<Vec<Applied>, sqlx::Error> {
    let wanted = Wanted::of(work.iter().flat_map(|(_, changes)| changes));
    let facts = Facts::begin(&mut open.conn, &mut open.texts, wanted).await?;
    let mut batch = Batch::new(open.head.clone(), facts);
    let mut applied = Vec::with_capacity(work.len());
    for (now, changes) in work {
        applied.push(
            batch.begin(now).map(|time| changes.into_iter().map(|change| batch.add(time, change)).collect()),
        );
    }
    let (head, rows) = batch.finish();
    if rows.is_empty() {
        open.conn.execute("ROLLBACK").await?;
        return Ok(applied);
    }
    open.pruning.run(&mut open.conn, head.time, rows.calls.len()).await?;
    if !rows.calls.is_empty() && crate::crash::is_at("in-append") {
        rows.write(&mut open.conn, &mut open.texts, false).await?;
        crate::crash::point("in-append");
    } else {
        rows.write(&mut open.conn, &mut open.texts, true).await?;
    }
    open.head = head;
    Ok(applied)
}

/// Writes about as much as a busy batch does. Less would fit where a failed transaction had already got room on a
/// full disk; the same as last time would not be written at all.
async fn probe(conn: &mut AnyConnection) -> Result<(), sqlx::Error> {
    const BYTES: usize = 64 * 1024;
    let fresh = data_encoding::HEXLOWER.encode(&crate::entropy::bytes::<32>());
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "INSERT INTO meta \
        (name, value) \
        VALUES ('probe', $1) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(fresh.repeat(BYTES / fresh.len().max(1)))
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}
