//! `jit-ssh-ca policy schema`: what policies may speak about, for editors.

use std::path::PathBuf;

use jit_ssh_core::policy::SCHEMA;

use super::super::print;
use super::files::replace;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Write it into a file in place of printing it
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.write {
        Some(file) => replace(file, SCHEMA),
        None => Ok(print(SCHEMA.trim_end())?),
    }
}
