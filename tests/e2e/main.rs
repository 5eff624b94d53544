//! End-to-end tests on real parts, in one binary.

mod certificates;
