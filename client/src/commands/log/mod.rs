//! `jit-ssh log …`: the CA's ledger.

mod csv;
mod entry;
mod follow;
mod monitor;
mod report;
mod search;
mod tally;
mod verify;

use crate::cli::{LogArgs, LogCommand};
use crate::error::Result;

pub(super) fn run(args: &LogArgs) -> Result<()> {
    match &args.command {
        None => search::run(&args.search),
        Some(LogCommand::Report(args)) => report::run(args),
        Some(LogCommand::Monitor(args)) => monitor::run(args),
        Some(LogCommand::Verify(args)) => verify::run(args),
    }
}
