//! Somebody at a machine of their own: own configuration, own runtime folder, a browser, no ssh-agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::certificate::Certificate;
use super::narrator::Narrator;
use super::stage::{Finished, Stage};
use super::web::Browser;

const PATIENCE: Duration = Duration::from_secs(60);

/// A person of the development provider.
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) configuration: PathBuf,
    pub(crate) runtime: PathBuf,
    client: PathBuf,
}

/// Takes away what whoever runs the demo has set for their own jit-ssh and ssh.
pub(crate) fn forget_surroundings(command: &mut Command) {
    for name in ["SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "DISPLAY", "BROWSER", "JIT_SSH_CRASH_AT"] {
        command.env_remove(name);
    }
}

impl Person {
    pub(crate) fn new(stage: &Stage, client: &Path, name: &'static str) -> Result<Self> {
        let home = stage.private(name)?;
        let (configuration, runtime) = (home.join("config"), home.join("runtime"));
        fs::create_dir(&configuration)?;
        stage.private(&format!("{name}/runtime"))?;
        Ok(Self { name, configuration, runtime, client: client.to_path_buf() })
    }

    /// What this person's shell has exported.
    pub(crate) fn exports(&self) -> String {
        format!(
            "export JIT_SSH_CONFIG_DIR={} JIT_SSH_RUNTIME_DIR={}",
            self.configuration.display(),
            self.runtime.display()
        )
    }

    /// `jit-ssh` as this person.
    pub(crate) fn jit_ssh<I: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> Command {
        let mut command = Command::new(&self.client);
        command.args(arguments);
        self.dress(&mut command);
        command
    }

    /// Makes a command one of this person's.
    pub(crate) fn dress(&self, command: &mut Command) {
        command.env("JIT_SSH_CONFIG_DIR", &self.configuration).env("JIT_SSH_RUNTIME_DIR", &self.runtime);
        forget_surroundings(command);
    }

    /// `jit-ssh login …`: reads where to sign in, signs in there, waits for the end.
    pub(crate) fn login(&self, stage: &Stage, narrator: &Narrator, arguments: &[&str]) -> Result<Finished> {
        let mut command = self.jit_ssh(["login"].iter().chain(arguments).chain(&["--no-browser"]));
        narrator.command(&command);
        let mut running = stage.start(&mut command)?;
        let url = running.line(PATIENCE, |_, line| {
            narrator.output(line);
            authorize_url(line)
        })?;
        // Without such a line a session is open still, and there is nothing to sign in for.
        if let Some(url) = url {
            Browser::default().sign_in(&url, self.name)?;
            narrator.output(&format!("(the demo opens that page and picks {})", self.name));
            running.line(PATIENCE, |_, line| {
                narrator.output(line);
                None::<()>
            })?;
        }
        running.finish(PATIENCE)
    }

    /// The certificate that this person holds for exactly one principal, found as a program would: in `status --json`.
    pub(crate) fn certificate(&self, stage: &Stage, principal: &str) -> Result<Certificate> {
        let status = stage.run(&mut self.jit_ssh(["status", "--json"]))?;
        if status.code() != Some(0) {
            bail!("{}", status.said());
        }
        for file in files(&status.out)? {
            let certificate = Certificate::read(stage, &file)?;
            if certificate.shown.principals == [principal] {
                if !certificate.key.is_file() {
                    bail!("{} has no key beside it", certificate.file.display());
                }
                return Ok(certificate);
            }
        }
        bail!("{} holds no certificate for {principal}\n{}", self.name, status.out)
    }
}

/// The address of the provider's page in a line that the client prints for people without a browser.
fn authorize_url(line: &str) -> Option<String> {
    let words = line.split_whitespace().map(|word| word.trim_matches(['<', '>', '"', '`', '\'']));
    words
        .filter(|word| word.starts_with("http://"))
        .find(|word| word.contains("/authorize?"))
        .map(str::to_owned)
}

/// The certificate files that `jit-ssh status --json` lists.
fn files(json: &str) -> Result<Vec<PathBuf>> {
    let status: Value = serde_json::from_str(json).with_context(|| format!("not JSON: {json}"))?;
    let held = status.get("certificates").and_then(Value::as_array);
    let held = held.with_context(|| format!("no list of certificates: {json}"))?;
    let file = |held: &Value| held.get("certificate_file").and_then(Value::as_str).map(PathBuf::from);
    held.iter().map(|held| file(held).with_context(|| format!("no certificate_file: {held}"))).collect()
}

/// Copies a certificate and its key to where the client does not remove them when they expire.
pub(crate) fn keep(stage: &Stage, narrator: &Narrator, of: &Certificate, name: &str) -> Result<Certificate> {
    let folder = stage.private(name)?;
    narrator.typed(&format!("cp {key} {key}-cert.pub {}/", folder.display(), key = of.key.display()));
    let mut kept = of.clone();
    for path in [&mut kept.file, &mut kept.key] {
        let to = folder.join(path.file_name().context("a certificate's file has no name")?);
        fs::copy(&*path, &to).with_context(|| format!("{} could not be copied", path.display()))?;
        *path = to;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_to_sign_in_at_is_found_in_what_people_read() {
        for (line, url) in [
            (
                "Open http://127.0.0.1:1/authorize?a=b&c=d to sign in",
                Some("http://127.0.0.1:1/authorize?a=b&c=d"),
            ),
            ("  <http://127.0.0.1:1/x/authorize?a>", Some("http://127.0.0.1:1/x/authorize?a")),
            (
                "CA http://127.0.0.1:1/ and http://127.0.0.1:1/authorize?a",
                Some("http://127.0.0.1:1/authorize?a"),
            ),
            ("waiting for http://127.0.0.1:1/callback", None),
            ("", None),
        ] {
            assert_eq!(authorize_url(line).as_deref(), url, "{line}");
        }
    }

    #[test]
    fn certificate_files_are_read_from_the_status_or_it_is_an_error() {
        let two =
            r#"{"certificates": [{"certificate_file": "/a"}, {"certificate_file": "/b"}], "session": null}"#;
        assert_eq!(files(two).unwrap(), [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(files(r#"{"certificates": []}"#).unwrap(), Vec::<PathBuf>::new());
        for bad in ["", "[]", "{}", r#"{"certificates": [{"file": "/a"}]}"#, r#"{"certificates": 3}"#] {
            assert!(files(bad).is_err(), "{bad}");
        }
    }
}
