//! A CA's database as an operator's own tools see it, on either engine, without the CA's code: what it holds, and what
//! somebody who should not may do to it.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use jit_ssh_test_postgres::psql;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

/// A database.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// A URL.
    Postgres(String),
}

/// A row, its values as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Vec<Option<String>>);

impl Database {
    /// Every row of a query, read beside whoever writes.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn query(&self, sql: &str) -> Result<Vec<Row>> {
        match self {
            Self::Sqlite(path) => {
                let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                let mut statement = conn.prepare(sql)?;
                let columns = statement.column_count();
                let mut rows = statement.query([])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    let cells = (0..columns).map(|at| Ok(text(row.get_ref(at)?)));
                    found.push(Row(cells.collect::<Result<_>>()?));
                }
                Ok(found)
            }
            Self::Postgres(url) => Ok(psql::rows(url, sql)?.into_iter().map(Row).collect()),
        }
    }

    /// Runs statements that change it.
    ///
    /// # Errors
    /// When one fails.
    pub fn execute(&self, sql: &str) -> Result<()> {
        match self {
            Self::Sqlite(path) => {
                let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
                conn.busy_timeout(std::time::Duration::from_secs(5))?;
                Ok(conn.execute_batch(sql)?)
            }
            Self::Postgres(url) => psql::lines(url, sql).map(drop),
        }
    }

    /// Text as a word of SQL.
    #[must_use]
    pub fn quoted(text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }
}

impl Row {
    /// A value that is there.
    ///
    /// # Errors
    /// When there is no such column, or it is NULL.
    pub fn text(&self, at: usize) -> Result<&str> {
        self.0.get(at).and_then(Option::as_deref).with_context(|| format!("column {at} of {self:?}"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is none.
    pub fn int(&self, at: usize) -> Result<i64> {
        self.text(at)?.parse().with_context(|| format!("column {at} of {self:?}"))
    }

    /// Bytes.
    ///
    /// # Errors
    /// When it is something else.
    pub fn bytes(&self, at: usize) -> Result<Vec<u8>> {
        let digits =
            self.text(at)?.strip_prefix(r"\x").with_context(|| format!("column {at} of {self:?}"))?;
        let bytes = HEXLOWER.decode(digits.as_bytes());
        ensure!(bytes.is_ok(), "column {at} of {self:?}");
        Ok(bytes.unwrap_or_default())
    }
}

/// As `psql` prints it.
fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Some(format!(r"\x{}", HEXLOWER.encode(bytes))),
    }
}
