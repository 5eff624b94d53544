//! HTTP: routes, callers, problems. Handlers turn bytes into a call of a service and its answer into bytes; rules are
//! elsewhere.

mod caller;
mod health;
mod incoming;
mod log;
mod openapi;
mod patience;
mod problem;
mod requests;
mod route;
mod serve;
mod sessions;
mod tls;
mod trust;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;

pub use caller::CallerKind;
pub use route::{Row, rows};
pub use serve::{Bound, ServeError, bind};

use crate::service::Service;

/// What handlers work with.
pub struct App {
    /// The services.
    pub service: Service,
    /// Peers whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpAddr>,
}

/// Every route with who may call it.
pub fn router(app: Arc<App>) -> Router {
    route::routes()
        .into_iter()
        .fold(Router::new(), |router, route| router.route(route.row.path, route.handler))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(app)
}
