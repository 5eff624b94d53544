//! Entries as an auditor is shown them, held against the tree that the CA signed.

use std::io::{BufRead, Read};

use jit_ssh_proto::log::{Checkpoint, Tree, TreeError};
use jit_ssh_proto::wire::LogItem;

use super::{LogTiles, Memory, proving};
use crate::error::{Error, Result};

/// No entry that is read is longer, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Where entries came from: who may have changed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// An export that others had in hand.
    Export,
    /// The CA itself.
    Ca,
}

/// Shows that an entry is what its leaf says, and that the tree of `checkpoint`, which is opened as `tree`, has that
/// leaf at its index.
fn hold(
    memory: &Memory,
    tree: &mut Tree<'_, LogTiles<'_>>,
    checkpoint: &Checkpoint,
    item: &LogItem,
    from: From,
) -> Result<()> {
    let lie = |why: &dyn std::fmt::Display| {
        let next = match from {
            From::Export => "Find out who changed it: the CA, or whoever had the export in hand".to_owned(),
            From::Ca => format!(
                "{} The CA tells something else than it recorded: trust nothing that it issues, and give both to \
                 whoever audits it",
                memory.keep_signed(checkpoint)
            ),
        };
        Error::Untrusted(format!(
            "ENTRY {} IS NOT WHAT THE LEDGER HOLDS: {why}; {}. {next}",
            item.index,
            keep(memory, item)
        ))
    };
    let leaf = item.verified_leaf().map_err(|e| lie(&format!("it {e}")))?;
    tree.holds(item.index, &leaf).map_err(|error| match error {
        TreeError::OtherLeaf(_) | TreeError::Outside { .. } => lie(&error),
        TreeError::Source(_)
        | TreeError::Tile(_)
        | TreeError::Fork(_)
        | TreeError::Shrunk { .. }
        | TreeError::Rewritten(_) => proving::explain(memory, error, checkpoint, checkpoint),
    })
}

/// Holds every line of an export against the tree of `checkpoint`. Says how many there were.
pub(crate) fn hold_all(
    memory: &Memory,
    log: &LogTiles<'_>,
    checkpoint: &Checkpoint,
    mut lines: impl BufRead,
) -> Result<u64> {
    let mut tree =
        Tree::open(checkpoint, log).map_err(|e| proving::explain(memory, e, checkpoint, checkpoint))?;
    let (mut number, mut line): (u64, String) = (0, String::new());
    loop {
        line.clear();
        let read = lines.by_ref().take(LONGEST).read_line(&mut line);
        let read = read.map_err(|e| Error::Local(format!("cannot read the export: {e}; check the file")))?;
        if read == 0 {
            return Ok(number);
        }
        number = number.saturating_add(1);
        let item: LogItem = serde_json::from_str(&line).map_err(|e| {
            Error::Local(format!(
                "line {number} of the export is not an entry ({e}): give the lines of jit-ssh log --json as they came"
            ))
        })?;
        hold(memory, &mut tree, checkpoint, &item, From::Export)?;
    }
}

/// Holds what the CA tells of its events against the tree of `checkpoint`, which it signed.
pub(crate) fn hold_told(
    memory: &Memory,
    log: &LogTiles<'_>,
    checkpoint: &Checkpoint,
    items: &[LogItem],
) -> Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let mut tree =
        Tree::open(checkpoint, log).map_err(|e| proving::explain(memory, e, checkpoint, checkpoint))?;
    items.iter().try_for_each(|item| hold(memory, &mut tree, checkpoint, item, From::Ca))
}

/// Keeps an entry as it was shown; says where, in words that go on a sentence.
pub(crate) fn keep(memory: &Memory, item: &LogItem) -> String {
    let shown = serde_json::to_vec(item).unwrap_or_default();
    match memory.keep_evidence(&format!("entry-{}.json", item.index), &shown) {
        Ok(file) => format!("it is kept as {}", file.display()),
        Err(e) => format!("it could not be kept ({e})"),
    }
}
