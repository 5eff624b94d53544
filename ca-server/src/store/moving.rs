//! Moving a ledger to another database, of either engine: a whole copy, whose root is the old one's, and a mark in the
//! old one so that two do not go on from there.

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::event::{Actor, StoreMoved, What};

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
        if from.shown() == to.shown() || self.from.url == self.to {
            return Err(StoreError::Unusable(format!("the ledger is in {} already", from.shown())));
        }
        let explain = |e| from.explain(&e);
        let _lock = from.lock()?;
        from.ensure(false)?;
        let mut old = from.writer()?;
        migrate::migrate(old.as_mut(), from, &self.from.ca, false)?;
        // The append lock, to the end.
        old.begin().map_err(explain)?;
        extends_seen(old.as_mut(), from, &self.from)?;
        let fresh = to.make_new()?;
        let moved = self.write(&mut Side { conn: old.as_mut(), place: from }, to, &mut progress);
        let head = match moved {
            Ok(head) => head,
            Err(error) => {
                if fresh {
                    to.remove();
                }
                return Err(error);
            }
        };
        old.commit().map_err(explain)?;
        old.close();
        Ok(Moved { head, from: from.shown().to_owned(), to: to.shown().to_owned() })
    }

    fn write(
        &self,
        from: &mut Side<'_>,
        to: &Place,
        progress: &mut Progress,
    ) -> Result<TreeHead, StoreError> {
        let explain = |e| to.explain(&e);
        let _lock = to.lock()?;
        let mut conn = to.writer()?;
        conn.begin().map_err(explain)?;
        let mut side = Side { conn: conn.as_mut(), place: to };
        let head = copy(from, &mut side, progress)?;
        let name = |place: &Place| place.scheme().parse().map_err(|e| StoreError::Unusable(format!("{e}")));
        let moved = StoreMoved { from: name(from.place)?, to: name(to)?, leaves: head.size };
        let record = RecordEvent { actor: Actor::Operator, what: What::StoreMoved(moved) };
        offline::append(&mut side, self.now, vec![Change::Record(record)])?;
        // Before the copy counts: what cannot be marked is not moved.
        mark(from, to)?;
        conn.commit().map_err(explain)?;
        conn.close();
        Ok(head)
    }
}

/// Says in the old database where its ledger went, to whoever opens it and to whoever has it open.
fn mark(from: &mut Side<'_>, to: &Place) -> Result<(), StoreError> {
    let explain = |e| from.place.explain(&e);
    let args = [Value::from(migrate::MOVED), to.shown().to_owned().into()];
    from.conn.execute(MARK, &args).map_err(explain)?;
    if from.conn.shared() {
        from.conn.execute(FENCE, &[]).map_err(explain)?;
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

/// Makes a database that a ledger was moved out of usable again.
///
/// # Errors
/// When it cannot be used, or nothing was moved out of it.
pub async fn resume(options: Options) -> Result<String, StoreError> {
    let place = Place::parse(&options.url)?;
    blocking(move || {
        let explain = |e: EngineError| place.explain(&e);
        let _lock = place.lock()?;
        place.ensure(false)?;
        let mut conn = place.writer()?;
        migrate::check(conn.as_mut(), &place, &options.ca)?;
        if migrate::not_moved(conn.as_mut(), &place).is_ok() {
            return Err(StoreError::Unusable(format!("the ledger of {} was not moved", place.shown())));
        }
        conn.begin().map_err(explain)?;
        extends_seen(conn.as_mut(), &place, &options)?;
        conn.execute(UNMARK, &[Value::from(migrate::MOVED)]).map_err(explain)?;
        if conn.shared() {
            conn.execute(UNFENCE, &[]).map_err(explain)?;
        }
        conn.commit().map_err(explain)?;
        conn.close();
        Ok(place.shown().to_owned())
    })
    .await
}
