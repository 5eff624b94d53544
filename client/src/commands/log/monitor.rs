//! `jit-ssh log monitor`: new certificates as they are issued, for a second machine that watches the CA. It takes
//! nothing on trust: it fetches every event and narrows them itself, each must be the leaf that the signed tree has at
//! its place, and none may be left out, held back, or told as erased where nothing says that it was. Whether there is
//! news or not, the tree must go on from every tree that this machine was ever shown.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::event::{LogFilter, What};
use jit_ssh_proto::event::{Outcome, Reading};
use jit_ssh_proto::log::Checkpoint;
use jit_ssh_proto::wire::LogItem;
use serde_json::Value;

use super::entry::{Entry, HEADINGS, line};
use super::follow::{one, page, patiently};
use super::search;
use crate::cli::LogMonitorArgs;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::ledger::{self, LogTiles, Memory};
use crate::output::{note, print};
use crate::session::Session;

/// How often the tree is proven anew where no event comes.
const CHECK: Duration = Duration::from_secs(5);

/// How often the checkpoint is fetched again for events that it does not reach yet: one of several servers may lag
/// behind a moment.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// How often in a row the CA may not tell an event that is in its tree, for the same reason.
const MISSES: usize = 3;

pub(super) fn run(args: &LogMonitorArgs) -> Result<()> {
    let mut client = Client::load()?;
    let session = client.require_session()?;
    client.refresh_bundle()?;
    let memory = Memory::open(&client.paths, &client.config)?;
    let newest = ledger::prove(&client, &memory)?.newest;
    let wanted = Wanted::new(search::filter(&args.filter(), client.now())?);
    let mut monitor = Monitor {
        client: &client,
        session: &session,
        memory,
        wanted,
        next: newest.size(),
        erased: BTreeMap::new(),
    };
    if let Some(since) = monitor.wanted.filter.since {
        monitor.next = monitor.first_since(since, &newest)?;
    }
    note(&format!(
        "Watching from event {} on; the ledger has {} and goes on from what this machine has seen of it.",
        monitor.next,
        newest.size(),
    ));
    if !args.json {
        print(&line(&HEADINGS.map(str::to_owned)))?;
    }
    monitor.watch(newest, args.json)
}

/// A watch over one CA.
struct Monitor<'a> {
    client: &'a Client,
    session: &'a Session,
    memory: Memory,
    wanted: Wanted,
    /// The event that must come next.
    next: u64,
    /// Events that were told as erased, until the one comes that says so.
    erased: BTreeMap<u64, LogItem>,
}

impl Monitor<'_> {
    /// The first event of that time or later. That none was passed over is shown by the one before it.
    fn first_since(&self, since: Timestamp, newest: &Checkpoint) -> Result<u64> {
        let mut query = LogFilter { since: Some(since), ..LogFilter::default() }.pairs();
        query.push(("limit", "1".to_owned()));
        let told = self.client.ca().events(self.session, &query)?.items.first().map(|item| item.index);
        let first = told.map_or(newest.size(), |index| index.min(newest.size()));
        for index in (0..first).rev() {
            let item = one(self.client, self.session, index)?;
            let item = item.ok_or_else(|| self.withheld(index, newest))?;
            self.hold(newest, std::slice::from_ref(&item))?;
            match Entry::new(item)?.time() {
                // It was erased: the one before it must tell.
                None => {}
                Some(time) if time < since => break,
                Some(_) => {
                    return Err(self.memory.not_what_was_signed(
                        &format!("event {index} was left out of those since {since}"),
                        newest,
                    ));
                }
            }
        }
        Ok(first)
    }

    fn watch(&mut self, mut known: Checkpoint, json: bool) -> Result<()> {
        let mut misses = 0_usize;
        loop {
            // No filter, and no cursor of the CA's: what it leaves out would not be missed.
            let after = self.next.checked_sub(1).map(|after| after.to_string());
            let told = patiently(|| page(self.client, self.session, &[], after.as_deref(), CHECK))?;
            let newest = self.prove(told.items.last())?;
            self.hold(&newest, &told.items)?;
            self.next = self.without_gap(&told.items, &newest)?;
            // What was in the tree before the page was asked for is there for everybody.
            let missed = (told.items.is_empty() || !told.more) && self.next < known.size();
            misses = if missed { misses.saturating_add(1) } else { 0 };
            if misses >= MISSES {
                return Err(self.withheld(self.next, &known));
            }
            for item in told.items {
                let entry = Entry::new(item.clone())?;
                self.note_erased(&entry, item);
                if patiently(|| self.wanted.shows(self.client, self.session, &entry))? {
                    print(&if json { entry.json_line()? } else { entry.line() })?;
                }
            }
            if self.next >= newest.size() {
                self.all_erased_rightly(&newest)?;
            }
            known = newest;
        }
    }

    /// Shows that the tree is signed and one with every tree that this machine was ever shown, and that it reaches
    /// `last`.
    fn prove(&self, last: Option<&LogItem>) -> Result<Checkpoint> {
        let mut tries = 0;
        loop {
            let newest = patiently(|| ledger::prove(self.client, &self.memory))?.newest;
            let Some(beyond) = last.filter(|last| last.index >= newest.size()) else { return Ok(newest) };
            tries += 1;
            if tries >= TRIES {
                let what = format!(
                    "the CA told of event {} ({}) and signs no tree that holds it",
                    beyond.index,
                    ledger::keep(&self.memory, beyond)
                );
                return Err(self.memory.not_what_was_signed(&what, &newest));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn hold(&self, newest: &Checkpoint, items: &[LogItem]) -> Result<()> {
        let log = LogTiles { ca: self.client.ca() };
        patiently(|| ledger::hold_told(&self.memory, &log, newest, items))
    }

    /// That the events come one after the other; which one comes after them.
    fn without_gap(&self, items: &[LogItem], newest: &Checkpoint) -> Result<u64> {
        without_gap(self.next, items.iter().map(|item| item.index)).map_err(|(missing, with)| {
            let kept = items.iter().find(|item| item.index == with);
            let kept =
                kept.map_or_else(String::new, |item| format!(" ({})", ledger::keep(&self.memory, item)));
            let what = format!("the CA left out event {missing} and went on with {with}{kept}");
            self.memory.not_what_was_signed(&what, newest)
        })
    }

    fn withheld(&self, index: u64, signed: &Checkpoint) -> Error {
        let what = format!("the CA does not tell event {index} of a tree of {} entries", signed.size());
        self.memory.not_what_was_signed(&what, signed)
    }

    /// Learns what was erased, and what says so.
    fn note_erased(&mut self, entry: &Entry, item: LogItem) {
        match &entry.content {
            None => {
                self.erased.insert(entry.index, item);
            }
            Some(content) if content.reading.common().kind == "event.erased" => {
                if let Some(leaf) = content.json.get("leaf").and_then(Value::as_u64) {
                    self.erased.remove(&leaf);
                }
            }
            Some(_) => {}
        }
    }

    /// That the ledger says of each event which was told as erased that it was. All of it has been read.
    fn all_erased_rightly(&self, newest: &Checkpoint) -> Result<()> {
        let Some((index, item)) = self.erased.first_key_value() else { return Ok(()) };
        let what = format!(
            "the CA says that event {index} was erased ({}), and nothing in its ledger does",
            ledger::keep(&self.memory, item)
        );
        Err(self.memory.not_what_was_signed(&what, newest))
    }
}

/// That the indexes come one after the other from `next` on; what comes after them. Else the one that is missing, and
/// the one in its place.
fn without_gap(next: u64, mut indexes: impl Iterator<Item = u64>) -> std::result::Result<u64, (u64, u64)> {
    indexes.try_fold(
        next,
        |next, index| if index == next { Ok(next.saturating_add(1)) } else { Err((next, index)) },
    )
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
        // Nobody can tell what it was: that is not passed over.
        let Some(content) = &entry.content else { return Ok(true) };
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
            let (left_out, _) = without_gap(5, indexes.iter().copied()).unwrap_err();
            assert_eq!(left_out, missing, "{indexes:?}");
        }
    }
}
