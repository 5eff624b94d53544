//! Where the database is and how connections to it are made: a SQLite file with its lock, or a PostgreSQL server.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::engine::{Access, Conn, EngineError, Postgres, PostgresConn, SqliteConn};
use super::error::explain;
use super::{StoreError, migrate};

/// A database.
#[derive(Clone, Debug)]
pub(super) struct Place {
    engine: Engine,
    /// Whether it is a file that the operator named just now, and not what the configuration says.
    given: bool,
    /// Statements that each new writing connection runs, to make the trouble that a test is about.
    #[cfg(test)]
    pub(super) trouble: std::sync::Arc<std::sync::Mutex<Option<&'static str>>>,
}

#[derive(Clone, Debug)]
enum Engine {
    Sqlite(SqliteFile),
    Postgres(Box<Postgres>),
}

/// A SQLite file.
#[derive(Clone, Debug)]
struct SqliteFile {
    path: PathBuf,
    /// As the operator knows it, for messages.
    shown: String,
}

/// One file on this machine, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl Place {
    /// Reads `sqlite:PATH`, whose path it makes absolute, or `postgres://…`.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let engine = if let Some(path) = url.strip_prefix("sqlite:") {
            Engine::Sqlite(SqliteFile::parse(path, url)?)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            // The URL may hold a password: it is not repeated.
            let place = Postgres::parse(url);
            Engine::Postgres(Box::new(place.map_err(|e| StoreError::Unusable(format!("[store] url {e}")))?))
        } else {
            let scheme = url.split(':').next().unwrap_or_default();
            return Err(StoreError::Unusable(format!(
                "[store] url has the scheme {scheme:?}, which is not supported: write sqlite:PATH or postgres://USER@HOST/DATABASE"
            )));
        };
        Ok(Self::of(engine, false))
    }

    /// A file by its path, whatever characters are in it.
    pub(super) fn file_at(path: &Path) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        if path.file_name().is_none() {
            return Err(StoreError::Unusable(format!("{shown:?} names no file: give the path of one")));
        }
        Ok(Self::of(Engine::Sqlite(SqliteFile::at(path, shown)?), true))
    }

    fn of(engine: Engine, given: bool) -> Self {
        Self {
            engine,
            given,
            #[cfg(test)]
            trouble: std::sync::Arc::default(),
        }
    }

    /// What to do where it is not a database of ours.
    pub(super) fn hint(&self) -> &'static str {
        if self.given { "give a database or a backup of jit-ssh-ca" } else { "check [store] url" }
    }

    /// What to do where there is nothing in it.
    pub(super) fn hint_if_empty(&self) -> &'static str {
        if self.given { self.hint() } else { "run jit-ssh-ca init" }
    }

    /// The URL that names it, wherever it is read; no password is in it.
    pub(super) fn url(&self) -> String {
        match &self.engine {
            Engine::Sqlite(file) => format!("sqlite:{}", file.path.display()),
            Engine::Postgres(place) => place.shown().to_owned(),
        }
    }

    /// The database as the operator knows it.
    pub(super) fn shown(&self) -> &str {
        match &self.engine {
            Engine::Sqlite(file) => &file.shown,
            Engine::Postgres(place) => place.shown(),
        }
    }

    /// `sqlite` or `postgres`.
    pub(super) fn scheme(&self) -> &'static str {
        match &self.engine {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgres",
        }
    }

    /// Explains an error of this database.
    pub(super) fn explain(&self, error: &EngineError) -> StoreError {
        explain(self.shown(), self.hint(), error)
    }

    /// Creates the file, readable by its owner only, or makes sure that it is there. A database on a server is made
    /// there.
    pub(super) fn ensure(&self, create: bool) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(file) if self.given && !create && !file.path.exists() => {
                Err(StoreError::Unusable(format!("{} does not exist: {}", file.shown, self.hint())))
            }
            Engine::Sqlite(file) => file.ensure(create),
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// The file, if it is one.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.engine {
            Engine::Sqlite(file) => Some(&file.path),
            Engine::Postgres(_) => None,
        }
    }

    /// Makes a file that must not be there; whether one was made.
    pub(super) fn make_new(&self) -> Result<bool, StoreError> {
        match self.path() {
            Some(file) if file.exists() => {
                Err(StoreError::Unusable(format!("{} is there already: name a new file", self.shown())))
            }
            Some(_) => self.ensure(true).map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes away a file that was made for nothing.
    pub(super) fn remove(&self) {
        for file in self.path().into_iter().flat_map(super::backup::with_companions) {
            // It may not be there.
            let _gone = std::fs::remove_file(file);
        }
    }

    /// Which file is there now. An open connection goes on writing into a file that was moved away or deleted, so
    /// the writer looks before each transaction: what is recorded there would be lost.
    pub(super) fn file(&self) -> Result<Option<FileId>, StoreError> {
        match &self.engine {
            Engine::Sqlite(file) => file.id().map(Some),
            Engine::Postgres(_) => Ok(None),
        }
    }

    /// Makes sure that the file is still the one that was opened.
    pub(super) fn same_file(&self, opened: Option<FileId>) -> Result<(), StoreError> {
        if self.file()? == opened {
            return Ok(());
        }
        Err(StoreError::Unusable(format!(
            "{} was replaced while it was in use: put the one that was there back, or restart jit-ssh-ca",
            self.shown()
        )))
    }

    /// Takes the lock that keeps a second process from writing a file. It is the operating system's: it ends with
    /// the process, however that ends, and the file that stays behind means nothing. A server keeps order itself.
    pub(super) fn lock(&self) -> Result<Option<File>, StoreError> {
        match &self.engine {
            Engine::Sqlite(file) => file.lock().map(Some),
            Engine::Postgres(_) => Ok(None),
        }
    }

    /// A connection that writes.
    pub(super) fn writer(&self) -> Result<Box<dyn Conn>, StoreError> {
        #[cfg_attr(not(test), expect(unused_mut, reason = "a test makes trouble"))]
        let mut conn = self.connect(Access::Write)?;
        #[cfg(test)]
        {
            let trouble = *self.trouble.lock().unwrap();
            if let Some(statement) = trouble {
                conn.select(statement, &[]).unwrap();
            }
        }
        Ok(conn)
    }

    /// A connection that only reads.
    pub(super) fn reader(&self) -> Result<Box<dyn Conn>, StoreError> {
        self.connect(Access::Read)
    }

    fn connect(&self, access: Access) -> Result<Box<dyn Conn>, StoreError> {
        let explain = |e| self.explain(&e);
        Ok(match &self.engine {
            Engine::Sqlite(file) => Box::new(SqliteConn::open(&file.path, access).map_err(explain)?),
            Engine::Postgres(place) => {
                let mut conn = PostgresConn::open(place).map_err(explain)?;
                if access == Access::Read {
                    conn.only_read().map_err(explain)?;
                }
                Box::new(conn)
            }
        })
    }

    /// Checks a database that is only read: schema and CA.
    pub(super) fn check(&self, ca: &jit_ssh_proto::CaId) -> Result<(), StoreError> {
        let mut conn = self.reader()?;
        let checked = migrate::check(conn.as_mut(), self, ca);
        conn.close();
        checked
    }
}

impl SqliteFile {
    fn parse(path: &str, url: &str) -> Result<Self, StoreError> {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains([':', '?', '#', '\0']) {
            return Err(StoreError::Unusable(format!(
                "[store] url {url:?} names no file: write sqlite:PATH, without parameters"
            )));
        }
        Self::at(Path::new(path), path.to_owned())
    }

    fn at(path: &Path, shown: String) -> Result<Self, StoreError> {
        let real = real_path(path).map_err(|e| {
            StoreError::Unavailable(format!("the directory of {shown} cannot be opened: {e}"))
        })?;
        Ok(Self { path: real, shown })
    }

    fn ensure(&self, create: bool) -> Result<(), StoreError> {
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

    fn id(&self) -> Result<FileId, StoreError> {
        match std::fs::metadata(&self.path) {
            Ok(file) => Ok(FileId { device: file.dev(), inode: file.ino() }),
            Err(e) => Err(StoreError::Unavailable(format!("{} is gone: put it back ({e})", self.shown))),
        }
    }

    fn lock(&self) -> Result<File, StoreError> {
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
