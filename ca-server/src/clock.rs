//! The one place where the wall clock is read (invariant 12).

use std::time::{SystemTime, UNIX_EPOCH};

use jit_ssh_proto::Timestamp;

/// A clock.
pub trait Clock: Send + Sync + 'static {
    /// Now. A clock before 1970 reads as the epoch, which every check refuses.
    fn now(&self) -> Timestamp;

    /// The same in milliseconds since the epoch: for what sorts by time, and to compare clocks.
    fn milliseconds(&self) -> u64 {
        self.now().seconds().saturating_mul(1000)
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the edge where time comes in")]
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the edge where time comes in")]
    fn milliseconds(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
