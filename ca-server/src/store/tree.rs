//! The Merkle tree over the ledger's leaves (RFC 6962), by tiles of 256.
//!
//! What is stored is small: a leaf's hash comes with its event, and of each complete run of 256^L leaves the root is in
//! `tiles`. Everything between is computed from the 256 hashes of a tile when it is needed. The writer keeps the last
//! few tiles of each level in memory, so that appending and proving what was just appended read nothing.

use std::cell::RefCell;
use std::collections::HashMap;

use tlog_tiles::tlog::tree_hash;
use tlog_tiles::tlog::{
    EMPTY_HASH, Error, Hash, HashReader, node_hash, prove_record, prove_tree, record_hash,
    split_stored_hash_index,
};

use super::engine::{Conn, EngineError, Row, Value, first};

/// How many hashes a tile has.
pub(crate) const TILE: u64 = 256;

/// Binary levels inside a tile.
const HEIGHT: u8 = 8;

/// How many tiles of a level are held beside the one that grows: more than one transaction can fill.
const HELD: u64 = 3;

/// Tile levels there can be: 256^8 leaves.
const LEVELS: u8 = 8;

/// A hash of the tree.
pub type NodeHash = [u8; 32];

/// A size of the ledger and the root of its tree there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: NodeHash,
}

impl TreeHead {
    /// The empty tree (RFC 6962 section 2.1).
    pub const EMPTY: Self = Self { size: 0, root: EMPTY_HASH.0 };
}

/// The right edge of the tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    size: u64,
    levels: Vec<Level>,
}

/// The last tiles of one level, with all that is complete inside them.
#[derive(Clone, Debug, Default)]
struct Level {
    /// The index of the first entry that is held.
    first: u64,
    /// By binary level: the complete nodes from `first` on.
    nodes: [Vec<NodeHash>; 8],
}

/// The root of a run of 256^level leaves that became complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewTile {
    pub(super) level: u64,
    pub(super) index: u64,
    pub(super) hash: NodeHash,
}

/// The hash of a leaf whose data is `leaf` (RFC 6962 section 2.1).
pub(crate) fn leaf_hash(leaf: &[u8; 32]) -> NodeHash {
    record_hash(leaf).0
}

impl Level {
    /// Adds an entry; the root of its tile if that is complete now.
    fn push(&mut self, entry: NodeHash) -> Option<NodeHash> {
        let mut node = entry;
        for nodes in &mut self.nodes {
            nodes.push(node);
            let [.., left, right] = nodes.as_slice() else { return None };
            if !nodes.len().is_multiple_of(2) {
                return None;
            }
            node = node_hash(Hash(*left), Hash(*right)).0;
        }
        self.forget();
        Some(node)
    }

    /// Keeps the last few tiles.
    fn forget(&mut self) {
        let Some(entries) = self.nodes.first() else { return };
        let held = u64::try_from(entries.len()).unwrap_or(u64::MAX) / TILE;
        let Some(surplus) = held.checked_sub(HELD).filter(|surplus| *surplus > 0) else { return };
        let gone = surplus.saturating_mul(TILE);
        self.first = self.first.saturating_add(gone);
        for (height, nodes) in (0_u32..).zip(&mut self.nodes) {
            let gone = usize::try_from(gone >> height).unwrap_or(usize::MAX).min(nodes.len());
            nodes.drain(..gone);
        }
    }

    fn node(&self, height: u8, index: u64) -> Option<NodeHash> {
        let at = index.checked_sub(self.first >> height)?;
        self.nodes.get(usize::from(height))?.get(usize::try_from(at).ok()?).copied()
    }
}

impl Tree {
    /// The tree of this size, its edge read from the database. Reads a few tiles, however long the ledger.
    pub(super) fn read(conn: &mut dyn Conn, size: u64) -> Result<Self, EngineError> {
        let mut tree = Self { size, levels: Vec::new() };
        let mut entries = size;
        for level in 0..LEVELS {
            if entries == 0 {
                break;
            }
            // From one tile before the one that grows, so that what was appended last can be proved.
            let first = (entries / TILE).saturating_sub(1).saturating_mul(TILE);
            let mut held = Level { first, ..Level::default() };
            for entry in read_entries(conn, level, first, entries.saturating_sub(first))? {
                held.push(entry);
            }
            tree.levels.push(held);
            entries /= TILE;
        }
        Ok(tree)
    }

    /// How many leaves there are.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; what became complete with it goes to `new`.
    pub(super) fn push(&mut self, leaf: &[u8; 32], new: &mut Vec<NewTile>) {
        self.push_hash(leaf_hash(leaf), new);
    }

    /// The same for a leaf whose hash is known.
    pub(super) fn push_hash(&mut self, hash: NodeHash, new: &mut Vec<NewTile>) {
        let mut entry = hash;
        let mut index = self.size;
        self.size = self.size.saturating_add(1);
        for level in 0_usize.. {
            if self.levels.len() <= level {
                self.levels.push(Level::default());
            }
            let Some(root) = self.levels.get_mut(level).and_then(|level| level.push(entry)) else { return };
            entry = root;
            index /= TILE;
            let level = u64::try_from(level).unwrap_or(u64::MAX).saturating_add(1);
            new.push(NewTile { level, index, hash: root });
        }
    }

    /// Size and root.
    pub(super) fn head(&self) -> Result<TreeHead, EngineError> {
        Ok(TreeHead { size: self.size, root: tree_hash(self.size, self).map_err(broken)?.0 })
    }

    /// That this leaf is in the tree: the path from it to the root. Only for leaves that were appended lately.
    pub(super) fn prove(&self, leaf: u64) -> Result<Vec<NodeHash>, EngineError> {
        let proof = prove_record(self.size, leaf, self).map_err(broken)?;
        Ok(proof.into_iter().map(|hash| hash.0).collect())
    }
}

impl HashReader for Tree {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let node = |index: &u64| {
            let (level, n) = split_stored_hash_index(*index);
            let held = self.levels.get(usize::from(level / HEIGHT))?;
            held.node(level % HEIGHT, n).map(Hash)
        };
        indexes.iter().map(|index| node(index).ok_or(Error::InvalidTile)).collect()
    }
}

/// A tree in the database, of which each tile is read when it is first needed.
pub(super) struct StoredTree<'a> {
    conn: RefCell<&'a mut dyn Conn>,
    size: u64,
    tiles: RefCell<HashMap<(u8, u64), Vec<NodeHash>>>,
    failed: RefCell<Option<EngineError>>,
}

impl<'a> StoredTree<'a> {
    /// The tree as it was when it had `size` leaves.
    pub(super) fn new(conn: &'a mut dyn Conn, size: u64) -> Self {
        Self { conn: RefCell::new(conn), size, tiles: RefCell::default(), failed: RefCell::default() }
    }

    /// Its root.
    pub(super) fn root(&self) -> Result<NodeHash, EngineError> {
        tree_hash(self.size, self).map(|hash| hash.0).map_err(|e| self.why(&e))
    }

    /// That this leaf is in it.
    pub(super) fn prove(&self, leaf: u64) -> Result<Vec<NodeHash>, EngineError> {
        let proof = prove_record(self.size, leaf, self).map_err(|e| self.why(&e))?;
        Ok(proof.into_iter().map(|hash| hash.0).collect())
    }

    /// That it begins with the tree of `old` leaves. Nothing needs to be shown of an empty tree, or of itself.
    pub(super) fn prove_extends(&self, old: u64) -> Result<Vec<NodeHash>, EngineError> {
        if old == 0 || old == self.size {
            return Ok(Vec::new());
        }
        let proof = prove_tree(self.size, old, self).map_err(|e| self.why(&e))?;
        Ok(proof.into_iter().map(|hash| hash.0).collect())
    }

    fn why(&self, error: &Error) -> EngineError {
        self.failed.borrow_mut().take().unwrap_or_else(|| broken_text(error))
    }

    fn node(&self, level: u8, n: u64) -> Result<Hash, EngineError> {
        let (tile_level, height) = (level / HEIGHT, level % HEIGHT);
        let begin = n << height;
        let tile = begin / TILE;
        let mut tiles = self.tiles.borrow_mut();
        let entries = match tiles.entry((tile_level, tile)) {
            std::collections::hash_map::Entry::Occupied(held) => held.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let mut conn = self.conn.borrow_mut();
                let complete = self.size.checked_shr(u32::from(tile_level * HEIGHT)).unwrap_or(0);
                let first = tile.saturating_mul(TILE);
                let count = complete.saturating_sub(first).min(TILE);
                place.insert(read_entries(*conn, tile_level, first, count)?)
            }
        };
        let from = usize::try_from(begin % TILE).unwrap_or(usize::MAX);
        let of = entries.get(from..from.saturating_add(1 << height)).ok_or_else(missing)?;
        Ok(Hash(subtree(of)))
    }
}

impl HashReader for StoredTree<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let read = |index: &u64| {
            let (level, n) = split_stored_hash_index(*index);
            self.node(level, n).map_err(|e| {
                *self.failed.borrow_mut() = Some(e);
                Error::InvalidTile
            })
        };
        indexes.iter().map(read).collect()
    }
}

/// The root over a power of two of hashes.
fn subtree(hashes: &[NodeHash]) -> NodeHash {
    match hashes {
        [] => [0; 32],
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            node_hash(Hash(subtree(left)), Hash(subtree(right))).0
        }
    }
}

const LEAVES: &str = "SELECT leaf, hash FROM events WHERE leaf >= $1 AND leaf < $2 ORDER BY leaf";
const ENTRIES: &str = "SELECT idx, hash FROM tiles WHERE level = $3 AND idx >= $1 AND idx < $2 ORDER BY idx";

/// Entries of a tile level, exactly `count` from `first` on: hashes of leaves, or roots of complete tiles below.
pub(super) fn read_entries(
    conn: &mut dyn Conn,
    level: u8,
    first: u64,
    count: u64,
) -> Result<Vec<NodeHash>, EngineError> {
    let mut args = vec![Value::from(first), Value::from(first.saturating_add(count))];
    let rows = if level == 0 {
        conn.select(LEAVES, &args)?
    } else {
        args.push(Value::from(u64::from(level)));
        conn.select(ENTRIES, &args)?
    };
    let mut expected = first;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.number(0)? != expected {
            return Err(missing());
        }
        expected = expected.saturating_add(1);
        let hash = row.hash(1)?;
        entries.push(if level == 0 { leaf_hash(&hash) } else { hash });
    }
    if u64::try_from(entries.len()).ok() == Some(count) { Ok(entries) } else { Err(missing()) }
}

/// How many leaves there are, and the time of the last.
pub(super) fn last_leaf(conn: &mut dyn Conn) -> Result<Option<Row>, EngineError> {
    first(conn, "SELECT leaf, time FROM events ORDER BY leaf DESC LIMIT 1", &[])
}

fn missing() -> EngineError {
    EngineError::new(super::engine::Trouble::Damaged, "a hash of the ledger's tree is missing")
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(error: Error) -> EngineError {
    broken_text(&error)
}

fn broken_text(error: &Error) -> EngineError {
    EngineError::new(super::engine::Trouble::Damaged, format!("the ledger's tree: {error}"))
}
