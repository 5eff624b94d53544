//! What the end-to-end tests stand on: real parts, started on loopback and stopped by process id.

pub mod browser;
pub mod ca;
pub mod certificates;
pub mod client;
pub mod process;
pub mod provider;
pub mod sshd;
