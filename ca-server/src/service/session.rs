//! Sessions: from a bearer token to who it is today, and their end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_core::identity::VerifiedIdentity;
use jit_ssh_proto::wire::{AccessRequestBody, SessionInfo};
use jit_ssh_proto::{Code, Problem, SessionId, Timestamp};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::issue::Ask;
use super::{Call, Service, SignedCall, Who, actor};
use crate::entropy;
use crate::store::{Change, EndSession, StoredSession, Whose};

/// What every bearer token begins with, so that secret scanners know one.
const TOKEN_PREFIX: &str = "jss_";
/// What its session's id begins with elsewhere.
const ID_PREFIX: &str = "ses_";

/// A session that is open now, and whose identity today's configuration still admits.
#[derive(Clone, Debug)]
pub struct LiveSession {
    stored: Arc<StoredSession>,
    identity: VerifiedIdentity,
    token_hash: [u8; 32],
}

/// Sessions found lately, by the hash of their token. What it answers is only who signs; the append transaction reads
/// the session again before anything changes. What another process did to a session's claims is seen here when the
/// session is read anew, after [`CACHE_TIME`] at the latest.
#[derive(Debug, Default)]
pub struct SessionCache(Mutex<HashMap<[u8; 32], Read>>);

/// When it was read, and what.
type Read = (Instant, Arc<StoredSession>);

/// How long a session is not read again.
const CACHE_TIME: Duration = Duration::from_secs(5);

/// When this many are held, all are forgotten: simple, and flat in memory.
const CACHE_LIMIT: usize = 8192;

impl SessionCache {
    fn get(&self, token_hash: &[u8; 32]) -> Option<Arc<StoredSession>> {
        let held = self.0.lock().ok()?;
        let (read, session) = held.get(token_hash)?;
        (read.elapsed() < CACHE_TIME).then(|| Arc::clone(session))
    }

    fn put(&self, token_hash: [u8; 32], session: Arc<StoredSession>) {
        if let Ok(mut held) = self.0.lock() {
            if held.len() >= CACHE_LIMIT {
                held.clear();
            }
            held.insert(token_hash, (Instant::now(), session));
        }
    }

    /// Somebody else than its owner changed or ended it.
    pub(crate) fn forget_session(&self, id: &SessionId) {
        if let Ok(mut held) = self.0.lock() {
            held.retain(|_, (_, session)| session.id != *id);
        }
    }

    fn forget(&self, token_hash: &[u8; 32]) {
        if let Ok(mut held) = self.0.lock() {
            held.remove(token_hash);
        }
    }
}

/// A fresh bearer token: `jss_`, the ULID of its session, so that the session is found by its id, and 32 random bytes.
pub(super) fn new_token(session: &SessionId) -> Zeroizing<String> {
    let id = session.to_string();
    let id = id.strip_prefix(ID_PREFIX).unwrap_or_default();
    let secret = Zeroizing::new(BASE64URL_NOPAD.encode(&entropy::bytes::<32>()));
    Zeroizing::new(format!("{TOKEN_PREFIX}{id}.{}", *secret))
}

/// The session that a bearer token names, and the token's hash, which is what opens it.
fn bearer_parts(bearer: Option<&str>) -> Result<(SessionId, [u8; 32]), Problem> {
    let named = |token: &str| -> Option<SessionId> {
        let (id, _) = token.strip_prefix(TOKEN_PREFIX)?.split_once('.')?;
        format!("{ID_PREFIX}{id}").parse().ok()
    };
    bearer.and_then(|token| Some((named(token)?, hash_token(token)))).ok_or_else(not_logged_in)
}

pub(super) fn hash_token(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Service {
    /// The live session of a bearer token, read from the store.
    ///
    /// # Errors
    /// `not_logged_in`, `session_expired`, `session_ended`, or what refuses the identity today.
    pub async fn session(&self, bearer: Option<&str>) -> Result<LiveSession, Problem> {
        let (id, token_hash) = bearer_parts(bearer)?;
        let found = self.store.session_by_token(&id, &token_hash).await.map_err(super::refusal::store)?;
        self.admit(Arc::new(found.ok_or_else(not_logged_in)?), token_hash)
    }

    /// The live session of a bearer token that signed this call.
    ///
    /// # Errors
    /// As [`Service::session`] and for the signature.
    pub async fn signed_session(
        &self,
        bearer: Option<&str>,
        call: &Call<'_>,
    ) -> Result<(LiveSession, SignedCall), Problem> {
        let live = self.session_lately(bearer).await?;
        let opened = self.open_call(call, Some(&live.stored.id), &live.stored.key)?;
        let (signed, _) = self.prove_call(opened, None).await?;
        Ok((live, signed))
    }

    /// The same for a call that asks for access, with what it asks for: the keys of both are proven together.
    ///
    /// # Errors
    /// As [`Service::signed_session`], then the error that `body` is, then what is wrong with the request.
    pub async fn asking_session(
        &self,
        bearer: Option<&str>,
        call: &Call<'_>,
        body: Result<AccessRequestBody, Problem>,
    ) -> Result<(LiveSession, SignedCall, Ask), Problem> {
        let live = self.session_lately(bearer).await?;
        let opened = self.open_call(call, Some(&live.stored.id), &live.stored.key)?;
        let asked = body.and_then(|body| self.open_ask(&body, &live.stored.key, opened.id()));
        let (signed, ask) = self.prove_call(opened, Some(asked)).await?;
        let ask = ask.ok_or_else(|| super::refusal::internal("a call that asks for nothing"))?;
        Ok((live, signed, ask))
    }

    /// The live session of a bearer token, as it was some seconds ago at most.
    async fn session_lately(&self, bearer: Option<&str>) -> Result<LiveSession, Problem> {
        let (_, token_hash) = bearer_parts(bearer)?;
        if let Some(stored) = self.sessions.get(&token_hash) {
            return self.admit(stored, token_hash);
        }
        let live = self.session(bearer).await?;
        self.sessions.put(token_hash, Arc::clone(&live.stored));
        Ok(live)
    }

    fn admit(&self, stored: Arc<StoredSession>, token_hash: [u8; 32]) -> Result<LiveSession, Problem> {
        if stored.ended {
            return Err(Problem::new(
                Code::SessionEnded,
                "This session was ended: log in again with `jit-ssh login`.",
            ));
        }
        if stored.expires <= self.now() {
            self.sessions.forget(&token_hash);
            return Err(Problem::new(
                Code::SessionExpired,
                "This session has expired: log in again with `jit-ssh login`.",
            ));
        }
        let provider = self.providers.iter().find(|p| p.config().rules.name == stored.issuer).ok_or_else(|| {
            Problem::new(Code::TokenIssuer, "This session's identity provider is no longer configured here: log in again with `jit-ssh login`.")
        })?;
        let identity = VerifiedIdentity::admit(&provider.config().rules, &stored.claims)?;
        Ok(LiveSession { stored, identity, token_hash })
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When it is over already or the store fails.
    pub async fn end_session(&self, live: &LiveSession, call: SignedCall) -> Result<(), Problem> {
        self.sessions.forget(&live.token_hash);
        let end = EndSession {
            call: call.id,
            session: live.stored.id,
            actor: actor(&live.identity),
            source: call.source.to_string(),
        };
        drop(call.coming);
        let held = self.held(Some(Whose::Session(live.stored.id))).await;
        self.apply_one(Change::EndSession(end)).await?;
        self.sessions.forget(&live.token_hash);
        held.give_back();
        tracing::info!(session = %live.stored.id, name = %live.identity.name(), "session ended");
        Ok(())
    }
}

impl LiveSession {
    /// The session as its owner sees it.
    #[must_use]
    pub fn info(&self) -> SessionInfo {
        info(&self.identity, &self.stored.id.to_string(), self.stored.opened, self.stored.expires)
    }

    pub(super) fn who(&self, call: &SignedCall) -> Who {
        Who {
            identity: self.identity.clone(),
            session: self.stored.id,
            expires: self.stored.expires,
            source: call.source,
        }
    }

    pub(super) fn id(&self) -> SessionId {
        self.stored.id
    }

    pub(super) fn identity(&self) -> &VerifiedIdentity {
        &self.identity
    }

    pub(super) fn key(&self) -> &jit_ssh_proto::UserKey {
        &self.stored.key
    }
}

pub(super) fn info(
    identity: &VerifiedIdentity,
    id: &str,
    opened: Timestamp,
    expires: Timestamp,
) -> SessionInfo {
    SessionInfo {
        id: id.to_owned(),
        issuer: identity.issuer().to_string(),
        subject: identity.sub().to_owned(),
        name: identity.name().to_string(),
        login: identity.login().map(ToString::to_string),
        email: identity.email().map(str::to_owned),
        groups: identity.groups().iter().map(ToString::to_string).collect(),
        tags: identity.tags().clone(),
        flow: identity.flow(),
        auth_time: identity.auth_time(),
        opened,
        expires,
    }
}

fn not_logged_in() -> Problem {
    Problem::new(Code::NotLoggedIn, "There is no session with this token: log in with `jit-ssh login`.")
}
