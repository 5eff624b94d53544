//! `jit-ssh completions SHELL`

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs};
use crate::error::{Error, Result};
use crate::output::print;

pub(super) fn run(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "jit-ssh", &mut script);
    let script =
        String::from_utf8(script).map_err(|e| Error::Local(format!("the script is not text: {e}")))?;
    print(&script)
}
