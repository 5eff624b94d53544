//! From what the store, the core and the signer say to what a caller is told. Causes go to the log, never out.

use jit_ssh_core::cert::CertError;
use jit_ssh_proto::{Code, Problem};

use super::Service;
use crate::signer::SignerError;
use crate::store::{Change, Outcome, Refusal, StoreError};

impl Service {
    /// Applies one change and maps every way in which it can fail.
    pub(super) async fn apply_one(&self, change: Change) -> Result<Outcome, Problem> {
        let outcomes = self.store.apply(self.clock.now(), vec![change]).await.map_err(store)?;
        take(&mut outcomes.into_iter())
    }
}

/// The next outcome of a batch.
pub(super) fn take(
    outcomes: &mut impl Iterator<Item = Result<Outcome, Refusal>>,
) -> Result<Outcome, Problem> {
    match outcomes.next() {
        Some(Ok(outcome)) => Ok(outcome),
        Some(Err(refusal)) => Err(refused(refusal)),
        None => Err(internal("the store answered fewer outcomes than changes")),
    }
}

pub(super) fn store(error: StoreError) -> Problem {
    tracing::error!(%error, "store");
    match error {
        StoreError::Unavailable(_) | StoreError::Unusable(_) => Problem::new(
            Code::StoreUnavailable,
            "The CA's database does not answer: try again; if it stays so, tell the CA's operator.",
        ),
        StoreError::ReadOnly(_) => Problem::new(
            Code::StoreReadOnly,
            "The CA cannot write its records, so it issues nothing: try again; if it stays so, tell the CA's operator.",
        ),
        StoreError::ClockOff { .. } => Problem::new(
            Code::ClockOff,
            "The CA's clock is not its database's, so this server issues nothing: try again; if it stays so, tell the CA's operator.",
        ),
        StoreError::ClockBehind { .. } => Problem::new(
            Code::ClockBehind,
            "The CA's clock is behind its own records, so it issues nothing: tell the CA's operator to set the clock.",
        ),
    }
}

pub(super) fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Precondition(code) => Problem::new(code, sentence(code)),
        Refusal::Prepare(CertError::Ended) => {
            Problem::new(Code::SessionExpired, sentence(Code::SessionExpired))
        }
        Refusal::Prepare(error @ (CertError::Lint { .. } | CertError::Encoding | CertError::Signature)) => {
            internal(error)
        }
        // Nobody erases through the API.
        Refusal::NotErasable(error) => internal(error),
    }
}

pub(super) fn signer(error: &SignerError) -> Problem {
    tracing::error!(%error, "signer");
    signer_failed()
}

pub(super) fn bad_signature(error: &CertError) -> Problem {
    tracing::error!(%error, "what the signer returned does not verify");
    signer_failed()
}

fn signer_failed() -> Problem {
    Problem::new(
        Code::SignerFailed,
        "The CA's signer failed: try again; if it stays so, tell the CA's operator.",
    )
}

pub(super) fn internal(cause: impl std::fmt::Display) -> Problem {
    tracing::error!(%cause, "internal error");
    Problem::new(
        Code::Internal,
        "The CA failed: try again; if it stays so, tell the CA's operator the time of this call.",
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only these codes come from the store; any other is our fault"
)]
fn sentence(code: Code) -> &'static str {
    match code {
        Code::SignatureReplayed => "This very call was made before: make a new one.",
        Code::TokenUsed => {
            "This ID token already opened a session of another key: log in again with `jit-ssh login`; a job needs a new token of its platform."
        }
        Code::LoginTaken => {
            "Your login name belongs to another identity here: ask the CA's operator, who sees whose it is with `jit-ssh-ca identity show NAME` and makes it free with `identity release NAME`."
        }
        Code::IdentityDisabled => "Your identity was disabled here: ask the CA's operator.",
        Code::IssuerMoved => {
            "The name of your identity provider stands for another one in the CA's records: tell the CA's operator to run `jit-ssh-ca identity move-issuer`."
        }
        Code::SessionExpired => "This session has expired: log in again with `jit-ssh login`.",
        Code::SessionEnded => "This session was ended: log in again with `jit-ssh login`.",
        Code::NotFound => "There is no such grant: ask for access again.",
        _ => "The CA refuses this: try again; if it stays so, tell the CA's operator.",
    }
}
