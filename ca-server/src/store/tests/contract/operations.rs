//! What an operator does with a whole ledger: backup, restore, move, erase. After each the ledger still verifies.

mod backup;
mod erasing;
mod moving;
mod restoring;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::issuing::{grant, is_issued};
use super::verify::{busy, verified};
use super::*;
use crate::store::restore::Restore;
use crate::store::verify::{Database, Known, Progress, Verify};

fn quietly() -> Progress {
    Box::new(|_, _| {})
}

async fn backup(home: &Home, file: &Path) -> Result<TreeHead, StoreError> {
    Backup { url: home.url(), ca: ca(), file: file.to_owned() }.run(quietly()).await
}

/// Everything, less what is about the one database.
fn portable(home: &Home) -> String {
    let own = ["Text(\"probe\")", "Text(\"moved\")"];
    content(home)
        .lines()
        .filter(|line| !own.iter().any(|own| line.contains(own)))
        .collect::<Vec<_>>()
        .join("\n")
}

fn at_file(dir: &Home, file: &str) -> Home {
    let url = format!("sqlite:{}", dir.dir.path().join(file).display());
    Home { dir: tempfile::tempdir().unwrap(), url }
}

/// An empty database of this home's engine, and one of the other.
fn empty(home: &Home, other: bool) -> String {
    if home.url.starts_with("sqlite:") == other {
        SERVER.with(|server| server.database().unwrap())
    } else {
        format!("sqlite:{}", home.dir.path().join("another.db").display())
    }
}

async fn is_good(home: &Home) {
    let report = verified(home).await;
    assert_eq!(report.findings, []);
}

/// The leaf after the busy ledger's last.
const FILLED: u64 = 600;

fn restore(home: &Home, url: &str, file: &Path, known: Option<TreeHead>) -> Restore {
    let known = known.map(|head| Known { from: "the witness".to_owned(), head, reached: false });
    Restore {
        options: Options { url: url.to_owned(), ..home.options() },
        backup: file.to_owned(),
        known: known.into_iter().collect(),
        authorities: vec![("user".parse().unwrap(), true), ("host".parse().unwrap(), false)],
        accept_loss: false,
        replace: false,
        now: at(100),
    }
}

async fn run(restore: Restore) -> Result<RestoredStore, StoreError> {
    restore.verify(quietly()).await?.bring_in(Vec::new(), quietly()).await
}
