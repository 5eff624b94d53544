//! One mode and one set of modifiers: extensions are global to a certificate, so mixing leaks rights between places.

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint = Lint { name: "one-mode", source: "DESIGN 4; DESIGN 10, invariant 3", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    let first = subject.principals.first().map(|p| (p.mode(), p.modifiers()));
    demand(subject.principals.iter().all(|p| Some((p.mode(), p.modifiers())) == first), || {
        "principals of several modes in one certificate".into()
    })
}
