//! The binary: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use jit_ssh_host::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run(&mut std::io::stdin(), &mut std::io::stdout(), &mut std::io::stderr())
}
