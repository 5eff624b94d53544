//! What may be erased: a body whose event nothing stands on any more. Pure.

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::event::{Outcome, Reading, What};

use super::facts::ErasingFact;

/// Why an event's body stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotErasable {
    /// There is no such leaf.
    #[error("there is no event {0}")]
    NoSuchEvent(u64),
    /// It was erased before.
    #[error("event {0} is erased already")]
    Already(u64),
    /// An event about the ledger itself, which says of nobody anything but explains the rest.
    #[error("event {leaf} is {kind}, which explains the rest of the ledger: such events stay")]
    Kind {
        /// The leaf.
        leaf: u64,
        /// Its kind.
        kind: String,
    },
    /// It is still needed.
    #[error("{what} of event {leaf} lasts until {}: erase it after that", until.seconds())]
    Lasts {
        /// The leaf.
        leaf: u64,
        /// The certificate or grant.
        what: &'static str,
        /// Its end.
        until: Timestamp,
    },
    /// A session's row still has what the event says.
    #[error(
        "the session of event {0} is still remembered, so that its token cannot be used again: erase it a day after the session's end"
    )]
    Session(u64),
}

/// What an erasure takes along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Erasable {
    /// The row of this request: it repeats what the event says.
    pub(super) request: Option<String>,
}

/// Whether an event may be erased at `now`.
pub(super) fn erasable(
    leaf: u64,
    fact: Option<&ErasingFact>,
    now: Timestamp,
) -> Result<Erasable, NotErasable> {
    let fact = fact.ok_or(NotErasable::NoSuchEvent(leaf))?;
    let body = fact.body.as_ref().ok_or(NotErasable::Already(leaf))?;
    let stays = || NotErasable::Kind { leaf, kind: fact.kind.clone() };
    // What a later version wrote may be needed by it.
    let Ok(Reading::Known(event)) = Reading::of(body) else { return Err(stays()) };
    match &event.what {
        What::CaInitialised(_)
        | What::PolicyLoaded(_)
        | What::ConfigChanged(_)
        | What::KeyUsed(_)
        | What::KeyAdded(_)
        | What::EventErased(_)
        | What::IdentityDisabled(_)
        | What::IdentityEnabled(_)
        | What::LoginReleased(_)
        | What::IssuerBound(_)
        | What::CertificateRevoked(_)
        | What::StoreRestored(_)
        | What::StoreMoved(_) => Err(stays()),
        What::CertificateIssued(issued) if issued.valid_before > now => {
            Err(NotErasable::Lasts { leaf, what: "the certificate", until: issued.valid_before })
        }
        What::SessionOpened(_) | What::SessionEnded(_) | What::SessionRevalidated(_) if fact.session => {
            Err(NotErasable::Session(leaf))
        }
        What::RequestDecided(decided) => match &decided.outcome {
            Outcome::Granted { not_after, .. } if *not_after > now => {
                Err(NotErasable::Lasts { leaf, what: "the grant", until: *not_after })
            }
            Outcome::Granted { .. } | Outcome::Denied { .. } => {
                Ok(Erasable { request: Some(decided.request.to_string()) })
            }
        },
        What::CertificateIssued(_)
        | What::SessionOpened(_)
        | What::SessionRefused(_)
        | What::SessionEnded(_)
        | What::SessionRevalidated(_)
        | What::LogExported(_) => Ok(Erasable { request: None }),
    }
}
