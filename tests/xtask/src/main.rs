//! `cargo xtask`: the one door for automation. Each task is a module; this file only chooses between them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what a task prints is its result")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod demo;
#[cfg(test)]
mod documents;
mod fuzz;
mod packages;
mod shell;
mod steps;
mod test;
mod tidy;
mod tools;

/// Demonstrate, test and measure jit-ssh.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Walk from login to shell on this machine: a throw-away CA, two throw-away servers, nothing installed
    Demo(demo::Options),
    /// Format, lints, licences, and every test on real parts
    Test(test::Options),
    /// Measure with release builds: `cargo xtask bench issue`, `cargo xtask bench ledger`, `cargo xtask bench policy`
    Bench(bench::Options),
    /// Look for inputs that break what must hold for any: `cargo xtask fuzz --minutes 60`
    Fuzz(fuzz::Options),
    /// Format the tree and list the files that have grown too long
    Tidy,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Tidy => tidy::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
