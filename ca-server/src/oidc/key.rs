//! A provider's public key: openidconnect's rules about JSON Web Keys, ring's arithmetic.
//!
//! `JsonWebKey` is openidconnect's trait, so its verifier picks the key and checks its use, type and algorithm; only
//! the verification itself is ours, because ring's is several times faster (docs/decisions).

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use openidconnect::core::{
    CoreJsonWebKeyType as KeyType, CoreJsonWebKeyUse as KeyUse, CoreJwsSigningAlgorithm as Algorithm,
};
use openidconnect::{JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyId, SignatureVerificationError};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::{Deserialize, Serialize};

/// The members of a JWK (RFC 7517, 4; RFC 7518, 6; RFC 8037, 2) that matter here.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Jwk {
    kty: KeyType,
    #[serde(rename = "use")]
    key_use: Option<KeyUse>,
    key_ops: Option<Vec<String>>,
    kid: Option<JsonWebKeyId>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// Present only in a private key.
    #[serde(skip_serializing)]
    d: Option<serde::de::IgnoredAny>,
}

#[derive(Debug)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
    /// Verifies nothing. Exists because the trait can ask for a key made of a shared secret.
    Nothing,
}

#[derive(Debug)]
struct Inner {
    jwk: Jwk,
    algorithm: Option<Algorithm>,
    material: Material,
}

/// A public key that verifies with ring. Cheap to clone.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "Jwk", into = "Jwk")]
pub(crate) struct RingKey(Arc<Inner>);

impl From<RingKey> for Jwk {
    fn from(key: RingKey) -> Self {
        key.0.jwk.clone()
    }
}

/// Why an entry of a key set is passed over.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("a private or symmetric key was published: it signs for anybody")]
    Private,
    #[error("a member of the key is missing or not canonical base64url")]
    Member,
    #[error("the key is too small, or larger than is reasonable")]
    Size,
    #[error("the curve or algorithm is not one that the CA knows")]
    Algorithm,
    #[error("the key is not for verifying signatures")]
    Use,
}

impl TryFrom<Jwk> for RingKey {
    type Error = Unusable;

    fn try_from(jwk: Jwk) -> Result<Self, Unusable> {
        if jwk.d.is_some() {
            return Err(Unusable::Private);
        }
        if jwk.key_use.as_ref().is_some_and(|key_use| *key_use != KeyUse::Signature)
            || jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
        {
            return Err(Unusable::Use);
        }
        let algorithm = match &jwk.alg {
            None => None,
            Some(name) => Some(super::token::algorithm(name).ok_or(Unusable::Algorithm)?),
        };
        let material = match (&jwk.kty, jwk.crv.as_deref()) {
            (KeyType::RSA, _) => rsa(&jwk)?,
            (KeyType::EllipticCurve, Some("P-256")) => Material::P256(point(&jwk, 32)?),
            (KeyType::EllipticCurve, Some("P-384")) => Material::P384(point(&jwk, 48)?),
            (KeyType::OctetKeyPair, Some("Ed25519")) => {
                Material::Ed25519(member(jwk.x.as_deref(), Some(32))?)
            }
            (KeyType::Symmetric, _) => return Err(Unusable::Private),
            (_, _) => return Err(Unusable::Algorithm),
        };
        Ok(Self(Arc::new(Inner { jwk, algorithm, material })))
    }
}

fn member(text: Option<&str>, length: Option<usize>) -> Result<Vec<u8>, Unusable> {
    let bytes =
        BASE64URL_NOPAD.decode(text.ok_or(Unusable::Member)?.as_bytes()).map_err(|_| Unusable::Member)?;
    if length.is_some_and(|length| length != bytes.len()) {
        return Err(Unusable::Size);
    }
    Ok(bytes)
}

/// The uncompressed point (SEC 1, 2.3.3).
fn point(jwk: &Jwk, length: usize) -> Result<Vec<u8>, Unusable> {
    let mut point = vec![4];
    point.extend(member(jwk.x.as_deref(), Some(length))?);
    point.extend(member(jwk.y.as_deref(), Some(length))?);
    Ok(point)
}

/// 2048 to 8192 bits. Some providers write a leading zero byte, which ring does not take.
fn rsa(jwk: &Jwk) -> Result<Material, Unusable> {
    let trimmed = |text: Option<&str>| -> Result<Vec<u8>, Unusable> {
        Ok(member(text, None)?.into_iter().skip_while(|byte| *byte == 0).collect())
    };
    let (n, e) = (trimmed(jwk.n.as_deref())?, trimmed(jwk.e.as_deref())?);
    let unused = n.first().map_or(0, |top| usize::try_from(top.leading_zeros()).unwrap_or(0));
    let bits = n.len().saturating_mul(8).saturating_sub(unused);
    if !(2048..=8192).contains(&bits) || e.is_empty() || e.len() > 4 {
        return Err(Unusable::Size);
    }
    Ok(Material::Rsa { n, e })
}

impl JsonWebKey for RingKey {
    type KeyUse = KeyUse;
    type SigningAlgorithm = Algorithm;

    fn key_id(&self) -> Option<&JsonWebKeyId> {
        self.0.jwk.kid.as_ref()
    }

    fn key_type(&self) -> &KeyType {
        &self.0.jwk.kty
    }

    fn key_use(&self) -> Option<&KeyUse> {
        self.0.jwk.key_use.as_ref()
    }

    fn signing_alg(&self) -> JsonWebKeyAlgorithm<&Algorithm> {
        match &self.0.algorithm {
            Some(algorithm) => JsonWebKeyAlgorithm::Algorithm(algorithm),
            None => JsonWebKeyAlgorithm::Unspecified,
        }
    }

    fn new_symmetric(_secret: Vec<u8>) -> Self {
        let jwk = Jwk {
            kty: KeyType::Symmetric,
            key_use: None,
            key_ops: None,
            kid: None,
            alg: None,
            crv: None,
            x: None,
            y: None,
            n: None,
            e: None,
            d: None,
        };
        Self(Arc::new(Inner { jwk, algorithm: None, material: Material::Nothing }))
    }

    fn verify_signature(
        &self,
        algorithm: &Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureVerificationError> {
        let with = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature)
        };
        let verified =
            match (&self.0.material, algorithm) {
                (Material::Rsa { n, e }, Algorithm::RsaSsaPkcs1V15Sha256) => RsaPublicKeyComponents { n, e }
                    .verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature),
                (Material::Rsa { n, e }, Algorithm::RsaSsaPssSha256) => RsaPublicKeyComponents { n, e }
                    .verify(&signature::RSA_PSS_2048_8192_SHA256, message, signature),
                (Material::P256(point), Algorithm::EcdsaP256Sha256) => {
                    with(&signature::ECDSA_P256_SHA256_FIXED, point)
                }
                (Material::P384(point), Algorithm::EcdsaP384Sha384) => {
                    with(&signature::ECDSA_P384_SHA384_FIXED, point)
                }
                (Material::Ed25519(key), Algorithm::EdDsa) => with(&signature::ED25519, key),
                (
                    Material::Rsa { .. }
                    | Material::P256(_)
                    | Material::P384(_)
                    | Material::Ed25519(_)
                    | Material::Nothing,
                    _,
                ) => {
                    return Err(SignatureVerificationError::InvalidKey(
                        "the key is not for this algorithm".to_owned(),
                    ));
                }
            };
        verified.map_err(|_| SignatureVerificationError::CryptoError("the signature is wrong".to_owned()))
    }

    /// For `at_hash` and `c_hash` (OpenID Connect Core 3.1.3.6), which the CA does not use: it sees no access token.
    fn hash_bytes(&self, bytes: &[u8], algorithm: &Algorithm) -> Result<Vec<u8>, String> {
        use ring::digest;
        let hash = match (&self.0.material, algorithm) {
            (Material::Rsa { .. }, Algorithm::RsaSsaPkcs1V15Sha256 | Algorithm::RsaSsaPssSha256)
            | (Material::P256(_), Algorithm::EcdsaP256Sha256) => &digest::SHA256,
            (Material::P384(_), Algorithm::EcdsaP384Sha384) => &digest::SHA384,
            (Material::Ed25519(_), Algorithm::EdDsa) => &digest::SHA512,
            (
                Material::Rsa { .. }
                | Material::P256(_)
                | Material::P384(_)
                | Material::Ed25519(_)
                | Material::Nothing,
                _,
            ) => return Err("the key is not for this algorithm".to_owned()),
        };
        Ok(digest::digest(hash, bytes).as_ref().to_vec())
    }
}

/// Whether `key` may have signed with `algorithm`: its type, curve and own `alg` fit.
pub(crate) fn fits(key: &RingKey, algorithm: &Algorithm) -> bool {
    let kind = match (&key.0.material, algorithm) {
        (Material::Rsa { .. }, Algorithm::RsaSsaPkcs1V15Sha256 | Algorithm::RsaSsaPssSha256)
        | (Material::P256(_), Algorithm::EcdsaP256Sha256)
        | (Material::P384(_), Algorithm::EcdsaP384Sha384)
        | (Material::Ed25519(_), Algorithm::EdDsa) => true,
        (
            Material::Rsa { .. }
            | Material::P256(_)
            | Material::P384(_)
            | Material::Ed25519(_)
            | Material::Nothing,
            _,
        ) => false,
    };
    kind && key.0.algorithm.as_ref().is_none_or(|own| own == algorithm)
}
