//! HTTP: routes, callers, problems. Handlers turn bytes into a call of a service and its answer into bytes; rules are
//! elsewhere.

mod accounts;
mod caller;
mod events;
mod explain;
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

use axum::Router;
use tokio::sync::watch;

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
pub struct Stopping(watch::Sender<bool>);

impl Stopping {
    /// From now on nobody waits.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it has begun.
    pub async fn begun(&self) {
        // The sender is here, so this ends for no other reason.
        let mut told = self.0.subscribe();
        let _begun = told.wait_for(|begun| *begun).await;
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
