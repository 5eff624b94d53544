//! What makes a certificate believable to the one it was issued to: its own event, with its salt, is in the tree of a
//! checkpoint that the ledger key signed, and says of the certificate what the certificate says.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use sha2::{Digest, Sha256};
use ssh_encoding::Encode;
use ssh_key::Certificate;
use ssh_key::certificate::CertType;

use super::{Checkpoint, CheckpointError, InclusionError, LogKey, check_inclusion, decode_proof};
use crate::event::{CertificateIssued, EVENT_VERSION, Event, What};
use crate::wire::Receipt;
use crate::{Salt, UserKey};

/// No event of a certificate is longer, in bytes.
const MAX_EVENT: usize = 128 * 1024;

/// Why a receipt does not show that a certificate is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The checkpoint is none of this ledger.
    #[error("its checkpoint {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Not a salt.
    #[error("its salt is not 32 bytes in unpadded base64url")]
    Salt,
    /// The tree does not have the event.
    #[error("its proof {0}")]
    Inclusion(#[from] InclusionError),
    /// Not an event, or not in its canonical form.
    #[error("its event is not one of version {EVENT_VERSION} in its canonical form")]
    Event,
    /// An event of another kind.
    #[error("its event is {0}, not certificate.issued")]
    Kind(&'static str),
    /// The event says something else than the certificate.
    #[error("the recorded {0} is not the certificate's")]
    Field(&'static str),
}

impl Receipt {
    /// Checks that the ledger holds this certificate's event at `leaf_index`, and that the event is truthful about it:
    /// every field, not only the digest, because whoever audits the ledger reads the fields. Returns the checkpoint,
    /// to be remembered.
    ///
    /// # Errors
    /// Says what is wrong, as half a sentence about the receipt.
    pub fn verify(
        &self,
        key: &LogKey,
        leaf_index: u64,
        certificate: &Certificate,
    ) -> Result<Checkpoint, ReceiptError> {
        // 1. The ledger signed a tree…
        let checkpoint = Checkpoint::verify(key, &self.checkpoint)?;
        // 2. …which has this event…
        let salt: Salt = self.salt.parse().map_err(|_| ReceiptError::Salt)?;
        if self.event.len() > MAX_EVENT {
            return Err(ReceiptError::Event);
        }
        let leaf = Event::leaf(&salt, self.event.as_bytes());
        check_inclusion(&checkpoint, leaf_index, &leaf, &decode_proof(&self.proof)?)?;
        // 3. …which can be read in one way only…
        let event: Event = serde_json::from_str(&self.event).map_err(|_| ReceiptError::Event)?;
        let canonical = event.canonical().map_err(|_| ReceiptError::Event)?;
        if event.v != EVENT_VERSION || canonical != self.event.as_bytes() {
            return Err(ReceiptError::Event);
        }
        // 4. …and is about this certificate.
        match event.what {
            What::CertificateIssued(issued) => check_fields(&issued, certificate)?,
            other @ (What::CaInitialised(_)
            | What::PolicyLoaded(_)
            | What::SessionOpened(_)
            | What::SessionRefused(_)
            | What::SessionEnded(_)
            | What::RequestDecided(_)) => return Err(ReceiptError::Kind(other.kind())),
        }
        Ok(checkpoint)
    }
}

fn check_fields(issued: &CertificateIssued, certificate: &Certificate) -> Result<(), ReceiptError> {
    let cert_type = match certificate.cert_type() {
        CertType::User => 1,
        CertType::Host => 2,
    };
    let same_key = |key: &UserKey, data: &ssh_key::public::KeyData| key.key_data() == data;
    let options = |map: &ssh_key::certificate::OptionsMap| -> Vec<(String, String)> {
        map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    for (same, field) in [
        (issued.serial == certificate.serial(), "serial"),
        (same_key(&issued.key, certificate.public_key()), "key"),
        (same_key(&issued.authority_key, certificate.signature_key()), "authority_key"),
        (issued.cert_type == cert_type, "cert_type"),
        (issued.nonce.as_bytes() == certificate.nonce(), "nonce"),
        (issued.key_id == certificate.key_id(), "key_id"),
        (issued.principals == certificate.valid_principals(), "principals"),
        (issued.valid_after.seconds() == certificate.valid_after(), "valid_after"),
        (issued.valid_before.seconds() == certificate.valid_before(), "valid_before"),
        (issued.critical_options == options(certificate.critical_options()), "critical_options"),
        (issued.extensions == options(certificate.extensions()), "extensions"),
        (Some(&issued.tbs_sha256) == tbs_sha256(certificate).as_ref(), "tbs_sha256"),
    ] {
        if !same {
            return Err(ReceiptError::Field(field));
        }
    }
    Ok(())
}

/// SHA-256 of the to-be-signed bytes, in lower-case hex: of everything but the signature, which is the last field and
/// an SSH string (OpenSSH PROTOCOL.certkeys).
fn tbs_sha256(certificate: &Certificate) -> Option<String> {
    let bytes = certificate.to_bytes().ok()?;
    let mut signature = Vec::new();
    certificate.signature().encode_prefixed(&mut signature).ok()?;
    let tbs = bytes.strip_suffix(signature.as_slice())?;
    Some(data_encoding::HEXLOWER.encode(&Sha256::digest(tbs)).to_string())
}
