//! Lints: one rule a file, each with its source, run on every certificate before anything can sign it.
//!
//! A rule judges the bytes read back rather than the fields that made them wherever the bytes can tell. A finding is
//! our own fault and never the caller's: it stops the certificate.

mod authority_is_not_subject;
mod authority_kind;
mod certified_key;
mod critical_options;
mod determined;
mod digest;
mod extensions;
mod grant_accounts;
mod key_id;
mod nonce;
mod one_mode;
mod option_data;
mod option_order;
mod plain_logins;
mod principals;
mod reserved;
mod serial;
mod size;
mod window;
mod within_grant;

#[cfg(test)]
mod tests;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jit_ssh_proto::event::CertificateIssued;
use jit_ssh_proto::{Mode, Modifiers, Principal};

use super::decode::Decoded;
use super::{CertError, Issuance, Statement};

/// What a rule looks at.
struct Subject<'a> {
    /// The bytes to be signed.
    tbs: &'a [u8],
    /// The same, read back.
    decoded: &'a Decoded,
    /// The principals read back and parsed, those that are principals.
    principals: &'a [Principal],
    /// What the ledger will hold.
    record: &'a CertificateIssued,
    /// What was granted.
    statement: &'a Statement<'a>,
    /// What issuance added.
    issuance: &'a Issuance<'a>,
}

/// One rule.
struct Lint {
    /// Its name in errors.
    name: &'static str,
    /// Where the rule comes from.
    source: &'static str,
    /// Finds what is wrong.
    check: fn(&Subject<'_>) -> Result<(), String>,
}

/// Every rule; what the others rest on comes first.
const LINTS: [Lint; 20] = [
    principals::LINT,
    one_mode::LINT,
    authority_is_not_subject::LINT,
    authority_kind::LINT,
    certified_key::LINT,
    critical_options::LINT,
    determined::LINT,
    digest::LINT,
    extensions::LINT,
    grant_accounts::LINT,
    key_id::LINT,
    nonce::LINT,
    option_data::LINT,
    option_order::LINT,
    plain_logins::LINT,
    reserved::LINT,
    serial::LINT,
    size::LINT,
    window::LINT,
    within_grant::LINT,
];

/// Runs every rule on bytes that are to be signed.
///
/// # Errors
/// The first rule that does not hold.
pub(super) fn run(
    tbs: &[u8],
    record: &CertificateIssued,
    statement: &Statement<'_>,
    issuance: &Issuance<'_>,
) -> Result<(), CertError> {
    match findings(tbs, record, statement, issuance)?.into_iter().next() {
        None => Ok(()),
        Some(finding) => Err(finding),
    }
}

/// Every rule that does not hold.
fn findings(
    tbs: &[u8],
    record: &CertificateIssued,
    statement: &Statement<'_>,
    issuance: &Issuance<'_>,
) -> Result<Vec<CertError>, CertError> {
    let decoded =
        Decoded::read(tbs).map_err(|e| CertError::Lint { rule: "readable", what: e.to_string() })?;
    let principals: Vec<Principal> = decoded.principals.iter().filter_map(|p| p.parse().ok()).collect();
    let subject = Subject { tbs, decoded: &decoded, principals: &principals, record, statement, issuance };
    let found = |lint: &Lint| {
        let what = (lint.check)(&subject).err()?;
        Some(CertError::Lint { rule: lint.name, what: alloc::format!("{what} ({})", lint.source) })
    };
    Ok(LINTS.iter().filter_map(found).collect())
}

impl Subject<'_> {
    /// What the certificate is for, as its principals say it; as it was granted where they are plain logins, which do
    /// not say.
    fn mode(&self) -> Result<(Mode, Modifiers), String> {
        match (self.principals.first(), self.issuance.authority.device()) {
            (Some(principal), None) => Ok((principal.mode(), principal.modifiers())),
            (None, Some(_)) => Ok((self.statement.mode, self.statement.modifiers)),
            (None, None) | (Some(_), Some(_)) => Err("there is no principal to have a mode".to_string()),
        }
    }
}

/// `Ok` if it holds, else the finding.
fn demand(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
