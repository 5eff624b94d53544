//! The key that signs checkpoints, as a verifier knows it: from the trust bundle, never from a checkpoint.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use data_encoding::BASE64;
use signed_note::{StandardVerifier, Verifier};
use ssh_key::public::KeyData;

use crate::{CaId, UserKey};

/// The type of an Ed25519 signature in a signed note (C2SP signed-note, "Signature types").
pub(super) const ED25519: u8 = 0x01;

/// The ledger key of one CA.
#[derive(Clone)]
pub struct LogKey {
    vkey: String,
    verifier: StandardVerifier,
}

/// Why a line is not a ledger key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an Ed25519 public key in OpenSSH's form")]
pub struct LogKeyError;

impl LogKey {
    /// From the CA's id and the `ledger_key` of its pinned trust bundle, an OpenSSH public key line.
    ///
    /// # Errors
    /// When it is not an Ed25519 key.
    pub fn new(ca: &CaId, ledger_key: &str) -> Result<Self, LogKeyError> {
        let key: UserKey = ledger_key.parse().map_err(|_| LogKeyError)?;
        let KeyData::Ed25519(key) = key.key_data() else { return Err(LogKeyError) };
        let mut encoded = Vec::from([ED25519]);
        encoded.extend_from_slice(&key.0);
        let name = super::origin(ca);
        let id = signed_note::key_id(&name, &encoded);
        let vkey = alloc::format!("{name}+{id:08x}+{}", BASE64.encode_display(&encoded));
        let verifier = StandardVerifier::new(&vkey).map_err(|_| LogKeyError)?;
        Ok(Self { vkey, verifier })
    }

    /// The log's origin, which is the key's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.verifier.name()
    }

    /// The key as C2SP tools take it (a "vkey"): `NAME+ID+BASE64`.
    #[must_use]
    pub fn vkey(&self) -> &str {
        &self.vkey
    }

    /// The key's id in signature lines.
    pub(super) fn id(&self) -> u32 {
        self.verifier.key_id()
    }

    /// Whether this is a signature of the key over this text.
    pub(super) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        self.verifier.verify(text, signature)
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogKey").field(&self.vkey.to_owned()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{CA, key};
    use alloc::string::ToString;
    use ssh_key::private::{EcdsaKeypair, KeypairData};
    use ssh_key::{EcdsaCurve, PrivateKey};

    #[test]
    fn the_vkey_is_the_one_that_c2sp_tools_compute() {
        let line = key(4).public_key().to_openssh().unwrap();
        let ours = LogKey::new(&CA, &line).unwrap();
        assert_eq!(ours.origin(), alloc::format!("jit-ssh/{CA}"));
        let dalek = ed25519_dalek::SigningKey::from_bytes(&[4; 32]).verifying_key();
        assert_eq!(ours.vkey(), signed_note::new_ed25519_verifier_key(ours.origin(), &dalek));
        // A comment is no part of a key.
        assert_eq!(LogKey::new(&CA, &(line + " ledger")).unwrap().vkey(), ours.vkey());
    }

    #[test]
    fn keys_that_cannot_be_a_ledgers() {
        let line = key(4).public_key().to_openssh().unwrap();
        let p256 = EcdsaKeypair::random(&mut rand::rngs::OsRng, EcdsaCurve::NistP256).unwrap();
        let p256 = PrivateKey::new(KeypairData::Ecdsa(p256), "").unwrap().public_key().to_openssh().unwrap();
        for bad in
            ["", "x", &line[..40], &line.replace("ssh-ed25519", "ssh-rsa"), &(line.to_string() + "\n"), &p256]
        {
            assert!(LogKey::new(&CA, bad).is_err(), "{bad}");
        }
    }
}
