//! Where things are kept: configuration (public) and the runtime folder (session, certificates, keys), and the
//! rules for both: ours, private, never through a symbolic link, replaced in one step.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jit_ssh_proto::CaId;
use rand::RngCore;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// No file of ours is larger.
const MAX_FILE: u64 = 1024 * 1024;

/// The two folders. They are made when something is first written.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    config: PathBuf,
    runtime: PathBuf,
}

impl Paths {
    /// From the environment.
    pub(crate) fn from_env() -> Result<Self> {
        Self::find(
            &|name| std::env::var_os(name).filter(|v| !v.is_empty()),
            rustix::process::geteuid().as_raw(),
        )
    }

    /// `JIT_SSH_CONFIG_DIR` and `JIT_SSH_RUNTIME_DIR`, else the folders of the XDG base directory specification.
    /// A runtime folder of the system counts only if it is ours: otherwise the state folder in the home is used.
    fn find(variable: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> Result<Self> {
        let given = |name: &str| -> Result<Option<PathBuf>> {
            match variable(name).map(PathBuf::from) {
                Some(path) if path.is_absolute() => Ok(Some(path)),
                Some(path) => Err(Error::Local(format!(
                    "{name} is {}, which is no absolute path: set it to one or unset it",
                    path.display()
                ))),
                None => Ok(None),
            }
        };
        // The specification says that relative paths are to be ignored.
        let xdg = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || {
            xdg("HOME").ok_or_else(|| {
                Error::Local(
                    "HOME is not set to a folder: set it, or JIT_SSH_CONFIG_DIR and JIT_SSH_RUNTIME_DIR"
                        .into(),
                )
            })
        };
        let config = match given("JIT_SSH_CONFIG_DIR")? {
            Some(path) => path,
            None => match xdg("XDG_CONFIG_HOME") {
                Some(base) => base.join("jit-ssh"),
                None => home()?.join(".config/jit-ssh"),
            },
        };
        let runtime = match (given("JIT_SSH_RUNTIME_DIR")?, xdg("XDG_RUNTIME_DIR")) {
            (Some(path), _) => path,
            (None, Some(base)) if check_folder(&base, uid, 0o022).is_ok() => base.join("jit-ssh"),
            (None, _) => match xdg("XDG_STATE_HOME") {
                Some(base) => base.join("jit-ssh"),
                None => home()?.join(".local/state/jit-ssh"),
            },
        };
        Ok(Self { config, runtime })
    }

    #[cfg(test)]
    pub(crate) fn below(folder: &Path) -> Self {
        Self { config: folder.join("config"), runtime: folder.join("runtime") }
    }

    /// The configuration folder, made if it is missing and checked: ours, and nobody else may write there.
    pub(crate) fn config(&self) -> Result<&Path> {
        prepare(&self.config, 0o022)?;
        Ok(&self.config)
    }

    /// The runtime folder, made if it is missing and checked: ours, and nobody else may look into it.
    pub(crate) fn runtime(&self) -> Result<&Path> {
        prepare(&self.runtime, 0o077)?;
        Ok(&self.runtime)
    }

    /// Whether there is a runtime folder: one that its owner removed is not to be made again just to look into it.
    pub(crate) fn runtime_exists(&self) -> bool {
        self.runtime.exists()
    }

    /// The folder of held certificates.
    pub(crate) fn held(&self) -> Result<PathBuf> {
        private_folder(&self.runtime()?.join("held"))
    }

    /// The folder of what has been seen of a CA's ledger: beside the pin, because it must outlive a reboot.
    pub(crate) fn ledger(&self, ca: &CaId) -> Result<PathBuf> {
        private_folder(&private_folder(&self.config()?.join("ledger"))?.join(ca.to_string()))
    }
}

/// A folder inside one of ours, made if it is missing and checked: nobody else may look into it.
pub(crate) fn private_folder(path: &Path) -> Result<PathBuf> {
    prepare(path, 0o077)?;
    Ok(path.to_owned())
}

fn prepare(path: &Path, forbidden: u32) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    // What is there already is judged below, whatever it is.
    made.or_else(|e| if e.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(e) })
        .map_err(|e| Error::io("make the folder", path, &e))?;
    check_folder(path, rustix::process::geteuid().as_raw(), forbidden).map_err(Error::Local)
}

fn check_folder(path: &Path, uid: u32, forbidden: u32) -> std::result::Result<(), String> {
    let shown = path.display();
    let meta = fs::symlink_metadata(path).map_err(|e| format!("cannot look at {shown}: {e}"))?;
    if meta.is_symlink() {
        return Err(format!("{shown} is a symbolic link: put a folder of your own there"));
    }
    if !meta.is_dir() {
        return Err(format!("{shown} is not a folder: move it out of the way"));
    }
    if meta.uid() != uid {
        return Err(format!("{shown} belongs to user {}, not to you: use a folder of your own", meta.uid()));
    }
    if meta.mode() & forbidden != 0 {
        return Err(format!(
            "{shown} has mode {:04o}, which lets others in: run chmod 700 {shown}",
            meta.mode() & 0o7777
        ));
    }
    Ok(())
}

/// Writes a file in one step: a reader sees the old one or the new one, and nobody else can read it.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result<()> {
    write_beside(path, contents, |temporary| fs::rename(temporary, path))
}

/// The same where there is no such file yet; whether it was written. Of several at once one is the first.
pub(crate) fn write_new(path: &Path, contents: &[u8]) -> Result<bool> {
    let mut first = true;
    write_beside(path, contents, |temporary| {
        let linked = fs::hard_link(temporary, path);
        first = linked.is_ok();
        match linked {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            Ok(()) | Err(_) => fs::remove_file(temporary),
        }
    })?;
    Ok(first)
}

/// Writes a whole file beside the one that is meant, and then puts it in its place.
fn write_beside(path: &Path, contents: &[u8], place: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    let fail = |e: &io::Error| Error::io("write", path, e);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Err(fail(&io::ErrorKind::InvalidInput.into()));
    };
    let temporary = folder.join(format!(".{name}.{:016x}", rand::rngs::OsRng.next_u64()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()))
        .and_then(|()| place(&temporary));
    written.map_err(|e| {
        // Leave nothing half-written behind; the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        fail(&e)
    })
}

/// Reads a file of ours; none if there is none. Refuses what others could have written or read (`forbidden`
/// permission bits), and what is no plain file.
pub(crate) fn read(path: &Path, forbidden: u32) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = match OpenOptions::new().read(true).custom_flags(nofollow | nonblock).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, &e)),
    };
    read_open(&file, path, forbidden).map(Some)
}

fn read_open(file: &File, path: &Path, forbidden: u32) -> Result<Zeroizing<Vec<u8>>> {
    let meta = file.metadata().map_err(|e| Error::io("look at", path, &e))?;
    let shown = path.display();
    if !meta.is_file() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & forbidden != 0 {
        return Err(Error::Local(format!(
            "{shown} is not a file that is yours alone (owner {}, mode {:04o}): remove it and try again",
            meta.uid(),
            meta.mode() & 0o7777
        )));
    }
    let mut contents =
        Zeroizing::new(Vec::with_capacity(usize::try_from(meta.len().min(MAX_FILE)).unwrap_or(0)));
    file.take(MAX_FILE + 1).read_to_end(&mut contents).map_err(|e| Error::io("read", path, &e))?;
    if u64::try_from(contents.len()).is_ok_and(|n| n <= MAX_FILE) {
        Ok(contents)
    } else {
        Err(Error::Local(format!("{shown} is larger than any file of jit-ssh: remove it and try again")))
    }
}

/// Removes a file; that it is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, &e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn find(variables: &[(&str, &str)]) -> Result<Paths> {
        let uid = rustix::process::geteuid().as_raw();
        Paths::find(&|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v)), uid)
    }

    #[test]
    fn where_things_are() {
        let folder = tempfile::tempdir().unwrap();
        let ours = folder.path().to_str().unwrap();
        let loose = folder.path().join("loose");
        fs::create_dir(&loose).unwrap();
        mode(&loose, 0o777);
        for (variables, config, runtime) in [
            (vec![("HOME", "/h")], "/h/.config/jit-ssh", "/h/.local/state/jit-ssh".to_owned()),
            (
                vec![("HOME", "/h"), ("XDG_RUNTIME_DIR", ours)],
                "/h/.config/jit-ssh",
                format!("{ours}/jit-ssh"),
            ),
            // Not there, loose, relative: the home is used.
            (
                vec![("HOME", "/h"), ("XDG_RUNTIME_DIR", "/nowhere/at/all"), ("XDG_CONFIG_HOME", "/c")],
                "/c/jit-ssh",
                "/h/.local/state/jit-ssh".to_owned(),
            ),
            (
                vec![("HOME", "/h"), ("XDG_RUNTIME_DIR", loose.to_str().unwrap()), ("XDG_STATE_HOME", "/s")],
                "/h/.config/jit-ssh",
                "/s/jit-ssh".to_owned(),
            ),
            (
                vec![("HOME", "/h"), ("XDG_CONFIG_HOME", "c"), ("XDG_STATE_HOME", "s")],
                "/h/.config/jit-ssh",
                "/h/.local/state/jit-ssh".to_owned(),
            ),
            (vec![("JIT_SSH_CONFIG_DIR", "/x"), ("JIT_SSH_RUNTIME_DIR", "/y")], "/x", "/y".to_owned()),
        ] {
            let paths = find(&variables).unwrap();
            assert_eq!(
                (paths.config, paths.runtime),
                (PathBuf::from(config), PathBuf::from(runtime)),
                "{variables:?}"
            );
        }
        assert!(find(&[]).is_err());
        assert!(find(&[("JIT_SSH_CONFIG_DIR", "x"), ("HOME", "/h")]).is_err());
    }

    #[test]
    fn folders_that_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        let runtime = folder.path().join("runtime");
        assert_eq!(fs::metadata(paths.runtime().unwrap()).unwrap().mode() & 0o777, 0o700);
        for open in [0o770, 0o707, 0o750, 0o701] {
            mode(&runtime, open);
            assert!(paths.runtime().unwrap_err().to_string().contains("chmod 700"), "{open:o}");
        }
        fs::remove_dir(&runtime).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        mode(&elsewhere, 0o700);
        symlink(&elsewhere, &runtime).unwrap();
        assert!(paths.runtime().unwrap_err().to_string().contains("symbolic link"));
        fs::remove_file(&runtime).unwrap();
        fs::write(&runtime, "").unwrap();
        assert!(paths.runtime().is_err());
        assert!(check_folder(&elsewhere, 12345, 0o077).unwrap_err().contains("not to you"));
    }

    #[test]
    fn files_that_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(read(&path, 0o077).unwrap().is_none());
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 0o077).unwrap().unwrap().as_slice(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        mode(&path, 0o640);
        assert!(read(&path, 0o077).is_err());
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(read(&link, 0).is_err());
        assert!(read(folder.path(), 0).is_err());
        fs::write(&path, vec![b'x'; 1024 * 1024 + 1]).unwrap();
        assert!(read(&path, 0).is_err());
        assert!(write(&folder.path().join("no/such/folder"), b"x").is_err());
        fs::remove_file(&path).unwrap();
        assert!(write_new(&path, b"first").unwrap() && !write_new(&path, b"second").unwrap());
        assert_eq!(read(&path, 0o077).unwrap().unwrap().as_slice(), b"first");
        assert!(write_new(&folder.path().join("no/such/folder"), b"x").is_err());
    }
}
