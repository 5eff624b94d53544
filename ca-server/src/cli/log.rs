//! `jit-ssh-ca log …`: reading the record, offline or beside a running server.

use anyhow::Context;
use jit_ssh_proto::event::{LogFilter, Outcome, Reading, What};
use jit_ssh_proto::{Span, Text, Timestamp};

use super::store::open;
use super::{DataDir, print, say};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Layout};
use crate::signer::ca_id;
use crate::store::{Change, EraseEvent, Search, Store, StoredEvent};

/// How many events are read at a time.
const BATCH: usize = 500;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print every event, oldest first, or those that fit
    Show {
        #[command(flatten)]
        data: DataDir,
        /// Print one JSON object a line: index, leaf and the event
        #[arg(long)]
        json: bool,
        /// Only events that fit, as in user=alice: user, host, action, type, policy, serial, request, grant, session,
        /// grep, since and until (2h, 2026-11-22, 2026-11-22T14:00:00Z), after, before. Give it several times to narrow further
        #[arg(long = "where", value_name = "NAME=VALUE")]
        narrowed: Vec<String>,
    },
    /// Check, offline or beside a server, that every hash is right and every row of state is explained by an event
    Verify(super::verify::Args),
    /// Take the body of one event out of the ledger, which goes on proving itself; the event that says so stays
    Erase(Erase),
}

#[derive(Debug, clap::Args)]
pub(super) struct Erase {
    /// The event's index, as `log show` prints it
    #[arg(value_name = "INDEX")]
    index: u64,
    #[command(flatten)]
    data: DataDir,
    /// Why: it becomes part of the record
    #[arg(long, value_name = "TEXT")]
    reason: Text,
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Show { data, json, narrowed } => show(&Layout::new(&data.dir), json, &narrowed).await,
        Command::Verify(args) => super::verify::run(args).await,
        Command::Erase(args) => erase(args).await,
    }
}

async fn erase(args: Erase) -> anyhow::Result<()> {
    if args.reason.is_empty() {
        anyhow::bail!("--reason is empty: say why the event is erased");
    }
    let layout = Layout::new(&args.data.dir);
    let store = open(&layout).await?;
    let change = Change::EraseEvent(EraseEvent { leaf: args.index, reason: args.reason });
    let applied = store.apply(SystemClock.now(), vec![change]).await;
    store.close().await;
    for outcome in applied? {
        let leaf = outcome?.leaf;
        print(&format!("erased event {}: leaf {leaf} says why", args.index))?;
    }
    say(
        "Copies that were made before still have it: backups, what a restore moved aside (NAME.replaced-…), and databases \
         that the ledger was moved out of. Delete them; after a restore from one, erase it again.",
    );
    Ok(())
}

async fn show(layout: &Layout, json: bool, narrowed: &[String]) -> anyhow::Result<()> {
    let filter = filter(narrowed, SystemClock.now())?;
    let kind = filter.kind.clone();
    let mut shown = 0_usize;
    let config = Config::load(layout)?;
    let store = Store::open_read_only(&config.store_url, &ca_id(&layout.keys())?).await?;
    let mut search = Search { filter, newest_first: false, limit: BATCH };
    loop {
        let found = store.search(search.clone()).await?;
        search.filter.after = found.next;
        for stored in &found.events {
            shown = shown.saturating_add(1);
            let line = if json { as_json(stored)? } else { as_text(stored)? };
            match print(&line) {
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                other => other?,
            }
        }
        if !found.more {
            break;
        }
    }
    match kind {
        // A later version's types are not known here, but then there is one.
        Some(kind) if shown == 0 && !What::KINDS.contains(&kind.as_str()) => {
            anyhow::bail!("no event is of the type {kind}: use {}", What::KINDS.join(", "))
        }
        Some(_) | None => Ok(()),
    }
}

/// The filter that `NAME=VALUE`s say; times are written as people write them.
fn filter(narrowed: &[String], now: Timestamp) -> anyhow::Result<LogFilter> {
    let mut filter = LogFilter::default();
    for pair in narrowed {
        let (name, value) = pair.split_once('=').with_context(|| {
            format!("--where {pair:?} is not of the form NAME=VALUE: write for example user=alice")
        })?;
        let seconds = match name {
            "since" | "until" => {
                let time = moment(value, now).with_context(|| {
                    format!(
                        "--where {name} is not a time, but {value:?}: write 2h for two hours ago, 2026-11-22 or 2026-11-22T14:00:00Z"
                    )
                })?;
                Some(time.seconds().to_string())
            }
            _ => None,
        };
        filter.set(name, seconds.as_deref().unwrap_or(value)).map_err(|e| anyhow::anyhow!("--where {e}"))?;
    }
    Ok(filter)
}

/// A time as people write it: so long ago, the beginning of a day (UTC), a time, or seconds since 1970.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let seconds = if let Ok(ago) = text.parse::<Span>() {
        return Some(now.minus(ago));
    } else if let Ok(time) = text.parse::<jiff::Timestamp>() {
        time.as_second()
    } else if let Ok(day) = text.parse::<jiff::civil::Date>() {
        day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second()
    } else {
        text.parse().ok()?
    };
    u64::try_from(seconds).ok().map(Timestamp::from_seconds)
}

fn as_json(stored: &StoredEvent) -> anyhow::Result<String> {
    let leaf = data_encoding::HEXLOWER.encode(&stored.leaf);
    let line = match &stored.content {
        Some(content) => {
            let event: serde_json::Value = serde_json::from_slice(&content.body)?;
            serde_json::json!({ "index": stored.index, "leaf": leaf, "event": event })
        }
        None => serde_json::json!({ "index": stored.index, "leaf": leaf, "erased": true }),
    };
    Ok(line.to_string())
}

fn as_text(stored: &StoredEvent) -> anyhow::Result<String> {
    let Some(content) = &stored.content else { return Ok(format!("{:>6}  erased", stored.index)) };
    let reading = Reading::of(&content.body).with_context(|| format!("event {}", stored.index))?;
    let common = reading.common();
    let time = time(common.time);
    let actor = common.actor.map_or_else(|| "?".to_owned(), |actor| actor.to_string());
    let what = match &reading {
        Reading::Known(event) => describe(&event.what),
        // Of a later version: as it stands. Escaped, because nobody has said what may be in it.
        Reading::Unknown(_, fields) => {
            serde_json::Value::Object(fields.clone()).to_string().escape_debug().to_string()
        }
    };
    Ok(format!(
        "{:>6}  {time}  {:<20} {:<20} {}",
        stored.index,
        common.kind.escape_debug().to_string(),
        actor,
        what
    ))
}

fn time(at: Timestamp) -> jiff::Timestamp {
    let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
}

fn describe(what: &What) -> String {
    let join = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(" ");
    match what {
        What::CaInitialised(e) => format!("CA {}", e.ca_id),
        // Policies without an @id are called as their files are, and these may be called anything.
        What::PolicyLoaded(_) => what.to_string().escape_debug().to_string(),
        What::SessionOpened(e) => format!(
            "{} until {} groups [{}]",
            e.session,
            time(e.expires),
            join(&mut e.groups.iter().map(ToString::to_string))
        ),
        What::SessionRefused(e) => format!("{}", e.code),
        What::SessionEnded(e) => {
            let reason = e.reason.map_or_else(String::new, |reason| format!(": {}", reason.as_str()));
            format!("{}{reason}", e.session)
        }
        What::SessionRevalidated(_)
        | What::IdentityDisabled(_)
        | What::IdentityEnabled(_)
        | What::LoginReleased(_)
        | What::IssuerBound(_)
        | What::ConfigChanged(_) => what.to_string(),
        What::RequestDecided(e) => {
            let outcome = match &e.outcome {
                Outcome::Granted { policies, .. } => format!("granted by {}", policies.join(", ")),
                Outcome::Denied { code, .. } => format!("denied: {code}"),
            };
            let accounts = join(&mut e.asked.accounts.iter().map(ToString::to_string));
            let reason =
                if e.asked.reason.is_empty() { String::new() } else { format!(" ({})", e.asked.reason) };
            format!("{} {} {accounts} {outcome}{reason}", e.request, e.asked.mode)
        }
        What::CertificateRevoked(e) => match e.through {
            Some(through) => format!("{} serials {} to {through}: {}", e.authority, e.serial, e.reason),
            None => format!("{} serial {}: {}", e.authority, e.serial, e.reason),
        },
        What::KeyAdded(e) => format!("{} {}", e.name, e.key),
        What::KeyUsed(e) => format!("{} for {} ({})", e.key, e.purpose, e.fingerprint),
        What::LogExported(e) => format!("by {}", e.session),
        What::EventErased(e) => format!("event {}: {}", e.leaf, e.reason),
        What::StoreRestored(e) => {
            format!("{} events from {}, {} certificates revoked", e.leaves, e.from, e.revoked)
        }
        What::StoreMoved(e) => format!("{} events from {} to {}", e.leaves, e.from, e.to),
        What::CertificateIssued(e) => {
            format!(
                "serial {} {} until {} for {} [{}]",
                e.serial,
                e.key_id,
                time(e.valid_before),
                e.key.fingerprint(),
                e.principals.join(" ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_as_people_write_them() {
        let now = Timestamp::from_seconds(1_795_329_819);
        for (text, time) in [
            ("2h", Some(1_795_329_819 - 7200)),
            ("7d", Some(1_795_329_819 - 7 * 86_400)),
            ("2026-11-22", Some(1_795_305_600)),
            ("2026-11-22T14:00:00Z", Some(1_795_356_000)),
            ("2026-11-22T14:00:00+02:00", Some(1_795_348_800)),
            ("1795329819", Some(1_795_329_819)),
            ("yesterday", None),
            ("", None),
            ("2h ago", None),
            ("1960-01-01", None),
            ("-5", None),
        ] {
            assert_eq!(moment(text, now), time.map(Timestamp::from_seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_what_to_write() {
        for (pair, says) in [
            ("since=yesterday", "--where since is not a time, but \"yesterday\": write 2h"),
            ("until=", "--where until is not a time"),
            ("serial=x", "--where serial is not a serial: a whole number"),
            ("nope=1", "--where nope is not a filter: use after,"),
            ("type", "write for example user=alice"),
            ("type=A B", "--where type is not a type, as in certificate.issued"),
        ] {
            let error = filter(&[pair.to_owned()], Timestamp::from_seconds(9)).unwrap_err().to_string();
            assert!(error.contains(says), "{pair}: {error}");
        }
        let twice = filter(&["since=2h".to_owned(), "since=3h".to_owned()], Timestamp::from_seconds(9));
        assert!(twice.unwrap_err().to_string().contains("give it once"));
    }
}
