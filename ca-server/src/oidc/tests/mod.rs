//! Invariant 5, shown: hostile tokens and lying providers against the real verifier, over real HTTP on loopback.

mod hostile;
mod maker;
mod providers;
mod rows;
mod server;
mod vectors;
