//! The CA's ledger as this machine has seen it. What was shown once must stay: every checkpoint is remembered until a
//! later one has been proven to go on from it, and what contradicts itself is kept as evidence.

mod entries;
mod memory;
mod proving;
mod tiles;

pub(crate) use entries::{hold_all, hold_told, keep};
pub(crate) use memory::Memory;
pub(crate) use proving::{Proven, prove, recompute};
pub(crate) use tiles::LogTiles;

use jit_ssh_proto::log::{Checkpoint, CheckpointError, LogKey, ReceiptError};
use jit_ssh_proto::wire::Issued;
use ssh_key::Certificate;

use crate::client::Client;
use crate::config::Config;
use crate::error::{Error, Result};

/// With more checkpoints than this that were shown and not yet proven to be of one history, no certificate is taken
/// before they are.
const MOST_UNPROVEN: usize = 64;

/// The ledger key of the pinned CA.
pub(crate) fn key(config: &Config) -> Result<LogKey> {
    LogKey::new(&config.pin.ca_id, &config.bundle.ledger_key).map_err(|e| {
        Error::Untrusted(format!("the ledger key in the CA's trust bundle {e}: tell its operator"))
    })
}

/// Why a certificate is not shown to be in the ledger.
#[derive(Debug, thiserror::Error)]
enum Unproven {
    /// There is nothing that would show it.
    #[error("it came without a receipt")]
    NoReceipt,
    /// What is there does not show it.
    #[error("{0}")]
    Receipt(#[from] ReceiptError),
}

/// Takes a certificate only with the proof that the CA's ledger holds it, and remembers the ledger that proves it.
pub(crate) fn accept(client: &mut Client, issued: &Issued, certificate: &Certificate) -> Result<()> {
    let mut verified = verify(&key(&client.config)?, issued, certificate);
    if matches!(verified, Err(Unproven::Receipt(ReceiptError::Checkpoint(CheckpointError::Unsigned)))) {
        // The ledger key may have been replaced since the bundle was fetched.
        client.refresh_bundle()?;
        verified = verify(&key(&client.config)?, issued, certificate);
    }
    let memory = Memory::open(&client.paths, &client.config)?;
    let checkpoint = match verified {
        Ok(checkpoint) => checkpoint,
        Err(why) => return Err(refuse(client, &memory, issued, &why)?),
    };
    if memory.remember(&checkpoint)? > MOST_UNPROVEN {
        prove(client, &memory)?;
    }
    Ok(())
}

fn verify(
    key: &LogKey,
    issued: &Issued,
    certificate: &Certificate,
) -> std::result::Result<Checkpoint, Unproven> {
    let receipt = issued.receipt.as_ref().ok_or(Unproven::NoReceipt)?;
    Ok(receipt.verify(key, issued.leaf_index, certificate)?)
}

/// Keeps the answer as evidence, and says so.
fn refuse(client: &Client, memory: &Memory, issued: &Issued, why: &Unproven) -> Result<Error> {
    let answer = serde_json::to_vec_pretty(issued)
        .map_err(|e| Error::Local(format!("cannot write the CA's answer: {e}")))?;
    let name = format!("refused-{}-{}.json", client.now(), issued.serial);
    let file = memory.keep_evidence(&name, &answer)?;
    Ok(Error::Untrusted(format!(
        "the CA did not prove that its ledger holds the certificate that it sent: {why}. The certificate was thrown \
         away, and the answer is kept as {}: the CA may be issuing certificates unseen, so give that file to whoever \
         audits it",
        file.display()
    )))
}
