//! What callers of the CA bring: keys, ID tokens of an issuer that a test controls, signed calls. How calls travel is
//! in [`crate::http`], or in the bench's own connections.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use data_encoding::BASE64URL_NOPAD;
use jit_ssh_proto::wire::{AccessRequestBody, OpenSession};
use jit_ssh_proto::{
    CaId, Flow, Mode, Namespace, SIGNATURE_HEADER, Salt, SessionId, SignedRequest, Timestamp, UserKey,
    oidc_nonce, possession_message, sign,
};
use rand::RngCore;
use rand::rngs::OsRng;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use ssh_key::{Algorithm, PrivateKey};

/// A call's unique id.
pub type CallId = [u8; 16];

/// Now, in seconds since the epoch.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "callers live at the edge")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Random bytes.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// A key and its public half.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key.
    pub private: PrivateKey,
    /// What others see of it.
    pub public: UserKey,
}

impl Key {
    /// A fresh Ed25519 key.
    ///
    /// # Errors
    /// Never in practice.
    pub fn new() -> anyhow::Result<Self> {
        let private = PrivateKey::random(&mut OsRng, Algorithm::Ed25519)?;
        let public = UserKey::new(private.public_key())?;
        Ok(Self { private, public })
    }
}

/// An issuer of ID tokens (ES256) whose key a test holds.
#[derive(Debug)]
pub struct Issuer {
    /// `iss`
    pub url: String,
    kid: String,
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    /// An issuer with a fresh key; `kid` names it.
    ///
    /// # Errors
    /// Never in practice.
    pub fn new(url: &str, kid: &str) -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(|e| anyhow!("{e}"))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random)
            .map_err(|e| anyhow!("{e}"))?;
        Ok(Self { url: url.to_owned(), kid: kid.to_owned(), pair, random })
    }

    /// The key set, for `jwks_file`.
    #[must_use]
    pub fn jwks(&self) -> String {
        let point = self.public_point();
        let part = |from: usize| BASE64URL_NOPAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid, "x": part(1), "y": part(33),
        }]})
        .to_string()
    }

    /// The uncompressed public point.
    #[must_use]
    pub fn public_point(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// Claims that nobody could object to.
    #[must_use]
    pub fn claims(&self, user: &str, groups: &[&str], nonce: &str) -> Value {
        let now = now();
        json!({
            "iss": self.url, "sub": format!("subject-{user}"), "aud": "jit-ssh", "iat": now, "exp": now + 600,
            "nonce": nonce, "auth_time": now, "preferred_username": user, "email": format!("{user}@example.com"),
            "email_verified": true, "groups": groups,
        })
    }

    /// Signs claims.
    ///
    /// # Errors
    /// Never in practice.
    pub fn token(&self, claims: &Value) -> anyhow::Result<String> {
        let header = json!({ "alg": "ES256", "kid": self.kid, "typ": "JWT" });
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let input = format!("{}.{}", part(&header), part(claims));
        let signature = self.pair.sign(&self.random, input.as_bytes()).map_err(|e| anyhow!("{e}"))?;
        Ok(format!("{input}.{}", BASE64URL_NOPAD.encode(signature.as_ref())))
    }
}

/// A call ready to be sent.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method, in capitals.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Every header but host, length and connection.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Call {
    /// A call with nothing but a method and a path.
    #[must_use]
    pub fn plain(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header, beside others of its name.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes away every header of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
        self
    }
}

/// What a session's calls are made with.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its key.
    pub key: Key,
    /// Its bearer token.
    pub token: String,
    /// Its id.
    pub id: SessionId,
}

/// How a call is signed, before it is.
#[derive(Clone, Debug)]
pub struct Signing<'a> {
    /// The CA that it is for.
    pub ca: &'a CaId,
    /// Who signs.
    pub key: &'a Key,
    /// The session that it is of.
    pub session: Option<&'a SessionId>,
    /// When, by the caller's clock.
    pub time: u64,
    /// Its unique id.
    pub id: CallId,
}

impl<'a> Signing<'a> {
    /// As a current client would: now, with a fresh id.
    #[must_use]
    pub fn new(ca: &'a CaId, key: &'a Key, session: Option<&'a SessionId>) -> Self {
        Self { ca, key, session, time: now(), id: random() }
    }

    /// The header's value.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn header(&self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<String> {
        let signed = SignedRequest { ca: self.ca, method, path, session: self.session, body };
        Ok(signed.sign(&self.key.private, Timestamp::from_seconds(self.time), self.id)?.to_string())
    }

    /// A signed call with a JSON body, without a bearer token.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn call(&self, method: &str, path: &str, body: Vec<u8>) -> anyhow::Result<Call> {
        let signature = self.header(method, path, &body)?;
        let call = Call { body, ..Call::plain(method, path) };
        Ok(call.with("content-type", "application/json").with(SIGNATURE_HEADER, &signature))
    }
}

/// A request for ten minutes of a shell on `deploy@web-1`, with a proof by `key` for the call `id` of `session_key`.
///
/// # Errors
/// When the key cannot sign.
pub fn access_body(ca: &CaId, session_key: &Key, key: &Key, id: CallId) -> anyhow::Result<AccessRequestBody> {
    Ok(AccessRequestBody {
        accounts: vec!["deploy@web-1".to_owned()],
        mode: Mode::Shell,
        modifiers: Vec::new(),
        command: None,
        duration: Some("10m".to_owned()),
        reason: "OPS-7 disk full".to_owned(),
        ticket: String::new(),
        key: key.public.to_string(),
        proof: proof(ca, session_key, key, id)?,
    })
}

/// `key`'s proof of possession for the call `id` of `session_key`.
///
/// # Errors
/// When the key cannot sign.
pub fn proof(ca: &CaId, session_key: &Key, key: &Key, id: CallId) -> anyhow::Result<String> {
    let message = possession_message(ca, &session_key.public, &BASE64URL_NOPAD.encode(&id), &key.public);
    Ok(BASE64URL_NOPAD.encode(&sign(&key.private, Namespace::Possession, &message)?))
}

/// A login's body: `claims` becomes the token, given the nonce of this CA, a fresh salt and `session_key`.
///
/// # Errors
/// When a key cannot sign.
pub fn login_body(
    ca: &CaId,
    issuer: &Issuer,
    session_key: &Key,
    claims: impl FnOnce(&str) -> Value,
    request: Option<AccessRequestBody>,
) -> anyhow::Result<OpenSession> {
    let salt = Salt::from_bytes(random());
    Ok(OpenSession {
        id_token: issuer.token(&claims(&oidc_nonce(ca, &salt, &session_key.public)))?,
        session_key: session_key.public.to_string(),
        salt: salt.to_string(),
        flow: Flow::Code,
        request,
        refresh_token: None,
    })
}

impl Session {
    /// A signed call of this session with a JSON body.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn call(&self, ca: &CaId, method: &str, path: &str, body: Vec<u8>) -> anyhow::Result<Call> {
        let call = Signing::new(ca, &self.key, Some(&self.id)).call(method, path, body)?;
        Ok(call.with("authorization", &self.bearer()))
    }

    /// A signed request for a certificate of `key`.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn access(&self, ca: &CaId, key: &Key) -> anyhow::Result<Call> {
        let signing = Signing::new(ca, &self.key, Some(&self.id));
        let body = serde_json::to_vec(&access_body(ca, &self.key, key, signing.id)?)?;
        Ok(signing.call("POST", "/v1/requests", body)?.with("authorization", &self.bearer()))
    }

    /// The value of its `Authorization` header.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
}
