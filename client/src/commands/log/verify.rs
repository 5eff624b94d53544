//! `jit-ssh log verify`: proves that the CA's ledger is one history since this machine first saw it.

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::log::Cosignature;
use serde_json::{Value, json};

use crate::cli::LogVerifyArgs;
use crate::client::Client;
use crate::error::Result;
use crate::ledger::{self, Memory, Proven};
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
    let now = client.now();
    let since = memory.note_verified(now)?.map_or(now, |before| before.since);
    if args.json {
        return print_json(&to_json(&memory, &proven, since, args.full));
    }
    print(&facts(&describe(&memory, &proven, since, args.full)))?;
    if proven.before.is_empty() {
        note(
            "Nothing of this ledger had been seen before: from here on, every change of what is there now is found.",
        );
    }
    Ok(())
}

fn describe(memory: &Memory, proven: &Proven, since: Timestamp, full: bool) -> Vec<(&'static str, String)> {
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
    rows.extend(newest.cosignatures().iter().map(|c| ("Cosigned", format!("{} (not verified)", name(c)))));
    rows
}

fn name(cosignature: &Cosignature) -> String {
    format!("{}+{:08x}", escape_short(&cosignature.name, 200), cosignature.key_id)
}

fn to_json(memory: &Memory, proven: &Proven, since: Timestamp, full: bool) -> Value {
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
        "cosignatures": cosigned,
    })
}
