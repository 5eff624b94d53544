//! `GET /v1/openapi.json`: the interface, described from the handlers themselves.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use jit_ssh_proto::Problem;
use utoipa::OpenApi;

use super::App;
use super::caller::Anyone;
use super::incoming::Incoming;
use super::problem::raw;
use super::{accounts, events, explain, health, log, logout, requests, sessions, trust};

#[derive(OpenApi)]
#[openapi(
    info(title = "jit-ssh CA", description = "See docs/PROTOCOL.md for what is signed and how."),
    paths(
        trust::bundle,
        health::healthz,
        health::readyz,
        log::checkpoint,
        log::tile,
        document,
        sessions::open,
        sessions::current,
        sessions::end,
        requests::create,
        requests::list,
        requests::show,
        explain::explain,
        accounts::list,
        events::search,
        logout::log_out,
    )
)]
struct Description;

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200)))]
pub(super) async fn document(_: Arc<App>, _: Anyone, _: Incoming) -> Result<Response, Problem> {
    Ok(raw(StatusCode::OK, "application/json", Description::openapi().to_json().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document: serde_json::Value =
            serde_json::from_str(&Description::openapi().to_json().unwrap()).unwrap();
        let mut described: Vec<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(move |m| format!("{} {path}", m.to_uppercase()))
            })
            .collect();
        let mut routed: Vec<String> = super::super::rows()
            .iter()
            .map(|row| format!("{} {}", row.method, row.path.replace('*', "")))
            .collect();
        described.sort();
        routed.sort();
        assert_eq!(described, routed);
    }
}
