//! Options are sorted by name and each stands once. sshd does not check it: the last of two would count.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Lint, Subject, demand};

pub(super) const LINT: Lint =
    Lint { name: "option-order", source: "PROTOCOL.certkeys: lexically ordered, each at most once", check };

fn check(subject: &Subject<'_>) -> Result<(), String> {
    let sorted = |options: &[(String, Vec<u8>)]| options.is_sorted_by(|(a, _), (b, _)| a < b);
    demand(sorted(&subject.decoded.critical_options), || {
        "critical options are not sorted and unique".into()
    })?;
    demand(sorted(&subject.decoded.extensions), || "extensions are not sorted and unique".into())
}
