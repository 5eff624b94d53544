//! The authorisation table: a route cannot exist without saying, in its type, who may call it (invariant 9).

use std::future::Future;
use std::sync::Arc;

use axum::extract::{RawPathParams, Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use jit_ssh_proto::Problem;

use super::caller::{
    Anyone, AskingSession, Auditor, Caller, CallerKind, NewSession, Provider, Session, SignedSession,
};
use super::incoming::Incoming;
use super::problem::respond;
use super::{App, accounts, events, explain, health, log, logout, openapi, requests, sessions, trust};

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The method.
    pub method: Method,
    /// The path, with `{parameters}`.
    pub path: &'static str,
    /// Who may call it.
    pub caller: CallerKind,
}

pub(super) struct Route {
    pub(super) row: Row,
    pub(super) handler: MethodRouter<Arc<App>>,
}

/// A method, and how axum selects it.
type Verb = (Method, MethodFilter);

const GET: Verb = (Method::GET, MethodFilter::GET);
const POST: Verb = (Method::POST, MethodFilter::POST);
const DELETE: Verb = (Method::DELETE, MethodFilter::DELETE);

/// Every route. There is no other way to add one.
pub(super) fn routes() -> Vec<Route> {
    vec![
        route::<Anyone, _, _>(GET, "/.well-known/jit-ssh", trust::bundle),
        route::<Anyone, _, _>(GET, "/healthz", health::healthz),
        route::<Anyone, _, _>(GET, "/readyz", health::readyz),
        route::<Anyone, _, _>(GET, "/log/checkpoint", log::checkpoint),
        route::<Anyone, _, _>(GET, "/log/tile/{*tile}", log::tile),
        route::<Anyone, _, _>(GET, "/v1/openapi.json", openapi::document),
        route::<NewSession, _, _>(POST, "/v1/sessions", sessions::open),
        route::<Session, _, _>(GET, "/v1/sessions/current", sessions::current),
        route::<SignedSession, _, _>(DELETE, "/v1/sessions/current", sessions::end),
        route::<AskingSession, _, _>(POST, "/v1/requests", requests::create),
        route::<Session, _, _>(GET, "/v1/requests", requests::list),
        route::<Session, _, _>(GET, "/v1/requests/{id}", requests::show),
        route::<Session, _, _>(POST, "/v1/explain", explain::explain),
        route::<Session, _, _>(GET, "/v1/accounts", accounts::list),
        route::<Auditor, _, _>(GET, "/v1/events", events::search),
        route::<Provider, _, _>(POST, "/v1/backchannel-logout/{issuer}", logout::log_out),
    ]
}

/// The authorisation table, for tests and documents.
#[must_use]
pub fn rows() -> Vec<Row> {
    routes().into_iter().map(|route| route.row).collect()
}

fn route<C, F, Fut>((method, filter): Verb, path: &'static str, handler: F) -> Route
where
    C: Caller,
    F: Fn(Arc<App>, C, Incoming) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Problem>> + Send,
{
    let answer = move |State(app): State<Arc<App>>, params: RawPathParams, request: Request| {
        let handler = handler.clone();
        async move {
            let incoming = match Incoming::read(&app, &params, request).await {
                Ok(incoming) => incoming,
                Err(problem) => return respond(&problem),
            };
            let outcome = match C::admit(&app, &incoming).await {
                Ok(caller) => handler(app, caller, incoming).await,
                Err(problem) => Err(problem),
            };
            outcome.unwrap_or_else(|problem| respond(&problem)).into_response()
        }
    };
    Route { row: Row { method, path, caller: C::KIND }, handler: on(filter, answer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_9_the_authorisation_table_is_what_is_written_down() {
        let table: String =
            rows().iter().map(|row| format!("{} {} {}\n", row.method, row.path, row.caller)).collect();
        expect_test::expect_file!["authorisation.txt"].assert_eq(&table);
    }

    #[test]
    fn invariant_9_whatever_changes_or_mints_is_signed() {
        for row in rows() {
            let signed = matches!(
                row.caller,
                CallerKind::NewSession | CallerKind::SignedSession | CallerKind::Provider
            );
            // A question that is too long for a URL, and changes nothing.
            let asks = row.method == Method::GET || row.path == "/v1/explain";
            assert_eq!(signed, !asks, "{row:?}");
        }
    }
}
