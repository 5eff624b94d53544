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

/// What is ready and not as it should be.
const OUTDATED: &str = "the policies or the inventory on disk do not load: those from before stay in force, and the log says why\n";

/// Whether the CA could issue now: its store answers and can be written. What is not as it should be is named in lines
/// after that and changes nothing: an identity provider in trouble (sessions that live go on), files that do not load.
#[utoipa::path(get, path = "/readyz", responses((status = 200), (status = 503, body = Problem)))]
pub(super) async fn readyz(app: Arc<App>, _: Anyone, _: Incoming) -> Result<Response, Problem> {
    app.service.ready().await?;
    // It goes on with the set in force; where the files are wrong is in the log, not for everybody.
    let outdated = if app.service.rules_are_outdated() { OUTDATED } else { "" };
    let troubled = app.service.providers_in_trouble();
    let troubled = troubled.into_iter().map(|(name, problem)| format!("{name}: {}\n", problem.detail));
    Ok(raw(StatusCode::OK, "text/plain", format!("ready\n{outdated}{}", troubled.collect::<String>())))
}
