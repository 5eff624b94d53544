//! The changes there are. Each carries its preconditions and what its event says; the append transaction checks the
//! ones and writes the other.

use jit_ssh_core::cert::{CertError, Prepared};
use jit_ssh_core::grant::Grant;
use jit_ssh_core::identity::{Claims, Flow};
use jit_ssh_core::request::AccessRequest;
use jit_ssh_proto::event::{Actor, LogFilter, PolicyLoaded, What};
use jit_ssh_proto::{Code, Name, RequestId, SessionId, Text, Timestamp, UserKey};

use sha2::{Digest, Sha256};

mod identity;

pub use identity::{
    Answer, BindIssuer, Changed, ClaimRevalidation, DisableIdentity, EnableIdentity, LogOut, ReleaseLogin,
    Revalidated,
};

use super::erase::NotErasable;
use super::tree::{NodeHash, TreeHead};

/// A signed call's unique id, to be used up. The signature is over both parts, and so no signed call is good twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallId {
    /// The id in the signature.
    pub id: String,
    /// The time in the signature; whoever takes it has seen that it is near.
    pub signed: Timestamp,
}

/// One change. Events are built inside from these fields, so that state and event cannot differ.
pub enum Change {
    /// Only an event: CA initialised, key used.
    Record(RecordEvent),
    /// Policies and inventory come into force.
    LoadRules(LoadRules),
    /// A session begins (or is the same token's from the same key again).
    OpenSession(Box<OpenSession>),
    /// A verified token is refused.
    RefuseSession(RefuseSession),
    /// A session ends.
    EndSession(EndSession),
    /// The name of an issuer stands for a URL.
    BindIssuer(BindIssuer),
    /// Nobody logs in as an identity any more.
    DisableIdentity(DisableIdentity),
    /// It may log in again.
    EnableIdentity(EnableIdentity),
    /// A login is nobody's.
    ReleaseLogin(ReleaseLogin),
    /// A provider says that somebody logged out.
    LogOut(LogOut),
    /// A process takes it on itself to ask the provider about a session.
    ClaimRevalidation(ClaimRevalidation),
    /// What that came to.
    Revalidated(Revalidated),
    /// A request is allowed or denied.
    DecideRequest(Box<DecideRequest>),
    /// A certificate is determined.
    IssueCertificate(IssueCertificate),
    /// Part of the ledger is about to be given to somebody in one stream.
    ExportLog(ExportLog),
    /// An event's body goes.
    EraseEvent(EraseEvent),
    /// What the store holds came from a backup; only inside the transaction that brings it in.
    Restored(Restored),
}

/// An event without state of its own.
pub struct RecordEvent {
    /// Who.
    pub actor: Actor,
    /// What.
    pub what: What,
}

/// Policies and inventory come into force.
///
/// The event's `previous` is the set that the ledger has as the last one, whoever put it in force. A set that is that one
/// already is not recorded again unless `always`: its outcome is the leaf of the event that is there. So of several
/// processes that load one set at one time, one says so.
pub struct LoadRules {
    /// The event. `previous` is the set that its `changes` were found against: where the ledger has another one, they say
    /// nothing and are left out.
    pub loaded: PolicyLoaded,
    /// Whether to record it also if it is the last one: at the start of a process.
    pub always: bool,
}

/// An event's body, its salt and what tells whose it was go; so does the row of a request that repeats it. The leaf
/// stays. Preconditions: [`NotErasable`] says them.
pub struct EraseEvent {
    /// The leaf.
    pub leaf: u64,
    /// Why.
    pub reason: Text,
}

/// The ledger came back from a backup.
///
/// What was recorded after the backup is unknown, and so: serials jump, every session has ended, every certificate that
/// may still be good is revoked, and calls and tokens from before now are refused.
pub struct Restored {
    /// How many leaves the backup had.
    pub leaves: u64,
    /// SHA-256 of the backup, lower-case hex.
    pub from: String,
    /// Every authority there is, with the first of its serials to be revoked; none for one that signs no users'.
    pub authorities: Vec<(Name, Option<u64>)>,
    /// How far serials jump.
    pub jump: u64,
    /// Why certificates are revoked.
    pub reason: Text,
}

/// A session begins.
///
/// Preconditions: the call id is unused (`signature_replayed`); the token is unused, or opened this very session
/// (`token_used`; so is one from before a restoration, which nobody can know), which must not have been ended (`session_ended`) or be over (`session_expired`); login and name
/// are nobody else's, nor ever were since the operator released them (`login_taken`); the issuer's name stands for the
/// issuer that the claims are from (`issuer_moved`); the identity is not disabled (`identity_disabled`).
///
/// The same token from the same key again changes only the bearer token; its outcome is the first one's: leaf and
/// time of the event that is there, whose session keeps its end.
pub struct OpenSession {
    /// The signed call.
    pub call: CallId,
    /// SHA-256 of the bearer token; replaces the earlier one if the session is there.
    pub token_hash: [u8; 32],
    /// The issuer's alias.
    pub issuer: Name,
    /// Its subject (also in `claims`).
    pub claims: Claims,
    /// The name in policies and key IDs.
    pub name: Name,
    /// The login, which is this identity's from now on.
    pub login: Option<Name>,
    /// The verified e-mail address.
    pub email: Option<String>,
    /// Mapped groups.
    pub groups: Vec<Name>,
    /// How they logged in.
    pub flow: Flow,
    /// The session key.
    pub key: UserKey,
    /// When it ends.
    pub expires: Timestamp,
    /// The ID token's replay key (DESIGN 9).
    pub replay: [u8; 32],
    /// The token's `iat`.
    pub issued: Timestamp,
    /// Until when the token must be remembered: past that it has expired.
    pub replay_until: Timestamp,
    /// The caller's address.
    pub source: String,
    /// The refresh token that came with it, sealed, and when the provider is first asked.
    pub refresh: Option<Refresh>,
}

/// What a provider is asked about a session with.
#[derive(Clone, PartialEq, Eq)]
pub struct Refresh {
    /// The refresh token, encrypted.
    pub token: Vec<u8>,
    /// When it is first used.
    pub due: Timestamp,
}

impl OpenSession {
    /// The session that a token opens: the ULID of its `iat` and of its replay key. So a token names one session: the
    /// same one from the same key again, and none from another key (DESIGN 9).
    #[must_use]
    pub fn session_of(issued: Timestamp, replay: &[u8; 32]) -> SessionId {
        let digest = Sha256::new().chain_update("jit-ssh-session-v2").chain_update(replay).finalize();
        let random = digest.iter().take(10).fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
        SessionId::from_parts(issued.seconds().saturating_mul(1000), random)
    }

    /// The session that this one's token opens.
    #[must_use]
    pub fn session(&self) -> SessionId {
        Self::session_of(self.issued, &self.replay)
    }
}

/// A verified token is refused; the event only, so that probing shows.
pub struct RefuseSession {
    /// Who.
    pub actor: Actor,
    /// Why.
    pub code: Code,
    /// The session key's fingerprint.
    pub key: String,
    /// The token's replay key.
    pub replay: [u8; 32],
    /// The caller's address.
    pub source: String,
}

/// A session ends. Preconditions: the call id is unused; the session is the actor's (`not_found`) and live.
pub struct EndSession {
    /// The signed call.
    pub call: CallId,
    /// The session.
    pub session: SessionId,
    /// Who.
    pub actor: Actor,
    /// The caller's address.
    pub source: String,
}

/// A request is decided.
///
/// Preconditions: the call id, if there is one here, is unused; the session is the actor's (`not_found`) and live
/// (`session_expired`, `session_ended`).
pub struct DecideRequest {
    /// The signed call; none when `OpenSession` before it in the same `apply` used it up, which must have succeeded.
    pub call: Option<CallId>,
    /// The session.
    pub session: SessionId,
    /// Who.
    pub actor: Actor,
    /// The caller's address.
    pub source: String,
    /// The request's id.
    pub id: RequestId,
    /// What was asked.
    pub asked: AccessRequest,
    /// The digest of the set that decided.
    pub policy_digest: String,
    /// What came out.
    pub decided: Decided,
}

/// Part of the ledger is about to be given to somebody.
///
/// Preconditions: the session is live and the actor's.
pub struct ExportLog {
    /// The session.
    pub session: SessionId,
    /// Who.
    pub actor: Actor,
    /// The caller's address.
    pub source: String,
    /// What it is narrowed to.
    pub filter: LogFilter,
}

/// What came out of a decision.
pub enum Decided {
    /// Allowed.
    Granted(Grant),
    /// Refused.
    Denied {
        /// Why.
        code: Code,
        /// The policies that refused it.
        policies: Vec<String>,
    },
}

/// Determines a certificate from the serial, the ledger's time and the session's end, all three read inside the
/// append transaction. Pure.
pub type Prepare = Box<dyn FnOnce(u64, Timestamp, Timestamp) -> Result<Prepared, CertError> + Send>;

/// A certificate is determined.
///
/// Preconditions: the session is live and the actor's; the request was granted to this session in this store
/// (`not_found`); the grant is not over ([`CertError::Ended`]); what is prepared lies within what the store gave
/// and granted (a [`CertError::Lint`] named `ledger`).
pub struct IssueCertificate {
    /// The request whose grant this is under.
    pub request: RequestId,
    /// The session.
    pub session: SessionId,
    /// Who.
    pub actor: Actor,
    /// The caller's address.
    pub source: String,
    /// The authority that gives the serial.
    pub authority: Name,
    /// What determines the certificate.
    pub prepare: Prepare,
}

/// What a change came to.
#[derive(Debug)]
pub struct Outcome {
    /// The leaf of its event; where it has none, of the last one that it stands on.
    pub leaf: u64,
    /// The ledger's time of its event.
    pub time: Timestamp,
    /// The sessions that it ended, besides an [`EndSession`]'s own.
    pub ended: Vec<SessionId>,
    /// The certificate to sign, for `IssueCertificate`.
    pub prepared: Option<Prepared>,
    /// Its event and that the ledger has it, for `IssueCertificate`.
    pub recorded: Option<Recorded>,
}

impl Outcome {
    /// Of an event, with nothing more.
    pub(super) fn of(leaf: u64, time: Timestamp) -> Self {
        Self { leaf, time, ended: Vec::new(), prepared: None, recorded: None }
    }
}

/// An event and the proof that it is in the ledger.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The canonical event.
    pub event: Vec<u8>,
    /// Its salt.
    pub salt: [u8; 32],
    /// The path from its leaf to the root (RFC 6962 section 2.1.1).
    pub proof: Vec<NodeHash>,
    /// The tree that the proof is of: the ledger after the transaction that holds the event.
    pub head: TreeHead,
}

/// A precondition did not hold. Nothing of this change was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// One of `signature_replayed`, `token_used`, `login_taken`, `identity_disabled`, `issuer_moved`,
    /// `session_expired`, `session_ended`, `not_found`; `internal` for a change that contradicts itself.
    #[error("{0}")]
    Precondition(Code),
    /// No certificate can be prepared.
    #[error(transparent)]
    Prepare(#[from] CertError),
    /// The event stays as it is.
    #[error(transparent)]
    NotErasable(#[from] NotErasable),
}
