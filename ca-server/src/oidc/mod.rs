//! OpenID Connect, the CA's side: verifying ID tokens (invariant 5).
//!
//! openidconnect verifies; around it stands all that it leaves open: the strict shape of a token (`token`, `json`),
//! the rules about `azp`, `nbf`, `iat` and several audiences (`claims`), keys that verify with ring (`key`), and a
//! provider that may lie, hang, rotate its keys or be away (`provider`, `fetch`). Nothing here opens a session or
//! knows HTTP handlers.

pub mod check;
mod claims;
mod fetch;
mod form;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod json;
mod key;
mod keys_file;
mod logout;
mod place;
mod provider;
mod refresh;
mod token;

pub(crate) use keys_file::read as read_keys;
pub use logout::LoggedOut;
pub use refresh::Refreshed;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use jit_ssh_core::identity::{Claims, Flow, IssuerRules};
use jit_ssh_proto::{Code, Problem, Span, Timestamp};
use openidconnect::core::{CoreIdToken, CoreJwsSigningAlgorithm as Algorithm};
use openidconnect::{
    Audience, ClaimsVerificationError, ClientId, IdTokenVerifier, IssuerUrl, JsonWebKeySet, Nonce,
    SignatureVerificationError,
};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use claims::{Bound, Expected, LEEWAY};
use key::RingKey;
use provider::{Keys, Timing};
use token::{Compact, Header};

/// An `[[issuer]]` entry, valid by construction of the configuration.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// What its claims mean.
    pub rules: IssuerRules,
    /// The issuer identifier, exactly as tokens carry it.
    pub url: String,
    /// The client id of `jit-ssh` there.
    pub client_id: String,
    /// The client of the device grant, where that is one of several flows: by it the CA knows a token of the device grant
    /// from one of the browser.
    pub device_client: Option<DeviceClient>,
    /// The non-confidential secret that some providers demand of native apps; published in the trust bundle.
    pub client_secret: Option<String>,
    /// The audience that tokens must have; the client id unless configured.
    pub audience: String,
    /// The flows that may be used.
    pub flows: Vec<Flow>,
    /// Allowed JWS algorithms: a subset of RS256, PS256, ES256, ES384, EdDSA.
    pub algorithms: Vec<String>,
    /// Scopes for the client to ask for.
    pub scopes: Vec<String>,
    /// The oldest `iat` that is taken.
    pub max_token_age: Span,
    /// Keys from a file in place of discovery.
    pub jwks_file: Option<std::path::PathBuf>,
    /// How often the provider is asked about each session while it lives, if it is.
    pub revalidate: Option<Span>,
    /// The one port of 127.0.0.1 to which the provider sends browsers back, if it does not take any.
    pub redirect_port: Option<u16>,
}

/// A client at the provider that may do the device grant and nothing else.
#[derive(Clone, Debug)]
pub struct DeviceClient {
    /// Its id.
    pub id: String,
    /// Its non-confidential secret, if the provider demands one.
    pub secret: Option<String>,
}

impl IssuerConfig {
    /// The client whose tokens are of this flow.
    #[must_use]
    pub fn client_of(&self, flow: Flow) -> &str {
        match (flow, &self.device_client) {
            (Flow::Device, Some(client)) => &client.id,
            (Flow::Device, None) | (Flow::Code | Flow::Token, _) => &self.client_id,
        }
    }

    /// The secret of that client, if it has one.
    #[must_use]
    pub fn secret_of(&self, flow: Flow) -> Option<&str> {
        match (flow, &self.device_client) {
            (Flow::Device, Some(client)) => client.secret.as_deref(),
            (Flow::Device, None) | (Flow::Code | Flow::Token, _) => self.client_secret.as_deref(),
        }
    }

    /// The scopes of a request, as the client sends them: openid is asked for in any case.
    fn asked_scopes(&self) -> String {
        let others = self.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid");
        std::iter::once("openid").chain(others).collect::<Vec<_>>().join(" ")
    }

    /// What a token of this flow must say of whom it is for.
    fn expected(&self, flow: Flow) -> Expected<'_> {
        let client_id = self.client_of(flow);
        let other_client = self.device_client.as_ref().map(|device| match flow {
            Flow::Device => self.client_id.as_str(),
            Flow::Code | Flow::Token => device.id.as_str(),
        });
        let audience = if self.audience == self.client_id { client_id } else { &self.audience };
        Expected { issuer: &self.url, client_id, audience, other_client, max_age: self.max_token_age }
    }
}

/// A token that passed every check of invariant 5.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// The claims that the entry gives a meaning to.
    pub claims: Claims,
    /// SHA-256(issuer ‖ JWS signing input): one use.
    pub replay: [u8; 32],
    /// `iat`
    pub issued: Timestamp,
    /// `exp`
    pub expires: Timestamp,
}

/// A configured provider with its cached keys.
#[derive(Debug)]
pub struct Provider {
    config: IssuerConfig,
    /// Its URL, parsed; none if it is not one.
    issuer: Option<IssuerUrl>,
    algorithms: Vec<Algorithm>,
    keys: Arc<Keys>,
}

impl Provider {
    /// Makes a provider; nothing is fetched yet. Call [`Provider::refresh`] in the background.
    #[must_use]
    pub fn new(config: IssuerConfig) -> Self {
        Self::with_timing(config, Timing::default())
    }

    pub(crate) fn with_timing(config: IssuerConfig, timing: Timing) -> Self {
        // A name that is not known allows nothing; the configuration refuses it with a sentence.
        let algorithms = config.algorithms.iter().filter_map(|name| token::algorithm(name)).collect();
        let issuer = IssuerUrl::new(config.url.clone()).ok();
        Self { keys: Arc::new(Keys::new(&config, timing)), issuer, algorithms, config }
    }

    /// The entry.
    #[must_use]
    pub fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// What is wrong with the provider now, and since when, if anything is.
    #[must_use]
    pub fn trouble(&self, now: Timestamp) -> Option<Problem> {
        self.keys.trouble(now)
    }

    /// Keeps discovery and keys fresh until dropped: at once, then on a schedule, with back-off on trouble. Never
    /// returns; spawn it.
    pub async fn refresh(&self) {
        self.keys.refresh().await;
    }

    /// Verifies a compact JWS against every rule; `nonce` is the one that it must carry if `flow` has one, and that no
    /// other may stand in the place of in any case. Cheap checks come first and the
    /// signature last, so nothing that is read before it is believed until it holds.
    ///
    /// Waits for the provider only if its keys were never had, or the token names a key that is not among them.
    ///
    /// # Errors
    /// One code for each rule.
    pub async fn verify(
        &self,
        token: &str,
        flow: Flow,
        nonce: &str,
        now: Timestamp,
    ) -> Result<VerifiedToken, Problem> {
        self.verify_bound(token, flow, Bound::To(nonce), now).await
    }

    /// Verifies an ID token that came with a refreshed login, as [`Provider::verify`] does, but for the nonce.
    ///
    /// # Errors
    /// One code for each rule.
    pub async fn verify_again(
        &self,
        token: &str,
        flow: Flow,
        now: Timestamp,
    ) -> Result<VerifiedToken, Problem> {
        self.verify_bound(token, flow, Bound::ByTheProvider, now).await
    }

    async fn verify_bound(
        &self,
        token: &str,
        flow: Flow,
        nonce: Bound<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, Problem> {
        // 0. A way to log in that this issuer's entry takes.
        if !self.config.flows.contains(&flow) {
            return Err(not_allowed(flow, &self.config.flows));
        }
        // 1. One compact JWS whose header brings nothing but an algorithm of the list and a key id.
        let compact = Compact::parse(token)?;
        let header = Header::read(&compact, &self.algorithms)?;
        // 2. Claims of this issuer, for this CA, now, for this session key.
        let payload = json::object(&compact.payload).map_err(|_| unreadable())?;
        let expected = self.config.expected(flow);
        let times = claims::check(&payload, &expected, flow, nonce, now)?;
        let claims = Claims::from_payload(&self.config.rules, flow, &payload)?;
        // 3. Signed by a key that the issuer publishes for that algorithm.
        let key = self.keys.key_for(&header, now).await?;
        self.signature(token, key, flow, nonce, now)?;
        // 4. One use: over what is signed, so that a second valid signature on it is the same token.
        let replay =
            Sha256::new().chain_update(&self.config.url).chain_update(compact.signing_input).finalize();
        Ok(VerifiedToken { claims, replay: replay.into(), issued: times.issued, expires: times.expires })
    }

    /// openidconnect's verdict: issuer, audience, algorithm, signature, expiry and nonce, by its own reading of the
    /// token.
    fn signature(
        &self,
        token: &str,
        key: RingKey,
        flow: Flow,
        nonce: Bound<'_>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let parsed: CoreIdToken = token.parse().map_err(|_| {
            Problem::new(
                Code::TokenClaims,
                "One of the ID token's claims does not have the form that OpenID Connect gives it; the identity \
                 provider has to correct it.",
            )
        })?;
        let issuer = self.issuer.clone().ok_or_else(|| {
            Problem::new(Code::ProviderInvalid, "The issuer's `url` in the CA's configuration is not a URL.")
        })?;
        // openidconnect has no leeway of its own. Past the year 9999 its calendar ends, and with it every token.
        let clock = UNIX_EPOCH + Duration::from_secs(now.minus(LEEWAY).seconds().min(claims::LATEST));
        let expected = self.config.expected(flow);
        let verifier = IdTokenVerifier::new_public_client(
            ClientId::new(expected.audience.to_owned()),
            issuer,
            JsonWebKeySet::new(vec![key]),
        )
        .set_allowed_algs(self.algorithms.iter().cloned())
        .set_other_audience_verifier_fn(|other: &Audience| other.as_str() == expected.client_id)
        .set_time_fn(move || clock.into());
        let same_nonce = |theirs: Option<&Nonce>| match (nonce, theirs) {
            (Bound::ByTheProvider, _) => Ok(()),
            (Bound::To(nonce), Some(theirs))
                if bool::from(theirs.secret().as_bytes().ct_eq(nonce.as_bytes())) =>
            {
                Ok(())
            }
            (Bound::To(_), None) if !flow.has_nonce() => Ok(()),
            (Bound::To(_), Some(_) | None) => Err("another nonce".to_owned()),
        };
        parsed.claims(&verifier, same_nonce).map(|_| ()).map_err(|error| refusal(&error))
    }
}

fn not_allowed(flow: Flow, allowed: &[Flow]) -> Problem {
    let how = |flow: &Flow| match flow {
        Flow::Code => "`jit-ssh login` in a browser",
        Flow::Device => "`jit-ssh login --device`",
        Flow::Token => "a token of the platform (`jit-ssh login --token-file` or `--token-env`)",
    };
    let allowed: Vec<&str> = allowed.iter().map(how).collect();
    Problem::new(
        Code::FlowNotAllowed,
        format!(
            "This identity provider's entry at the CA does not take logins of the kind {flow}: use {}.",
            allowed.join(" or ")
        ),
    )
}

/// openidconnect's refusals as ours. Most of them are found earlier, by our own checks.
fn refusal(error: &ClaimsVerificationError) -> Problem {
    use ClaimsVerificationError as E;
    use SignatureVerificationError as S;
    let again = "The ID token is not acceptable; log in again.";
    let (code, detail) = match error {
        E::Expired(_) => (Code::TokenExpired, again),
        E::InvalidAudience(_) => (Code::TokenAudience, again),
        E::InvalidIssuer(_) => (Code::TokenIssuer, again),
        E::InvalidNonce(_) => (Code::TokenNonce, again),
        E::InvalidSubject(_) => (Code::TokenSubject, again),
        E::Unsupported(_) => (Code::TokenHeader, again),
        E::SignatureVerification(S::NoSignature) => (Code::TokenUnsigned, again),
        E::SignatureVerification(S::DisallowedAlg(_) | S::UnsupportedAlg(_)) => (Code::TokenAlgorithm, again),
        E::SignatureVerification(S::NoMatchingKey | S::AmbiguousKeyId(_) | S::InvalidKey(_)) => {
            (Code::TokenKey, again)
        }
        E::SignatureVerification(S::CryptoError(_)) => (
            Code::TokenSignature,
            "The ID token's signature does not verify: it was altered, or another key signed it; log in again.",
        ),
        // openidconnect's enums are open: whatever they grow is a refusal.
        E::InvalidAuthContext(_) | E::InvalidAuthTime(_) | E::Other(_) | E::SignatureVerification(_) | _ => {
            (Code::TokenClaims, again)
        }
    };
    Problem::new(code, detail)
}

fn unreadable() -> Problem {
    Problem::new(Code::TokenMalformed, "The ID token's payload is not one plain JSON object; log in again.")
}

/// The `iss` of a token, unverified: to choose the entry that verifies it.
///
/// # Errors
/// `token_malformed`, `token_claims`.
pub fn issuer_of(token: &str) -> Result<String, Problem> {
    #[derive(Deserialize)]
    struct Issued {
        iss: Option<Value>,
    }
    let compact = Compact::parse(token)?;
    let issued: Issued = serde_json::from_slice(&compact.payload).map_err(|_| unreadable())?;
    match issued.iss {
        Some(Value::String(issuer)) => Ok(issuer),
        Some(_) | None => {
            Err(Problem::new(Code::TokenClaims, "The ID token's iss must be a string: log in again."))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
