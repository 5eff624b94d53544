//! Crash points: places where the process can be told to die, in release builds too, so that a test can show that
//! every state a crash leaves is safe and explained (invariant 1).
//!
//! `JIT_SSH_CRASH_AT=NAME` in the environment of `jit-ssh-ca serve` aborts the process when it reaches NAME. Whoever
//! can set that can stop the process anyway.

use std::sync::OnceLock;

/// The points of the issue path, in order.
pub const POINTS: &[&str] = &["before-append", "in-append", "after-append", "after-sign", "before-reply"];

static CRASH_AT: OnceLock<Option<String>> = OnceLock::new();

/// Whether this is the point that was asked for: where one needs an order of steps that has a place for it.
#[must_use]
pub fn is_at(name: &str) -> bool {
    let at = CRASH_AT.get_or_init(|| std::env::var("JIT_SSH_CRASH_AT").ok());
    at.as_deref() == Some(name)
}

/// Dies here if this is the point that was asked for: no unwinding, no flushing, no destructors.
pub fn point(name: &'static str) {
    if is_at(name) {
        std::process::abort();
    }
}
