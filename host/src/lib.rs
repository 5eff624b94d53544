//! What a server needs to trust a jit-ssh CA. Nothing here stays running, and nothing here is in the way of a login:
//! sshd reads the files and that is all.

pub mod cli;
mod configuration;
pub mod files;
pub mod place;
pub mod trust;

#[cfg(test)]
mod tests;
