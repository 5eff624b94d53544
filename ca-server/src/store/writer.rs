//! The one writer of this process: a thread that owns the one connection that writes. It takes whatever waits, runs it
//! in one transaction and so flushes once for everybody. On a database that other processes append to as well, each
//! transaction first takes the append lock and reads where the ledger ends by now.

use std::fs::File;
use std::sync::Arc;
use std::thread;

use jit_ssh_proto::{CaId, Span, Timestamp};
use tokio::sync::{mpsc, oneshot};

use super::batch::Batch;
use super::change::{Change, Outcome, Refusal};
use super::engine::{Conn, EngineError, Trouble, Value};
use super::facts::{Facts, Head, Wanted, floor};
use super::gather::Gather;
use super::place::{FileId, Place};
use super::prune::Pruning;
use super::seen::SeenFile;
use super::sight::Seen;
use super::tree::{StoredTree, Tree, TreeHead, last_leaf, read_entries};
use super::{Options, StoreError, migrate};
use crate::clock::Clock;

/// How many calls may wait; the next one waits for a place.
pub(super) const WAITING: usize = 1024;

/// How many changes share one transaction at most: bounds what a failed flush takes with it, and its memory.
const BATCH: usize = 256;

/// After so many calls the database is put in order. Seldom enough that fewer than one in a hundred of single callers
/// meets it, and that a page which grows over many commits is moved once; often enough that it does not take long.
const TIDY: usize = 256;

/// How far this machine's clock may be off the database's: with more, two processes would not agree on what has ended.
const CLOCK_DRIFT_MS: u64 = 5000;

/// How many leaves of others are added to the tree one by one; beyond, its edge is read again.
const CATCH_UP: u64 = 4096;

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

/// The writer.
pub(super) struct Writer {
    place: Place,
    ca: CaId,
    seen: Arc<Seen>,
    /// Keeps a second process away from a file for as long as this can write.
    lock: Option<File>,
    file: Option<FileId>,
    /// The last checkpoint, across restarts.
    checkpoint: SeenFile,
    clock: Option<Arc<dyn Clock>>,
    keep: Span,
    /// How many calls were answered since the database was put in order.
    untidy: usize,
    /// None after a failed transaction: the next one starts on a new connection with the head read again.
    open: Option<Open>,
}

struct Open {
    conn: Box<dyn Conn>,
    head: Head,
    tree: Tree,
    pruning: Pruning,
}

impl Writer {
    /// Opens the database, brings it up to date, and refuses one that does not extend what this process saw.
    pub(super) fn open(place: Place, options: &Options, seen: Arc<Seen>) -> Result<Self, StoreError> {
        let lock = place.lock()?;
        place.ensure(options.create)?;
        let mut conn = place.writer()?;
        migrate::migrate(conn.as_mut(), &place, &options.ca, options.create)?;
        let file = place.file()?;
        let checkpoint = SeenFile::open(&options.seen)?;
        let (ca, clock, keep) = (options.ca, options.clock.clone(), options.keep);
        let mut writer = Self { place, ca, seen, lock, file, checkpoint, clock, keep, untidy: 0, open: None };
        writer.resume(conn)?;
        Ok(writer)
    }

    /// Starts on a connection whose schema is in order.
    fn resume(&mut self, mut conn: Box<dyn Conn>) -> Result<(), StoreError> {
        let read = (|| {
            conn.begin_read()?;
            let mut head = Head::read(conn.as_mut())?;
            head.floor = floor(conn.as_mut())?;
            let tree = Tree::read(conn.as_mut(), head.next_leaf)?;
            let root = tree.head()?;
            let seen = self.checkpoint.last().filter(|seen| seen.size <= root.size && *seen != root);
            let then = seen.map(|seen| StoredTree::new(conn.as_mut(), seen.size).root()).transpose()?;
            conn.rollback()?;
            Ok((head, tree, root, then))
        })();
        let (head, tree, root, then) = read.map_err(|e| self.place.explain(&e))?;
        if let Some(seen) = self.checkpoint.last() {
            self.extends(seen, root, then.unwrap_or(seen.root))?;
        }
        self.remember(root);
        self.seen.advance(head.time, root);
        self.open = Some(Open { conn, head, tree, pruning: Pruning::new(self.keep) });
        Ok(())
    }

    /// The database holds what this process saw before.
    fn extends(&self, seen: TreeHead, now: TreeHead, then: [u8; 32]) -> Result<(), StoreError> {
        let shown = self.place.shown();
        if now.size < seen.size {
            return Err(StoreError::Unusable(format!(
                "{shown} has only {} of {} events: it was cut short or an older copy put in its place; put the newer one back, or bring a backup in with `jit-ssh-ca restore`",
                now.size, seen.size
            )));
        }
        if then != seen.root || (now.size == seen.size && now.root != seen.root) {
            return Err(StoreError::Unusable(format!(
                "{shown} holds another history than the {} events that were seen before ({}): put the right one back, or bring a backup in with `jit-ssh-ca restore`",
                seen.size,
                self.checkpoint.shown()
            )));
        }
        Ok(())
    }

    fn remember(&mut self, head: TreeHead) {
        if let Err(error) = self.checkpoint.remember(head) {
            tracing::error!(file = self.checkpoint.shown(), %error, "the last checkpoint cannot be remembered");
        }
    }

    /// Begins to work, on a thread of its own, until it is told to close or nobody is left who could ask.
    pub(super) fn start(self, jobs: mpsc::Receiver<Job>, gather: Arc<Gather>) -> Result<(), StoreError> {
        let spawned = thread::Builder::new().name("store".to_owned()).spawn(move || self.run(jobs, &gather));
        spawned.map(drop).map_err(|e| StoreError::Unavailable(format!("no thread can be started: {e}")))
    }

    fn run(mut self, mut jobs: mpsc::Receiver<Job>, gather: &Gather) {
        let mut closing = None;
        while closing.is_none() {
            let Some(first) = jobs.blocking_recv() else { break };
            gather.wait(|| jobs.len().saturating_add(1));
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
                        let probed = self.probe();
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
                gather.came(calls.len());
                self.batch(calls);
            }
        }
        // Calls that were accepted before the channel closed but did not fit the last batch.
        while let Ok(job) = jobs.try_recv() {
            if let Job::Apply { now, changes, reply } = job {
                self.batch(vec![Call { now, changes, reply }]);
            }
        }
        if let Some(open) = self.open.take() {
            open.conn.close();
        }
        drop(self.lock);
        if let Some(reply) = closing {
            let _gone = reply.send(());
        }
    }

    fn batch(&mut self, calls: Vec<Call>) {
        let answered = calls.len();
        let mut replies = Vec::with_capacity(answered);
        let mut work = Vec::with_capacity(answered);
        for call in calls {
            replies.push(call.reply);
            work.push((call.now, call.changes));
        }
        let applied = self.transaction(work);
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
        self.tidy(answered);
    }

    /// What was put off is done every so many calls: whoever comes meanwhile waits.
    fn tidy(&mut self, answered: usize) {
        self.untidy = self.untidy.saturating_add(answered);
        let Some(open) = self.open.as_mut().filter(|_| self.untidy >= TIDY) else { return };
        self.untidy = 0;
        if let Err(error) = open.conn.tidy() {
            tracing::warn!(%error, store = %self.place.shown(), "the database's log cannot be brought back into it");
        }
    }

    /// One transaction. An error means that nothing of it was kept; only when the flush of the commit itself fails, or
    /// its answer is lost, may all of it turn out to be there, which is why the head is then read again.
    fn transaction(&mut self, work: Vec<(Timestamp, Vec<Change>)>) -> Result<Vec<Applied>, StoreError> {
        let mut open = self.begin()?;
        match self.append(&mut open, work) {
            Ok((applied, head)) => {
                self.remember(head);
                self.seen.advance(open.head.time, head);
                self.open = Some(open);
                Ok(applied)
            }
            Err(error) => {
                // SQLite ends a transaction by itself when the disk is full, and a server when it goes: where things
                // stand is only known on a new connection.
                open.conn.close();
                Err(error)
            }
        }
    }

    fn append(
        &self,
        open: &mut Open,
        work: Vec<(Timestamp, Vec<Change>)>,
    ) -> Result<(Vec<Applied>, TreeHead), StoreError> {
        let explain = |e| self.place.explain(&e);
        let conn = open.conn.as_mut();
        if conn.shared() {
            self.drift(conn)?;
            catch_up(conn, &mut open.head, &mut open.tree).map_err(explain)?;
        }
        let wanted = Wanted::of(work.iter().flat_map(|(_, changes)| changes));
        let facts = Facts::read(conn, wanted).map_err(explain)?;
        let mut batch = Batch::new(open.head.clone(), facts);
        let mut applied = Vec::with_capacity(work.len());
        for (now, changes) in work {
            applied.push(
                batch
                    .begin(now)
                    .map(|time| changes.into_iter().map(|change| batch.add(time, change)).collect()),
            );
        }
        let (head, mut rows) = batch.finish();
        if rows.is_empty() {
            conn.rollback().map_err(explain)?;
            return Ok((applied, open.tree.head().map_err(explain)?));
        }
        for event in &rows.events {
            open.tree.push(&event.hash, &mut rows.tiles);
        }
        let calls = rows.calls.len();
        open.pruning.run(conn, &head, calls).map_err(explain)?;
        rows.write(conn).map_err(explain)?;
        if calls > 0 {
            crate::crash::point("in-append");
        }
        conn.commit().map_err(explain)?;
        open.head = head;
        let root = open.tree.head().map_err(explain)?;
        prove(&open.tree, root, &mut applied).map_err(explain)?;
        Ok((applied, root))
    }

    /// Nothing is recorded by a clock that is far off the database's.
    fn drift(&self, conn: &mut dyn Conn) -> Result<(), StoreError> {
        let Some(clock) = &self.clock else { return Ok(()) };
        let Some(database) = conn.clock().map_err(|e| self.place.explain(&e))? else { return Ok(()) };
        let ours = clock.milliseconds();
        if ours.abs_diff(database) <= CLOCK_DRIFT_MS {
            return Ok(());
        }
        Err(StoreError::ClockOff { off_ms: ours.abs_diff(database) })
    }

    /// Begins a transaction. A connection may have been lost while nobody used it: where nothing was begun on it,
    /// nothing is in doubt, and a new one does.
    fn begin(&mut self) -> Result<Open, StoreError> {
        let mut open = self.take()?;
        if open.conn.begin().is_ok() {
            return Ok(open);
        }
        open.conn.close();
        let mut open = self.take()?;
        match open.conn.begin() {
            Ok(()) => Ok(open),
            Err(error) => {
                open.conn.close();
                Err(self.place.explain(&error))
            }
        }
    }

    fn take(&mut self) -> Result<Open, StoreError> {
        self.place.same_file(self.file)?;
        if self.open.is_none() {
            let mut conn = self.place.writer()?;
            migrate::check(conn.as_mut(), &self.place, &self.ca)?;
            migrate::not_moved(conn.as_mut(), &self.place)?;
            self.resume(conn)?;
        }
        self.open.take().ok_or_else(|| StoreError::Unavailable(format!("{} is not open", self.place.shown())))
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        let mut open = self.take()?;
        let probed = probe(open.conn.as_mut()).map_err(|e| self.place.explain(&e));
        let probed = probed.and_then(|()| self.drift(open.conn.as_mut()));
        match probed {
            Ok(()) => {
                self.open = Some(open);
                self.seen.set_trouble(None);
                Ok(())
            }
            Err(error) => {
                open.conn.close();
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

/// What other processes appended since: leaves onto the tree, the rest as it is now.
fn catch_up(conn: &mut dyn Conn, head: &mut Head, tree: &mut Tree) -> Result<(), EngineError> {
    let known = tree.size();
    let now = last_leaf(conn)?.map_or(Ok(0), |row| row.number(0).map(|leaf| leaf.saturating_add(1)))?;
    if now == known {
        return Ok(());
    }
    *head = Head { floor: head.floor, ..Head::read(conn)? };
    match now.checked_sub(known) {
        Some(new) if new <= CATCH_UP => {
            // The tiles that became complete are stored already, by whoever completed them.
            let mut stored = Vec::new();
            for leaf in read_entries(conn, 0, known, new)? {
                tree.push_hash(leaf, &mut stored);
            }
            Ok(())
        }
        Some(_) => {
            *tree = Tree::read(conn, now)?;
            Ok(())
        }
        None => Err(EngineError::new(
            Trouble::Damaged,
            format!("it has {now} events, of {known} that were there"),
        )),
    }
}

/// Gives each certificate the proof that its event is in the tree.
fn prove(tree: &Tree, head: TreeHead, applied: &mut [Applied]) -> Result<(), EngineError> {
    for outcome in applied.iter_mut().flatten().flatten().flatten() {
        if let Some(recorded) = &mut outcome.recorded {
            recorded.proof = tree.prove(outcome.leaf)?;
            recorded.head = head;
        }
    }
    Ok(())
}

/// Writes about as much as a busy batch does. Less would fit where a failed transaction had already got room on a
/// full disk; the same as last time would not be written at all.
fn probe(conn: &mut dyn Conn) -> Result<(), EngineError> {
    const BYTES: usize = 64 * 1024;
    const TEXT: &str = "INSERT INTO meta \
        (name, value) \
        VALUES ('probe', $1) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    let fresh = data_encoding::HEXLOWER.encode(&crate::entropy::bytes::<32>());
    conn.begin()?;
    conn.execute(TEXT, &[Value::from(fresh.repeat(BYTES / fresh.len().max(1)))])?;
    conn.commit()
}
