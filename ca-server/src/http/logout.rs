//! `POST /v1/backchannel-logout/{issuer}`: OpenID Connect Back-Channel Logout 1.0, 2.5 to 2.8.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use jit_ssh_proto::Problem;

use super::App;
use super::caller::Provider;
use super::incoming::Incoming;
use super::problem::raw;

/// The form that a provider sends.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only for the OpenAPI document")]
pub(super) struct LogoutForm {
    /// The logout token, a compact JWS.
    logout_token: String,
}

/// Ends the sessions of somebody who logged out at the provider `issuer`.
#[utoipa::path(post, path = "/v1/backchannel-logout/{issuer}",
    params(("issuer" = String, Path, description = "The name of the [[issuer]] entry")),
    request_body(content = LogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub(super) async fn log_out(app: Arc<App>, caller: Provider, _: Incoming) -> Result<Response, Problem> {
    app.service.log_out(caller.0).await?;
    Ok(raw(StatusCode::OK, "text/plain", ""))
}
