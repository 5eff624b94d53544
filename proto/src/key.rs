//! Public keys that a certificate or a session may be for.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use data_encoding::{BASE64, BASE64_NOPAD};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, PublicKey};

/// A key of an allowed kind and strength, in canonical encoding: Ed25519, ECDSA P-256/384/521, their FIDO
/// forms, RSA of at least 3072 bits. Never DSA, never a certificate in place of a key (DESIGN 4).
///
/// Cheap to clone, and its encodings are made once: a key is written into many places and never changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct UserKey(Arc<Encoded>);

/// A key and how it is written.
#[derive(Debug)]
struct Encoded {
    key: PublicKey,
    /// RFC 4253, 6.6.
    blob: Vec<u8>,
    /// The line of a `.pub` file, without a comment.
    line: String,
}

/// Why a string is not a [`UserKey`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not an OpenSSH public key line, or not in its canonical encoding.
    #[error("is not an OpenSSH public key: give one line as in a .pub file")]
    Malformed,
    /// A certificate was given.
    #[error("is a certificate: give the plain public key")]
    Certificate,
    /// An algorithm that is not allowed.
    #[error(
        "is of a kind that is not accepted: use ed25519, ecdsa, their sk- forms, or rsa of at least 3072 bits"
    )]
    Algorithm,
    /// RSA of fewer than 3072 bits.
    #[error("is RSA of {0} bits: at least 3072 are needed, or use ed25519")]
    TooWeak(usize),
}

/// The longest accepted public key line, in bytes (RSA-16384 is below 3 KiB).
const MAX_LINE: usize = 4096;

impl UserKey {
    /// Checks kind, strength and encoding.
    ///
    /// # Errors
    /// Says what is wrong with the key.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "KeyData is non-exhaustive; what is not listed is refused"
    )]
    pub fn new(key: &PublicKey) -> Result<Self, KeyError> {
        match key.key_data() {
            KeyData::Ed25519(_) | KeyData::Ecdsa(_) => {}
            KeyData::SkEd25519(sk) if sk.application().starts_with("ssh:") => {}
            KeyData::SkEcdsaSha2NistP256(sk) if sk.application().starts_with("ssh:") => {}
            KeyData::Rsa(rsa) => {
                let modulus = rsa.n.as_positive_bytes().ok_or(KeyError::Malformed)?;
                let first = modulus.iter().position(|b| *b != 0).unwrap_or(modulus.len());
                let significant = modulus.get(first..).unwrap_or_default();
                let top = significant.first().map_or(0, |b| usize::try_from(b.leading_zeros()).unwrap_or(8));
                let bits = significant.len().saturating_mul(8).saturating_sub(top);
                if bits < 3072 {
                    return Err(KeyError::TooWeak(bits));
                }
                let exponent = rsa.e.as_positive_bytes().ok_or(KeyError::Malformed)?;
                if exponent.len() > 8
                    || exponent.last().is_none_or(|b| b & 1 == 0)
                    || exponent <= [1_u8].as_slice()
                {
                    return Err(KeyError::Malformed);
                }
            }
            _ => return Err(KeyError::Algorithm),
        }
        let key = PublicKey::from(key.key_data().clone());
        let blob = key.to_bytes().map_err(|_| KeyError::Malformed)?;
        let line = alloc::format!("{} {}", key.algorithm().as_str(), BASE64.encode(&blob));
        Ok(Self(Arc::new(Encoded { key, blob, line })))
    }

    /// The key, without a comment.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.0.key
    }

    /// The key's data.
    #[must_use]
    pub fn key_data(&self) -> &KeyData {
        self.0.key.key_data()
    }

    /// The wire encoding of the key (RFC 4253, 6.6): what certificates, nonces and signatures are over.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.0.blob
    }

    /// `SHA256:…`, as ssh-keygen prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        alloc::format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(&self.0.blob)))
    }

    /// Whether the private half is in a FIDO token.
    #[must_use]
    pub fn is_fido(&self) -> bool {
        matches!(self.key_data(), KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_))
    }

    /// The algorithm's SSH name, such as `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.key.algorithm()
    }
}

impl FromStr for UserKey {
    type Err = KeyError;

    fn from_str(line: &str) -> Result<Self, KeyError> {
        if line.len() > MAX_LINE || line.contains(['\n', '\r', '\0']) {
            return Err(KeyError::Malformed);
        }
        let mut words = line.split(' ');
        let (algorithm, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if algorithm.contains("-cert-v0") {
            return Err(KeyError::Certificate);
        }
        let bytes = BASE64.decode(blob.as_bytes()).map_err(|_| KeyError::Malformed)?;
        let key = match PublicKey::from_bytes(&bytes) {
            Ok(key) => key,
            // A certificate's blob under a plain key's name.
            Err(_) if bytes.windows(8).take(64).any(|w| w == b"-cert-v0") => {
                return Err(KeyError::Certificate);
            }
            Err(_) => return Err(KeyError::Malformed),
        };
        let key = Self::new(&key)?;
        if key.algorithm().as_str() != algorithm || key.blob() != bytes {
            return Err(KeyError::Malformed);
        }
        Ok(key)
    }
}

impl TryFrom<String> for UserKey {
    type Error = KeyError;

    fn try_from(line: String) -> Result<Self, KeyError> {
        line.parse()
    }
}

impl From<UserKey> for String {
    fn from(key: UserKey) -> Self {
        key.0.line.clone()
    }
}

impl PartialEq for UserKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.blob == other.0.blob
    }
}

impl Eq for UserKey {}

impl Serialize for UserKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.line)
    }
}

impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.line.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// One of each kind, from ssh-keygen.
    const LINES: [&str; 3] = [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB2phQr2MUYVQCpR2ZCnL9q3nBcP6nHSVpSWP0HcL1Jm",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5tKfA+eFivOM1drMV7Oy7ZAaDe/UfUU=",
        "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIB2phQr2MUYVQCpR2ZCnL9q3nBcP6nHSVpSWP0HcL1JmAAAABHNzaDo=",
    ];

    #[test]
    fn what_is_written_once_is_what_the_library_writes() {
        for line in LINES {
            let key: UserKey = alloc::format!("{line} a comment").parse().unwrap();
            assert_eq!(key.to_string(), line);
            assert_eq!(serde_json::to_value(&key).unwrap(), line);
            assert_eq!(key.public_key().to_openssh().unwrap(), line);
            assert_eq!(key.blob(), key.public_key().to_bytes().unwrap());
            let fingerprint = key.public_key().fingerprint(ssh_key::HashAlg::Sha256);
            assert_eq!(key.fingerprint(), fingerprint.to_string());
            assert_eq!(serde_json::from_value::<UserKey>(line.into()).unwrap(), key);
        }
    }
}
