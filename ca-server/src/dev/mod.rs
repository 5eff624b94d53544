//! `jit-ssh-ca dev`: a throw-away CA and a small identity provider, on loopback only.

pub mod provider;
