//! What a request would come to, why, and what would change it: for a request that is not made, and for one that was
//! denied. Nothing is recorded and nothing granted.

use std::net::IpAddr;

use jit_ssh_core::policy::{Circumstances, Denial, Rules};
use jit_ssh_core::request::AccessRequest;
use jit_ssh_proto::explanation::{self, Answer, Explanation};
use jit_ssh_proto::wire::{AccessRequestBody, ExplainBody};
use jit_ssh_proto::{Code, Problem, Span, UserKey};

use super::{LiveSession, Service, Who};
use crate::clock::Zone;

/// How far ahead a request may start.
const AHEAD: Span = Span::from_seconds(366 * 86_400);

impl Service {
    /// Says what a request would come to now.
    ///
    /// # Errors
    /// What is wrong with its fields; `too_many_requests` for a session that was denied too often.
    pub fn explain(
        &self,
        live: &LiveSession,
        source: IpAddr,
        body: &ExplainBody,
    ) -> Result<Explanation, Problem> {
        // 1. parse
        let request = self.unmade(body)?;
        // 2. Whoever asks for what they do not get learns a little; nobody is to go through the inventory that way.
        let now = self.now();
        self.quota.check(&live.id(), now)?;
        // 3. The session's key is of the kind that certificates are for, unless they are for a FIDO key.
        let at = Circumstances { now, local: self.local(now), source_ip: source };
        let explained =
            self.rules().explain(live.identity(), &request, live.key(), &at, &Zone(&self.timezone));
        match explained.told.answer {
            Answer::Denied => self.quota.refused(&live.id(), now),
            Answer::Allowed | Answer::Pending => {}
        }
        Ok(explained.told)
    }

    /// A request as it would be parsed if it were made.
    fn unmade(&self, body: &ExplainBody) -> Result<AccessRequest, Problem> {
        let as_made = AccessRequestBody {
            accounts: body.accounts.clone(),
            mode: body.mode,
            modifiers: body.modifiers.clone(),
            command: body.command.clone(),
            duration: body.duration.clone(),
            reason: body.reason.clone(),
            ticket: body.ticket.clone(),
            key: String::new(),
            proof: String::new(),
        };
        let request = AccessRequest::parse(&as_made, &self.limits.request())?;
        let starts_in = match body.starts_in.as_deref().map(str::parse::<Span>) {
            None => Span::default(),
            Some(Ok(span)) if span <= AHEAD => span,
            Some(Ok(_)) => {
                let detail = format!("starts_in is beyond {AHEAD}: ask for an earlier start.");
                return Err(Problem::new(Code::DurationTooLong, detail));
            }
            Some(Err(e)) => return Err(Problem::new(Code::DurationInvalid, format!("starts_in {e}."))),
        };
        Ok(request.under_break_glass(body.break_glass).starting_in(starts_in))
    }

    /// The refusal of a request that was denied, with what would change the answer where something is known to.
    pub(super) fn refusal(
        &self,
        rules: &Rules,
        who: &Who,
        request: &AccessRequest,
        key: &UserKey,
        at: &Circumstances,
        denial: Denial,
    ) -> Problem {
        if !matches!(
            denial.code,
            Code::NoAccess | Code::Forbidden | Code::DurationDenied | Code::ApprovalRequired
        ) {
            return Problem::new(denial.code, denial.detail);
        }
        let told = rules.explain(&who.identity, request, key, at, &Zone(&self.timezone)).told;
        // What is explained is what was decided, or nothing.
        if told.code != Some(denial.code) {
            return Problem::new(denial.code, denial.detail);
        }
        let sentence = explanation::sentence(&request.asked(), &told.advice);
        let detail = if sentence.is_empty() { told.detail } else { format!("{} {sentence}", told.detail) };
        Problem::new(denial.code, detail).advising(told.advice)
    }
}
