//! Invariant 5, shown: hostile tokens and lying providers against the real verifier, over real HTTP on loopback.

mod hostile;
mod logout;
pub(crate) mod maker;
pub(crate) mod providers;
mod rows;
pub(crate) mod server;
mod vectors;
