//! Invariant 5, shown: hostile tokens and lying providers against the real verifier, over real HTTP on loopback.

mod hostile;
pub(super) mod maker;
mod providers;
mod rows;
pub(super) mod server;
mod vectors;
