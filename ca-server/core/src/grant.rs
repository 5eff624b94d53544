//! A grant: an allowed request, bounded in time. Certificates are issued under it and never say more.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use jit_ssh_proto::event::Outcome;
use jit_ssh_proto::{GrantId, Name, RequestId, SessionId, Span, Timestamp};

use crate::places::Places;
use crate::policy::Allowed;
use crate::request::AccessRequest;

/// How far back a grant and a certificate reach, for hosts whose clock is behind (DESIGN 4).
pub const CLOCK_SKEW: Span = Span::from_seconds(60);

/// What a grant is for, besides the decision and the request.
#[derive(Clone, Copy, Debug)]
pub struct GrantFacts {
    /// The grant's id.
    pub id: GrantId,
    /// The request's id.
    pub request: RequestId,
    /// The session that asked.
    pub session: SessionId,
    /// The end of that session.
    pub session_ends: Timestamp,
    /// The configured maximum of any grant.
    pub max: Span,
    /// When it was decided.
    pub decided: Timestamp,
    /// The caller's address.
    pub source: IpAddr,
}

/// An allowed request. Cheap to clone: it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant(Arc<Granted>);

#[derive(Debug, PartialEq, Eq)]
struct Granted {
    id: GrantId,
    request: RequestId,
    session: SessionId,
    issuer: Name,
    name: Name,
    asked: AccessRequest,
    places: Arc<Places>,
    not_before: Timestamp,
    not_after: Timestamp,
    source_address: Option<IpAddr>,
    verify_required: bool,
    policies: Vec<String>,
    policy_digest: String,
}

impl Grant {
    /// Turns a decision into a grant: the only way to one. It starts a minute before the decision (clock skew) and
    /// ends with the shortest of the terms, the session and the configured maximum.
    #[must_use]
    pub fn new(allowed: Allowed, facts: &GrantFacts) -> Self {
        let length = allowed.duration().min(facts.max);
        let source_address = allowed.pin_source().then_some(facts.source);
        let verify_required = allowed.verify_required();
        let (issuer, name, asked, places, policies, policy_digest) = allowed.into_parts();
        Self(Arc::new(Granted {
            id: facts.id,
            request: facts.request,
            session: facts.session,
            issuer,
            name,
            asked,
            places,
            not_before: facts.decided.minus(CLOCK_SKEW),
            not_after: facts.decided.plus(length).min(facts.session_ends),
            source_address,
            verify_required,
            policies,
            policy_digest,
        }))
    }

    /// `grt_…`
    #[must_use]
    pub fn id(&self) -> GrantId {
        self.0.id
    }

    /// The request it answers.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.0.request
    }

    /// The session it belongs to.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// The issuer's alias.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.0.issuer
    }

    /// The identity's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// What was asked, and is granted as it was asked: accounts, mode, modifiers, command.
    #[must_use]
    pub fn asked(&self) -> &AccessRequest {
        &self.0.asked
    }

    /// Where it leads: the hosts that the accounts came to, and what certificates call them.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.0.places
    }

    /// Its first second.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.0.not_before
    }

    /// Its end.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }

    /// The one address its certificates are good from, if policy pins it.
    #[must_use]
    pub fn source_address(&self) -> Option<IpAddr> {
        self.0.source_address
    }

    /// Whether sshd must demand user verification.
    #[must_use]
    pub fn verify_required(&self) -> bool {
        self.0.verify_required
    }

    /// The policies that allowed it.
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.0.policies
    }

    /// The digest of the set that decided.
    #[must_use]
    pub fn policy_digest(&self) -> &str {
        &self.0.policy_digest
    }

    /// The grant as the outcome of its request, for the ledger.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome::Granted {
            grant: self.0.id,
            policies: self.0.policies.clone(),
            not_before: self.0.not_before,
            not_after: self.0.not_after,
        }
    }
}
