//! The one place where the wall clock is read (invariant 12).

use std::time::{SystemTime, UNIX_EPOCH};

use jit_ssh_proto::Timestamp;

/// Now, by this machine's clock. A clock before 1970 reads as the epoch.
#[expect(clippy::disallowed_methods, reason = "this is the edge where time comes in")]
pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
}
