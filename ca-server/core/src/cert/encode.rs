//! The to-be-signed bytes of a certificate, from its record alone (PROTOCOL.certkeys, RFC 4251 section 5).
//!
//! A pure function of [`CertificateIssued`]: whoever holds the ledger can make the same bytes again, so an event that
//! is durable determines what was signed (invariant 1). It encodes what it is given; the lints judge it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::event::CertificateIssued;

use super::CertError;

/// What every certificate format's name ends in.
pub(super) const CERT_SUFFIX: &str = "-cert-v01@openssh.com";

/// What the names of vendor key formats end in.
pub(super) const VENDOR_SUFFIX: &str = "@openssh.com";

/// Encodes everything of a certificate up to its signature.
///
/// # Errors
/// [`CertError::Encoding`] when a field is too long to be written.
pub fn encode_tbs(record: &CertificateIssued) -> Result<Vec<u8>, CertError> {
    let blob = record.key.blob();
    let (algorithm, key_fields) = split_blob(blob)?;
    let mut out = Vec::with_capacity(1024);
    put_string(&mut out, certificate_name(algorithm).as_bytes())?;
    put_string(&mut out, record.nonce.as_bytes())?;
    // A certificate carries the key's own fields, without the name that a plain key starts with.
    out.extend_from_slice(key_fields);
    out.extend_from_slice(&record.serial.to_be_bytes());
    out.extend_from_slice(&record.cert_type.to_be_bytes());
    put_string(&mut out, record.key_id.as_bytes())?;
    let mut principals = Vec::with_capacity(64);
    for principal in &record.principals {
        put_string(&mut principals, principal.as_bytes())?;
    }
    put_string(&mut out, &principals)?;
    out.extend_from_slice(&record.valid_after.seconds().to_be_bytes());
    out.extend_from_slice(&record.valid_before.seconds().to_be_bytes());
    put_string(&mut out, &options(&record.critical_options)?)?;
    put_string(&mut out, &options(&record.extensions)?)?;
    put_string(&mut out, b"")?;
    put_string(&mut out, record.authority_key.blob())?;
    Ok(out)
}

/// `ssh-ed25519` → `ssh-ed25519-cert-v01@openssh.com`; `sk-ssh-ed25519@openssh.com` →
/// `sk-ssh-ed25519-cert-v01@openssh.com`.
fn certificate_name(algorithm: &str) -> String {
    format!("{}{CERT_SUFFIX}", algorithm.strip_suffix(VENDOR_SUFFIX).unwrap_or(algorithm))
}

/// A key's blob: its format's name, and its fields as they stand.
fn split_blob(blob: &[u8]) -> Result<(&str, &[u8]), CertError> {
    let (length, rest) = blob.split_first_chunk::<4>().ok_or(CertError::Encoding)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| CertError::Encoding)?;
    let (name, fields) = rest.split_at_checked(length).ok_or(CertError::Encoding)?;
    Ok((core::str::from_utf8(name).map_err(|_| CertError::Encoding)?, fields))
}

/// Names and values; a value is a string within the option's data, and an option without one has no data at all.
fn options(options: &[(String, String)]) -> Result<Vec<u8>, CertError> {
    let mut out = Vec::with_capacity(128);
    for (name, value) in options {
        put_string(&mut out, name.as_bytes())?;
        if value.is_empty() {
            put_string(&mut out, b"")?;
        } else {
            let data = u32::try_from(value.len().saturating_add(4)).map_err(|_| CertError::Encoding)?;
            out.extend_from_slice(&data.to_be_bytes());
            put_string(&mut out, value.as_bytes())?;
        }
    }
    Ok(out)
}

/// A `string` of RFC 4251, section 5.
pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), CertError> {
    let length = u32::try_from(bytes.len()).map_err(|_| CertError::Encoding)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}
