//! Signing ID tokens with ES256.

use data_encoding::BASE64URL_NOPAD;
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A signing key that lives as long as the process.
pub(super) struct Signer {
    pair: EcdsaKeyPair,
    kid: String,
    random: SystemRandom,
}

impl Signer {
    pub(super) fn generate() -> Result<Self, Unspecified> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random)
            .map_err(|_| Unspecified)?;
        let kid = BASE64URL_NOPAD.encode(&Sha256::digest(pair.public_key().as_ref()));
        Ok(Self { pair, kid, random })
    }

    /// The public key (RFC 7517), from the uncompressed point.
    pub(super) fn jwk(&self) -> Value {
        let (_, point) = self.pair.public_key().as_ref().split_at(1);
        let (x, y) = point.split_at(point.len() / 2);
        let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
        json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid, "use": "sig", "alg": "ES256"})
    }

    /// A compact JWS over the claims.
    pub(super) fn sign(&self, claims: &Map<String, Value>) -> Result<String, Unspecified> {
        let header = json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"}).to_string();
        let payload = serde_json::to_string(claims).map_err(|_| Unspecified)?;
        let input = format!(
            "{}.{}",
            BASE64URL_NOPAD.encode(header.as_bytes()),
            BASE64URL_NOPAD.encode(payload.as_bytes())
        );
        let signature = self.pair.sign(&self.random, input.as_bytes())?;
        Ok(format!("{input}.{}", BASE64URL_NOPAD.encode(signature.as_ref())))
    }
}
