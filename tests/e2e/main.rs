//! The one end-to-end test program: every file is about one promise, on real parts.

mod certificates;
mod serving;
