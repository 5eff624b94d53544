//! A signer whose key is an encrypted file in `keys/`, held in memory while the CA runs.

use ed25519_dalek::SigningKey;
use jit_ssh_core::authority::Authority;
use jit_ssh_core::cert::Prepared;
use ssh_key::{Algorithm, PrivateKey, Signature};

use super::{Signer, SignerError, Signing};

/// Signs with a key in memory, which is wiped when dropped.
pub struct FileSigner {
    authority: Authority,
    key: Key,
}

/// A key, ready to sign.
enum Key {
    /// Expanded once: ssh-key would derive the public half anew for each signature.
    Ed25519(SigningKey),
    Other(PrivateKey),
}

impl FileSigner {
    pub(super) fn new(authority: Authority, key: PrivateKey) -> Self {
        let expanded = key.key_data().ed25519().and_then(|pair| SigningKey::try_from(pair).ok());
        Self { authority, key: expanded.map_or(Key::Other(key), Key::Ed25519) }
    }

    fn sign_now(&self, prepared: &Prepared) -> Result<Signature, SignerError> {
        let failed = |e: &dyn std::fmt::Display| SignerError(e.to_string());
        match &self.key {
            Key::Ed25519(key) => {
                let signature = signature::Signer::try_sign(key, prepared.tbs()).map_err(|e| failed(&e))?;
                Signature::new(Algorithm::Ed25519, signature.to_bytes()).map_err(|e| failed(&e))
            }
            Key::Other(key) => signature::Signer::try_sign(key, prepared.tbs()).map_err(|e| failed(&e)),
        }
    }
}

impl Signer for FileSigner {
    fn authority(&self) -> &Authority {
        &self.authority
    }

    fn sign<'a>(&'a self, prepared: &'a Prepared) -> Signing<'a> {
        let signed = self.sign_now(prepared);
        Box::pin(async move { signed })
    }
}
