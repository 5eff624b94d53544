<<<<<<< HEAD
//! The one end-to-end test program: every file is about one promise, on real parts.
=======
//! End-to-end tests on real parts, in one binary: server processes, SQLite, HTTP, providers, sshd.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the whole crate is tests, helpers too"
)]
>>>>>>> refs/heads/e2e

mod bad_input;
mod certificates;
<<<<<<< HEAD
mod serving;
=======
mod crash;
mod stand;
>>>>>>> refs/heads/e2e
