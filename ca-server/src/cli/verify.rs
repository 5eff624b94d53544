//! `jit-ssh-ca log verify DIR`: whether a database or a backup says what its ledger says, offline.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use data_encoding::HEXLOWER;
use jit_ssh_proto::log::{Checkpoint, LogKey, MAX_NOTE};
use serde_json::json;

use super::{DataDir, print};
use crate::config::{Config, Layout};
use crate::signer::{ca_id, ledger_key};
use crate::store::{Database, Known, Progress, Report, TreeHead, Verify, last_seen};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    data: DataDir,
    /// Another database than the one of ca.toml: a SQLite file, or the URL of a PostgreSQL database
    #[arg(long, value_name = "DATABASE", conflicts_with = "backup")]
    database: Option<String>,
    /// A backup: it need not have come as far as the checkpoints
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// A checkpoint that a client or a witness has: the ledger must agree with it
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let layout = Layout::new(&args.data.dir);
    let database = match (&args.database, &args.backup) {
        (Some(database), _) => named(database),
        (None, Some(backup)) => Database::File(backup.clone()),
        (None, None) => Database::Url(Config::load(&layout)?.store_url),
    };
    let reached = args.backup.is_none();
    let mut known = Vec::new();
    if let Some(head) = last_seen(&layout.seen()) {
        known.push(Known { from: "ledger.seen".to_owned(), head, reached });
    }
    for file in &args.checkpoint {
        let head = checkpoint(&layout, file)?;
        known.push(Known { from: format!("checkpoint {}", file.display()), head, reached });
    }
    let verify = Verify { database, ca: ca_id(&layout.keys())?, known };
    let known = verify.known.clone();
    let report = verify.run(progress()).await?;
    if args.json {
        print(&as_json(&report, &known).to_string())?;
    } else {
        as_text(&report, &known)?;
    }
    complain(&report)
}

/// An error if anything was found.
pub(super) fn complain(report: &Report) -> anyhow::Result<()> {
    let findings = u64::try_from(report.findings.len())?.saturating_add(report.more);
    match (findings, report.findings.first()) {
        (1, Some(one)) => bail!("the ledger does not verify: {}: {}", one.at, one.what),
        (more, Some(first)) => {
            bail!(
                "the ledger does not verify: {}: {}, and {} more",
                first.at,
                first.what,
                more.saturating_sub(1)
            )
        }
        (_, None) => Ok(()),
    }
}

/// A file, or a URL.
fn named(database: &str) -> Database {
    if ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| database.starts_with(scheme)) {
        Database::Url(database.to_owned())
    } else {
        Database::File(PathBuf::from(database))
    }
}

/// The checkpoint in a file, if this CA's ledger key signed it.
pub(super) fn checkpoint(layout: &Layout, file: &Path) -> anyhow::Result<TreeHead> {
    let key = LogKey::new(&ca_id(&layout.keys())?, &ledger_key(&layout.keys())?)?;
    let shown = file.display();
    let length = std::fs::metadata(file).with_context(|| format!("{shown} cannot be read"))?.len();
    if length > u64::try_from(MAX_NOTE)? {
        bail!("the checkpoint {shown} is longer than any checkpoint");
    }
    let note = std::fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?;
    match Checkpoint::verify(&key, &note) {
        Ok(checkpoint) => Ok(TreeHead { size: checkpoint.size(), root: *checkpoint.root() }),
        Err(e) => bail!("the checkpoint {shown} {e}"),
    }
}

/// Says how far it is, on a terminal.
pub(super) fn progress() -> Progress {
    if !std::io::stderr().is_terminal() {
        return Box::new(|_, _| {});
    }
    let mut shown = None;
    Box::new(move |done, of| {
        let percent = done.saturating_mul(100).checked_div(of).unwrap_or(100);
        if shown != Some(percent) {
            shown = Some(percent);
            let end = if done >= of { "\r\x1b[K" } else { "" };
            write_progress(&format!("\rreading leaf {done} of {of} ({percent} %){end}"));
        }
    })
}

#[expect(clippy::print_stderr, reason = "this is the command line's voice")]
fn write_progress(text: &str) {
    eprint!("{text}");
}

fn as_json(report: &Report, known: &[Known]) -> serde_json::Value {
    let findings: Vec<_> =
        report.findings.iter().map(|finding| json!({ "at": finding.at, "what": finding.what })).collect();
    let known: Vec<_> = known
        .iter()
        .map(|known| json!({ "from": known.from, "size": known.head.size, "root": HEXLOWER.encode(&known.head.root) }))
        .collect();
    json!({
        "ok": report.is_good(),
        "leaves": report.leaves,
        "root": report.head.map(|head| HEXLOWER.encode(&head.root)),
        "erased": report.erased,
        "unknown": report.unknown,
        "rows": report.rows,
        "known": known,
        "findings": findings,
        "more": report.more,
    })
}

fn as_text(report: &Report, known: &[Known]) -> std::io::Result<()> {
    for finding in &report.findings {
        print(&format!("{}: {}", finding.at, finding.what))?;
    }
    if report.more > 0 {
        print(&format!("and {} more", report.more))?;
    }
    if !report.is_good() {
        return Ok(());
    }
    let root = report.head.map(|head| HEXLOWER.encode(&head.root)).unwrap_or_default();
    print(&format!("{} leaves, root {root}: every hash is right", report.leaves))?;
    print(&format!("{} rows of state: each is what its event says", report.rows))?;
    if report.erased > 0 {
        print(&format!("{} events are erased, each with a reason", report.erased))?;
    }
    if report.unknown > 0 {
        print(&format!("{} events are of types that this version does not know", report.unknown))?;
    }
    for known in known {
        if known.head.size <= report.leaves {
            print(&format!("agrees with {} ({} leaves)", known.from, known.head.size))?;
        } else {
            print(&format!("ends before {} ({} leaves)", known.from, known.head.size))?;
        }
    }
    if known.is_empty() {
        print("nothing outside the database was compared: give a client's or witness's --checkpoint")?;
    }
    Ok(())
}
