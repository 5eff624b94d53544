//! Critical options are exactly what mode and grant demand: an `exec` principal without `force-command` would be a
//! shell, and `verify-required` means nothing to sshd on a key that is not a FIDO key.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use jit_ssh_proto::{Command, Mode, UserKey};
use ssh_key::PublicKey;

use super::super::decode::one_string;
use super::super::{FORCE_COMMAND, SOURCE_ADDRESS, VERIFY_REQUIRED};
use super::{Lint, Subject, demand};

pub(super) const LINT: Lint =
    Lint { name: "critical-options", source: "PROTOCOL.certkeys: critical options; DESIGN 4", check };

fn check(subject: &Subject<'_>) -> Result<(), String> {
    let (mode, _) = subject.mode()?;
    let named = |name: &str| -> Vec<Option<String>> {
        let options = &subject.decoded.critical_options;
        options.iter().filter(|(n, _)| n == name).map(|(_, data)| one_string(data)).collect()
    };
    forced(mode, &named(FORCE_COMMAND), subject)?;
    match (named(SOURCE_ADDRESS).as_slice(), subject.statement.source_address) {
        ([], None) => {}
        ([Some(block)], Some(pinned)) if one_address(block) == Some(pinned.to_canonical()) => {}
        (found, pinned) => {
            return Err(alloc::format!("source-address {found:?} is not the one address {pinned:?}"));
        }
    }
    let verify = named(VERIFY_REQUIRED).len();
    demand(verify == usize::from(subject.statement.verify_required), || {
        alloc::format!("verify-required stands {verify} times")
    })?;
    let fido = || {
        let key = PublicKey::from_bytes(&subject.decoded.key).ok().and_then(|key| UserKey::new(&key).ok());
        key.is_some_and(|key| key.is_fido())
    };
    demand(verify == 0 || fido(), || {
        "verify-required is ignored by sshd on a key that is not a FIDO key".into()
    })?;
    let ours = [FORCE_COMMAND, SOURCE_ADDRESS, VERIFY_REQUIRED];
    match subject.decoded.critical_options.iter().find(|(name, _)| !ours.contains(&name.as_str())) {
        None => Ok(()),
        Some((name, _)) => {
            Err(alloc::format!("{name} is not an option of this profile: sshd would refuse it"))
        }
    }
}

fn forced(mode: Mode, found: &[Option<String>], subject: &Subject<'_>) -> Result<(), String> {
    let wrong = || alloc::format!("force-command {found:?} is not what mode {mode} demands");
    let exactly = |wanted: &str| demand(found == [Some(wanted.to_string())], wrong);
    match mode {
        Mode::Shell => demand(found.is_empty(), wrong),
        Mode::Exec => {
            let granted = subject.statement.command.ok_or_else(wrong)?;
            let parsed: Result<Command, _> = granted.as_str().parse();
            demand(parsed.as_ref() == Ok(granted), wrong)?;
            // session.c runs its own SFTP server for this word, whatever the mode says.
            demand(!is_internal_sftp(granted.as_str()), || "exec of internal-sftp is mode sftp".into())?;
            exactly(granted.as_str())
        }
        Mode::Sftp => exactly("internal-sftp"),
        Mode::Forward | Mode::Jump => exactly("false"),
    }
}

/// The one address of a block that holds one address only.
fn one_address(block: &str) -> Option<IpAddr> {
    let (address, bits) = block.split_once('/')?;
    let parsed: IpAddr = address.parse().ok()?;
    let whole = match parsed {
        IpAddr::V4(_) => "32",
        IpAddr::V6(_) => "128",
    };
    (bits == whole && parsed.to_string() == address).then_some(parsed)
}

/// sshd's own test (`IS_INTERNAL_SFTP` in session.c): the word alone, or the word and arguments.
fn is_internal_sftp(command: &str) -> bool {
    command.strip_prefix("internal-sftp").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}
