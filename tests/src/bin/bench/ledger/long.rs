//! Long ledgers, made quickly: leaves and the tree over them written straight into a SQLite file. Most events are
//! erased ones, which have a hash and nothing else; around the leaves that will be asked for they are as large as a
//! certificate's, so that reading there costs what it does.

use std::path::Path;

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

/// How many leaves a tile has.
const TILE: u64 = 256;
/// How many leaves will be asked for.
const ASKED: u64 = 200;
/// A certificate's event.
const BODY: usize = 1200;

/// Makes a CA's ledger so many leaves long, and returns some of them, spread over all of it.
pub(super) fn lengthen(file: &Path, leaves: u64) -> anyhow::Result<Vec<u64>> {
    let mut db = Connection::open(file)?;
    // Only the database that comes out is wanted, not how safely it came to be.
    db.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")?;
    let asked: Vec<u64> = (0..ASKED).map(|n| (leaves - 1) * n / (ASKED - 1)).collect();
    let large: Vec<u64> = asked.iter().map(|leaf| leaf / TILE).collect();
    let tx = db.transaction()?;
    {
        let mut tiles = Tiles::default();
        let mut tile = tx.prepare("INSERT INTO tiles (level, idx, hash) VALUES ($1, $2, $3)")?;
        let mut write = |level: u64, index: u64, hash: [u8; 32]| -> anyhow::Result<()> {
            tile.execute(params![i64::try_from(level)?, i64::try_from(index)?, hash])?;
            Ok(())
        };
        let mut first = 0;
        let mut there = tx.prepare("SELECT hash FROM events ORDER BY leaf")?;
        for hash in there.query_map([], |row| row.get::<_, [u8; 32]>(0))? {
            tiles.push(leaf_hash(&hash?), &mut write)?;
            first += 1;
        }
        let time: i64 = tx.query_row("SELECT MAX(time) FROM events", [], |row| row.get(0))?;
        let mut event = tx.prepare(
            "INSERT INTO events (leaf, time, kind, body, salt, hash) VALUES ($1, $2, 'certificate.issued', $3, $4, $5)",
        )?;
        let (body, salt) = (vec![b'x'; BODY], vec![b's'; 32]);
        for leaf in first..leaves {
            let hash: [u8; 32] = Sha256::digest(leaf.to_be_bytes()).into();
            let content = large.binary_search(&(leaf / TILE)).is_ok().then_some((&body, &salt));
            let (body, salt) = (content.map(|c| c.0), content.map(|c| c.1));
            event.execute(params![i64::try_from(leaf)?, time, body, salt, hash])?;
            tiles.push(leaf_hash(&hash), &mut write)?;
        }
    }
    tx.commit()?;
    Ok(asked)
}

/// The runs of each level that are not complete yet.
#[derive(Default)]
struct Tiles {
    levels: Vec<(u64, Vec<[u8; 32]>)>,
}

impl Tiles {
    fn push(
        &mut self,
        entry: [u8; 32],
        write: &mut impl FnMut(u64, u64, [u8; 32]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut entry = entry;
        for level in 0_usize.. {
            if self.levels.len() == level {
                self.levels.push((0, Vec::new()));
            }
            let Some((complete, run)) = self.levels.get_mut(level) else { break };
            run.push(entry);
            if u64::try_from(run.len())? < TILE {
                break;
            }
            entry = root(std::mem::take(run));
            write(u64::try_from(level)? + 1, *complete, entry)?;
            *complete += 1;
        }
        Ok(())
    }
}

/// The root over a complete run (RFC 6962 section 2.1).
fn root(mut nodes: Vec<[u8; 32]>) -> [u8; 32] {
    while nodes.len() > 1 {
        nodes = nodes
            .chunks(2)
            .map(|pair| {
                let hash = Sha256::new().chain_update([1]);
                pair.iter().fold(hash, |hash, node| hash.chain_update(node)).finalize().into()
            })
            .collect();
    }
    nodes.into_iter().next().unwrap_or_default()
}

fn leaf_hash(data: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}
