//! A provider on loopback that says what a test tells it to, and counts how often it is asked.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};

/// What it answers.
#[derive(Clone)]
pub(crate) enum Says {
    Json(Value),
    Status(u16),
    Redirect(String),
    Typed(&'static str, Vec<u8>),
    /// A status, with JSON.
    Refusal(u16, Value),
    /// Nothing, ever.
    Hangs,
    /// The beginning of an answer, and nothing more, ever.
    Stops,
    /// A little and a little more, without end.
    Drips,
}

struct Told {
    discovery: Says,
    keys: Says,
    token: Says,
    /// The forms that came to the token endpoint and to the revocation endpoint: path, `Authorization`, form.
    forms: Vec<(String, String, String)>,
    asked_discovery: usize,
    asked_keys: usize,
}

/// The provider.
pub(crate) struct Server {
    pub(crate) url: String,
    told: Arc<Mutex<Told>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// One that behaves, with these keys.
    pub(crate) async fn with_keys(keys: Vec<Value>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let told = Arc::new(Mutex::new(Told {
            discovery: Says::Json(discovery(&url)),
            keys: Says::Json(json!({"keys": keys})),
            token: Says::Status(404),
            forms: Vec::new(),
            asked_discovery: 0,
            asked_keys: 0,
        }));
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(|State(told): State<Arc<Mutex<Told>>>| async move {
                    let says = {
                        let mut told = told.lock().unwrap();
                        told.asked_discovery += 1;
                        told.discovery.clone()
                    };
                    answer(says).await
                }),
            )
            .route(
                "/jwks",
                get(|State(told): State<Arc<Mutex<Told>>>| async move {
                    let says = {
                        let mut told = told.lock().unwrap();
                        told.asked_keys += 1;
                        told.keys.clone()
                    };
                    answer(says).await
                }),
            )
            .route("/token", post(form))
            .route("/revoke", post(form))
            .with_state(Arc::clone(&told));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, told, task }
    }

    pub(crate) fn says_discovery(&self, says: Says) {
        self.told.lock().unwrap().discovery = says;
    }

    pub(crate) fn says_keys(&self, says: Says) {
        self.told.lock().unwrap().keys = says;
    }

    /// What it answers to a form.
    pub(crate) fn says_token(&self, says: Says) {
        self.told.lock().unwrap().token = says;
    }

    /// The forms that came since this was asked last: path, `Authorization`, form.
    pub(crate) fn forms(&self) -> Vec<(String, String, String)> {
        std::mem::take(&mut self.told.lock().unwrap().forms)
    }

    pub(crate) fn publishes(&self, keys: &[Value]) {
        self.says_keys(Says::Json(json!({"keys": keys})));
    }

    /// How often it was asked for discovery and for keys.
    pub(crate) fn asked(&self) -> (usize, usize) {
        let told = self.told.lock().unwrap();
        (told.asked_discovery, told.asked_keys)
    }
}

pub(crate) fn discovery(url: &str) -> Value {
    json!({"issuer": url, "jwks_uri": format!("{url}/jwks"), "authorization_endpoint": format!("{url}/auth")})
}

async fn form(State(told): State<Arc<Mutex<Told>>>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let says = {
        let mut told = told.lock().unwrap();
        let authorization = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        told.forms.push((uri.path().to_owned(), authorization.unwrap_or_default(), body));
        told.token.clone()
    };
    answer(says).await
}

async fn answer(says: Says) -> Response {
    match says {
        Says::Json(value) => {
            ([(CONTENT_TYPE, "application/json; charset=utf-8")], value.to_string()).into_response()
        }
        Says::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Says::Redirect(to) => (StatusCode::FOUND, [(LOCATION, to)]).into_response(),
        Says::Refusal(status, value) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
        }
        Says::Typed(kind, body) => ([(CONTENT_TYPE, kind)], body).into_response(),
        Says::Hangs => std::future::pending().await,
        Says::Stops => dripping(stream::once(async { drop_of() }).chain(stream::pending())),
        Says::Drips => dripping(stream::repeat_with(drop_of).then(|space| async move {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            space
        })),
    }
}

type Space = Result<&'static str, std::convert::Infallible>;

fn drop_of() -> Space {
    Ok(" ")
}

fn dripping(body: impl Stream<Item = Space> + Send + 'static) -> Response {
    ([(CONTENT_TYPE, "application/json")], axum::body::Body::from_stream(body)).into_response()
}
