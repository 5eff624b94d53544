//! A whole copy of a ledger, from either engine to either: every row of a snapshot, in pages, in one transaction of the
//! target, whose schema is made in it too. A copy that is cut off leaves an empty database.

use super::engine::{Conn, EngineError, Insert, Kind, Row, Trouble, Value};
use super::migrate;
use super::place::Place;
use super::tree::{StoredTree, Tree, TreeHead, last_leaf, leaf_hash};
use super::{Progress, StoreError};

use Kind::{Bytes, Int, Text};

/// How many rows are held at a time.
const PAGE: usize = 512;

/// A table: its columns, those of its key first.
struct Table {
    insert: Insert,
    /// Of how many columns the key is.
    key: usize,
}

const fn table(table: &'static str, key: usize, columns: &'static [(&'static str, Kind)]) -> Table {
    Table { insert: Insert { table, columns, after: "" }, key }
}

/// The ledger; the rest is what follows from it, and what is kept beside it.
static EVENTS: Table = table(
    "events",
    1,
    &[
        ("leaf", Int),
        ("hash", Bytes),
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
    ],
);

/// Everything else.
static STATE: [Table; 11] = [
    table("tiles", 2, &[("level", Int), ("idx", Int), ("hash", Bytes)]),
    table("serials", 1, &[("authority", Text), ("next", Int)]),
    table("identities", 1, &[("name", Text), ("issuer", Text), ("sub", Text), ("leaf", Int)]),
    table("call_ids", 1, &[("id", Text)]),
    table(
        "sessions",
        1,
        &[
            ("leaf", Int),
            ("id", Text),
            ("token_hash", Bytes),
            ("replay", Bytes),
            ("issuer", Text),
            ("sub", Text),
            ("claims", Text),
            ("session_key", Text),
            ("opened", Int),
            ("expires", Int),
            ("ended", Int),
            ("keep_until", Int),
            ("sid", Text),
        ],
    ),
    table(
        "requests",
        1,
        &[
            ("id", Text),
            ("session", Text),
            ("issuer", Text),
            ("sub", Text),
            ("time", Int),
            ("asked", Text),
            ("refused", Text),
            ("grant_id", Text),
            ("not_before", Int),
            ("not_after", Int),
            ("policy_digest", Text),
            ("leaf", Int),
        ],
    ),
    table(
        "certificates",
        2,
        &[
            ("authority", Text),
            ("serial", Int),
            ("grant_id", Text),
            ("request", Text),
            ("session", Text),
            ("fingerprint", Text),
            ("tbs_sha256", Text),
            ("valid_after", Int),
            ("valid_before", Int),
            ("leaf", Int),
            ("revoked", Text),
        ],
    ),
    table("disabled", 1, &[("id", Text), ("reason", Text), ("time", Int), ("leaf", Int)]),
    table("issuers", 1, &[("name", Text), ("url", Text), ("leaf", Int)]),
    table(
        "revalidations",
        1,
        &[("session", Text), ("token", Bytes), ("due", Int), ("holder", Text), ("held", Int), ("ends", Int)],
    ),
    table("meta", 1, &[("name", Text), ("value", Text)]),
];

/// What `meta` says about one database only.
const ITS_OWN: [&str; 2] = ["probe", migrate::MOVED];

/// A database that a copy is made from or to, inside a transaction.
pub(super) struct Side<'a> {
    pub(super) conn: &'a mut dyn Conn,
    pub(super) place: &'a Place,
}

impl Side<'_> {
    fn run<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Conn) -> Result<T, EngineError>,
    ) -> Result<T, StoreError> {
        work(self.conn).map_err(|e| self.place.explain(&e))
    }
}

/// Copies everything. `to` must be empty. Its size and root are read back and are those of `from`.
pub(super) fn copy(
    from: &mut Side<'_>,
    to: &mut Side<'_>,
    progress: &mut Progress,
) -> Result<TreeHead, StoreError> {
    // Each waits for the other, and at the end for the other's flush.
    from.run(|conn| conn.take_time())?;
    to.run(|conn| conn.take_time())?;
    migrate::create(to.conn, to.place)?;
    let size = from.run(size)?;
    let mut tree = Tree::default();
    let mut tiles = Vec::new();
    pages(&EVENTS, from, to, |rows| {
        for row in rows.iter() {
            if row.number(0)? != tree.size() {
                return Err(EngineError::new(Trouble::Damaged, format!("leaf {} is missing", tree.size())));
            }
            tree.push_hash(leaf_hash(&row.hash(1)?), &mut tiles);
            tiles.clear();
        }
        progress(tree.size(), size);
        Ok(())
    })?;
    for table in &STATE {
        pages(table, from, to, |rows| {
            if table.insert.table == "meta" {
                rows.retain(|row| row.text(0).is_ok_and(|name| !ITS_OWN.contains(&name)));
            }
            Ok(())
        })?;
    }
    let made = from.run(|_| tree.head())?;
    let there = from.run(head)?;
    let copied = to.run(head)?;
    if there != made {
        return Err(StoreError::Unusable(format!(
            "the tree of {} is damaged: run `jit-ssh-ca log verify`",
            from.place.shown()
        )));
    }
    if copied != made {
        return Err(StoreError::Unusable(format!(
            "{} did not keep what was written to it",
            to.place.shown()
        )));
    }
    Ok(made)
}

/// Size and root, from the stored tiles.
pub(super) fn head(conn: &mut dyn Conn) -> Result<TreeHead, EngineError> {
    let size = size(conn)?;
    Ok(TreeHead { size, root: StoredTree::new(conn, size).root()? })
}

fn size(conn: &mut dyn Conn) -> Result<u64, EngineError> {
    last_leaf(conn)?.map_or(Ok(0), |row| row.number(0).map(|leaf| leaf.saturating_add(1)))
}

/// Copies a table page by page, each shown to `look` first.
fn pages(
    table: &'static Table,
    from: &mut Side<'_>,
    to: &mut Side<'_>,
    mut look: impl FnMut(&mut Vec<Row>) -> Result<(), EngineError>,
) -> Result<(), StoreError> {
    let mut after: Option<Vec<Value>> = None;
    loop {
        let (text, args) = page(table, after.as_deref());
        let mut rows = from.run(|conn| conn.select(&text, &args))?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.0.iter().take(table.key).cloned().collect());
        from.run(|_| look(&mut rows))?;
        let cells = rows.into_iter().flat_map(|row| row.0).collect();
        to.run(|conn| conn.insert(&table.insert, cells))?;
    }
}

/// The query of the page after a key.
fn page(table: &Table, after: Option<&[Value]>) -> (String, Vec<Value>) {
    let columns: Vec<&str> = table.insert.columns.iter().map(|(name, _)| *name).collect();
    let key: Vec<&str> = columns.iter().copied().take(table.key).collect();
    let (key, columns) = (key.join(", "), columns.join(", "));
    let name = table.insert.table;
    match after {
        None => (format!("SELECT {columns} FROM {name} ORDER BY {key} LIMIT {PAGE}"), Vec::new()),
        Some(after) => {
            let places: Vec<String> = (1..=after.len()).map(|at| format!("${at}")).collect();
            let text = format!(
                "SELECT {columns} FROM {name} WHERE ({key}) > ({}) ORDER BY {key} LIMIT {PAGE}",
                places.join(", ")
            );
            (text, after.to_vec())
        }
    }
}

/// The columns of each table, for the test that compares them with the schema.
#[cfg(test)]
pub(super) fn columns() -> Vec<(&'static str, Vec<&'static str>)> {
    let of = |table: &'static Table| {
        (table.insert.table, table.insert.columns.iter().map(|(name, _)| *name).collect())
    };
    std::iter::once(&EVENTS).chain(&STATE).map(of).collect()
}
