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
    /// A service that Debian would start with it, and that nobody asked for.
    unwanted: Option<&'static str>,
}

impl Package {
    const fn new(name: &'static str, shown_by: &'static str) -> Self {
        Self { name, shown_by, unwanted: None }
    }

    /// The same without its service.
    const fn without(self, service: &'static str) -> Self {
        Self { unwanted: Some(service), ..self }
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

/// What the tests run beside that: OpenID Connect providers (a certified one on Node, and glewlwyd, whose service would
/// listen to everybody with a password that is known), PostgreSQL (only its programs: tests
/// start servers of their own), and what the documents' commands use (`script` is the terminal at which they ask).
pub(crate) const TEST: &[Package] = &[
    Package::new("openssh-server", "sshd"),
    Package::new("openssh-client", "ssh-keygen"),
    Package::new("nodejs", "node"),
    Package::new("npm", "npm"),
    Package::new("glewlwyd", "glewlwyd").without("glewlwyd.service"),
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
    let lacking: Vec<_> = packages.iter().filter(|package| !package.is_there()).collect();
    let missing: Vec<_> = lacking.iter().map(|package| package.name).collect();
    if missing.is_empty() {
        let names: Vec<_> = packages.iter().map(|package| package.name).collect();
        eprintln!("already there: {}", names.join(", "));
        return Ok(());
    }
    let power = if shell::find("apt-get").is_some() { power() } else { Power::None };
    let unwanted: Vec<_> = lacking.iter().filter_map(|package| package.unwanted).collect();
    if power == Power::None {
        bail!("{}", by_hand(&missing, &unwanted));
    }
    for service in unwanted {
        shell::must(&mut mask(&power, service))?;
    }
    shell::must(&mut apt(&power, &["update"]))?;
    shell::must(apt(&power, &["install", "--yes", "--no-install-recommends"]).args(&missing))?;
    let still: Vec<_> = packages.iter().filter(|package| !package.is_there()).map(|p| p.name).collect();
    if !still.is_empty() {
        bail!("apt-get installed {}, yet what they should bring is not there", still.join(", "));
    }
    Ok(())
}

fn by_hand(missing: &[&str], unwanted: &[&str]) -> String {
    let names = missing.join(" ");
    let first: String = unwanted.iter().map(|service| format!("sudo systemctl mask {service} && ")).collect();
    format!(
        "these packages are missing and cannot be installed from here: {names}; on Debian or Ubuntu run \
         `{first}sudo apt-get update && sudo apt-get install --no-install-recommends {names}`, then try again"
    )
}

/// What `systemctl mask` does, also where systemd does not run: nothing starts a service of this name.
fn mask(power: &Power, service: &str) -> Command {
    let folder = "/etc/systemd/system";
    let script =
        format!("mkdir -p {folder} && [ -e {folder}/{service} ] || ln -s /dev/null {folder}/{service}");
    let mut command = match power {
        Power::Sudo => {
            let mut command = Command::new("sudo");
            command.arg("sh");
            command
        }
        Power::Root | Power::None => Command::new("sh"),
    };
    command.args(["-c", &script]);
    command
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
        let said = by_hand(&["openssh-server", "npm"], &[]);
        assert!(said.contains("missing") && said.contains("`sudo apt-get update"), "{said}");
        assert!(said.contains("openssh-server npm`"), "{said}");
        let said = by_hand(&["glewlwyd"], &["glewlwyd.service"]);
        assert!(said.contains("`sudo systemctl mask glewlwyd.service && sudo apt-get update"), "{said}");
    }

    #[test]
    fn a_service_that_nobody_asked_for_is_masked_before_it_can_be_installed() {
        let typed = shell::typed(&mask(&Power::Sudo, "glewlwyd.service"));
        assert!(
            typed.starts_with("sudo sh -c") && typed.contains("/etc/systemd/system/glewlwyd.service"),
            "{typed}"
        );
        let services: Vec<_> = TEST.iter().filter_map(|package| package.unwanted).collect();
        assert_eq!(services, ["glewlwyd.service"]);
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
