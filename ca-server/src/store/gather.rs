//! Who is on the way to the writer: with a flush for all of them, each costs less than with one for each few.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long the writer waits at most for those who are on their way.
const LONGEST: Duration = Duration::from_millis(2);

/// With so many waiting, the writer begins.
pub(super) const ENOUGH: usize = 16;

/// Calls that said that they will append, and have not yet.
#[derive(Debug, Default)]
pub(super) struct Gather {
    coming: AtomicUsize,
    writer: OnceLock<Thread>,
}

/// A call that is on its way to the writer, until it is there or gives up.
#[derive(Debug)]
pub struct Coming(Arc<Gather>);

impl Gather {
    pub(super) fn announce(self: &Arc<Self>) -> Coming {
        self.coming.fetch_add(1, Ordering::Relaxed);
        Coming(Arc::clone(self))
    }

    /// Called by the writer's thread: until nobody is on the way, or `enough` wait, or some time has passed.
    pub(super) fn wait(&self, enough: impl Fn() -> bool) {
        let _set = self.writer.set(thread::current());
        let began = Instant::now();
        while self.coming.load(Ordering::Relaxed) > 0 && !enough() {
            let Some(left) = LONGEST.checked_sub(began.elapsed()) else { return };
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

    use super::Gather;

    #[test]
    fn nobody_is_waited_for_who_did_not_say_so_or_is_there() {
        let gather = Arc::new(Gather::default());
        gather.wait(|| panic!("nobody is asked whether it is enough"));
        drop(gather.announce());
        gather.wait(|| panic!("nobody is asked whether it is enough"));
    }

    #[test]
    fn the_writer_goes_on_when_the_last_one_came_or_enough_wait_or_after_some_time() {
        let gather = Arc::new(Gather::default());
        let (first, second) = (gather.announce(), gather.announce());
        // Enough wait.
        gather.wait(|| true);
        // Some time.
        gather.wait(|| false);
        // The last one came, however long that took.
        let (waits, waiting) = mpsc::channel();
        let others = thread::spawn(move || {
            waiting.recv().unwrap();
            drop(first);
            drop(second);
        });
        waits.send(()).unwrap();
        while gather.coming.load(super::Ordering::Relaxed) > 0 {
            gather.wait(|| false);
        }
        others.join().unwrap();
    }
}
