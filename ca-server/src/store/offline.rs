//! Changes inside a transaction that somebody else began, with no server about: what a move or a restoration records in
//! the ledger that it writes.

use jit_ssh_proto::Timestamp;

use super::StoreError;
use super::batch::Batch;
use super::change::{Change, Outcome, Refusal};
use super::copy::Side;
use super::facts::{Facts, Head, Wanted};
use super::tree::{Tree, TreeHead};

/// Applies changes, all of which must hold.
pub(super) fn append(
    to: &mut Side<'_>,
    now: Timestamp,
    changes: Vec<Change>,
) -> Result<(Vec<Outcome>, TreeHead), StoreError> {
    let place = to.place;
    let explain = |e| place.explain(&e);
    let head = Head::read(to.conn).map_err(explain)?;
    let mut tree = Tree::read(to.conn, head.next_leaf).map_err(explain)?;
    let facts = Facts::read(to.conn, Wanted::of(changes.iter())).map_err(explain)?;
    let mut batch = Batch::new(head, facts);
    let time = batch.begin(now)?;
    let refused = |refusal: Refusal| StoreError::Unusable(format!("{} refuses it: {refusal}", place.shown()));
    let outcomes: Result<Vec<_>, _> =
        changes.into_iter().map(|change| batch.add(time, change).map_err(refused)).collect();
    let outcomes = outcomes?;
    let (_, mut rows) = batch.finish();
    for event in &rows.events {
        tree.push(&event.hash, &mut rows.tiles);
    }
    rows.write(to.conn).map_err(explain)?;
    Ok((outcomes, tree.head().map_err(explain)?))
}
