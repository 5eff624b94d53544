//! SSHSIG envelopes (OpenSSH `PROTOCOL.sshsig`): signatures that say what they are for.

use alloc::vec::Vec;

use signature::Verifier;
use ssh_encoding::{Decode, Encode};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey, Signature, SigningKey, SshSig};

/// What a signature is for. A signature under one namespace never verifies under another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// An API call, by the session key.
    Request,
    /// An approval of one exact request, by the approver's session key.
    Approval,
    /// Proof that the caller holds the key that a certificate is asked for, by that key.
    Possession,
    /// The trust bundle and revocation lists, by the trust key.
    Trust,
}

impl Namespace {
    /// The namespace string in the envelope.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request@jit-ssh",
            Self::Approval => "approval@jit-ssh",
            Self::Possession => "possession@jit-ssh",
            Self::Trust => "trust@jit-ssh",
        }
    }
}

/// Why an envelope is refused. Deliberately coarse: the caller learns that it does not verify.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshSigError {
    /// Not an SSHSIG blob.
    #[error("is not an SSHSIG signature")]
    Malformed,
    /// A good signature by another key, for another purpose, or a bad one.
    #[error("does not verify")]
    Invalid,
    /// A FIDO signature without the user's touch.
    #[error("was made without a touch of the security key")]
    NoTouch,
}

/// Signs `message` and returns the binary envelope.
///
/// # Errors
/// [`SshSigError::Invalid`] when the key cannot sign.
pub fn sign(key: &impl SigningKey, namespace: Namespace, message: &[u8]) -> Result<Vec<u8>, SshSigError> {
    let sig =
        SshSig::sign(key, namespace.as_str(), HashAlg::Sha512, message).map_err(|_| SshSigError::Invalid)?;
    let mut envelope = Vec::new();
    sig.encode(&mut envelope).map_err(|_| SshSigError::Invalid)?;
    Ok(envelope)
}

/// Verifies that `envelope` is `key`'s signature over `message` for this purpose.
///
/// # Errors
/// Whatever is not exactly that.
pub fn verify(
    key: &PublicKey,
    namespace: Namespace,
    message: &[u8],
    envelope: &[u8],
) -> Result<(), SshSigError> {
    let (signed, signature) = open(key, namespace, message, envelope)?;
    key.key_data().verify(&signed, &signature).map_err(|_| SshSigError::Invalid)
}

/// Everything of [`verify`] but the arithmetic: the bytes that the envelope's signature must be over, and that
/// signature, which is still to be verified.
///
/// # Errors
/// Whatever cannot be `key`'s signature over `message` for this purpose.
pub fn open(
    key: &PublicKey,
    namespace: Namespace,
    message: &[u8],
    envelope: &[u8],
) -> Result<(Vec<u8>, Signature), SshSigError> {
    let mut rest = envelope;
    let sig = SshSig::decode(&mut rest).map_err(|_| SshSigError::Malformed)?;
    if !rest.is_empty() || !sig.reserved().is_empty() || sig.version() != SshSig::VERSION {
        return Err(SshSigError::Malformed);
    }
    if sig.public_key() != key.key_data() || sig.namespace() != namespace.as_str() {
        return Err(SshSigError::Invalid);
    }
    // PROTOCOL.u2f: one byte of flags and four of counter end the signature; ssh-key does not look at them.
    if matches!(key.key_data(), KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_)) {
        let bytes = sig.signature_bytes();
        let flags = bytes.len().checked_sub(5).and_then(|at| bytes.get(at)).copied().unwrap_or(0);
        if flags & 1 == 0 {
            return Err(SshSigError::NoTouch);
        }
    }
    let signed = SshSig::signed_data(namespace.as_str(), sig.hash_alg(), message);
    Ok((signed.map_err(|_| SshSigError::Invalid)?, sig.signature().clone()))
}
