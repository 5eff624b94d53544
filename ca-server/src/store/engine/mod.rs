//! What the store needs of a database, and nothing more: transactions, look-ups by keys, rows added, a few plain
//! statements. Everything here blocks: it runs on the writer's own thread or on threads made for blocking.
//!
//! One text serves both engines. `$1` numbers the arguments; `{}` is where the key of a look-up goes.

mod postgres;
mod sqlite;

pub(super) use postgres::{Postgres, PostgresConn};
pub(super) use sqlite::{Access, SqliteConn};

use std::borrow::Cow;

use jit_ssh_proto::Timestamp;

/// A value as both engines hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(Cow<'static, str>),
    Bytes(Vec<u8>),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Bytes,
}

impl From<u64> for Value {
    /// Times fit by construction; leaves and serials would take 10^11 years.
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::from(time.seconds())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<[u8; 32]> for Value {
    fn from(bytes: [u8; 32]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<Value>);

impl Row {
    fn at(&self, at: usize) -> Result<&Value, EngineError> {
        self.0.get(at).ok_or_else(|| EngineError::row(at, "is not there"))
    }

    /// A number that is never negative, unless it is NULL.
    pub(super) fn maybe_number(&self, at: usize) -> Result<Option<u64>, EngineError> {
        match self.at(at)? {
            Value::Null => Ok(None),
            Value::Int(number) => {
                u64::try_from(*number).map(Some).map_err(|_| EngineError::row(at, "is negative"))
            }
            Value::Text(_) | Value::Bytes(_) => Err(EngineError::row(at, "is no number")),
        }
    }

    /// A number that is never negative.
    pub(super) fn number(&self, at: usize) -> Result<u64, EngineError> {
        self.maybe_number(at)?.ok_or_else(|| EngineError::row(at, "is NULL"))
    }

    /// A time.
    pub(super) fn time(&self, at: usize) -> Result<Timestamp, EngineError> {
        self.number(at).map(Timestamp::from_seconds)
    }

    /// A text, unless it is NULL.
    pub(super) fn maybe_text(&self, at: usize) -> Result<Option<&str>, EngineError> {
        match self.at(at)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Int(_) | Value::Bytes(_) => Err(EngineError::row(at, "is no text")),
        }
    }

    /// A text.
    pub(super) fn text(&self, at: usize) -> Result<&str, EngineError> {
        self.maybe_text(at)?.ok_or_else(|| EngineError::row(at, "is NULL"))
    }

    /// Bytes, unless they are NULL.
    pub(super) fn maybe_bytes(&self, at: usize) -> Result<Option<&[u8]>, EngineError> {
        match self.at(at)? {
            Value::Null => Ok(None),
            Value::Bytes(bytes) => Ok(Some(bytes)),
            Value::Int(_) | Value::Text(_) => Err(EngineError::row(at, "is not of bytes")),
        }
    }

    /// A hash or salt.
    pub(super) fn hash(&self, at: usize) -> Result<[u8; 32], EngineError> {
        let bytes = self.maybe_bytes(at)?.ok_or_else(|| EngineError::row(at, "is NULL"))?;
        bytes.try_into().map_err(|_| EngineError::row(at, "is not of 32 bytes"))
    }

    /// What a text says.
    pub(super) fn parsed<T>(&self, at: usize) -> Result<T, EngineError>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        self.text(at)?.parse().map_err(|e: T::Err| EngineError::row(at, &e.to_string()))
    }
}

/// Rows by their key: `SELECT … WHERE id {}`.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) text: &'static str,
    pub(super) key: Kind,
}

/// Where rows are added and of which columns they are.
#[derive(Debug)]
pub(super) struct Insert {
    pub(super) table: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    /// What follows, such as what to do with a row that is there.
    pub(super) after: &'static str,
}

/// What a database said no with, sorted by what an operator can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No room.
    Full,
    /// It cannot be written.
    ReadOnly,
    /// Somebody else holds it.
    Busy,
    /// Reading or writing failed below.
    Io,
    /// It is not there or may not be opened.
    CannotOpen,
    /// It is damaged.
    Damaged,
    /// It is something else.
    NotOurs,
    /// Its server does not answer.
    Down,
    /// Anything else.
    Other,
}

/// An error of the database, or of what it holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct EngineError {
    pub(super) trouble: Trouble,
    pub(super) text: String,
}

impl EngineError {
    pub(super) fn new(trouble: Trouble, text: impl std::fmt::Display) -> Self {
        Self { trouble, text: text.to_string() }
    }

    /// A row that is not as the schema has it.
    pub(super) fn row(at: usize, what: &str) -> Self {
        Self::new(Trouble::Damaged, format!("column {at} {what}"))
    }
}

/// One connection. Whoever gets an error from it closes it, which takes back what was begun.
pub(super) trait Conn: Send {
    /// Whether other processes may append too; then the head is read again in every transaction.
    fn shared(&self) -> bool;

    /// Begins a transaction as the one that appends, before anything is read.
    fn begin(&mut self) -> Result<(), EngineError>;

    /// Begins one that only reads, and sees the same state to its end.
    fn begin_read(&mut self) -> Result<(), EngineError>;

    /// Lets this transaction wait for something else for as long as that takes: it copies, and nobody waits for it.
    fn take_time(&mut self) -> Result<(), EngineError>;

    /// How many other connections CA processes have to this database. A file has a lock instead.
    fn others(&mut self) -> Result<u64, EngineError>;

    /// Makes all since `begin` durable.
    fn commit(&mut self) -> Result<(), EngineError>;

    /// What was put off until nobody waits for it: called when those who waited for a commit are answered.
    fn tidy(&mut self) -> Result<(), EngineError>;

    /// Takes back all since `begin`.
    fn rollback(&mut self) -> Result<(), EngineError>;

    /// The database's own clock in milliseconds since the epoch, where that may differ from this machine's.
    fn clock(&mut self) -> Result<Option<u64>, EngineError>;

    /// The rows of these keys, in no order.
    fn look_up(&mut self, lookup: &'static Lookup, keys: Vec<Value>) -> Result<Vec<Row>, EngineError>;

    /// Adds rows, whose values follow one another in `cells`.
    fn insert(&mut self, insert: &'static Insert, cells: Vec<Value>) -> Result<(), EngineError>;

    /// Runs one statement; how many rows it changed. No argument may be NULL.
    fn execute(&mut self, text: &str, args: &[Value]) -> Result<u64, EngineError>;

    /// Runs one query. No argument may be NULL.
    fn select(&mut self, text: &str, args: &[Value]) -> Result<Vec<Row>, EngineError>;

    /// Runs statements of the schema, written in the words of [`schema_words`].
    fn script(&mut self, text: &str) -> Result<(), EngineError>;

    /// From now on what is deleted is overwritten, as far as the engine can.
    fn forget_deleted(&mut self) -> Result<(), EngineError>;

    /// The names of the tables there are.
    fn tables(&mut self) -> Result<Vec<String>, EngineError>;

    /// Closes it in order; an error then means nothing any more.
    fn close(self: Box<Self>);
}

/// What a query with at most one row finds.
pub(super) fn first(conn: &mut dyn Conn, text: &str, args: &[Value]) -> Result<Option<Row>, EngineError> {
    Ok(conn.select(text, args)?.into_iter().next())
}

/// The schema in an engine's words: migrations are written once, with these names for what differs.
fn schema_words(text: &str, words: [(&str, &str); 4]) -> String {
    words.into_iter().fold(text.to_owned(), |text, (name, word)| text.replace(name, word))
}
