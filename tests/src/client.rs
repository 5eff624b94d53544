//! A person with `jit-ssh` for a test: own configuration, own runtime folder, no ssh-agent unless the test gives one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::ca::Ca;
use crate::process::{self, Output, Process, Stream};

/// Somebody at a machine of their own.
#[derive(Debug)]
pub struct Person {
    home: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Person {
    /// A new machine: nothing set up, nobody logged in.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn new() -> Result<Self> {
        // A temporary folder is for its owner only from the start.
        Ok(Self { home: tempfile::tempdir()?, environment: Vec::new() })
    }

    /// The same with a variable set for everything that this person runs, `SSH_AUTH_SOCK` for one.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The home folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the configuration is kept.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.home.path().join("config")
    }

    /// Where the session and the certificates are kept.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.home.path().join("runtime")
    }

    /// Sets the client up for a CA and pins its trust key.
    ///
    /// # Errors
    /// When it is refused.
    pub fn setup(&self, ca: &Ca) -> Result<Output> {
        self.run(["setup", &ca.url(), "--trust", &ca.trust()?])?.ok().context("jit-ssh setup")
    }

    /// `jit-ssh login … --no-browser`, the browser being a function that gets the address to open.
    ///
    /// # Errors
    /// When no address is shown, the browser fails, or the login does not end. How it ended is for the test to see.
    pub fn login<I: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
        browser: impl FnOnce(&str) -> Result<()>,
    ) -> Result<Output> {
        let mut command = self.command(["login", "--no-browser"])?;
        let process = Process::start(command.args(arguments))?;
        let url = process.line(Stream::Err, "an address to open", address)?;
        browser(&url)?;
        process.wait()
    }

    /// `jit-ssh login … --device`, the browser being a function that gets the address with the code in it.
    ///
    /// # Errors
    /// When no address is shown, the browser fails, or the login does not end.
    pub fn login_by_code<I: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
        browser: impl FnOnce(&str) -> Result<()>,
    ) -> Result<Output> {
        let mut command = self.command(["login", "--device"])?;
        let process = Process::start(command.args(arguments))?;
        let url = process.line(Stream::Err, "an address with a code", code_address)?;
        browser(&url)?;
        process.wait()
    }

    /// Runs `jit-ssh` to its end.
    ///
    /// # Errors
    /// When it cannot be run or does not end.
    pub fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Result<Output> {
        process::run(&mut self.command(arguments)?)
    }

    /// Starts `jit-ssh` and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Result<Process> {
        Process::start(&mut self.command(arguments)?)
    }

    /// `jit-ssh` with arguments, as this person.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn command<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Result<Command> {
        let mut command = process::command(&process::program("jit-ssh")?);
        command.args(arguments).env("HOME", self.home.path());
        command.env("JIT_SSH_CONFIG_DIR", self.configuration()).env("JIT_SSH_RUNTIME_DIR", self.runtime());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// The provider's page in a line that `jit-ssh login` says: the address with what the client asks of it.
#[must_use]
pub fn address(line: &str) -> Option<String> {
    let words = line.split_whitespace().map(|word| word.trim_matches(['<', '>', '"', '`', '\'']));
    words
        .filter(|word| word.starts_with("http://") || word.starts_with("https://"))
        .find(|word| word.contains("?") && word.contains("redirect_uri="))
        .map(str::to_owned)
}

/// The address with a device's code in it, as `jit-ssh login --device` shows it: the second of two, on a line of its own.
fn code_address(line: &str) -> Option<String> {
    let line = line.trim();
    (line.starts_with("http") && line.contains("code=")).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_whatever_the_provider_calls_its_page() {
        for (line, url) in [
            (
                "Open http://127.0.0.1:1/authorize?a=b&redirect_uri=c to sign in",
                Some("http://127.0.0.1:1/authorize?a=b&redirect_uri=c"),
            ),
            (
                "<https://id.example.com/auth?redirect_uri=c>",
                Some("https://id.example.com/auth?redirect_uri=c"),
            ),
            ("waiting at http://127.0.0.1:1/callback", None),
            ("redirect_uri=c", None),
            ("", None),
        ] {
            assert_eq!(address(line).as_deref(), url, "{line}");
        }
    }
}
