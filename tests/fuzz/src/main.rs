//! libFuzzer over one target, which the environment names: `cargo xtask fuzz` builds and runs it.
#![no_main]

use std::sync::LazyLock;

use jit_ssh_fuzz::{Target, target};

static CHOSEN: LazyLock<Option<Target>> =
    LazyLock::new(|| std::env::var("JIT_SSH_FUZZ_TARGET").ok().as_deref().and_then(target));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(chosen) = *CHOSEN {
        chosen(bytes);
    }
});
