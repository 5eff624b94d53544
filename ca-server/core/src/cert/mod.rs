//! What a certificate says: profile, encoding, lints, and the check of what a signer returned (DESIGN 4).

//!
//! Numbered as in `DESIGN.md`: [`profile`] decides every field, [`encode_tbs`] turns the fields into the bytes to be
//! signed, `lint` reads those bytes back and judges them, [`Prepared::finish`] judges the signature. Nothing here
//! signs, and nothing here looks at policy.

mod decode;
mod encode;
mod lint;
mod profile;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::event::CertificateIssued;
use jit_ssh_proto::{Salt, Span, Timestamp, UserKey};
use ssh_key::{Certificate, Signature};

use crate::authority::Authority;
use crate::grant::Grant;
use crate::proof::{Claim, Proven};

pub use encode::encode_tbs;
pub use profile::{FORCE_COMMAND, GRANT_EXTENSION, SOURCE_ADDRESS, Statement, VERIFY_REQUIRED, profile};

/// The longest certificate, whatever anybody says (DESIGN 4).
pub const HARD_MAX: Span = Span::from_seconds(24 * 3600);

/// What issuance adds to a grant.
#[derive(Clone, Debug)]
pub struct Issuance<'a> {
    /// The key to certify.
    pub key: &'a UserKey,
    /// Who signs.
    pub authority: &'a Authority,
    /// Now, by the ledger's time.
    pub now: Timestamp,
    /// The end of the session, as the store has it at this moment.
    pub session_ends: Timestamp,
    /// The configured maximum of any certificate.
    pub max: Span,
    /// 32 fresh random bytes.
    pub nonce: Salt,
    /// Given by the append transaction.
    pub serial: u64,
}

/// A certificate ready to be signed: its fields, its to-be-signed bytes, linted. Made by [`Prepared::new`] only.
#[derive(Clone, Debug)]
pub struct Prepared {
    tbs: Vec<u8>,
    record: CertificateIssued,
    authority: Authority,
}

/// Why no certificate can be prepared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// The window is empty: the grant or the session has ended.
    #[error("the grant or the session has ended")]
    Ended,
    /// A rule of the profile does not hold: our fault.
    #[error("lint {rule}: {what}")]
    Lint {
        /// The lint's name.
        rule: &'static str,
        /// What it found.
        what: String,
    },
    /// Too large to encode.
    #[error("the certificate cannot be encoded")]
    Encoding,
    /// The signer returned something that is not its signature over these bytes.
    #[error("the signature is not the authority's over this certificate")]
    Signature,
}

impl Prepared {
    /// Determines a certificate under a grant, encodes what is to be signed and lints it.
    ///
    /// # Errors
    /// When the window is empty or a lint fails.
    pub fn new(grant: &Grant, issuance: &Issuance<'_>) -> Result<Self, CertError> {
        Self::of(&Statement::from(grant), issuance)
    }

    /// The same from a statement: inside this module only, so that a [`Grant`] stays the one way in.
    fn of(statement: &Statement<'_>, issuance: &Issuance<'_>) -> Result<Self, CertError> {
        // 1. Every field.
        // 2. The bytes, from the record and nothing else (invariant 1).
        let (record, tbs) = profile::determine(statement, issuance)?;
        // 3. The bytes are read back and judged.
        lint::run(&tbs, &record, statement, issuance)?;
        Ok(Self { tbs, record, authority: issuance.authority.clone() })
    }

    /// The bytes to sign.
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// Every field, as the ledger records it.
    #[must_use]
    pub fn record(&self) -> &CertificateIssued {
        &self.record
    }

    /// The claim that what a signer returned is the authority's signature: over our bytes, not over what a parser
    /// makes of them.
    #[must_use]
    pub fn claim(&self, signature: &Signature) -> Claim {
        self.authority.claim(&self.tbs, signature)
    }

    /// Joins the proven signature, parses the result back and compares it: in release builds too.
    ///
    /// # Errors
    /// [`CertError::Signature`] when it is not the authority's signature over exactly these bytes.
    pub fn finish(self, proven: &Proven) -> Result<Certificate, CertError> {
        if !proven.is(self.authority.key(), &self.tbs) {
            return Err(CertError::Signature);
        }
        let signature = proven.signature();
        let mut bytes = self.tbs;
        let envelope = Vec::<u8>::try_from(signature.clone()).map_err(|_| CertError::Signature)?;
        encode::put_string(&mut bytes, &envelope)?;
        let certificate = Certificate::from_bytes(&bytes).map_err(|_| CertError::Signature)?;
        // What is handed out is what was verified, byte for byte.
        if certificate.to_bytes().ok().as_deref() == Some(bytes.as_slice())
            && certificate.signature_key() == self.authority.key().key_data()
            && certificate.signature() == signature
        {
            Ok(certificate)
        } else {
            Err(CertError::Signature)
        }
    }
}
