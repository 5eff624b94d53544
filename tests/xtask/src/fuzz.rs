//! `cargo xtask fuzz`: the targets of `tests/fuzz` under libFuzzer, guided by coverage, for as long as one likes. Works
//! with the pinned stable toolchain: coverage comes from LLVM's passes, and nothing else is instrumented.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::shell;
use crate::steps::Steps;

/// What makes LLVM count which edges of the program are taken, and makes arithmetic that overflows fail.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long in all, shared by the targets
    #[arg(long, value_name = "N", default_value_t = 8)]
    minutes: u64,
    /// Only these targets: the folders of tests/fuzz/seeds
    targets: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let root = shell::root()?;
    let seeds = root.join("tests/fuzz/seeds");
    let targets = chosen(&seeds, &options.targets)?;
    let share = options.minutes.saturating_mul(60).checked_div(u64::try_from(targets.len())?).unwrap_or(0);
    let mut steps = Steps::begin();
    let folder = shell::target()?.join("fuzz");
    let mut program = PathBuf::new();
    steps.take("build", || {
        program = build(&folder)?;
        Ok(())
    })?;
    for target in &targets {
        steps.take(target, || fuzz(&program, &folder, &seeds.join(target), target, share))?;
    }
    steps.end("fuzz");
    Ok(())
}

fn chosen(seeds: &Path, wanted: &[String]) -> Result<Vec<String>> {
    let mut known = Vec::new();
    for entry in fs::read_dir(seeds).context("tests/fuzz/seeds cannot be read")? {
        known.push(entry?.file_name().to_string_lossy().into_owned());
    }
    known.sort();
    if let Some(unknown) = wanted.iter().find(|target| !known.contains(target)) {
        bail!("{unknown:?} is no target: choose from {}", known.join(", "));
    }
    Ok(if wanted.is_empty() { known } else { wanted.to_vec() })
}

/// Builds for the machine's own triple by name, so that build scripts and macros are not instrumented.
fn build(folder: &Path) -> Result<PathBuf> {
    let said = Command::new("rustc").arg("-vV").output().context("rustc cannot be run")?;
    let said = String::from_utf8(said.stdout).context("rustc does not say what it is")?;
    let triple = said
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not name its machine")?;
    let mut cargo = shell::cargo()?;
    cargo.args(["build", "--locked", "-p", "jit-ssh-fuzz", "--features", "coverage", "--bin", "fuzz"]);
    cargo.args(["--target", triple]).arg("--target-dir").arg(folder);
    cargo.env("RUSTFLAGS", FLAGS).env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_DEBUG", "1");
    shell::must(&mut cargo)?;
    Ok(folder.join(triple).join("debug/fuzz"))
}

fn fuzz(program: &Path, folder: &Path, seeds: &Path, target: &str, seconds: u64) -> Result<()> {
    let corpus = folder.join("corpus").join(target);
    let found = folder.join("found").join(target);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&found)?;
    let mut command = Command::new(program);
    command
        .env("JIT_SSH_FUZZ_TARGET", target)
        .env("RUST_BACKTRACE", env::var_os("RUST_BACKTRACE").unwrap_or_else(|| "0".into()))
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=20", "-rss_limit_mb=2048", "-max_len=8192", "-print_final_stats=1", "-verbosity=0"])
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(&corpus)
        .arg(seeds);
    shell::must(&mut command).with_context(|| {
        format!(
            "{target} does not hold: the input is in {}; make it a seed once it is mended",
            found.display()
        )
    })
}
