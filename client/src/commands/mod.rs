//! One file a command.

mod completions;
mod explain;
mod inspect;
mod log;
mod login;
mod logout;
mod ls;
mod setup;
mod ssh;
mod status;
mod whoami;

use jit_ssh_proto::{Account, Mode, Place};
use serde_json::{Value, json};

use crate::cli::{Cli, Command};
use crate::clock;
use crate::error::Result;
use crate::held::{self, Held, Purpose};
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
        | Command::Explain(_)
        | Command::Ls(_)
        | Command::Ssh(_)
        | Command::Status(_)
        | Command::Log(_)
        | Command::Inspect(_) => {}
    }
    held::sweep(&Paths::from_env()?, clock::now())?;
    match cli.command {
        Command::Login(args) => login::run(&args),
        Command::Whoami(args) => whoami::run(&args),
        Command::Logout => logout::run(),
        Command::Explain(args) => explain::run(&args),
        Command::Ls(args) => ls::run(&args),
        Command::Ssh(args) => ssh::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Completions(_) | Command::Sweep | Command::Setup(_) => Ok(()),
    }
}

/// A held certificate as a row: account, mode, end, where its key is.
fn row(held: &Held) -> Vec<String> {
    let purpose = held.purpose();
    vec![
        held::named(&purpose.accounts),
        what(purpose),
        local_time(held.valid_before()),
        left(held.valid_before(), clock::now()),
        if held.in_agent() { "agent".into() } else { "file".into() },
        held.grant().to_owned(),
    ]
}

/// What a certificate is for, besides where: `shell+agent`, `exec "uptime"`.
fn what(purpose: &Purpose) -> String {
    let mut what = purpose.mode.to_string();
    for modifier in &purpose.modifiers {
        what.push('+');
        what.push_str(modifier.as_str());
    }
    if let (Mode::Exec, Some(command)) = (purpose.mode, &purpose.command) {
        what.push_str(&format!(" {command:?}", command = command.as_str()));
    }
    what
}

/// The `jit-ssh ssh …` that finds exactly this certificate again, for a POSIX shell: another mode or other modifiers
/// would be another certificate.
fn connect(purpose: &Purpose, account: &Account) -> String {
    let mut line = format!("jit-ssh ssh {account}");
    match (purpose.mode, &purpose.command) {
        (Mode::Exec, Some(command)) => {
            line.push_str(&format!(" --command '{}'", command.as_str().replace('\'', r"'\''")));
        }
        (Mode::Shell, _) => {}
        (mode @ (Mode::Exec | Mode::Sftp | Mode::Forward | Mode::Jump), _) => {
            line.push_str(&format!(" --mode {mode}"));
        }
    }
    let modifiers: Vec<&str> = purpose.modifiers.iter().map(|m| m.as_str()).collect();
    if !modifiers.is_empty() {
        line.push_str(&format!(" --with {}", modifiers.join(",")));
    }
    line
}

const HEADINGS: [&str; 6] = ["ACCOUNT", "MODE", "UNTIL", "LEFT", "KEY", "GRANT"];

/// A held certificate as JSON.
fn to_json(held: &Held) -> Value {
    let purpose = held.purpose();
    json!({
        // The first of them: all there is, but for those who ask for several at once.
        "account": purpose.accounts.first(),
        "accounts": purpose.accounts,
        "members": held.members(),
        "mode": purpose.mode,
        "modifiers": purpose.modifiers,
        "command": purpose.command,
        "serial": held.certificate().serial(),
        "key_id": held.certificate().key_id(),
        "grant": held.grant(),
        "valid_after": held.certificate().valid_after(),
        "valid_before": held.certificate().valid_before(),
        "address": held.accounts().first().and_then(|account| match &account.place {
            Place::Host(host) => held.address(host.as_str()),
            Place::Group(_) => None,
        }),
        "addresses": held.addresses(),
        "in_agent": held.in_agent(),
        "certificate_file": held.certificate_file(),
        "key_file": held.key_file(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Wanted;
    use crate::testing::CA;
    use clap::Parser;

    #[test]
    fn the_command_that_is_told_asks_for_the_certificate_that_is_held() {
        for (args, named) in [
            (&[][..], "shell"),
            (&["--with", "forward,agent"], "shell+agent+forward"),
            (&["--mode", "sftp"], "sftp"),
            (&["--mode", "forward"], "forward"),
            (&["--command", "echo it's $HOME"], "exec \"echo it's $HOME\""),
            (&["--command", "uptime", "--with", "agent"], "exec+agent \"uptime\""),
        ] {
            let purpose = |args: &[&str]| {
                let cli = Cli::try_parse_from([&["jit-ssh", "ssh", "deploy@web-1"], args].concat()).unwrap();
                let Command::Ssh(ssh) = cli.command else { panic!("another command") };
                Wanted::new(std::slice::from_ref(&ssh.account), &ssh.access).unwrap().purpose(CA)
            };
            let purpose = purpose(args);
            assert_eq!(what(&purpose), named);
            // A shell takes the line apart as it will when it is pasted.
            let told = connect(&purpose, &purpose.accounts[0]).replacen("jit-ssh", "printf '%s\\n'", 1);
            let words = std::process::Command::new("sh").args(["-c", &told]).output().unwrap();
            let words = String::from_utf8(words.stdout).unwrap();
            let cli = Cli::try_parse_from(std::iter::once("jit-ssh").chain(words.lines())).unwrap();
            let Command::Ssh(ssh) = cli.command else { panic!("another command") };
            assert_eq!(
                Wanted::new(std::slice::from_ref(&ssh.account), &ssh.access).unwrap().purpose(CA),
                purpose,
                "{told}"
            );
        }
    }
}
