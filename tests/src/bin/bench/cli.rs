//! The client's own start: how long `jit-ssh --help` takes, from the start of the process to its end.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};

use crate::figures::median;

/// Runs, after a few that bring the program into memory.
const RUNS: usize = 25;
const FIRST: usize = 5;

/// The middle of several runs, in milliseconds.
pub(crate) fn help_ms(client: &Path) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for run in 0..FIRST + RUNS {
        let began = Instant::now();
        let ended = Command::new(client).arg("--help").stdout(Stdio::null()).status();
        let elapsed = began.elapsed().as_secs_f64() * 1e3;
        if !ended.with_context(|| format!("{} cannot be started", client.display()))?.success() {
            bail!("{} --help failed", client.display());
        }
        if run >= FIRST {
            times.push(elapsed);
        }
    }
    Ok(median(&mut times))
}
