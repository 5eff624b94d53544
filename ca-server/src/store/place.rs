//! Where the database is and how connections to it are made: the file, its lock, and what each connection is told.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Executor, Row};

use super::error::explain;
use super::{StoreError, migrate};

/// Readers beside the writer. Each costs a thread and a page cache of 2 MB at most.
const READERS: u32 = 3;

/// What the writer's connection is told. FULL flushes the log at every commit; the limit gives back what one long
/// reader made it grow by.
const PRAGMAS: [&str; 4] = [
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_size_limit = 67108864",
];

/// A SQLite file.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// As the operator knows it, for messages.
    shown: String,
    /// Statements that each new writing connection runs, to make the trouble that a test is about.
    #[cfg(test)]
    pub(super) trouble: std::sync::Arc<std::sync::Mutex<Option<&'static str>>>,
}

/// One file on this machine, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

/// What a connection may do.
#[derive(Clone, Copy, Debug)]
enum Access {
    Write,
    Read,
}

impl Place {
    /// Reads `sqlite:PATH` and makes the path absolute.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let Some(path) = url.strip_prefix("sqlite:") else {
            let scheme = url.split(':').next().unwrap_or_default();
            return Err(StoreError::Unusable(format!(
                "[store] url has the scheme {scheme:?}, which is not supported: write sqlite:PATH"
            )));
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains([':', '?', '#', '\0']) {
            return Err(StoreError::Unusable(format!(
                "[store] url {url:?} names no file: write sqlite:PATH, without parameters"
            )));
        }
        let real = real_path(Path::new(path))
            .map_err(|e| StoreError::Unavailable(format!("the directory of {path} cannot be opened: {e}")))?;
        Ok(Self {
            path: real,
            shown: path.to_owned(),
            #[cfg(test)]
            trouble: std::sync::Arc::default(),
        })
    }

    /// The file as the operator knows it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Explains an error of this database.
    pub(super) fn explain(&self, error: &sqlx::Error) -> StoreError {
        explain(&self.shown, error)
    }

    /// Creates the file, readable by its owner only, or makes sure that it is there.
    pub(super) fn ensure(&self, create: bool) -> Result<(), StoreError> {
        if self.path.exists() {
            return Ok(());
        }
        if !create {
            return Err(StoreError::Unusable(format!(
                "the database {} does not exist: check [store] url, or run jit-ssh-ca init",
                self.shown
            )));
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)
            .map(drop)
            .map_err(|e| StoreError::ReadOnly(format!("the database {} cannot be created: {e}", self.shown)))
    }

    /// Which file is there now. An open connection goes on writing into a file that was moved away or deleted, so
    /// the writer looks before each transaction: what is recorded there would be lost.
    pub(super) fn file(&self) -> Result<FileId, StoreError> {
        match std::fs::metadata(&self.path) {
            Ok(file) => Ok(FileId { device: file.dev(), inode: file.ino() }),
            Err(e) => Err(StoreError::Unavailable(format!("{} is gone: put it back ({e})", self.shown))),
        }
    }

    /// Makes sure that the file is still the one that was opened.
    pub(super) fn same_file(&self, opened: FileId) -> Result<(), StoreError> {
        if self.file()? == opened {
            return Ok(());
        }
        Err(StoreError::Unusable(format!(
            "{} was replaced while it was in use: put the one that was there back, or restart jit-ssh-ca",
            self.shown
        )))
    }

    /// Takes the lock that keeps a second server away. It is the operating system's: it ends with the process,
    /// however that ends, and the file that stays behind means nothing.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| StoreError::ReadOnly(format!("{} cannot be opened: {e}", path.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::Unusable(format!(
                "another jit-ssh-ca uses {}: it holds {}; end it, or use another data directory",
                self.shown,
                path.display()
            ))),
            Err(TryLockError::Error(e)) => {
                Err(StoreError::Unavailable(format!("{} cannot be locked: {e}", path.display())))
            }
        }
    }

    /// The writer's connection: WAL, every commit flushed before it is acknowledged.
    pub(super) async fn writer(&self) -> Result<AnyConnection, StoreError> {
        let options = self.options(Access::Write)?;
        let mut conn = options.connect().await.map_err(|e| self.explain(&e))?;
        self.pragmas(&mut conn).await?;
        #[cfg(test)]
        {
            let trouble = *self.trouble.lock().unwrap();
            if let Some(statement) = trouble {
                conn.execute(statement).await.unwrap();
            }
        }
        Ok(conn)
    }

    async fn pragmas(&self, conn: &mut AnyConnection) -> Result<(), StoreError> {
        let mode = conn.fetch_one("PRAGMA journal_mode = WAL").await.map_err(|e| self.explain(&e))?;
        let mode: String = mode.try_get(0).map_err(|e| self.explain(&e))?;
        if mode != "wal" {
            return Err(StoreError::Unusable(format!(
                "{} cannot use write-ahead logging (its mode stays {mode}): put it on a local disk",
                self.shown
            )));
        }
        for pragma in PRAGMAS {
            conn.execute(pragma).await.map_err(|e| self.explain(&e))?;
        }
        Ok(())
    }

    /// Connections that can only read; opened when they are first needed.
    pub(super) fn readers(&self) -> Result<AnyPool, StoreError> {
        let options = self.options(Access::Read)?;
        Ok(AnyPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(Duration::from_secs(5))
            .test_before_acquire(false)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options))
    }

    /// Checks a database that is only read: schema and CA.
    pub(super) async fn check(&self, ca: &jit_ssh_proto::CaId) -> Result<(), StoreError> {
        let mut conn = self.options(Access::Read)?.connect().await.map_err(|e| self.explain(&e))?;
        let checked = migrate::check(&mut conn, self, ca).await;
        // Nothing is lost if closing fails: it only read.
        let _closed = conn.close().await;
        checked
    }

    fn options(&self, access: Access) -> Result<AnyConnectOptions, StoreError> {
        sqlx::any::install_default_drivers();
        let path = self.path.to_str().ok_or_else(|| {
            StoreError::Unusable(format!("the path of {} is not UTF-8: move it to one that is", self.shown))
        })?;
        let mode = match access {
            Access::Write => "rw",
            Access::Read => "ro",
        };
        let url = format!("sqlite://{}?mode={mode}", percent_encoded(path));
        let options: AnyConnectOptions = url.parse().map_err(|e: sqlx::Error| self.explain(&e))?;
        Ok(options.disable_statement_logging())
    }
}

/// The path that the same file has for everybody, so that its lock is the same too.
fn real_path(path: &Path) -> std::io::Result<PathBuf> {
    if path.exists() {
        return path.canonicalize();
    }
    let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    Ok(parent.canonicalize()?.join(name))
}

/// The driver takes the path out of a URL: nothing in it may mean anything there.
fn percent_encoded(path: &str) -> String {
    use std::fmt::Write;
    path.bytes().fold(String::with_capacity(path.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"/._-".contains(&b) {
            out.push(char::from(b));
        } else {
            // Writing to a String does not fail.
            let _infallible = write!(out, "%{b:02X}");
        }
        out
    })
}
