//! The name of somebody whose issuer names no login: made of who they are, never of what they are called.

use alloc::format;
use alloc::string::String;

use data_encoding::BASE32_NOPAD;
use jit_ssh_proto::{Code, Name, Problem};
use sha2::{Digest, Sha256};

/// How derived names begin; no login may.
pub(super) const PREFIX: &str = "id-";

/// `id-` + lower-case base32(SHA-256(issuer ‖ 0 ‖ sub))\[..26\] (DESIGN 4): 130 bits, so that nobody finds a subject
/// with another's name.
///
/// # Errors
/// Never, with a digest that is one; the caller refuses rather than assumes it.
pub(super) fn name(issuer_url: &str, sub: &str) -> Result<Name, Problem> {
    let digest = Sha256::new().chain_update(issuer_url).chain_update([0]).chain_update(sub).finalize();
    let text: String = BASE32_NOPAD.encode(&digest).to_ascii_lowercase().chars().take(26).collect();
    format!("{PREFIX}{text}").parse().map_err(|_| {
        Problem::new(Code::Internal, "No name could be made for this subject: ask the operator of the CA.")
    })
}
