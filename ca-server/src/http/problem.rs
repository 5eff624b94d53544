//! Answers: JSON, and RFC 9457 problem documents for every refusal.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jit_ssh_proto::{Blame, Code, Problem};
use serde::Serialize;

/// Room for an answer with a certificate and its receipt, so that it does not grow piece by piece.
const ANSWER_BYTES: usize = 4096;

/// A JSON answer, never cached.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let mut body = Vec::with_capacity(ANSWER_BYTES);
    match serde_json::to_writer(&mut body, value) {
        Ok(()) => raw(status, "application/json", body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An answer of bytes, never cached.
pub(super) fn raw(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<axum::body::Body>,
) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body.into()).into_response()
}

/// A refusal.
pub(super) fn respond(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = raw(status, "application/problem+json", body);
    let headers = response.headers_mut();
    if let Some(wait) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.seconds()));
    }
    match problem.code.blame() {
        Blame::Server | Blame::Provider if status == StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        Blame::Login => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Blame::Server | Blame::Provider | Blame::Caller | Blame::Denied => {}
    }
    // What was left unread of a body would be taken for the next request.
    if matches!(problem.code, Code::BodyTooLarge | Code::BodyTooSlow) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    tracing::debug!(status = problem.status, code = %problem.code, "refused");
    response
}

pub(super) async fn not_found() -> Response {
    respond(&Problem::new(Code::NotFound, "There is nothing here: see /v1/openapi.json."))
}

pub(super) async fn method_not_allowed() -> Response {
    respond(&Problem::new(
        Code::MethodNotAllowed,
        "This route does not take that method: see /v1/openapi.json.",
    ))
}
