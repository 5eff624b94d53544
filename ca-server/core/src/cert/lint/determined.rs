//! The record alone determines the bytes: encoded again from it, they are the same.

use super::super::encode_tbs;
use super::{Lint, Subject, demand};

pub(super) const LINT: Lint = Lint { name: "determined", source: "DESIGN 10, invariant 1", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    demand(encode_tbs(subject.record).is_ok_and(|again| again == subject.tbs), || {
        "the record does not determine the bytes".into()
    })
}
