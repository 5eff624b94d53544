//! The folders that rules are read from, `policies/` and `inventory/`: which of their files count, and their texts.
//!
//! What a folder seems to lack may only be out of reach: a mount that is gone, a file system that did not come up, a
//! name that a script got wrong. So a folder that is not there, one without any file of its kind, files in a folder
//! below, where nothing is read, and files of nearly the right name are refused: nobody is locked out, and no forbid is
//! forgotten, because of them.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jit_ssh_core::position::closest;
use jit_ssh_core::{inventory, policy};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::ConfigError;

/// Everything in a folder whose name does not begin with a dot, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
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
    let hidden = |entry: &DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    let visible = entries.filter(|entry| !entry.as_ref().is_ok_and(hidden));
    let paths = visible.map(|entry| Ok(entry.map_err(|error| unreadable(folder, &error))?.path()));
    let mut paths = paths.collect::<Result<Vec<_>, ConfigError>>()?;
    paths.sort();
    Ok(paths)
}

/// The files of a folder with this extension, by name. Names that begin with a dot do not count.
fn list(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, ConfigError> {
    let mut paths = Vec::new();
    for path in entries(folder)? {
        let wanted = path.extension().is_some_and(|e| e == extension);
        if is_nearly(&path, extension) {
            let what = format!(
                "it looks like a *.{extension} file, and by this name it is not read: let its name end in .{extension}, or \
                 begin with a dot"
            );
            return Err(unfit(&path, &what));
        }
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
            Ok(found) if wanted && !found.is_file() => return Err(no_file(&path)),
            Ok(_) if wanted => paths.push(path),
            Err(error) if wanted => return Err(unreadable(&path, &error)),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(paths)
}

/// Whether a name seems to be meant to end in `.cedar`, say, and does not: in capitals, with a space after it, or
/// misspelt. Copies that editors and scripts leave (`10.cedar~`, `10.cedar.bak`) are not meant.
fn is_nearly(path: &Path, extension: &str) -> bool {
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let meant = name.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let end = meant.rsplit_once('.').map(|(_, end)| end.trim().to_lowercase()).unwrap_or_default();
    let near = end.chars().all(char::is_alphabetic) && closest(&end, [extension]).is_some();
    near && path.extension().is_none_or(|e| e != extension)
}

/// What is in a folder of files with this extension and is none of them: nobody reads it. Not what is known to be for
/// others: cases, the schema, and what explains the folder.
pub(crate) fn ignored(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, ConfigError> {
    let counts = |path: &PathBuf| {
        let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
        let beside = extension == "cedar" && (name.ends_with(".test.toml") || name == "schema.cedarschema");
        beside || name.ends_with(&format!(".{extension}")) || name.starts_with("README")
    };
    Ok(entries(folder)?.into_iter().filter(|path| !counts(path)).collect())
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
    // What is opened may be something else than what was found: nobody waits for the other end of a pipe.
    let at_once = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(at_once).open(&path);
    let opened = opened.and_then(|file| Ok((file.metadata()?, file)));
    let (found, file) = opened.map_err(|error| unreadable(&path, &error))?;
    if !found.is_file() {
        return Err(no_file(&path));
    }
    let size = found.len();
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
    let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let missing = error.kind() == io::ErrorKind::NotFound;
    if missing && is_link {
        unfit(path, "it is a link that leads nowhere: put back what it leads to, or remove it")
    } else if missing {
        unfit(path, "it went away while it was read: put it back, or try again")
    } else if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        unfit(path, "it is a link that leads back to itself: let it lead to a file, or remove it")
    } else {
        unfit(path, &format!("it cannot be read ({error}): let the user that the CA runs as read it"))
    }
}

/// A pipe or a device would be read for ever.
fn no_file(path: &Path) -> ConfigError {
    unfit(path, "it is no regular file: remove it or rename it")
}

fn unfit(path: &Path, what: &str) -> ConfigError {
    ConfigError::Unfit { path: path.to_path_buf(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::File;
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
        refused_with("20.cedar", "is a link that leads nowhere: put back what it leads to");
        fs::remove_file(folder.join("20.cedar")).unwrap();
        symlink("20.cedar", folder.join("20.cedar")).unwrap();
        refused_with("20.cedar", "is a link that leads back to itself");
        fs::remove_file(folder.join("20.cedar")).unwrap();
        assert!(list_some(folder, "cedar").is_ok());
    }

    #[test]
    fn files_of_nearly_the_right_name_are_refused_and_others_are_told() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path();
        fs::write(folder.join("10.cedar"), "").unwrap();
        fs::write(folder.join("hosts.toml"), "").unwrap();
        for (extension, name) in [
            ("cedar", "20.CEDAR"),
            ("cedar", "20.Cedar"),
            ("cedar", "20.cedar "),
            ("cedar", "20.cedar."),
            ("cedar", "20. cedar"),
            ("cedar", "20.ceder"),
            ("cedar", "20.cedr"),
            ("cedar", "20.cedra"),
            // A letter that only looks like one of them.
            ("cedar", "20.\u{441}edar"),
            ("toml", "more.TOML"),
            ("toml", "more.tml"),
            ("toml", "more.toml\n"),
        ] {
            let path = folder.join(name);
            fs::write(&path, "").unwrap();
            let said = list_some(folder, extension).unwrap_err().to_string();
            let expected = format!("it looks like a *.{extension} file, and by this name it is not read");
            assert!(said.contains(&expected), "{name:?}: {said}");
            // What is meant to be a policy is none of an inventory's, and the other way round.
            assert!(
                list_some(folder, if extension == "toml" { "cedar" } else { "toml" }).is_ok(),
                "{name:?}"
            );
            fs::remove_file(path).unwrap();
        }
        let told =
            ["10.cedar.bak", "10.cedar~", "10.cedar-old", "notes.txt", "cedar", "more.yaml", "hosts.html"];
        let quiet = ["README.md", "10.test.toml", "schema.cedarschema", ".10.CEDAR", ".#10.cedar"];
        for name in told.iter().chain(&quiet) {
            fs::write(folder.join(name), "").unwrap();
        }
        symlink("nowhere", folder.join("link")).unwrap();
        assert_eq!(list_some(folder, "cedar").unwrap(), [folder.join("10.cedar")]);
        let names = |extension| -> BTreeSet<String> {
            let paths = ignored(folder, extension).unwrap();
            paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        let also =
            |more: &[&str]| told.iter().chain(more).map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(names("cedar"), also(&["link", "hosts.toml"]));
        assert_eq!(names("toml"), also(&["link", "10.cedar", "schema.cedarschema"]));
    }

    /// What was a file when it was looked for, and is none when it is opened.
    #[test]
    fn nobody_waits_for_the_other_end_of_a_pipe() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("10.cedar");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [pipe, "/dev/zero".into(), home.path().to_path_buf()] {
            let said = read(path, 1000).unwrap_err().to_string();
            assert!(said.contains("it is no regular file"), "{said}");
        }
        let gone = read(home.path().join("gone"), 1000).unwrap_err().to_string();
        assert!(gone.contains("it went away while it was read"), "{gone}");
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
        let longer = read(PathBuf::from("/proc/self/status"), 100).unwrap_err().to_string();
        assert!(longer.contains("more than 100 bytes"), "{longer}");
        fs::write(&cedar, b"// \xff").unwrap();
        assert!(read_some(home.path(), "cedar").unwrap_err().to_string().contains("no UTF-8 text"));
    }
}
