//! The certified key is one of the allowed kinds and strengths, canonical, and never itself a certificate.

use core::str::FromStr;

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
    let blob = &subject.decoded.key;
    let key = PublicKey::from_bytes(blob).map_err(|_| "the key cannot be read".to_string())?;
    let key = UserKey::new(&key).map_err(|e| alloc::format!("the key {e}"))?;
    demand(key.blob() == *blob, || "the key is not in its canonical encoding".into())?;
    demand(key == *subject.issuance.key, || "the key is not the one to be certified".into())?;
    // The line form is parsed by its own rules: both must agree that this is a plain key.
    let line = UserKey::from_str(&key.to_string()).map_err(|e| alloc::format!("the key {e}"))?;
    demand(line == key, || "the key reads differently as a line".into())
}
