//! Signers: the private side of the authorities. A certificate signer signs a prepared certificate and nothing else;
//! the trust key signs bundles and nothing else (invariant 8).

mod authorities;
mod file;
mod keys;
mod ledger;
mod make;
mod passphrase;
mod seal;

use std::future::Future;
use std::pin::Pin;

use jit_ssh_core::authority::Authority;
use jit_ssh_core::cert::Prepared;
use ssh_key::Signature;

pub use authorities::Signers;
pub use file::FileSigner;
pub use keys::{KEY_NAMES, KeyError, Keys, PublicHalf, ca_id, ledger_key, public_halves};
pub use ledger::LedgerSigner;
pub use make::{add_key, create_keys};
pub use passphrase::{Passphrase, PassphraseError};
pub use seal::Sealer;

/// Why a signer did not sign.
#[derive(Debug, thiserror::Error)]
#[error("the signer failed: {0}")]
pub struct SignerError(pub String);

/// The future of a signature: a file answers at once, a KMS does not.
pub type Signing<'a> = Pin<Box<dyn Future<Output = Result<Signature, SignerError>> + Send + 'a>>;

/// Something that signs certificates for one authority.
pub trait Signer: Send + Sync {
    /// The authority's public side.
    fn authority(&self) -> &Authority;

    /// Signs. What it returns is verified before anybody sees it.
    fn sign<'a>(&'a self, prepared: &'a Prepared) -> Signing<'a>;
}
