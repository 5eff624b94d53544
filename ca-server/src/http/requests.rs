//! `/v1/requests`

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use jit_ssh_proto::Problem;
use jit_ssh_proto::wire::{AccessRequestBody, Issued, Page, RequestInfo};

use super::App;
use super::caller::{AskingSession, Session};
use super::incoming::Incoming;
use super::problem::json;

/// Asks for access; allowed at once, it answers with the certificate.
#[utoipa::path(post, path = "/v1/requests", request_body = AccessRequestBody,
    responses((status = 201, body = Issued), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub(super) async fn create(app: Arc<App>, caller: AskingSession, _: Incoming) -> Result<Response, Problem> {
    let issued = app.service.request_access(&caller.session, caller.call, caller.ask).await?;
    Ok(json(StatusCode::CREATED, &issued))
}

/// The caller's requests, newest first.
#[utoipa::path(get, path = "/v1/requests", params(("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = Page<RequestInfo>), (status = 401, body = Problem)))]
pub(super) async fn list(app: Arc<App>, caller: Session, incoming: Incoming) -> Result<Response, Problem> {
    let page = app.service.requests(&caller.0, incoming.query("cursor")).await?;
    Ok(json(StatusCode::OK, &page))
}

/// One of the caller's requests.
#[utoipa::path(get, path = "/v1/requests/{id}", params(("id" = String, Path, description = "`req_…`")),
    responses((status = 200, body = RequestInfo), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn show(app: Arc<App>, caller: Session, incoming: Incoming) -> Result<Response, Problem> {
    let request = app.service.request(&caller.0, incoming.param("id")).await?;
    Ok(json(StatusCode::OK, &request))
}
