//! The kinds of caller. A handler that takes one cannot run without it.

use std::fmt;
use std::future::Future;

use axum::http::header::AUTHORIZATION;
use jit_ssh_proto::Problem;

use super::App;
use super::incoming::Incoming;
use crate::service::{self, Ask, LiveSession, SignedCall, VerifiedLogout};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// No proof of anything.
    Anyone,
    /// Whoever signs with the session key that the body brings: checked by the login itself.
    NewSession,
    /// The bearer of a live session's token.
    Session,
    /// The same, where policy lets its identity audit.
    Auditor,
    /// As session, with a signature by the session's key over this very call.
    SignedSession,
    /// The identity provider that the path names, by a logout token that it signed.
    Provider,
}

impl fmt::Display for CallerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anyone => "anyone",
            Self::NewSession => "new-session",
            Self::Session => "session",
            Self::Auditor => "auditor",
            Self::SignedSession => "signed-session",
            Self::Provider => "provider",
        })
    }
}

/// A caller that was let in.
pub(super) trait Caller: Sized + Send {
    /// Its row in the table.
    const KIND: CallerKind;

    /// Lets it in, or says why not.
    fn admit(app: &App, incoming: &Incoming) -> impl Future<Output = Result<Self, Problem>> + Send;
}

/// See [`CallerKind::Anyone`].
pub(super) struct Anyone;

impl Caller for Anyone {
    const KIND: CallerKind = CallerKind::Anyone;

    async fn admit(_: &App, _: &Incoming) -> Result<Self, Problem> {
        Ok(Self)
    }
}

/// See [`CallerKind::NewSession`].
pub(super) struct NewSession;

impl Caller for NewSession {
    const KIND: CallerKind = CallerKind::NewSession;

    async fn admit(_: &App, _: &Incoming) -> Result<Self, Problem> {
        Ok(Self)
    }
}

/// See [`CallerKind::Session`].
pub(super) struct Session(pub(super) LiveSession);

impl Caller for Session {
    const KIND: CallerKind = CallerKind::Session;

    async fn admit(app: &App, incoming: &Incoming) -> Result<Self, Problem> {
        app.service.session(bearer(incoming)).await.map(Self)
    }
}

/// See [`CallerKind::Auditor`].
pub(super) struct Auditor(pub(super) service::Auditor);

impl Caller for Auditor {
    const KIND: CallerKind = CallerKind::Auditor;

    async fn admit(app: &App, incoming: &Incoming) -> Result<Self, Problem> {
        app.service.auditor(bearer(incoming), incoming.call().source).await.map(Self)
    }
}

/// See [`CallerKind::SignedSession`].
pub(super) struct SignedSession {
    pub(super) session: LiveSession,
    pub(super) call: SignedCall,
}

impl Caller for SignedSession {
    const KIND: CallerKind = CallerKind::SignedSession;

    async fn admit(app: &App, incoming: &Incoming) -> Result<Self, Problem> {
        let (session, call) = app.service.signed_session(bearer(incoming), &incoming.call()).await?;
        Ok(Self { session, call })
    }
}

/// See [`CallerKind::SignedSession`], for a call that asks for access: whoever makes it holds the key that is to be
/// certified, too.
pub(super) struct AskingSession {
    pub(super) session: LiveSession,
    pub(super) call: SignedCall,
    pub(super) ask: Ask,
}

impl Caller for AskingSession {
    const KIND: CallerKind = CallerKind::SignedSession;

    async fn admit(app: &App, incoming: &Incoming) -> Result<Self, Problem> {
        let (bearer, call) = (bearer(incoming), incoming.call());
        let (session, call, ask) = app.service.asking_session(bearer, &call, incoming.json()).await?;
        Ok(Self { session, call, ask })
    }
}

/// See [`CallerKind::Provider`].
pub(super) struct Provider(pub(super) VerifiedLogout);

impl Caller for Provider {
    const KIND: CallerKind = CallerKind::Provider;

    async fn admit(app: &App, incoming: &Incoming) -> Result<Self, Problem> {
        let token = incoming.form("logout_token");
        let source = incoming.call().source;
        app.service.logout_token(incoming.param("issuer"), token.as_deref(), source).await.map(Self)
    }
}

/// The token of the one `Authorization: Bearer` header; none if there are several.
fn bearer(incoming: &Incoming) -> Option<&str> {
    let mut values = incoming.headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() { None } else { value.strip_prefix("Bearer ") }
}
