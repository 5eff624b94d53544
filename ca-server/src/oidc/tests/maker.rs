//! Keys and tokens for tests: anything can be put into a token, well-formed or not.

use std::sync::LazyLock;

use data_encoding::BASE64URL_NOPAD as B64;
use jit_ssh_core::identity::{Flow, IdentityKind, IssuerRules};
use jit_ssh_proto::{Span, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use rsa::pkcs8::EncodePrivateKey;
use rsa::traits::PublicKeyParts;
use serde_json::{Map, Value, json};

use crate::oidc::IssuerConfig;

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const NONCE: &str = "dGhlIG5vbmNlIG9mIHRoaXMgc2Vzc2lvbg";
pub(crate) const CLIENT: &str = "jit-ssh";

pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

/// A signing key.
pub(crate) enum TestKey {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<rsa::RsaPrivateKey>),
}

static RSA_2048: LazyLock<rsa::RsaPrivateKey> =
    LazyLock::new(|| rsa::RsaPrivateKey::new(&mut rand::rngs::OsRng, 2048).unwrap());
static RSA_1024: LazyLock<rsa::RsaPrivateKey> =
    LazyLock::new(|| rsa::RsaPrivateKey::new(&mut rand::rngs::OsRng, 1024).unwrap());

impl TestKey {
    pub(crate) fn p256() -> Self {
        Self::P256(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING))
    }

    pub(crate) fn p384() -> Self {
        Self::P384(ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING))
    }

    pub(crate) fn ed25519() -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap())
    }

    pub(crate) fn rsa() -> Self {
        Self::Rsa(Box::new(RSA_2048.clone()))
    }

    pub(crate) fn small_rsa() -> Self {
        Self::Rsa(Box::new(RSA_1024.clone()))
    }

    pub(crate) fn sign(&self, message: &[u8], alg: &str) -> Vec<u8> {
        match self {
            Self::P256(pair) | Self::P384(pair) => {
                pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(key) if key.size() < 256 => {
                let digest = <sha2::Sha256 as sha2::Digest>::digest(message);
                key.sign(rsa::Pkcs1v15Sign::new::<sha2::Sha256>(), &digest).unwrap()
            }
            Self::Rsa(key) => {
                let pair = RsaKeyPair::from_pkcs8(key.to_pkcs8_der().unwrap().as_bytes()).unwrap();
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding: &dyn ring::signature::RsaEncoding =
                    if alg == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// The public half, as a provider publishes it.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let mut jwk = match self {
            Self::P256(pair) => point("P-256", pair.public_key().as_ref()),
            Self::P384(pair) => point("P-384", pair.public_key().as_ref()),
            Self::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": B64.encode(pair.public_key().as_ref())})
            }
            Self::Rsa(key) => json!({
                "kty": "RSA",
                // With the leading zero that some providers write.
                "n": B64.encode(&[vec![0], key.n().to_bytes_be()].concat()),
                "e": B64.encode(&key.e().to_bytes_be()),
            }),
        };
        if !kid.is_empty() {
            jwk["kid"] = json!(kid);
        }
        jwk["use"] = json!("sig");
        jwk
    }
}

fn ecdsa(algorithm: &'static ring::signature::EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap()
}

fn point(curve: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({"kty": "EC", "crv": curve, "x": B64.encode(x), "y": B64.encode(y)})
}

/// A token in the making; it starts as one that is accepted.
#[derive(Clone)]
pub(crate) struct Jwt {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    header_text: Option<Vec<u8>>,
    payload_text: Option<Vec<u8>>,
}

impl Jwt {
    pub(crate) fn good(issuer: &str, alg: &str, kid: &str) -> Self {
        let header = json!({"alg": alg, "kid": kid, "typ": "JWT"});
        let claims = json!({
            "iss": issuer, "sub": "248289761001", "aud": CLIENT, "exp": NOW + 300, "iat": NOW - 5, "nonce": NONCE,
            "email": "alice@example.com", "email_verified": true, "preferred_username": "alice",
            "groups": ["sre"], "amr": ["pwd", "otp"], "auth_time": NOW - 60,
        });
        Self {
            header: header.as_object().unwrap().clone(),
            claims: claims.as_object().unwrap().clone(),
            header_text: None,
            payload_text: None,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: Value) -> Self {
        self.header.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn no_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    pub(crate) fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn no_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Changes the header's JSON as text.
    pub(crate) fn edit_header(mut self, edit: impl FnOnce(String) -> String) -> Self {
        self.header_text = Some(edit(Value::Object(self.header.clone()).to_string()).into_bytes());
        self
    }

    /// Changes the payload's JSON as text.
    pub(crate) fn edit_payload(mut self, edit: impl FnOnce(String) -> String) -> Self {
        self.payload_text = Some(edit(Value::Object(self.claims.clone()).to_string()).into_bytes());
        self
    }

    pub(crate) fn payload_bytes(mut self, bytes: &[u8]) -> Self {
        self.payload_text = Some(bytes.to_vec());
        self
    }

    pub(crate) fn signing_input(&self) -> String {
        let header =
            self.header_text.clone().unwrap_or_else(|| Value::Object(self.header.clone()).to_string().into());
        let payload = self
            .payload_text
            .clone()
            .unwrap_or_else(|| Value::Object(self.claims.clone()).to_string().into());
        format!("{}.{}", B64.encode(&header), B64.encode(&payload))
    }

    pub(crate) fn sign(&self, key: &TestKey) -> String {
        let input = self.signing_input();
        let alg = self.header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let signature = key.sign(input.as_bytes(), alg);
        format!("{input}.{}", B64.encode(&signature))
    }
}

/// An entry for a provider at `url` that takes every algorithm.
pub(crate) fn entry(url: &str) -> IssuerConfig {
    IssuerConfig {
        rules: IssuerRules {
            name: "corp".parse().unwrap(),
            url: url.to_owned(),
            kind: IdentityKind::User,
            username: Some("preferred_username".to_owned()),
            groups: Some("groups".to_owned()),
            groups_map: [("sre".to_owned(), vec!["sre".parse().unwrap()])].into(),
            tags: Default::default(),
            allowed_domains: Vec::new(),
            privileged_flows: false,
        },
        url: url.to_owned(),
        client_id: CLIENT.to_owned(),
        device_client: None,
        client_secret: None,
        audience: CLIENT.to_owned(),
        flows: vec![Flow::Code],
        algorithms: ["RS256", "PS256", "ES256", "ES384", "EdDSA"].map(str::to_owned).to_vec(),
        scopes: vec!["openid".to_owned()],
        max_token_age: Span::from_seconds(600),
        jwks_file: None,
        revalidate: None,
        redirect_port: None,
    }
}
