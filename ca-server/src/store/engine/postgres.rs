//! PostgreSQL through `sqlx`. Each connection has a small runtime of its own and blocks whoever uses it, for at most
//! [`PATIENCE`] a statement.

use std::str::FromStr;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow, PgSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, Executor, PgConnection, Row as _, TypeInfo};
use tokio::runtime::{Builder, Runtime};

use super::{Conn, EngineError, Insert, Kind, Lookup, Row, Trouble, Value, schema_words};

/// How long a statement may take, the wait for the append lock included: a server that hangs is one that is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to connect.
const CONNECTING: Duration = Duration::from_secs(3);

/// The append lock: one number for every CA process, in a database that is this CA's alone.
const APPEND_LOCK: i64 = 0x6a69_742d_7373_6801;

/// What connections of ours are called.
const NAME: &str = "jit-ssh-ca";

/// Where a PostgreSQL database is.
#[derive(Clone, Debug)]
pub(in crate::store) struct Postgres {
    options: PgConnectOptions,
    shown: String,
}

impl Postgres {
    /// Reads `postgres://…`. A database on another machine is only spoken to over TLS with its certificate verified,
    /// unless the URL says otherwise with `sslmode`.
    pub(in crate::store) fn parse(url: &str) -> Result<Self, String> {
        let parsed = url::Url::parse(url).map_err(|e| format!("is no URL: {e}"))?;
        let options = PgConnectOptions::from_str(url).map_err(|e| format!("is not understood: {e}"))?;
        let options = options.application_name(NAME).disable_statement_logging();
        let host = options.get_host().to_owned();
        let local = options.get_socket().is_some()
            || host.starts_with('/')
            || host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let told = parsed.query_pairs().any(|(key, _)| key == "sslmode" || key == "ssl-mode");
        let options = if local || told { options } else { options.ssl_mode(PgSslMode::VerifyFull) };
        // Never the password.
        let shown = format!(
            "postgres://{}@{host}:{}/{}",
            options.get_username(),
            options.get_port(),
            options.get_database().unwrap_or_else(|| options.get_username())
        );
        Ok(Self { options, shown })
    }

    /// The database as the operator knows it, without its password.
    pub(in crate::store) fn shown(&self) -> &str {
        &self.shown
    }
}

/// A connection.
pub(in crate::store) struct PostgresConn {
    /// None only while this is dropped.
    runtime: Option<Runtime>,
    /// None once closed.
    conn: Option<PgConnection>,
}

impl PostgresConn {
    /// Connects.
    pub(in crate::store) fn open(place: &Postgres) -> Result<Self, EngineError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| EngineError::new(Trouble::Other, e))?;
        let connected = runtime.block_on(async {
            tokio::time::timeout(CONNECTING, async {
                let mut conn = place.options.connect().await?;
                // Commits wait for the flush, and for synchronous standbys where there are any.
                conn.execute("SET synchronous_commit = 'on'").await?;
                // A process that is frozen in its transaction gives the append lock back to the others.
                conn.execute("SET idle_in_transaction_session_timeout = '10s'").await?;
                Ok::<_, sqlx::Error>(conn)
            })
            .await
        });
        let conn = connected.map_err(|_| hangs())?.map_err(error);
        let mut opened = Self { runtime: Some(runtime), conn: None };
        opened.conn = Some(conn?);
        Ok(opened)
    }

    /// Refuses to write from now on.
    pub(in crate::store) fn only_read(&mut self) -> Result<(), EngineError> {
        self.plain("SET default_transaction_read_only = on")
    }

    fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, EngineError> {
        let (Some(runtime), Some(conn)) = (&self.runtime, &mut self.conn) else { return Err(hangs()) };
        let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, work(conn)).await });
        match done {
            Ok(result) => result.map_err(error),
            Err(_) => {
                // What was asked may still come: this connection cannot be used again.
                self.conn = None;
                Err(hangs())
            }
        }
    }

    fn plain(&mut self, text: &'static str) -> Result<(), EngineError> {
        self.run(async |conn| conn.execute(text).await.map(drop))
    }
}

impl Drop for PostgresConn {
    fn drop(&mut self) {
        self.conn = None;
        if let Some(runtime) = self.runtime.take() {
            // It may be dropped where blocking is not allowed.
            runtime.shutdown_background();
        }
    }
}

impl Conn for PostgresConn {
    fn shared(&self) -> bool {
        true
    }

    fn begin(&mut self) -> Result<(), EngineError> {
        self.run(async |conn| {
            conn.execute("BEGIN").await?;
            // Given back after the commit is visible, so whoever has it next sees what this one did.
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(APPEND_LOCK).execute(conn).await.map(drop)
        })
    }

    fn begin_read(&mut self) -> Result<(), EngineError> {
        self.plain("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    fn take_time(&mut self) -> Result<(), EngineError> {
        // To the end of the transaction only.
        self.plain("SET LOCAL idle_in_transaction_session_timeout = 0")
    }

    fn others(&mut self) -> Result<u64, EngineError> {
        let text = "SELECT COUNT(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid()";
        let rows = self.select(text, &[Value::from(NAME)])?;
        rows.first().map_or(Ok(0), |row| row.number(0))
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        self.plain("COMMIT")
    }

    fn tidy(&mut self) -> Result<(), EngineError> {
        // A server does that by itself.
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), EngineError> {
        self.plain("ROLLBACK")
    }

    fn clock(&mut self) -> Result<Option<u64>, EngineError> {
        let text = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        self.select(text, &[])?.first().map(|row| row.number(0)).transpose()
    }

    fn look_up(&mut self, lookup: &'static Lookup, keys: Vec<Value>) -> Result<Vec<Row>, EngineError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let text = lookup.text.replace("{}", "= ANY($1)");
        let query = bind_column(sqlx::query(AssertSqlSafe(text)), lookup.key, keys);
        let rows = self.run(async |conn| query.fetch_all(conn).await)?;
        rows.iter().map(read).collect()
    }

    fn insert(&mut self, insert: &'static Insert, cells: Vec<Value>) -> Result<(), EngineError> {
        if cells.is_empty() {
            return Ok(());
        }
        // One array a column: the same text for any number of rows.
        let mut columns: Vec<Vec<Value>> = insert.columns.iter().map(|_| Vec::new()).collect();
        let width = columns.len().max(1);
        for (at, cell) in cells.into_iter().enumerate() {
            if let Some(column) = columns.get_mut(at.checked_rem(width).unwrap_or(0)) {
                column.push(cell);
            }
        }
        let mut query = sqlx::query(AssertSqlSafe(all_rows(insert)));
        for ((_, kind), column) in insert.columns.iter().zip(columns) {
            query = bind_column(query, *kind, column);
        }
        self.run(async |conn| query.execute(conn).await.map(drop))
    }

    fn execute(&mut self, text: &str, args: &[Value]) -> Result<u64, EngineError> {
        let query = bind(text, args);
        self.run(async |conn| query.execute(conn).await.map(|done| done.rows_affected()))
    }

    fn select(&mut self, text: &str, args: &[Value]) -> Result<Vec<Row>, EngineError> {
        let query = bind(text, args);
        let rows = self.run(async |conn| query.fetch_all(conn).await)?;
        rows.iter().map(read).collect()
    }

    fn script(&mut self, text: &str) -> Result<(), EngineError> {
        // Ids and names sort by their bytes, as they do everywhere else.
        let words = [
            ("{id}", "BIGINT PRIMARY KEY"),
            ("{text}", "TEXT COLLATE \"C\""),
            ("{bytes}", "BYTEA"),
            ("{by_key}", ""),
        ];
        let text = schema_words(text, words);
        self.run(async |conn| sqlx::raw_sql(AssertSqlSafe(text)).execute(conn).await.map(drop))
    }

    fn forget_deleted(&mut self) -> Result<(), EngineError> {
        // Old versions of rows go when the table is vacuumed.
        Ok(())
    }

    fn tables(&mut self) -> Result<Vec<String>, EngineError> {
        let text = "SELECT tablename::text FROM pg_catalog.pg_tables WHERE schemaname = current_schema()";
        self.select(text, &[])?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
    }

    fn close(mut self: Box<Self>) {
        if let (Some(runtime), Some(conn)) = (&self.runtime, self.conn.take()) {
            // Everything acknowledged is durable; closing only tidies up.
            let _closed = runtime.block_on(async { tokio::time::timeout(CONNECTING, conn.close()).await });
        }
    }
}

/// `INSERT INTO table (a, b) SELECT * FROM UNNEST($1::bigint[], $2::text[])`
fn all_rows(insert: &Insert) -> String {
    let names: Vec<&str> = insert.columns.iter().map(|(name, _)| *name).collect();
    let arrays: Vec<String> = (1_usize..)
        .zip(insert.columns)
        .map(|(at, (_, kind))| match kind {
            Kind::Int => format!("${at}::bigint[]"),
            Kind::Text => format!("${at}::text[]"),
            Kind::Bytes => format!("${at}::bytea[]"),
        })
        .collect();
    let (table, after) = (insert.table, insert.after);
    format!("INSERT INTO {table} ({}) SELECT * FROM UNNEST({}){after}", names.join(", "), arrays.join(", "))
}

type PgQuery = Query<'static, sqlx::Postgres, PgArguments>;

fn bind_column(query: PgQuery, kind: Kind, column: Vec<Value>) -> PgQuery {
    match kind {
        Kind::Int => query.bind(
            column
                .into_iter()
                .map(|value| match value {
                    Value::Int(number) => Some(number),
                    Value::Null | Value::Text(_) | Value::Bytes(_) => None,
                })
                .collect::<Vec<_>>(),
        ),
        Kind::Text => query.bind(
            column
                .into_iter()
                .map(|value| match value {
                    Value::Text(text) => Some(text.into_owned()),
                    Value::Null | Value::Int(_) | Value::Bytes(_) => None,
                })
                .collect::<Vec<_>>(),
        ),
        Kind::Bytes => query.bind(
            column
                .into_iter()
                .map(|value| match value {
                    Value::Bytes(bytes) => Some(bytes),
                    Value::Null | Value::Int(_) | Value::Text(_) => None,
                })
                .collect::<Vec<_>>(),
        ),
    }
}

fn bind(text: &str, args: &[Value]) -> PgQuery {
    args.iter().fold(sqlx::query(AssertSqlSafe(text.to_owned())), |query, arg| match arg {
        Value::Null => query.bind(None::<i64>),
        Value::Int(number) => query.bind(*number),
        Value::Text(text) => query.bind(text.clone().into_owned()),
        Value::Bytes(bytes) => query.bind(bytes.clone()),
    })
}

fn read(row: &PgRow) -> Result<Row, EngineError> {
    let mut values = Vec::with_capacity(row.len());
    for (at, column) in row.columns().iter().enumerate() {
        let value = match column.type_info().name() {
            "INT8" => row.try_get::<Option<i64>, _>(at).map(|v| v.map(Value::Int)),
            "TEXT" | "VARCHAR" => row.try_get::<Option<String>, _>(at).map(|v| v.map(Value::from)),
            "BYTEA" => row.try_get::<Option<Vec<u8>>, _>(at).map(|v| v.map(Value::from)),
            other => return Err(EngineError::row(at, &format!("is of the type {other}"))),
        };
        values.push(value.map_err(error)?.unwrap_or(Value::Null));
    }
    Ok(Row(values))
}

fn hangs() -> EngineError {
    EngineError::new(Trouble::Down, "it does not answer in time")
}

fn error(error: sqlx::Error) -> EngineError {
    let trouble = match error.as_database_error().and_then(DatabaseError::code).as_deref() {
        // https://www.postgresql.org/docs/current/errcodes-appendix.html
        Some("53100") => Trouble::Full,
        Some("25006" | "42501") => Trouble::ReadOnly,
        Some("55P03" | "40P01" | "40001") => Trouble::Busy,
        Some("58030") => Trouble::Io,
        Some("3D000" | "28000" | "28P01") => Trouble::CannotOpen,
        Some("XX001" | "XX002") => Trouble::Damaged,
        Some(code) if code.starts_with("08") || code.starts_with("57P") || code.starts_with("53") => {
            Trouble::Down
        }
        Some(_) => Trouble::Other,
        None => Trouble::Down,
    };
    EngineError::new(trouble, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown_and_far_servers_are_spoken_to_over_verified_tls() {
        for (url, verified) in [
            ("postgres://ca:hunter2@db.example.com/ca", true),
            ("postgres://ca:hunter2@192.0.2.1:5433/ca", true),
            ("postgres://ca:hunter2@db.example.com/ca?sslmode=prefer", false),
            ("postgres://ca:hunter2@127.0.0.1/ca", false),
            ("postgres://ca:hunter2@localhost/ca", false),
            ("postgres://ca:hunter2@[::1]/ca", false),
            ("postgres://ca:hunter2@db.example.com/ca?host=/run/postgresql", false),
        ] {
            let place = Postgres::parse(url).unwrap();
            assert!(!place.shown().contains("hunter2"), "{}", place.shown());
            let mode = place.options.get_ssl_mode();
            assert_eq!(matches!(mode, PgSslMode::VerifyFull), verified, "{url}: {mode:?}");
        }
    }
}
