//! To-be-signed bytes read back, for the lints. It shares no code with `encode`, keeps order and repetitions, and
//! tells an option without data from one with an empty string: what a parser for use would smooth over.

use alloc::string::String;
use alloc::vec::Vec;

use ssh_encoding::{Decode, Encode, Error, Reader};

use super::encode::{CERT_SUFFIX, VENDOR_SUFFIX};

/// What the bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// The certificate format's name.
    pub(super) algorithm: String,
    /// Nonce.
    pub(super) nonce: Vec<u8>,
    /// The certified key, as the blob of a plain key.
    pub(super) key: Vec<u8>,
    /// Serial.
    pub(super) serial: u64,
    /// 1 user, 2 host.
    pub(super) cert_type: u32,
    /// Key ID.
    pub(super) key_id: String,
    /// Principals, in order.
    pub(super) principals: Vec<String>,
    /// The first second.
    pub(super) valid_after: u64,
    /// The end.
    pub(super) valid_before: u64,
    /// Names and raw data, in order.
    pub(super) critical_options: Vec<(String, Vec<u8>)>,
    /// Names and raw data, in order.
    pub(super) extensions: Vec<(String, Vec<u8>)>,
    /// The field that PROTOCOL.certkeys reserves.
    pub(super) reserved: Vec<u8>,
    /// The authority's key blob.
    pub(super) authority: Vec<u8>,
}

impl Decoded {
    /// Reads bytes to their end.
    pub(super) fn read(mut tbs: &[u8]) -> Result<Self, Error> {
        let reader = &mut tbs;
        let algorithm = String::decode(reader)?;
        let nonce = Vec::decode(reader)?;
        let (plain, fields) = plain_format(&algorithm).ok_or(Error::CharacterEncoding)?;
        let mut key = Vec::new();
        plain.encode(&mut key)?;
        for _ in 0..fields {
            Vec::<u8>::decode(reader)?.encode(&mut key)?;
        }
        let decoded = Self {
            algorithm,
            nonce,
            key,
            serial: u64::decode(reader)?,
            cert_type: u32::decode(reader)?,
            key_id: String::decode(reader)?,
            principals: strings(&Vec::<u8>::decode(reader)?)?,
            valid_after: u64::decode(reader)?,
            valid_before: u64::decode(reader)?,
            critical_options: options(&Vec::<u8>::decode(reader)?)?,
            extensions: options(&Vec::<u8>::decode(reader)?)?,
            reserved: Vec::decode(reader)?,
            authority: Vec::decode(reader)?,
        };
        reader.finish(decoded)
    }
}

/// The name of the plain key format, and how many fields follow it (PROTOCOL.certkeys, PROTOCOL.u2f).
fn plain_format(certificate: &str) -> Option<(String, usize)> {
    let base = certificate.strip_suffix(CERT_SUFFIX)?;
    let fields = match base {
        "ssh-ed25519" => 1,
        "ssh-rsa"
        | "ecdsa-sha2-nistp256"
        | "ecdsa-sha2-nistp384"
        | "ecdsa-sha2-nistp521"
        | "sk-ssh-ed25519" => 2,
        "sk-ecdsa-sha2-nistp256" => 3,
        _ => return None,
    };
    let vendor = if base.starts_with("sk-") { VENDOR_SUFFIX } else { "" };
    Some((alloc::format!("{base}{vendor}"), fields))
}

fn strings(mut packed: &[u8]) -> Result<Vec<String>, Error> {
    let mut strings = Vec::new();
    while !packed.is_empty() {
        strings.push(String::decode(&mut packed)?);
    }
    Ok(strings)
}

fn options(mut packed: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut options = Vec::new();
    while !packed.is_empty() {
        options.push((String::decode(&mut packed)?, Vec::decode(&mut packed)?));
    }
    Ok(options)
}

/// An option's data as the one string it must hold; none if it holds anything else.
pub(super) fn one_string(mut data: &[u8]) -> Option<String> {
    let reader = &mut data;
    let text = String::decode(reader).ok()?;
    reader.finish(text).ok()
}
