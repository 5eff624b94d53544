//! Who somebody is: issuer + `sub`, and the attributes that the issuer's entry trusts (invariant 4).

mod attributes;
mod claims;
mod derived;
mod job;
mod tags;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

pub use jit_ssh_proto::Flow;
use jit_ssh_proto::{Code, Name, Problem, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::tags::{ClaimPath, ClaimPathError, MAX_TAGS};

/// What an issuer speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// People.
    User,
    /// CI jobs and services.
    Workload,
}

/// The part of an `[[issuer]]` entry that says what its claims mean. Valid by construction of the configuration.
#[derive(Clone, Debug)]
pub struct IssuerRules {
    /// The issuer's alias, which prefixes everything it names.
    pub name: Name,
    /// The issuer identifier, exactly as tokens carry it: with `sub`, what derived names are made of.
    pub url: String,
    /// People or workloads.
    pub kind: IdentityKind,
    /// The claim that holds the user name, if one is trusted to.
    pub username: Option<String>,
    /// The claim that holds groups, if one is trusted to.
    pub groups: Option<String>,
    /// The provider's group → ours. No group exists that is not mapped.
    pub groups_map: BTreeMap<String, Vec<Name>>,
    /// Tags for policy: tag → where its value stands.
    pub tags: BTreeMap<String, ClaimPath>,
    /// Domains of e-mail addresses that may log in; empty means any address, verified or not, may.
    pub allowed_domains: Vec<String>,
    /// Whether sessions from flows without a nonce may approve, administer and break glass.
    pub privileged_flows: bool,
}

/// Where claims come from: whose they are, and which of them the entry then took for user name and groups. Under an
/// entry that says otherwise they would mean something else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picked {
    /// The issuer identifier.
    pub issuer: String,
    /// The claim in [`Claims::username`].
    pub username: Option<String>,
    /// The claim in [`Claims::groups`].
    pub groups: Option<String>,
    /// The claims in [`Claims::tags`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, ClaimPath>,
}

impl From<&IssuerRules> for Picked {
    fn from(rules: &IssuerRules) -> Self {
        Self {
            issuer: rules.url.clone(),
            username: rules.username.clone(),
            groups: rules.groups.clone(),
            tags: rules.tags.clone(),
        }
    }
}

/// The claims of one verified ID token that the issuer's entry gives a meaning to. Kept with the session, so that
/// each later decision maps them again under today's entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// `sub`
    pub sub: String,
    /// Where they come from.
    #[serde(default)]
    pub picked: Picked,
    /// How the token was obtained.
    pub flow: Flow,
    /// `auth_time`, if the provider said it.
    pub auth_time: Option<Timestamp>,
    /// `amr`
    pub methods: Vec<String>,
    /// `acr`
    pub level: Option<String>,
    /// `email`, as it came.
    #[serde(default, deserialize_with = "claims::present", skip_serializing_if = "Option::is_none")]
    pub email: Option<Value>,
    /// `email_verified`, as it came.
    #[serde(default, deserialize_with = "claims::present", skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<Value>,
    /// The claim named by the entry's `username`, as it came.
    #[serde(default, deserialize_with = "claims::present", skip_serializing_if = "Option::is_none")]
    pub username: Option<Value>,
    /// The claim named by the entry's `groups`, as it came.
    #[serde(default, deserialize_with = "claims::present", skip_serializing_if = "Option::is_none")]
    pub groups: Option<Value>,
    /// The values of the entry's `tags`, as texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// `sid`: the provider's own session, by which it may log it out (OpenID Connect Back-Channel Logout 1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
}

/// A person or workload whose token was verified and whom the issuer's entry admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedIdentity {
    issuer: Name,
    sub: String,
    kind: IdentityKind,
    name: Name,
    login: Option<Name>,
    email: Option<String>,
    groups: BTreeSet<Name>,
    tags: BTreeMap<String, String>,
    flow: Flow,
    auth_time: Option<Timestamp>,
    methods: Vec<String>,
    level: Option<String>,
    privileged: bool,
}

impl VerifiedIdentity {
    /// Reads verified claims under the issuer's entry: the only way to an identity.
    ///
    /// # Errors
    /// `token_subject`, `token_claims`, `email_not_verified`, `domain_not_allowed`; `session_ended` for claims that
    /// were picked under an entry that took them from elsewhere.
    pub fn admit(rules: &IssuerRules, claims: &Claims) -> Result<Self, Problem> {
        if claims.picked != Picked::from(rules) {
            return Err(Problem::new(
                Code::SessionEnded,
                "The CA reads your identity provider's claims in another way since you logged in: log in again with `jit-ssh login`.",
            ));
        }
        let sub = attributes::subject(&claims.sub)?;
        let email = attributes::email(claims)?;
        attributes::check_domain(&rules.allowed_domains, claims, email)?;
        let login = match &rules.username {
            Some(claim) => attributes::login(claim, claims.username.as_ref())?,
            None => None,
        };
        let groups = match &rules.groups {
            Some(claim) => attributes::groups(claim, claims.groups.as_ref(), &rules.groups_map)?,
            None => BTreeSet::new(),
        };
        let name = match &login {
            Some(login) => login.clone(),
            None => derived::name(&rules.url, sub)?,
        };
        Ok(Self {
            issuer: rules.name.clone(),
            sub: sub.into(),
            kind: rules.kind,
            name,
            login,
            email: email.map(Into::into),
            groups,
            tags: claims.tags.clone(),
            flow: claims.flow,
            auth_time: claims.auth_time,
            methods: claims.methods.clone(),
            level: claims.level.clone(),
            privileged: rules.kind == IdentityKind::User
                && (claims.flow.has_nonce() || rules.privileged_flows),
        })
    }

    /// The same identity as though they had proved who they are at another time: for questions about what would be, whose
    /// answers grant nothing.
    #[must_use]
    pub(crate) fn supposing_login(&self, auth_time: Timestamp) -> Self {
        Self { auth_time: Some(auth_time), ..self.clone() }
    }

    /// The issuer's alias.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// The issuer's `sub`. With the issuer, this is who it is; nothing else is.
    #[must_use]
    pub fn sub(&self) -> &str {
        &self.sub
    }

    /// People or workload.
    #[must_use]
    pub fn kind(&self) -> IdentityKind {
        self.kind
    }

    /// The name in policies and key IDs: the login, or `id-…` (DESIGN 4).
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The login that the trusted claim names, if it is in the alphabet.
    #[must_use]
    pub fn login(&self) -> Option<&Name> {
        self.login.as_ref()
    }

    /// The e-mail address, if it is verified.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// Mapped groups.
    #[must_use]
    pub fn groups(&self) -> &BTreeSet<Name> {
        &self.groups
    }

    /// Tags: the claims that the issuer's entry hands on to policy.
    #[must_use]
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    /// Whether this login may approve, administer and break glass, if policy lets it: people only, and from a flow
    /// whose tokens carry our nonce, unless the issuer's entry says otherwise (`privileged_flows`, DESIGN 5).
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        self.privileged
    }

    /// How they logged in.
    #[must_use]
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// When they last proved who they are to the provider, if it said so.
    #[must_use]
    pub fn auth_time(&self) -> Option<Timestamp> {
        self.auth_time
    }

    /// How they proved it (`amr`).
    #[must_use]
    pub fn methods(&self) -> &[String] {
        &self.methods
    }

    /// How well they proved it (`acr`).
    #[must_use]
    pub fn level(&self) -> Option<&str> {
        self.level.as_deref()
    }
}
