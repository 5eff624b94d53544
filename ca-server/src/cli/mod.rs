//! The command line of `jit-ssh-ca`.
