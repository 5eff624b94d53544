//! `jit-ssh log …`: the CA's ledger.

mod verify;

use crate::cli::{LogArgs, LogCommand};
use crate::error::Result;

pub(super) fn run(args: &LogArgs) -> Result<()> {
    match &args.command {
        LogCommand::Verify(args) => verify::run(args),
    }
}
