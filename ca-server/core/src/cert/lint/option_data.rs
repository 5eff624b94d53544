//! Flags carry no data (sshd refuses a known extension that does); values are exactly one string.

use super::super::VERIFY_REQUIRED;
use super::super::decode::one_string;
use super::{Lint, Subject};

pub(super) const LINT: Lint =
    Lint { name: "option-data", source: "PROTOCOL.certkeys; auth-options.c, cert_option_list", check };

fn check(subject: &Subject<'_>) -> Result<(), alloc::string::String> {
    let decoded = subject.decoded;
    for (name, data) in decoded.critical_options.iter().chain(&decoded.extensions) {
        let flag = name.starts_with("permit-") || name.starts_with("no-") || name == VERIFY_REQUIRED;
        if flag && !data.is_empty() {
            return Err(alloc::format!("{name} carries data"));
        }
        if !flag && one_string(data).is_none_or(|value| value.is_empty()) {
            return Err(alloc::format!("{name} is not one string"));
        }
    }
    Ok(())
}
