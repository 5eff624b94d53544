//! `/v1/sessions`

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use jit_ssh_proto::Problem;
use jit_ssh_proto::wire::{OpenSession, SessionInfo, SessionOpened};

use super::App;
use super::caller::{NewSession, Session, SignedSession};
use super::incoming::Incoming;
use super::problem::{json, raw};

/// Opens a session with an ID token, and asks for access in the same round trip if `request` is there.
#[utoipa::path(post, path = "/v1/sessions", request_body = OpenSession,
    responses((status = 201, body = SessionOpened), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub(super) async fn open(app: Arc<App>, _: NewSession, incoming: Incoming) -> Result<Response, Problem> {
    let body: OpenSession = incoming.json()?;
    let opened = app.service.log_in(&incoming.call(), &body).await?;
    Ok(json(StatusCode::CREATED, &opened))
}

/// The caller's session.
#[utoipa::path(get, path = "/v1/sessions/current",
    responses((status = 200, body = SessionInfo), (status = 401, body = Problem)))]
pub(super) async fn current(_: Arc<App>, caller: Session, _: Incoming) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, &caller.0.info()))
}

/// Ends the caller's session.
#[utoipa::path(delete, path = "/v1/sessions/current",
    responses((status = 204), (status = 401, body = Problem), (status = "5XX", body = Problem)))]
pub(super) async fn end(app: Arc<App>, caller: SignedSession, _: Incoming) -> Result<Response, Problem> {
    app.service.end_session(&caller.session, caller.call).await?;
    Ok(raw(StatusCode::NO_CONTENT, "text/plain", ""))
}
