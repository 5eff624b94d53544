//! The pure heart of the jit-ssh CA: identities, requests, policy, grants, and what a certificate says.
//!
//! `no_std`: a clock, a file, a socket or a log line does not compile here. All of it comes in as values.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod authority;
pub mod cert;
pub mod grant;
pub mod identity;
pub mod inventory;
pub mod places;
pub mod policy;
pub mod position;
pub mod request;
