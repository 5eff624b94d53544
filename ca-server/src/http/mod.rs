//! HTTP: routes, callers, problems. No rules.
