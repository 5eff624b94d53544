//! The databases that are measured: a fresh one on either engine, and how large it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jit_ssh_ca::clock::SystemClock;
use jit_ssh_ca::store::{KEEP, Options, Store};
use jit_ssh_proto::CaId;
use jit_ssh_tests::database;

/// A database of no CA's but the bench's.
pub(super) struct Database {
    url: String,
    seen: PathBuf,
    outside: database::Database,
}

impl Database {
    pub(super) fn sqlite(dir: &Path, name: &str) -> Self {
        let file = dir.join(format!("{name}.db"));
        Self {
            url: format!("sqlite:{}", file.display()),
            seen: dir.join(format!("{name}.sqlite.seen")),
            outside: database::Database::Sqlite(file),
        }
    }

    pub(super) fn postgres(dir: &Path, name: &str, url: String) -> Self {
        let seen = dir.join(format!("{name}.postgres.seen"));
        Self { seen, outside: database::Database::Postgres(url.clone()), url }
    }

    /// The store on it, as `serve` opens it.
    pub(super) async fn open(&self) -> anyhow::Result<Store> {
        let options = Options {
            url: self.url.clone(),
            ca: CaId::from_bytes([7; 32]),
            create: true,
            seen: self.seen.clone(),
            clock: Some(Arc::new(SystemClock)),
            keep: KEEP,
        };
        Ok(Store::open(options).await?)
    }

    /// How much it takes on disk, without what is only there until the next checkpoint.
    pub(super) fn bytes(&self) -> anyhow::Result<u64> {
        let sql = match &self.outside {
            database::Database::Sqlite(_) => {
                "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            }
            database::Database::Postgres(_) => "SELECT pg_database_size(current_database())",
        };
        let rows = self.outside.query(sql)?;
        let row = rows.first().ok_or_else(|| anyhow::anyhow!("no size"))?;
        Ok(row.int(0)?.try_into()?)
    }

    /// Takes what the hot tables have of certificates out of a closed database, and packs the rest.
    pub(super) fn forget(&self) -> anyhow::Result<()> {
        let pack = match &self.outside {
            database::Database::Sqlite(_) => "VACUUM",
            database::Database::Postgres(_) => "VACUUM FULL",
        };
        for sql in ["DELETE FROM call_ids", "DELETE FROM requests", "DELETE FROM certificates", pack] {
            self.outside.execute(sql)?;
        }
        Ok(())
    }
}
