//! The ledger key: it signs checkpoints and nothing else (invariant 8).

use std::sync::{Mutex, PoisonError};

use ed25519_dalek::SigningKey;
use jit_ssh_proto::CaId;
use jit_ssh_proto::log::{Checkpoint, LogKey};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{Algorithm, PrivateKey, PublicKey, Signature};

use super::SignerError;
use crate::store::TreeHead;

/// Signs checkpoints with a key in memory, which is wiped when dropped.
pub struct LedgerSigner {
    key: LogKey,
    public: PublicKey,
    secret: Secret,
    /// The last one: everybody who was in one transaction gets the same.
    last: Mutex<Option<Checkpoint>>,
}

/// Expanded once: ssh-key would derive the public half anew for each signature.
struct Secret(SigningKey);

impl signature::Signer<Signature> for Secret {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        let signed = signature::Signer::<ed25519_dalek::Signature>::try_sign(&self.0, message)?;
        Signature::new(Algorithm::Ed25519, signed.to_bytes()).map_err(|_| signature::Error::new())
    }
}

impl From<&Secret> for KeyData {
    fn from(secret: &Secret) -> Self {
        Self::Ed25519(Ed25519PublicKey(secret.0.verifying_key().to_bytes()))
    }
}

impl LedgerSigner {
    /// The ledger key of this CA. None unless it is Ed25519, which C2SP checkpoints demand.
    pub(super) fn new(ca: &CaId, key: &PrivateKey) -> Option<Self> {
        let public = PublicKey::from(key.public_key().key_data().clone());
        let secret = Secret(key.key_data().ed25519().and_then(|pair| SigningKey::try_from(pair).ok())?);
        let key = LogKey::new(ca, &public.to_openssh().ok()?).ok()?;
        Some(Self { key, public, secret, last: Mutex::new(None) })
    }

    /// Its public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// What its checkpoints are verified with.
    #[must_use]
    pub fn log_key(&self) -> &LogKey {
        &self.key
    }

    /// The checkpoint of a tree whose leaves are durable.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn checkpoint(&self, head: &TreeHead) -> Result<Checkpoint, SignerError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref() {
            Some(checkpoint) if checkpoint.size() == head.size && *checkpoint.root() == head.root => {
                Ok(checkpoint.clone())
            }
            Some(_) | None => {
                let signed = Checkpoint::sign(&self.key, head.size, &head.root, &self.secret);
                let signed = signed.map_err(|e| SignerError(e.to_string()))?;
                *last = Some(signed.clone());
                Ok(signed)
            }
        }
    }
}
