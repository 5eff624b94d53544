//! Changes to who may log in, and to sessions that somebody else than their owner ends or changes.

use jit_ssh_core::identity::Claims;
use jit_ssh_proto::event::{Actor, EndReason};
use jit_ssh_proto::{Name, SessionId, Text, Timestamp};

use super::CallId;

/// The name of an issuer stands for a URL.
///
/// Preconditions: the name is bound to nothing, or to this URL (then nothing is recorded), or `moves` (`issuer_moved`).
pub struct BindIssuer {
    /// The CA when it starts with an entry for the first time, or the operator.
    pub actor: Actor,
    /// The alias.
    pub issuer: Name,
    /// The issuer identifier.
    pub url: String,
    /// Whether it may take the place of another URL.
    pub moves: bool,
}

/// Nobody logs in as this identity any more, and its sessions end.
///
/// Preconditions: it is not disabled (`identity_disabled`).
pub struct DisableIdentity {
    /// Who.
    pub actor: Actor,
    /// The issuer's alias.
    pub issuer: Name,
    /// Its subject.
    pub sub: String,
    /// The name by which it is known.
    pub name: Option<Name>,
    /// Why.
    pub reason: Text,
}

/// It may log in again. Preconditions: it is disabled (`not_found`).
pub struct EnableIdentity {
    /// Who.
    pub actor: Actor,
    /// The issuer's alias.
    pub issuer: Name,
    /// Its subject.
    pub sub: String,
    /// The name by which it is known.
    pub name: Option<Name>,
}

/// A login or name is nobody's, and the sessions of the identity that had it end.
///
/// Preconditions: somebody has it (`not_found`).
pub struct ReleaseLogin {
    /// Who.
    pub actor: Actor,
    /// The login or name.
    pub login: Name,
}

/// A provider says that somebody logged out there: those of their sessions end that are meant.
///
/// Preconditions: the logout token was not used before (`signature_replayed`). An outcome without an event, if no session
/// is meant.
pub struct LogOut {
    /// The logout token: what makes it this one, and when it was issued.
    pub token: CallId,
    /// The issuer's alias.
    pub issuer: Name,
    /// The subject, if the token names one.
    pub sub: Option<String>,
    /// The provider's session, if the token names one. With a subject: sessions of which it is not known are meant too.
    pub sid: Option<String>,
    /// The caller's address.
    pub source: String,
}

/// A process takes it on itself to ask the provider about a session.
///
/// Preconditions: there is a refresh token, it is due, and nobody else is about it (`not_found`); the session is live.
pub struct ClaimRevalidation {
    /// The session.
    pub session: SessionId,
    /// Who: random, so that no two processes are the same.
    pub holder: String,
    /// Until when nobody else takes it on.
    pub until: Timestamp,
}

/// What asking the provider about a session came to.
///
/// Preconditions: this process took it on and no other since (`not_found`); the session is live.
pub struct Revalidated {
    /// The session.
    pub session: SessionId,
    /// Who took it on.
    pub holder: String,
    /// What the provider said.
    pub answer: Answer,
}

/// What a provider said of a session.
pub enum Answer {
    /// It stands by it.
    Stands {
        /// The refresh token from now on, sealed, if there is a new one.
        token: Option<Vec<u8>>,
        /// When it is asked next.
        due: Timestamp,
        /// What it says of the identity now, where that is not what it said before.
        changed: Option<Box<Changed>>,
    },
    /// It could not say.
    Trouble {
        /// When it is asked next.
        due: Timestamp,
    },
    /// The session is over.
    Over(EndReason),
}

/// What a provider says of an identity now.
pub struct Changed {
    /// The claims from now on.
    pub claims: Claims,
    /// The verified e-mail address.
    pub email: Option<String>,
    /// Mapped groups.
    pub groups: Vec<Name>,
}
