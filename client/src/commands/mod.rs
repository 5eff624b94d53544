//! One file a command.

mod completions;
mod inspect;
mod login;
mod logout;
mod setup;
mod ssh;
mod status;
mod whoami;

use jit_ssh_proto::Mode;
use serde_json::{Value, json};

use crate::cli::{Cli, Command};
use crate::clock;
use crate::error::Result;
use crate::held::{self, Held};
use crate::output::{left, local_time};
use crate::paths::Paths;
use crate::sweeper;

/// Runs one command.
pub(crate) fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Completions(args) => return completions::run(&args),
        Command::Sweep => return sweeper::run(),
        Command::Setup(args) => return setup::run(&args),
        // A file that is inspected has nothing to do with what is kept.
        Command::Inspect(args) if args.file.is_some() => return inspect::run(&args),
        Command::Login(_)
        | Command::Whoami(_)
        | Command::Logout
        | Command::Ssh(_)
        | Command::Status(_)
        | Command::Inspect(_) => {}
    }
    held::sweep(&Paths::from_env()?, clock::now())?;
    match cli.command {
        Command::Login(args) => login::run(&args),
        Command::Whoami(args) => whoami::run(&args),
        Command::Logout => logout::run(),
        Command::Ssh(args) => ssh::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Completions(_) | Command::Sweep | Command::Setup(_) => Ok(()),
    }
}

/// A held certificate as a row: account, mode, end, where its key is.
fn row(held: &Held) -> Vec<String> {
    let purpose = held.purpose();
    let mut mode = purpose.mode.to_string();
    for modifier in &purpose.modifiers {
        mode.push('+');
        mode.push_str(modifier.as_str());
    }
    if let (Mode::Exec, Some(command)) = (purpose.mode, &purpose.command) {
        mode.push_str(&format!(" {command:?}", command = command.as_str()));
    }
    vec![
        purpose.account.to_string(),
        mode,
        local_time(held.valid_before()),
        left(held.valid_before(), clock::now()),
        if held.in_agent() { "agent".into() } else { "file".into() },
        held.grant().to_owned(),
    ]
}

const HEADINGS: [&str; 6] = ["ACCOUNT", "MODE", "UNTIL", "LEFT", "KEY", "GRANT"];

/// A held certificate as JSON.
fn to_json(held: &Held) -> Value {
    let purpose = held.purpose();
    json!({
        "account": purpose.account,
        "mode": purpose.mode,
        "modifiers": purpose.modifiers,
        "command": purpose.command,
        "serial": held.certificate().serial(),
        "key_id": held.certificate().key_id(),
        "grant": held.grant(),
        "valid_after": held.certificate().valid_after(),
        "valid_before": held.certificate().valid_before(),
        "address": held.address(),
        "in_agent": held.in_agent(),
        "certificate_file": held.certificate_file(),
        "key_file": held.key_file(),
    })
}
