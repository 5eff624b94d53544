//! `GET /.well-known/jit-ssh`

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use jit_ssh_proto::{Problem, SignedBundle};

use super::App;
use super::caller::Anyone;
use super::incoming::Incoming;
use super::problem::json;

/// The signed trust bundle.
#[utoipa::path(get, path = "/.well-known/jit-ssh", responses((status = 200, body = SignedBundle)))]
pub(super) async fn bundle(app: Arc<App>, _: Anyone, _: Incoming) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, &app.service.bundle))
}
