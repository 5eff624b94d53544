//! Searching the ledger. One call looks at a bounded number of leaves, finds what it finds, and says where the next one
//! goes on; so a search for what is rare is many short reads and never a long one.
//!
//! Serials and rare kinds have indexes, names one in parts; times are found by halving, because the ledger's time never
//! goes back; everything else is looked for leaf by leaf.

use jit_ssh_proto::event::LogFilter;
use jit_ssh_proto::{Span, Timestamp};

use super::engine::{Conn, EngineError, Value, first};
use super::parts::{PART, Reach, parts_of_leaves};
use super::read::{event, size};
use super::{Store, StoreError, StoredEvent};

/// What one call may cost: a leaf that is passed by costs 1, a part of an index or a leaf that is read and parsed [`READ`].
const COST: u64 = 65_536;
const READ: u64 = 16;

/// How many rows are read at a time.
const CHUNK: usize = 256;

/// How many leaves a query without an index goes through at a time.
const STRETCH: u64 = 4096;

/// Kinds that come with every access. All others are rare, and have an index of their own (the migration says the
/// same).
const COMMON: [&str; 3] = ["session.opened", "request.decided", "certificate.issued"];

/// How far the time in an id may be after the ledger's when the id was first recorded.
const ID_SKEW: Span = Span::from_seconds(600);

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// What narrows it; `after` and `before` say where it begins.
    pub filter: LogFilter,
    /// From the newest backwards.
    pub newest_first: bool,
    /// How many events at most.
    pub limit: usize,
}

/// What one call found.
#[derive(Clone, Debug)]
pub struct Found {
    /// What fits, in order.
    pub events: Vec<StoredEvent>,
    /// Where the next call goes on: `after` this leaf, or `before` it when the newest come first. None where there is
    /// nothing on that side.
    pub next: Option<u64>,
    /// Whether there is more to look at already.
    pub more: bool,
    /// How many leaves there were.
    pub size: u64,
}

impl Store {
    /// Looks for events.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn search(&self, search: Search) -> Result<Found, StoreError> {
        self.read(move |conn| look(conn, &search)).await
    }
}

/// How rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// By an index over all leaves.
    Index,
    /// By an index in parts.
    Parts,
    /// By passing all.
    Leaf,
}

/// The part of a filter that columns answer: a condition, its arguments from `$3` on, and how it is found. Where an index
/// does, it is the only condition: another could make a query pass by any number of rows.
struct Columns {
    text: String,
    args: Vec<Value>,
    by: By,
}

impl Columns {
    fn of(filter: &LogFilter) -> Self {
        let mut columns = Self { text: String::new(), args: Vec::new(), by: By::Index };
        let rare = filter.kind.as_ref().filter(|kind| !COMMON.contains(&kind.as_str()));
        if let Some(serial) = filter.serial {
            columns.equal("serial", serial.into());
        } else if let Some(kind) = rare {
            columns.equal("kind", kind.to_string().into());
            // The index's own condition: without it no engine knows that the index will do.
            let common = COMMON.map(|kind| format!("'{kind}'")).join(", ");
            columns.text.push_str(&format!(" AND kind NOT IN ({common})"));
        } else if let Some(user) = &filter.user {
            columns.by = By::Parts;
            columns.equal("name", user.to_string().into());
        } else {
            columns.by = By::Leaf;
            let wanted = [
                ("kind", filter.kind.as_ref().map(ToString::to_string)),
                ("request", filter.request.as_ref().map(ToString::to_string)),
                ("grant_id", filter.grant.as_ref().map(ToString::to_string)),
                ("session", filter.session.as_ref().map(ToString::to_string)),
            ];
            for (column, value) in wanted {
                if let Some(value) = value {
                    columns.equal(column, value.into());
                }
            }
        }
        columns
    }

    fn equal(&mut self, column: &str, value: Value) {
        self.args.push(value);
        let number = self.args.len().saturating_add(2);
        self.text.push_str(&format!(" AND {column} = ${number}"));
    }

    /// The query for rows between `$1` and before `$2`.
    fn query(&self, newest_first: bool) -> String {
        let order = if newest_first { "DESC" } else { "ASC" };
        let (parts, of, within) = match self.by {
            By::Parts => (parts_of_leaves!(), "parts CROSS JOIN events", " AND leaf / 1024 = part"),
            By::Index | By::Leaf => ("", "events", ""),
        };
        format!(
            "{parts}SELECT leaf, body, salt, hash FROM {of} WHERE leaf >= $1 AND leaf < $2{within}{} ORDER BY leaf {order} LIMIT {CHUNK}",
            self.text
        )
    }

    fn rows(
        &self,
        conn: &mut dyn Conn,
        (from, to): (u64, u64),
        newest_first: bool,
    ) -> Result<Vec<StoredEvent>, EngineError> {
        let mut args = vec![Value::from(from), Value::from(to)];
        args.extend(self.args.iter().cloned());
        conn.select(&self.query(newest_first), &args)?.iter().map(event).collect()
    }
}

fn look(conn: &mut dyn Conn, search: &Search) -> Result<Found, EngineError> {
    let filter = &search.filter;
    let size = size(conn)?;
    let (mut low, mut high) = bounds(conn, filter, size)?;
    let columns = Columns::of(filter);
    let (mut events, mut left, mut reach) = (Vec::new(), COST, Reach::new());
    while low < high && left > 0 && events.len() < search.limit {
        let stretch = match (columns.by, search.newest_first) {
            (By::Index, _) => (low, high),
            (By::Parts, newest_first) => reach.of((low, high), newest_first),
            (By::Leaf, false) => (low, high.min(low.saturating_add(STRETCH))),
            (By::Leaf, true) => (low.max(high.saturating_sub(STRETCH)), high),
        };
        let rows = columns.rows(conn, stretch, search.newest_first)?;
        let (before, whole) = ((low, high), rows.len() < CHUNK);
        reach.adapt(rows.len(), CHUNK);
        left = left.saturating_sub(READ.saturating_mul(u64::try_from(rows.len()).unwrap_or(u64::MAX)));
        for row in rows {
            if events.len() >= search.limit {
                break;
            }
            if search.newest_first {
                high = row.index
            } else {
                low = row.index.saturating_add(1)
            }
            if fits(filter, &row) {
                events.push(row);
            }
        }
        if whole && events.len() < search.limit {
            if search.newest_first { high = stretch.0 } else { low = stretch.1 }
        }
        let passed = (low.saturating_sub(before.0)).saturating_add(before.1.saturating_sub(high));
        left = left.saturating_sub(match columns.by {
            By::Index => 0,
            By::Parts => passed.div_ceil(PART).saturating_mul(READ),
            By::Leaf => passed.max(1),
        });
    }
    let next = if search.newest_first { (low < high).then_some(high) } else { low.checked_sub(1) };
    Ok(Found { events, next, more: low < high, size })
}

/// The leaves that can fit: from the first to before the second.
fn bounds(conn: &mut dyn Conn, filter: &LogFilter, size: u64) -> Result<(u64, u64), EngineError> {
    let mut low = filter.after.map_or(0, |after| after.saturating_add(1));
    let mut high = filter.before.map_or(size, |before| before.min(size));
    // Nothing is recorded about what is not there yet.
    let ids = [
        filter.request.as_ref().map(|id| id.time()),
        filter.grant.as_ref().map(|id| id.time()),
        filter.session.as_ref().map(|id| id.time()),
    ];
    let made = ids.into_iter().flatten().map(|time| time.minus(ID_SKEW));
    if let Some(since) = filter.since.into_iter().chain(made).max() {
        low = low.max(first_since(conn, since, size)?);
    }
    if let Some(until) = filter.until {
        high = high.min(first_since(conn, until, size)?);
    }
    Ok((low, high))
}

/// The first leaf of that time or later; the size if there is none.
pub(super) fn first_since(conn: &mut dyn Conn, time: Timestamp, size: u64) -> Result<u64, EngineError> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low.midpoint(high);
        let row = first(conn, "SELECT time FROM events WHERE leaf = $1", &[middle.into()])?;
        // A leaf that is missing is for `log verify` to find: here it counts as late, and nothing is passed over.
        if row.map(|row| row.time(0)).transpose()?.is_some_and(|at| at < time) {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn fits(filter: &LogFilter, event: &StoredEvent) -> bool {
    let json = event.content.as_ref().and_then(|content| serde_json::from_slice(&content.body).ok());
    match json {
        Some(json) => filter.fits(event.index, &json),
        // Erased, or damaged: who looks for everything sees that there is one.
        None => filter.fits_erased(event.index),
    }
}

/// A query as it is put, to be explained.
#[cfg(test)]
pub(super) fn query(filter: &LogFilter, newest_first: bool) -> (String, Vec<Value>) {
    let columns = Columns::of(filter);
    let mut args = vec![Value::from(0), Value::from(100)];
    args.extend(columns.args.iter().cloned());
    (columns.query(newest_first), args)
}
