//! `jit-ssh-ca`.
fn main() {}
