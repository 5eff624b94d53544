//! Fresh Ed25519 keys: one for each session, one for each certificate.

use jit_ssh_proto::UserKey;
use rand::rngs::OsRng;
use ssh_key::PrivateKey;
use ssh_key::private::Ed25519Keypair;

use crate::error::{Error, Result};

/// A new key.
pub(crate) fn fresh() -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::random(&mut OsRng))
}

/// The public half as the CA takes it.
pub(crate) fn public(key: &PrivateKey) -> Result<UserKey> {
    UserKey::new(key.public_key())
        .map_err(|e| Error::Local(format!("the session's key {e}: run jit-ssh login")))
}
