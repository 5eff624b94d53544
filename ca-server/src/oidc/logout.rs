//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, 2.4 to 2.6): what a provider sends when somebody logged out
//! there. Judged as strictly as an ID token, and so that neither is ever taken for the other.

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_proto::{Code, Problem, Span, Timestamp};
use openidconnect::JsonWebKey;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::claims::{self, LEEWAY, malformed};
use super::token::{Compact, Header};
use super::{IssuerConfig, Provider, json, unreadable};

/// The event that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The oldest `iat` that is taken: providers send a logout token when they make it. Shorter than the time for which its
/// use is remembered.
pub(super) const MAX_AGE: Span = Span::from_seconds(120);

/// The longest `jti` and `sid`.
const MAX_WORD_BYTES: usize = 255;

/// A logout token that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedOut {
    /// Who logged out, if it says so.
    pub sub: Option<String>,
    /// Which of the provider's sessions ended, if it says so. One of the two is there.
    pub sid: Option<String>,
    /// What makes it this token and no other: SHA-256(issuer ‖ 0 ‖ `jti`).
    pub id: [u8; 32],
    /// `iat`
    pub issued: Timestamp,
}

impl Provider {
    /// Verifies a logout token: every rule of the specification, those that it leaves open read strictly. That it was not
    /// used before is for whoever keeps such things.
    ///
    /// # Errors
    /// One code for each rule. For the log only: whoever sends one is told no more than that it is not acceptable.
    pub async fn verify_logout(&self, token: &str, now: Timestamp) -> Result<LoggedOut, Problem> {
        // 1. One compact JWS, of this kind if it says of which.
        let compact = Compact::parse(token)?;
        let header = Header::read_as(&compact, &self.algorithms, &["logout+jwt", "JWT"])?;
        // 2. Claims of this issuer, for this client, now, that say that somebody logged out.
        let payload = json::object(&compact.payload).map_err(|_| unreadable())?;
        let said = read(&payload, &self.config, now)?;
        // 3. Signed by a key that the issuer publishes for that algorithm.
        let key = self.keys.key_for(&header, now).await?;
        let signature = token.rsplit_once('.').map(|(_, signature)| signature).unwrap_or_default();
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| unreadable())?;
        key.verify_signature(&header.algorithm, compact.signing_input.as_bytes(), &signature)
            .map_err(|_| refused(Code::TokenSignature, "its signature does not verify"))?;
        Ok(said)
    }
}

fn refused(code: Code, what: &str) -> Problem {
    Problem::new(code, format!("The logout token is not acceptable: {what}."))
}

fn read(payload: &Map<String, Value>, config: &IssuerConfig, now: Timestamp) -> Result<LoggedOut, Problem> {
    if claims::text(payload, "iss")? != config.url {
        return Err(refused(Code::TokenIssuer, "another issuer made it"));
    }
    audience(payload, config)?;
    let issued = times(payload, now)?;
    // What an ID token has and a logout token never, and the other way round.
    if payload.contains_key("nonce") {
        return Err(refused(Code::TokenNonce, "it has a nonce"));
    }
    events(payload)?;
    let jti = word(payload, "jti")?.ok_or_else(|| malformed("jti", "there"))?;
    let sub = match payload.get("sub") {
        Some(_) => {
            claims::subject(payload)?;
            payload.get("sub").and_then(Value::as_str).map(str::to_owned)
        }
        None => None,
    };
    let sid = word(payload, "sid")?.map(str::to_owned);
    if sub.is_none() && sid.is_none() {
        return Err(refused(Code::TokenSubject, "it names neither a subject nor a session"));
    }
    let id = Sha256::new().chain_update(&config.url).chain_update([0]).chain_update(jti).finalize().into();
    Ok(LoggedOut { sub, sid, id, issued })
}

/// For this client, and nobody else.
fn audience(payload: &Map<String, Value>, config: &IssuerConfig) -> Result<(), Problem> {
    let form = || malformed("aud", "a string or a list of strings");
    let audiences: Vec<&str> = match payload.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => {
            many.iter().map(|one| one.as_str().ok_or_else(form)).collect::<Result<Vec<_>, _>>()?
        }
        None | Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return Err(form()),
    };
    // It is the client that is told, whatever audience its ID tokens have.
    let clients = [Some(&config.client_id), config.device_client.as_ref().map(|client| &client.id)];
    let client = |name: &str| clients.into_iter().flatten().any(|client| client == name);
    let ours = |audience: &&str| client(audience) || *audience == config.audience;
    if audiences.is_empty() || !audiences.iter().all(ours) {
        return Err(refused(Code::TokenAudience, "it is for another client"));
    }
    match payload.get("azp") {
        None => Ok(()),
        Some(Value::String(party)) if client(party) => Ok(()),
        Some(_) => Err(refused(Code::TokenAuthorizedParty, "it was issued to another client")),
    }
}

fn times(payload: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, Problem> {
    let issued = claims::time(payload, "iat")?.ok_or_else(|| malformed("iat", "whole seconds since 1970"))?;
    let expires =
        claims::time(payload, "exp")?.ok_or_else(|| malformed("exp", "whole seconds since 1970"))?;
    if expires.plus(LEEWAY) <= now {
        return Err(refused(Code::TokenExpired, "it has expired"));
    }
    if claims::time(payload, "nbf")?.is_some_and(|not_before| not_before > now.plus(LEEWAY)) {
        return Err(refused(Code::TokenNotYetValid, "it is not valid yet"));
    }
    if issued > now.plus(LEEWAY) {
        return Err(refused(Code::TokenFromTheFuture, "it was issued in the future"));
    }
    if issued.plus(MAX_AGE) < now {
        return Err(refused(Code::TokenTooOld, "it was issued too long ago"));
    }
    Ok(issued)
}

/// The member that says what this is; others may stand beside it.
fn events(payload: &Map<String, Value>) -> Result<(), Problem> {
    let event = payload.get("events").and_then(Value::as_object).and_then(|events| events.get(EVENT));
    if event.is_some_and(Value::is_object) {
        return Ok(());
    }
    Err(refused(Code::TokenClaims, "its events do not say that somebody logged out"))
}

/// Text of 1 to 255 bytes, if it is there.
fn word<'a>(payload: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Problem> {
    match payload.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if (1..=MAX_WORD_BYTES).contains(&text.len()) => Ok(Some(text)),
        Some(_) => Err(malformed(name, "text of 1 to 255 bytes")),
    }
}
