//! `cargo xtask test`: everything that must hold, cheapest first, up to the first thing that does not.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::steps::Steps;
use crate::{packages, shell, tools};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run the long campaigns too: ignored tests, and many more cases for every property
    #[arg(long)]
    long: bool,
    /// Only tests whose name contains this, and neither lints nor the demo
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

/// How many cases a property is tried with in a long run; proptest's own default is 256.
const LONG_CASES: &str = "20000";

/// What properties draw their cases from, but in a long run: the same tree passes or fails the same way each time. A long
/// run, and a test that is run by itself, draw others.
const SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "20260114");

/// The demo as the documents show it. A process of its own: it watches for Ctrl-C in its own way.
pub(crate) const DEMO: [&str; 3] = ["xtask", "demo", "--once"];

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut steps = Steps::begin();
    steps.take("Debian packages", || packages::ensure(packages::TEST))?;
    let node = shell::root()?.join("tests").join("node");
    if node.is_dir() {
        steps.take("Node packages of the test provider", || node_packages(&node))?;
    }
    if options.filter.is_none() {
        lints(&mut steps)?;
    }
    steps.take("build the programs that the tests run", || {
        shell::must(shell::cargo()?.args(["build", "--workspace", "--locked"]))
    })?;
    if options.filter.is_none() {
        steps.take("the demo, whose every claim is checked", || shell::must(shell::cargo()?.args(DEMO)))?;
    }
    steps.take("tests", || shell::must(&mut tests(options, false)?))?;
    if options.long {
        steps.take("long campaigns", || {
            shell::must(tests(options, true)?.env("PROPTEST_CASES", LONG_CASES))
        })?;
    }
    steps.end("all passed");
    Ok(())
}

fn lints(steps: &mut Steps) -> Result<()> {
    steps.take("format", || shell::must(shell::cargo()?.args(["fmt", "--all", "--check"])))?;
    steps.take("clippy, warnings denied", || {
        shell::must(shell::cargo()?.args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    steps.take("bans, licences and sources of what we depend on", || {
        let deny = tools::DENY.ensure()?;
        // cargo-deny reads the crates of every platform; offline it can only read what has been fetched.
        shell::must(shell::cargo()?.args(["fetch", "--locked"]))?;
        shell::must(tools::DENY.command(&deny)?.args([
            "--offline",
            "--locked",
            "--log-level",
            "error",
            "check",
            "bans",
            "licenses",
            "sources",
        ]))
    })
}

/// The test runner's command. `ignored` picks the tests that only a long run takes, and `cargo test` stands in where
/// nextest is missing: the same tests, run one binary after the other and several in one process.
fn tests(options: &Options, ignored: bool) -> Result<Command> {
    let mut command = match tools::NEXTEST.find()? {
        Some(nextest) => {
            let mut command = tools::NEXTEST.command(&nextest)?;
            command.args(["run", "--workspace", "--locked"]);
            if ignored {
                // A long run of a tree without long tests is no failure.
                command.args(["--run-ignored", "all", "--no-tests", "pass"]);
            }
            command.args(&options.filter);
            command
        }
        None => {
            eprintln!("cargo-nextest is not installed: `cargo test` runs the same tests, slower");
            let mut command = shell::cargo()?;
            command.args(["test", "--workspace", "--locked", "--lib", "--bins", "--tests"]);
            command.args(&options.filter);
            if ignored {
                command.args(["--", "--include-ignored"]);
            }
            command
        }
    };
    command.env("RUST_BACKTRACE", "1");
    if !ignored {
        command.env(SEED.0, SEED.1);
    }
    // Tests must never meet the agent, the configuration or the sessions of whoever runs them.
    for name in
        ["SSH_AUTH_SOCK", "SSH_AGENT_PID", "JIT_SSH_CONFIG_DIR", "JIT_SSH_RUNTIME_DIR", "JIT_SSH_CRASH_AT"]
    {
        command.env_remove(name);
    }
    Ok(command)
}

/// `npm ci`, unless what it installed is newer than the lock.
fn node_packages(folder: &Path) -> Result<()> {
    if is_fresh(folder) {
        eprintln!("already there: {}", folder.join("node_modules").display());
        return Ok(());
    }
    let mut npm = Command::new(shell::find("npm").context("npm is not in PATH")?);
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder);
    shell::must(&mut npm)
}

/// npm writes this file last, so an installation that was cut short does not count.
fn is_fresh(folder: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let installed = changed(&folder.join("node_modules").join(".package-lock.json"));
    let locked = changed(&folder.join("package-lock.json"));
    matches!((installed, locked), (Some(installed), Some(locked)) if installed >= locked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_packages_are_fresh_only_when_complete_and_newer_than_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("package-lock.json");
        let modules = folder.path().join("node_modules");
        fs::write(&lock, "{}").unwrap();
        assert!(!is_fresh(folder.path()), "nothing is installed");
        fs::create_dir(&modules).unwrap();
        assert!(!is_fresh(folder.path()), "npm was cut short");
        let done = modules.join(".package-lock.json");
        fs::write(&done, "{}").unwrap();
        assert!(is_fresh(folder.path()));
        let later = fs::metadata(&done).unwrap().modified().unwrap() + std::time::Duration::from_secs(2);
        fs::File::options().write(true).open(&lock).unwrap().set_modified(later).unwrap();
        assert!(!is_fresh(folder.path()), "the lock is newer");
    }

    #[test]
    fn a_filter_reaches_the_runner_and_long_runs_take_ignored_tests() {
        let options = Options { long: true, filter: Some("oidc".into()) };
        let short = shell::typed(&tests(&options, false).unwrap());
        let long = shell::typed(&tests(&options, true).unwrap());
        assert!(short.contains(" oidc") && !short.contains("ignored"), "{short}");
        assert!(long.contains(" oidc") && long.contains("ignored"), "{long}");
    }
}
