//! `cargo xtask bench NAME`: release builds, then the `bench` program of the tests crate, which prints the figures.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;
use crate::steps::Steps;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure
    #[arg(value_parser = ["issue", "ledger", "policy"])]
    name: String,
    /// One object a line: {"figure": NAME, "value": NUMBER, "unit": UNIT}
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut steps = Steps::begin();
    steps.take("build what is measured, as it ships", || {
        let server = ["-p", "jit-ssh-ca", "--no-default-features"];
        shell::must(shell::cargo()?.args(["build", "--release", "--locked"]).args(server))?;
        let client = ["-p", "jit-ssh", "--bin", "jit-ssh"];
        shell::must(shell::cargo()?.args(["build", "--release", "--locked"]).args(client))
    })?;
    steps.take("build what measures", || {
        let package = ["-p", "jit-ssh-tests", "--bin", "bench"];
        shell::must(shell::cargo()?.args(["build", "--release", "--locked"]).args(package))
    })?;
    steps.take(&format!("measure {}", options.name), || {
        let folder = shell::release_binaries()?;
        let mut bench = Command::new(folder.join("bench"));
        bench.arg(&options.name).arg(folder.join("jit-ssh-ca"));
        if options.json {
            bench.arg("--json");
        }
        // Only figures go to stdout, so that `--json` can be piped.
        eprintln!("$ {}", shell::typed(&bench));
        let status = bench.status().context("the bench program could not be started")?;
        if !status.success() {
            bail!("the bench program ended with {status}");
        }
        Ok(())
    })?;
    steps.end("bench");
    Ok(())
}
