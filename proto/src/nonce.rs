//! The OIDC nonce that ties an ID token to one session key at one CA (DESIGN 9).

use alloc::string::String;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use crate::{CaId, Salt, UserKey};

/// The label that begins what is hashed.
pub const OIDC_NONCE_LABEL: &str = "jit-ssh-nonce-v1";

/// base64url(SHA-256("jit-ssh-nonce-v1" ‖ CA id ‖ salt ‖ session key blob)), unpadded.
#[must_use]
pub fn oidc_nonce(ca: &CaId, salt: &Salt, session_key: &UserKey) -> String {
    let digest = Sha256::new()
        .chain_update(OIDC_NONCE_LABEL)
        .chain_update(ca.as_bytes())
        .chain_update(salt.as_bytes())
        .chain_update(session_key.blob())
        .finalize();
    BASE64URL_NOPAD.encode(&digest)
}
