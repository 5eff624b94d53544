//! `/log/…`: the ledger as C2SP tlog-tiles. Hashes only, so anybody may read it.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use jit_ssh_proto::log::Tile;
use jit_ssh_proto::{Code, Problem};

use super::App;
use super::caller::Anyone;
use super::incoming::Incoming;
use super::problem::raw;

/// The signed checkpoint of the ledger as it is now: a C2SP signed note.
#[utoipa::path(get, path = "/log/checkpoint", responses((status = 200), (status = 503, body = Problem)))]
pub(super) async fn checkpoint(app: Arc<App>, _: Anyone, _: Incoming) -> Result<Response, Problem> {
    Ok(raw(StatusCode::OK, "text/plain; charset=utf-8", app.service.checkpoint().await?.to_string()))
}

/// A tile, `LEVEL/INDEX` or `entries/INDEX` with `.p/WIDTH` if it is partial (C2SP tlog-tiles).
#[utoipa::path(get, path = "/log/tile/{tile}", params(("tile" = String, Path)),
    responses((status = 200), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn tile(app: Arc<App>, _: Anyone, incoming: Incoming) -> Result<Response, Problem> {
    let path = format!("tile/{}", incoming.param("tile"));
    let tile: Tile = path.parse().map_err(|e| Problem::new(Code::NotFound, format!("{path:?} {e}.")))?;
    let bytes = app.service.tile(&tile).await?;
    let mut response = raw(StatusCode::OK, "application/octet-stream", bytes);
    if !tile.is_partial() {
        // It never changes.
        let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(header::CACHE_CONTROL, forever);
    }
    Ok(response)
}
