//! What the end-to-end tests and the bench stand on.

pub mod api;
pub mod http;
