//! What the load brings: logins and requests, made before the clock runs.

use jit_ssh_proto::CaId;
use jit_ssh_tests::api::{Call, Issuer, Key, Session, Signing, access_body, login_body};

/// A login with a first request.
pub(crate) fn login(
    issuer: &Issuer,
    ca: &CaId,
    user: usize,
    session: &Key,
    key: &Key,
) -> anyhow::Result<Call> {
    let signing = Signing::new(ca, session, None);
    let request = access_body(ca, session, key, signing.id)?;
    let claims = |nonce: &str| issuer.claims(&format!("user-{user}"), &["platform-sre", "everyone"], nonce);
    let body = login_body(ca, issuer, session, claims, Some(request))?;
    signing.call("POST", "/v1/sessions", serde_json::to_vec(&body)?)
}

/// A request under a live session.
pub(crate) fn access(ca: &CaId, session: &Session, key: &Key) -> anyhow::Result<Call> {
    session.access(ca, key)
}
