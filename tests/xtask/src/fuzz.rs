//! `cargo xtask fuzz`: the targets of `tests/fuzz` under libFuzzer, guided by coverage, for as long as one likes. Works
//! with the pinned stable toolchain: coverage comes from LLVM's passes, and nothing else is instrumented. What libFuzzer
//! says goes to a file for each target; what it found goes to the screen in one line each.

use std::fs::File;
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
    let mut lines = Vec::new();
    for target in &targets {
        let figures = steps.take(target, || fuzz(&program, &folder, &seeds.join(target), target, share))?;
        lines.push(figures.line(target));
    }
    steps.end("fuzz");
    for line in lines {
        eprintln!("{line}");
    }
    Ok(())
}

/// What libFuzzer says of a run.
#[derive(Debug, PartialEq, Eq)]
struct Figures {
    /// Inputs that were tried.
    executions: u64,
    /// Edges of the program that some input takes, and those that there are in all of it: what any target reaches, the
    /// libraries below, and what none can.
    edges: u64,
    of: u64,
    /// Inputs that are kept because each takes an edge, or takes one more often, that no other does.
    corpus: u64,
}

impl Figures {
    /// From its own lines; none if it does not say.
    fn read(said: &str) -> Option<Self> {
        let after = |line: &str, word: &str| {
            let mut words = line.split_whitespace().skip_while(|other| *other != word).skip(1);
            let digits: String = words.next()?.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u64>().ok()
        };
        let last = |word: &'static str| said.lines().rev().find_map(move |line| after(line, word));
        Some(Self {
            executions: last("stat::number_of_executed_units:")?,
            edges: last("cov:")?,
            of: said
                .lines()
                .filter(|line| line.contains("inline 8-bit counters"))
                .find_map(|line| after(&line.replace('(', " ( "), "("))?,
            corpus: last("corp:")?,
        })
    }

    fn line(&self, target: &str) -> String {
        let Self { executions, edges, of, corpus } = self;
        format!("{target:<12} {executions:>9} executions  {edges:>6} of {of} edges  {corpus:>5} inputs")
    }
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

fn fuzz(program: &Path, folder: &Path, seeds: &Path, target: &str, seconds: u64) -> Result<Figures> {
    let said = folder.join("said").join(target);
    fs::create_dir_all(folder.join("said"))?;
    let corpus = folder.join("corpus").join(target);
    let found = folder.join("found").join(target);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&found)?;
    let mut command = Command::new(program);
    command
        .env("JIT_SSH_FUZZ_TARGET", target)
        .env("RUST_BACKTRACE", env::var_os("RUST_BACKTRACE").unwrap_or_else(|| "0".into()))
        .arg(format!("-max_total_time={seconds}"))
        .args([
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-max_len=8192",
            "-print_final_stats=1",
            "-print_funcs=0",
        ])
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(&corpus)
        .arg(seeds)
        .stderr(File::create(&said)?);
    shell::must(&mut command).with_context(|| {
        format!(
            "{target} does not hold: {} says why, the input is in {}; make it a seed once it is mended",
            said.display(),
            found.display()
        )
    })?;
    Figures::read(&fs::read_to_string(&said)?)
        .with_context(|| format!("{} does not say how it went", said.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_read() {
        let said = "INFO: Running with entropic power schedule (0xFF, 100).\n\
                    INFO: Loaded 1 modules   (406012 inline 8-bit counters): 406012 [0x1, 0x2), \n\
                    INFO: Loaded 1 PC tables (406012 PCs): 406012 [0x1,0x2), \n\
                    #4\tINITED cov: 310 ft: 311 corp: 3/86b exec/s: 0 rss: 39Mb\n\
                    #485121\tDONE   cov: 1203 ft: 4010 corp: 387/41Kb lim: 4096 exec/s: 15649 rss: 45Mb\n\
                    ###### Recommended dictionary. ######\n\"cov:\" # Uses: 7\n\
                    stat::number_of_executed_units: 485121\nstat::new_units_added:          1631\n";
        let figures = Figures::read(said).unwrap();
        assert_eq!(figures, Figures { executions: 485_121, edges: 1203, of: 406_012, corpus: 387 });
        assert_eq!(
            figures.line("token"),
            "token           485121 executions    1203 of 406012 edges    387 inputs"
        );
        for cut in ["", "INFO: Loaded 1 modules", &said[..said.find("stat::").unwrap()]] {
            assert_eq!(Figures::read(cut), None, "{cut}");
        }
    }
}
