//! Who is on the way to the writer: with a flush for all of them, each costs less than with one for each few.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long the writer waits at most for those who are on their way.
const LONGEST: Duration = Duration::from_millis(2);

/// How long at most for those who came with the others lately, and may come again.
const AGAIN: Duration = Duration::from_millis(1);

/// With so many waiting, the writer begins.
pub(super) const ENOUGH: usize = 16;

/// Calls that said that they will append, and have not yet.
#[derive(Debug, Default)]
pub(super) struct Gather {
    coming: AtomicUsize,
    writer: OnceLock<Thread>,
}

/// How many are likely to come together, by how many did: whoever is answered asks again, and a crowd that is answered
/// at once comes as a crowd. Nobody is expected after one who came alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected(usize);

impl Expected {
    /// So many came. Fewer than before may be chance: what was expected wears off by quarters.
    pub(super) fn came(&mut self, count: usize) {
        self.0 = count.max(self.0.saturating_sub(self.0.div_ceil(4)));
    }
}

/// A call that is on its way to the writer, until it is there or gives up.
#[derive(Debug)]
pub struct Coming(Arc<Gather>);

impl Gather {
    pub(super) fn announce(self: &Arc<Self>) -> Coming {
        self.coming.fetch_add(1, Ordering::Relaxed);
        Coming(Arc::clone(self))
    }

    /// Called by the writer's thread, where `there` says how many wait: until that is enough, or all are there who are
    /// on their way and as many as are `expected`, or some time has passed.
    pub(super) fn wait(&self, there: impl Fn() -> usize, expected: Expected) {
        let _set = self.writer.set(thread::current());
        let began = Instant::now();
        loop {
            let there = there();
            let longest = if there >= ENOUGH {
                return;
            } else if self.coming.load(Ordering::Relaxed) > 0 {
                LONGEST
            } else if there < expected.0 {
                AGAIN
            } else {
                return;
            };
            let Some(left) = longest.checked_sub(began.elapsed()) else { return };
            thread::park_timeout(left);
        }
    }

    /// Called by whoever put something into the writer's queue.
    pub(super) fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if self.0.coming.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;

    use super::{ENOUGH, Expected, Gather};

    #[test]
    fn nobody_is_waited_for_who_did_not_say_so_or_is_there() {
        let gather = Arc::new(Gather::default());
        // Otherwise the test would take a millisecond for each.
        for _ in 0..20_000 {
            gather.wait(|| 1, Expected::default());
            drop(gather.announce());
            gather.wait(|| 3, Expected(3));
            let _coming = gather.announce();
            gather.wait(|| ENOUGH, Expected(100));
        }
    }

    #[test]
    fn the_writer_goes_on_when_the_last_one_came_or_after_some_time() {
        let gather = Arc::new(Gather::default());
        let (first, second) = (gather.announce(), gather.announce());
        // Some time.
        gather.wait(|| 1, Expected::default());
        // The last one came, however long that took.
        let (waits, waiting) = mpsc::channel();
        let others = thread::spawn(move || {
            waiting.recv().unwrap();
            drop(first);
            drop(second);
        });
        waits.send(()).unwrap();
        while gather.coming.load(super::Ordering::Relaxed) > 0 {
            gather.wait(|| 1, Expected::default());
        }
        others.join().unwrap();
        // Some time, of those who were only expected.
        gather.wait(|| 1, Expected(3));
    }

    #[test]
    fn a_crowd_is_expected_again_and_wears_off() {
        let mut expected = Expected::default();
        let mut after = |count| {
            expected.came(count);
            expected.0
        };
        assert_eq!([8, 7, 8, 1, 1, 1, 1, 1, 1, 1].map(&mut after), [8, 7, 8, 6, 4, 3, 2, 1, 1, 1]);
        assert_eq!([32, 1, 1, 1, 1, 1, 1, 1, 1, 1].map(&mut after), [32, 24, 18, 13, 9, 6, 4, 3, 2, 1]);
    }
}
