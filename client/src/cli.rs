//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jit_ssh_proto::log::WitnessKey;
use jit_ssh_proto::{
    Account, Command as Line, GrantId, Mode, Modifier, Name, RequestId, SessionId, Span, Text,
};

/// Log in once, then use plain ssh with certificates that live for minutes.
#[derive(Debug, Parser)]
#[command(
    name = "jit-ssh",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 denied, 4 pending, 5 not logged in, 6 CA unreachable."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Trust a CA: show its keys and identity providers, and pin them
    Setup(SetupArgs),
    /// Open a session and, with LOGIN@HOST or LOGIN@group/NAME, get a certificate in the same step
    Login(LoginArgs),
    /// Show who you are to the CA
    Whoami(JsonArgs),
    /// End the session and remove every certificate from disk and agent
    Logout,
    /// Say what a request would come to, why, and what would change the answer; nothing is asked for
    Explain(ExplainArgs),
    /// List the accounts that policy lets you reach now, and what each takes
    Ls(LsArgs),
    /// Get a certificate if none at hand fits, and connect with ssh
    Ssh(SshArgs),
    /// Show the CA, the session and the certificates at hand, without a network
    Status(JsonArgs),
    /// Say what a certificate allows, in words
    Inspect(InspectArgs),
    /// Search, follow, report and prove what the CA has recorded
    Log(Box<LogArgs>),
    /// Print a completion script
    Completions(CompletionsArgs),
    /// Remove private keys when their certificates end
    #[command(name = crate::sweeper::COMMAND, hide = true)]
    Sweep,
}

#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    /// The CA's address, such as https://ca.example.com
    pub(crate) url: String,
    /// The fingerprint of the trust key that the operator told you; nothing is asked if it matches
    #[arg(long, value_name = "SHA256:…")]
    pub(crate) trust: Option<String>,
    /// Certificates (PEM) to trust for TLS besides the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Pin whatever trust key comes, unseen
    #[arg(long)]
    pub(crate) yes: bool,
    /// Put this CA in place of the one that is pinned
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The accounts to get one certificate for: LOGIN@HOST, or LOGIN@group/NAME for every host of a group
    #[arg(value_name = "LOGIN@HOST")]
    pub(crate) accounts: Vec<Account>,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is asked for, besides the account.
#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    /// How long: 90s, 30m, 8h; without it, as long as the policy gives
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) duration: Option<Span>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<Text>,
    /// The ticket
    #[arg(long, value_name = "TEXT")]
    pub(crate) ticket: Option<Text>,
    /// The one exact command of mode exec
    #[arg(long, value_name = "COMMAND")]
    pub(crate) command: Option<Line>,
    /// What for: shell, exec, sftp, forward or jump
    #[arg(long, value_name = "MODE", visible_alias = "action")]
    pub(crate) mode: Option<Mode>,
    /// What shell or exec may add: agent, forward, x11
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) with: Vec<Modifier>,
}

/// How to log in, if it comes to that.
#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// The identity provider, where the CA has several; without it, the one that was used last
    #[arg(long, value_name = "NAME")]
    pub(crate) issuer: Option<String>,
    /// Only print the address to open, open no browser
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Log in with a browser on any machine, and paste the address at which it ends up
    #[arg(long, group = "way")]
    pub(crate) paste: bool,
    /// Log in by typing a code into a browser on any machine, where the identity provider's entry allows it
    #[arg(long, group = "way")]
    pub(crate) device: bool,
    /// Log in as a workload, with the token in this file (- for standard input), read anew each time
    #[arg(long, value_name = "FILE", group = "way")]
    pub(crate) token_file: Option<PathBuf>,
    /// Log in as a workload, with the token in this environment variable
    #[arg(long, value_name = "VARIABLE", group = "way")]
    pub(crate) token_env: Option<String>,
    /// Log in as a job of GitHub Actions, which is asked for the token
    #[arg(long, group = "way")]
    pub(crate) github: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The accounts: LOGIN@HOST, or LOGIN@group/NAME for every host of a group
    #[arg(value_name = "LOGIN@HOST", required = true)]
    pub(crate) accounts: Vec<Account>,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// As though under break-glass
    #[arg(long)]
    pub(crate) break_glass: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only these: the beginning of a host's name, or a name with * in it; LOGIN@ before it for one login
    pub(crate) pattern: Option<String>,
    /// The most accounts
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub(crate) limit: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SshArgs {
    /// The account
    #[arg(value_name = "LOGIN@HOST")]
    pub(crate) account: Account,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    /// Options and command for ssh (for sftp with mode sftp)
    #[arg(last = true, value_name = "SSH ARGS")]
    pub(crate) args: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A certificate file, or - for standard input; without it, the certificates at hand
    pub(crate) file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LogArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LogCommand>,
    #[command(flatten)]
    pub(crate) search: LogSearchArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogSearchArgs {
    #[command(flatten)]
    pub(crate) filter: LogFilterArgs,
    /// Print one JSON object a line, as it is recorded; without --limit, everything that matches
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print CSV; without --limit, everything that matches
    #[arg(long)]
    pub(crate) csv: bool,
    /// Go on with what comes, until interrupted
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How many of the newest that match
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub(crate) limit: Option<usize>,
}

/// What narrows a search. An event is found if it fits all of them.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LogFilterArgs {
    /// By this person or workload
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<Name>,
    /// About this host
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<Name>,
    /// About this mode or modifier: shell, exec, agent, …
    #[arg(long, value_name = "NAME")]
    pub(crate) action: Option<Name>,
    /// Of this kind: certificate.issued, request.decided, …
    #[arg(long, value_name = "TYPE")]
    pub(crate) event: Option<Name>,
    /// Decided by this policy
    #[arg(long, value_name = "ID")]
    pub(crate) policy: Option<Text>,
    /// About the certificate with this serial
    #[arg(long, value_name = "N")]
    pub(crate) serial: Option<u64>,
    /// About this request
    #[arg(long, value_name = "req_…")]
    pub(crate) request: Option<RequestId>,
    /// About this grant
    #[arg(long, value_name = "grt_…")]
    pub(crate) grant: Option<GrantId>,
    /// Of this session
    #[arg(long, value_name = "ses_…")]
    pub(crate) session: Option<SessionId>,
    /// With this in it, in any case of letters
    #[arg(long, value_name = "TEXT")]
    pub(crate) grep: Option<Text>,
    /// From then on: 2h (ago), 7d, 2026-11-22, "2026-11-22 14:00", 2026-11-22T14:00:00Z
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Before then
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LogReportArgs {
    /// From then on: 2h (ago), 7d, 2026-11-22, "2026-11-22 14:00", 2026-11-22T14:00:00Z
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Before then
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogMonitorArgs {
    /// Only those of this person or workload
    #[arg(long, value_name = "NAME")]
    user: Option<Name>,
    /// Only those for this host
    #[arg(long, value_name = "NAME")]
    host: Option<Name>,
    /// Only those under this policy
    #[arg(long, value_name = "ID")]
    policy: Option<Text>,
    /// Those from then on too: 2h (ago), 2026-11-22, …
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

impl LogMonitorArgs {
    /// As a search says it.
    pub(crate) fn filter(&self) -> LogFilterArgs {
        let Self { user, host, policy, since, json: _ } = self;
        LogFilterArgs {
            user: user.clone(),
            host: host.clone(),
            policy: policy.clone(),
            since: since.clone(),
            ..LogFilterArgs::default()
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// What an auditor asks: who got where by which policy, who was denied, which grants were never used
    Report(LogReportArgs),
    /// Print new certificates as they are issued, proving that each is in the ledger and none is left out
    Monitor(LogMonitorArgs),
    /// Prove that nothing was changed or taken away since this machine first saw the ledger
    Verify(LogVerifyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LogVerifyArgs {
    /// Read every entry too, and compute the ledger's root anew
    #[arg(long)]
    pub(crate) full: bool,
    /// An export to hold against the ledger, as jit-ssh log --json printed it; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// The key of a witness that must have cosigned the checkpoint, as a C2SP vkey; may be given more than once
    #[arg(long = "witness", value_name = "VKEY")]
    pub(crate) witnesses: Vec<WitnessKey>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use std::process::Command as Shell;

    use clap::CommandFactory;
    use jit_ssh_proto::{event::Asked, explanation};

    use super::*;

    /// What a shell makes of a line.
    fn typed(line: &str) -> Vec<String> {
        let script = format!("set -- {line}; printf '%s\\0' \"$@\"");
        let out = Shell::new("sh").args(["-c", &script]).output().unwrap();
        assert!(out.status.success(), "{line}: {out:?}");
        let words = String::from_utf8(out.stdout).unwrap();
        words.strip_suffix('\0').unwrap().split('\0').map(ToOwned::to_owned).collect()
    }

    /// Whoever types the command that an explanation prints asks for what was explained, whatever is in it.
    #[test]
    fn a_printed_command_can_be_typed() {
        for text in
            ["OPS-7", "it's OPS-7", "-x", "-", "--", "--json", "-'x' $HOME `id`", "a=b", "=x", "\\", "é …"]
        {
            for mode in [Mode::Shell, Mode::Exec] {
                let asked = Asked {
                    accounts: ["deploy@web-1".parse().unwrap(), "deploy@group/web".parse().unwrap()].into(),
                    mode,
                    modifiers: [Modifier::Agent].into(),
                    command: (mode == Mode::Exec).then(|| text.parse().unwrap()),
                    duration: Some(Span::from_seconds(900)),
                    reason: text.parse().unwrap(),
                    ticket: text.parse().unwrap(),
                };
                let line = explanation::command(&asked, false, false);
                let cli = Cli::try_parse_from(typed(&line)).unwrap_or_else(|e| panic!("{line}: {e}"));
                let Command::Login(login) = cli.command else { panic!("{line}") };
                assert_eq!(login.accounts, asked.accounts, "{line}");
                let AccessArgs { duration, reason, ticket, command, mode: _, with } = login.access;
                assert_eq!(
                    (duration, command, with),
                    (asked.duration, asked.command, asked.modifiers),
                    "{line}"
                );
                assert_eq!((reason, ticket), (Some(asked.reason), Some(asked.ticket)), "{line}");
            }
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help() {
        let mut command = Cli::command().term_width(100);
        command.build();
        let mut text = command.render_help().to_string();
        let shown = |c: &&mut clap::Command| !c.is_hide_set() && c.get_name() != "help";
        for sub in command.get_subcommands_mut().filter(shown) {
            text.push_str(&format!("\n==> {} <==\n{}", sub.get_name().to_owned(), sub.render_help()));
            let name = sub.get_name().to_owned();
            for inner in sub.get_subcommands_mut().filter(shown) {
                text.push_str(&format!(
                    "\n==> {name} {} <==\n{}",
                    inner.get_name().to_owned(),
                    inner.render_help()
                ));
            }
        }
        expect_test::expect_file!["../golden/help.txt"].assert_eq(&text);
    }
}
