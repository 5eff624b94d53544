//! The ledger's published files: checkpoint, tiles and entries, from the CA.

use jit_ssh_proto::log::{Checkpoint, Hash, LogKey, TILE_WIDTH, Tile, TileKind, TileSource, decode_entries};

use crate::ca::Ca;
use crate::error::{Error, Result};

/// The log of a CA at its address.
pub(crate) struct LogTiles<'a> {
    /// The CA.
    pub(crate) ca: Ca<'a>,
}

impl LogTiles<'_> {
    /// `GET /log/checkpoint`, verified.
    pub(crate) fn checkpoint(&self, key: &LogKey) -> Result<Checkpoint> {
        let missing = || {
            Error::Untrusted(format!(
                "{} publishes no ledger: check the address, and that client and CA are of versions that fit",
                self.ca.url
            ))
        };
        let note = self.ca.log("/log/checkpoint")?.ok_or_else(missing)?;
        // What is no text is no checkpoint either, and is told as one.
        Checkpoint::verify(key, &String::from_utf8_lossy(&note)).map_err(|e| {
            Error::Untrusted(format!(
                "the checkpoint of the CA's ledger {e}: tell its operator, and trust nothing it issues until it does"
            ))
        })
    }

    /// The leaves of the tile number `index` in a tree of `size`. None beyond its end.
    pub(crate) fn entries(&self, index: u64, size: u64) -> Result<Option<Vec<Hash>>> {
        let Some(tile) = Tile::of_tree(TileKind::Entries, index, size) else { return Ok(None) };
        let odd = |why: &dyn std::fmt::Display| {
            Error::Untrusted(format!("/log/{tile} {why}: tell the CA's operator"))
        };
        let (bytes, width) = self.part_or_whole(&tile)?;
        let mut leaves = decode_entries(&bytes, width).map_err(|e| odd(&e))?;
        leaves.truncate(usize::from(tile.width()));
        Ok(Some(leaves))
    }

    /// A tile's bytes. Where the log has grown since its checkpoint and keeps the part no longer, those of the whole.
    fn part_or_whole(&self, tile: &Tile) -> Result<(Vec<u8>, u16)> {
        if let Some(bytes) = self.ca.log(&format!("/log/{tile}"))? {
            return Ok((bytes, tile.width()));
        }
        let whole = tile.whole().filter(|_| tile.is_partial());
        let bytes = whole.map(|whole| self.ca.log(&format!("/log/{whole}"))).transpose()?.flatten();
        bytes.map(|bytes| (bytes, TILE_WIDTH)).ok_or_else(|| {
            Error::Untrusted(format!(
                "the CA does not serve /log/{tile}, which is part of the ledger that it signed: tell its operator"
            ))
        })
    }
}

impl TileSource for LogTiles<'_> {
    type Error = Error;

    fn tile(&self, tile: &Tile) -> Result<Vec<u8>> {
        let (mut bytes, _) = self.part_or_whole(tile)?;
        bytes.truncate(usize::from(tile.width()).saturating_mul(size_of::<Hash>()));
        Ok(bytes)
    }
}
