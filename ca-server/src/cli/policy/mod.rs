//! `jit-ssh-ca policy …`: policies and inventory as files, without a server, keys or a passphrase. For those who write
//! them, and for the CI job that looks at each change.

mod ask;
mod case;
mod check;
mod diff;
mod explain;
mod files;
mod format;
mod found;
mod person;
mod schema;
mod test;

use anyhow::{Context, anyhow};

/// Cedar's parser recurses: it gets a stack that nesting within our cap cannot exhaust.
const STACK_BYTES: usize = 32 << 20;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say what is wrong with policies and inventory, and what is worth a second look
    Check(check::Args),
    /// Run the cases of policies/*.test.toml: who asks for what, when, and what is to come of it
    Test(test::Args),
    /// Ask for one thing, and say what comes of it and why
    Explain(Box<explain::Args>),
    /// Say what a change allows, denies or gives on other terms
    Diff(diff::Args),
    /// Lay policies out in one way. Comments stay, and what they say does not change
    Format(format::Args),
    /// Print the schema: what policies may speak about, for editors
    Schema(schema::Args),
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    let work = move || match command {
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Format(args) => format::run(&args),
        Command::Schema(args) => schema::run(&args),
    };
    let thread = std::thread::Builder::new().name("policy".to_owned()).stack_size(STACK_BYTES);
    let thread = thread.spawn(work).context("no thread can be started")?;
    thread.join().map_err(|_| anyhow!("the policies cannot be read: remove what is deeply nested"))?
}
