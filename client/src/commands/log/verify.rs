//! `jit-ssh log verify`: proves that the CA's ledger is one history since this machine first saw it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::log::{Checkpoint, Cosignature, LogKey, WitnessKey};
use serde_json::{Value, json};

use crate::cli::LogVerifyArgs;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::ledger::{self, LogTiles, Memory, Proven};
use crate::output::{Waiting, escape_short, facts, local_time, note, print, print_json};

pub(super) fn run(args: &LogVerifyArgs) -> Result<()> {
    let mut client = Client::load()?;
    // The ledger key may have been replaced.
    client.refresh_bundle()?;
    let memory = Memory::open(&client.paths, &client.config)?;
    let proven = {
        let _waiting = Waiting::for_("proving that the ledger goes on from what it was");
        ledger::prove(&client, &memory)?
    };
    if args.full {
        let size = proven.newest.size();
        let waiting = Waiting::for_("reading every entry");
        ledger::recompute(&client, &memory, &proven.newest, |read| {
            waiting.say(format!("read {read} of {size} entries"));
        })?;
    }
    let held = args.events.as_deref().map(|file| hold(&client, &memory, &proven, file)).transpose()?;
    let witnessed: Result<Vec<_>> =
        args.witnesses.iter().map(|witness| witnessed(witness, &proven.newest)).collect();
    let now = client.now();
    let since = memory.note_verified(now)?.map_or(now, |before| before.since);
    let shown =
        Shown { key: memory.key(), proven: &proven, since, full: args.full, held, witnessed: witnessed? };
    if args.json {
        return print_json(&shown.json());
    }
    print(&facts(&shown.rows()))?;
    if proven.before.is_empty() {
        note(
            "Nothing of this ledger had been seen before: from here on, every change of what is there now is found.",
        );
    }
    Ok(())
}

/// Holds an export against the ledger.
fn hold(client: &Client, memory: &Memory, proven: &Proven, file: &Path) -> Result<u64> {
    let _waiting = Waiting::for_("holding the export against the ledger");
    let log = LogTiles { ca: client.ca() };
    if file == Path::new("-") {
        return ledger::hold_all(memory, &log, &proven.newest, std::io::stdin().lock());
    }
    let open = File::open(file).map_err(|e| {
        Error::Local(format!(
            "cannot read {}: {e}; give a file that jit-ssh log --json wrote",
            file.display()
        ))
    })?;
    ledger::hold_all(memory, &log, &proven.newest, BufReader::new(open))
}

/// When a witness saw this checkpoint. It must have.
fn witnessed<'a>(witness: &'a WitnessKey, checkpoint: &Checkpoint) -> Result<(&'a WitnessKey, Timestamp)> {
    witness.cosigned(checkpoint).map(|time| (witness, time)).ok_or_else(|| {
        Error::Untrusted(format!(
            "the checkpoint of {} entries has no valid cosignature of {}: ask whoever runs that witness what it has \
             seen, and compare",
            checkpoint.size(),
            escape_short(witness.name(), 200)
        ))
    })
}

/// What has been proven.
struct Shown<'a> {
    key: &'a LogKey,
    proven: &'a Proven,
    since: Timestamp,
    full: bool,
    /// How many entries of an export were held against the ledger.
    held: Option<u64>,
    /// Which witnesses saw the newest checkpoint, and when.
    witnessed: Vec<(&'a WitnessKey, Timestamp)>,
}

impl Shown<'_> {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let newest = &self.proven.newest;
        let from = match (self.proven.before.first(), self.proven.before.len()) {
            (Some(first), 1) => format!("{} entries, the checkpoint remembered", first.size()),
            (Some(first), count) => {
                format!("{} entries, the first of {count} checkpoints remembered", first.size())
            }
            (None, _) => "here".into(),
        };
        let mut rows = vec![
            ("Ledger", self.key.origin().to_owned()),
            ("Entries", newest.size().to_string()),
            ("Root", newest.root_text()),
            ("Proven from", from),
            ("Verified since", local_time(self.since)),
            ("Key", self.key.vkey().to_owned()),
        ];
        if self.full {
            rows.push(("Every entry", "read: they make this root".into()));
        }
        if let Some(held) = self.held {
            rows.push(("Export", format!("{held} entries: each is what the ledger holds")));
        }
        rows.extend(newest.cosignatures().iter().map(|c| {
            let seen = self.seen(c).map_or_else(|| "not verified".into(), local_time);
            ("Cosigned", format!("{}+{:08x} ({seen})", escape_short(&c.name, 200), c.key_id))
        }));
        rows
    }

    fn json(&self) -> Value {
        let newest = &self.proven.newest;
        let cosigned: Vec<Value> = newest
            .cosignatures()
            .iter()
            .map(|c| json!({ "name": c.name, "key_id": format!("{:08x}", c.key_id), "verified": self.seen(c) }))
            .collect();
        let from: Vec<Value> =
            self.proven.before.iter().map(|c| json!({ "size": c.size(), "root": c.root_text() })).collect();
        json!({
            "origin": self.key.origin(),
            "key": self.key.vkey(),
            "size": newest.size(),
            "root": newest.root_text(),
            "checkpoint": newest.note(),
            "proven_from": from,
            "verified_since": self.since,
            "every_entry": self.full,
            "exported_entries": self.held,
            "cosignatures": cosigned,
        })
    }

    /// When the witness of this line saw the checkpoint, if its key was given.
    fn seen(&self, line: &Cosignature) -> Option<Timestamp> {
        let own = |(witness, _): &&(&WitnessKey, Timestamp)| {
            witness.name() == line.name && witness.id() == line.key_id
        };
        self.witnessed.iter().find(own).map(|(_, time)| *time)
    }
}
