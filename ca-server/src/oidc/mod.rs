//! OpenID Connect, the CA's side: verifying ID tokens (invariant 5).

use jit_ssh_core::identity::{Claims, Flow, IssuerRules};
use jit_ssh_proto::{Problem, Span, Timestamp};

/// An `[[issuer]]` entry, valid by construction of the configuration.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// What its claims mean.
    pub rules: IssuerRules,
    /// The issuer identifier, exactly as tokens carry it.
    pub url: String,
    /// The client id of `jit-ssh` there.
    pub client_id: String,
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
}

impl Provider {
    /// Makes a provider; nothing is fetched yet. Call [`Provider::refresh`] in the background.
    #[must_use]
    pub fn new(config: IssuerConfig) -> Self {
        Self { config }
    }

    /// The entry.
    #[must_use]
    pub fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// Keeps discovery and keys fresh until dropped: at once, then on a schedule, with back-off on trouble. Never
    /// returns; spawn it.
    pub async fn refresh(&self) {
        todo!("oidc")
    }

    /// Verifies a compact JWS against every rule; `nonce` is the one it must carry.
    ///
    /// # Errors
    /// One code for each rule.
    pub async fn verify(&self, token: &str, nonce: &str, now: Timestamp) -> Result<VerifiedToken, Problem> {
        let _ = (token, nonce, now);
        todo!("oidc")
    }
}

/// The `iss` of a token, unverified: to choose the entry that verifies it.
///
/// # Errors
/// `token_malformed`, `token_claims`.
pub fn issuer_of(token: &str) -> Result<String, Problem> {
    let _ = token;
    todo!("oidc")
}
