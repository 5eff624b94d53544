//! Tiles by name: `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]` (C2SP tlog-tiles), both ways and strictly: a
//! path that is accepted is the one that is written.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use super::MAX_SIZE;

/// How many hashes or entries a whole tile holds.
pub const TILE_WIDTH: u16 = 256;

/// The highest level at which a tree of [`MAX_SIZE`] leaves has hashes.
pub(super) const TOP_LEVEL: u8 = 6;

/// The longest path that can be one.
const MAX_PATH: usize = 48;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes of complete subtrees of 256^L leaves, at level L; at level 0 the leaves' own.
    Hashes(u8),
    /// The leaves.
    Entries,
}

/// The name of a tile. It lies inside a tree of at most [`MAX_SIZE`] leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    kind: TileKind,
    index: u64,
    width: u16,
}

/// Why a text is not the path of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the path of a tile: tile/LEVEL/INDEX or tile/entries/INDEX, with .p/WIDTH if it is partial")]
pub struct TilePathError;

impl Tile {
    /// The tile number `index` of its kind, of which the first `width` are meant: 1 to 256. None where no tree has
    /// such a tile.
    #[must_use]
    pub fn new(kind: TileKind, index: u64, width: u16) -> Option<Self> {
        let level = match kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        if level > TOP_LEVEL || width == 0 || width > TILE_WIDTH {
            return None;
        }
        let end = index.checked_mul(u64::from(TILE_WIDTH))?.checked_add(u64::from(width))?;
        (end <= MAX_SIZE >> (8 * u32::from(level))).then_some(Self { kind, index, width })
    }

    /// The tile `index` of its kind as a tree of `size` leaves has it. None if it has none.
    #[must_use]
    pub fn of_tree(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let level = match kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        let all = size.checked_shr(8 * u32::from(level))?;
        let left = all.checked_sub(index.checked_mul(u64::from(TILE_WIDTH))?)?;
        Self::new(kind, index, u16::try_from(left).unwrap_or(TILE_WIDTH).min(TILE_WIDTH))
    }

    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Its number among those of its kind.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it holds: 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// The first leaf (of entries and level 0) or hash of its level that it holds.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.index.saturating_mul(u64::from(TILE_WIDTH))
    }

    /// Whether it is cut short by the end of its tree.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.width < TILE_WIDTH
    }

    /// The whole tile in its place: what is left to ask for when a log that has grown since no longer keeps the part.
    /// None where no tree has it.
    #[must_use]
    pub fn whole(&self) -> Option<Self> {
        Self::new(self.kind, self.index, TILE_WIDTH)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        // Groups of three digits; all but the last begin with x.
        let mut groups = String::new();
        let mut rest = self.index;
        loop {
            let group = alloc::format!("{:03}", rest % 1000);
            groups = if groups.is_empty() { group } else { alloc::format!("x{group}/{groups}") };
            rest /= 1000;
            if rest == 0 {
                break;
            }
        }
        f.write_str(&groups)?;
        if self.is_partial() { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

impl FromStr for Tile {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Self, TilePathError> {
        if path.len() > MAX_PATH {
            return Err(TilePathError);
        }
        let rest = path.strip_prefix("tile/").ok_or(TilePathError)?;
        let (kind, rest) = rest.split_once('/').ok_or(TilePathError)?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes(level.parse().map_err(|_| TilePathError)?),
        };
        let (groups, width) = match rest.split_once(".p/") {
            Some((groups, width)) => (groups, width.parse().map_err(|_| TilePathError)?),
            None => (rest, TILE_WIDTH),
        };
        let mut index = 0_u64;
        for group in groups.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            let digits: u64 = digits.parse().map_err(|_| TilePathError)?;
            index = index.checked_mul(1000).and_then(|i| i.checked_add(digits)).ok_or(TilePathError)?;
        }
        let tile = Self::new(kind, index, width).ok_or(TilePathError)?;
        // Leading zeros, signs, a missing x, a whole tile as a part: there is one way to write it.
        if alloc::format!("{tile}") == path { Ok(tile) } else { Err(TilePathError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn paths_as_c2sp_writes_them() {
        for (kind, index, width, path) in [
            (TileKind::Hashes(0), 0, 256, "tile/0/000"),
            (TileKind::Hashes(0), 999, 256, "tile/0/999"),
            (TileKind::Hashes(0), 1000, 255, "tile/0/x001/000.p/255"),
            (TileKind::Hashes(1), 1_234_067, 256, "tile/1/x001/x234/067"),
            (TileKind::Hashes(3), 3905, 1, "tile/3/x003/905.p/1"),
            (TileKind::Hashes(6), 0, 1, "tile/6/000.p/1"),
            (TileKind::Entries, 1_234_067, 112, "tile/entries/x001/x234/067.p/112"),
            (TileKind::Entries, (1 << 40) - 1, 256, "tile/entries/x001/x099/x511/x627/775"),
        ] {
            let tile = Tile::new(kind, index, width).unwrap();
            assert_eq!((tile.to_string().as_str(), path.parse()), (path, Ok(tile)));
        }
    }

    #[test]
    fn what_is_no_path() {
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/8/0/000",
            "tile/data/000",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/1000",
            "tile/0/x000/000",
            "tile/0/x000",
            "tile/0/001/000",
            "tile/0/x001/x000",
            "tile/0/x1/000",
            "tile/0/xx001/000",
            "tile/0/x001//000",
            "tile/0/000/",
            "tile/0/+00",
            "tile/0/-01",
            "tile/0/٠٠٠",
            "tile/00/000",
            "tile/+0/000",
            "tile/-1/000",
            "tile/7/000",
            "tile/255/000",
            "tile/256/000",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/000.P/1",
            "tile/0/000 ",
            "tile/0/../entries/000",
            // Beyond any tree.
            "tile/0/x001/x099/x511/x627/776",
            "tile/6/000.p/2",
            "tile/6/000",
            "tile/0/x018/x446/x744/x073/x709/x551/615",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(bad.parse::<Tile>(), Err(TilePathError), "{bad}");
        }
        assert_eq!("tile/0/x".repeat(10_000).parse::<Tile>(), Err(TilePathError));
    }

    #[test]
    fn the_tiles_of_a_tree() {
        for (size, kind, index, width) in [
            (0, TileKind::Hashes(0), 0, None),
            (1, TileKind::Hashes(0), 0, Some(1)),
            (255, TileKind::Hashes(1), 0, None),
            (256, TileKind::Hashes(0), 0, Some(256)),
            (256, TileKind::Hashes(0), 1, None),
            (256, TileKind::Hashes(1), 0, Some(1)),
            (70_000, TileKind::Hashes(1), 1, Some(17)),
            (70_000, TileKind::Hashes(2), 0, Some(1)),
            (70_000, TileKind::Entries, 273, Some(112)),
            (u64::MAX, TileKind::Hashes(7), 0, None),
            (u64::MAX, TileKind::Hashes(255), 0, None),
            (u64::MAX, TileKind::Entries, u64::MAX, None),
            (u64::MAX, TileKind::Entries, u64::MAX / 256, None),
        ] {
            let tile = Tile::of_tree(kind, index, size);
            assert_eq!(tile.map(|t| t.width()), width, "{size} {kind:?} {index}");
        }
        let part = Tile::new(TileKind::Entries, 3, 7).unwrap();
        assert_eq!((part.is_partial(), part.first()), (true, 768));
        assert_eq!(part.whole(), Tile::new(TileKind::Entries, 3, 256));
        assert_eq!(Tile::new(TileKind::Hashes(6), 0, 1).unwrap().whole(), None);
    }

    proptest! {
        #[test]
        fn there_and_back(level in 0..=TOP_LEVEL, entries: bool, index: u64, width in 1..=TILE_WIDTH, shift in 0..64_u32) {
            let kind = if entries { TileKind::Entries } else { TileKind::Hashes(level) };
            if let Some(tile) = Tile::new(kind, index >> shift, width) {
                prop_assert_eq!(tile.to_string().parse(), Ok(tile));
            }
        }

        #[test]
        fn what_is_accepted_is_what_is_written(path in "tile/([0-9]{1,3}|entries)(/x?[0-9]{3}){1,4}(\\.p/[0-9]{1,3})?") {
            if let Ok(tile) = path.parse::<Tile>() {
                prop_assert_eq!(tile.to_string(), path);
            }
        }

        #[test]
        fn nothing_panics(path in "\\PC*") {
            let _ = path.parse::<Tile>();
        }
    }
}
