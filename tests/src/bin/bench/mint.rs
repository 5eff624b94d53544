//! What callers bring: keys, ID tokens, signed calls. Made before the clock runs.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use data_encoding::BASE64URL_NOPAD;
use jit_ssh_proto::wire::{AccessRequestBody, OpenSession};
use jit_ssh_proto::{
    CaId, Mode, Namespace, Salt, SessionId, SignedRequest, Timestamp, UserKey, oidc_nonce,
    possession_message, sign,
};
use rand::RngCore;
use rand::rngs::OsRng;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use ssh_key::{Algorithm, PrivateKey};

/// The issuer's key and name.
pub(crate) struct Issuer {
    pub(crate) url: String,
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

/// A call ready to be sent.
pub(crate) struct Call {
    pub(crate) path: &'static str,
    pub(crate) bearer: Option<String>,
    pub(crate) signature: String,
    pub(crate) body: Vec<u8>,
}

/// A key and its public half.
pub(crate) struct Key {
    pub(crate) private: PrivateKey,
    pub(crate) public: UserKey,
}

impl Key {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let private = PrivateKey::random(&mut OsRng, Algorithm::Ed25519)?;
        let public = UserKey::new(private.public_key())?;
        Ok(Self { private, public })
    }
}

#[expect(clippy::disallowed_methods, reason = "a load generator lives at the edge")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

impl Issuer {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(|e| anyhow!("{e}"))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random)
            .map_err(|e| anyhow!("{e}"))?;
        Ok(Self { url: "https://issuer.example.com".to_owned(), pair, random })
    }

    /// The key set, for `jwks_file`.
    pub(crate) fn jwks(&self) -> String {
        let point = self.pair.public_key().as_ref();
        let part = |from: usize| BASE64URL_NOPAD.encode(point.get(from..from + 32).unwrap_or_default());
        serde_json::json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "bench", "x": part(1), "y": part(33),
        }]})
        .to_string()
    }

    /// The uncompressed public point, for the limit.
    pub(crate) fn public_point(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// Signs an ID token.
    pub(crate) fn token(&self, user: usize, nonce: &str) -> anyhow::Result<String> {
        let now = now();
        let header = BASE64URL_NOPAD.encode(br#"{"alg":"ES256","kid":"bench","typ":"JWT"}"#);
        let claims = serde_json::json!({
            "iss": self.url, "sub": format!("subject-{user}"), "aud": "jit-ssh", "iat": now, "exp": now + 600, "nonce": nonce,
            "auth_time": now, "preferred_username": format!("user-{user}"), "email": format!("user-{user}@example.com"),
            "email_verified": true, "groups": ["platform-sre", "everyone"],
        });
        let input = format!("{header}.{}", BASE64URL_NOPAD.encode(claims.to_string().as_bytes()));
        let signature = self.pair.sign(&self.random, input.as_bytes()).map_err(|e| anyhow!("{e}"))?;
        Ok(format!("{input}.{}", BASE64URL_NOPAD.encode(signature.as_ref())))
    }

    /// A login with a first request.
    pub(crate) fn login(&self, ca: &CaId, user: usize, session: &Key, key: &Key) -> anyhow::Result<Call> {
        let salt = Salt::from_bytes(random());
        let id = random::<16>();
        let body = OpenSession {
            id_token: self.token(user, &oidc_nonce(ca, &salt, &session.public))?,
            session_key: session.public.to_string(),
            salt: salt.to_string(),
            request: Some(request(ca, session, key, id)?),
        };
        call(ca, "/v1/sessions", None, None, session, id, serde_json::to_vec(&body)?)
    }
}

/// A request under a live session.
pub(crate) fn access(
    ca: &CaId,
    bearer: &str,
    id: &SessionId,
    session: &Key,
    key: &Key,
) -> anyhow::Result<Call> {
    let call_id = random::<16>();
    let body = serde_json::to_vec(&request(ca, session, key, call_id)?)?;
    call(ca, "/v1/requests", Some(bearer), Some(id), session, call_id, body)
}

fn request(ca: &CaId, session: &Key, key: &Key, id: [u8; 16]) -> anyhow::Result<AccessRequestBody> {
    let message = possession_message(ca, &session.public, &BASE64URL_NOPAD.encode(&id), &key.public);
    Ok(AccessRequestBody {
        accounts: vec!["deploy@web-1".to_owned()],
        mode: Mode::Shell,
        modifiers: Vec::new(),
        command: None,
        duration: Some("10m".to_owned()),
        reason: "OPS-7 disk full".to_owned(),
        ticket: String::new(),
        key: key.public.to_string(),
        proof: BASE64URL_NOPAD.encode(&sign(&key.private, Namespace::Possession, &message)?),
    })
}

fn call(
    ca: &CaId,
    path: &'static str,
    bearer: Option<&str>,
    session_id: Option<&SessionId>,
    session: &Key,
    id: [u8; 16],
    body: Vec<u8>,
) -> anyhow::Result<Call> {
    let signed = SignedRequest { ca, method: "POST", path, session: session_id, body: &body };
    let signature = signed.sign(&session.private, Timestamp::from_seconds(now()), id)?.to_string();
    Ok(Call { path, bearer: bearer.map(str::to_owned), signature, body })
}
