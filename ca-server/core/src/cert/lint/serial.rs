//! The serial is the one that the append transaction gave, and never 0: a KRL cannot revoke serial 0.

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint = Lint { name: "serial", source: "PROTOCOL.krl, section 2.1", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    demand(subject.decoded.serial != 0, || "the serial is 0".into())?;
    demand(subject.decoded.serial == subject.issuance.serial, || {
        alloc::format!("the serial is {}, not the one given", subject.decoded.serial)
    })
}
