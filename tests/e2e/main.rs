//! The one end-to-end test program: every file is about one promise, on real parts.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the whole crate is tests, helpers too"
)]

mod audit;
mod authorisation;
mod bad_input;
mod campaign;
mod certificates;
mod crash;
mod documents;
mod ending;
mod explanations;
mod flows;
mod invariants;
mod issuer;
mod login;
mod monitor;
mod operations;
mod places;
mod policies;
mod proven;
mod reload;
mod serving;
mod stand;
mod tamper;
mod trouble;
