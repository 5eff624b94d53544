//! The issue path and its neighbours, as numbered steps.
