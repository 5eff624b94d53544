//! Plain logins stand only under an authority of their own, `user-NAME`, and nothing else stands there: a plain login
//! under `user` would open that login on every host that has no principals file. What forwards ports is not signed there,
//! because what it must not do only a host's own files say.

use alloc::format;
use alloc::string::String;

use jit_ssh_proto::Name;

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint =
    Lint { name: "plain-logins", source: "auth2-pubkey.c, principals without a file; DESIGN 4", check };

fn check(subject: &Subject<'_>) -> Result<(), String> {
    let device = subject.issuance.authority.device().is_some();
    for text in &subject.decoded.principals {
        let plain = text.parse::<Name>().is_ok();
        demand(plain == device, || format!("{text:?} under {}", subject.issuance.authority.name()))?;
    }
    let forwards = subject.decoded.extensions.iter().any(|(name, _)| name == "permit-port-forwarding");
    demand(!(device && forwards), || "port forwarding on a device without files of ours".into())
}
