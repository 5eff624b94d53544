//! End-to-end tests on real parts, in one binary: server processes, SQLite, HTTP, providers, sshd.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the whole crate is tests, helpers too"
)]

mod bad_input;
mod certificates;
mod crash;
mod stand;
