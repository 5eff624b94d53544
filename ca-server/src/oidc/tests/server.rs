//! A provider on loopback that says what a test tells it to, and counts how often it is asked.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

/// What it answers.
#[derive(Clone)]
pub(in crate::oidc) enum Says {
    Json(Value),
    Status(u16),
    Redirect(String),
    Typed(&'static str, Vec<u8>),
    /// Nothing, ever.
    Hangs,
}

struct Told {
    discovery: Says,
    keys: Says,
    asked_discovery: usize,
    asked_keys: usize,
}

/// The provider.
pub(in crate::oidc) struct Server {
    pub(in crate::oidc) url: String,
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
    pub(in crate::oidc) async fn with_keys(keys: Vec<Value>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let told = Arc::new(Mutex::new(Told {
            discovery: Says::Json(discovery(&url)),
            keys: Says::Json(json!({"keys": keys})),
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
            .with_state(Arc::clone(&told));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, told, task }
    }

    pub(in crate::oidc) fn says_discovery(&self, says: Says) {
        self.told.lock().unwrap().discovery = says;
    }

    pub(in crate::oidc) fn says_keys(&self, says: Says) {
        self.told.lock().unwrap().keys = says;
    }

    pub(in crate::oidc) fn publishes(&self, keys: &[Value]) {
        self.says_keys(Says::Json(json!({"keys": keys})));
    }

    /// How often it was asked for discovery and for keys.
    pub(in crate::oidc) fn asked(&self) -> (usize, usize) {
        let told = self.told.lock().unwrap();
        (told.asked_discovery, told.asked_keys)
    }
}

pub(in crate::oidc) fn discovery(url: &str) -> Value {
    json!({"issuer": url, "jwks_uri": format!("{url}/jwks"), "authorization_endpoint": format!("{url}/auth")})
}

async fn answer(says: Says) -> Response {
    match says {
        Says::Json(value) => {
            ([(CONTENT_TYPE, "application/json; charset=utf-8")], value.to_string()).into_response()
        }
        Says::Status(status) => axum::http::StatusCode::from_u16(status).unwrap().into_response(),
        Says::Redirect(to) => (axum::http::StatusCode::FOUND, [(LOCATION, to)]).into_response(),
        Says::Typed(kind, body) => ([(CONTENT_TYPE, kind)], body).into_response(),
        Says::Hangs => std::future::pending().await,
    }
}
