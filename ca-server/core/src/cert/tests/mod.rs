//! Tests of the profile, the encoding and the signature check. The lints' own table is in `lint/tests.rs`.

mod decided;
mod differential;
pub(super) mod fixture;
mod invariants;
mod properties;
