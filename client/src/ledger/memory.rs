//! What is remembered of a CA's ledger: signed checkpoints as files, beside the pin because they must outlive a session
//! and a reboot as it does. One file each, named by size and root, so that processes that write at once cannot undo
//! each other, and any C2SP tool can read them.

use std::fs;
use std::path::{Path, PathBuf};

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::log::{Checkpoint, LogKey};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::paths::{self, Paths};

const NOTE: &str = ".note";
const VERIFIED: &str = "verified.json";

/// The memory of one CA's ledger.
pub(crate) struct Memory {
    folder: PathBuf,
    key: LogKey,
}

/// When the ledger was proven by `jit-ssh log verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verified {
    /// The first time: all since then is proven to be one history.
    pub(crate) since: Timestamp,
    /// The last time.
    pub(crate) last: Timestamp,
}

impl Memory {
    /// Of the CA that is set up.
    pub(crate) fn open(paths: &Paths, config: &Config) -> Result<Self> {
        Ok(Self { folder: paths.ledger(&config.pin.ca_id)?, key: super::key(config)? })
    }

    /// The key that signs its checkpoints.
    pub(crate) fn key(&self) -> &LogKey {
        &self.key
    }

    /// Every checkpoint that was shown and not superseded by one that is proven to go on from it, smallest first.
    pub(crate) fn seen(&self) -> Result<Vec<Checkpoint>> {
        let mut seen = Vec::new();
        let entries = fs::read_dir(&self.folder).map_err(|e| Error::io("list", &self.folder, &e))?;
        for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            if name.starts_with('.') || !name.ends_with(NOTE) {
                continue;
            }
            let path = self.folder.join(&name);
            // One that another process has superseded meanwhile is gone rightly.
            let Some(note) = paths::read(&path, 0o077)? else { continue };
            let checkpoint = Checkpoint::verify(&self.key, &String::from_utf8_lossy(&note));
            match checkpoint.map_err(|e| e.to_string()) {
                Ok(checkpoint) if file_name(&checkpoint) == name => seen.push(checkpoint),
                Ok(_) => return Err(damaged(&path, "has another name than it was written under")),
                Err(e) => return Err(damaged(&path, &e)),
            }
        }
        seen.sort_by_key(Checkpoint::size);
        Ok(seen)
    }

    /// Remembers a checkpoint. Says how many are remembered now.
    ///
    /// # Errors
    /// When one of the same size and another root is remembered: then both are kept as evidence.
    pub(crate) fn remember(&self, checkpoint: &Checkpoint) -> Result<usize> {
        let seen = self.seen()?;
        if let Some(other) = seen.iter().find(|other| other.contradicts(checkpoint)) {
            let what = format!("two checkpoints of {} entries have different roots", checkpoint.size());
            return Err(self.two_histories(&what, other, checkpoint));
        }
        if seen.iter().any(|known| known.size() == checkpoint.size()) {
            return Ok(seen.len());
        }
        paths::write(&self.file(checkpoint), checkpoint.note().as_bytes())?;
        Ok(seen.len().saturating_add(1))
    }

    /// Keeps `newest` alone of `proven`: it is proven to go on from all of them.
    pub(crate) fn supersede(&self, proven: &[Checkpoint], newest: &Checkpoint) -> Result<()> {
        paths::write(&self.file(newest), newest.note().as_bytes())?;
        proven
            .iter()
            .filter(|old| old.size() < newest.size())
            .try_for_each(|old| paths::remove(&self.file(old)))
    }

    /// When the ledger was verified, if it ever was.
    pub(crate) fn verified(&self) -> Result<Option<Verified>> {
        let text = paths::read(&self.folder.join(VERIFIED), 0o077)?;
        // A record that is not understood is none: it proves nothing, the checkpoints do.
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Notes that the ledger was verified now. Returns the record from before.
    pub(crate) fn note_verified(&self, now: Timestamp) -> Result<Option<Verified>> {
        let before = self.verified()?;
        let record = Verified { since: before.map_or(now, |v| v.since), last: now };
        let json = serde_json::to_vec(&record)
            .map_err(|e| Error::Local(format!("cannot write when the ledger was verified: {e}")))?;
        paths::write(&self.folder.join(VERIFIED), &json)?;
        Ok(before)
    }

    /// Keeps something that may have to be shown to others. It is never removed by us.
    pub(crate) fn keep_evidence(&self, name: &str, contents: &[u8]) -> Result<PathBuf> {
        let folder = paths::private_folder(&self.folder.join("evidence"))?;
        let file = folder.join(name);
        paths::write(&file, contents)?;
        Ok(file)
    }

    /// Keeps two checkpoints that cannot both be of one honest ledger, and says so.
    pub(crate) fn two_histories(&self, what: &str, old: &Checkpoint, new: &Checkpoint) -> Error {
        let kept = self.keep_checkpoint(old).and_then(|old| Ok((old, self.keep_checkpoint(new)?)));
        let kept = match kept {
            Ok((old, new)) => format!("they are kept as {} and {}", old.display(), new.display()),
            Err(e) => format!("they could not be kept ({e})"),
        };
        Error::Untrusted(format!(
            "THE LEDGER WAS TAMPERED WITH: {what}. The CA signed both checkpoints: {kept}. Trust nothing that it \
             issues, and give both to whoever audits it"
        ))
    }

    /// Keeps a checkpoint that what the CA serves does not agree with, and says so.
    pub(crate) fn not_what_was_signed(&self, what: &str, checkpoint: &Checkpoint) -> Error {
        Error::Untrusted(format!(
            "THE LEDGER IS NOT WHAT THE CA SIGNED: {what}. {} If nothing between you and the CA damages answers, trust \
             nothing that it issues, and tell whoever audits it",
            self.keep_signed(checkpoint)
        ))
    }

    /// Keeps a checkpoint that the CA signed; says so in a sentence.
    pub(crate) fn keep_signed(&self, checkpoint: &Checkpoint) -> String {
        match self.keep_checkpoint(checkpoint) {
            Ok(file) => format!("The CA signed the checkpoint: it is kept as {}.", file.display()),
            Err(e) => format!("The CA signed the checkpoint: it could not be kept ({e})."),
        }
    }

    fn keep_checkpoint(&self, checkpoint: &Checkpoint) -> Result<PathBuf> {
        self.keep_evidence(&format!("checkpoint-{}", file_name(checkpoint)), checkpoint.note().as_bytes())
    }

    fn file(&self, checkpoint: &Checkpoint) -> PathBuf {
        self.folder.join(file_name(checkpoint))
    }
}

fn file_name(checkpoint: &Checkpoint) -> String {
    format!("{:015}-{}{NOTE}", checkpoint.size(), data_encoding::HEXLOWER.encode_display(checkpoint.root()))
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::Local(format!(
        "the remembered checkpoint {} {why}: if the CA's operator says that the ledger key was replaced, move the file \
         away, and keep it; else find out who changed it",
        path.display()
    ))
}
