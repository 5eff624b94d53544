//! The CA's own verbs: what policy is asked about besides logins (DESIGN 5).
//!
//! A permit counts for a verb only if the scope of its action names it. `permit (principal, action, resource)` is
//! written with logins in mind, and must not hand out the CA. Every `forbid` counts that matches, and any error denies.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use cedar_policy::{ActionConstraint, Policy, PolicyId};
use jit_ssh_proto::{Code, Span, UserKey};

use super::annotations::Rule;
use super::conditions::Question;
use super::facts::{self, Asking, Untold};
use super::{Circumstances, Denial, Rules, refusal};
use crate::identity::VerifiedIdentity;

/// What somebody may be let do with the CA itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Read the ledger: everybody's events.
    Audit,
    /// Answer another's request.
    Approve,
    /// Change what the CA itself works with.
    Administer,
}

/// Whether a verb is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Yes, by these policies.
    Given(Vec<String>),
    /// No.
    Denied(Denial),
}

impl Verb {
    /// Every verb that is asked about.
    pub const ALL: [Self; 3] = [Self::Audit, Self::Approve, Self::Administer];

    /// The word in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Approve => "approve",
            Self::Administer => "administer",
        }
    }

    /// What it is done to, in policies: the id of a `Request`.
    pub(super) fn object(self) -> &'static str {
        match self {
            Self::Audit => "ledger",
            Self::Approve => "request",
            Self::Administer => "ca",
        }
    }

    /// Whether a login must be privileged for it ([`VerifiedIdentity::is_privileged`]).
    fn needs_privilege(self) -> bool {
        match self {
            Self::Audit => false,
            Self::Approve | Self::Administer => true,
        }
    }

    fn no_access(self) -> Denial {
        let detail = match self {
            Self::Audit => {
                "No policy lets you read the ledger: ask the people who keep the access policies for `audit`."
            }
            Self::Approve => {
                "No policy lets you approve this: ask the people who keep the access policies for `approve`."
            }
            Self::Administer => {
                "No policy lets you administer the CA: ask the people who keep the access policies for `administer`."
            }
        };
        Denial { code: Code::NoAccess, detail: detail.into(), policies: Vec::new() }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The words of every verb of the schema, those of later versions too.
pub(super) const WORDS: [&str; 6] = ["approve", "revoke", "lock", "enroll", "audit", "administer"];

/// What the scope of a policy's action names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Nothing: every action there is.
    Open,
    /// Actions of logins only.
    Logins,
    /// Verbs of the CA only.
    Verbs,
    /// Some of each.
    Both,
}

impl Scope {
    pub(super) fn names_verbs(self) -> bool {
        match self {
            Self::Verbs | Self::Both => true,
            Self::Open | Self::Logins => false,
        }
    }
}

pub(super) fn scope(policy: &Policy) -> Scope {
    let is_verb = |uid: &cedar_policy::EntityUid| WORDS.contains(&uid.id().unescaped());
    let (mut verbs, mut logins) = (false, false);
    let mut see = |uid| if is_verb(uid) { verbs = true } else { logins = true };
    match policy.action_constraint() {
        ActionConstraint::Any => return Scope::Open,
        ActionConstraint::Eq(uid) => see(&uid),
        ActionConstraint::In(uids) => uids.iter().for_each(see),
    }
    match (verbs, logins) {
        (true, true) => Scope::Both,
        (true, false) => Scope::Verbs,
        // An empty list names nothing: such a policy matches nothing.
        (false, true | false) => Scope::Logins,
    }
}

/// Decides whether somebody may do it.
pub(super) fn may(
    rules: &Rules,
    identity: &VerifiedIdentity,
    verb: Verb,
    key: &UserKey,
    at: &Circumstances,
) -> Leave {
    if verb.needs_privilege() && !identity.is_privileged() {
        return Leave::Denied(refusal::not_privileged(identity, verb.as_str()));
    }
    if let Some(denial) = rules.ended(identity, at) {
        return Leave::Denied(denial);
    }
    match ask(rules, identity, verb, key, at) {
        Ok(leave) => leave,
        Err(Untold) => Leave::Denied(refusal::failed(&BTreeSet::new())),
    }
}

fn ask(
    rules: &Rules,
    identity: &VerifiedIdentity,
    verb: Verb,
    key: &UserKey,
    at: &Circumstances,
) -> Result<Leave, Untold> {
    // 1. The question: who, which verb, now. What belongs to a request for access is empty.
    let vocabulary = &rules.vocabulary;
    let entities = vocabulary.entities(identity, core::iter::empty())?;
    let context = facts::context(rules.telling(), identity, &Asking::default(), Span::default(), key, at)?;
    let (action, resource) = vocabulary.verb(verb);
    let question = Question { principal: vocabulary.principal(identity), action, resource, context };
    // 2. Any error in any policy is a no.
    let compiled = &rules.compiled;
    let matched = match compiled.conditions.matched(question, &entities) {
        Ok(matched) => matched,
        Err(ids) => return Ok(Leave::Denied(refusal::failed(&ids))),
    };
    // 3. Only permits that name the verb count.
    let permits: Vec<&PolicyId> = matched.iter().copied().filter(|id| compiled.verbs.contains(*id)).collect();
    if permits.is_empty() {
        return Ok(Leave::Denied(verb.no_access()));
    }
    // 4. Every forbid counts; who would not be let without it was not told of it.
    let is_forbid = |id: &&PolicyId| match compiled.rules.get(*id) {
        Some(Rule::Permit(_)) => false,
        Some(Rule::Forbid(_)) | None => true,
    };
    let forbids: Vec<&PolicyId> = matched.into_iter().filter(is_forbid).collect();
    if forbids.is_empty() {
        return Ok(Leave::Given(permits.iter().map(ToString::to_string).collect()));
    }
    let reasons = forbids.into_iter().map(|id| (verb.to_string(), id));
    Ok(Leave::Denied(refusal::forbidden(reasons, compiled)))
}
