//! Who may log in, and sessions that somebody else than their owner ends or changes.

use jit_ssh_proto::event::{
    Actor, EndReason, IdentityDisabled, IdentityEnabled, IssuerBound, LoginReleased, SessionEnded,
    SessionRevalidated, What,
};
use jit_ssh_proto::{Code, SessionId, Timestamp};
use sha2::{Digest, Sha256};

use super::super::change::{
    Answer, BindIssuer, Changed, ClaimRevalidation, DisableIdentity, EnableIdentity, LogOut, Outcome,
    Refusal, ReleaseLogin, Revalidated,
};
use super::super::facts::{SessionFact, identity_key};
use super::super::rows::{DisabledUpdate, IssuerRow, RevalidationUpdate, SessionUpdate};
use super::{Batch, hex, internal};

impl Batch {
    pub(super) fn bind(&mut self, time: Timestamp, bind: BindIssuer) -> Result<Outcome, Refusal> {
        let name = bind.issuer.to_string();
        let previous = match self.facts.issuers.get(&name) {
            Some((url, leaf)) if *url == bind.url => return Ok(Outcome::of(*leaf, time)),
            Some(_) if !bind.moves => return Err(Refusal::Precondition(Code::IssuerMoved)),
            Some((url, _)) => Some(url.clone()),
            None => None,
        };
        // Whoever opened them came from elsewhere; what their provider is asked with is not for another to see.
        let meant = match &previous {
            Some(_) => self.live_sessions(time, |session| session.issuer == name),
            None => Vec::new(),
        };
        let what = What::IssuerBound(IssuerBound { issuer: bind.issuer, url: bind.url.clone(), previous });
        let event = self.event(time, bind.actor.clone(), None, what)?;

        self.facts.issuers.insert(name.clone(), (bind.url.clone(), event.leaf));
        let row = IssuerRow { name: name.clone(), url: bind.url, leaf: event.leaf };
        self.rows.issuers.insert(name, row);
        let mut outcome = self.keep(event);
        outcome.ended = self.end_sessions(time, &bind.actor, None, EndReason::IssuerMoved, meant)?;
        Ok(outcome)
    }

    pub(super) fn disable(&mut self, time: Timestamp, disable: DisableIdentity) -> Result<Outcome, Refusal> {
        let DisableIdentity { actor, issuer, sub, name, reason } = disable;
        let id = identity_key(issuer.as_str(), &sub);
        if self.facts.disabled.contains(&id) {
            return Err(Refusal::Precondition(Code::IdentityDisabled));
        }
        let meant = self.live_sessions(time, |session| session.is_of(issuer.as_str(), &sub));
        let words = reason.to_string();
        let what = What::IdentityDisabled(IdentityDisabled { issuer, sub, name, reason });
        let event = self.event(time, actor.clone(), None, what)?;

        self.facts.disabled.insert(id.clone());
        self.rows.disabled.push(DisabledUpdate::Disabled { id, reason: words, time, leaf: event.leaf });
        let mut outcome = self.keep(event);
        outcome.ended = self.end_sessions(time, &actor, None, EndReason::IdentityDisabled, meant)?;
        Ok(outcome)
    }

    pub(super) fn enable(&mut self, time: Timestamp, enable: EnableIdentity) -> Result<Outcome, Refusal> {
        let EnableIdentity { actor, issuer, sub, name } = enable;
        let id = identity_key(issuer.as_str(), &sub);
        if !self.facts.disabled.contains(&id) {
            return Err(Refusal::Precondition(Code::NotFound));
        }
        let what = What::IdentityEnabled(IdentityEnabled { issuer, sub, name });
        let event = self.event(time, actor, None, what)?;

        self.facts.disabled.remove(&id);
        self.rows.disabled.push(DisabledUpdate::Enabled(id));
        Ok(self.keep(event))
    }

    pub(super) fn release(&mut self, time: Timestamp, release: ReleaseLogin) -> Result<Outcome, Refusal> {
        let ReleaseLogin { actor, login } = release;
        let name = login.to_string();
        let (owner, sub) =
            self.facts.names.get(&name).cloned().ok_or(Refusal::Precondition(Code::NotFound))?;
        let issuer = owner.parse().map_err(|_| internal())?;
        let meant = self.live_sessions(time, |session| session.is_of(&owner, &sub));
        let what = What::LoginReleased(LoginReleased { login, issuer, sub });
        let event = self.event(time, actor.clone(), None, what)?;

        self.facts.names.remove(&name);
        // It may have become theirs in this very batch.
        self.rows.identities.retain(|row| row.name != name);
        self.rows.released.push(name);
        let mut outcome = self.keep(event);
        outcome.ended = self.end_sessions(time, &actor, None, EndReason::LoginReleased, meant)?;
        Ok(outcome)
    }

    pub(super) fn log_out(&mut self, time: Timestamp, out: LogOut) -> Result<Outcome, Refusal> {
        self.unused(&out.token)?;
        let LogOut { token, issuer, sub, sid, source } = out;
        let meant = self.live_sessions(time, |session| match (&sub, &sid) {
            (Some(sub), None) => session.is_of(issuer.as_str(), sub),
            // A session of which it is not known could be the one.
            (Some(sub), Some(_)) => {
                session.is_of(issuer.as_str(), sub) && (session.sid.is_none() || session.sid == sid)
            }
            (None, Some(_)) => session.issuer == issuer.as_str() && session.sid == sid,
            (None, None) => false,
        });

        self.use_up(token);
        let mut outcome = Outcome::of(self.head.next_leaf.saturating_sub(1), time);
        outcome.ended =
            self.end_sessions(time, &Actor::Ca, Some(source), EndReason::ProviderLogout, meant)?;
        Ok(outcome)
    }

    pub(super) fn claim(&mut self, time: Timestamp, claim: ClaimRevalidation) -> Result<Outcome, Refusal> {
        let id = claim.session.to_string();
        let leaf = self.still(&id, time)?.leaf;
        match self.facts.revalidations.get_mut(&id) {
            Some(fact) if fact.due <= time && fact.held <= time => {
                fact.holder.clone_from(&claim.holder);
                fact.held = claim.until;
            }
            Some(_) | None => return Err(Refusal::Precondition(Code::NotFound)),
        }
        let ClaimRevalidation { session, holder, until } = claim;
        self.rows.revalidations.push(RevalidationUpdate::Held { session, holder, until });
        Ok(Outcome::of(leaf, time))
    }

    pub(super) fn revalidated(&mut self, time: Timestamp, answered: Revalidated) -> Result<Outcome, Refusal> {
        let Revalidated { session, holder, answer } = answered;
        let id = session.to_string();
        let leaf = self.still(&id, time)?.leaf;
        match self.facts.revalidations.get(&id) {
            Some(fact) if fact.holder == holder => {}
            Some(_) | None => return Err(Refusal::Precondition(Code::NotFound)),
        }
        let (token, due, outcome) = match answer {
            Answer::Over(reason) => {
                let mut outcome = Outcome::of(self.head.next_leaf, time);
                outcome.ended = self.end_sessions(time, &Actor::Ca, None, reason, vec![session])?;
                return Ok(outcome);
            }
            Answer::Trouble { due } => (None, due, Outcome::of(leaf, time)),
            Answer::Stands { token, due, changed: None } => (token, due, Outcome::of(leaf, time)),
            Answer::Stands { token, due, changed: Some(changed) } => {
                (token, due, self.change_claims(time, session, *changed)?)
            }
        };
        if let Some(fact) = self.facts.revalidations.get_mut(&id) {
            fact.due = due;
            fact.holder.clear();
            fact.held = Timestamp::default();
        }
        self.rows.revalidations.push(RevalidationUpdate::Due { session, token, due });
        Ok(outcome)
    }

    /// What is known of a session's identity becomes other.
    fn change_claims(
        &mut self,
        time: Timestamp,
        session: SessionId,
        changed: Changed,
    ) -> Result<Outcome, Refusal> {
        let claims = serde_json::to_string(&changed.claims).map_err(|_| internal())?;
        let what = What::SessionRevalidated(SessionRevalidated {
            session,
            email: changed.email,
            groups: changed.groups,
            tags: changed.claims.tags.into_iter().collect(),
            claims: hex(&Sha256::digest(&claims)),
        });
        let event = self.event(time, Actor::Ca, None, what)?;
        self.rows.updates.push(SessionUpdate::Claims(session, claims));
        Ok(self.keep(event))
    }

    /// A session that is there and live, whosever it is.
    fn still(&self, id: &str, time: Timestamp) -> Result<&SessionFact, Refusal> {
        let session = self.facts.sessions.get(id).ok_or(Refusal::Precondition(Code::NotFound))?;
        if session.ended {
            return Err(Refusal::Precondition(Code::SessionEnded));
        }
        if session.expires <= time {
            return Err(Refusal::Precondition(Code::SessionExpired));
        }
        Ok(session)
    }

    /// The live sessions that are meant, among those that were looked up or opened here; in the order of their ids.
    fn live_sessions(&self, time: Timestamp, meant: impl Fn(&SessionFact) -> bool) -> Vec<SessionId> {
        let live = self.facts.sessions.iter().filter(|(_, session)| !session.ended && session.expires > time);
        let mut ids: Vec<SessionId> =
            live.filter(|(_, session)| meant(session)).filter_map(|(id, _)| id.parse().ok()).collect();
        ids.sort_unstable();
        ids
    }

    /// Ends these sessions, each with an event of its own.
    fn end_sessions(
        &mut self,
        time: Timestamp,
        actor: &Actor,
        source: Option<String>,
        reason: EndReason,
        sessions: Vec<SessionId>,
    ) -> Result<Vec<SessionId>, Refusal> {
        for session in &sessions {
            let what = What::SessionEnded(SessionEnded { session: *session, reason: Some(reason) });
            let event = self.event(time, actor.clone(), source.clone(), what)?;
            if let Some(fact) = self.facts.sessions.get_mut(&session.to_string()) {
                fact.ended = true;
            }
            self.rows.updates.push(SessionUpdate::Ended(*session, time));
            self.keep(event);
        }
        Ok(sessions)
    }
}
