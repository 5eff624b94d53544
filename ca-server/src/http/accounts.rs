//! `/v1/accounts`: where the caller may get to.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use jit_ssh_proto::Problem;
use jit_ssh_proto::wire::{Page, ReachableAccount};

use super::App;
use super::caller::Session;
use super::incoming::Incoming;
use super::problem::json;
use crate::service::AccountQuery;

/// The accounts that the caller may get to now, by host and login, with their terms. One call looks at a bounded number
/// of accounts: a page may be empty and have more after it.
#[utoipa::path(get, path = "/v1/accounts",
    params(
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("host" = Option<String>, Query, description = "only hosts whose name begins so"),
        ("limit" = Option<u32>, Query, description = "the most accounts, 1 to 200"),
    ),
    responses((status = 200, body = Page<ReachableAccount>), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub(super) async fn list(app: Arc<App>, caller: Session, incoming: Incoming) -> Result<Response, Problem> {
    let query = AccountQuery::parse(incoming.queries())?;
    let page = app.service.accounts(&caller.0, incoming.call().source, query).await?;
    Ok(json(StatusCode::OK, &page))
}
