//! `jit-ssh-ca identity …`: who there is, who may log in, and whose a login is. What changes something is run by the
//! server of the data directory if one runs, over its control socket; else here.

use jit_ssh_proto::event::{Actor, LogFilter, Reading, SessionOpened, What};
use jit_ssh_proto::{Name, Text, Timestamp};
use serde_json::json;

use super::store::open;
use super::{DataDir, print};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Layout};
use crate::control;
use crate::identities::{self, Who};
use crate::signer::ca_id;
use crate::store::{KnownName, Search, Store};

/// How many logins under a name are looked at to find one of the identity that has it now.
const LOGINS: usize = 50;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List every login and name, whose it is, and who is disabled
    List {
        #[command(flatten)]
        data: DataDir,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show one identity: its names, what its last login brought, its live sessions
    Show {
        /// The login or name, as it is or as ISSUER/NAME
        #[arg(value_name = "NAME", value_parser = maybe_of_issuer)]
        name: (Option<Name>, Name),
        #[command(flatten)]
        data: DataDir,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// End all sessions of an identity, and let it open none
    Disable {
        #[command(flatten)]
        who: WhoArgs,
        #[command(flatten)]
        data: DataDir,
        /// Why: it becomes part of the record
        #[arg(long, value_name = "TEXT")]
        reason: Text,
    },
    /// Let a disabled identity log in again
    Enable {
        #[command(flatten)]
        who: WhoArgs,
        #[command(flatten)]
        data: DataDir,
    },
    /// Make a login nobody's, so that another identity can have it; the sessions of the one that had it end
    Release {
        /// The login or name
        #[arg(value_name = "LOGIN")]
        login: Name,
        #[command(flatten)]
        data: DataDir,
    },
    /// Say that an issuer's new URL in ca.toml speaks for the same people; their sessions end
    MoveIssuer {
        /// The name of the [[issuer]] entry
        #[arg(value_name = "ISSUER")]
        issuer: Name,
        #[command(flatten)]
        data: DataDir,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct WhoArgs {
    /// The identity: the name of its [[issuer]] entry and its login or name, as in corp/alice
    #[arg(value_name = "ISSUER/NAME", value_parser = who)]
    who: (Name, String),
    /// What stands after the slash is the issuer's subject: for somebody who has no name here
    #[arg(long)]
    subject: bool,
}

impl From<WhoArgs> for Who {
    fn from(args: WhoArgs) -> Self {
        let (issuer, is) = args.who;
        Self { issuer, is, subject: args.subject }
    }
}

fn who(text: &str) -> Result<(Name, String), String> {
    let (issuer, is) =
        text.split_once('/').ok_or("is not of the form ISSUER/NAME, as in corp/alice".to_owned())?;
    let issuer = issuer.parse().map_err(|e| format!("names an issuer that {e}"))?;
    if is.is_empty() || is.len() > 1024 {
        Err("names nobody after the slash".to_owned())
    } else {
        Ok((issuer, is.to_owned()))
    }
}

/// `alice` or `corp/alice`.
fn maybe_of_issuer(text: &str) -> Result<(Option<Name>, Name), String> {
    let name = |text: &str| text.parse::<Name>().map_err(|e| e.to_string());
    match text.split_once('/') {
        None => Ok((None, name(text)?)),
        Some((issuer, is)) => Ok((Some(name(issuer)?), name(is)?)),
    }
}

/// What the last login of an identity brought, under whichever of its names that was.
async fn last_login(
    store: &Store,
    known: &KnownName,
    all: &[&str],
) -> anyhow::Result<Option<(Timestamp, SessionOpened)>> {
    let mut last: Option<(u64, Timestamp, SessionOpened)> = None;
    for name in all {
        let filter = LogFilter {
            user: Some(name.parse()?),
            kind: Some("session.opened".parse()?),
            ..LogFilter::default()
        };
        // Whoever had the name before is another identity: its logins say nothing of this one.
        let found = store.search(Search { filter, newest_first: true, limit: LOGINS }).await?;
        let theirs = found.events.iter().find_map(|stored| {
            let Ok(Reading::Known(event)) = Reading::of(&stored.content.as_ref()?.body) else { return None };
            let Actor::Identity { issuer, sub, .. } = &event.actor else { return None };
            let same = issuer.as_str() == known.issuer && *sub == known.sub;
            let What::SessionOpened(opened) = event.what else { return None };
            same.then_some((stored.index, event.time, opened))
        });
        if theirs.as_ref().map(|(index, ..)| *index) > last.as_ref().map(|(index, ..)| *index) {
            last = theirs;
        }
    }
    Ok(last.map(|(_, time, opened)| (time, opened)))
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    let (data, command) = match command {
        Command::List { data, json } => return list(&Layout::new(&data.dir), json).await,
        Command::Show { name, data, json } => return show(&Layout::new(&data.dir), &name, json).await,
        Command::Disable { who, data, reason } => {
            let who = who.into();
            known_issuer(&Layout::new(&data.dir), &who).await?;
            (data, identities::Command::Disable { who, reason })
        }
        Command::Enable { who, data } => (data, identities::Command::Enable { who: who.into() }),
        Command::Release { login, data } => (data, identities::Command::Release { login }),
        Command::MoveIssuer { issuer, data } => {
            let config = Config::load(&Layout::new(&data.dir))?;
            let entry = config.issuers.iter().find(|entry| entry.rules.name == issuer);
            let Some(entry) = entry else {
                anyhow::bail!("ca.toml has no [[issuer]] with the name {issuer}: write it there first");
            };
            (data, identities::Command::MoveIssuer { issuer, url: entry.url.clone() })
        }
    };
    let layout = Layout::new(&data.dir);
    let done = match control::ask(&layout.control(), &command).await? {
        Some(done) => done,
        None => {
            let store = open(&layout).await?;
            let done = identities::run(&store, SystemClock.now(), command).await;
            store.close().await;
            done.map_err(anyhow::Error::msg)?
        }
    };
    print(&done.said)?;
    Ok(())
}

/// Whoever is disabled has to be somebody: at an issuer that `ca.toml` has, or known from when it had it. A slip of the
/// pen would else look like success.
async fn known_issuer(layout: &Layout, who: &Who) -> anyhow::Result<()> {
    let config = Config::load(layout)?;
    let names: Vec<&str> = config.issuers.iter().map(|entry| entry.rules.name.as_str()).collect();
    if names.contains(&who.issuer.as_str()) {
        return Ok(());
    }
    let store = look(layout).await?;
    let known = store.names(SystemClock.now()).await;
    store.close().await;
    let is = |known: &KnownName| {
        let named = if who.subject { &known.sub } else { &known.name };
        known.issuer == who.issuer.as_str() && *named == who.is
    };
    if known?.iter().any(is) {
        return Ok(());
    }
    anyhow::bail!(
        "ca.toml has no [[issuer]] with the name {}{}, and nobody of it has logged in: correct the name",
        who.issuer,
        match names.as_slice() {
            [] => String::new(),
            names => format!(" (it has {})", names.join(", ")),
        }
    );
}

async fn look(layout: &Layout) -> anyhow::Result<Store> {
    let config = Config::load(layout)?;
    Ok(Store::open_read_only(&config.store_url, &ca_id(&layout.keys())?).await?)
}

async fn list(layout: &Layout, json: bool) -> anyhow::Result<()> {
    let store = look(layout).await?;
    let names = store.names(SystemClock.now()).await?;
    let nameless = store.disabled_without_name().await?;
    store.close().await;
    if json {
        for name in &names {
            print(&as_json(name).to_string())?;
        }
        for (identity, reason, since) in nameless {
            let (issuer, sub) = identity.split_once('/').unwrap_or_default();
            let disabled = json!({ "since": since, "reason": reason });
            print(
                &json!({ "issuer": issuer, "subject": sub, "sessions": 0, "disabled": disabled }).to_string(),
            )?;
        }
        return Ok(());
    }
    let rows = names.iter().map(|known| {
        let state =
            known.disabled.as_ref().map_or_else(|| "active".to_owned(), |(reason, _)| disabled(reason));
        [known.name.clone(), known.issuer.clone(), escaped(&known.sub), known.sessions.to_string(), state]
    });
    let nameless = nameless.iter().map(|(identity, reason, _)| {
        let (issuer, sub) = identity.split_once('/').unwrap_or_default();
        ["-".to_owned(), issuer.to_owned(), escaped(sub), "0".to_owned(), disabled(reason)]
    });
    table(&["NAME", "ISSUER", "SUBJECT", "SESSIONS", "STATE"], rows.chain(nameless).collect())
}

async fn show(layout: &Layout, name: &(Option<Name>, Name), json: bool) -> anyhow::Result<()> {
    let store = look(layout).await?;
    let now = SystemClock.now();
    let names = store.names(now).await?;
    let (issuer, name) = name;
    let Some(known) = names.iter().find(|known| known.name == name.as_str()) else {
        store.close().await;
        anyhow::bail!("nobody has the name {name}: `jit-ssh-ca identity list` shows all names");
    };
    if let Some(issuer) = issuer.as_ref().filter(|issuer| issuer.as_str() != known.issuer) {
        store.close().await;
        anyhow::bail!("{name} is no name at {issuer} but at {0}: write {0}/{name}", known.issuer);
    }
    let all: Vec<&str> = names
        .iter()
        .filter(|other| other.issuer == known.issuer && other.sub == known.sub)
        .map(|other| other.name.as_str())
        .collect();
    let sessions = store.live_sessions(&known.issuer, &known.sub, now).await?;
    let last = last_login(&store, known, &all).await;
    store.close().await;
    let last = last?;
    if json {
        let live = sessions.iter().map(|live| {
            json!({ "id": live.id, "opened": live.opened, "expires": live.expires, "flow": live.flow })
        });
        let last = last.map(|(time, opened)| {
            json!({ "time": time, "email": opened.email, "groups": opened.groups, "tags": opened.tags })
        });
        let more = [("names", json!(all)), ("live", live.collect()), ("last_login", json!(last))];
        let mut shown = as_json(known);
        if let Some(members) = shown.as_object_mut() {
            members.extend(more.map(|(name, value)| (name.to_owned(), value)));
        }
        return Ok(print(&shown.to_string())?);
    }
    print(&format!(
        "Name      {}\nIssuer    {}\nSubject   {}",
        known.name,
        known.issuer,
        escaped(&known.sub)
    ))?;
    print(&format!("Names     {}", all.join(" ")))?;
    match &known.disabled {
        None => print("State     active")?,
        Some((reason, since)) => {
            print(&format!("State     disabled since {}: {}", time(*since), escaped(reason)))?
        }
    }
    if let Some((at, opened)) = last {
        let groups: Vec<&str> = opened.groups.iter().map(Name::as_str).collect();
        let tags: Vec<String> =
            opened.tags.iter().map(|(tag, value)| format!("{tag}={}", escaped(value))).collect();
        print(&format!("Login     {}", time(at)))?;
        print(&format!("E-mail    {}", opened.email.as_deref().map_or_else(|| "none".to_owned(), escaped)))?;
        print(&format!(
            "Groups    {}",
            if groups.is_empty() { "none".to_owned() } else { groups.join(" ") }
        ))?;
        if !tags.is_empty() {
            print(&format!("Tags      {}", tags.join(" ")))?;
        }
    }
    for live in sessions {
        print(&format!(
            "Session   {} ({}) {} until {}",
            live.id,
            live.flow,
            time(live.opened),
            time(live.expires)
        ))?;
    }
    Ok(())
}

fn as_json(known: &KnownName) -> serde_json::Value {
    let disabled = known.disabled.as_ref().map(|(reason, since)| json!({ "since": since, "reason": reason }));
    json!({
        "name": known.name, "issuer": known.issuer, "subject": known.sub, "since": known.leaf,
        "sessions": known.sessions, "disabled": disabled,
    })
}

fn disabled(reason: &str) -> String {
    format!("disabled: {}", escaped(reason))
}

/// A provider chose it.
fn escaped(text: &str) -> String {
    text.escape_debug().to_string()
}

fn time(at: Timestamp) -> jiff::Timestamp {
    let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
}

fn table<const N: usize>(heads: &[&str; N], rows: Vec<[String; N]>) -> anyhow::Result<()> {
    let heads = heads.map(str::to_owned);
    let mut widths = heads.each_ref().map(|head| head.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in std::iter::once(heads).chain(rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        print(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
