//! The profile: what a certificate says, decided field by field from a grant (the table of DESIGN 4).
//!
//! Everything that widens a certificate is in [`profile`] and nowhere else; what the record says the bytes say.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::IpAddr;

use data_encoding::HEXLOWER;
use jit_ssh_proto::event::CertificateIssued;
use jit_ssh_proto::{Command, GrantId, Mode, Modifier, Modifiers, Name, Principal, SessionId, Timestamp};
use sha2::{Digest, Sha256};

use super::{CertError, HARD_MAX, Issuance, encode_tbs};
use crate::grant::{CLOCK_SKEW, Grant};
use crate::places::{Named, Places};

/// The critical option that replaces whatever the client asks to run.
pub const FORCE_COMMAND: &str = "force-command";
/// The critical option that pins the client's address.
pub const SOURCE_ADDRESS: &str = "source-address";
/// The critical option that demands a PIN or a finger on a FIDO key.
pub const VERIFY_REQUIRED: &str = "verify-required";
/// Our own extension: the grant, for whoever reads the certificate. sshd ignores it.
pub const GRANT_EXTENSION: &str = "grant@jit-ssh";

/// What the certificates of one grant say: a [`Grant`] without its history.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The grant.
    pub grant: GrantId,
    /// The session it belongs to.
    pub session: SessionId,
    /// The issuer's alias, first part of the key ID.
    pub issuer: &'a Name,
    /// The identity's name, second part of the key ID.
    pub name: &'a Name,
    /// Where, and by which names.
    pub places: &'a Places,
    /// What for.
    pub mode: Mode,
    /// What it adds.
    pub modifiers: Modifiers,
    /// The one command, for `exec` and only there.
    pub command: Option<&'a Command>,
    /// The grant's first second.
    pub not_before: Timestamp,
    /// The grant's end.
    pub not_after: Timestamp,
    /// The one address it is good from.
    pub source_address: Option<IpAddr>,
    /// Whether sshd must demand user verification.
    pub verify_required: bool,
    /// The set of policies that decided.
    pub policy_digest: &'a str,
}

impl<'a> From<&'a Grant> for Statement<'a> {
    fn from(grant: &'a Grant) -> Self {
        Self {
            grant: grant.id(),
            session: grant.session(),
            issuer: grant.issuer(),
            name: grant.name(),
            places: grant.places(),
            mode: grant.asked().mode(),
            modifiers: grant.asked().modifiers(),
            command: grant.asked().command(),
            not_before: grant.not_before(),
            not_after: grant.not_after(),
            source_address: grant.source_address(),
            verify_required: grant.verify_required(),
            policy_digest: grant.policy_digest(),
        }
    }
}

/// Decides every field of a certificate. The record determines the bytes: [`encode_tbs`] makes them from it alone.
///
/// A record is not a certificate: only a [`Prepared`](super::Prepared), made from a grant and linted, is signed.
///
/// # Errors
/// [`CertError::Ended`] when nothing is left of the window, [`CertError::Lint`] when the parts do not fit together.
pub fn profile(statement: &Statement<'_>, issuance: &Issuance<'_>) -> Result<CertificateIssued, CertError> {
    determine(statement, issuance).map(|(record, _)| record)
}

/// The record, and the bytes that it determines: its digest is over them.
pub(super) fn determine(
    statement: &Statement<'_>,
    issuance: &Issuance<'_>,
) -> Result<(CertificateIssued, Vec<u8>), CertError> {
    let (valid_after, valid_before) = window(statement, issuance)?;
    let mut record = CertificateIssued {
        grant: statement.grant,
        session: statement.session,
        authority: issuance.authority.name().clone(),
        authority_key: issuance.authority.key().clone(),
        cert_type: issuance.authority.kind().code(),
        nonce: issuance.nonce,
        key: issuance.key.clone(),
        serial: issuance.serial,
        key_id: format!("{}/{}/{}", statement.issuer, statement.name, statement.grant),
        principals: principals(statement)?,
        valid_after,
        valid_before,
        critical_options: critical_options(statement)?,
        extensions: extensions(statement.mode, statement.modifiers, statement.grant),
        tbs_sha256: String::new(),
        policy_digest: statement.policy_digest.to_owned(),
    };
    let tbs = encode_tbs(&record)?;
    record.tbs_sha256 = HEXLOWER.encode(&Sha256::digest(&tbs));
    Ok((record, tbs))
}

/// From when to when: each bound only narrows (invariant 2).
fn window(statement: &Statement<'_>, issuance: &Issuance<'_>) -> Result<(Timestamp, Timestamp), CertError> {
    let after = issuance.now.minus(CLOCK_SKEW).max(statement.not_before);
    let before = statement
        .not_after
        .min(issuance.session_ends)
        .min(issuance.now.plus(issuance.max))
        .min(after.plus(HARD_MAX));
    // The minute of clock skew before `now` is not worth a certificate of its own.
    if before > after && before > issuance.now { Ok((after, before)) } else { Err(CertError::Ended) }
}

fn principals(statement: &Statement<'_>) -> Result<Vec<String>, CertError> {
    let accounts = match statement.places.named() {
        Named::Places(accounts) => accounts,
        Named::Logins(logins) => return Ok(logins.iter().map(ToString::to_string).collect()),
    };
    accounts
        .iter()
        .map(|account| {
            Principal::new(statement.mode, statement.modifiers, account.clone())
                .map(|principal| principal.to_string())
                .map_err(|e| CertError::Lint { rule: "one-mode", what: format!("{account} {e}") })
        })
        .collect()
}

fn critical_options(statement: &Statement<'_>) -> Result<Vec<(String, String)>, CertError> {
    let mut options = Vec::new();
    if let Some(command) = forced_command(statement.mode, statement.command.map(Command::as_str))? {
        options.push((FORCE_COMMAND.to_owned(), command.to_owned()));
    }
    if let Some(address) = statement.source_address {
        options.push((SOURCE_ADDRESS.to_owned(), one_address(address)));
    }
    if statement.verify_required {
        options.push((VERIFY_REQUIRED.to_owned(), String::new()));
    }
    options.sort();
    Ok(options)
}

/// The command that a mode forces: none for `shell`, the grant's own for `exec`.
fn forced_command(mode: Mode, command: Option<&str>) -> Result<Option<&str>, CertError> {
    match (mode, command) {
        (Mode::Shell, None) => Ok(None),
        (Mode::Exec, Some(command)) => Ok(Some(command)),
        (Mode::Sftp, None) => Ok(Some("internal-sftp")),
        (Mode::Forward | Mode::Jump, None) => Ok(Some("false")),
        (Mode::Exec, None) | (Mode::Shell | Mode::Sftp | Mode::Forward | Mode::Jump, Some(_)) => {
            Err(CertError::Lint {
                rule: "critical-options",
                what: format!("mode {mode} with command {command:?}: exec has one, nothing else does"),
            })
        }
    }
}

/// One address as a CIDR block of itself. sshd sees a client of an IPv4 socket as IPv4 whatever the CA's socket was.
fn one_address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("{v4}/32"),
        IpAddr::V6(v6) => format!("{v6}/128"),
    }
}

/// The extensions of a mode with its modifiers, sorted, and the grant's id.
fn extensions(mode: Mode, modifiers: Modifiers, grant: GrantId) -> Vec<(String, String)> {
    let mut extensions: Vec<(String, String)> =
        permits(mode, modifiers).into_iter().map(|permit| (permit.to_owned(), String::new())).collect();
    extensions.push((GRANT_EXTENSION.to_owned(), grant.to_string()));
    extensions.sort();
    extensions
}

/// What sshd must be told to permit; it permits nothing that is not said.
fn permits(mode: Mode, modifiers: Modifiers) -> Vec<&'static str> {
    let mut permits = match mode {
        Mode::Shell => vec!["permit-pty"],
        Mode::Exec | Mode::Sftp => vec![],
        Mode::Forward | Mode::Jump => vec!["permit-port-forwarding"],
    };
    permits.extend(modifiers.iter().map(|modifier| match modifier {
        Modifier::Agent => "permit-agent-forwarding",
        Modifier::Forward => "permit-port-forwarding",
        Modifier::X11 => "permit-X11-forwarding",
    }));
    permits
}
