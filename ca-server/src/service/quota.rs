//! How often a session may be refused. Every denied request is an event, and the ledger keeps events for ever: without a
//! bound, one session could make it grow as fast as it can ask. Counted in memory, since what matters is the rate.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use jit_ssh_proto::{Code, Problem, SessionId, Span, Timestamp};

/// The length of the window in which refusals are counted, in seconds.
const WINDOW: u64 = 60;

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
        let Some(wait) = self.wait(session, now) else { return Ok(()) };
        let detail = format!(
            "This session was refused {} times within a minute, and nothing more of it is looked at for now: ask again in \
             {wait}.",
            self.limit
        );
        Err(Problem::new(Code::TooManyRequests, detail).retrying_after(wait))
    }
}

impl<K: Copy + Eq + Hash> Quota<K> {
    /// So many refusals in each minute.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, counted: Mutex::default() }
    }

    /// How long it takes until there may be another one; none if there may be now.
    pub(super) fn wait(&self, key: &K, now: Timestamp) -> Option<Span> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let window = counted.get(key).filter(|window| window.refused >= self.limit && !window.over(now))?;
        Some(Span::from_seconds(WINDOW.saturating_sub(now.since(window.began).seconds())))
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
        for (second, wait) in [(20, 40), (59, 1)] {
            let problem = quota.check(&session(1), at(second)).unwrap_err();
            assert_eq!(problem.code, Code::TooManyRequests, "{second}");
            assert_eq!(problem.retry_after, Some(Span::from_seconds(wait)), "{second}");
            assert!(problem.detail.ends_with(&format!("ask again in {wait}s.")), "{}", problem.detail);
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
