//! The ledger as everybody may see it: checkpoints, tiles, and the receipt that comes with a certificate.

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_proto::log::{Tile, TileKind, encode_entries, encode_proof};
use jit_ssh_proto::wire::Receipt;
use jit_ssh_proto::{Code, Problem};

use super::{Service, refusal};
use crate::store::Recorded;

impl Service {
    /// The signed checkpoint of the ledger as it is now.
    ///
    /// # Errors
    /// When the store does not answer or the key cannot sign.
    pub async fn checkpoint(&self) -> Result<String, Problem> {
        let head = self.store.tree_head().await.map_err(refusal::store)?;
        let checkpoint = self.ledger.checkpoint(&head).map_err(|e| refusal::signer(&e))?;
        Ok(checkpoint.note().to_owned())
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
