//! A backup: everything of a snapshot in one SQLite file that needs nothing beside it, from either engine, beside a
//! running server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use jit_ssh_proto::CaId;

use super::copy::{Side, copy};
use super::place::Place;
use super::tree::TreeHead;
use super::{Progress, StoreError, blocking, migrate};

/// What to back up, and where to.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The database, as in `[store] url`.
    pub url: String,
    /// Whose it must be.
    pub ca: CaId,
    /// The file to make.
    pub file: PathBuf,
}

impl Backup {
    /// Writes it, readable by its owner only; there is no such file until all of it is on the disk.
    ///
    /// # Errors
    /// When the file is there already or cannot be written, or the database cannot be read.
    pub async fn run(self, mut progress: Progress) -> Result<TreeHead, StoreError> {
        let place = Place::parse(&self.url)?;
        blocking(move || {
            if self.file.exists() {
                return Err(StoreError::ReadOnly(format!(
                    "{} is there already: name a new file",
                    self.file.display()
                )));
            }
            place.ensure(false)?;
            let mut conn = place.reader()?;
            conn.begin_read().map_err(|e| place.explain(&e))?;
            migrate::check(conn.as_mut(), &place, &self.ca)?;
            let draft = Draft::beside(&self.file)?;
            let head = draft
                .write(|to| copy(&mut Side { conn: conn.as_mut(), place: &place }, to, &mut progress))?;
            draft.put(&self.file)?;
            conn.close();
            Ok(head)
        })
        .await
    }
}

/// A SQLite file in the making; it is gone when dropped, unless it was put in its place.
pub(super) struct Draft {
    path: PathBuf,
    place: Place,
}

impl Draft {
    /// In the folder of the file that it will be.
    pub(super) fn beside(file: &Path) -> Result<Self, StoreError> {
        // So that it is this name which is said to be wrong.
        Place::file_at(file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let path = file.with_file_name(format!(".{name}.writing-{}", std::process::id()));
        let place = Place::file_at(&path)?;
        let draft = Self { path, place };
        remove(&draft.path);
        draft.place.ensure(true)?;
        Ok(draft)
    }

    /// Writes all of it in one transaction, into one file.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&mut Side<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let explain = |e| self.place.explain(&e);
        let mut conn = self.place.writer()?;
        conn.begin().map_err(explain)?;
        let done = work(&mut Side { conn: conn.as_mut(), place: &self.place })?;
        conn.commit().map_err(explain)?;
        // Nothing stays beside it.
        conn.select("PRAGMA journal_mode = DELETE", &[]).map_err(explain)?;
        conn.close();
        Ok(done)
    }

    /// Puts it in its place, where nothing is.
    pub(super) fn put(&self, file: &Path) -> Result<(), StoreError> {
        let put = File::open(&self.path)
            .and_then(|written| written.sync_all())
            .and_then(|()| fs::rename(&self.path, file))
            .and_then(|()| sync_folder(file));
        put.map_err(|e| StoreError::ReadOnly(format!("{} cannot be written: {e}", file.display())))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Makes the names in a file's folder durable.
pub(super) fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// The files that SQLite has for one database.
pub(super) fn with_companions(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    })
}

fn remove(path: &Path) {
    for file in with_companions(path) {
        // It may not be there.
        let _gone = fs::remove_file(file);
    }
}
