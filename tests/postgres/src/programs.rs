//! PostgreSQL's programs, where Debian puts them, and the user that they run as: they refuse to run as root.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The packages' folder: below it one folder a version.
const PLACE: &str = "/usr/lib/postgresql";

/// The programs of one version.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
    version: u32,
    /// Who runs them, if we may not: user and group.
    user: Option<(u32, u32)>,
}

/// Whether PostgreSQL is installed.
#[must_use]
pub fn are_there() -> bool {
    newest().is_some()
}

impl Programs {
    /// The newest that is installed.
    ///
    /// # Errors
    /// When none is.
    pub fn find() -> Result<Self> {
        let (version, folder) = newest().with_context(|| {
            format!("PostgreSQL is not in {PLACE}: run `cargo xtask test`, or install Debian's postgresql")
        })?;
        let user = if rustix::process::geteuid().is_root() { Some(unprivileged()?) } else { None };
        Ok(Self { folder, version, user })
    }

    /// The major version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A call of one of them, without anything of our environment that it would listen to.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.file(name));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        // A folder that it may enter, whoever it runs as.
        command.current_dir("/");
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Makes a file or folder the user's who runs them.
    pub(crate) fn give(&self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.user {
            chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }
}

fn newest() -> Option<(u32, PathBuf)> {
    let version = |folder: PathBuf| Some((folder.file_name()?.to_str()?.parse().ok()?, folder.join("bin")));
    let folders = fs::read_dir(PLACE).ok()?.filter_map(|entry| version(entry.ok()?.path()));
    folders.filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("postgres").is_file()).max()
}

/// The package's own user, or else the one that owns nothing.
fn unprivileged() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .context("PostgreSQL does not run as root, and there is no other user")
}
