//! `/v1/events`: the ledger, for those who may audit. Page by page, waiting for what comes, or all of it in one stream.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::channel::Channel;
use jit_ssh_proto::Problem;
use jit_ssh_proto::wire::LogPage;

use super::App;
use super::caller::Auditor;
use super::incoming::Incoming;
use super::problem::{json, raw};
use crate::service::{EventQuery, Export};

/// One JSON object a line.
const NDJSON: &str = "application/x-ndjson";

/// How many parts of a stream are made before its reader takes them.
const AHEAD: usize = 1;

/// Searches the ledger. With `Accept: application/x-ndjson` everything that matches is streamed, one item a line, and
/// that is recorded.
#[utoipa::path(get, path = "/v1/events",
    params(
        ("after" = Option<u64>, Query, description = "only leaves after this one: `next` of the page before"),
        ("before" = Option<u64>, Query, description = "only leaves before this one"),
        ("order" = Option<String>, Query, description = "`asc` (default) or `desc`"),
        ("limit" = Option<u32>, Query, description = "the most items, 1 to 1000"),
        ("wait" = Option<u32>, Query, description = "how many seconds to wait if nothing is there yet, at most 30"),
        ("since" = Option<u64>, Query, description = "only from this time on"),
        ("until" = Option<u64>, Query, description = "only before this time"),
        ("type" = Option<String>, Query, description = "only this kind"),
        ("user" = Option<String>, Query, description = "only by this name"),
        ("host" = Option<String>, Query, description = "only about this host"),
        ("action" = Option<String>, Query, description = "only about this mode or modifier"),
        ("policy" = Option<String>, Query, description = "only decided by this policy"),
        ("serial" = Option<u64>, Query, description = "only about this serial"),
        ("request" = Option<String>, Query, description = "only about this request"),
        ("grant" = Option<String>, Query, description = "only about this grant"),
        ("session" = Option<String>, Query, description = "only of this session"),
        ("grep" = Option<String>, Query, description = "only with this in a value, in any case of letters"),
    ),
    responses((status = 200, body = LogPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
pub(super) async fn search(app: Arc<App>, caller: Auditor, incoming: Incoming) -> Result<Response, Problem> {
    let query = EventQuery::parse(incoming.queries())?;
    if incoming.accepts(NDJSON) {
        let export = app.service.export(&caller.0, query).await?;
        return Ok(raw(StatusCode::OK, NDJSON, stream(export)));
    }
    let over = async {
        tokio::select! {
            () = tokio::time::sleep(query.wait()) => {}
            () = app.stopping.begun() => {}
        }
    };
    let page = app.service.events(query.clone(), over).await?;
    Ok(json(StatusCode::OK, &page))
}

/// A body that is made as it is read. What cannot be read ends it early, which its reader sees: the last chunk never
/// comes.
fn stream(mut export: Export) -> Body {
    let (mut sender, body) = Channel::<Bytes, Problem>::new(AHEAD);
    tokio::spawn(async move {
        loop {
            match export.next().await {
                Ok(None) => break,
                Ok(Some(lines)) => {
                    if sender.send_data(Bytes::from(lines)).await.is_err() {
                        break;
                    }
                }
                Err(problem) => {
                    sender.abort(problem);
                    break;
                }
            }
        }
    });
    Body::new(body)
}
