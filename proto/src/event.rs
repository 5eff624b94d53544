//! What the ledger records: one typed, versioned event for each thing that happens (DESIGN 7).
//!
//! The canonical form of an event is compact JSON with the fields in the order written here, absent options left
//! out. A leaf is SHA-256(salt ‖ canonical form). The forms of version 1 never change: `proto/golden/events` holds
//! one of each; new needs get new kinds, optional fields or a new version. `docs/EVENTS.md` says every field. Readers
//! that must cope with what later versions write go through [`Reading`].

mod filter;
mod identity;
mod operation;
mod reading;
mod rules;
mod summary;

pub use filter::FilterError;
pub use identity::{
    EndReason, IdentityDisabled, IdentityEnabled, IssuerBound, LoginReleased, SessionRevalidated,
};
pub use operation::{
    CertificateRevoked, ConfigChanged, EventErased, KeyAdded, KeyUsed, LogExported, LogFilter, SerialJump,
    StoreMoved, StoreRestored,
};
pub use reading::{Common, Reading, Unreadable};
pub use rules::{Ruled, RulesChange};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Account, Code, Command, GrantId, Mode, Modifier, Name, RequestId, Salt, SessionId, Span, Text, Timestamp,
    UserKey,
};

/// The version that is written.
pub const EVENT_VERSION: u32 = 1;

/// One entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The version of the form: [`EVENT_VERSION`].
    pub v: u32,
    /// When it happened, by the ledger's time, which never goes back.
    pub time: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// The caller's address, if there was a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub enum Actor {
    /// A person or a workload: issuer + subject, with the name it had then.
    Identity {
        /// The issuer's alias.
        issuer: Name,
        /// The issuer's subject.
        sub: String,
        /// The name in policies and key IDs.
        name: Name,
    },
    /// The operator, at the CA's own console.
    Operator,
    /// The CA itself.
    Ca,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum What {
    /// The CA came to be, with its keys.
    #[serde(rename = "ca.initialised")]
    CaInitialised(CaInitialised),
    /// A set of policies and inventory is in force.
    #[serde(rename = "policy.loaded")]
    PolicyLoaded(PolicyLoaded),
    /// A session was opened.
    #[serde(rename = "session.opened")]
    SessionOpened(SessionOpened),
    /// A verified token did not become a session.
    #[serde(rename = "session.refused")]
    SessionRefused(SessionRefused),
    /// A session was ended before its time.
    #[serde(rename = "session.ended")]
    SessionEnded(SessionEnded),
    /// The provider was asked about a live session's identity again, and says other things of it now.
    #[serde(rename = "session.revalidated")]
    SessionRevalidated(SessionRevalidated),
    /// An identity may not log in any more.
    #[serde(rename = "identity.disabled")]
    IdentityDisabled(IdentityDisabled),
    /// It may again.
    #[serde(rename = "identity.enabled")]
    IdentityEnabled(IdentityEnabled),
    /// A login or name is nobody's again.
    #[serde(rename = "login.released")]
    LoginReleased(LoginReleased),
    /// An issuer's name stands for this URL from now on.
    #[serde(rename = "issuer.bound")]
    IssuerBound(IssuerBound),
    /// A request was allowed or denied.
    #[serde(rename = "request.decided")]
    RequestDecided(RequestDecided),
    /// A certificate was determined. Its signature follows only after this event is durable.
    #[serde(rename = "certificate.issued")]
    CertificateIssued(Box<CertificateIssued>),
    /// A certificate is no longer good.
    #[serde(rename = "certificate.revoked")]
    CertificateRevoked(CertificateRevoked),
    /// An authority has come: the CA has another key that signs certificates.
    #[serde(rename = "key.added")]
    KeyAdded(KeyAdded),
    /// A key that is no authority's signed something.
    #[serde(rename = "key.used")]
    KeyUsed(KeyUsed),
    /// The CA runs with another `ca.toml`.
    #[serde(rename = "config.changed")]
    ConfigChanged(ConfigChanged),
    /// Part of the record was streamed to somebody.
    #[serde(rename = "log.exported")]
    LogExported(Box<LogExported>),
    /// The body of an event was taken out.
    #[serde(rename = "event.erased")]
    EventErased(EventErased),
    /// The store came back from a backup.
    #[serde(rename = "store.restored")]
    StoreRestored(StoreRestored),
    /// The store moved to another engine.
    #[serde(rename = "store.moved")]
    StoreMoved(StoreMoved),
}

impl What {
    /// Every `type` there is.
    pub const KINDS: [&str; 20] = [
        "ca.initialised",
        "policy.loaded",
        "session.opened",
        "session.refused",
        "session.ended",
        "session.revalidated",
        "identity.disabled",
        "identity.enabled",
        "login.released",
        "issuer.bound",
        "request.decided",
        "certificate.issued",
        "certificate.revoked",
        "key.added",
        "key.used",
        "config.changed",
        "log.exported",
        "event.erased",
        "store.restored",
        "store.moved",
    ];

    /// The event's `type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CaInitialised(_) => "ca.initialised",
            Self::PolicyLoaded(_) => "policy.loaded",
            Self::SessionOpened(_) => "session.opened",
            Self::SessionRefused(_) => "session.refused",
            Self::SessionEnded(_) => "session.ended",
            Self::SessionRevalidated(_) => "session.revalidated",
            Self::IdentityDisabled(_) => "identity.disabled",
            Self::IdentityEnabled(_) => "identity.enabled",
            Self::LoginReleased(_) => "login.released",
            Self::IssuerBound(_) => "issuer.bound",
            Self::RequestDecided(_) => "request.decided",
            Self::CertificateIssued(_) => "certificate.issued",
            Self::CertificateRevoked(_) => "certificate.revoked",
            Self::KeyAdded(_) => "key.added",
            Self::KeyUsed(_) => "key.used",
            Self::ConfigChanged(_) => "config.changed",
            Self::LogExported(_) => "log.exported",
            Self::EventErased(_) => "event.erased",
            Self::StoreRestored(_) => "store.restored",
            Self::StoreMoved(_) => "store.moved",
        }
    }
}

/// `ca.initialised`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaInitialised {
    /// The CA's id.
    pub ca_id: crate::CaId,
    /// Name and public key line of each key.
    pub keys: Vec<(Name, String)>,
}

/// `policy.loaded`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLoaded {
    /// SHA-256 of the set, lower-case hex.
    pub digest: String,
    /// How many policies.
    pub policies: u64,
    /// How many hosts.
    pub hosts: u64,
    /// The digest that was in force before, if the ledger knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// What differs from the set before, if the process that loaded this one had it. Kinds without a difference are
    /// left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<RulesChange>,
}

/// `session.opened`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpened {
    /// The session.
    pub session: SessionId,
    /// The session key's fingerprint.
    pub key: String,
    /// The login that is the identity's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Name>,
    /// The verified e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Mapped groups.
    pub groups: Vec<Name>,
    /// The OIDC flow.
    pub flow: String,
    /// When the session ends.
    pub expires: Timestamp,
    /// The token's replay key, lower-case hex: never the token.
    pub token: String,
    /// SHA-256 of the claims that the CA keeps with the session, lower-case hex: what it is judged by later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
    /// Tags for policy and their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
    /// Logins and names that are this identity's from now on, and were nobody's before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub took: Vec<Name>,
}

/// `session.refused`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRefused {
    /// Why.
    pub code: Code,
    /// The session key's fingerprint.
    pub key: String,
    /// The token's replay key, lower-case hex.
    pub token: String,
}

/// `session.ended`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnded {
    /// The session.
    pub session: SessionId,
    /// Why, unless its owner ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<EndReason>,
}

/// `request.decided`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestDecided {
    /// The request.
    pub request: RequestId,
    /// The session it came from.
    pub session: SessionId,
    /// What was asked.
    pub asked: Asked,
    /// The digest of the policies and inventory that decided.
    pub policy_digest: String,
    /// The hosts that each group of hosts came to, if the request was granted: all of them, at the moment of deciding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Members>,
    /// What was decided.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What an account of a group of hosts came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// The account, as asked.
    pub account: Account,
    /// The hosts that were in the group, by name.
    pub hosts: Vec<Name>,
}

/// What was asked, in parsed form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The accounts.
    pub accounts: Vec<Account>,
    /// The mode.
    pub mode: Mode,
    /// The modifiers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modifiers: Vec<Modifier>,
    /// The command of `exec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// The duration, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// The reason.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub reason: Text,
    /// The ticket.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub ticket: Text,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// Allowed.
    Granted {
        /// The grant.
        grant: GrantId,
        /// The policies whose offers were taken.
        policies: Vec<String>,
        /// The first second of the grant.
        not_before: Timestamp,
        /// Its end.
        not_after: Timestamp,
    },
    /// Refused.
    Denied {
        /// Why.
        code: Code,
        /// The policies that forbade it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        policies: Vec<String>,
    },
}

/// `certificate.issued`: every field that determines the signed bytes, and their digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateIssued {
    /// The grant.
    pub grant: GrantId,
    /// The session.
    pub session: SessionId,
    /// The authority's name.
    pub authority: Name,
    /// The authority's public key line.
    pub authority_key: UserKey,
    /// `user` (1).
    pub cert_type: u32,
    /// 32 random bytes.
    pub nonce: Salt,
    /// The certified key.
    pub key: UserKey,
    /// Per authority, strictly increasing in ledger order.
    pub serial: u64,
    /// The key ID.
    pub key_id: String,
    /// In the certificate's order.
    pub principals: Vec<String>,
    /// The first second.
    pub valid_after: Timestamp,
    /// The end.
    pub valid_before: Timestamp,
    /// Name and value, in the certificate's order.
    pub critical_options: Vec<(String, String)>,
    /// Name and value, in the certificate's order.
    pub extensions: Vec<(String, String)>,
    /// SHA-256 of the to-be-signed bytes, lower-case hex.
    pub tbs_sha256: String,
    /// The digest of the policies and inventory that decided.
    pub policy_digest: String,
}

impl Event {
    /// The canonical form: what is stored and hashed.
    ///
    /// # Errors
    /// Never for events made of these types; the caller refuses rather than assumes it.
    pub fn canonical(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// The leaf of a canonical event: SHA-256(salt ‖ event), both raw.
    #[must_use]
    pub fn leaf(salt: &Salt, canonical: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(salt.as_bytes()).chain_update(canonical).finalize().into()
    }
}
