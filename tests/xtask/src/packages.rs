//! Debian packages that the tests and the demo need: installed where we may, named where we may not.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::shell;

/// A package and what shows that it is there: a program, or a file's path, in which one folder may be any (`*`).
pub(crate) struct Package {
    name: &'static str,
    shown_by: &'static str,
}

impl Package {
    const fn new(name: &'static str, shown_by: &'static str) -> Self {
        Self { name, shown_by }
    }

    fn is_there(&self) -> bool {
        if let Some((above, below)) = self.shown_by.split_once("/*/") {
            let folders = fs::read_dir(above).into_iter().flatten().flatten();
            folders.map(|folder| folder.path().join(below)).any(|file| file.exists())
        } else if self.shown_by.starts_with('/') {
            Path::new(self.shown_by).exists()
        } else {
            shell::find(self.shown_by).is_some()
        }
    }
}

/// What the demo runs: a real sshd and OpenSSH's own client.
pub(crate) const DEMO: &[Package] =
    &[Package::new("openssh-server", "sshd"), Package::new("openssh-client", "ssh-keygen")];

/// What the tests run beside that: a certified OpenID Connect provider on Node, PostgreSQL (only its programs: tests
/// start servers of their own), and what the documents' commands use (`script` is the terminal at which they ask).
pub(crate) const TEST: &[Package] = &[
    Package::new("openssh-server", "sshd"),
    Package::new("openssh-client", "ssh-keygen"),
    Package::new("nodejs", "node"),
    Package::new("npm", "npm"),
    Package::new("postgresql", "/usr/lib/postgresql/*/bin/initdb"),
    Package::new("curl", "curl"),
    Package::new("bsdutils", "script"),
];

/// How this process may install packages.
#[derive(Debug, PartialEq, Eq)]
enum Power {
    Root,
    Sudo,
    None,
}

/// Makes sure that all packages are there.
///
/// # Errors
/// When some are missing and cannot be installed from here; the error names them and the command.
pub(crate) fn ensure(packages: &[Package]) -> Result<()> {
    let missing: Vec<_> = packages.iter().filter(|package| !package.is_there()).map(|p| p.name).collect();
    if missing.is_empty() {
        let names: Vec<_> = packages.iter().map(|package| package.name).collect();
        eprintln!("already there: {}", names.join(", "));
        return Ok(());
    }
    let power = if shell::find("apt-get").is_some() { power() } else { Power::None };
    if power == Power::None {
        bail!("{}", by_hand(&missing));
    }
    shell::must(&mut apt(&power, &["update"]))?;
    shell::must(apt(&power, &["install", "--yes", "--no-install-recommends"]).args(&missing))?;
    let still: Vec<_> = packages.iter().filter(|package| !package.is_there()).map(|p| p.name).collect();
    if !still.is_empty() {
        bail!("apt-get installed {}, yet what they should bring is not there", still.join(", "));
    }
    Ok(())
}

fn by_hand(missing: &[&str]) -> String {
    let names = missing.join(" ");
    format!(
        "these packages are missing and cannot be installed from here: {names}; on Debian or Ubuntu run \
         `sudo apt-get update && sudo apt-get install --no-install-recommends {names}`, then try again"
    )
}

fn power() -> Power {
    if rustix::process::geteuid().is_root() {
        return Power::Root;
    }
    if shell::find("sudo").is_none() {
        return Power::None;
    }
    // Without a terminal nobody can type a password: only a sudo that asks for none will do.
    let silent = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if silent || std::io::stdin().is_terminal() { Power::Sudo } else { Power::None }
}

fn apt(power: &Power, arguments: &[&str]) -> Command {
    let quiet = "DEBIAN_FRONTEND=noninteractive";
    let mut command = match power {
        Power::Sudo => {
            let mut command = Command::new("sudo");
            command.args(["env", quiet, "apt-get"]);
            command
        }
        Power::Root | Power::None => {
            let mut command = Command::new("env");
            command.args([quiet, "apt-get"]);
            command
        }
    };
    command.args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_installed_again() {
        let there = [("never-asked-for", "sh"), ("nor-this", "/dev/null"), ("nor-that", "/proc/*/fd")];
        ensure(&there.map(|(name, shown_by)| Package::new(name, shown_by))).unwrap();
    }

    #[test]
    fn what_is_missing_is_seen() {
        assert!(!Package::new("some-package", "no-such-program-at-all").is_there());
        assert!(!Package::new("some-package", "/no/such/file").is_there());
        assert!(!Package::new("some-package", "/no/*/file").is_there());
        assert!(!Package::new("some-package", "/proc/*/no-such-file").is_there());
    }

    #[test]
    fn who_cannot_install_is_told_what_to_type() {
        let said = by_hand(&["openssh-server", "npm"]);
        assert!(said.contains("missing") && said.contains("openssh-server npm`"), "{said}");
    }

    #[test]
    fn apt_never_asks_and_brings_no_more_than_is_needed() {
        assert_eq!(
            shell::typed(&apt(&Power::Sudo, &["update"])),
            "sudo env DEBIAN_FRONTEND=noninteractive apt-get update"
        );
        assert_eq!(
            shell::typed(&apt(&Power::Root, &["update"])),
            "env DEBIAN_FRONTEND=noninteractive apt-get update"
        );
    }
}
