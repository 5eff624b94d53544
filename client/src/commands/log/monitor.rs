//! `jit-ssh log monitor`: new certificates as they are issued, for a second machine that watches the CA. It takes
//! nothing on trust: it fetches every event and narrows them itself, each must be the leaf that the signed tree has at
//! its place, and none may be left out.

use std::collections::HashMap;

use jit_ssh_proto::event::{LogFilter, What};
use jit_ssh_proto::event::{Outcome, Reading};
use jit_ssh_proto::log::Tree;
use serde_json::Value;

use super::entry::{Entry, HEADINGS, line};
use super::follow::{Follower, newest};
use super::search;
use crate::cli::LogMonitorArgs;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::ledger::{self, LogTiles, Memory};
use crate::output::{note, print};
use crate::session::Session;

/// How often the checkpoint is fetched again for events that it does not reach yet: one of several servers may lag
/// behind a moment.
const TRIES: usize = 20;

pub(super) fn run(args: &LogMonitorArgs) -> Result<()> {
    let mut client = Client::load()?;
    let session = client.require_session()?;
    client.refresh_bundle()?;
    let memory = Memory::open(&client.paths, &client.config)?;
    let proven = ledger::prove(&client, &memory)?;
    let wanted = Wanted::new(search::filter(&args.filter(), client.now())?);
    let after = match wanted.filter.since {
        None => newest(&client, &session)?,
        Some(since) => before(&client, &session, &LogFilter { since: Some(since), ..LogFilter::default() })?,
    };
    note(&format!(
        "Watching from event {} on; the ledger has {} and goes on from what this machine has seen of it.",
        after
            .as_deref()
            .and_then(|after| after.parse::<u64>().ok())
            .map_or(0, |after| after.saturating_add(1)),
        proven.newest.size(),
    ));
    if !args.json {
        print(&line(&HEADINGS.map(str::to_owned)))?;
    }
    watch(&client, &session, &memory, wanted, after, args.json)
}

/// The cursor before the first event that fits. The end where there is none yet.
fn before(client: &Client, session: &Session, filter: &LogFilter) -> Result<Option<String>> {
    let mut query = filter.pairs();
    query.push(("limit", "1".to_owned()));
    let page = client.ca().events(session, &query)?;
    match page.items.first() {
        Some(first) => Ok(first.index.checked_sub(1).map(|index| index.to_string())),
        None => newest(client, session),
    }
}

fn watch(
    client: &Client,
    session: &Session,
    memory: &Memory,
    mut wanted: Wanted,
    after: Option<String>,
    json: bool,
) -> Result<()> {
    let mut next =
        after.as_deref().and_then(|after| after.parse::<u64>().ok()).map_or(0, |a| a.saturating_add(1));
    // No filter: what the CA leaves out would not be missed.
    let mut follower = Follower::new(client, session, Vec::new(), after);
    loop {
        let entries = follower.next()?;
        next = without_gap(next, entries.iter().map(|entry| entry.index))?;
        prove(client, memory, &entries)?;
        for entry in &entries {
            if wanted.shows(client, session, entry)? {
                print(&if json { entry.json_line()? } else { entry.line() })?;
            }
        }
    }
}

/// That the entries come one after the other from `next` on; what comes after them.
fn without_gap(next: u64, indexes: impl Iterator<Item = u64>) -> Result<u64> {
    indexes.into_iter().try_fold(next, |next, index| {
        if index == next {
            return Ok(next.saturating_add(1));
        }
        Err(Error::Untrusted(format!(
            "the CA left out event {next} and went on with {index}: tell whoever audits it"
        )))
    })
}

/// Shows that the entries are what the tree has at their places, the tree being signed and one with every tree that
/// this machine was ever shown.
fn prove(client: &Client, memory: &Memory, entries: &[Entry]) -> Result<()> {
    let Some(last) = entries.last() else { return Ok(()) };
    let mut tries = 0;
    let checkpoint = loop {
        let proven = ledger::prove(client, memory)?;
        if last.index < proven.newest.size() {
            break proven.newest;
        }
        tries += 1;
        if tries >= TRIES {
            return Err(Error::Untrusted(format!(
                "the CA told of event {} and signs no checkpoint that holds it: tell whoever audits it",
                last.index
            )));
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
    };
    let tiles = LogTiles { ca: client.ca() };
    let wrong = |why: &dyn std::fmt::Display| {
        memory.not_what_was_signed(
            &format!("what it tells of its events is not in its tree: {why}"),
            &checkpoint,
        )
    };
    let mut tree = Tree::open(&checkpoint, &tiles).map_err(|e| wrong(&e))?;
    entries.iter().try_for_each(|entry| tree.holds(entry.index, &entry.leaf).map_err(|e| wrong(&e)))
}

/// Which certificates are shown.
struct Wanted {
    filter: LogFilter,
    /// The policies behind the grants that were decided lately: a certificate's own event does not name them.
    policies: HashMap<String, Vec<String>>,
}

/// When so many grants are remembered, all are forgotten; one that is missed is looked up.
const REMEMBERED: usize = 4096;

impl Wanted {
    fn new(filter: LogFilter) -> Self {
        Self { filter, policies: HashMap::new() }
    }

    /// Whether this is a certificate that is to be shown.
    fn shows(&mut self, client: &Client, session: &Session, entry: &Entry) -> Result<bool> {
        let Some(content) = &entry.content else { return Ok(false) };
        self.learn(&content.reading);
        if content.reading.common().kind != "certificate.issued" {
            return Ok(false);
        }
        let narrowed = LogFilter { policy: None, ..self.filter.clone() };
        if !entry.fits(&narrowed) {
            return Ok(false);
        }
        let Some(policy) = self.filter.policy.clone() else { return Ok(true) };
        let grant = content.json.get("grant").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !self.policies.contains_key(&grant) {
            let query =
                [("grant", grant.clone()), ("type", "request.decided".to_owned()), ("limit", "1".to_owned())];
            for item in client.ca().events(session, &query)?.items {
                if let Some(content) = Entry::new(item)?.content {
                    self.learn(&content.reading);
                }
            }
        }
        // A grant that nobody can explain is shown rather than passed over.
        Ok(self.policies.get(&grant).is_none_or(|policies| policies.iter().any(|p| p == policy.as_str())))
    }

    fn learn(&mut self, reading: &Reading) {
        let Reading::Known(event) = reading else { return };
        let What::RequestDecided(decided) = &event.what else { return };
        let Outcome::Granted { grant, policies, .. } = &decided.outcome else { return };
        if self.policies.len() >= REMEMBERED {
            self.policies.clear();
        }
        self.policies.insert(grant.to_string(), policies.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_told_twice_or_out_of_order_is_noticed() {
        assert_eq!(without_gap(5, [5, 6, 7].into_iter()).unwrap(), 8);
        assert_eq!(without_gap(5, std::iter::empty()).unwrap(), 5);
        for (indexes, missing) in [(&[6][..], 5), (&[5, 7], 6), (&[5, 5], 6), (&[4, 5], 5), (&[5, 6, 5], 7)] {
            let error = without_gap(5, indexes.iter().copied()).unwrap_err().to_string();
            assert!(error.contains(&format!("left out event {missing} ")), "{indexes:?}: {error}");
        }
    }
}
