//! The one place where randomness is drawn.
//!
//! From rand's generator of each thread: ChaCha12 with a key of 256 bits from the operating system, and a new one every
//! 64 kB and after a fork. So a salt is as good as its 32 bytes, at a fraction of a system call. Keys, which stay for
//! years, take theirs from the operating system (`signer/keys.rs`).

use jit_ssh_proto::Salt;
use rand::RngCore;

/// Fresh random bytes.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::thread_rng().fill_bytes(&mut bytes);
    bytes
}

/// A fresh salt or nonce.
#[must_use]
pub fn salt() -> Salt {
    Salt::from_bytes(bytes())
}

/// The two parts of a ULID of this millisecond: so what is made later sorts later. And 80 random bits.
#[must_use]
pub fn ulid_parts(milliseconds: u64) -> (u64, u128) {
    (milliseconds, u128::from_be_bytes(bytes()) >> 48)
}
