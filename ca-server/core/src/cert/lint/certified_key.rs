//! The certified key is one of the allowed kinds and strengths, canonical, never itself a certificate, and the one that
//! was asked for, whose point was looked at when it came.

use alloc::string::{String, ToString};

use jit_ssh_proto::UserKey;
use ssh_key::PublicKey;

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint = Lint {
    name: "certified-key",
    source: "DESIGN 4, keys in; sshkey.c refuses a certificate of a certificate",
    check,
};

fn check(subject: &Subject<'_>) -> Result<(), String> {
    let (blob, asked) = (&subject.decoded.key, subject.issuance.key);
    let key = PublicKey::from_bytes(blob).map_err(|_| "the key cannot be read".to_string())?;
    UserKey::check(&key).map_err(|e| alloc::format!("the key {e}"))?;
    demand(key.key_data() == asked.key_data(), || "the key is not the one to be certified".into())?;
    demand(blob == asked.blob(), || "the key is not in its canonical encoding".into())?;
    // The line form is parsed by its own rules: both must agree that this is a plain key.
    let line =
        PublicKey::from_openssh(&asked.to_string()).map_err(|e| alloc::format!("the key's line: {e}"))?;
    demand(line.key_data() == key.key_data(), || "the key reads differently as a line".into())
}
