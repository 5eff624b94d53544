//! One batch: each change's preconditions against what was read, and what it adds if they hold. No I/O: everything
//! comes in with the facts and leaves with the rows.
//!
//! A change is checked wholly before anything of it is kept, so one that is refused leaves nothing behind.

use jit_ssh_proto::event::{Actor, EVENT_VERSION, Event, What};
use jit_ssh_proto::{Code, SessionId, Span, Timestamp};

mod identity;
mod ledger;
mod request;
mod rules;
mod session;

use super::StoreError;
use super::change::{CallId, Change, Outcome, Refusal};
use super::event_row::EventRow;
use super::facts::{Facts, Head, SessionFact};
use super::rows::{CallRow, Rows, call_key};

/// How far a clock may be behind the ledger. A little is lifted to the ledger's time; more means that one of the
/// two is wrong, and then nothing is decided (invariant 12).
const CLOCK_TOLERANCE: Span = Span::from_seconds(60);

/// A batch in the making.
#[derive(Default)]
pub(super) struct Batch {
    facts: Facts,
    head: Head,
    rows: Rows,
    /// The session that the call whose changes are being added has opened.
    opened: Option<SessionId>,
}

impl Batch {
    /// A batch on top of the ledger's head.
    pub(super) fn new(head: Head, facts: Facts) -> Self {
        Self { facts, head, rows: Rows::default(), opened: None }
    }

    /// The head after it, and what it adds.
    pub(super) fn finish(self) -> (Head, Rows) {
        (self.head, self.rows)
    }

    /// Begins with the changes of one call: the ledger's time for somebody whose clock says `now`.
    pub(super) fn begin(&mut self, now: Timestamp) -> Result<Timestamp, StoreError> {
        self.opened = None;
        if now.plus(CLOCK_TOLERANCE) < self.head.time {
            return Err(StoreError::ClockBehind { clock: now, ledger: self.head.time });
        }
        Ok(now.max(self.head.time))
    }

    /// Checks one change and, if its preconditions hold, adds it.
    pub(super) fn add(&mut self, time: Timestamp, change: Change) -> Result<Outcome, Refusal> {
        match change {
            Change::Record(record) => self.record(time, record),
            Change::LoadRules(load) => self.load(time, load),
            Change::OpenSession(open) => self.open(time, *open),
            Change::RefuseSession(refuse) => self.refuse(time, refuse),
            Change::EndSession(end) => self.end(time, end),
            Change::BindIssuer(bind) => self.bind(time, bind),
            Change::DisableIdentity(disable) => self.disable(time, disable),
            Change::EnableIdentity(enable) => self.enable(time, enable),
            Change::ReleaseLogin(release) => self.release(time, release),
            Change::LogOut(out) => self.log_out(time, out),
            Change::ClaimRevalidation(claim) => self.claim(time, claim),
            Change::Revalidated(answered) => self.revalidated(time, answered),
            Change::DecideRequest(decide) => self.decide(time, *decide),
            Change::IssueCertificate(issue) => self.issue(time, issue),
            Change::ExportLog(export) => self.export(time, export),
            Change::EraseEvent(erase) => self.erase(time, erase),
            Change::Restored(restored) => self.restored(time, restored),
        }
    }

    /// The call id was not used before.
    fn unused(&self, call: &CallId) -> Result<(), Refusal> {
        let lost = self.head.floor.is_some_and(|floor| call.signed <= floor);
        if lost || self.facts.taken.contains(&call_key(call)) {
            return Err(Refusal::Precondition(Code::SignatureReplayed));
        }
        Ok(())
    }

    fn use_up(&mut self, call: CallId) {
        self.facts.taken.insert(call_key(&call));
        self.rows.calls.push(CallRow(call));
    }

    /// The session is there, this identity's, and live at the ledger's time.
    fn live(&self, id: SessionId, time: Timestamp, issuer: &str, sub: &str) -> Result<&SessionFact, Refusal> {
        let session = match self.facts.sessions.get(&id.to_string()) {
            Some(session) if session.issuer == issuer && session.sub == sub => session,
            Some(_) | None => return Err(Refusal::Precondition(Code::NotFound)),
        };
        if session.ended {
            return Err(Refusal::Precondition(Code::SessionEnded));
        }
        if session.expires <= time {
            return Err(Refusal::Precondition(Code::SessionExpired));
        }
        Ok(session)
    }

    /// The same for a session's own change: only an identity has sessions.
    fn own(&self, id: SessionId, time: Timestamp, actor: &Actor) -> Result<&SessionFact, Refusal> {
        match actor {
            Actor::Identity { issuer, sub, name: _ } => self.live(id, time, issuer.as_str(), sub),
            Actor::Operator | Actor::Ca => Err(Refusal::Precondition(Code::NotFound)),
        }
    }

    /// The next event, not yet kept.
    fn event(
        &self,
        time: Timestamp,
        actor: Actor,
        source: Option<String>,
        what: What,
    ) -> Result<EventRow, Refusal> {
        let event = Event { v: EVENT_VERSION, time, actor, source, what };
        EventRow::new(self.head.next_leaf, &event).map_err(|_| internal())
    }

    fn keep(&mut self, event: EventRow) -> Outcome {
        let outcome = Outcome::of(event.leaf, event.time);
        self.head.next_leaf = event.leaf.saturating_add(1);
        self.head.time = event.time;
        self.rows.events.push(event);
        outcome
    }
}

/// Our own fault: the change contradicts itself.
fn internal() -> Refusal {
    Refusal::Precondition(Code::Internal)
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
