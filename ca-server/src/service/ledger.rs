//! The ledger as everybody may see it: checkpoints, tiles, and the receipt that comes with a certificate.

use std::sync::Arc;
use std::time::Instant;

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_proto::log::{Checkpoint, Tile, TileKind, encode_entries, encode_proof};
use jit_ssh_proto::wire::Receipt;
use jit_ssh_proto::{Code, Problem};

use super::{Service, refusal};
use crate::store::Recorded;
use crate::witness::AWAY;

/// A checkpoint as it is handed out.
#[derive(Clone, Debug)]
pub struct Cosigned {
    checkpoint: Checkpoint,
    /// With the lines of the witnesses that cosigned it.
    note: Arc<str>,
    /// When one of them did not.
    failed: Option<Instant>,
}

impl Service {
    /// The signed checkpoint of the ledger as it is now, with the lines of the witnesses that cosigned it.
    ///
    /// # Errors
    /// When the store does not answer or the key cannot sign.
    pub async fn checkpoint(&self) -> Result<Arc<str>, Problem> {
        let made = self
            .cosigned
            .get(async |last| self.cosigned_head(last.and_then(|last| last.as_ref().ok())).await);
        made.await.map(|cosigned| cosigned.note)
    }

    async fn cosigned_head(&self, last: Option<&Cosigned>) -> Result<Cosigned, Problem> {
        let checkpoint = self.signed_head().await?;
        // Who did not cosign this one is asked again when it may be back.
        let still = |last: &&Cosigned| {
            last.checkpoint == checkpoint && last.failed.is_none_or(|failed| failed.elapsed() < AWAY)
        };
        if let Some(last) = last.filter(still) {
            return Ok(last.clone());
        }
        let key = self.ledger.log_key();
        let mut note = checkpoint.note().to_owned();
        let mut failed = None;
        let asked = self.witnesses.iter().map(|witness| witness.lines(key, &checkpoint, &self.store));
        for lines in futures_util::future::join_all(asked).await {
            match lines {
                Some(lines) => note.push_str(&lines),
                None => failed = Some(Instant::now()),
            }
        }
        Ok(Cosigned { checkpoint, note: note.into(), failed })
    }

    async fn signed_head(&self) -> Result<Checkpoint, Problem> {
        let head = self.store.tree_head().await.map_err(refusal::store)?;
        self.ledger.checkpoint(&head).map_err(|e| refusal::signer(&e))
    }

    /// The bytes of a tile.
    ///
    /// # Errors
    /// `not_found` where the ledger has not got so far; when the store does not answer.
    pub async fn tile(&self, tile: &Tile) -> Result<Vec<u8>, Problem> {
        let (first, width) = (tile.first(), u64::from(tile.width()));
        let bytes = match tile.kind() {
            TileKind::Hashes(level) => {
                let hashes = self.store.tree_hashes(level, first, width).await.map_err(refusal::store)?;
                hashes.map(|hashes| hashes.concat())
            }
            TileKind::Entries => {
                let leaves = self.store.leaves(first, width).await.map_err(refusal::store)?;
                leaves.map(|leaves| encode_entries(&leaves))
            }
        };
        bytes.ok_or_else(|| {
            Problem::new(Code::NotFound, "The ledger is not that long yet: see /log/checkpoint.")
        })
    }

    /// What shows whoever gets a certificate that its event is in the ledger. Made only of what is durable.
    pub(super) fn receipt(&self, recorded: Recorded) -> Result<Receipt, Problem> {
        let checkpoint = self.ledger.checkpoint(&recorded.head).map_err(|e| refusal::signer(&e))?;
        Ok(Receipt {
            event: String::from_utf8(recorded.event).map_err(refusal::internal)?,
            salt: BASE64URL_NOPAD.encode(&recorded.salt),
            proof: encode_proof(&recorded.proof),
            checkpoint: checkpoint.note().to_owned(),
        })
    }
}
