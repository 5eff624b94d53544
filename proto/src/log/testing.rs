//! Values for the tests of the log: a key, and a log in memory that gives its tiles.

use alloc::vec;
use alloc::vec::Vec;

use ssh_key::PrivateKey;
use ssh_key::private::Ed25519Keypair;

use super::{
    Checkpoint, Hash, LogKey, RootBuilder, Tile, TileKind, TileSource, encode_entries, leaf_hash, node_hash,
};
use crate::CaId;

pub(super) const CA: CaId = CaId::from_bytes([7; 32]);

pub(super) fn key(number: u8) -> PrivateKey {
    Ed25519Keypair::from_seed(&[number; 32]).into()
}

pub(super) fn log_key() -> LogKey {
    LogKey::new(&CA, &key(4).public_key().to_openssh().unwrap()).unwrap()
}

/// The leaf number `index` of our logs.
pub(super) fn leaf(index: u64) -> Hash {
    let mut leaf = [0xaa; 32];
    leaf[..8].copy_from_slice(&index.to_be_bytes());
    leaf
}

pub(super) fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(leaf).collect()
}

pub(super) fn checkpoint(leaves: &[Hash]) -> Checkpoint {
    let mut builder = RootBuilder::default();
    leaves.iter().for_each(|leaf| builder.push(leaf));
    Checkpoint::sign(&log_key(), builder.size(), &builder.root(), &key(4)).unwrap()
}

type Change = fn(&Tile, Vec<u8>) -> Result<Vec<u8>, &'static str>;

/// A log in memory. `change` has the last word on each tile.
pub(super) struct Log {
    pub(super) leaves: Vec<Hash>,
    pub(super) change: Change,
    rows: Vec<Vec<Hash>>,
}

impl Log {
    pub(super) fn new(size: u64) -> Self {
        Self::of(leaves(size))
    }

    pub(super) fn of(leaves: Vec<Hash>) -> Self {
        let mut rows: Vec<Vec<Hash>> = vec![leaves.iter().map(leaf_hash).collect()];
        while rows.last().is_some_and(|row| row.len() >= 256) {
            let mut row = rows.last().unwrap().clone();
            for _ in 0..8 {
                row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
            }
            rows.push(row);
        }
        Self { leaves, change: |_, bytes| Ok(bytes), rows }
    }
}

impl TileSource for Log {
    type Error = &'static str;

    fn tile(&self, tile: &Tile) -> Result<Vec<u8>, &'static str> {
        let first = usize::try_from(tile.first()).unwrap();
        let range = first..first + usize::from(tile.width());
        let bytes = match tile.kind() {
            TileKind::Entries => encode_entries(self.leaves.get(range).ok_or("not there")?),
            TileKind::Hashes(level) => {
                let row = self.rows.get(usize::from(level)).ok_or("not there")?;
                row.get(range).ok_or("not there")?.concat()
            }
        };
        (self.change)(tile, bytes)
    }
}
