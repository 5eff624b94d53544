//! The cargo tools that the tests use: the ones in `PATH`, else the ones of the target folder, else built there.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// A tool that crates.io has, at the version that this tree was checked with.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

/// Licences, bans and sources: `deny.toml`.
pub(crate) const DENY: Tool = Tool { name: "cargo-deny", version: "0.18.5" };
/// The test runner. Building it takes longer than the tests, so it is used where it is and never built.
pub(crate) const NEXTEST: Tool = Tool { name: "cargo-nextest", version: "" };

impl Tool {
    /// The tool's file, if it is there.
    pub(crate) fn find(&self) -> Result<Option<PathBuf>> {
        let built = self.folder()?.join("bin").join(self.name);
        Ok(shell::find(self.name).or_else(|| built.is_file().then_some(built)))
    }

    /// The tool's file; built first where it is missing, which takes a minute or two, once.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        if let Some(file) = self.find()? {
            return Ok(file);
        }
        eprintln!("{} is not installed: building {} into target/tools, once", self.name, self.version);
        let mut install = shell::cargo()?;
        // Built to run once or twice, so the quickest build wins; without default features it needs no network.
        install.env("CARGO_PROFILE_DEV_DEBUG", "0");
        install.args(["install", "--locked", "--profile", "dev", "--no-default-features"]);
        install.args(["--version", self.version, self.name, "--root"]).arg(self.folder()?);
        shell::must(&mut install)?;
        match self.find()? {
            Some(file) => Ok(file),
            None => bail!("cargo installed {}, yet its program is not there", self.name),
        }
    }

    /// A call of the tool as a subcommand of cargo. It is called by its file, because its folder may not be in `PATH`.
    pub(crate) fn command(&self, file: &std::path::Path) -> Result<Command> {
        // Taken apart from `cargo` so that the tool sees the same environment and folder as one that cargo calls.
        let cargo = shell::cargo()?;
        let mut command = Command::new(file);
        for (name, value) in cargo.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(shell::root()?);
        command.arg(self.name.trim_start_matches("cargo-"));
        Ok(command)
    }

    fn folder(&self) -> Result<PathBuf> {
        Ok(shell::target()?.join("tools"))
    }
}
