//! Harnesses around the real parts of the end-to-end tests.

pub mod browser;
pub mod provider;
