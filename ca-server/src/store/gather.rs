//! Who is on the way to the writer: with a flush for all of them, each costs less than with one for each few.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long the writer waits at most for those who are on their way, and for those who came with the others lately and
/// may come again.
const LONGEST: Duration = Duration::from_millis(2);

/// With so many waiting, the writer begins.
const ENOUGH: usize = 16;

/// Who is on the way to the writer, and who is likely to be.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// Calls that said that they will append, and have not yet.
    coming: AtomicUsize,
    /// How many are likely to come together, by how many did: whoever is answered asks again, and a crowd that is
    /// answered at once comes as a crowd. Nobody is expected after one who came alone.
    expected: AtomicUsize,
    writer: OnceLock<Thread>,
}

/// A call that is on its way to the writer, until it is there or gives up.
#[derive(Debug)]
pub struct Coming(Option<Arc<Gather>>);

impl Gather {
    pub(super) fn announce(self: &Arc<Self>) -> Coming {
        self.coming.fetch_add(1, Ordering::Relaxed);
        Coming(Some(Arc::clone(self)))
    }

    /// Called by the writer's thread, where `there` says how many wait: until that is enough, or all are there who are
    /// on their way and as many as are expected, or some time has passed.
    pub(super) fn wait(&self, there: impl Fn() -> usize) {
        let _set = self.writer.set(thread::current());
        let began = Instant::now();
        loop {
            let there = there();
            let more =
                || self.coming.load(Ordering::Relaxed) > 0 || there < self.expected.load(Ordering::Relaxed);
            if there >= ENOUGH || !more() {
                return;
            }
            let Some(left) = LONGEST.checked_sub(began.elapsed()) else { return };
            thread::park_timeout(left);
        }
    }

    /// Called by the writer's thread: so many came together. Fewer than before may be chance: what is expected wears
    /// off by quarters.
    pub(super) fn came(&self, count: usize) {
        let before = self.expected.load(Ordering::Relaxed);
        self.expected.store(count.max(before.saturating_sub(before.div_ceil(4))), Ordering::Relaxed);
    }

    /// Called by whoever put something into the writer's queue without having said so.
    pub(super) fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// Whether that was the last who was on the way.
    fn leave(&self) -> bool {
        self.coming.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

impl Coming {
    /// It is there, one of so many. The writer is woken if it has nobody else to wait for.
    pub(super) fn arrived(mut self, there: usize) {
        let Some(gather) = self.0.take() else { return };
        let last = gather.leave();
        if there >= ENOUGH || (last && there >= gather.expected.load(Ordering::Relaxed)) {
            gather.wake();
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if let Some(gather) = self.0.take()
            && gather.leave()
        {
            gather.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::sync::{Arc, mpsc};
    use std::thread;

    use super::{ENOUGH, Gather};

    /// Where so many came last.
    fn after(count: usize) -> Arc<Gather> {
        let gather = Arc::new(Gather::default());
        gather.came(count);
        gather
    }

    #[test]
    fn nobody_is_waited_for_who_did_not_say_so_or_is_there() {
        let (alone, of_three, of_many) = (after(1), after(3), after(100));
        let _coming = of_many.announce();
        // Otherwise the test would take a millisecond for each.
        for _ in 0..20_000 {
            alone.wait(|| 1);
            drop(alone.announce());
            alone.announce().arrived(1);
            alone.wait(|| 1);
            of_three.wait(|| 3);
            of_many.wait(|| ENOUGH);
        }
    }

    #[test]
    fn the_writer_goes_on_when_the_last_one_came_or_after_some_time() {
        let gather = after(1);
        let (first, second) = (gather.announce(), gather.announce());
        // Some time.
        gather.wait(|| 1);
        // The last one came, however long that took.
        let (waits, waiting) = mpsc::channel();
        let others = thread::spawn(move || {
            waiting.recv().unwrap();
            drop(first);
            second.arrived(2);
        });
        waits.send(()).unwrap();
        while gather.coming.load(Ordering::Relaxed) > 0 {
            gather.wait(|| 1);
        }
        others.join().unwrap();
        // Some time, of those who were only expected.
        after(3).wait(|| 1);
    }

    #[test]
    fn a_crowd_is_expected_again_and_wears_off() {
        let expected = |counts: [usize; 10]| {
            let gather = Gather::default();
            counts.map(|count| {
                gather.came(count);
                gather.expected.load(Ordering::Relaxed)
            })
        };
        assert_eq!(expected([8, 7, 8, 1, 1, 1, 1, 1, 1, 1]), [8, 7, 8, 6, 4, 3, 2, 1, 1, 1]);
        assert_eq!(expected([32, 1, 1, 1, 1, 1, 1, 1, 1, 1]), [32, 24, 18, 13, 9, 6, 4, 3, 2, 1]);
    }
}
