//! `jit-ssh-ca dev`: a CA and an identity provider to try things with, on loopback, thrown away at the end.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use data_encoding::BASE64URL_NOPAD;
use jit_ssh_proto::Name;
use tokio::net::TcpListener;

use super::{LogFormat, init, log_to_stderr, print, serve};
use crate::clock::SystemClock;
use crate::config::{Config, Layout};
use crate::dev::provider;
use crate::entropy;
use crate::http::{self, Bound};
use crate::signer::Passphrase;
use crate::start::{Started, start};

const POLICY: &str = include_str!("../../starter/dev-policy.cedar");
const ISSUER: &str = include_str!("../../starter/dev-issuer.toml");

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the CA listens: loopback only
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the identity provider listens: loopback only
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    idp_listen: SocketAddr,
    /// Keep the data in this new folder; without it they are removed at the end
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A host of the inventory and where it is reached; may be given several times
    #[arg(long, value_name = "NAME=ADDRESS:PORT", value_parser = parse_host, default_value = "demo=127.0.0.1:22")]
    host: Vec<(Name, String)>,
    /// A login that the hosts offer; may be given several times. Without it: yours and deploy
    #[arg(long)]
    login: Vec<Name>,
    /// Print one JSON object when ready, instead of the instructions
    #[arg(long)]
    json: bool,
    /// How to write log lines; text on a terminal, json elsewhere
    #[arg(long, value_enum)]
    log: Option<LogFormat>,
}

fn parse_host(text: &str) -> Result<(Name, String), String> {
    let (name, address) = text.split_once('=').ok_or("write NAME=ADDRESS:PORT")?;
    let name = name.parse().map_err(|e| format!("the name {e}"))?;
    Ok((name, address.to_owned()))
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    for (flag, address) in [("--listen", args.listen), ("--idp-listen", args.idp_listen)] {
        if !address.ip().is_loopback() {
            bail!(
                "{flag} {address} is not loopback: dev hands out access to whoever asks, so it stays on this machine"
            );
        }
    }
    log_to_stderr(args.log);
    let stop = serve::Stop::watch()?;
    let place = Place::new(args.dir.clone())?;
    let listen = |address| async move {
        TcpListener::bind(address)
            .await
            .with_context(|| format!("{address} cannot be used; stop what uses it or choose another port"))
    };
    let (ca, idp) = (listen(args.listen).await?, listen(args.idp_listen).await?);
    let urls = (format!("http://{}", ca.local_addr()?), format!("http://{}", idp.local_addr()?));
    let passphrase = Passphrase::new(BASE64URL_NOPAD.encode(&entropy::bytes::<24>()))?;
    let logins = if args.login.is_empty() { default_logins() } else { args.login.clone() };
    let contents = (config(&ca.local_addr()?, &urls), inventory(&args.host, &logins));
    let contents =
        init::Contents { config: &contents.0, policy: POLICY, cases: None, inventory: &contents.1 };
    init::create(&place.dir, &contents, &passphrase).await?;
    tokio::spawn(provider::serve(idp, SystemClock));
    let started = start(&Layout::new(&place.dir), &passphrase, None).await?;
    drop(passphrase);
    announce(&args, &started.config, &urls, &started.trust, &place.dir, &logins)?;
    let Started { app, background, .. } = started;
    let stopping = app.stopping.clone();
    Bound::plain(ca)?.serve(http::router(app), stop.asked(stopping)).await;
    drop(background);
    Ok(())
}

/// The data directory, removed at the end unless it was named.
struct Place {
    dir: PathBuf,
    thrown_away: Option<PathBuf>,
}

impl Place {
    fn new(named: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(dir) = named {
            return Ok(Self { dir, thrown_away: None });
        }
        let name = format!("jit-ssh-dev-{}", BASE64URL_NOPAD.encode(&entropy::bytes::<9>()));
        let root = std::env::temp_dir().join(name);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&root)
            .with_context(|| format!("{} cannot be made", root.display()))?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700))?;
        Ok(Self { dir: root.join("ca"), thrown_away: Some(root) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(root) = &self.thrown_away {
            let _ = fs::remove_dir_all(root);
        }
    }
}

fn default_logins() -> Vec<Name> {
    let mine =
        std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned());
    let mut logins: Vec<Name> =
        [mine.as_str(), "deploy"].into_iter().filter_map(|login| login.parse().ok()).collect();
    logins.dedup();
    logins
}

fn config(listen: &SocketAddr, (url, issuer): &(String, String)) -> String {
    init::config(listen, url, init::STORE, &ISSUER.replace("@ISSUER_URL@", issuer))
}

fn inventory(hosts: &[(Name, String)], logins: &[Name]) -> String {
    let logins: Vec<String> =
        logins.iter().map(|login| format!("{login:?}", login = login.as_str())).collect();
    let mut text = format!("[[group]]\nname = \"dev\"\nlogins = [{}]\n", logins.join(", "));
    for (name, address) in hosts {
        text.push_str(&format!("\n[[host]]\nname = \"{name}\"\ngroups = [\"dev\"]\naddress = {address:?}\n"));
    }
    text
}

fn announce(
    args: &Args,
    config: &Config,
    (url, issuer): &(String, String),
    trust: &str,
    dir: &Path,
    logins: &[Name],
) -> anyhow::Result<()> {
    if args.json {
        let ready = serde_json::json!({ "url": url, "issuer": issuer, "trust": trust, "dir": dir });
        return Ok(print(&ready.to_string())?);
    }
    let host = args.host.first().map_or("demo", |(name, _)| name.as_str());
    let login = logins.first().map_or("deploy", Name::as_str);
    let people: Vec<String> =
        provider::PEOPLE.iter().map(|p| format!("{} ({})", p.name, p.groups.join(", "))).collect();
    print(&format!(
        "A throw-away CA for development, on loopback only. Anybody on this machine can log in as anyone.\n\
         \n\
         \x20 CA         {url}\n\
         \x20 provider   {issuer}    people: {people}\n\
         \x20 data       {dir}    sessions last {session}\n\
         \n\
         In another terminal:\n\
         \n\
         \x20 jit-ssh setup {url} --trust {trust}\n\
         \x20 jit-ssh login {login}@{host} --for 10m --reason 'trying it out'\n\
         \x20 jit-ssh inspect\n\
         \x20 jit-ssh-ca log show {dir}\n\
         \n\
         A host trusts it with (as the user who runs sshd):\n\
         \n\
         \x20 curl -s {url}/.well-known/jit-ssh | jit-ssh-host files --name {host} --group dev --login {login} \\\n\
         \x20   --bundle - --trust {trust}\n\
         \n\
         Ctrl-C ends it.",
        people = people.join(", "),
        dir = dir.display(),
        session = config.limits.session,
    ))?;
    Ok(())
}
