//! The ledger as somebody sees it who does not trust the CA (DESIGN 7): an RFC 6962 tree of 32-byte leaves, published
//! as C2SP tlog-tiles under checkpoints that are C2SP signed notes by the ledger key.
//!
//! What is here takes nothing on trust: a checkpoint is one only if the pinned key signed it, a tile only if it hashes
//! up to a checkpoint's root. No input makes any of it panic. Where tiles come from is the caller's business.

mod checkpoint;
mod entries;
mod item;
mod key;
mod proof;
mod receipt;
mod root;
mod tile;
mod tree;
mod witness;

#[cfg(test)]
mod testing;

pub use checkpoint::{Checkpoint, CheckpointError, Cosignature, MAX_NOTE};
pub use entries::{EntriesError, decode_entries, encode_entries};
pub use item::LogItemError;
pub use key::{LogKey, LogKeyError};
pub use proof::{InclusionError, check_inclusion, decode_proof, encode_proof};
pub use receipt::ReceiptError;
pub use root::RootBuilder;
pub use tile::{TILE_WIDTH, Tile, TileKind, TilePathError};
pub use tree::{TileSource, Tree, TreeError};
pub use witness::{WitnessKey, WitnessKeyError};

use alloc::string::String;

use crate::CaId;

/// A SHA-256 digest: a leaf's data, a node of the tree or a root.
pub type Hash = [u8; 32];

/// No ledger has more leaves: their hashes alone would be nine petabytes. Below it no arithmetic on sizes and indexes
/// overflows.
pub const MAX_SIZE: u64 = 1 << 48;

/// The root of the tree without leaves (RFC 6962, 2.1): the SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = tlog_tiles::EMPTY_HASH.0;

/// The origin of a CA's log: the first line of its checkpoints, and the name of the key that signs them.
#[must_use]
pub fn origin(ca: &CaId) -> String {
    alloc::format!("jit-ssh/{ca}")
}

/// The tree's hash of a leaf (RFC 6962, 2.1): SHA-256(0x00 ‖ leaf), the leaf being what
/// [`Event::leaf`](crate::event::Event::leaf) gives.
#[must_use]
pub fn leaf_hash(leaf: &Hash) -> Hash {
    tlog_tiles::record_hash(leaf).0
}

/// The hash of an inner node (RFC 6962, 2.1): SHA-256(0x01 ‖ left ‖ right).
fn node_hash(left: &Hash, right: &Hash) -> Hash {
    tlog_tiles::node_hash(tlog_tiles::Hash(*left), tlog_tiles::Hash(*right)).0
}
