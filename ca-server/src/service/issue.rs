//! The issue path: from a request to a certificate. Its steps are those of DESIGN 3 and `docs/ARCHITECTURE.md`:
//!
//! 1. parse        every field becomes a value that can only be valid
//! 2. possession   the caller holds the key that is to be certified
//! 3. decide       policy, purely
//! 4. record       one transaction: preconditions re-read, serial given, certificate determined, event durable
//! 5. sign         the prepared bytes and nothing else
//! 6. verify       what the signer returned
//! 7. reply
//!
//! decide → record → sign → verify → reply: no signature exists without a durable record that determines it.

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_core::authority::Authority;
use jit_ssh_core::cert::{CertError, Issuance, Prepared};
use jit_ssh_core::grant::{Grant, GrantFacts};
use jit_ssh_core::policy::{Circumstances, Decision, Rules};
use jit_ssh_core::proof::Claim;
use jit_ssh_core::request::AccessRequest;
use jit_ssh_proto::wire::{AccessRequestBody, Issued};
use jit_ssh_proto::{
    Code, GrantId, KeyError, Namespace, Problem, RequestId, Timestamp, UserKey, open, possession_message,
};

use super::{Service, Who, refusal};
use crate::crash;
use crate::entropy;
use crate::signer::Signer;
use crate::store::{CallId, Change, Coming, DecideRequest, Decided, IssueCertificate, OpenSession, Outcome};

/// A request whose fields are valid and whose key the caller holds: what steps 1 and 2 leave.
#[derive(Debug)]
pub struct Ask {
    request: AccessRequest,
    key: UserKey,
}

/// The same while it is not yet proven that the caller holds the key.
pub(super) struct OpenedAsk {
    pub(super) ask: Ask,
    pub(super) possession: Claim,
}

/// What uses up the call's id in the transaction: the request itself, or the session that the same call opens.
pub(super) enum Opening {
    Call(CallId),
    Session(Box<OpenSession>),
}

/// What the whole call came to.
pub(super) struct Answer {
    /// What opening the session came to, where the call did that.
    pub(super) opened: Option<Outcome>,
    /// The certificate, or why there is none.
    pub(super) issued: Result<Issued, Problem>,
}

impl Service {
    /// Steps 1 and 2, but for the arithmetic, which [`Service::prove_call`] does.
    pub(super) fn open_ask(
        &self,
        body: &AccessRequestBody,
        session_key: &UserKey,
        call_id: &str,
    ) -> Result<OpenedAsk, Problem> {
        // 1. parse
        let request = AccessRequest::parse(body, &self.limits.request())?;
        let key = parse_key("key", &body.key)?;
        // 2. possession
        if key.key_data() == session_key.key_data() {
            return Err(Problem::new(
                Code::PossessionInvalid,
                "key is the session key: each certificate has a key of its own.",
            ));
        }
        let proof = BASE64URL_NOPAD
            .decode(body.proof.as_bytes())
            .map_err(|_| not_possessed("is not unpadded base64url"))?;
        let message = possession_message(&self.ca_id, session_key, call_id, &key);
        let (signed, signature) = open(key.public_key(), Namespace::Possession, &message, &proof)
            .map_err(|e| not_possessed(&e.to_string()))?;
        let possession = Claim::new(key.clone(), signed, signature);
        Ok(OpenedAsk { ask: Ask { request, key }, possession })
    }

    /// Steps 3 to 7.
    pub(super) async fn issue(
        &self,
        coming: Coming,
        who: Who,
        ask: Ask,
        opening: Opening,
    ) -> Result<Answer, Problem> {
        let Ask { request, key } = ask;
        let now = self.now();
        // A denial is recorded, so it must not come without bound.
        self.quota.check(&who.session, now)?;

        // 3. decide
        let at = Circumstances { now, local: self.local(now), source_ip: who.source };
        let id = RequestId::from(entropy::ulid_parts(self.clock.milliseconds()));
        let rules = self.rules();
        let (decided, granted, refused) = match rules.decide(&who.identity, &request, &key, &at) {
            Decision::Denied(denial) => {
                tracing::info!(request = %id, name = who.identity.name().as_str(), code = %denial.code, policies = ?denial.policies, "denied");
                let decided = Decided::Denied { code: denial.code, policies: denial.policies.clone() };
                (decided, None, Some(self.refusal(&rules, &who, &request, &key, &at, denial)))
            }
            Decision::Allowed(allowed) => {
                let authority = allowed.places().authority();
                // Nothing is allowed that nothing signs for.
                let signer = self.signers.get(authority).cloned().ok_or_else(|| {
                    refusal::internal(format_args!("a decision for {authority}, which has no key"))
                })?;
                let facts = GrantFacts {
                    id: GrantId::from(entropy::ulid_parts(self.clock.milliseconds())),
                    request: id,
                    session: who.session,
                    session_ends: who.expires,
                    max: self.limits.duration,
                    decided: now,
                    source: who.source,
                };
                let grant = Grant::new(allowed, &facts);
                (Decided::Granted(grant.clone()), Some((grant, signer)), None)
            }
        };
        if granted.is_none() {
            self.quota.refused(&who.session, now);
        }

        // 4. record
        let mut changes = Vec::with_capacity(3);
        let opens = matches!(opening, Opening::Session(_));
        let call = match opening {
            Opening::Call(call) => Some(call),
            Opening::Session(session) => {
                changes.push(Change::OpenSession(session));
                None
            }
        };
        changes.push(Change::DecideRequest(Box::new(DecideRequest {
            call,
            session: who.session,
            actor: who.actor(),
            source: who.source.to_string(),
            id,
            asked: request,
            policy_digest: rules.digest().to_owned(),
            decided,
        })));
        if let Some((grant, signer)) = &granted {
            changes.push(self.issuance(&who, grant.clone(), signer.authority(), key));
        }
        crash::point("before-append");
        let outcomes =
            self.store.apply_announced(coming, self.clock.now(), changes).await.map_err(refusal::store)?;
        crash::point("after-append");
        let mut outcomes = outcomes.into_iter();
        let opened = if opens { Some(refusal::take(&mut outcomes)?) } else { None };
        refusal::take(&mut outcomes)?;
        let Some((grant, signer)) = granted else {
            let problem = refused.unwrap_or_else(|| refusal::internal("a denial without a reason"));
            return Ok(Answer { opened, issued: Err(problem) });
        };
        let issued = match refusal::take(&mut outcomes) {
            Ok(outcome) => self.sign(&rules, &grant, signer.as_ref(), outcome).await,
            Err(problem) => Err(problem),
        };
        crash::point("before-reply");
        Ok(Answer { opened, issued })
    }

    /// The change that determines a certificate under `grant`.
    fn issuance(&self, who: &Who, grant: Grant, authority: &Authority, key: UserKey) -> Change {
        let authority = authority.clone();
        let (max, nonce) = (self.limits.duration, entropy::salt());
        Change::IssueCertificate(IssueCertificate {
            request: grant.request(),
            session: who.session,
            actor: who.actor(),
            source: who.source.to_string(),
            authority: authority.name().clone(),
            prepare: Box::new(move |serial: u64, now: Timestamp, session_ends: Timestamp| {
                Prepared::new(
                    &grant,
                    &Issuance { key: &key, authority: &authority, now, session_ends, max, nonce, serial },
                )
            }),
        })
    }

    /// Steps 5 to 7, for a certificate whose record is durable.
    async fn sign(
        &self,
        rules: &Rules,
        grant: &Grant,
        signer: &dyn Signer,
        outcome: Outcome,
    ) -> Result<Issued, Problem> {
        let prepared =
            outcome.prepared.ok_or_else(|| refusal::internal("an issued certificate without its bytes"))?;
        let recorded =
            outcome.recorded.ok_or_else(|| refusal::internal("an issued certificate without its record"))?;
        let (serial, valid_before) = (prepared.record().serial, prepared.record().valid_before);
        // 5. sign
        let signature = signer.sign(&prepared).await.map_err(|e| refusal::signer(&e))?;
        crash::point("after-sign");
        // 6. verify
        let [proven] = self.proofs.prove([Some(prepared.claim(&signature))]).await;
        let proven = proven.ok_or_else(|| refusal::bad_signature(&CertError::Signature))?;
        let certificate = prepared.finish(&proven).map_err(|e| refusal::bad_signature(&e))?;
        // 7. reply
        let receipt = self.receipt(recorded)?;
        let certificate = certificate.to_openssh().map_err(refusal::internal)?;
        tracing::info!(request = %grant.request(), grant = %grant.id(), name = grant.name().as_str(), serial, leaf = outcome.leaf, "certificate issued");
        let places = grant.places();
        let addresses = places
            .hosts()
            .filter_map(|host| Some((host.to_string(), rules.inventory().host(host)?.address()?.to_owned())));
        let members = places
            .members()
            .into_iter()
            .map(|group| (group.account.to_string(), group.hosts.iter().map(ToString::to_string).collect()));
        Ok(Issued {
            request: grant.request().to_string(),
            grant: grant.id().to_string(),
            certificate,
            serial,
            valid_before,
            policies: grant.policies().to_vec(),
            leaf_index: outcome.leaf,
            receipt: Some(receipt),
            addresses: addresses.collect(),
            members: members.collect(),
        })
    }
}

/// What is wrong with the proof that the caller holds the key.
pub(super) fn not_possessed(why: &str) -> Problem {
    Problem::new(
        Code::PossessionInvalid,
        format!("proof {why}: sign it with the key that is to be certified."),
    )
}

/// Parses a public key of the call; each way to be wrong has its code.
pub(super) fn parse_key(field: &str, line: &str) -> Result<UserKey, Problem> {
    line.parse::<UserKey>().map_err(|e| {
        let code = match e {
            KeyError::Malformed => Code::KeyMalformed,
            KeyError::Certificate => Code::KeyIsCertificate,
            KeyError::Algorithm => Code::KeyAlgorithm,
            KeyError::TooWeak(_) | KeyError::SmallOrder => Code::KeyTooWeak,
        };
        Problem::new(code, format!("{field} {e}."))
    })
}
