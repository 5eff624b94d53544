//! The last checkpoint this process saw, in a file of its own outside the database: what shows that a database was
//! exchanged for an older or another one (DESIGN 7). Whoever can write it and the database can still rewrite both:
//! checkpoints that clients and witnesses hold are what proves that.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::StoreError;
use super::tree::TreeHead;

/// Two places, written in turn: if a write is cut off, the other one still counts.
const SLOT: usize = 128;

/// A line: what it is, size, root, and the hash of all that, so that a torn one is not taken.
const WORD: &str = "seen";

/// The file.
#[derive(Debug)]
pub(super) struct SeenFile {
    path: PathBuf,
    file: File,
    next: u64,
    last: Option<TreeHead>,
}

impl SeenFile {
    /// Opens it, making it if it is not there.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let trouble = |e: io::Error| {
            StoreError::ReadOnly(format!(
                "{} cannot be written: check its owner, mode and disk ({e})",
                path.display()
            ))
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(trouble)?;
        let slots = [read(&file, 0).map_err(trouble)?, read(&file, 1).map_err(trouble)?];
        let newest = |(at, seen): (u64, Option<TreeHead>)| seen.map(|seen| (seen.size, at, seen));
        let last = (0..).zip(slots).filter_map(newest).max_by_key(|(size, _, _)| *size);
        if last.is_none() && file.metadata().map_err(trouble)?.len() > 0 {
            return Err(StoreError::Unusable(format!(
                "{} is not readable as the last checkpoint seen: run `jit-ssh-ca log verify`, and delete it if that finds nothing",
                path.display()
            )));
        }
        let next = last.map_or(0, |(_, at, _)| 1_u64.saturating_sub(at));
        Ok(Self { path: path.to_owned(), file, next, last: last.map(|(_, _, seen)| seen) })
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<TreeHead> {
        self.last
    }

    /// Where it is.
    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Remembers a later one. Not flushed: it outlives the process, and what a machine forgets when its power fails is
    /// only how far it had got.
    pub(super) fn remember(&mut self, head: TreeHead) -> io::Result<()> {
        if self.last == Some(head) {
            return Ok(());
        }
        self.file.write_all_at(line(&head).as_bytes(), offset(self.next))?;
        self.next = 1_u64.saturating_sub(self.next);
        self.last = Some(head);
        Ok(())
    }
}

/// Puts another checkpoint in place of all that such a file knew: only where the ledger was brought back on purpose.
pub(super) fn replace(path: &Path, head: TreeHead) -> io::Result<()> {
    let draft = path.with_extension(format!("writing-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    io::Write::write_all(&mut file, line(&head).as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

/// The last checkpoint in such a file, if there is one; for whoever only looks.
pub(super) fn look(path: &Path) -> Option<TreeHead> {
    let file = File::open(path).ok()?;
    let slots = [read(&file, 0).ok()?, read(&file, 1).ok()?];
    slots.into_iter().flatten().max_by_key(|seen| seen.size)
}

fn offset(slot: u64) -> u64 {
    slot.saturating_mul(u64::try_from(SLOT).unwrap_or(u64::MAX))
}

fn line(head: &TreeHead) -> String {
    let said = format!("{WORD} {} {}", head.size, HEXLOWER.encode(&head.root));
    let sum = Sha256::digest(said.as_bytes());
    let sum = HEXLOWER.encode(sum.get(..8).unwrap_or_default());
    let mut line = format!("{said} {sum}");
    let room = SLOT.saturating_sub(1);
    line.extend(std::iter::repeat_n(' ', room.saturating_sub(line.len())));
    line.push('\n');
    line
}

fn read(file: &File, slot: u64) -> io::Result<Option<TreeHead>> {
    let mut bytes = vec![0; SLOT];
    match file.read_exact_at(&mut bytes, offset(slot)) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    }
    Ok(str::from_utf8(&bytes).ok().and_then(parse))
}

fn parse(text: &str) -> Option<TreeHead> {
    let mut words = text.split_ascii_whitespace();
    let (WORD, size, root) = (words.next()?, words.next()?, words.next()?) else { return None };
    let root = HEXLOWER.decode(root.as_bytes()).ok()?.try_into().ok()?;
    let head = TreeHead { size: size.parse().ok()?, root };
    (line(&head) == text).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(size: u64) -> TreeHead {
        TreeHead { size, root: [u8::try_from(size % 251).unwrap(); 32] }
    }

    #[test]
    fn the_last_one_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen");
        let mut seen = SeenFile::open(&path).unwrap();
        assert_eq!(seen.last(), None);
        for size in 1..8 {
            seen.remember(head(size)).unwrap();
            assert_eq!(SeenFile::open(&path).unwrap().last(), Some(head(size)));
            assert_eq!(look(&path), Some(head(size)));
        }
    }

    #[test]
    fn a_torn_write_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen");
        let mut seen = SeenFile::open(&path).unwrap();
        seen.remember(head(1)).unwrap();
        seen.remember(head(2)).unwrap();
        // The second write was cut off in the middle.
        seen.file.write_all_at(&[b'x'; SLOT / 2], offset(1)).unwrap();
        let seen = SeenFile::open(&path).unwrap();
        assert_eq!(seen.last(), Some(head(1)));
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen");
        for text in ["x".repeat(2 * SLOT), line(&head(3)).replace("seen 3", "seen 4")] {
            std::fs::write(&path, text).unwrap();
            let error = SeenFile::open(&path).unwrap_err();
            assert!(error.to_string().contains("log verify"), "{error}");
        }
    }
}
