//! What an operator does with the record as a whole: `backup`, `restore`, `store move`, `store resume`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use data_encoding::HEXLOWER;
use jit_ssh_proto::Name;

use super::verify::{checkpoint, progress};
use super::{DataDir, print, say};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Layout};
use crate::signer::{KEY_NAMES, Keys, Passphrase, ca_id};
use crate::store::{self, GoodBackup, Known, Options, Said, Store, TreeHead, last_seen};
use crate::witness::{Knows, Why, Witness};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Copy everything to another, empty database, of either engine; the old one is left as it is, and marked
    Move {
        /// Where to: sqlite:PATH or postgres://USER@HOST/DATABASE
        #[arg(value_name = "URL")]
        url: String,
        #[command(flatten)]
        data: DataDir,
    },
    /// Take the mark off a database that was moved away, to go on with it after all
    Resume {
        #[command(flatten)]
        data: DataDir,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The file to make: it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    data: DataDir,
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    data: DataDir,
    /// A checkpoint that a client or a witness has: an older backup is refused
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Go on although the backup is older than what is known, or although nothing is known; no witness is asked
    #[arg(long)]
    accept_loss: bool,
    /// Move the SQLite file that is there aside; it is not deleted
    #[arg(long)]
    replace: bool,
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Move { url, data } => move_to(url, &Layout::new(&data.dir)).await,
        Command::Resume { data } => {
            let shown = store::resume(options(&Layout::new(&data.dir))?).await?;
            say(&format!("{shown} can be used again. What was recorded elsewhere since is not in it."));
            Ok(())
        }
    }
}

/// The store of a data directory, to be written by this process.
pub(super) async fn open(layout: &Layout) -> anyhow::Result<Store> {
    Ok(Store::open(options(layout)?).await?)
}

fn options(layout: &Layout) -> anyhow::Result<Options> {
    let config = Config::load(layout)?;
    Ok(Options {
        url: config.store_url,
        ca: ca_id(&layout.keys())?,
        create: false,
        seen: layout.seen(),
        clock: Some(Arc::new(SystemClock)),
        keep: config.store_keep,
    })
}

fn shown(head: &TreeHead) -> String {
    format!("{} leaves, root {}", head.size, HEXLOWER.encode(&head.root))
}

pub(super) async fn backup(args: Backup) -> anyhow::Result<()> {
    let layout = Layout::new(&args.data.dir);
    let url = Config::load(&layout)?.store_url;
    let backup = store::Backup { url, ca: ca_id(&layout.keys())?, file: args.file.clone() };
    let head = backup.run(progress()).await?;
    let bytes = std::fs::metadata(&args.file).context("the backup cannot be read")?.len();
    print(&format!("{}: {}, {bytes} bytes", args.file.display(), shown(&head)))?;
    say(&format!(
        "The keys are NOT in it: keep a copy of {} and of the passphrase elsewhere, or the backup is of no use.",
        layout.keys().display()
    ));
    Ok(())
}

pub(super) async fn restore(args: Restore) -> anyhow::Result<()> {
    let layout = Layout::new(&args.data.dir);
    let mut known = Vec::new();
    if let Some(head) = last_seen(&layout.seen()) {
        known.push(Known { from: layout.seen().display().to_string(), head, reached: false });
    }
    for file in &args.checkpoint {
        let head = checkpoint(&layout, file)?;
        known.push(Known { from: format!("the checkpoint {}", file.display()), head, reached: false });
    }
    let restore = store::Restore {
        options: options(&layout)?,
        backup: args.file,
        known,
        authorities: authorities(&layout)?,
        accept_loss: args.accept_loss,
        replace: args.replace,
        now: SystemClock.now(),
    };
    let good = restore.verify(progress()).await?;
    let said = if args.accept_loss { Vec::new() } else { said_by_witnesses(&layout, &good).await? };
    let restored = good.bring_in(said, progress()).await?;
    print(&format!("restored {}", shown(&restored.backup)))?;
    print(&format!("now      {}", shown(&restored.head)))?;
    if let Some(aside) = restored.aside {
        say(&format!("What was there is in {}.", aside.display()));
    }
    if restored.lost > 0 {
        say(&format!(
            "{} events after the backup are lost. Clients and witnesses that saw them will report another history: tell them why.",
            restored.lost
        ));
    }
    say(
        "Every session has ended, every certificate that may still be good is recorded as revoked, and serials jumped.\n\
         For one minute from now nobody can log in: what was signed before the restore is not taken again.",
    );
    Ok(())
}

/// Asks the witnesses of `ca.toml` how far the ledger had come. They answer to checkpoints only, so the backup is shown to
/// them as one.
async fn said_by_witnesses(layout: &Layout, good: &GoodBackup) -> anyhow::Result<Vec<Said>> {
    let witnesses = Config::load(layout)?.witnesses;
    if witnesses.is_empty() {
        return Ok(Vec::new());
    }
    say("Asking the witnesses how far the ledger had come.");
    let ledger = Keys::open(&layout.keys(), &Passphrase::obtain(false)?)?.ledger;
    let checkpoint = ledger.checkpoint(&good.head()).map_err(|e| anyhow::anyhow!("{e}"))?;
    let backup = good.open().await?;
    let mut said = Vec::new();
    for witness in witnesses.into_iter().map(Witness::new) {
        let by = witness.name().escape_debug().to_string();
        match witness.knows(ledger.log_key(), &checkpoint, &backup).await {
            Ok(Knows::NoMore) => said.push(Said { by, leaves: good.head().size }),
            Ok(Knows::More(leaves)) => said.push(Said { by, leaves }),
            Err(Why::Silent(why)) => say(&format!("{by} did not say: {why}")),
            Err(Why::Contradicts(_)) => anyhow::bail!(
                "{by} saw another history than the backup holds: take another backup, or say --accept-loss"
            ),
        }
    }
    backup.close().await;
    Ok(said)
}

/// The authorities that there are keys of, and whether each signs users' certificates.
fn authorities(layout: &Layout) -> anyhow::Result<Vec<(Name, bool)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(layout.keys()).context("the keys cannot be listed")? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".pub")) else { continue };
        let certifies = name.starts_with("user-") || KEY_NAMES.contains(&name);
        if certifies && name != "trust" && name != "ledger" {
            found.push((name.parse::<Name>()?, name != "host"));
        }
    }
    Ok(found)
}

async fn move_to(url: String, layout: &Layout) -> anyhow::Result<()> {
    if url::Url::parse(&url).is_ok_and(|url| url.password().is_some()) {
        anyhow::bail!(
            "the URL holds a password, which other users of this machine can see: give it in PGPASSFILE or PGPASSWORD"
        );
    }
    let to = if url.contains(':') { url } else { format!("sqlite:{url}") };
    let moving = store::Move { from: options(layout)?, to: to.clone(), now: SystemClock.now() };
    let moved = moving.run(progress()).await?;
    print(&format!("moved from {} to {}: {}", moved.from, moved.to, shown(&moved.head)))?;
    let config = layout.config();
    say(&format!(
        "Now write this into {}, in place of the url that is there:\n\n    [store]\n    url = {:?}\n\n\
         and start the servers. {} is left as it is, marked so that no server goes on with it;\n\
         `jit-ssh-ca store resume` takes the mark off.",
        config.display(),
        in_config(&to, &moved.to),
        moved.from
    ));
    Ok(())
}

/// The URL as `ca.toml` has it: a path there counts from the data directory, so it is written whole.
fn in_config(to: &str, shown: &str) -> String {
    match to.strip_prefix("sqlite:") {
        Some(path) => {
            let path = std::path::absolute(path)
                .map_or_else(|_| shown.to_owned(), |path| path.display().to_string());
            format!("sqlite:{path}")
        }
        None => to.to_owned(),
    }
}
