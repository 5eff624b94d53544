//! Putting a file in its place: whole or not at all, never through a symbolic link, never with more rights than meant.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Principals files are opened as the user who logs in, so everybody may read and nobody else may write.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// Why a file is not in its place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The path is a link.
    #[error("{0} is a symbolic link, which is not followed: put a real file or folder there")]
    Link(PathBuf),
    /// The path is something else than it should be.
    #[error("{path} is not a {kind}: move it out of the way")]
    Kind {
        /// The path.
        path: PathBuf,
        /// What it should be.
        kind: &'static str,
    },
    /// Others could replace what is written there.
    #[error(
        "{0} can be written by others than its owner: chmod go-w it, or sshd will not believe what is in it"
    )]
    Writable(PathBuf),
    /// The system said no.
    #[error("{path} cannot be {what}: {cause}")]
    System {
        /// The path.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        cause: io::Error,
    },
}

impl PlaceError {
    fn system(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |cause| Self::System { path, what, cause }
    }
}

/// Checks a folder that must be there.
///
/// # Errors
/// When it is a link, not a folder, or open to others.
pub fn check_folder(path: &Path) -> Result<(), PlaceError> {
    let metadata = fs::symlink_metadata(path).map_err(PlaceError::system(path, "read"))?;
    if metadata.is_symlink() {
        return Err(PlaceError::Link(path.to_path_buf()));
    }
    if !metadata.is_dir() {
        return Err(PlaceError::Kind { path: path.to_path_buf(), kind: "folder" });
    }
    if metadata.permissions().mode() & 0o022 != 0 {
        return Err(PlaceError::Writable(path.to_path_buf()));
    }
    Ok(())
}

/// Makes a folder, or checks the one that is there and gives it the mode that logins need.
///
/// # Errors
/// As [`check_folder`], or when it cannot be made.
pub fn make_folder(path: &Path) -> Result<(), PlaceError> {
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => check_folder(path)?,
        Err(e) => return Err(PlaceError::system(path, "made")(e)),
    }
    // The umask may have taken what other users need to reach their file.
    fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))
        .map_err(PlaceError::system(path, "opened to readers"))
}

/// What is at a path, if it is a plain file; none if nothing is.
///
/// # Errors
/// When something else than a plain file is there.
pub fn read_plain(path: &Path) -> Result<Option<Vec<u8>>, PlaceError> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(PlaceError::system(path, "read")(e)),
        Ok(metadata) if metadata.is_symlink() => Err(PlaceError::Link(path.to_path_buf())),
        Ok(metadata) if !metadata.is_file() => {
            Err(PlaceError::Kind { path: path.to_path_buf(), kind: "plain file" })
        }
        Ok(_) => fs::read(path).map(Some).map_err(PlaceError::system(path, "read")),
    }
}

/// Writes a file beside its place, flushes it and renames it there, so that sshd sees the old one or the new one.
/// Answers whether anything had to be changed.
///
/// # Errors
/// When its place is taken by something else, or the system refuses.
pub fn put_file(path: &Path, contents: &[u8]) -> Result<bool, PlaceError> {
    if read_plain(path)?.as_deref() == Some(contents) && mode_of(path)? == FILE_MODE {
        return Ok(false);
    }
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    // No login and no `*.conf` starts with a dot: nobody reads it before it has its name.
    let beside = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = write_new(&beside, contents)
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()));
    if let Err(cause) = written {
        let _ = fs::remove_file(&beside);
        return Err(PlaceError::system(path, "written")(cause));
    }
    Ok(true)
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    // One that a killed run with this process id left behind.
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    file.write_all(contents)?;
    file.sync_all()
}

fn mode_of(path: &Path) -> Result<u32, PlaceError> {
    let metadata = fs::symlink_metadata(path).map_err(PlaceError::system(path, "read"))?;
    Ok(metadata.permissions().mode() & 0o7777)
}
