//! Log lines on their way to standard error. What a busy worker says is gathered and written at once when the worker has
//! nothing left to do; whatever else says something, and every warning, is written at once. Order is kept.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// So much is gathered at most, however busy the worker: what a killed process may leave unsaid.
const MOST_BYTES: usize = 8 << 10;

/// Of this process.
static WAITING: Mutex<Vec<u8>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether this thread tells when it is idle, so that its lines can wait.
    static TELLS: Cell<bool> = const { Cell::new(false) };
}

/// To be called by a thread of the runtime whenever it has nothing left to do.
pub(super) fn idle() {
    TELLS.set(true);
    write(&[], true);
}

/// Writes what waits, at the end.
pub(super) fn end() {
    write(&[], true);
}

/// Nobody can be told that standard error is gone.
fn write(line: &[u8], now: bool) {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.extend_from_slice(line);
    if !waiting.is_empty() && (now || waiting.len() >= MOST_BYTES) {
        let _gone = io::stderr().write_all(&waiting);
        waiting.clear();
    }
}

/// Where the subscriber writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines;

/// One line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    now: bool,
}

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line { now: true }
    }

    fn make_writer_for(&self, meta: &Metadata<'_>) -> Line {
        Line { now: *meta.level() <= Level::WARN || !TELLS.get() }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(bytes, self.now);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
