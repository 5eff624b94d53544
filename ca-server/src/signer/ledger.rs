//! The ledger key: it signs checkpoints and nothing else (invariant 8).

use ed25519_dalek::SigningKey;
use jit_ssh_core::proof::{Claim, Proven};
use jit_ssh_proto::log::{Checkpoint, CheckpointError, LogKey, UnprovenCheckpoint};
use jit_ssh_proto::{CaId, UserKey};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{Algorithm, PrivateKey, PublicKey, Signature};

use super::SignerError;
use crate::store::TreeHead;

/// Signs checkpoints with a key in memory, which is wiped when dropped.
pub struct LedgerSigner {
    key: LogKey,
    public: UserKey,
    secret: Secret,
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
        let public = UserKey::new(&PublicKey::from(key.public_key().key_data().clone())).ok()?;
        let secret = Secret(key.key_data().ed25519().and_then(|pair| SigningKey::try_from(pair).ok())?);
        let key = LogKey::new(ca, &public.public_key().to_openssh().ok()?).ok()?;
        Some(Self { key, public, secret })
    }

    /// Its public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.public.public_key()
    }

    /// What its checkpoints are verified with.
    #[must_use]
    pub fn log_key(&self) -> &LogKey {
        &self.key
    }

    /// The checkpoint of a tree whose leaves are durable, verified by itself.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn checkpoint(&self, head: &TreeHead) -> Result<Checkpoint, SignerError> {
        Checkpoint::sign(&self.key, head.size, &head.root, &self.secret).map_err(failed)
    }

    /// The same, to be proven with other signatures.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, head: &TreeHead) -> Result<(UnprovenCheckpoint, Claim), SignerError> {
        let unproven =
            UnprovenCheckpoint::sign(&self.key, head.size, &head.root, &self.secret).map_err(failed)?;
        let claim = Claim::new(self.public.clone(), unproven.text().to_vec(), unproven.signature().clone());
        Ok((unproven, claim))
    }

    /// The checkpoint that was signed, if this is the proof of it.
    ///
    /// # Errors
    /// When it is not.
    pub fn finish(&self, unproven: UnprovenCheckpoint, proven: &Proven) -> Result<Checkpoint, SignerError> {
        let holds = |text: &[u8], signature: &[u8]| {
            proven.is(&self.public, text) && proven.signature().as_bytes() == signature
        };
        unproven.finish(&self.key, holds).map_err(failed)
    }
}

fn failed(why: CheckpointError) -> SignerError {
    SignerError(why.to_string())
}

#[cfg(test)]
mod tests {
    use jit_ssh_core::proof::prove_one;
    use ssh_key::private::Ed25519Keypair;

    use super::*;

    #[test]
    fn only_the_proof_of_a_checkpoint_finishes_it() {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
        let signer = LedgerSigner::new(&CaId::from_bytes([1; 32]), &key).unwrap();
        let (head, other) = (TreeHead { size: 5, root: [1; 32] }, TreeHead { size: 5, root: [2; 32] });
        let (unproven, claim) = signer.sign(&head).unwrap();
        let (_, elsewhere) = signer.sign(&other).unwrap();
        let proven = prove_one(claim).unwrap();
        assert!(signer.finish(unproven.clone(), &prove_one(elsewhere).unwrap()).is_err());
        assert_eq!(signer.finish(unproven, &proven).unwrap(), signer.checkpoint(&head).unwrap());
    }
}
