//! The reserved field is empty, and the format's name is that of the certified key.

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint = Lint { name: "reserved", source: "PROTOCOL.certkeys: reserved", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    demand(subject.decoded.reserved.is_empty(), || "the reserved field is not empty".into())?;
    let expected = subject.issuance.key.algorithm().to_certificate_type();
    demand(subject.decoded.algorithm == expected, || {
        alloc::format!("the format is {}, not {expected}", subject.decoded.algorithm)
    })
}
