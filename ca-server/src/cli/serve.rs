//! `jit-ssh-ca serve DIR`

use std::time::Instant;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{DataDir, LogFormat, log_to_stderr};
use crate::config::Layout;
use crate::http::{self, Stopping};
use crate::signer::Passphrase;
use crate::start::start;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    data: DataDir,
    /// How to write log lines; text on a terminal, json elsewhere
    #[arg(long, value_enum)]
    log: Option<LogFormat>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let began = Instant::now();
    log_to_stderr(args.log);
    let stop = Stop::watch()?;
    let hangup = signal(SignalKind::hangup())?;
    let layout = Layout::new(&args.data.dir);
    let passphrase = Passphrase::obtain(false)?;
    let started = start(&layout, &passphrase, Some(hangup)).await?;
    // Nothing needs it any more.
    drop(passphrase);
    let config = &started.config;
    let bound = http::bind(config.listen, &config.transport, &config.trusted_proxies).await?;
    let elapsed = began.elapsed();
    tracing::info!(
        address = %bound.address(),
        tls = bound.is_tls(),
        url = %config.url,
        trust = %started.trust,
        startup_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        key_derivation_us = u64::try_from(started.key_derivation.as_micros()).unwrap_or(u64::MAX),
        "listening"
    );
    bound.serve(http::router(started.app.clone()), stop.asked(started.app.stopping.clone())).await;
    drop(started.background);
    // What waits in the store is finished before the process ends.
    started.app.service.store.clone().close().await;
    tracing::info!("stopped");
    Ok(())
}

/// SIGTERM and SIGINT, watched from the moment this is made: before anybody is told that the server listens.
pub(super) struct Stop {
    term: Signal,
    int: Signal,
}

impl Stop {
    pub(super) fn watch() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Resolves when one of them came; then nobody waits any more.
    pub(super) async fn asked(mut self, stopping: Stopping) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
        stopping.begin();
        tracing::info!("stopping: no new calls, those under way may end");
    }
}
