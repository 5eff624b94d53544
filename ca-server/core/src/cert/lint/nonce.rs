//! The nonce is 32 bytes and not one byte repeated, so that what is signed cannot be foreseen by who chose the key.

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint = Lint { name: "nonce", source: "PROTOCOL.certkeys: nonce", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    let nonce = &subject.decoded.nonce;
    demand(nonce.len() == 32, || alloc::format!("the nonce has {} bytes, not 32", nonce.len()))?;
    demand(nonce.iter().any(|b| Some(b) != nonce.first()), || {
        "the nonce is one byte repeated: the source of randomness is broken".into()
    })
}
