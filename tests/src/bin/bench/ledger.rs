//! `cargo xtask bench ledger`: appends and certificates a second with so many waiting, on both engines, beside one
//! flush a commit; what a proof and a start cost when the ledger is long; what a certificate takes on disk.

mod changes;
mod long;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jit_ssh_ca::store::{Change, Store};
use jit_ssh_test_postgres::Postgres;
use tokio::runtime::Runtime;

use crate::figures::{Figures, median};
use crate::ledger::changes::Changes;
use crate::ledger::store::Database;
use crate::server::{Prepared, Server};
use crate::{Options, limits, note};

/// How many leaves a long ledger has.
pub(crate) const LEAVES: u64 = 10_000_000;
/// How many wait at the same time.
const WAITING: [usize; 4] = [1, 8, 32, 256];
/// How many certificates are issued to see what they take on disk.
const ON_DISK: u64 = 20_000;
/// Lengths of a ledger at which a server is started.
const STARTS: [(&str, u64); 2] = [("10k", 10_000), ("1m", 1_000_000)];
/// How often each is started.
const STARTED: usize = 5;

/// What is counted.
#[derive(Clone, Copy)]
enum Kind {
    /// One event, without state of its own.
    Append,
    /// A decision and a certificate under it, as one call.
    Certificate,
}

pub(crate) fn run(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    note("SQLite, one flush a commit");
    figures.add("ledger.sqlite.single_flush.appends_per_s", limits::single_commits(dir.path())?, "1/s");
    engine(options, figures, "sqlite", &Database::sqlite(dir.path(), "rates"))?;
    sizes(figures, "sqlite", &Database::sqlite(dir.path(), "sizes"))?;
    let postgres = Postgres::start().context("PostgreSQL")?;
    engine(options, figures, "postgres", &Database::postgres(dir.path(), "rates", postgres.database()?))?;
    sizes(figures, "postgres", &Database::postgres(dir.path(), "sizes", postgres.database()?))?;
    drop(postgres);

    for (name, leaves) in STARTS {
        note(&format!("a server on a ledger of {leaves} leaves"));
        let prepared = Prepared::new(&options.binary, &dir.path().join(name))?;
        long::lengthen(&prepared.database(), leaves)?;
        let mut starts = Vec::new();
        for _ in 0..STARTED {
            let server = Server::start(&prepared)?;
            starts.push(server.start_ms);
            server.stop()?;
        }
        figures.add(&format!("ledger.start_ms.{name}"), median(&mut starts), "ms");
    }
    note(&format!("proofs in a ledger of {} leaves", options.leaves));
    let prepared = Prepared::new(&options.binary, &dir.path().join("long"))?;
    let asked = long::lengthen(&prepared.database(), options.leaves)?;
    let proofs = proofs(&prepared.database(), &prepared.ca, &asked)?;
    let name = if options.leaves == LEAVES { "10m".to_owned() } else { options.leaves.to_string() };
    figures.add(&format!("ledger.proof_{name}_ms"), proofs.0, "ms");
    figures.add(&format!("ledger.proof_{name}_worst_ms"), proofs.1, "ms");
    Ok(())
}

/// Rates on one engine.
fn engine(options: &Options, figures: &mut Figures, name: &str, database: &Database) -> anyhow::Result<()> {
    // As many workers as the CA has beside its store's thread.
    let runtime = Runtime::new()?;
    let store = runtime.block_on(database.open())?;
    let changes = Arc::new(Changes::new()?);
    runtime.block_on(apply(&store, vec![changes.session()?]))?;
    for (kind, what) in [(Kind::Append, "appends"), (Kind::Certificate, "certs")] {
        for waiting in WAITING {
            note(&format!("{name}, {waiting} waiting: {what}"));
            let rate = runtime.block_on(rate(&store, &changes, kind, waiting, options.time))?;
            figures.add(&format!("ledger.{name}.c{waiting}.{what}_per_s"), rate, "1/s");
        }
    }
    runtime.block_on(store.close());
    Ok(())
}

/// What certificates take in a fresh database: with their decisions and all that the hot tables have of them, and when
/// they have ended and only the ledger keeps them.
fn sizes(figures: &mut Figures, name: &str, database: &Database) -> anyhow::Result<()> {
    note(&format!("{name}: {ON_DISK} certificates on disk"));
    let runtime = Runtime::new()?;
    let store = runtime.block_on(database.open())?;
    let empty = database.bytes()?;
    let changes = Arc::new(Changes::new()?);
    runtime.block_on(apply(&store, vec![changes.session()?]))?;
    runtime.block_on(certificates(&store, &changes, ON_DISK))?;
    let hot = database.bytes()?;
    runtime.block_on(store.close());
    database.forget()?;
    let kept = database.bytes()?;
    for (what, bytes) in [("bytes_per_certificate", hot), ("bytes_per_certificate_kept", kept)] {
        let each = bytes.saturating_sub(empty) / ON_DISK;
        figures.add(&format!("ledger.{name}.{what}"), f64::from(u32::try_from(each)?), "B");
    }
    Ok(())
}

/// How many a second with so many callers, each of whom asks again when it is answered.
async fn rate(
    store: &Store,
    changes: &Arc<Changes>,
    kind: Kind,
    waiting: usize,
    time: Duration,
) -> anyhow::Result<f64> {
    let began = Instant::now();
    let callers = (0..waiting).map(|_| {
        let (store, changes) = (store.clone(), Arc::clone(changes));
        tokio::spawn(async move {
            let mut count = 0_u32;
            while began.elapsed() < time {
                apply(&store, one(&changes, kind)?).await?;
                count += 1;
            }
            anyhow::Ok(count)
        })
    });
    let mut count = 0;
    for caller in callers.collect::<Vec<_>>() {
        count += caller.await??;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// So many certificates, by 32 callers.
async fn certificates(store: &Store, changes: &Arc<Changes>, count: u64) -> anyhow::Result<()> {
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let (store, changes) = (store.clone(), Arc::clone(changes));
            tokio::spawn(async move {
                for _ in 0..count / 32 {
                    apply(&store, one(&changes, Kind::Certificate)?).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

fn one(changes: &Changes, kind: Kind) -> anyhow::Result<Vec<Change>> {
    match kind {
        Kind::Append => Ok(vec![changes.append()]),
        Kind::Certificate => changes.certificate(),
    }
}

async fn apply(store: &Store, changes: Vec<Change>) -> anyhow::Result<()> {
    for outcome in store.apply(changes::now(), changes).await? {
        outcome?;
    }
    Ok(())
}

/// The middle and the slowest of the proofs of these leaves, each checked.
fn proofs(file: &Path, ca: &jit_ssh_proto::CaId, leaves: &[u64]) -> anyhow::Result<(f64, f64)> {
    let runtime = Runtime::new()?;
    let url = format!("sqlite:{}", file.display());
    let store = runtime.block_on(Store::open_read_only(&url, ca))?;
    let head = runtime.block_on(store.tree_head())?;
    let mut times = Vec::with_capacity(leaves.len());
    for leaf in leaves {
        let began = Instant::now();
        let proof = runtime.block_on(store.prove(*leaf, head.size))?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        let proof: Vec<Vec<u8>> = proof.context("no proof")?.iter().map(|hash| hash.to_vec()).collect();
        let data = runtime.block_on(store.leaves(*leaf, 1))?.context("no leaf")?;
        let Some(data) = data.first() else { bail!("no leaf {leaf}") };
        let checkpoint = jit_ssh_tests::ledger::Checkpoint { size: head.size, root: head.root };
        checkpoint.has(*leaf, data, &proof)?;
    }
    runtime.block_on(store.close());
    let worst = times.iter().copied().fold(0.0, f64::max);
    Ok((median(&mut times), worst))
}
