//! A certificate as `ssh-keygen -L` shows it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::stage::Stage;

/// A certificate, its file and the file of its key.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) file: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) shown: Shown,
}

impl Certificate {
    /// Reads a `…-cert.pub` file; its key lies beside it.
    pub(crate) fn read(stage: &Stage, file: &Path) -> Result<Self> {
        let shown = stage.run(&mut show(file))?;
        if shown.code() != Some(0) {
            bail!("{}", shown.said());
        }
        let name = file.to_string_lossy();
        let key =
            name.strip_suffix("-cert.pub").with_context(|| format!("{name} does not end in -cert.pub"))?;
        let shown = Shown::parse(&shown.out).with_context(|| format!("ssh-keygen shows {name} oddly"))?;
        Ok(Self { file: file.to_path_buf(), key: PathBuf::from(key), shown })
    }
}

/// The command that shows a certificate.
pub(crate) fn show(file: &Path) -> Command {
    let mut command = Command::new("ssh-keygen");
    command.arg("-L").arg("-f").arg(file);
    command
}

/// What `ssh-keygen -L` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    pub(crate) kind: String,
    pub(crate) key_id: String,
    pub(crate) serial: String,
    pub(crate) valid: String,
    pub(crate) principals: Vec<String>,
    pub(crate) critical: Vec<String>,
    pub(crate) extensions: Vec<String>,
}

impl Shown {
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines().find_map(|line| line.trim().strip_prefix(name)).map(|value| value.trim().to_owned())
        };
        // A list's items stand below its name, further to the right; an empty list says `(none)` beside it.
        let list = |name: &str| {
            let mut lines = text.lines().skip_while(|line| !line.trim().starts_with(name));
            lines.next()?;
            let items = lines.take_while(|line| line.starts_with("                "));
            Some(items.map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        };
        Some(Self {
            kind: field("Type:")?,
            key_id: field("Key ID:")?.trim_matches('"').to_owned(),
            serial: field("Serial:")?,
            valid: field("Valid:")?,
            principals: list("Principals:")?,
            critical: list("Critical Options:")?,
            extensions: list("Extensions:")?,
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A real certificate, made by ssh-keygen here.
    fn made(options: &[&str]) -> Shown {
        let stage = Stage::set().unwrap();
        let folder = stage.private("keys").unwrap();
        let run = |command: &mut Command| {
            let ended = stage.run(command.current_dir(&folder)).unwrap();
            assert_eq!(ended.code(), Some(0), "{}", ended.said());
        };
        for key in ["ca", "user"] {
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", key]));
        }
        let sign = ["-q", "-s", "ca", "-I", "dev/alice/grt_1", "-z", "7", "-V", "+10m", "-O", "clear"];
        run(Command::new("ssh-keygen").args(sign).args(options).arg("user.pub"));
        Certificate::read(&stage, &folder.join("user-cert.pub")).unwrap().shown
    }

    #[test]
    fn what_ssh_keygen_shows_is_read() {
        let shown = made(&["-n", "shell:root@web-1", "-O", "force-command=id -un", "-O", "permit-pty"]);
        assert_eq!(shown.kind, "ssh-ed25519-cert-v01@openssh.com user certificate");
        assert_eq!((shown.key_id.as_str(), shown.serial.as_str()), ("dev/alice/grt_1", "7"));
        assert_eq!(shown.principals, ["shell:root@web-1"]);
        assert_eq!(shown.critical, ["force-command id -un"]);
        assert_eq!(shown.extensions, ["permit-pty"]);
    }

    #[test]
    fn empty_lists_are_empty() {
        let shown = made(&["-n", "a,b"]);
        assert_eq!(shown.principals, ["a", "b"]);
        assert!(shown.critical.is_empty() && shown.extensions.is_empty(), "{shown:?}");
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        let stage = Stage::set().unwrap();
        for file in ["/dev/null", "/no/such/file-cert.pub"] {
            assert!(Certificate::read(&stage, Path::new(file)).is_err(), "{file}");
        }
        assert_eq!(Shown::parse(""), None);
    }
}
