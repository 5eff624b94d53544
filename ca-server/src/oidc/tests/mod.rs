//! Invariant 5, shown: hostile tokens and lying providers against the real verifier, over real HTTP on loopback.

mod hostile;
mod logout;
pub(super) mod maker;
mod providers;
mod rows;
pub(super) mod server;
mod vectors;
