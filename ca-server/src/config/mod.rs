//! `ca.toml`: raw text in, values that can only be valid out.
