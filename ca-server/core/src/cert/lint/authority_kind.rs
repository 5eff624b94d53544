//! A user authority signs user certificates, and the bytes name the very key that will sign.

use super::{Lint, Subject, demand};
use crate::authority::CertKind;

pub(super) const LINT: Lint =
    Lint { name: "authority-kind", source: "PROTOCOL.certkeys: type; DESIGN 10, invariant 8", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    let authority = subject.issuance.authority;
    // This profile is the one of user certificates; a host authority has no business here.
    match authority.kind() {
        CertKind::User => {}
        CertKind::Host => return Err("a host authority cannot sign a user certificate".into()),
    }
    demand(subject.decoded.cert_type == CertKind::User.code(), || {
        alloc::format!("the type is {}, not user (1)", subject.decoded.cert_type)
    })?;
    demand(
        subject.decoded.authority == authority.key().blob() && subject.record.authority == *authority.name(),
        || "the signature key is not the authority's".into(),
    )
}
