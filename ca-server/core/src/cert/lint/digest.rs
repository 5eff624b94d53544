//! The ledger holds the digest of exactly these bytes before anything is signed.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint = Lint { name: "digest", source: "DESIGN 4 and 10, invariant 1", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    demand(subject.record.tbs_sha256 == HEXLOWER.encode(&Sha256::digest(subject.tbs)), || {
        "the recorded digest is not that of the bytes".into()
    })
}
