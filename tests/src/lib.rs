//! What the end-to-end tests stand on: real parts, started on loopback and stopped by process id.

pub mod ca;
pub mod client;
pub mod process;
