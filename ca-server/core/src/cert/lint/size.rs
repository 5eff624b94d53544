//! The bytes stay below what a login was measured to carry (172 KB; sshd's packet limit is 256 KiB).

use super::{Lint, Subject, demand};

/// 256 of the longest principals, the longest command and RSA-16384 keys are about 150 KB.
const MAX_BYTES: usize = 160 * 1024;

pub(super) const LINT: Lint = Lint { name: "size", source: "packet.c, PACKET_MAX_SIZE", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    demand(subject.tbs.len() <= MAX_BYTES, || alloc::format!("{} bytes to sign", subject.tbs.len()))
}
