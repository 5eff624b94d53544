//! Proving that what the CA publishes now goes on from everything that it has shown before.

use jit_ssh_proto::log::{Checkpoint, RootBuilder, Tree, TreeError};

use super::{LogTiles, Memory};
use crate::client::Client;
use crate::error::{Error, Exit, Result};

/// A ledger that has been proven to be one history.
pub(crate) struct Proven {
    /// The newest checkpoint: what is remembered from now on.
    pub(crate) newest: Checkpoint,
    /// What had been remembered before, smallest first.
    pub(crate) before: Vec<Checkpoint>,
}

/// Fetches the present checkpoint, proves it and all that are remembered to be of one history, and remembers the
/// newest in their place.
pub(crate) fn prove(client: &Client, memory: &Memory) -> Result<Proven> {
    let log = LogTiles { ca: client.ca() };
    let before = memory.seen()?;
    let present = log.checkpoint(memory.key())?;
    let newest = match before.last() {
        // One of several servers may lag behind a moment. If all that was shown is still there, nothing was lost.
        Some(last) if last.size() > present.size() => {
            goes_on(&log, last, before.iter().chain([&present])).map_err(|(why, old)| match why {
                TreeError::Source(e) if e.exit() == Exit::Unreachable => e,
                TreeError::Source(_) | TreeError::Tile(_) => {
                    let what = format!("it had {} entries and now has {}", last.size(), present.size());
                    memory.two_histories(&what, last, &present)
                }
                other @ (TreeError::Fork(_)
                | TreeError::Rewritten(_)
                | TreeError::Shrunk { .. }
                | TreeError::OtherLeaf(_)
                | TreeError::Outside { .. }) => explain(memory, other, old, last),
            })?;
            last.clone()
        }
        Some(_) | None => {
            goes_on(&log, &present, &before).map_err(|(why, old)| explain(memory, why, old, &present))?;
            present
        }
    };
    memory.supersede(&before, &newest)?;
    Ok(Proven { newest, before })
}

/// Proves that the tree of `new` begins with those of all of `old`. Else says which it does not begin with, or `new`
/// where the tiles do not make `new` itself.
fn goes_on<'a>(
    log: &LogTiles<'_>,
    new: &'a Checkpoint,
    old: impl IntoIterator<Item = &'a Checkpoint>,
) -> std::result::Result<(), (TreeError<Error>, &'a Checkpoint)> {
    let mut tree = Tree::open(new, log).map_err(|e| (e, new))?;
    old.into_iter().try_for_each(|old| tree.extends(old).map_err(|e| (e, old)))
}

/// In words, and with the evidence kept.
pub(super) fn explain(memory: &Memory, error: TreeError<Error>, old: &Checkpoint, new: &Checkpoint) -> Error {
    match error {
        TreeError::Source(e) => e,
        TreeError::Tile(_) => memory.not_what_was_signed(&error.to_string(), new),
        TreeError::Fork(_)
        | TreeError::Rewritten(_)
        | TreeError::Shrunk { .. }
        | TreeError::OtherLeaf(_)
        | TreeError::Outside { .. } => memory.two_histories(&error.to_string(), old, new),
    }
}

/// Fetches every entry and computes the root anew, calling `progress` with how many have been read.
pub(crate) fn recompute(
    client: &Client,
    memory: &Memory,
    checkpoint: &Checkpoint,
    mut progress: impl FnMut(u64),
) -> Result<()> {
    let log = LogTiles { ca: client.ca() };
    let mut builder = RootBuilder::default();
    for index in 0.. {
        let Some(leaves) = log.entries(index, checkpoint.size())? else { break };
        leaves.iter().for_each(|leaf| builder.push(leaf));
        progress(builder.size());
    }
    if builder.size() == checkpoint.size() && builder.root() == *checkpoint.root() {
        return Ok(());
    }
    let what = format!("its {} entries do not make the root of the checkpoint", checkpoint.size());
    Err(memory.not_what_was_signed(&what, checkpoint))
}
