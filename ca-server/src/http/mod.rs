//! HTTP: routes, callers, problems. Handlers turn bytes into a call of a service and its answer into bytes; rules are
//! elsewhere.

mod caller;
mod events;
mod health;
mod incoming;
mod log;
mod logout;
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
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// Whether the server is to stop.
    pub stopping: Stopping,
}

/// Told to calls that would wait for something, so that they do not hold up a stop.
#[derive(Clone, Debug, Default)]
pub struct Stopping(Arc<AtomicBool>);

impl Stopping {
    /// From now on nobody waits.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
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
