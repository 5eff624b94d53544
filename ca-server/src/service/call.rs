//! A call as the services see it, and the proof that the session key made it (invariant 6).

use std::net::IpAddr;

use jit_ssh_core::proof::Claim;
use jit_ssh_proto::{
    Code, MAX_CLOCK_SKEW_SECONDS, Problem, RequestSignature, SessionId, SignedRequest, Span, SshSigError,
    UserKey,
};

use super::Service;
use super::issue::{Ask, OpenedAsk, not_possessed};
use crate::store::{CallId, Coming};

/// What came in, free of HTTP types.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path with its query, as sent.
    pub path: &'a str,
    /// The body, as sent.
    pub body: &'a [u8],
    /// The value of the `Jit-Ssh-Signature` header, if there is one.
    pub signature: Option<&'a str>,
    /// The caller's address.
    pub source: IpAddr,
}

/// A call whose signature verified and whose time is near. Its id is still to be used up, in the transaction that
/// does what it asks.
#[derive(Debug)]
pub struct SignedCall {
    pub(super) id: CallId,
    pub(super) source: IpAddr,
    /// Whatever is signed will append.
    pub(super) coming: Coming,
}

/// A call that says who signed it, and when, just now.
pub(super) struct OpenedCall {
    call: SignedCall,
    claim: Claim,
}

impl OpenedCall {
    /// Its id, which is not yet anybody's.
    pub(super) fn id(&self) -> &str {
        &self.call.id.id
    }
}

impl Service {
    /// Checks everything of a call but the arithmetic: that it says to be signed by `key`, for this CA and session,
    /// within the last minute.
    ///
    /// # Errors
    /// `signature_missing`, `signature_malformed`, `signature_stale`, `signature_invalid`.
    pub(super) fn open_call(
        &self,
        call: &Call<'_>,
        session: Option<&SessionId>,
        key: &UserKey,
    ) -> Result<OpenedCall, Problem> {
        let header = call.signature.ok_or_else(|| {
            Problem::new(Code::SignatureMissing, "This call must carry a Jit-Ssh-Signature header made with the session key: use a current jit-ssh.")
        })?;
        let signature: RequestSignature = header.parse().map_err(|e| {
            Problem::new(
                Code::SignatureMalformed,
                format!("The Jit-Ssh-Signature header {e}: use a current jit-ssh."),
            )
        })?;
        let now = self.clock.now();
        let skew = Span::from_seconds(MAX_CLOCK_SKEW_SECONDS);
        if signature.time().plus(skew) < now || signature.time() > now.plus(skew) {
            return Err(Problem::new(
                Code::SignatureStale,
                format!(
                    "The call was signed at {} by the caller's clock, and it is {} here: set the clock of this machine and try again.",
                    signature.time(),
                    now
                ),
            ));
        }
        let signed =
            SignedRequest { ca: &self.ca_id, method: call.method, path: call.path, session, body: call.body };
        let coming = self.store.announce();
        let (message, by_key) = signed.open(key.public_key(), &signature).map_err(|_| invalid())?;
        let claim = Claim::new(key.clone(), message, by_key);
        let id = CallId { id: signature.id().to_owned(), signed: signature.time() };
        Ok(OpenedCall { call: SignedCall { id, source: call.source, coming }, claim })
    }

    /// Proves a call, and with it that its caller holds the key that it asks a certificate for. Nothing of what is
    /// asked is told of to a caller whose own signature does not hold.
    ///
    /// # Errors
    /// `signature_invalid`; then what is wrong with what was asked, or `possession_invalid`.
    pub(super) async fn prove_call(
        &self,
        opened: OpenedCall,
        asked: Option<Result<OpenedAsk, Problem>>,
    ) -> Result<(SignedCall, Option<Ask>), Problem> {
        let OpenedCall { call, claim } = opened;
        let (ask, possession) = match asked {
            None => (None, None),
            Some(Ok(OpenedAsk { ask, possession })) => (Some(Ok(ask)), Some(possession)),
            Some(Err(problem)) => (Some(Err(problem)), None),
        };
        let proven = self.proofs.prove([Some(claim), possession]).await;
        let [Some(_), possession] = proven else { return Err(invalid()) };
        let ask = ask.transpose()?;
        if ask.is_some() && possession.is_none() {
            return Err(not_possessed(&SshSigError::Invalid.to_string()));
        }
        Ok((call, ask))
    }
}

fn invalid() -> Problem {
    Problem::new(
        Code::SignatureInvalid,
        "The call's signature is not by the session key over this call: log in again with `jit-ssh login`.",
    )
}
