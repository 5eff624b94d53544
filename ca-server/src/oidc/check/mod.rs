//! `jit-ssh-ca issuer check`: an entry held against what its provider says of itself, one finding for each thing that
//! logins will need. Asks the provider as the server does, and nothing of anybody's.

mod device;
mod own_device;
mod own_login;
mod redirect;

use jit_ssh_core::identity::{IdentityKind, VerifiedIdentity};
use jit_ssh_proto::{Flow, Problem, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

pub use own_device::OwnDevice;
pub use own_login::OwnLogin;

use super::claims::LEEWAY;
use super::fetch::{FetchError, Fetcher};
use super::key::{self, RingKey};
use super::provider::Timing;
use super::token::{self, Compact};
use super::{IssuerConfig, Provider, json, keys_file, unreadable};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Works, and may not be what was meant.
    Note,
    /// Logins will fail, or mean something else than they seem to.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `entry`, `discovery`, `keys`, `algorithms`, `redirect`, `device`, `clock`, …
    pub what: &'static str,
    /// How it is.
    pub grade: Grade,
    /// In a sentence; for what is bad, with the next step.
    pub said: String,
}

fn good(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { what, grade: Grade::Good, said: said.into() }
}

fn note(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { what, grade: Grade::Note, said: said.into() }
}

fn bad(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { what, grade: Grade::Bad, said: said.into() }
}

/// What of a discovery document logins need (OpenID Connect Discovery 1.0, 3; RFC 8414; RFC 8628, 4).
#[derive(Clone, Debug, Default, Deserialize)]
struct Metadata {
    authorization_endpoint: Option<Url>,
    token_endpoint: Option<Url>,
    device_authorization_endpoint: Option<Url>,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    scopes_supported: Option<Vec<String>>,
    claims_supported: Option<Vec<String>>,
    subject_types_supported: Option<Vec<String>>,
    #[serde(default)]
    backchannel_logout_supported: bool,
}

impl Metadata {
    /// OpenID Connect Core 1.0, 8.1.
    fn has_pairwise_subjects_only(&self) -> bool {
        let types = self.subject_types_supported.as_deref().unwrap_or_default();
        !types.is_empty() && types.iter().all(|one| one == "pairwise")
    }
}

/// Walks through an entry. `now` is this machine's clock.
pub async fn check(config: &IssuerConfig, now: Timestamp) -> Vec<Finding> {
    let mut findings = entry(config);
    let fetcher = Fetcher::new(config.url.clone(), Timing::default().patience);
    // 1. What the provider says of itself.
    let (metadata, keys) = match (&config.jwks_file, config.rules.kind) {
        (Some(path), IdentityKind::Workload) => {
            findings.push(note("discovery", "is not asked: the keys come from `jwks_file`."));
            (None, keys_file::fetch(path).await)
        }
        (file, _) => match fetcher.describe().await {
            Ok(described) => {
                findings
                    .push(good("discovery", format!("{} describes itself under its own name.", config.url)));
                findings.push(clock(described.date.as_deref(), now));
                let keys = match file {
                    Some(path) => keys_file::fetch(path).await,
                    None => fetcher.keys(&described.jwks_uri).await,
                };
                (serde_json::from_slice::<Metadata>(&described.body).ok(), keys)
            }
            Err(error) => {
                findings.push(bad("discovery", failed(&error)));
                return findings;
            }
        },
    };
    // 2. Keys for the algorithms that the entry allows.
    match keys {
        Ok(keys) => findings.extend(key_findings(config, keys.keys())),
        Err(FetchError::Invalid(why) | FetchError::Unreachable(why)) if config.jwks_file.is_some() => {
            findings
                .push(bad("keys", format!("{why}: correct `jwks_file`, or save the issuer's keys there.")));
        }
        Err(error) => findings.push(bad("keys", failed(&error))),
    }
    // 3. What each flow needs.
    if let Some(metadata) = metadata {
        findings.extend(algorithms(config, &metadata));
        findings.extend(scopes(config, &metadata));
        for flow in &config.flows {
            match flow {
                Flow::Code => findings.extend(code(config, &metadata, &fetcher).await),
                Flow::Device | Flow::Token => {}
            }
        }
        if config.rules.kind == IdentityKind::User {
            findings.extend(device::findings(config, &metadata, &fetcher).await);
        }
        if config.rules.kind == IdentityKind::User && !metadata.backchannel_logout_supported {
            findings.push(note(
                "logout",
                "the provider does not say that it tells others of logouts: a session ends when it expires.",
            ));
        }
    }
    findings
}

fn failed(error: &FetchError) -> String {
    match error {
        FetchError::Unreachable(why) => {
            format!("{why}: check `url`, the network and the proxy of this machine.")
        }
        FetchError::Invalid(why) => format!("{why}: compare `url` with what the provider calls itself."),
    }
}

/// What the entry alone says.
fn entry(config: &IssuerConfig) -> Vec<Finding> {
    let rules = &config.rules;
    let flows: Vec<&str> = config.flows.iter().map(|flow| flow.as_str()).collect();
    let mut findings = vec![good(
        "entry",
        format!(
            "{} speaks for {}; flows {}.",
            rules.name,
            if rules.kind == IdentityKind::User { "people" } else { "workloads" },
            flows.join(", ")
        ),
    )];
    if rules.groups.is_some() && rules.groups_map.is_empty() {
        findings.push(note("entry", "`groups` is there without `groups_map`: nobody is in any group here."));
    }
    if rules.kind == IdentityKind::User {
        if rules.allowed_domains.is_empty() && rules.groups.is_none() {
            findings.push(note("entry", "neither `allowed_domains` nor `groups` is there: whoever can log in at the provider gets a session."));
        }
        if let Some(claim @ ("email" | "name" | "upn" | "unique_name")) = rules.username.as_deref() {
            findings.push(bad("entry", format!("`username` takes {claim:?}, which is no login name: name a claim that the provider keeps unique and does not give to another, or none.")));
        }
    } else if rules.tags.is_empty() && rules.groups.is_none() {
        findings
            .push(note("entry", "there are no `tags`: policies can tell its workloads apart by name only."));
    }
    findings
}

/// RFC 9110, 6.6.1: what the provider's clock said when it answered.
fn clock(date: Option<&str>, now: Timestamp) -> Finding {
    let theirs = date
        .and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok())
        .and_then(|at| u64::try_from(at.as_second()).ok())
        .map(Timestamp::from_seconds);
    let Some(theirs) = theirs else {
        return note("clock", "the provider's answer has no date to compare this machine's clock with.");
    };
    let apart = theirs.since(now).max(now.since(theirs));
    if apart > LEEWAY {
        return bad(
            "clock",
            format!(
                "this machine's clock is {apart} from the provider's: set it right, or tokens are refused as too old or from the future."
            ),
        );
    }
    good("clock", format!("agrees with the provider's within {apart}."))
}

fn key_findings(config: &IssuerConfig, keys: &[RingKey]) -> Vec<Finding> {
    let fits = |name: &str| {
        token::algorithm(name).is_some_and(|algorithm| keys.iter().any(|key| key::fits(key, &algorithm)))
    };
    let (with, without): (Vec<&String>, Vec<&String>) = config.algorithms.iter().partition(|name| fits(name));
    let list = |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    if with.is_empty() {
        return vec![bad(
            "keys",
            format!("none of {} keys fits {}: correct `algorithms`.", keys.len(), list(&without)),
        )];
    }
    let mut findings =
        vec![good("keys", format!("{} that can verify ID tokens, for {}.", keys.len(), list(&with)))];
    if !without.is_empty() {
        findings.push(note(
            "keys",
            format!("there is no key for {}: leave it out of `algorithms`.", list(&without)),
        ));
    }
    findings
}

fn algorithms(config: &IssuerConfig, metadata: &Metadata) -> Vec<Finding> {
    let Some(theirs) = &metadata.id_token_signing_alg_values_supported else {
        return vec![note("algorithms", "the provider does not say which it signs ID tokens with.")];
    };
    let shared: Vec<&str> =
        config.algorithms.iter().filter(|name| theirs.contains(name)).map(String::as_str).collect();
    if shared.is_empty() {
        return vec![bad(
            "algorithms",
            format!(
                "the provider signs with {}, the entry takes {}: correct `algorithms`.",
                theirs.join(", "),
                config.algorithms.join(", ")
            ),
        )];
    }
    vec![good("algorithms", format!("{} on both sides.", shared.join(", ")))]
}

fn scopes(config: &IssuerConfig, metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(theirs) =
        metadata.scopes_supported.as_ref().filter(|_| config.rules.kind == IdentityKind::User)
    {
        let unknown: Vec<&str> =
            config.scopes.iter().filter(|scope| !theirs.contains(scope)).map(String::as_str).collect();
        if !unknown.is_empty() {
            findings.push(note("scopes", format!("the provider does not list {}.", unknown.join(", "))));
        }
    }
    if let (Some(theirs), Some(claim)) = (&metadata.claims_supported, &config.rules.groups)
        && !theirs.contains(claim)
    {
        findings.push(note(
            "claims",
            format!("the provider does not list {claim:?}: look at your own token with --login."),
        ));
    }
    findings
}

async fn code(config: &IssuerConfig, metadata: &Metadata, fetcher: &Fetcher) -> Vec<Finding> {
    let (Some(authorize), Some(_)) = (&metadata.authorization_endpoint, &metadata.token_endpoint) else {
        return vec![bad(
            "redirect",
            "the provider has no authorization or no token endpoint: people cannot log in there with a browser.",
        )];
    };
    let mut findings = Vec::new();
    match &metadata.code_challenge_methods_supported {
        Some(methods) if !methods.iter().any(|method| method == "S256") => {
            findings.push(bad(
                "pkce",
                "the provider does not list S256 (RFC 7636): the login's code is not protected on its way.",
            ));
        }
        Some(_) => findings.push(good("pkce", "S256.")),
        None => findings.push(note("pkce", "the provider does not say whether it knows S256 (RFC 7636).")),
    }
    findings.push(redirect::probe(config, authorize, fetcher).await);
    findings
}

/// A token of one's own: what it says, and what the entry makes of it.
#[derive(Debug)]
pub struct Shown {
    /// Every claim, as it came.
    pub claims: Map<String, Value>,
    /// Who that is here, or why it is nobody.
    pub identity: Result<VerifiedIdentity, Problem>,
}

/// Verifies a token as a login would, and uses up nothing.
///
/// # Errors
/// What is wrong with the token.
pub async fn show(
    provider: &Provider,
    token: &str,
    flow: Flow,
    nonce: &str,
    now: Timestamp,
) -> Result<Shown, Problem> {
    let verified = provider.verify(token, flow, nonce, now).await?;
    let claims = json::object(&Compact::parse(token)?.payload).map_err(|_| unreadable())?;
    let identity = VerifiedIdentity::admit(&provider.config().rules, &verified.claims);
    Ok(Shown { claims, identity })
}

#[cfg(test)]
mod tests;
