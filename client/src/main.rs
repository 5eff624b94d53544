//! `jit-ssh`: log in once, then use plain ssh with certificates that live for minutes.

mod access;
mod agent;
mod ca;
mod certificate;
mod cli;
mod client;
mod clock;
mod commands;
mod config;
mod error;
mod held;
mod http;
mod keys;
mod ledger;
mod oidc;
mod output;
mod paths;
mod presented;
mod prove;
mod session;
mod sweeper;
mod terminal;
#[cfg(test)]
mod testing;
mod when;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error::Error::Told(exit)) => exit.into(),
        Err(error) => {
            output::complain(&error);
            error.exit().into()
        }
    }
}
