//! `jit-ssh-ca`: see the library.

fn main() -> std::process::ExitCode {
    jit_ssh_ca::cli::main()
}
