//! `cargo xtask bench issue`: what issuing costs on this machine, beside what it must cost at least, in one run.
//!
//! Prints a table, or with `--json` one object a line: `{"figure": NAME, "value": NUMBER, "unit": UNIT}`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench's figures are its output")]

mod figures;
mod limits;
mod load;
mod mint;
mod server;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::figures::Figures;
use crate::load::{Kind, Run};
use crate::server::Server;

/// How long each load runs.
const LOAD_TIME: Duration = Duration::from_secs(6);
/// The connections of each load.
const CONNECTIONS: [usize; 3] = [1, 8, 32];

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let json = args.iter().any(|a| a == "--json");
    let mut words = args.iter().filter(|a| !a.starts_with("--"));
    match words.next().map(String::as_str) {
        Some("issue") => {}
        other => bail!("bench {other:?} is not known: write `cargo xtask bench issue`"),
    }
    let binary = words.next().map(PathBuf::from).context("the path of jit-ssh-ca is missing")?;
    let mut figures = Figures::new(json);
    issue(&binary, &mut figures)
}

fn issue(binary: &std::path::Path, figures: &mut Figures) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    note("limits: signatures, single commits, ssh-keygen -s");
    let limits = limits::measure(dir.path())?;
    figures.add("issue.limit.login_us", limits.login_us, "us");
    figures.add("issue.limit.session_us", limits.session_us, "us");
    figures.add("issue.single_commit.per_s", limits.single_commit_per_s, "1/s");
    figures.add("issue.ssh_keygen.certs_per_s", limits.ssh_keygen_per_s, "1/s");

    note("server: cold start, five times");
    let prepared = server::Prepared::new(binary, &dir.path().join("ca"))?;
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
    for kind in [Kind::Login, Kind::Session] {
        let limit = match kind {
            Kind::Login => limits.login_us,
            Kind::Session => limits.session_us,
        };
        for connections in CONNECTIONS {
            note(&format!("load {kind}: {connections} connections"));
            let run = Run { kind, connections, time: LOAD_TIME };
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
