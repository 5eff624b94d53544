//! Picks the claims that matter from a verified token's payload.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::{Code, Problem, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{Claims, Flow, IdentityKind, IssuerRules, job, tags};

/// The most values of `amr`, and the longest of them and of `acr`.
const MAX_METHODS: usize = 32;
const MAX_WORD_BYTES: usize = 255;

impl Claims {
    /// Picks from the payload of a token that was verified. What these claims mean is decided by
    /// [`super::VerifiedIdentity::admit`]; shapes that no provider may send are refused here.
    ///
    /// # Errors
    /// `token_subject` without a `sub`, `token_of_a_job` where people log in, `token_claims` for a claim of the wrong shape.
    pub fn from_payload(
        rules: &IssuerRules,
        flow: Flow,
        payload: &Map<String, Value>,
    ) -> Result<Self, Problem> {
        let sub = match payload.get("sub") {
            Some(Value::String(sub)) => sub.clone(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))
            | None => {
                return Err(Problem::new(
                    Code::TokenSubject,
                    "sub is missing or is not text: the identity provider must send one.",
                ));
            }
        };
        match rules.kind {
            IdentityKind::User => job::none_here(payload)?,
            IdentityKind::Workload => {}
        }
        if let Some(claim) = &rules.groups {
            groups_are_here(claim, payload)?;
        }
        let auth_time = payload.get("auth_time").map(auth_time).transpose()?;
        let methods = payload.get("amr").map(methods).transpose()?.unwrap_or_default();
        let level = payload.get("acr").map(|acr| word("acr", acr)).transpose()?;
        let named = |claim: &Option<String>| claim.as_ref().and_then(|name| payload.get(name)).cloned();
        Ok(Self {
            sub,
            picked: rules.into(),
            flow,
            auth_time,
            methods,
            level,
            email: payload.get("email").cloned(),
            email_verified: payload.get("email_verified").cloned(),
            username: named(&rules.username),
            groups: named(&rules.groups),
            tags: tags::pick(&rules.tags, payload)?,
            sid: payload.get("sid").map(|sid| word("sid", sid)).transpose()?,
        })
    }
}

/// Refuses a token whose groups are elsewhere (OpenID Connect Core, 5.6.2: aggregated and distributed claims; Entra's
/// "overage"). Taken for somebody without groups, they would escape what forbids something to a group.
fn groups_are_here(claim: &str, payload: &Map<String, Value>) -> Result<(), Problem> {
    let named = payload.get("_claim_names").is_some_and(|names| names.get(claim).is_some());
    let has = claim == "groups" && payload.get("hasgroups").is_some_and(|has| *has != Value::Bool(false));
    if !named && !has {
        return Ok(());
    }
    Err(Problem::new(
        Code::TokenGroupsElsewhere,
        format!(
            "You are in more groups than the identity provider puts into an ID token, and it left out {claim:?}: have it send only groups that are assigned to this application, or roles."
        ),
    ))
}

/// Keeps a stored `null` apart from a claim that is not there: the one is of a wrong shape, the other is no claim.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A claim of a shape that is not understood.
pub(super) fn wrong_shape(claim: &str, expected: &str) -> Problem {
    Problem::new(
        Code::TokenClaims,
        format!("The claim {claim:?} is not {expected}: correct what the identity provider sends."),
    )
}

fn auth_time(value: &Value) -> Result<Timestamp, Problem> {
    match value.as_u64() {
        Some(seconds) if seconds <= Timestamp::MAX.seconds() => Ok(Timestamp::from_seconds(seconds)),
        Some(_) | None => Err(wrong_shape("auth_time", "a whole number of seconds since 1970")),
    }
}

fn methods(value: &Value) -> Result<Vec<String>, Problem> {
    match value.as_array() {
        Some(items) if items.len() <= MAX_METHODS => items.iter().map(|item| word("amr", item)).collect(),
        Some(_) | None => Err(wrong_shape("amr", "a list of at most 32 texts")),
    }
}

fn word(claim: &str, value: &Value) -> Result<String, Problem> {
    match value.as_str() {
        Some(text) if text.len() <= MAX_WORD_BYTES => Ok(text.into()),
        Some(_) | None => Err(wrong_shape(claim, "text of at most 255 bytes")),
    }
}
