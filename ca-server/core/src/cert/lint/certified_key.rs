//! The certified key is the one that was asked for, in its canonical encoding. So it is of an allowed kind and strength,
//! which is what a [`UserKey`](jit_ssh_proto::UserKey) says, and never itself a certificate.

use alloc::string::{String, ToString};

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
    demand(key.key_data() == asked.key_data(), || "the key is not the one to be certified".into())?;
    demand(blob == asked.blob(), || "the key is not in its canonical encoding".into())
}
