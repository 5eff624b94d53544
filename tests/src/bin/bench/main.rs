//! `cargo xtask bench issue`: what issuing costs on this machine, beside what it must cost at least, in one run.
//! `cargo xtask bench ledger`: what the ledger does by itself, on both engines.
//! `cargo xtask bench policy`: what a decision and loading cost, from few policies and hosts to very many.
//!
//! Prints a table, or with `--json` one object a line: `{"figure": NAME, "value": NUMBER, "unit": UNIT}`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench's figures are its output")]

mod cli;
mod figures;
mod ledger;
mod limits;
mod load;
mod mint;
mod policy;
mod server;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;

use crate::figures::Figures;
use crate::load::{Kind, Run};
use crate::server::Server;

/// How long each load runs.
const LOAD_TIME: Duration = Duration::from_secs(6);
/// The connections of each load.
const CONNECTIONS: [usize; 3] = [1, 8, 32];

/// The benches there are.
#[derive(Clone, Copy)]
enum Bench {
    Issue,
    Ledger,
    Policy,
}

/// What to measure. Without options, everything once.
struct Options {
    bench: Bench,
    binary: PathBuf,
    json: bool,
    kinds: Vec<Kind>,
    connections: Vec<usize>,
    time: Duration,
    /// How long the long ledger is.
    leaves: u64,
}

impl Options {
    fn read(args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            bench: Bench::Issue,
            binary: PathBuf::new(),
            json: false,
            kinds: vec![Kind::Login, Kind::Session],
            connections: CONNECTIONS.to_vec(),
            time: LOAD_TIME,
            leaves: ledger::LEAVES,
        };
        let mut words = Vec::new();
        for arg in args {
            match arg.split_once('=') {
                None if arg == "--json" => options.json = true,
                Some(("--kind", "login")) => options.kinds = vec![Kind::Login],
                Some(("--kind", "session")) => options.kinds = vec![Kind::Session],
                Some(("--connections", count)) => options.connections = vec![count.parse()?],
                Some(("--seconds", seconds)) => options.time = Duration::from_secs(seconds.parse()?),
                Some(("--leaves", count)) => options.leaves = count.parse()?,
                None | Some(_) if arg.starts_with('-') => bail!("{arg} is not an option: {USAGE}"),
                None | Some(_) => words.push(arg),
            }
        }
        let [name, binary] = words.as_slice() else { bail!("{USAGE}") };
        options.bench = match name.as_str() {
            "issue" => Bench::Issue,
            "ledger" => Bench::Ledger,
            "policy" => Bench::Policy,
            _ => bail!("bench {name:?} is not known: {USAGE}"),
        };
        options.binary = PathBuf::from(binary);
        Ok(options)
    }
}

const USAGE: &str = "write bench issue|ledger|policy PATH_OF_JIT_SSH_CA [--json] [--kind=login|session] [--connections=N] [--seconds=N] [--leaves=N]";

fn main() -> anyhow::Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    let mut figures = Figures::new(options.json);
    match options.bench {
        Bench::Issue => issue(&options, &mut figures),
        Bench::Ledger => ledger::run(&options, &mut figures),
        Bench::Policy => policy::run(&mut figures),
    }
}

fn issue(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    let client = options.binary.with_file_name("jit-ssh");
    if client.exists() {
        note("client: --help");
        figures.add("cli.help_ms", cli::help_ms(&client)?, "ms");
    }
    let dir = tempfile::tempdir()?;
    note("limits: signatures, single commits, ssh-keygen -s");
    let limits = limits::measure(dir.path())?;
    figures.add("issue.limit.login_us", limits.login_us, "us");
    figures.add("issue.limit.session_us", limits.session_us, "us");
    figures.add("issue.single_commit.per_s", limits.single_commit_per_s, "1/s");
    figures.add("issue.ssh_keygen.certs_per_s", limits.ssh_keygen_per_s, "1/s");

    note("server: cold start, five times");
    let prepared = server::Prepared::new(&options.binary, &dir.path().join("ca"))?;
    let mut starts = Vec::new();
    let mut derivations = Vec::new();
    for _ in 0..5 {
        let server = Server::start(&prepared)?;
        starts.push(server.start_ms);
        derivations.push(server.key_derivation_ms);
        server.stop()?;
    }
    figures.add("issue.cold_start_ms", figures::median(&mut starts), "ms");
    figures.add("issue.key_derivation_ms", figures::median(&mut derivations), "ms");

    let server = Server::start(&prepared)?;
    load::warm_up(&prepared, &server)?;
    figures.add("issue.rss_mb.start", server.rss_mb()?, "MB");
    for kind in options.kinds.iter().copied() {
        let limit = match kind {
            Kind::Login => limits.login_us,
            Kind::Session => limits.session_us,
        };
        for connections in options.connections.iter().copied() {
            note(&format!("load {kind}: {connections} connections"));
            let run = Run { kind, connections, time: options.time };
            let done = load::run(&prepared, &server, &run)?;
            let name = |what: &str| format!("issue.{kind}.c{connections}.{what}");
            figures.add(&name("certs_per_s"), done.per_s, "1/s");
            figures.add(&name("p50_ms"), done.p50_ms, "ms");
            figures.add(&name("p99_ms"), done.p99_ms, "ms");
            figures.add(&name("server_cpu_us_per_cert"), done.server_cpu_us, "us");
            figures.add(&name("server_cpu_over_limit"), done.server_cpu_us / limit, "x");
        }
    }
    figures.add("issue.rss_mb.end", server.rss_mb()?, "MB");
    server.stop()
}

fn note(what: &str) {
    eprintln!("bench: {what}");
}
