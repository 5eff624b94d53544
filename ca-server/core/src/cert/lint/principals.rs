//! At least one principal and at most 256, each once, each exactly what our grammar writes. A certificate without
//! principals is good for every login where an old sshd trusts the CA through authorized_keys.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;

use jit_ssh_proto::{MAX_PRINCIPALS, Principal};

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint = Lint {
    name: "principals",
    source: "sshkey.c, SSHKEY_CERT_MAX_PRINCIPALS; CVE-2024-7594; DESIGN 10, invariant 2",
    check,
};

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    let principals = &subject.decoded.principals;
    demand(!principals.is_empty(), || "there is no principal".into())?;
    demand(principals.len() <= MAX_PRINCIPALS, || format!("{} principals: 256 at most", principals.len()))?;
    // Plain logins, where they may stand, have a lint of their own.
    let places = principals.iter().filter(|_| subject.issuance.authority.device().is_none());
    for text in places {
        let parsed: Principal = text.parse().map_err(|e| format!("principal {text:?} {e}"))?;
        demand(parsed.to_string() == *text, || format!("principal {text:?} reads back as {parsed}"))?;
    }
    let distinct: BTreeSet<_> = principals.iter().collect();
    demand(distinct.len() == principals.len(), || "a principal stands twice".into())
}
