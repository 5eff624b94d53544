//! The root over a whole list of leaves, one after the other, in the memory of one branch.

use alloc::vec::Vec;

use super::{EMPTY_ROOT, Hash, leaf_hash, node_hash};

/// Computes a root from all leaves in order.
#[derive(Clone, Debug, Default)]
pub struct RootBuilder {
    size: u64,
    /// The complete subtrees so far, largest first: one for each bit that is set in `size`.
    subtrees: Vec<Hash>,
}

impl RootBuilder {
    /// Adds the next leaf.
    pub fn push(&mut self, leaf: &Hash) {
        let mut hash = leaf_hash(leaf);
        // Each bit that carries joins two subtrees of one size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// How many there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    #[must_use]
    pub fn root(&self) -> Hash {
        let joined = self.subtrees.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or(EMPTY_ROOT)
    }
}
