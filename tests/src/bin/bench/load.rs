//! Loads: callers on kept-alive connections, each sending its next call when the last one is answered.

use std::fmt;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use jit_ssh_proto::wire::SessionOpened;
use jit_ssh_tests::api::{Call, Key, Session};

use crate::mint::{access, login};
use crate::server::{Prepared, Server};
use crate::wire::Connection;

/// What a caller brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A fresh token each: session and certificate in one round trip.
    Login,
    /// A certificate under a live session.
    Session,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Login => "login",
            Self::Session => "session",
        })
    }
}

/// One load.
pub(crate) struct Run {
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
}

/// What it came to.
pub(crate) struct Done {
    pub(crate) per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) server_cpu_us: f64,
}

/// How long making the calls of a run may take, of the minute for which the first of them is good.
const MINTING_TIME: Duration = Duration::from_secs(25);

/// Lets the server fetch, map and allocate what it does once.
pub(crate) fn warm_up(prepared: &Prepared, server: &Server) -> anyhow::Result<()> {
    for kind in [Kind::Login, Kind::Session] {
        run(prepared, server, &Run { kind, connections: 2, time: Duration::from_millis(500) })?;
    }
    Ok(())
}

/// More calls than the fastest server could answer in `time`, shared among the connections.
fn enough(run: &Run) -> usize {
    let per_second: f64 = if run.connections == 1 { 3000.0 } else { 7000.0 };
    let total = per_second * run.time.as_secs_f64();
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small count"
    )]
    let total = total as usize;
    total / run.connections
}

pub(crate) fn run(prepared: &Prepared, server: &Server, run: &Run) -> anyhow::Result<Done> {
    // Calls are good for a minute from when they are signed.
    let calls = mint(prepared, server, run)?;
    let barrier = Barrier::new(run.connections + 1);
    let (times, began, cpu_before) = std::thread::scope(|scope| {
        let workers: Vec<_> = calls
            .into_iter()
            .map(|calls| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let connection = Connection::open(server.address, &prepared.tls);
                    barrier.wait();
                    work(connection?, &calls, run.time)
                })
            })
            .collect();
        let cpu_before = server.cpu_us();
        barrier.wait();
        let began = Instant::now();
        let mut times = Vec::new();
        for worker in workers {
            times.extend(worker.join().map_err(|_| anyhow!("a caller failed"))??);
        }
        anyhow::Ok((times, began, cpu_before?))
    })?;
    let elapsed = began.elapsed().as_secs_f64();
    let cpu = server.cpu_us()? - cpu_before;
    let mut times = times;
    times.sort_by(f64::total_cmp);
    let count = u32::try_from(times.len())?;
    if count == 0 {
        bail!("nothing was answered");
    }
    let at = |part: usize| times.get(times.len() * part / 100).or(times.last()).copied().unwrap_or(0.0);
    Ok(Done {
        per_s: f64::from(count) / elapsed,
        p50_ms: at(50),
        p99_ms: at(99),
        server_cpu_us: cpu / f64::from(count),
    })
}

fn work(mut connection: Connection, calls: &[Call], time: Duration) -> anyhow::Result<Vec<f64>> {
    let began = Instant::now();
    let mut times = Vec::with_capacity(calls.len());
    for call in calls {
        if began.elapsed() >= time {
            return Ok(times);
        }
        let sent = Instant::now();
        let (status, body) = connection.send(call)?;
        times.push(sent.elapsed().as_secs_f64() * 1e3);
        let issued = body.windows(11).any(|w| w == b"certificate");
        if status != 201 || !issued {
            bail!("status {status}: {}", String::from_utf8_lossy(body));
        }
    }
    Ok(times)
}

fn mint(prepared: &Prepared, server: &Server, run: &Run) -> anyhow::Result<Vec<Vec<Call>>> {
    let count = enough(run);
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..run.connections)
            .map(|connection| scope.spawn(move || mint_one(prepared, server, run.kind, connection, count)))
            .collect();
        makers
            .into_iter()
            .map(|maker| maker.join().map_err(|_| anyhow!("calls could not be made"))?)
            .collect()
    })
}

fn mint_one(
    prepared: &Prepared,
    server: &Server,
    kind: Kind,
    connection: usize,
    count: usize,
) -> anyhow::Result<Vec<Call>> {
    let key = Key::new()?;
    // On a slow machine fewer calls are better than stale ones; the run then ends early.
    let began = Instant::now();
    let fresh = |_: &usize| began.elapsed() < MINTING_TIME;
    match kind {
        Kind::Login => (0..count)
            .take_while(fresh)
            .map(|at| {
                let user = (connection * 7 + at) % 500;
                login(&prepared.issuer, &prepared.ca, user, &Key::new()?, &key)
            })
            .collect(),
        Kind::Session => {
            let session = Key::new()?;
            let call = login(&prepared.issuer, &prepared.ca, connection, &session, &key)?;
            let mut line = Connection::open(server.address, &prepared.tls)?;
            let (status, body) = line.send(&call)?;
            if status != 201 {
                bail!("login: status {status}: {}", String::from_utf8_lossy(body));
            }
            let opened: SessionOpened = serde_json::from_slice(body).context("the login's answer")?;
            let session = Session { key: session, token: opened.token, id: opened.session.id.parse()? };
            (0..count).take_while(fresh).map(|_| access(&prepared.ca, &session, &key)).collect()
        }
    }
}
