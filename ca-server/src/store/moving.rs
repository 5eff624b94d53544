//! Moving a ledger to another database, of either engine: a whole copy, whose root is the old one's, and a mark in the
//! old one so that two do not go on from there.

use std::fs::File;

use jit_ssh_proto::event::{Actor, StoreMoved, What};
use jit_ssh_proto::{CaId, Timestamp};

use super::change::{Change, RecordEvent};
use super::copy::{Side, copy, head};
use super::engine::{Conn, EngineError, Value};
use super::place::Place;
use super::tree::{StoredTree, TreeHead};
use super::{Options, Progress, StoreError, blocking, migrate, offline, seen};

const MARK: &str =
    "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const UNMARK: &str = "DELETE FROM meta WHERE name = $1";
// Whoever has the database open appends nothing from now on, and is told why when it asks again.
const FENCE: &str = "ALTER TABLE events ADD CONSTRAINT moved CHECK (false) NOT VALID";
const UNFENCE: &str = "ALTER TABLE events DROP CONSTRAINT IF EXISTS moved";

/// What to move, and where to.
pub struct Move {
    /// The database it is in.
    pub from: Options,
    /// The one to move it to, which must be empty.
    pub to: String,
    /// Now.
    pub now: Timestamp,
}

/// What was moved.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Size and root that came along.
    pub head: TreeHead,
    /// The old database, as the operator knows it.
    pub from: String,
    /// The new one.
    pub to: String,
}

impl Move {
    /// Moves it. A SQLite file must not be in use; a PostgreSQL database is kept from changing meanwhile.
    ///
    /// # Errors
    /// When a database cannot be used; the old one is then as it was.
    pub async fn run(self, progress: Progress) -> Result<Moved, StoreError> {
        let (from, to) = (Place::parse(&self.from.url)?, Place::parse(&self.to)?);
        blocking(move || self.over(&from, &to, progress)).await
    }

    fn over(self, from: &Place, to: &Place, mut progress: Progress) -> Result<Moved, StoreError> {
        if from.shown() == to.shown() || from.url() == to.url() {
            return Err(StoreError::Unusable(format!("the ledger is in {} already", from.shown())));
        }
        let explain = |e| from.explain(&e);
        let _lock = from.lock()?;
        from.ensure(false)?;
        let mut old = from.writer()?;
        migrate::migrate(old.as_mut(), from, &self.from.ca, false)?;
        // The append lock, until the old one is marked.
        old.begin().map_err(explain)?;
        extends_seen(old.as_mut(), from, &self.from)?;
        let fresh = to.make_new()?;
        let moved = self.write(&mut Side { conn: old.as_mut(), place: from }, to, &mut progress);
        let (head, now) = match moved {
            Ok(heads) => heads,
            Err(error) => {
                if fresh {
                    to.remove();
                }
                return Err(error);
            }
        };
        old.close();
        seen::replace(&self.from.seen, now).map_err(|e| {
            StoreError::ReadOnly(format!(
                "the ledger is moved to {}, but {} cannot be written: {e}; make room and check its owner before the next start",
                to.shown(),
                self.from.seen.display()
            ))
        })?;
        Ok(Moved { head, from: from.shown().to_owned(), to: to.shown().to_owned() })
    }

    /// The ledger as it came along, and as it is with what is recorded of that.
    fn write(
        &self,
        from: &mut Side<'_>,
        to: &Place,
        progress: &mut Progress,
    ) -> Result<(TreeHead, TreeHead), StoreError> {
        let explain = |e| to.explain(&e);
        let _lock = to.lock()?;
        let mut conn = to.writer()?;
        conn.begin().map_err(explain)?;
        let mut side = Side { conn: conn.as_mut(), place: to };
        let head = copy(from, &mut side, progress)?;
        let name = |place: &Place| place.scheme().parse().map_err(|e| StoreError::Unusable(format!("{e}")));
        let moved = StoreMoved { from: name(from.place)?, to: name(to)?, leaves: head.size };
        let record = RecordEvent { actor: Actor::Operator, what: What::StoreMoved(moved) };
        let (_, now) = offline::append(&mut side, self.now, vec![Change::Record(record)])?;
        // The old one first: at no moment do two go on from there.
        let moved = migrate::Moved { head: now, to: to.url() };
        mark(from.conn, &moved).and_then(|()| from.conn.commit()).map_err(|e| from.place.explain(&e))?;
        if let Err(error) = conn.commit().map_err(explain) {
            conn.close();
            return Err(self.undone(from, to, error));
        }
        conn.close();
        Ok((head, now))
    }

    /// The new one could not be made durable: the old one is as it was, if it is certain that there is no new one.
    pub(super) fn undone(&self, from: &mut Side<'_>, to: &Place, error: StoreError) -> StoreError {
        if to.path().is_some() {
            let undone = from.conn.begin().and_then(|()| unmark(from.conn)).and_then(|()| from.conn.commit());
            if undone.is_ok() {
                return error;
            }
        }
        StoreError::Unavailable(format!(
            "{error}; whether the ledger is there is not known, so {} is marked as moved: when {} can be reached, run `jit-ssh-ca store resume`, which looks",
            from.place.shown(),
            to.shown()
        ))
    }
}

/// Says in a database where its ledger went, to whoever opens it and to whoever has it open.
pub(super) fn mark(conn: &mut dyn Conn, moved: &migrate::Moved) -> Result<(), EngineError> {
    conn.execute(MARK, &[Value::from(migrate::MOVED), moved.value().into()])?;
    if conn.shared() {
        conn.execute(FENCE, &[])?;
    }
    Ok(())
}

fn unmark(conn: &mut dyn Conn) -> Result<(), EngineError> {
    conn.execute(UNMARK, &[Value::from(migrate::MOVED)])?;
    if conn.shared() {
        conn.execute(UNFENCE, &[])?;
    }
    Ok(())
}

/// The database holds what was seen of it.
fn extends_seen(conn: &mut dyn Conn, place: &Place, options: &Options) -> Result<(), StoreError> {
    let Some(seen) = seen::look(&options.seen) else { return Ok(()) };
    let now = head(conn).map_err(|e| place.explain(&e))?;
    let then = if seen.size > now.size {
        None
    } else {
        Some(StoredTree::new(conn, seen.size).root().map_err(|e| place.explain(&e))?)
    };
    if then == Some(seen.root) {
        return Ok(());
    }
    Err(StoreError::Unusable(format!(
        "{} does not go on from the {} events that {} knows of: run `jit-ssh-ca log verify`",
        place.shown(),
        seen.size,
        options.seen.display()
    )))
}

/// Makes a database that a ledger was moved out of usable again, and the one that it was moved to unusable: only one of
/// them ever goes on.
///
/// # Errors
/// When it cannot be used, nothing was moved out of it, or the other one is in use, has gone on, or cannot be looked at.
pub async fn resume(options: Options) -> Result<String, StoreError> {
    let place = Place::parse(&options.url)?;
    blocking(move || {
        let explain = |e: EngineError| place.explain(&e);
        let _lock = place.lock()?;
        place.ensure(false)?;
        let mut conn = place.writer()?;
        migrate::check(conn.as_mut(), &place, &options.ca)?;
        conn.begin().map_err(explain)?;
        let Some(moved) = migrate::moved(conn.as_mut()).map_err(explain)? else {
            return Err(StoreError::Unusable(format!("the ledger of {} was not moved", place.shown())));
        };
        // What the move itself recorded is all that may be missing here.
        if seen::look(&options.seen) != Some(moved.head) {
            extends_seen(conn.as_mut(), &place, &options)?;
        }
        let head = head(conn.as_mut()).map_err(explain)?;
        let _other = retire(&moved, &options.ca, migrate::Moved { head, to: place.url() })?;
        unmark(conn.as_mut()).and_then(|()| conn.commit()).map_err(explain)?;
        conn.close();
        if seen::look(&options.seen).is_some() {
            seen::replace(&options.seen, head).map_err(|e| {
                StoreError::ReadOnly(format!(
                    "{} can be used again, but {} cannot be written: {e}; delete it before the next start",
                    place.shown(),
                    options.seen.display()
                ))
            })?;
        }
        Ok(place.shown().to_owned())
    })
    .await
}

/// Marks the database that a ledger was moved to as left, if nobody uses it and nothing came after the move. Keeps its
/// lock, where it is a file.
fn retire(moved: &migrate::Moved, ca: &CaId, back: migrate::Moved) -> Result<Option<File>, StoreError> {
    let to = &moved.to;
    let refuse = |why: &dyn std::fmt::Display, next: &str| {
        Err(StoreError::Unusable(format!("the ledger was moved to {to}, {why}: {next}")))
    };
    const LOST: &str = "make it reachable; if it is lost for good, take a `jit-ssh-ca backup` of this one and `restore` that, \
        which sees to serials, sessions and revocations";
    let place = Place::parse(to)?;
    if place.path().is_some_and(|file| !file.exists()) {
        return Ok(None);
    }
    let lock = match place.lock() {
        Ok(lock) => lock,
        Err(error @ StoreError::Unusable(_)) => {
            return refuse(&format!("which is in use ({error})"), "end what uses it first");
        }
        Err(error) => return refuse(&format!("which cannot be looked at ({error})"), LOST),
    };
    let mut conn = match place.writer() {
        Ok(conn) => conn,
        Err(error) => return refuse(&format!("which cannot be looked at ({error})"), LOST),
    };
    let explain = |e: EngineError| place.explain(&e);
    if migrate::is_empty(conn.as_mut()).map_err(explain)? {
        return Ok(lock);
    }
    migrate::check(conn.as_mut(), &place, ca)?;
    conn.begin().map_err(explain)?;
    // It was left before, and the answer lost.
    if migrate::moved(conn.as_mut()).map_err(explain)?.as_ref() == Some(&back) {
        return Ok(lock);
    }
    let others = conn.others().map_err(explain)?;
    if others > 0 {
        return refuse(
            &format!("to which {others} connections of jit-ssh-ca are open"),
            "end what uses it first",
        );
    }
    let now = head(conn.as_mut()).map_err(explain)?;
    if now != moved.head {
        return refuse(
            &format!("which has gone on: it has {} events of {}", now.size, moved.head.size),
            "go on with that one, or move it to a new database with `jit-ssh-ca store move`",
        );
    }
    mark(conn.as_mut(), &back).and_then(|()| conn.commit()).map_err(explain)?;
    conn.close();
    Ok(lock)
}
