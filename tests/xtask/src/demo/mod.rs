//! `cargo xtask demo`: the whole path on this machine, aloud. A throw-away CA with a development identity provider,
//! two throw-away servers on loopback that trust only that CA, and a walk that checks every claim it makes.
//!
//! Nothing of the person who runs it is touched: own configuration, own keys, no ssh-agent.

use anyhow::Result;

use crate::steps::Steps;
use crate::{packages, shell};

mod certificate;
mod claims;
mod dev_ca;
mod narrator;
mod person;
mod server;
mod stage;
mod walk;
mod web;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// End after the walk; the exit code tells whether every claim held
    #[arg(long)]
    once: bool,
}

/// Builds, walks, and then, unless told to end, leaves everything running until Ctrl-C.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut steps = Steps::begin();
    steps.take("Debian packages", || packages::ensure(packages::DEMO))?;
    steps.take("build jit-ssh, jit-ssh-ca and jit-ssh-host", || {
        let packages = ["-p", "jit-ssh", "-p", "jit-ssh-ca", "-p", "jit-ssh-host"];
        shell::must(shell::cargo()?.args(["build", "--locked"]).args(packages))
    })?;
    let stage = stage::Stage::set()?;
    let binaries = shell::dev_binaries()?;
    let walked = walk::walk(&stage, &binaries)?;
    if !options.once {
        walked.leave_running()?;
    }
    Ok(())
}
