//! How often a session may be refused. Every denied request is an event, and the ledger keeps events for ever: without a
//! bound, one session could make it grow as fast as it can ask. Counted in memory, since what matters is the rate.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use jit_ssh_proto::{Code, Problem, SessionId, Timestamp};

/// The length of the window in which refusals are counted, in seconds; also what `Retry-After` says.
pub(crate) const WINDOW: u64 = 60;

/// When so many sessions are counted, those whose window is over are forgotten.
const SWEEP: usize = 1024;

/// Refusals of late, by session or by whatever else they are counted.
#[derive(Debug)]
pub struct Quota<K = SessionId> {
    limit: u32,
    counted: Mutex<HashMap<K, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Timestamp,
    refused: u32,
}

impl Window {
    fn over(self, now: Timestamp) -> bool {
        now.since(self.began).seconds() >= WINDOW
    }
}

impl Quota {
    /// Whether a session may ask now.
    ///
    /// # Errors
    /// `too_many_requests` when it was refused too often in this minute.
    pub(super) fn check(&self, session: &SessionId, now: Timestamp) -> Result<(), Problem> {
        if self.allows(session, now) {
            return Ok(());
        }
        Err(Problem::new(
            Code::TooManyRequests,
            format!(
                "This session was refused {} times within a minute: find out why with `jit-ssh whoami`, and wait a \
                 minute before you ask again.",
                self.limit
            ),
        ))
    }
}

impl<K: Copy + Eq + Hash> Quota<K> {
    /// So many refusals in each minute.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, counted: Mutex::default() }
    }

    /// Whether there may be another one.
    pub(super) fn allows(&self, key: &K, now: Timestamp) -> bool {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.get(key).is_none_or(|window| window.refused < self.limit || window.over(now))
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, key: &K, now: Timestamp) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= SWEEP {
            counted.retain(|_, window| !window.over(now));
        }
        let window = counted.entry(*key).or_insert(Window { began: now, refused: 0 });
        if window.over(now) {
            *window = Window { began: now, refused: 0 };
        }
        window.refused = window.refused.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_327_543 + seconds)
    }

    fn session(n: u64) -> SessionId {
        SessionId::from_parts(1, u128::from(n))
    }

    #[test]
    fn a_session_is_refused_so_often_a_minute_and_no_more() {
        let quota = Quota::new(3);
        for second in [0, 10, 20] {
            quota.check(&session(1), at(second)).unwrap();
            quota.refused(&session(1), at(second));
        }
        for second in [20, 59] {
            assert_eq!(
                quota.check(&session(1), at(second)).unwrap_err().code,
                Code::TooManyRequests,
                "{second}"
            );
        }
        // Another session has its own, and a new minute is a new one.
        quota.check(&session(2), at(20)).unwrap();
        quota.check(&session(1), at(60)).unwrap();
        quota.refused(&session(1), at(60));
        quota.check(&session(1), at(61)).unwrap();
        // A clock that goes back gives nobody more.
        quota.refused(&session(1), at(61));
        quota.refused(&session(1), at(61));
        assert!(quota.check(&session(1), at(0)).is_err());
    }

    #[test]
    fn sessions_whose_minute_is_over_are_forgotten() {
        let quota = Quota::new(3);
        for n in 0..5000 {
            quota.refused(&session(n), at(n));
        }
        assert!(quota.counted.lock().unwrap().len() <= SWEEP + 1);
    }
}
