//! The command line of `jit-ssh-ca`.

#[cfg(feature = "dev")]
mod dev;
mod identity;
mod init;
mod issuer;
mod key;
mod lines;
mod log;
mod policy;
mod serve;
mod store;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

/// The SSH certificate authority for just-in-time access.
#[derive(Debug, Parser)]
#[command(
    name = "jit-ssh-ca",
    version,
    max_term_width = 100,
    after_help = "Begin with `jit-ssh-ca init DIR`, then `jit-ssh-ca serve DIR`.\nTo see it work with nothing set up: `jit-ssh-ca dev`."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new CA in DIR: keys, a commented ca.toml, a starter policy and inventory. Overwrites nothing
    Init(init::Args),
    /// Run the CA of DIR
    Serve(serve::Args),
    /// Run a throw-away CA with an identity provider of its own, on loopback only, to try things
    #[cfg(feature = "dev")]
    Dev(dev::Args),
    /// Who there is, who may log in, and whose a login is; beside a running server or without one
    #[command(subcommand)]
    Identity(identity::Command),
    /// Hold an identity provider's entry against the provider itself
    #[command(subcommand)]
    Issuer(issuer::Command),
    /// List the keys of the CA, or make one more for devices that match plain logins
    #[command(subcommand)]
    Key(key::Command),
    /// Read the record of what was decided and issued
    #[command(subcommand)]
    Log(log::Command),
    /// Check, test, explain, compare and lay out policies, as files: without a server, keys or a passphrase
    #[command(subcommand)]
    Policy(policy::Command),
    /// Write everything that the CA has recorded into one new file, beside a running server. Not the keys
    Backup(store::Backup),
    /// Bring a backup in where the record was lost. What was recorded after the backup stays refused
    Restore(store::Restore),
    /// Move the record to another database
    #[command(subcommand)]
    Store(store::Command),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How to write log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// The data directory.
#[derive(Clone, Debug, clap::Args)]
struct DataDir {
    /// The CA's data directory, with ca.toml in it
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = keep_memory_private().and_then(|()| match cli.command {
        Command::Init(args) => init::run(&args),
        Command::Serve(args) => runtime().and_then(|rt| rt.block_on(serve::run(args))),
        #[cfg(feature = "dev")]
        Command::Dev(args) => runtime().and_then(|rt| rt.block_on(dev::run(args))),
        Command::Identity(command) => runtime().and_then(|rt| rt.block_on(identity::run(command))),
        Command::Issuer(command) => runtime().and_then(|rt| rt.block_on(issuer::run(command))),
        Command::Key(command) => key::run(command),
        Command::Log(command) => runtime().and_then(|rt| rt.block_on(log::run(command))),
        Command::Policy(command) => policy::run(command),
        Command::Backup(args) => runtime().and_then(|rt| rt.block_on(store::backup(args))),
        Command::Restore(args) => runtime().and_then(|rt| rt.block_on(store::restore(args))),
        Command::Store(command) => runtime().and_then(|rt| rt.block_on(store::run(command))),
        Command::Completions { shell } => {
            // The generator panics where it cannot write, so it writes into memory.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "jit-ssh-ca", &mut script);
            String::from_utf8(script)
                .map_err(Into::into)
                .and_then(|script| print(script.trim_end()).context("the script cannot be written"))
        }
    });
    lines::end();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has read enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref() {
            Some(Answered(code)) => ExitCode::from(*code),
            None => {
                say(&format!("jit-ssh-ca: {error:#}"));
                ExitCode::FAILURE
            }
        },
    }
}

/// An answer that is no error and no success either: it was printed, and the exit code says it to programs.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer is no")]
struct Answered(u8);

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The keys are in memory: a crash must not write them to disk, nor another process of the same user read them.
fn keep_memory_private() -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let private = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let private = private.and_then(|()| {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
    });
    private.context("core dumps cannot be switched off")
}

/// One worker a core, less one: the store's thread has a core of its own, and fewer threads wake each other less
/// (docs/PERFORMANCE.md has the figures).
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = cores.saturating_sub(1).max(1);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(workers).on_thread_park(lines::idle).enable_all().build()?)
}

/// A line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "this is the command line's voice")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// A line of output.
fn print(line: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Logs to standard error: `RUST_LOG` chooses what, `info` unless it says otherwise.
fn log_to_stderr(format: Option<LogFormat>) {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn,hyper=warn,rustls=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines::Lines);
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    // A second subscriber can only be asked for by a test; the first one stands.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_target(false).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_is_what_is_written_down() {
        let mut text = String::new();
        let mut command = Cli::command().term_width(100);
        command.build();
        fn help(command: &mut clap::Command, text: &mut String) {
            text.push_str(&format!("{}\n----\n", command.render_long_help()));
            let subcommands = command.get_subcommands_mut().filter(|sub| sub.get_name() != "help");
            subcommands.for_each(|sub| help(sub, text));
        }
        help(&mut command, &mut text);
        expect_test::expect_file!["help.txt"].assert_eq(&text);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
