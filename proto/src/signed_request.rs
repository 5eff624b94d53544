//! What a caller signs: API calls by the session key, and possession of a certificate's key (DESIGN 9).

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use ssh_encoding::Encode;
use ssh_key::{PublicKey, Signature, SigningKey};

use crate::{CaId, Namespace, SessionId, SshSigError, Timestamp, UserKey, sshsig};

/// The HTTP header that carries a [`RequestSignature`].
pub const SIGNATURE_HEADER: &str = "Jit-Ssh-Signature";

/// A signed request is taken if its time is at most this far from the CA's, in either direction.
pub const MAX_CLOCK_SKEW_SECONDS: u64 = 60;

/// The parts of an API call that its signature covers, length-prefixed as SSH strings (RFC 4251, 5).
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The CA that is called.
    pub ca: &'a CaId,
    /// The HTTP method, in capitals.
    pub method: &'a str,
    /// The path with its query, as sent.
    pub path: &'a str,
    /// The session; none for `POST /v1/sessions`.
    pub session: Option<&'a SessionId>,
    /// The body, as sent.
    pub body: &'a [u8],
}

impl SignedRequest<'_> {
    fn message(&self, time: Timestamp, id: &str) -> Vec<u8> {
        let session = self.session.map_or_else(String::new, |s| alloc::format!("{s}"));
        let digest = Sha256::digest(self.body);
        frame(&[
            b"jit-ssh-request-v1",
            self.ca.as_bytes(),
            self.method.as_bytes(),
            self.path.as_bytes(),
            session.as_bytes(),
            digest.as_slice(),
            &time.seconds().to_be_bytes(),
            id.as_bytes(),
        ])
    }

    /// Signs the call at `time` under a fresh `id` (16 random bytes).
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(
        &self,
        key: &impl SigningKey,
        time: Timestamp,
        id: [u8; 16],
    ) -> Result<RequestSignature, SshSigError> {
        let id = BASE64URL_NOPAD.encode(&id);
        let envelope = sshsig::sign(key, Namespace::Request, &self.message(time, &id))?;
        Ok(RequestSignature { time, id, envelope })
    }

    /// Verifies that `signature` is by `key` over this call. Time and single use are the caller's to check.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(&self, key: &PublicKey, signature: &RequestSignature) -> Result<(), SshSigError> {
        let message = self.message(signature.time, &signature.id);
        sshsig::verify(key, Namespace::Request, &message, &signature.envelope)
    }

    /// Everything of [`SignedRequest::verify`] but the arithmetic, as [`sshsig::open`] has it.
    ///
    /// # Errors
    /// When `signature` cannot be by `key` over this call.
    pub fn open(
        &self,
        key: &PublicKey,
        signature: &RequestSignature,
    ) -> Result<(Vec<u8>, Signature), SshSigError> {
        let message = self.message(signature.time, &signature.id);
        sshsig::open(key, Namespace::Request, &message, &signature.envelope)
    }
}

/// The value of the `Jit-Ssh-Signature` header: `v1.TIME.ID.ENVELOPE`, TIME in seconds since the epoch, ID and
/// ENVELOPE (a binary SSHSIG) in unpadded base64url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSignature {
    time: Timestamp,
    id: String,
    envelope: Vec<u8>,
}

impl RequestSignature {
    /// When the caller says it signed.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The call's unique id: 22 characters, good for one call.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Why a header is not a [`RequestSignature`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not of the form v1.TIME.ID.SIGNATURE")]
pub struct SignatureHeaderError;

impl FromStr for RequestSignature {
    type Err = SignatureHeaderError;

    fn from_str(text: &str) -> Result<Self, SignatureHeaderError> {
        let mut parts = text.split('.');
        let (Some("v1"), Some(time), Some(id), Some(envelope), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SignatureHeaderError);
        };
        let seconds: u64 = time.parse().map_err(|_| SignatureHeaderError)?;
        let id_bytes = BASE64URL_NOPAD.decode(id.as_bytes()).map_err(|_| SignatureHeaderError)?;
        if id_bytes.len() != 16 || time.len() > 19 || alloc::format!("{seconds}") != time {
            return Err(SignatureHeaderError);
        }
        let envelope = BASE64URL_NOPAD.decode(envelope.as_bytes()).map_err(|_| SignatureHeaderError)?;
        Ok(Self { time: Timestamp::from_seconds(seconds), id: id.to_owned(), envelope })
    }
}

impl fmt::Display for RequestSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1.{}.{}.{}", self.time, self.id, BASE64URL_NOPAD.encode_display(&self.envelope))
    }
}

/// What the certificate's key signs (namespace `possession@jit-ssh`) to show that the caller holds it: the
/// CA, the caller's session key and the id of the one call that carries it.
#[must_use]
pub fn possession_message(
    ca: &CaId,
    session_key: &UserKey,
    call_id: &str,
    certificate_key: &UserKey,
) -> Vec<u8> {
    frame(&[
        b"jit-ssh-possession-v1",
        ca.as_bytes(),
        session_key.blob(),
        call_id.as_bytes(),
        certificate_key.blob(),
    ])
}

fn frame(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len().saturating_add(4)).sum());
    for part in parts {
        // Into memory, and far below 4 GiB: encoding cannot fail; an empty message would verify nothing.
        if part.encode(&mut out).is_err() {
            return Vec::new();
        }
    }
    out
}
