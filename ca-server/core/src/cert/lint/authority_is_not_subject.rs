//! An authority never certifies itself: its key would then also be a way to log in.

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint =
    Lint { name: "authority-is-not-subject", source: "DESIGN 10, invariant 8", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    demand(subject.decoded.key != subject.decoded.authority, || {
        "the certified key is the authority's own".into()
    })
}
