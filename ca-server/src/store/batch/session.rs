//! Sessions: opened, refused, ended by their owner.

use jit_ssh_proto::event::{Actor, SessionEnded, SessionOpened, SessionRefused, What};
use jit_ssh_proto::{Code, SessionId, Span, Timestamp};
use sha2::{Digest, Sha256};

use super::super::change::{EndSession, OpenSession, Outcome, Refresh, Refusal, RefuseSession};
use super::super::facts::{RevalidationFact, SessionFact, identity_key};
use super::super::rows::{IdentityRow, RevalidationRow, SessionRow, SessionUpdate};
use super::{Batch, hex, internal};

/// How long a session's row is kept after its session and its token have ended, so that late calls are told why.
const SESSION_KEPT: Span = Span::from_seconds(24 * 3600);

impl Batch {
    pub(super) fn refuse(&mut self, time: Timestamp, refuse: RefuseSession) -> Result<Outcome, Refusal> {
        let token = hex(&refuse.replay);
        let what = What::SessionRefused(SessionRefused { code: refuse.code, key: refuse.key, token });
        let event = self.event(time, refuse.actor, Some(refuse.source), what)?;
        Ok(self.keep(event))
    }

    pub(super) fn open(&mut self, time: Timestamp, open: OpenSession) -> Result<Outcome, Refusal> {
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

    pub(super) fn end(&mut self, time: Timestamp, end: EndSession) -> Result<Outcome, Refusal> {
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
}
