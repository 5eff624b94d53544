//! A tree as its tiles show it, under a checkpoint. Nothing that a tile says is believed before it hashes up to the
//! checkpoint's root: partial tiles together make the root, and every whole tile is one hash of a tile above it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::tile::TOP_LEVEL;
use super::{Checkpoint, EMPTY_ROOT, Hash, TILE_WIDTH, Tile, TileKind, leaf_hash, node_hash};

/// Where tiles come from. What it gives is checked.
pub trait TileSource {
    /// Why there is no tile.
    type Error;

    /// The bytes of this tile: of a tile of hashes, 32 for each.
    ///
    /// # Errors
    /// When it cannot be had.
    fn tile(&self, tile: &Tile) -> Result<Vec<u8>, Self::Error>;
}

/// Why something is not shown to be in a tree, or a tree not to go on from another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError<E> {
    /// No tile could be had.
    #[error("{0}")]
    Source(E),
    /// The tiles are not those of the checkpoint.
    #[error("{0} is not a tile of the checkpoint's tree")]
    Tile(Tile),
    /// As many leaves, another root: two histories.
    #[error("two checkpoints of {0} entries have different roots")]
    Fork(u64),
    /// The tree has fewer leaves than it had.
    #[error("the ledger had {old} entries and now has {new}")]
    Shrunk {
        /// How many there were.
        old: u64,
        /// How many there are.
        new: u64,
    },
    /// What was there has been changed.
    #[error("the first {0} entries are not those that were there before")]
    Rewritten(u64),
    /// The leaf is not in the tree at this index.
    #[error("entry {0} is another one than was shown")]
    OtherLeaf(u64),
    /// The index is not inside the tree.
    #[error("entry {index} is beyond the checkpoint's {size}")]
    Outside {
        /// The leaf.
        index: u64,
        /// The leaves of the tree.
        size: u64,
    },
}

/// The tree of a checkpoint, as far as its tiles have been needed. Each is fetched and checked once.
#[derive(Debug)]
pub struct Tree<'a, S> {
    size: u64,
    root: Hash,
    source: &'a S,
    /// What has been shown to be of the tree.
    tiles: BTreeMap<Tile, Vec<Hash>>,
}

impl<'a, S: TileSource> Tree<'a, S> {
    /// Opens the checkpoint's tree: its partial tiles, one for each byte of its size that is not zero, must make its
    /// root.
    ///
    /// # Errors
    /// When they cannot be had or make another.
    pub fn open(checkpoint: &Checkpoint, source: &'a S) -> Result<Self, TreeError<S::Error>> {
        let (size, root) = (checkpoint.size(), *checkpoint.root());
        let mut tree = Self { size, root, source, tiles: BTreeMap::new() };
        let mut partial = Vec::new();
        for level in 0..=TOP_LEVEL {
            let hashes = size >> (8 * u32::from(level));
            let last = Tile::of_tree(TileKind::Hashes(level), hashes / u64::from(TILE_WIDTH), size);
            partial.extend(last.filter(Tile::is_partial));
        }
        for tile in &partial {
            let hashes = tree.fetch(tile)?;
            tree.tiles.insert(*tile, hashes);
        }
        let made = tree.root_at(size)?;
        match partial.first() {
            Some(lowest) if made != root => Err(TreeError::Tile(*lowest)),
            Some(_) | None => Ok(tree),
        }
    }

    /// Shows that this tree begins with all of an older one.
    ///
    /// # Errors
    /// When it does not, or the tiles that would show it cannot be had.
    pub fn extends(&mut self, old: &Checkpoint) -> Result<(), TreeError<S::Error>> {
        if old.size() > self.size {
            return Err(TreeError::Shrunk { old: old.size(), new: self.size });
        }
        if old.size() == self.size {
            return if *old.root() == self.root { Ok(()) } else { Err(TreeError::Fork(self.size)) };
        }
        let then = self.root_at(old.size())?;
        if then == *old.root() { Ok(()) } else { Err(TreeError::Rewritten(old.size())) }
    }

    /// Shows that the leaf at `index` is this one (as [`Event::leaf`](crate::event::Event::leaf) gives it): that what
    /// was told as the event there is what the tree holds.
    ///
    /// # Errors
    /// When it is not, or the tiles that would show it cannot be had.
    pub fn holds(&mut self, index: u64, leaf: &Hash) -> Result<(), TreeError<S::Error>> {
        if index >= self.size {
            return Err(TreeError::Outside { index, size: self.size });
        }
        if self.hash(0, index)? == leaf_hash(leaf) { Ok(()) } else { Err(TreeError::OtherLeaf(index)) }
    }

    /// The root that the first `size` leaves have: one complete subtree for each bit of `size`.
    fn root_at(&mut self, size: u64) -> Result<Hash, TreeError<S::Error>> {
        let mut root = None;
        for level in (0..=8 * TOP_LEVEL).filter(|level| size >> level & 1 == 1) {
            let left = self.hash(level, (size >> level) - 1)?;
            root = Some(root.map_or(left, |right| node_hash(&left, &right)));
        }
        Ok(root.unwrap_or(EMPTY_ROOT))
    }

    /// The hash of the complete subtree number `index` of `2^level` leaves, which must be inside the tree.
    fn hash(&mut self, level: u8, index: u64) -> Result<Hash, TreeError<S::Error>> {
        let first = index << (level % 8);
        let tile = Tile::of_tree(TileKind::Hashes(level / 8), first / u64::from(TILE_WIDTH), self.size);
        let tile = tile.ok_or(TreeError::Outside { index, size: self.size })?;
        let hashes = self.shown(&tile)?;
        let from = usize::try_from(first - tile.first()).unwrap_or(usize::MAX);
        let part = hashes.get(from..).and_then(|rest| rest.get(..1 << (level % 8)));
        part.and_then(complete).ok_or(TreeError::Tile(tile))
    }

    /// The hashes of a tile of this tree, shown to be its.
    fn shown(&mut self, tile: &Tile) -> Result<&[Hash], TreeError<S::Error>> {
        if !self.tiles.contains_key(tile) {
            // Not partial, or it would be there: so all of it is one hash of the tile above.
            let TileKind::Hashes(level) = tile.kind() else { return Err(TreeError::Tile(*tile)) };
            let above = self.hash(8 * (level + 1), tile.index())?;
            let hashes = self.fetch(tile)?;
            if complete(&hashes) != Some(above) {
                return Err(TreeError::Tile(*tile));
            }
            self.tiles.insert(*tile, hashes);
        }
        self.tiles.get(tile).map(Vec::as_slice).ok_or(TreeError::Tile(*tile))
    }

    /// The hashes of a tile, as they come.
    fn fetch(&self, tile: &Tile) -> Result<Vec<Hash>, TreeError<S::Error>> {
        let bytes = self.source.tile(tile).map_err(TreeError::Source)?;
        let (hashes, rest) = bytes.as_chunks();
        if rest.is_empty() && hashes.len() == usize::from(tile.width()) {
            Ok(hashes.to_vec())
        } else {
            Err(TreeError::Tile(*tile))
        }
    }
}

/// The root of a complete subtree over these hashes: 1, 2, 4, … 256 of them.
fn complete(hashes: &[Hash]) -> Option<Hash> {
    match hashes {
        [] => None,
        [one] => Some(*one),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            Some(node_hash(&complete(left)?, &complete(right)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{Log, checkpoint, key, leaf, leaves, log_key};
    use crate::log::{MAX_SIZE, RootBuilder};
    use alloc::string::ToString;
    use core::cell::RefCell;
    use proptest::prelude::*;

    const SIZES: [u64; 20] = [
        0, 1, 2, 3, 5, 254, 255, 256, 257, 511, 512, 513, 767, 1000, 65_535, 65_536, 65_537, 65_792, 66_000,
        70_001,
    ];

    #[test]
    fn every_tree_goes_on_from_every_smaller_one() {
        let log = Log::new(70_001);
        let mut builder = RootBuilder::default();
        let mut all = Vec::new();
        for size in SIZES {
            (builder.size()..size).for_each(|index| builder.push(&leaf(index)));
            all.push(Checkpoint::sign(&log_key(), size, &builder.root(), &key(4)).unwrap());
        }
        for new in &all {
            let mut tree = Tree::open(new, &log).unwrap();
            for old in &all {
                let (old_size, new_size) = (old.size(), new.size());
                let expected = if old_size <= new_size {
                    Ok(())
                } else {
                    Err(TreeError::Shrunk { old: old_size, new: new_size })
                };
                assert_eq!(tree.extends(old), expected, "{old_size} {new_size}");
                if old_size < new_size {
                    assert_eq!(tree.holds(old_size, &leaf(old_size)), Ok(()));
                    assert_eq!(tree.holds(old_size, &leaf(0x77)), Err(TreeError::OtherLeaf(old_size)));
                }
            }
            let size = new.size();
            assert_eq!(tree.holds(size, &leaf(size)), Err(TreeError::Outside { index: size, size }));
            let index = u64::MAX;
            assert_eq!(tree.holds(index, &leaf(0)), Err(TreeError::Outside { index, size }));
        }
    }

    #[test]
    fn another_history_is_found_wherever_it_begins() {
        for size in [1, 2, 255, 256, 511, 513, 2000] {
            let new = checkpoint(&leaves(size));
            let log = Log::new(size);
            for at in [0, size / 2, size - 1] {
                let mut other = leaves(size);
                other[usize::try_from(at).unwrap()][31] ^= 1;
                let mut tree = Tree::open(&new, &log).unwrap();
                assert_eq!(tree.extends(&checkpoint(&other)), Err(TreeError::Fork(size)));
                let end = usize::try_from(at + 1).unwrap();
                let expected =
                    if at + 1 == size { TreeError::Fork(size) } else { TreeError::Rewritten(at + 1) };
                assert_eq!(tree.extends(&checkpoint(&other[..end])), Err(expected), "{size} {at}");
            }
        }
    }

    /// Each tile that is asked for, changed in one bit, is refused by its name.
    #[test]
    fn no_bit_of_a_tile_can_be_changed() {
        struct Tampered<'a> {
            log: &'a Log,
            tile: Option<Tile>,
            asked: RefCell<Vec<Tile>>,
        }
        impl TileSource for Tampered<'_> {
            type Error = &'static str;
            fn tile(&self, tile: &Tile) -> Result<Vec<u8>, &'static str> {
                self.asked.borrow_mut().push(*tile);
                let mut bytes = self.log.tile(tile)?;
                if self.tile == Some(*tile) {
                    *bytes.last_mut().unwrap() ^= 1;
                }
                Ok(bytes)
            }
        }
        let shown = |new: &Checkpoint, source: &Tampered<'_>| {
            let mut tree = Tree::open(new, source)?;
            tree.extends(&checkpoint(&leaves(300)))?;
            tree.holds(0, &leaf(0))
        };
        // At 511 both whole tiles of leaves are below one hash each; at 70,001 there is one more level.
        for size in [511, 512, 65_900] {
            let (new, log) = (checkpoint(&leaves(size)), Log::new(size));
            let mut source = Tampered { log: &log, tile: None, asked: RefCell::default() };
            assert_eq!(shown(&new, &source), Ok(()));
            let asked = source.asked.take();
            assert!(asked.len() >= 3 && asked.contains(&"tile/0/000".parse().unwrap()), "{asked:?}");
            let mut distinct = asked.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), asked.len(), "a tile was fetched twice");
            for tile in asked {
                source.tile = Some(tile);
                let Err(TreeError::Tile(named)) = shown(&new, &source) else { panic!("{size}: {tile}") };
                // Partial tiles make the root together: which of them is wrong cannot be told.
                assert!(named == tile || named.is_partial() && tile.is_partial(), "{size}: {tile}, {named}");
            }
        }
    }

    /// Why there is a reader of our own: tlog_tiles' takes whole tiles unseen as long as fewer of them were fetched
    /// than the tree's size has bits (docs/decisions/0013).
    #[test]
    fn a_tile_that_the_crates_reader_does_not_check() {
        use tlog_tiles::{HashReader, TileHashReader, TileReader};
        struct Forged(Log);
        impl TileReader for Forged {
            fn height(&self) -> u8 {
                8
            }
            fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
                let ours = |tile: &tlog_tiles::Tile| {
                    let width = u16::try_from(tile.width()).unwrap();
                    let ours = Tile::new(TileKind::Hashes(tile.level()), tile.level_index(), width).unwrap();
                    self.0.tile(&ours).unwrap()
                };
                Ok(tiles.iter().map(ours).collect())
            }
            fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
        }
        let new = checkpoint(&leaves(511));
        let mut log = Log::new(511);
        log.change = |tile, mut bytes| {
            if !tile.is_partial() {
                bytes.fill(0x66);
            }
            Ok(bytes)
        };
        let mut tree = Tree::open(&new, &log).unwrap();
        assert_eq!(tree.holds(7, &leaf(7)), Err(TreeError::Tile("tile/0/000".parse().unwrap())));
        let forged = Forged(log);
        let theirs = TileHashReader::new(511, tlog_tiles::Hash(*new.root()), &forged);
        let read = theirs.read_hashes(&[tlog_tiles::stored_hash_index(0, 7)]);
        assert_eq!(read.unwrap(), [tlog_tiles::Hash([0x66; 32])], "it checks now: use it in place of ours?");
    }

    #[test]
    fn tiles_of_another_length_and_tiles_that_are_not_there() {
        let mut log = Log::new(300);
        let new = checkpoint(&leaves(300));
        let first = |log: &Log| Tree::open(&new, log).map(drop).unwrap_err().to_string();
        log.change = |_, mut bytes| {
            bytes.pop();
            Ok(bytes)
        };
        assert_eq!(first(&log), "tile/0/001.p/44 is not a tile of the checkpoint's tree");
        log.change = |_, bytes| Ok([bytes.as_slice(), &[0; 32]].concat());
        assert!(first(&log).contains("is not a tile"));
        log.change = |_, _| Ok(Vec::new());
        assert!(first(&log).contains("is not a tile"));
        log.change = |_, _| Err("gone");
        assert_eq!(first(&log), "gone");
    }

    /// No size that a signed checkpoint can claim makes anything panic, whatever the tiles say.
    #[test]
    fn hostile_sizes() {
        struct Zeros;
        impl TileSource for Zeros {
            type Error = ();
            fn tile(&self, tile: &Tile) -> Result<Vec<u8>, ()> {
                Ok(alloc::vec![0; 32 * usize::from(tile.width())])
            }
        }
        for size in [1, 256, MAX_SIZE / 3, MAX_SIZE - 1, MAX_SIZE] {
            let sign = |root| Checkpoint::sign(&log_key(), size, root, &key(4)).unwrap();
            assert!(matches!(Tree::open(&sign(&[9; 32]), &Zeros), Err(TreeError::Tile(_))));
            // The root that such tiles make, so that there is more to ask.
            let mut made = Tree { size, root: [0; 32], source: &Zeros, tiles: BTreeMap::new() };
            for level in 0..=TOP_LEVEL {
                let last = (size >> (8 * u32::from(level))) / 256;
                if let Some(tile) =
                    Tile::of_tree(TileKind::Hashes(level), last, size).filter(Tile::is_partial)
                {
                    made.tiles.insert(tile, made.fetch(&tile).unwrap());
                }
            }
            let root = made.root_at(size).unwrap();
            let checkpoint = sign(&root);
            let mut tree = Tree::open(&checkpoint, &Zeros).unwrap();
            assert!(tree.holds(size - 1, &leaf(0)).is_err() && tree.holds(size / 2, &leaf(0)).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Of two histories that part somewhere, one is never shown to go on from the other beyond that point.
        #[test]
        fn a_prefix_and_nothing_else(old in 0_usize..900, more in 0_usize..900, part in 0_usize..900) {
            let all = leaves(u64::try_from(old + more).unwrap());
            let mut other = all.clone();
            if let Some(leaf) = other.get_mut(part) {
                leaf[9] ^= 1;
            }
            let (new, log) = (checkpoint(&all), Log::of(all));
            let shown = Tree::open(&new, &log).unwrap().extends(&checkpoint(&other[..old]));
            prop_assert_eq!(shown.is_ok(), part >= old);
        }
    }
}
