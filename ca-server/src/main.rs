//! `jit-ssh-ca`: see the library.

/// What is made on one thread ends on another with each call: docs/decisions/0033.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    jit_ssh_ca::cli::main()
}
