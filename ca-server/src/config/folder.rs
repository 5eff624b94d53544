//! The folders that rules are read from, `policies/` and `inventory/`: which of their files count, and their texts.
//!
//! What a folder seems to lack may only be out of reach: a mount that is gone, a file system that did not come up, a
//! name that a script got wrong. So a folder that is not there, one without any file of its kind, and files in a folder
//! below, where nothing is read, are refused: nobody is locked out, and no forbid is forgotten, because of them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jit_ssh_core::{inventory, policy};

use super::ConfigError;

/// The files of a folder with this extension, by name. Names that begin with a dot do not count.
fn list(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, ConfigError> {
    let entries = fs::read_dir(folder).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            unfit(
                folder,
                "there is no such folder: put it back, or name a data directory that `jit-ssh-ca init` made",
            )
        } else {
            unreadable(folder, &error)
        }
    })?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        let wanted = path.extension().is_some_and(|e| e == extension);
        // Links are followed: those of a mounted configuration map lead to its files.
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => {
                return Err(unfit(
                    &path,
                    &format!(
                        "it is a folder, and files in folders are not read: put its files into {} itself, or let its \
                         name begin with a dot",
                        folder.display()
                    ),
                ));
            }
            Ok(found) if wanted && found.is_file() => paths.push(path),
            // A pipe or a device would be read for ever.
            Ok(_) if wanted => {
                return Err(unfit(&path, "it is no regular file: remove it or rename it"));
            }
            Err(error) if wanted => return Err(unreadable(&path, &error)),
            Ok(_) | Err(_) => {}
        }
    }
    paths.sort();
    Ok(paths)
}

/// The same, of which there must be one at least.
pub(super) fn list_some(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, ConfigError> {
    let files = list(folder, extension)?;
    if files.is_empty() {
        let what = format!(
            "there is no *.{extension} file in it: put them back, or, if that is how it is to be, write one with nothing \
             but a comment"
        );
        return Err(unfit(folder, &what));
    }
    Ok(files)
}

/// The texts of the files of a folder with this extension, by name.
pub(crate) fn read_all(folder: &Path, extension: &str) -> Result<Vec<(PathBuf, String)>, ConfigError> {
    list(folder, extension)?.into_iter().map(|path| read(path, most(extension))).collect()
}

/// The same, of which there must be one at least.
pub(crate) fn read_some(folder: &Path, extension: &str) -> Result<Vec<(PathBuf, String)>, ConfigError> {
    list_some(folder, extension)?.into_iter().map(|path| read(path, most(extension))).collect()
}

/// How large a file may be, in bytes.
fn most(extension: &str) -> usize {
    if extension == "cedar" { policy::MAX_FILE_BYTES } else { inventory::MAX_FILE_BYTES }
}

/// Reads a file, and no more of it than it may have.
fn read(path: PathBuf, most: usize) -> Result<(PathBuf, String), ConfigError> {
    let too_large =
        |path: &Path| unfit(path, &format!("it has more than {most} bytes: split it into several files"));
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (size, file) = opened.map_err(|error| unreadable(&path, &error))?;
    if size > most {
        return Err(too_large(&path));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    // It may grow while it is read.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| unreadable(&path, &error))?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size > most) {
        return Err(too_large(&path));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((path, text)),
        Err(_) => Err(unfit(&path, "it is no UTF-8 text: save it as UTF-8")),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    unfit(path, &format!("it cannot be read ({error}): let the user that the CA runs as read it"))
}

fn unfit(path: &Path, what: &str) -> ConfigError {
    ConfigError::Unfit { path: path.to_path_buf(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refused(folder: &Path) -> String {
        list_some(folder, "cedar").unwrap_err().to_string()
    }

    #[test]
    fn what_seems_to_lack_files_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("policies");
        let at = folder.display().to_string();
        assert!(refused(&folder).starts_with(&format!("{at}: there is no such folder: put it back")));
        fs::create_dir(&folder).unwrap();
        // What does not count is not there.
        for name in ["README.md", ".hidden.cedar", "10.cedar.bak", "10.test.toml"] {
            fs::write(folder.join(name), "").unwrap();
        }
        fs::create_dir_all(folder.join(".git/a.cedar")).unwrap();
        symlink("nowhere", folder.join("README.txt")).unwrap();
        assert!(
            refused(&folder).starts_with(&format!("{at}: there is no *.cedar file in it: put them back"))
        );
        assert_eq!(list(&folder, "cedar").unwrap(), Vec::<PathBuf>::new());
        // An empty file is one: that is how to say that nobody is allowed anything.
        fs::write(folder.join("10.cedar"), "").unwrap();
        assert_eq!(read_some(&folder, "cedar").unwrap(), [(folder.join("10.cedar"), String::new())]);
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(refused(&file).contains("it cannot be read (Not a directory"));
    }

    #[test]
    fn what_would_not_be_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path();
        fs::write(folder.join("10.cedar"), "").unwrap();
        let refused_with = |name: &str, why: &str| {
            let said = refused(folder);
            assert!(said.starts_with(&format!("{}: it {why}", folder.join(name).display())), "{said}");
        };
        fs::create_dir(folder.join("team")).unwrap();
        refused_with("team", "is a folder, and files in folders are not read: put its files into ");
        fs::rename(folder.join("team"), folder.join("team.cedar")).unwrap();
        refused_with("team.cedar", "is a folder, ");
        fs::remove_dir(folder.join("team.cedar")).unwrap();
        // A link to a folder is one.
        symlink(folder, folder.join("self")).unwrap();
        refused_with("self", "is a folder, ");
        fs::remove_file(folder.join("self")).unwrap();
        symlink("/dev/zero", folder.join("20.cedar")).unwrap();
        refused_with("20.cedar", "is no regular file");
        fs::remove_file(folder.join("20.cedar")).unwrap();
        symlink("nowhere", folder.join("20.cedar")).unwrap();
        refused_with("20.cedar", "cannot be read (No such file");
    }

    #[test]
    fn no_more_is_read_than_a_file_may_have() {
        let home = tempfile::tempdir().unwrap();
        let (cedar, toml) = (home.path().join("10.cedar"), home.path().join("hosts.toml"));
        fs::write(&cedar, "/".repeat(policy::MAX_FILE_BYTES)).unwrap();
        assert_eq!(read_some(home.path(), "cedar").unwrap()[0].1.len(), policy::MAX_FILE_BYTES);
        // Sparse: none of these is to be in memory.
        for (path, size) in [(&cedar, policy::MAX_FILE_BYTES + 1), (&toml, 1 << 42)] {
            File::create(path).unwrap().set_len(u64::try_from(size).unwrap()).unwrap();
            let extension = path.extension().unwrap().to_str().unwrap();
            let said = read_some(home.path(), extension).unwrap_err().to_string();
            assert_eq!(
                said,
                format!(
                    "{}: it has more than {} bytes: split it into several files",
                    path.display(),
                    most(extension)
                )
            );
        }
        // Of what says that it is smaller than it is, such as what grows, no more either.
        let endless = read(PathBuf::from("/dev/zero"), 1000).unwrap_err().to_string();
        assert!(endless.contains("more than 1000 bytes"), "{endless}");
        fs::write(&cedar, b"// \xff").unwrap();
        assert!(read_some(home.path(), "cedar").unwrap_err().to_string().contains("no UTF-8 text"));
    }
}
