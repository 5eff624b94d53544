//! A signer whose key is an encrypted file in `keys/`, held in memory while the CA runs.

use jit_ssh_core::authority::Authority;
use jit_ssh_core::cert::Prepared;
use ssh_key::PrivateKey;
use ssh_key::Signature;

use super::{Signer, SignerError, Signing};

/// Signs with a key in memory, which is wiped when dropped.
pub struct FileSigner {
    authority: Authority,
    key: PrivateKey,
}

impl FileSigner {
    pub(super) fn new(authority: Authority, key: PrivateKey) -> Self {
        Self { authority, key }
    }

    fn sign_now(&self, prepared: &Prepared) -> Result<Signature, SignerError> {
        signature::Signer::try_sign(&self.key, prepared.tbs()).map_err(|e| SignerError(e.to_string()))
    }
}

impl Signer for FileSigner {
    fn authority(&self) -> &Authority {
        &self.authority
    }

    fn sign<'a>(&'a self, prepared: &'a Prepared) -> Signing<'a> {
        let signed = self.sign_now(prepared);
        Box::pin(async move { signed })
    }
}
