//! What the end-to-end tests and the bench stand on: real parts, started on loopback and stopped by process id.

pub mod api;
pub mod browser;
pub mod ca;
pub mod certificates;
pub mod client;
pub mod database;
pub mod glewlwyd;
pub mod http;
pub mod ledger;
pub mod process;
pub mod provider;
pub mod sshd;
pub mod witness;
