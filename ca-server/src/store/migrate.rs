//! Schema migrations: numbered files, forward only, all in one transaction under the write lock. A schema that is
//! newer than this program, and another CA's database, are refused.

use data_encoding::HEXLOWER;
use jit_ssh_proto::CaId;

use super::StoreError;
use super::engine::{Conn, EngineError, Value, first};
use super::place::Place;
use super::tree::TreeHead;

const META: &str = "SELECT value FROM meta WHERE name = $1";

/// The files, in order; schema N is what the first N of them make.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_identities.sql"),
    include_str!("migrations/0003_parts.sql"),
];

/// The row of `meta` that says where the ledger went, in a database that it was moved out of.
pub(super) const MOVED: &str = "moved";

/// What that row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    /// The ledger as it was when the move was done, in the database that it was moved to.
    pub(super) head: TreeHead,
    /// The URL of that database, without a password.
    pub(super) to: String,
}

impl Moved {
    /// The row's value.
    pub(super) fn value(&self) -> String {
        format!("{} {} {}", self.head.size, HEXLOWER.encode(&self.head.root), self.to)
    }

    fn parse(value: &str) -> Option<Self> {
        let mut parts = value.splitn(3, ' ');
        let size = parts.next()?.parse().ok()?;
        let root = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?;
        Some(Self { head: TreeHead { size, root }, to: parts.next()?.to_owned() })
    }

    /// Why a database with this mark is not gone on with.
    pub(super) fn refusal(&self, place: &Place) -> StoreError {
        StoreError::Unusable(format!(
            "the ledger of {} was moved to {}: set [store] url to that; to go on with this one in its place, run `jit-ssh-ca store resume`",
            place.shown(),
            self.to
        ))
    }
}

/// Makes the schema in a database that must be empty, inside a transaction; `meta` is left to whoever fills it.
pub(super) fn create(conn: &mut dyn Conn, place: &Place) -> Result<(), StoreError> {
    let explain = |e| place.explain(&e);
    if !conn.tables().map_err(explain)?.is_empty() {
        return Err(StoreError::Unusable(format!("{} is not empty: name a new database", place.shown())));
    }
    MIGRATIONS.iter().try_for_each(|file| conn.script(file)).map_err(explain)
}

/// Refuses a database that the ledger was moved out of: two that go on from there would be two histories.
pub(super) fn not_moved(conn: &mut dyn Conn, place: &Place) -> Result<(), StoreError> {
    match moved(conn).map_err(|e| place.explain(&e))? {
        None => Ok(()),
        Some(moved) => Err(moved.refusal(place)),
    }
}

/// Where the ledger went, if it was moved away.
pub(super) fn moved(conn: &mut dyn Conn) -> Result<Option<Moved>, EngineError> {
    let Some(row) = first(conn, META, &[Value::from(MOVED)])? else { return Ok(None) };
    let moved = Moved::parse(row.text(0)?);
    moved.map(Some).ok_or_else(|| EngineError::row(0, "is no mark of a move"))
}

/// Whether there is nothing in the database at all.
pub(super) fn is_empty(conn: &mut dyn Conn) -> Result<bool, EngineError> {
    Ok(conn.tables()?.is_empty())
}

/// Brings the database up to date and makes sure that it is this CA's.
pub(super) fn migrate(conn: &mut dyn Conn, place: &Place, ca: &CaId, create: bool) -> Result<(), StoreError> {
    let explain = |e| place.explain(&e);
    conn.begin().map_err(explain)?;
    let found = schema(conn, place)?;
    let done = match found {
        None if !create => return Err(empty(place)),
        None => 0,
        Some(version) => {
            same_ca(conn, place, ca)?;
            not_moved(conn, place)?;
            version
        }
    };
    for file in MIGRATIONS.iter().skip(done) {
        conn.script(file).map_err(explain)?;
    }
    if done < MIGRATIONS.len() {
        let version = Value::from(MIGRATIONS.len().to_string());
        if found.is_none() {
            let insert = "INSERT INTO meta (name, value) VALUES ('ca_id', $1), ('schema', $2)";
            conn.execute(insert, &[Value::from(ca.to_string()), version]).map_err(explain)?;
        } else {
            let update = "UPDATE meta SET value = $1 WHERE name = 'schema'";
            conn.execute(update, &[version]).map_err(explain)?;
        }
    }
    conn.commit().map_err(explain)
}

/// Makes sure that a database which is only read is this CA's and of this program's schema.
pub(super) fn check(conn: &mut dyn Conn, place: &Place, ca: &CaId) -> Result<(), StoreError> {
    match schema(conn, place)? {
        None => Err(empty(place)),
        Some(version) if version < MIGRATIONS.len() => Err(StoreError::Unusable(format!(
            "{} has the schema of an earlier version ({version}): start jit-ssh-ca serve once to bring it up to date",
            place.shown()
        ))),
        Some(_) => same_ca(conn, place, ca),
    }
}

fn empty(place: &Place) -> StoreError {
    StoreError::Unusable(format!("{} is empty: {}", place.shown(), place.hint_if_empty()))
}

/// The schema's number; none in an empty database.
fn schema(conn: &mut dyn Conn, place: &Place) -> Result<Option<usize>, StoreError> {
    let not_ours = || {
        StoreError::Unusable(format!("{} is not a database of jit-ssh-ca: {}", place.shown(), place.hint()))
    };
    let tables = conn.tables().map_err(|e| place.explain(&e))?;
    if tables.is_empty() {
        return Ok(None);
    }
    if !tables.iter().any(|table| table == "meta") {
        return Err(not_ours());
    }
    let version = meta(conn, place, "schema")?.and_then(|v| v.parse::<usize>().ok()).ok_or_else(not_ours)?;
    if version > MIGRATIONS.len() {
        return Err(StoreError::Unusable(format!(
            "{} has schema {version}, but this version knows only up to {}: use the later jit-ssh-ca that wrote it",
            place.shown(),
            MIGRATIONS.len()
        )));
    }
    Ok(Some(version))
}

fn same_ca(conn: &mut dyn Conn, place: &Place, ca: &CaId) -> Result<(), StoreError> {
    match meta(conn, place, "ca_id")? {
        Some(id) if id == ca.to_string() => Ok(()),
        Some(id) => Err(StoreError::Unusable(format!(
            "{} belongs to another CA ({id}, but the configuration says {ca}): {}",
            place.shown(),
            place.hint()
        ))),
        None => Err(StoreError::Unusable(format!("{} does not say whose it is: restore it", place.shown()))),
    }
}

fn meta(conn: &mut dyn Conn, place: &Place, name: &'static str) -> Result<Option<String>, StoreError> {
    let row = first(conn, META, &[Value::from(name)]);
    let value = row.and_then(|row| row.map(|row| row.text(0).map(str::to_owned)).transpose());
    value.map_err(|e| place.explain(&e))
}
