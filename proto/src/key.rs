//! Public keys that a certificate or a session may be for.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use data_encoding::{BASE64, BASE64_NOPAD};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, PublicKey};

/// A key of an allowed kind and strength, in canonical encoding: Ed25519, ECDSA P-256/384/521, their FIDO
/// forms, RSA of at least 3072 bits. Never DSA, never a certificate in place of a key (DESIGN 4), never an Ed25519 key of
/// small order, for which anybody can sign (RFC 8032 does not rule these out).
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
    /// Where it is Ed25519: the point, decoded.
    point: Option<VerifyingKey>,
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
    /// Ed25519 of small order.
    #[error("is an Ed25519 key that everybody can sign for: make one with ssh-keygen -t ed25519")]
    SmallOrder,
}

/// The longest accepted public key line, in bytes (RSA-16384 is below 3 KiB).
const MAX_LINE: usize = 4096;

impl UserKey {
    /// Checks kind, strength and encoding.
    ///
    /// # Errors
    /// Says what is wrong with the key.
    pub fn new(key: &PublicKey) -> Result<Self, KeyError> {
        Self::check(key)?;
        let point = key.key_data().ed25519().map(|key| decode(&key.0)).transpose()?;
        if let KeyData::SkEd25519(sk) = key.key_data() {
            decode(&sk.public_key().0)?;
        }
        let key = PublicKey::from(key.key_data().clone());
        let blob = key.to_bytes().map_err(|_| KeyError::Malformed)?;
        let line = alloc::format!("{} {}", key.algorithm().as_str(), BASE64.encode(&blob));
        Ok(Self(Arc::new(Encoded { key, blob, line, point })))
    }

    /// Checks kind and strength alone, of a key that was read from bytes; not the point that an Ed25519 key is.
    ///
    /// # Errors
    /// Says what is wrong with the key.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "KeyData is non-exhaustive; what is not listed is refused"
    )]
    pub fn check(key: &PublicKey) -> Result<(), KeyError> {
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
        Ok(())
    }

    /// The point of an Ed25519 key; none of other kinds, FIDO's among them.
    #[must_use]
    pub fn ed25519(&self) -> Option<&VerifyingKey> {
        self.0.point.as_ref()
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

/// The point that an Ed25519 key is (RFC 8032, 5.1.3), of large order.
fn decode(key: &[u8; 32]) -> Result<VerifyingKey, KeyError> {
    let point = VerifyingKey::from_bytes(key).map_err(|_| KeyError::Malformed)?;
    if point.is_weak() { Err(KeyError::SmallOrder) } else { Ok(point) }
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

    use data_encoding::HEXLOWER;
    use signature::Verifier;
    use ssh_key::public::{Ed25519PublicKey, SkEd25519};

    use super::*;

    /// The base point (RFC 8032, 5.1): its y is 4/5.
    const BASE: &str = "5866666666666666666666666666666666666666666666666666666666666666";

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

    /// Every point of small order (RFC 7748, 7; RFC 8032, 5.1.3), two of them in encodings that are not canonical too.
    const SMALL: [&str; 10] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];

    #[test]
    fn a_key_that_everybody_can_sign_for_is_refused() {
        for point in SMALL {
            let key = Ed25519PublicKey(HEXLOWER.decode(point.as_bytes()).unwrap().try_into().unwrap());
            let plain = KeyData::from(key);
            assert_eq!(UserKey::new(&plain.into()).unwrap_err(), KeyError::SmallOrder, "{point}");
            let fido = KeyData::from(SkEd25519::new(key, "ssh:"));
            assert_eq!(UserKey::new(&fido.into()).unwrap_err(), KeyError::SmallOrder, "{point}");
        }
        // What they are refused for: with the first, a multiple of the base point and its number sign anything.
        let weak =
            VerifyingKey::from_bytes(&HEXLOWER.decode(SMALL[0].as_bytes()).unwrap().try_into().unwrap());
        let mut forged = [0; 64];
        forged[..32].copy_from_slice(&HEXLOWER.decode(BASE.as_bytes()).unwrap());
        forged[32] = 1;
        for message in ["one", "another"] {
            weak.as_ref().unwrap().verify(message.as_bytes(), &forged.into()).unwrap();
        }
    }

    #[test]
    fn bytes_that_are_no_point_are_no_key() {
        let key = KeyData::from(Ed25519PublicKey([2; 32]));
        assert_eq!(UserKey::new(&key.into()).unwrap_err(), KeyError::Malformed);
    }
}
