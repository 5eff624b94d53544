//! The jit-ssh CA around its pure core: configuration, HTTP, OpenID Connect, the issue path, the store and the
//! signer.
//!
//! Calls go one way: `http → service → {core, store, signer, oidc}`. Handlers hold no rules, services know no HTTP
//! types, the store knows no policy, the signer accepts nothing but a prepared certificate.

pub mod cli;
pub mod clock;
pub mod config;
mod control;
pub mod crash;
#[cfg(feature = "dev")]
pub mod dev;
pub mod entropy;
pub mod http;
pub mod identities;
pub mod oidc;
mod outgoing;
mod reload;
pub mod service;
pub mod signer;
pub mod start;
pub mod store;
pub mod witness;
