//! The window is not empty, at most 24 hours long, and neither end is a value that means "forever".

use super::super::HARD_MAX;
use super::{Lint, Subject, demand};
use jit_ssh_proto::Timestamp;

pub(super) const LINT: Lint =
    Lint { name: "window", source: "PROTOCOL.certkeys: valid after/before; DESIGN 10, invariant 2", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    let (after, before) = (subject.decoded.valid_after, subject.decoded.valid_before);
    demand(before > after, || alloc::format!("the window from {after} to {before} is empty"))?;
    demand(before.saturating_sub(after) <= HARD_MAX.seconds(), || {
        alloc::format!("the window of {} seconds is longer than a day", before.saturating_sub(after))
    })?;
    // 0 and the largest numbers are how OpenSSH writes "always" and "forever".
    demand(after > 0 && before < Timestamp::MAX.seconds(), || "the window has an open end".into())
}
