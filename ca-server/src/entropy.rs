//! The one place where randomness is drawn: the operating system's generator.

use jit_ssh_proto::Salt;
use rand::RngCore;
use rand::rngs::OsRng;

/// Fresh random bytes.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
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
