//! `GET /healthz`, `GET /readyz`

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use jit_ssh_proto::Problem;

use super::App;
use super::caller::Anyone;
use super::incoming::Incoming;
use super::problem::raw;

/// Whether the process answers. Touches nothing.
#[utoipa::path(get, path = "/healthz", responses((status = 200)))]
pub(super) async fn healthz(_: Arc<App>, _: Anyone, _: Incoming) -> Result<Response, Problem> {
    Ok(raw(StatusCode::OK, "text/plain", "ok\n"))
}

/// Whether the CA could issue now: its store answers and can be written. An identity provider in trouble is named in a
/// line after that, and changes nothing: sessions that live go on.
#[utoipa::path(get, path = "/readyz", responses((status = 200), (status = 503, body = Problem)))]
pub(super) async fn readyz(app: Arc<App>, _: Anyone, _: Incoming) -> Result<Response, Problem> {
    app.service.ready().await?;
    let troubled = app.service.providers_in_trouble();
    let troubled = troubled.into_iter().map(|(name, problem)| format!("{name}: {}\n", problem.detail));
    Ok(raw(StatusCode::OK, "text/plain", format!("ready\n{}", troubled.collect::<String>())))
}
