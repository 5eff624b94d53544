//! `/v1/explain`: what a request would come to, without making it.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use jit_ssh_proto::Problem;
use jit_ssh_proto::explanation::Explanation;
use jit_ssh_proto::wire::ExplainBody;

use super::App;
use super::caller::Session;
use super::incoming::Incoming;
use super::problem::json;

/// Says whether a request would be allowed, by which policy and on which terms, and else what would change the answer.
/// Nothing is granted or recorded.
#[utoipa::path(post, path = "/v1/explain", request_body = ExplainBody,
    responses((status = 200, body = Explanation), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub(super) async fn explain(app: Arc<App>, caller: Session, incoming: Incoming) -> Result<Response, Problem> {
    let body: ExplainBody = incoming.json()?;
    let explanation = app.service.explain(&caller.0, incoming.call().source, &body)?;
    Ok(json(StatusCode::OK, &explanation))
}
