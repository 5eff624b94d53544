//! `jit-ssh log verify`: proves that the CA's ledger is one history since this machine first saw it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::log::Cosignature;
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
    let now = client.now();
    let since = memory.note_verified(now)?.map_or(now, |before| before.since);
    if args.json {
        return print_json(&to_json(&memory, &proven, since, args.full, held));
    }
    print(&facts(&describe(&memory, &proven, since, args.full, held)))?;
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

fn describe(
    memory: &Memory,
    proven: &Proven,
    since: Timestamp,
    full: bool,
    held: Option<u64>,
) -> Vec<(&'static str, String)> {
    let newest = &proven.newest;
    let from = match (proven.before.first(), proven.before.len()) {
        (Some(first), 1) => format!("{} entries, the checkpoint remembered", first.size()),
        (Some(first), count) => {
            format!("{} entries, the first of {count} checkpoints remembered", first.size())
        }
        (None, _) => "here".into(),
    };
    let mut rows = vec![
        ("Ledger", memory.key().origin().to_owned()),
        ("Entries", newest.size().to_string()),
        ("Root", newest.root_text()),
        ("Proven from", from),
        ("Verified since", local_time(since)),
        ("Key", memory.key().vkey().to_owned()),
    ];
    if full {
        rows.push(("Every entry", "read: they make this root".into()));
    }
    if let Some(held) = held {
        rows.push(("Export", format!("{held} entries: each is what the ledger holds")));
    }
    rows.extend(newest.cosignatures().iter().map(|c| ("Cosigned", format!("{} (not verified)", name(c)))));
    rows
}

fn name(cosignature: &Cosignature) -> String {
    format!("{}+{:08x}", escape_short(&cosignature.name, 200), cosignature.key_id)
}

fn to_json(memory: &Memory, proven: &Proven, since: Timestamp, full: bool, held: Option<u64>) -> Value {
    let newest = &proven.newest;
    let cosigned: Vec<Value> = newest
        .cosignatures()
        .iter()
        .map(|c| json!({ "name": c.name, "key_id": format!("{:08x}", c.key_id) }))
        .collect();
    let from: Vec<Value> =
        proven.before.iter().map(|c| json!({ "size": c.size(), "root": c.root_text() })).collect();
    json!({
        "origin": memory.key().origin(),
        "key": memory.key().vkey(),
        "size": newest.size(),
        "root": newest.root_text(),
        "checkpoint": newest.note(),
        "proven_from": from,
        "verified_since": since,
        "every_entry": full,
        "exported_entries": held,
        "cosignatures": cosigned,
    })
}
