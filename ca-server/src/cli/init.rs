//! `jit-ssh-ca init DIR`: a new CA, whole or not at all.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use jit_ssh_core::policy::SCHEMA;
use jit_ssh_proto::event::{Actor, CaInitialised, What};
use ssh_key::HashAlg;

use super::{runtime, say};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Layout, load_rules};
use crate::signer::{Passphrase, create_keys};
use crate::store::{Change, Options as StoreOptions, RecordEvent, Store};

/// The files that a new CA begins with.
const CONFIG: &str = include_str!("../../starter/ca.toml");
/// The database that it has unless told otherwise.
pub(super) const STORE: &str = "sqlite:ca.db";
const ISSUER: &str = include_str!("../../starter/issuer.toml");
const POLICY: &str = include_str!("../../starter/policy.cedar");
const CASES: &str = include_str!("../../starter/policy.test.toml");
const INVENTORY: &str = include_str!("../../starter/inventory.toml");

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder to make: it must not exist, or be empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The CA's address as clients will know it
    #[arg(long, default_value = "https://ca.example.com")]
    url: String,
    /// Where the CA will listen
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// The database: a file in DIR, or an empty PostgreSQL database, postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", default_value = STORE)]
    store: String,
}

/// What goes into a new data directory.
pub(super) struct Contents<'a> {
    pub(super) config: &'a str,
    pub(super) policy: &'a str,
    /// Cases for `policy test`, if there are any.
    pub(super) cases: Option<&'a str>,
    pub(super) inventory: &'a str,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    url::Url::parse(&args.url)
        .with_context(|| format!("--url {:?} is not a URL: write https://ca.example.com", args.url))?;
    refuse_occupied(&args.dir)?;
    let config = config(&args.listen, &args.url, &args.store, ISSUER.trim_end());
    // What is wrong with the flags is said before anything is asked or made.
    Config::parse(&config, &Layout::new(&args.dir)).context(
        "--url, --listen or --store cannot be used; begin on loopback, and add [tls] or a proxy in ca.toml later",
    )?;
    let passphrase = Passphrase::obtain(true)?;
    let contents = Contents { config: &config, policy: POLICY, cases: Some(CASES), inventory: INVENTORY };
    let trust = runtime()?.block_on(create(&args.dir, &contents, &passphrase))?;
    let dir = args.dir.display();
    say(&format!("Made a CA in {dir}."));
    say(&format!("  trust key    {trust}    clients and hosts pin this"));
    say(&format!(
        "  config       {dir}/ca.toml    name your identity provider there ([[issuer]]) before the first login"
    ));
    say(&format!("  policies     {dir}/policies/    who may do what; keep them under version control"));
    say("               `jit-ssh-ca policy check` and `policy test` look at them");
    say(&format!("  inventory    {dir}/inventory/    which hosts and logins there are"));
    say(&format!(
        "Keep the passphrase and a copy of {dir}/keys apart from this machine.\nNext: edit ca.toml, then `jit-ssh-ca serve {}`.",
        quoted(&dir.to_string())
    ));
    Ok(())
}

/// The configuration that a new CA begins with.
pub(super) fn config(listen: &SocketAddr, url: &str, store: &str, issuer: &str) -> String {
    CONFIG
        .replace("@LISTEN@", &listen.to_string())
        .replace("@URL@", url)
        .replace("@STORE@", &toml::Value::from(store).to_string())
        .replace("@ISSUER@", issuer)
}

/// One word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Makes the directory beside its final place and moves it there when all of it is good. Returns the fingerprint of
/// the trust key.
pub(super) async fn create(
    dir: &Path,
    contents: &Contents<'_>,
    passphrase: &Passphrase,
) -> anyhow::Result<String> {
    refuse_occupied(dir)?;
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
    let name =
        dir.file_name().with_context(|| format!("{} has no name: give the folder to make", dir.display()))?;
    let draft = parent.join(format!(".{}.init-{}", name.to_string_lossy(), std::process::id()));
    let made = fill(&draft, contents, passphrase).await;
    let moved = made.and_then(|trust| {
        fs::rename(&draft, dir).with_context(|| format!("{} cannot be put in place", dir.display()))?;
        fs::File::open(parent).and_then(|folder| folder.sync_all())?;
        Ok(trust)
    });
    if moved.is_err() {
        let _ = fs::remove_dir_all(&draft);
    }
    moved
}

fn refuse_occupied(dir: &Path) -> anyhow::Result<()> {
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!("{} is not empty: nothing is overwritten; name a new folder", dir.display());
            }
            Ok(())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| format!("{} cannot be used", dir.display())),
    }
}

async fn fill(draft: &Path, contents: &Contents<'_>, passphrase: &Passphrase) -> anyhow::Result<String> {
    let layout = Layout::new(draft);
    for folder in [draft.to_path_buf(), layout.keys(), layout.policies(), layout.inventory()] {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    fs::write(layout.config(), contents.config)?;
    fs::write(layout.policies().join("10-starter.cedar"), contents.policy)?;
    if let Some(cases) = contents.cases {
        fs::write(layout.policies().join("10-starter.test.toml"), cases)?;
    }
    fs::write(layout.inventory().join("hosts.toml"), contents.inventory)?;
    fs::write(layout.schema(), SCHEMA)?;
    let config = Config::load(&layout)?;
    load_rules(&layout, config.limits.ttl)?;
    let (ca_id, keys) = create_keys(&layout.keys(), passphrase)?;
    let trust = keys
        .iter()
        .find(|(name, _)| name.as_str() == "trust")
        .map(|(_, key)| key.fingerprint(HashAlg::Sha256).to_string())
        .context("the trust key was not made")?;
    let options = StoreOptions {
        url: config.store_url,
        ca: ca_id,
        create: true,
        seen: layout.seen(),
        clock: Some(Arc::new(SystemClock)),
        keep: config.store_keep,
    };
    let store = Store::open(options).await?;
    let mut lines = Vec::with_capacity(keys.len());
    for (name, key) in keys {
        lines.push((name, key.to_openssh()?));
    }
    let initialised = RecordEvent {
        actor: Actor::Operator,
        what: What::CaInitialised(CaInitialised { ca_id, keys: lines }),
    };
    for outcome in store.apply(SystemClock.now(), vec![Change::Record(initialised)]).await? {
        outcome?;
    }
    store.close().await;
    Ok(trust)
}
