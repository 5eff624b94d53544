//! A call as the services see it, and the proof that the session key made it (invariant 6).

use std::net::IpAddr;

use jit_ssh_core::proof::Claim;
use jit_ssh_proto::{
    Code, MAX_CLOCK_SKEW_SECONDS, Problem, RequestSignature, SessionId, SignedRequest, Span, UserKey,
};

use super::Service;
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

impl Service {
    /// Checks that `key` signed this call, for this CA and session, within the last minute.
    ///
    /// # Errors
    /// `signature_missing`, `signature_malformed`, `signature_stale`, `signature_invalid`.
    pub(super) async fn verify_call(
        &self,
        call: &Call<'_>,
        session: Option<&SessionId>,
        key: &UserKey,
    ) -> Result<SignedCall, Problem> {
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
        let invalid = || {
            Problem::new(
                Code::SignatureInvalid,
                "The call's signature is not by the session key over this call: log in again with `jit-ssh login`.",
            )
        };
        let (message, by_key) = signed.open(key.public_key(), &signature).map_err(|_| invalid())?;
        self.proofs.prove(Claim::new(key.clone(), message, by_key)).await.ok_or_else(invalid)?;
        let id = CallId { id: signature.id().to_owned(), signed: signature.time() };
        Ok(SignedCall { id, source: call.source, coming })
    }
}
