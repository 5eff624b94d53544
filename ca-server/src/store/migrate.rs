//! Schema migrations: numbered files, forward only, all in one transaction under the write lock. A schema that is
//! newer than this program, and another CA's database, are refused.

use jit_ssh_proto::CaId;
use sqlx::{AnyConnection, Connection, Executor, Row};

use super::StoreError;
use super::place::Place;

/// The files, in order; schema N is what the first N of them make.
const MIGRATIONS: &[&str] = &[include_str!("migrations/sqlite/0001_first.sql")];

/// Brings the database up to date and makes sure that it is this CA's.
pub(super) async fn migrate(
    conn: &mut AnyConnection,
    place: &Place,
    ca: &CaId,
    create: bool,
) -> Result<(), StoreError> {
    let explain = |e: sqlx::Error| place.explain(&e);
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.map_err(explain)?;
    let found = schema(&mut tx, place).await?;
    let done = match found {
        None if !create => return Err(empty(place)),
        None => 0,
        Some(version) => {
            same_ca(&mut tx, place, ca).await?;
            version
        }
    };
    if done < MIGRATIONS.len() {
        for file in MIGRATIONS.iter().skip(done) {
            sqlx::raw_sql(*file).execute(&mut *tx).await.map_err(explain)?;
        }
        if found.is_none() {
            let insert = sqlx::query("INSERT INTO meta (name, value) VALUES ('ca_id', $1), ('schema', $2)");
            insert
                .bind(ca.to_string())
                .bind(MIGRATIONS.len().to_string())
                .execute(&mut *tx)
                .await
                .map_err(explain)?;
        } else {
            let update = sqlx::query("UPDATE meta SET value = $1 WHERE name = 'schema'");
            update.bind(MIGRATIONS.len().to_string()).execute(&mut *tx).await.map_err(explain)?;
        }
    }
    tx.commit().await.map_err(explain)
}

/// Makes sure that a database which is only read is this CA's and of this program's schema.
pub(super) async fn check(conn: &mut AnyConnection, place: &Place, ca: &CaId) -> Result<(), StoreError> {
    match schema(conn, place).await? {
        None => Err(empty(place)),
        Some(version) if version < MIGRATIONS.len() => Err(StoreError::Unusable(format!(
            "{} has the schema of an earlier version ({version}): start jit-ssh-ca serve once to bring it up to date",
            place.shown()
        ))),
        Some(_) => same_ca(conn, place, ca).await,
    }
}

fn empty(place: &Place) -> StoreError {
    StoreError::Unusable(format!("{} is empty: run jit-ssh-ca init", place.shown()))
}

/// The schema's number; none in an empty database.
async fn schema(conn: &mut AnyConnection, place: &Place) -> Result<Option<usize>, StoreError> {
    let not_ours = || {
        StoreError::Unusable(format!("{} is not a database of jit-ssh-ca: check [store] url", place.shown()))
    };
    let row = conn
        .fetch_one("SELECT COUNT(*), COUNT(CASE WHEN name = 'meta' THEN 1 END) FROM sqlite_master WHERE type = 'table'")
        .await
        .map_err(|e| place.explain(&e))?;
    let count = |at: usize| row.try_get::<i64, _>(at).map_err(|e| place.explain(&e));
    if count(0)? == 0 {
        return Ok(None);
    }
    if count(1)? == 0 {
        return Err(not_ours());
    }
    let version =
        meta(conn, place, "schema").await?.and_then(|v| v.parse::<usize>().ok()).ok_or_else(not_ours)?;
    if version > MIGRATIONS.len() {
        return Err(StoreError::Unusable(format!(
            "{} has schema {version}, but this version knows only up to {}: use the later jit-ssh-ca that wrote it",
            place.shown(),
            MIGRATIONS.len()
        )));
    }
    Ok(Some(version))
}

async fn same_ca(conn: &mut AnyConnection, place: &Place, ca: &CaId) -> Result<(), StoreError> {
    match meta(conn, place, "ca_id").await? {
        Some(id) if id == ca.to_string() => Ok(()),
        Some(id) => Err(StoreError::Unusable(format!(
            "{} belongs to another CA ({id}, but the configuration says {ca}): check [store] url",
            place.shown()
        ))),
        None => Err(StoreError::Unusable(format!("{} does not say whose it is: restore it", place.shown()))),
    }
}

async fn meta(conn: &mut AnyConnection, place: &Place, name: &str) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = $1")
        .bind(name)
        .fetch_optional(conn)
        .await
        .map_err(|e| place.explain(&e))?;
    row.map(|row| row.try_get(0)).transpose().map_err(|e| place.explain(&e))
}
