//! The window lies within the grant, the session and the policy's maximum, and has not ended.

use alloc::format;

use jit_ssh_proto::Timestamp;

use super::{Lint, Subject, demand};
use crate::grant::CLOCK_SKEW;

pub(super) const LINT: Lint =
    Lint { name: "within-grant", source: "DESIGN 4, validity; DESIGN 10, invariant 2", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    let (statement, issuance) = (subject.statement, subject.issuance);
    let after = Timestamp::from_seconds(subject.decoded.valid_after);
    let before = Timestamp::from_seconds(subject.decoded.valid_before);
    demand(after >= statement.not_before, || format!("it starts at {after}, before its grant"))?;
    demand(after >= issuance.now.minus(CLOCK_SKEW), || format!("it starts at {after}, too long ago"))?;
    demand(before <= statement.not_after, || format!("it ends at {before}, after its grant"))?;
    demand(before <= issuance.session_ends, || format!("it ends at {before}, after its session"))?;
    demand(before <= issuance.now.plus(issuance.max), || format!("it ends at {before}, after the maximum"))?;
    demand(before > issuance.now, || format!("it ended at {before}"))
}
