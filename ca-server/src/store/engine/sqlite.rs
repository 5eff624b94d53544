//! SQLite through its own library, on the thread of whoever uses it.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, ffi};

use super::{Conn, EngineError, Insert, Lookup, Row, Trouble, Value, schema_words};

/// How many statements stay prepared.
const PREPARED: usize = 64;

/// What the writer's connection is told. FULL flushes the log at every commit. The log is brought back into the database
/// by [`Conn::tidy`], when nobody waits; by a commit only after 64 MB, of rows that are written in one go. The limit gives
/// back what one long reader made the log grow by.
const WRITER: &str = "PRAGMA synchronous = FULL; \
    PRAGMA foreign_keys = ON; \
    PRAGMA wal_autocheckpoint = 16000; \
    PRAGMA journal_size_limit = 67108864; \
    PRAGMA cache_size = -8000";

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Access {
    Write,
    Read,
}

/// A connection to a file.
pub(in crate::store) struct SqliteConn {
    conn: Connection,
    /// The texts that were made for it.
    texts: Texts,
}

/// From the text of a look-up, or a table and where its columns are named, to what is prepared for it.
type Texts = HashMap<(&'static str, usize), String>;

impl SqliteConn {
    /// Opens a file that is there. A writer turns write-ahead logging on, where every commit is flushed before it is
    /// acknowledged.
    pub(in crate::store) fn open(path: &Path, access: Access) -> Result<Self, EngineError> {
        let mode = match access {
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let conn =
            Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(error)?;
        conn.set_prepared_statement_cache_capacity(PREPARED);
        conn.busy_timeout(std::time::Duration::from_secs(5)).map_err(error)?;
        if access == Access::Write {
            let mode: String =
                conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(error)?;
            if mode != "wal" {
                let why =
                    format!("cannot use write-ahead logging (its mode stays {mode}): put it on a local disk");
                return Err(EngineError::new(Trouble::CannotOpen, why));
            }
            conn.execute_batch(WRITER).map_err(error)?;
        }
        Ok(Self { conn, texts: Texts::new() })
    }

    fn run(&mut self, text: &str) -> Result<(), EngineError> {
        self.conn
            .prepare_cached(text)
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(error)
    }
}

impl Conn for SqliteConn {
    fn shared(&self) -> bool {
        false
    }

    fn begin(&mut self) -> Result<(), EngineError> {
        self.run("BEGIN IMMEDIATE")
    }

    fn begin_read(&mut self) -> Result<(), EngineError> {
        self.run("BEGIN")
    }

    fn take_time(&mut self) -> Result<(), EngineError> {
        // Nobody hurries it.
        Ok(())
    }

    fn others(&mut self) -> Result<u64, EngineError> {
        Ok(0)
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        self.run("COMMIT")
    }

    fn tidy(&mut self) -> Result<(), EngineError> {
        // As far as no reader is in the way. What cannot be brought back now stays in the log, which is as good.
        self.select("PRAGMA wal_checkpoint(PASSIVE)", &[]).map(drop)
    }

    fn rollback(&mut self) -> Result<(), EngineError> {
        self.run("ROLLBACK")
    }

    fn clock(&mut self) -> Result<Option<u64>, EngineError> {
        Ok(None)
    }

    fn look_up(&mut self, lookup: &'static Lookup, keys: Vec<Value>) -> Result<Vec<Row>, EngineError> {
        let mut found = Vec::with_capacity(keys.len());
        let text = self
            .texts
            .entry((lookup.text, 0))
            .or_insert_with(|| numbered(&lookup.text.replace("{}", "= $1")));
        let mut statement = self.conn.prepare_cached(text).map_err(error)?;
        for key in &keys {
            let mut rows = statement.query([key]).map_err(error)?;
            while let Some(row) = rows.next().map_err(error)? {
                found.push(read(row)?);
            }
        }
        Ok(found)
    }

    fn insert(&mut self, insert: &'static Insert, cells: Vec<Value>) -> Result<(), EngineError> {
        let key = (insert.table, insert.columns.as_ptr().addr());
        let text = self.texts.entry(key).or_insert_with(|| one_row(insert));
        let mut statement = self.conn.prepare_cached(text).map_err(error)?;
        for row in cells.chunks(insert.columns.len().max(1)) {
            statement.execute(rusqlite::params_from_iter(row)).map_err(error)?;
        }
        Ok(())
    }

    fn execute(&mut self, text: &str, args: &[Value]) -> Result<u64, EngineError> {
        let mut statement = self.conn.prepare_cached(&numbered(text)).map_err(error)?;
        let changed = statement.execute(rusqlite::params_from_iter(args)).map_err(error)?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    fn select(&mut self, text: &str, args: &[Value]) -> Result<Vec<Row>, EngineError> {
        let mut statement = self.conn.prepare_cached(&numbered(text)).map_err(error)?;
        let mut rows = statement.query(rusqlite::params_from_iter(args)).map_err(error)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(error)? {
            found.push(read(row)?);
        }
        Ok(found)
    }

    fn script(&mut self, text: &str) -> Result<(), EngineError> {
        let words = [
            ("{id}", "INTEGER PRIMARY KEY"),
            ("{text}", "TEXT"),
            ("{bytes}", "BLOB"),
            ("{by_key}", "WITHOUT ROWID"),
        ];
        self.conn.execute_batch(&schema_words(text, words)).map_err(error)
    }

    fn forget_deleted(&mut self) -> Result<(), EngineError> {
        self.select("PRAGMA secure_delete = ON", &[]).map(drop)
    }

    fn tables(&mut self) -> Result<Vec<String>, EngineError> {
        let rows = self.select("SELECT name FROM sqlite_master WHERE type = 'table'", &[])?;
        rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
    }

    fn close(self: Box<Self>) {
        // Everything acknowledged is durable; closing only tidies up.
        let _closed = self.conn.close();
    }
}

/// `INSERT INTO table (a, b) VALUES (?1, ?2)`: with the statement prepared, a row a call is the cheapest here.
fn one_row(insert: &Insert) -> String {
    let names: Vec<&str> = insert.columns.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=names.len()).map(|at| format!("?{at}")).collect();
    let (table, after) = (insert.table, insert.after);
    format!("INSERT INTO {table} ({}) VALUES ({}){after}", names.join(", "), places.join(", "))
}

/// `$2` is a name here, numbered by where it first stands; `?2` is number two.
fn numbered(text: &str) -> String {
    text.replace('$', "?")
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn read(row: &rusqlite::Row<'_>) -> Result<Row, EngineError> {
    let columns = row.as_ref().column_count();
    let mut values = Vec::with_capacity(columns);
    for at in 0..columns {
        values.push(match row.get_ref(at).map_err(error)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Int(number),
            ValueRef::Text(text) => {
                let text = str::from_utf8(text).map_err(|_| EngineError::row(at, "is not UTF-8"))?;
                Value::from(text.to_owned())
            }
            ValueRef::Blob(bytes) => Value::from(bytes.to_vec()),
            ValueRef::Real(_) => return Err(EngineError::row(at, "is a fraction")),
        });
    }
    Ok(Row(values))
}

fn error(error: rusqlite::Error) -> EngineError {
    // https://www.sqlite.org/rescode.html; extended codes carry the primary one in their low byte.
    let trouble = match error.sqlite_error().map(|e| e.extended_code & 0xff) {
        Some(ffi::SQLITE_FULL) => Trouble::Full,
        Some(ffi::SQLITE_PERM | ffi::SQLITE_READONLY | ffi::SQLITE_AUTH) => Trouble::ReadOnly,
        Some(ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED) => Trouble::Busy,
        Some(ffi::SQLITE_IOERR) => Trouble::Io,
        Some(ffi::SQLITE_CANTOPEN) => Trouble::CannotOpen,
        Some(ffi::SQLITE_CORRUPT) => Trouble::Damaged,
        Some(ffi::SQLITE_NOTADB) => Trouble::NotOurs,
        Some(_) | None => Trouble::Other,
    };
    EngineError::new(trouble, error)
}
