//! One batch: each change's preconditions against what was read, and what it adds if they hold. No I/O: everything
//! comes in with the facts and leaves with the rows.
//!
//! A change is checked wholly before anything of it is kept, so one that is refused leaves nothing behind.

use jit_ssh_core::cert::{CertError, Prepared};
use jit_ssh_proto::event::{
    Actor, CertificateRevoked, EVENT_VERSION, Event, EventErased, LogExported, Outcome as Decision,
    RequestDecided, SerialJump, SessionEnded, SessionOpened, SessionRefused, StoreRestored, What,
};
use jit_ssh_proto::{Code, SessionId, Span, Timestamp};

use sha2::{Digest, Sha256};

mod identity;
mod rules;

use super::StoreError;
use super::change::{
    CallId, Change, DecideRequest, Decided, EndSession, EraseEvent, ExportLog, IssueCertificate, OpenSession,
    Outcome, RecordEvent, Recorded, Refresh, Refusal, RefuseSession, Restored,
};
use super::erase::erasable;
use super::event_row::EventRow;
use super::facts::{Facts, GrantFact, Head, RevalidationFact, SessionFact, identity_key};
use super::rows::{
    CallRow, CertificateRow, Erasure, IdentityRow, RequestRow, RestoredRows, RevalidationRow, Rows,
    SessionRow, SessionUpdate, call_key,
};
use super::tree::TreeHead;
use super::verify::floor_of;

/// How far a clock may be behind the ledger. A little is lifted to the ledger's time; more means that one of the
/// two is wrong, and then nothing is decided (invariant 12).
const CLOCK_TOLERANCE: Span = Span::from_seconds(60);

/// How long a session's row is kept after its session and its token have ended, so that late calls are told why.
const SESSION_KEPT: Span = Span::from_seconds(24 * 3600);

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

    fn record(&mut self, time: Timestamp, record: RecordEvent) -> Result<Outcome, Refusal> {
        let event = self.event(time, record.actor, None, record.what)?;
        Ok(self.keep(event))
    }

    fn refuse(&mut self, time: Timestamp, refuse: RefuseSession) -> Result<Outcome, Refusal> {
        let token = hex(&refuse.replay);
        let what = What::SessionRefused(SessionRefused { code: refuse.code, key: refuse.key, token });
        let event = self.event(time, refuse.actor, Some(refuse.source), what)?;
        Ok(self.keep(event))
    }

    fn open(&mut self, time: Timestamp, open: OpenSession) -> Result<Outcome, Refusal> {
        self.unused(&open.call)?;
        let (issuer, sub) = (open.issuer.to_string(), open.claims.sub.clone());
        let session_id = open.session();
        let id = session_id.to_string();
        let key = open.key.to_string();
        if self.facts.disabled.contains(&identity_key(&issuer, &sub)) {
            return Err(Refusal::Precondition(Code::IdentityDisabled));
        }
        if self.facts.issuers.get(&issuer).is_some_and(|(url, _)| *url != open.claims.picked.issuer) {
            return Err(Refusal::Precondition(Code::IssuerMoved));
        }
        let again = match self.facts.sessions.get(&id) {
            Some(session) if session.replay == open.replay && session.key == key => {
                Some(self.live(session_id, time, &issuer, &sub)?.clone())
            }
            Some(_) => return Err(Refusal::Precondition(Code::TokenUsed)),
            None => None,
        };
        let names: Vec<String> =
            [Some(&open.name), open.login.as_ref()].into_iter().flatten().map(ToString::to_string).collect();
        for name in &names {
            match self.facts.names.get(name) {
                Some((owner, owner_sub)) if *owner != issuer || *owner_sub != sub => {
                    return Err(Refusal::Precondition(Code::LoginTaken));
                }
                Some(_) | None => {}
            }
        }
        if let Some(session) = again {
            // The same token from the same key: the same session, whose event there is already.
            self.use_up(open.call);
            self.opened = Some(session_id);
            self.rows.updates.push(SessionUpdate::Token(session_id, open.token_hash));
            self.refresh(session_id, open.refresh, session.expires);
            return Ok(Outcome::of(session.leaf, session.opened));
        }
        if open.expires <= time {
            return Err(Refusal::Precondition(Code::SessionExpired));
        }
        if self.head.floor.is_some_and(|floor| open.issued <= floor) {
            // It may have opened a session that was lost, and that had been ended.
            return Err(Refusal::Precondition(Code::TokenUsed));
        }
        let claims = serde_json::to_string(&open.claims).map_err(|_| internal())?;
        // The name and the login are usually the same.
        let mut took =
            [Some(&open.name), open.login.as_ref()].into_iter().flatten().cloned().collect::<Vec<_>>();
        took.dedup();
        took.retain(|name| !self.facts.names.contains_key(name.as_str()));
        let actor = Actor::Identity { issuer: open.issuer, sub: sub.clone(), name: open.name };
        let what = What::SessionOpened(SessionOpened {
            session: session_id,
            key: open.key.fingerprint(),
            login: open.login,
            email: open.email,
            groups: open.groups,
            flow: open.flow.as_str().to_owned(),
            expires: open.expires,
            token: hex(&open.replay),
            claims: Some(hex(&Sha256::digest(&claims))),
            tags: open.claims.tags.into_iter().collect(),
            took,
        });
        let event = self.event(time, actor, Some(open.source), what)?;

        let leaf = event.leaf;
        self.use_up(open.call);
        self.opened = Some(session_id);
        for name in names {
            // The name and the login are usually the same: the second finds the first.
            let owner = (issuer.clone(), sub.clone());
            if self.facts.names.insert(name.clone(), owner).is_none() {
                self.rows.identities.push(IdentityRow {
                    name,
                    issuer: issuer.clone(),
                    sub: sub.clone(),
                    leaf,
                });
            }
        }
        let (opened, expires, replay) = (time, open.expires, open.replay);
        let fact = SessionFact {
            issuer: issuer.clone(),
            sub: sub.clone(),
            opened,
            expires,
            ended: false,
            leaf,
            replay,
            key: key.clone(),
            sid: open.claims.sid.clone(),
        };
        self.facts.sessions.insert(id, fact);
        self.rows.sessions.push(SessionRow {
            id: session_id,
            token_hash: open.token_hash,
            replay,
            issuer,
            sub,
            claims,
            key,
            opened,
            expires,
            keep_until: open.replay_until.max(expires).plus(SESSION_KEPT),
            sid: open.claims.sid,
            leaf,
        });
        self.refresh(session_id, open.refresh, expires);
        Ok(self.keep(event))
    }

    /// What the provider is to be asked about a session with.
    fn refresh(&mut self, session: SessionId, refresh: Option<Refresh>, ends: Timestamp) {
        if let Some(Refresh { token, due }) = refresh {
            let fact = RevalidationFact { due, holder: String::new(), held: Timestamp::default() };
            self.facts.revalidations.insert(session.to_string(), fact);
            self.rows.refreshes.insert(session, RevalidationRow { session, token, due, ends });
        }
    }

    fn end(&mut self, time: Timestamp, end: EndSession) -> Result<Outcome, Refusal> {
        self.unused(&end.call)?;
        self.own(end.session, time, &end.actor)?;
        let what = What::SessionEnded(SessionEnded { session: end.session, reason: None });
        let event = self.event(time, end.actor, Some(end.source), what)?;

        self.use_up(end.call);
        if let Some(session) = self.facts.sessions.get_mut(&end.session.to_string()) {
            session.ended = true;
        }
        self.rows.updates.push(SessionUpdate::Ended(end.session, time));
        Ok(self.keep(event))
    }

    fn export(&mut self, time: Timestamp, export: ExportLog) -> Result<Outcome, Refusal> {
        self.own(export.session, time, &export.actor)?;
        let exported = LogExported { session: export.session, filter: export.filter };
        let what = What::LogExported(Box::new(exported));
        let event = self.event(time, export.actor, Some(export.source), what)?;
        Ok(self.keep(event))
    }

    fn decide(&mut self, time: Timestamp, decide: DecideRequest) -> Result<Outcome, Refusal> {
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

    fn issue(&mut self, time: Timestamp, issue: IssueCertificate) -> Result<Outcome, Refusal> {
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

    fn erase(&mut self, time: Timestamp, erase: EraseEvent) -> Result<Outcome, Refusal> {
        let EraseEvent { leaf, reason } = erase;
        let gone = erasable(leaf, self.facts.erasing.get(&leaf), time)?;
        let event =
            self.event(time, Actor::Operator, None, What::EventErased(EventErased { leaf, reason }))?;

        if let Some(fact) = self.facts.erasing.get_mut(&leaf) {
            fact.body = None;
        }
        self.rows.erasures.push(Erasure { leaf, request: gone.request });
        Ok(self.keep(event))
    }

    fn restored(&mut self, time: Timestamp, restored: Restored) -> Result<Outcome, Refusal> {
        let mut serials = Vec::with_capacity(restored.authorities.len());
        let mut revocations = Vec::new();
        for (authority, revoke_from) in restored.authorities {
            let from = self.head.serials.get(authority.as_str()).copied().unwrap_or(1);
            // Past whatever any life after this backup can have given, of which nothing else may be left to tell: a
            // million serials for each second that there ever was.
            let by_time = time.seconds().saturating_mul(1 << 20);
            let to = from.saturating_add(restored.jump).max(by_time);
            if let Some(first) = revoke_from {
                let serial = first.min(from);
                let (through, reason) = (Some(to.saturating_sub(1)), restored.reason.clone());
                let authority = authority.clone();
                revocations.push(CertificateRevoked { authority, serial, through, key_id: None, reason });
            }
            self.head.serials.insert(authority.to_string(), to);
            self.rows.serials.insert(authority.to_string(), to);
            serials.push(SerialJump { authority, from, to });
        }
        let length = |revoked: &CertificateRevoked| {
            revoked.through.unwrap_or(revoked.serial).saturating_sub(revoked.serial).saturating_add(1)
        };
        let (leaves, from) = (restored.leaves, restored.from);
        let revoked = revocations.iter().map(length).fold(0, u64::saturating_add);
        let what = What::StoreRestored(StoreRestored { leaves, serials, revoked, from });
        let event = self.event(time, Actor::Operator, None, what)?;
        let outcome = self.keep(event);
        for revoked in &revocations {
            let what = What::CertificateRevoked(revoked.clone());
            let event = self.event(time, Actor::Operator, None, what)?;
            self.keep(event);
        }
        let floor = floor_of(time);
        self.head.floor = Some(floor);
        self.rows.restored = Some(RestoredRows { time, floor, revocations });
        Ok(outcome)
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

/// Our own fault: the change contradicts itself.
fn internal() -> Refusal {
    Refusal::Precondition(Code::Internal)
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
