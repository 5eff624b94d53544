//! The files of a host: what they are, in which order they are written, and what is left from earlier.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use jit_ssh_proto::{DropIn, Name, UserKey, principals_file};
use serde::Serialize;

use crate::configuration::{DROP_IN, warnings};
use crate::place::{PlaceError, check_folder, make_folder, put_file, read_plain};

/// The first line of every principals file of ours: what `--prune` may remove begins with it.
const HEADER: &str = "# Written by jit-ssh-host. The next run replaces it.\n";

/// What the files are to say.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The folder of sshd's configuration.
    pub folder: PathBuf,
    /// This host.
    pub name: Name,
    /// Its groups, in the order of the lines.
    pub groups: Vec<Name>,
    /// The logins that certificates may open.
    pub logins: Vec<Name>,
    /// The hosts it is a bastion for.
    pub fronts: Vec<Name>,
    /// The keys that sign certificates for people.
    pub authorities: Vec<UserKey>,
    /// Whether to remove what an earlier run wrote for other logins.
    pub prune: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Each file, in the order of writing.
    pub files: Vec<Placed>,
    /// Principals files of earlier runs that are still there.
    pub leftover: Vec<PathBuf>,
    /// What the operator should look at.
    pub warnings: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, Serialize)]
pub struct Placed {
    /// Where.
    pub path: PathBuf,
    /// What was done.
    pub state: State,
}

/// What was done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is new or different.
    Written,
    /// It was already right.
    Unchanged,
    /// It is somebody else's to change.
    Kept,
    /// It is gone.
    Removed,
}

impl State {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Unchanged => "unchanged",
            Self::Kept => "kept",
            Self::Removed => "removed",
        }
    }
}

/// Why the files are not all there. What was written before stays: every state on the way is one that sshd can read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The folder would not survive being written into sshd's configuration.
    #[error(
        "--dir {0} cannot be used: give an absolute path of letters, digits, '/', '.', '_' and '-', without '..'"
    )]
    Folder(PathBuf),
    /// No key to trust.
    #[error("there is no CA key to trust: give --bundle or --user-ca")]
    NoAuthority,
    /// A file or folder could not be put in its place.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// Writes everything, the drop-in last: before it is there, sshd knows of nothing.
///
/// # Errors
/// The first path that is not as it must be.
pub fn install(wanted: &Wanted) -> Result<Report, FilesError> {
    // 1. What is asked for must make sense before anything is touched.
    let ours = checked_folder(&wanted.folder)?.join("jit-ssh");
    if wanted.authorities.is_empty() {
        return Err(FilesError::NoAuthority);
    }
    // 2. Folders.
    let (principals, drop_ins) = (ours.join("principals"), wanted.folder.join("sshd_config.d"));
    for folder in [&ours, &principals, &drop_ins] {
        make_folder(folder)?;
    }
    // 3. Whom to trust, what is revoked, who may be whom.
    let mut report = Report::default();
    report.put(ours.join("user_ca.pub"), &authority_lines(&wanted.authorities))?;
    report.keep_or_put(ours.join("revoked.krl"))?;
    let logins: BTreeSet<&Name> = wanted.logins.iter().collect();
    for login in &logins {
        let lines =
            principals_file(login, &wanted.name, &each_once(&wanted.groups), &each_once(&wanted.fronts));
        report.put(principals.join(login.as_str()), &format!("{HEADER}{lines}"))?;
    }
    // 4. What earlier runs wrote for logins that are not named any more.
    for path in earlier(&principals, &logins)? {
        if wanted.prune {
            fs::remove_file(&path).map_err(|cause| PlaceError::System {
                path: path.clone(),
                what: "removed",
                cause,
            })?;
            report.files.push(Placed { path, state: State::Removed });
        } else {
            report.leftover.push(path);
        }
    }
    // 5. The drop-in makes it count.
    let folder = ours.to_string_lossy();
    report.put(drop_ins.join(DROP_IN), &DropIn { folder: &folder }.render())?;
    report.warnings = warnings(&wanted.folder);
    Ok(report)
}

impl Report {
    fn put(&mut self, path: PathBuf, contents: &str) -> Result<(), PlaceError> {
        let state = if put_file(&path, contents.as_bytes())? { State::Written } else { State::Unchanged };
        self.files.push(Placed { path, state });
        Ok(())
    }

    /// An empty list revokes nothing; one that is there may revoke something, so it stays. Without the file sshd
    /// refuses every key.
    fn keep_or_put(&mut self, path: PathBuf) -> Result<(), PlaceError> {
        match read_plain(&path)? {
            Some(contents) if !contents.is_empty() => {
                self.files.push(Placed { path, state: State::Kept });
                Ok(())
            }
            Some(_) | None => self.put(path, ""),
        }
    }
}

/// sshd's configuration takes the path unquoted, and `%` would be a token.
fn checked_folder(folder: &Path) -> Result<&Path, FilesError> {
    let wrong = || FilesError::Folder(folder.to_path_buf());
    let text = folder.to_str().ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if !folder.is_absolute() || !text.chars().all(plain) || text.split('/').any(|part| part == "..") {
        return Err(wrong());
    }
    check_folder(folder)?;
    Ok(folder)
}

fn authority_lines(authorities: &[UserKey]) -> String {
    each_once(authorities).iter().map(|key| format!("{key} jit-ssh user CA\n")).collect()
}

/// The first of each, in order.
fn each_once<T: Clone + PartialEq>(list: &[T]) -> Vec<T> {
    let mut once = Vec::with_capacity(list.len());
    for item in list {
        if !once.contains(item) {
            once.push(item.clone());
        }
    }
    once
}

/// Our principals files for logins that are not named, by name.
fn earlier(folder: &Path, logins: &BTreeSet<&Name>) -> Result<Vec<PathBuf>, PlaceError> {
    let unreadable = |cause| PlaceError::System { path: folder.to_path_buf(), what: "listed", cause };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let login: Option<Name> = path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse().ok());
        let Some(login) = login else { continue };
        if logins.contains(&login) {
            continue;
        }
        if read_plain(&path)?.is_some_and(|contents| contents.starts_with(HEADER.as_bytes())) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
