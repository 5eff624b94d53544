//! A checkpoint that was signed just now, for a signer that proves many signatures at once.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use signed_note::Note;
use ssh_key::{Signature, SigningKey};

use super::{Checkpoint, CheckpointError, Hash, LogKey};

/// What the ledger key is said to have signed. It is a checkpoint once [the signature holds](Self::finish).
#[derive(Clone, Debug)]
pub struct UnprovenCheckpoint {
    text: Vec<u8>,
    signature: Signature,
    note: String,
}

impl UnprovenCheckpoint {
    /// Signs size and root.
    ///
    /// # Errors
    /// When the signer cannot sign, or the values cannot be written.
    pub fn sign(
        key: &LogKey,
        size: u64,
        root: &Hash,
        signer: &impl SigningKey,
    ) -> Result<Self, CheckpointError> {
        let body = tlog_tiles::Checkpoint::new(key.origin(), size, tlog_tiles::Hash(*root), "")
            .map_err(|_| CheckpointError::Malformed)?;
        let text = body.to_bytes();
        let signature = signer.try_sign(&text).map_err(|_| CheckpointError::Unsigned)?;
        let bytes = signature.as_bytes().to_vec();
        let line = signed_note::Signature::new(key.origin().to_owned(), key.id(), bytes)
            .map_err(|_| CheckpointError::Malformed)?;
        let note = Note::new(&text, &[line]).map_err(|_| CheckpointError::Malformed)?;
        let note = String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Malformed)?;
        Ok(Self { text, signature, note })
    }

    /// The bytes that were signed.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The signature over them.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Reads the note back, as everybody does who gets it. `holds` is asked once, whether these bytes are the ledger key's
    /// signature over this text.
    ///
    /// # Errors
    /// As [`Checkpoint::verify`].
    pub fn finish(
        self,
        key: &LogKey,
        holds: impl FnOnce(&[u8], &[u8]) -> bool,
    ) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::read(key, &self.note, holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{key, log_key};

    #[test]
    fn it_is_a_checkpoint_once_the_signature_holds() {
        let made = UnprovenCheckpoint::sign(&log_key(), 5, &[1; 32], &key(4)).unwrap();
        let (text, signature) = (made.text().to_vec(), made.signature().as_bytes().to_vec());
        let finished = made.clone().finish(&log_key(), |of, by| of == text && by == signature).unwrap();
        assert_eq!(finished, Checkpoint::verify(&log_key(), finished.note()).unwrap());
        assert_eq!((finished.size(), finished.root()), (5, &[1; 32]));
        assert_eq!(made.finish(&log_key(), |_, _| false), Err(CheckpointError::Signature));
    }
}
