//! Requests that were decided, and certificates under their grants.

use jit_ssh_core::cert::{CertError, Prepared};
use jit_ssh_proto::event::{Outcome as Decision, RequestDecided, What};
use jit_ssh_proto::{Code, SessionId, Timestamp};

use super::super::change::{DecideRequest, Decided, IssueCertificate, Outcome, Recorded, Refusal};
use super::super::facts::GrantFact;
use super::super::rows::{CertificateRow, RequestRow};
use super::super::tree::TreeHead;
use super::{Batch, internal};

impl Batch {
    pub(super) fn decide(&mut self, time: Timestamp, decide: DecideRequest) -> Result<Outcome, Refusal> {
        match &decide.call {
            Some(call) => self.unused(call)?,
            // A login that was refused asks for nothing, even where its session is there from before.
            None if self.opened == Some(decide.session) => {}
            None => return Err(Refusal::Precondition(Code::NotFound)),
        }
        let (issuer, sub) = {
            let session = self.own(decide.session, time, &decide.actor)?;
            (session.issuer.clone(), session.sub.clone())
        };
        let id = decide.id.to_string();
        if self.facts.taken.contains(&id) {
            return Err(internal());
        }
        let (outcome, members, refused, grant) = match decide.decided {
            Decided::Granted(grant) => {
                if grant.request() != decide.id || grant.session() != decide.session {
                    return Err(internal());
                }
                let window = (grant.id().to_string(), grant.not_before(), grant.not_after());
                (grant.outcome(), grant.places().members(), None, Some(window))
            }
            Decided::Denied { code, policies } => {
                (Decision::Denied { code, policies }, Vec::new(), Some(code.as_str()), None)
            }
        };
        let asked = decide.asked.asked();
        let asked_text = serde_json::to_string(&asked).map_err(|_| internal())?;
        let what = What::RequestDecided(RequestDecided {
            request: decide.id,
            session: decide.session,
            asked,
            policy_digest: decide.policy_digest.clone(),
            members,
            outcome,
        });
        let event = self.event(time, decide.actor, Some(decide.source), what)?;

        if let Some(call) = decide.call {
            self.use_up(call);
        }
        self.facts.taken.insert(id.clone());
        let session = decide.session.to_string();
        if let Some((grant, not_before, not_after)) = grant.clone() {
            let fact = GrantFact { session: session.clone(), grant, not_before, not_after };
            self.facts.grants.insert(id.clone(), fact);
        }
        self.rows.requests.push(RequestRow {
            id,
            session,
            issuer,
            sub,
            time,
            asked: asked_text,
            refused,
            grant,
            policy_digest: decide.policy_digest,
            leaf: event.leaf,
        });
        Ok(self.keep(event))
    }

    pub(super) fn issue(&mut self, time: Timestamp, issue: IssueCertificate) -> Result<Outcome, Refusal> {
        let ends = self.own(issue.session, time, &issue.actor)?.expires;
        let request = issue.request.to_string();
        let session = issue.session.to_string();
        let grant = match self.facts.grants.get(&request) {
            Some(grant) if grant.session == session => grant.clone(),
            Some(_) | None => return Err(Refusal::Precondition(Code::NotFound)),
        };
        if time < grant.not_before || time >= grant.not_after {
            return Err(Refusal::Prepare(CertError::Ended));
        }
        let authority = issue.authority.to_string();
        let serial = self.head.serials.get(&authority).copied().unwrap_or(1);
        let prepared = (issue.prepare)(serial, time, ends)?;
        let record = prepared.record();
        let within =
            Within { issue_session: issue.session, authority: &authority, serial, ends, grant: &grant };
        within.check(&prepared)?;
        let event = self.event(
            time,
            issue.actor,
            Some(issue.source),
            What::CertificateIssued(Box::new(record.clone())),
        )?;

        let next = serial.saturating_add(1);
        self.head.serials.insert(authority.clone(), next);
        self.rows.serials.insert(authority.clone(), next);
        self.rows.certificates.push(CertificateRow {
            authority,
            serial,
            grant: grant.grant,
            request,
            session,
            fingerprint: record.key.fingerprint(),
            tbs_sha256: record.tbs_sha256.clone(),
            valid_after: record.valid_after,
            valid_before: record.valid_before,
            leaf: event.leaf,
        });
        let recorded = Recorded {
            event: event.body.clone(),
            salt: event.salt,
            proof: Vec::new(),
            head: TreeHead::EMPTY,
        };
        let mut outcome = self.keep(event);
        outcome.prepared = Some(prepared);
        outcome.recorded = Some(recorded);
        Ok(outcome)
    }
}

/// What a certificate must lie within, whatever prepared it (invariants 2 and 3).
struct Within<'a> {
    issue_session: SessionId,
    authority: &'a str,
    serial: u64,
    ends: Timestamp,
    grant: &'a GrantFact,
}

impl Within<'_> {
    fn check(&self, prepared: &Prepared) -> Result<(), Refusal> {
        let record = prepared.record();
        let holds = [
            ("serial", record.serial == self.serial),
            ("authority", record.authority.as_str() == self.authority),
            ("session", record.session == self.issue_session),
            ("grant", record.grant.to_string() == self.grant.grant),
            ("start", record.valid_after >= self.grant.not_before),
            ("end", record.valid_before <= self.grant.not_after.min(self.ends)),
        ];
        match holds.into_iter().find(|(_, holds)| !holds) {
            Some((field, _)) => Err(Refusal::Prepare(CertError::Lint {
                rule: "ledger",
                what: format!("its {field} is not the one that the ledger gives"),
            })),
            None => Ok(()),
        }
    }
}
