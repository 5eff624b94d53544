//! Extensions are exactly what mode and modifiers need, and the grant's id. What is not permitted is refused by sshd,
//! so every extension too many is a right too many; `force-command` among them would be ignored and fail open.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jit_ssh_proto::{Mode, Modifier};

use super::super::GRANT_EXTENSION;
use super::super::decode::one_string;
use super::{Lint, Subject, demand};

pub(super) const LINT: Lint =
    Lint { name: "extensions", source: "PROTOCOL.certkeys: extensions; auth-options.c; DESIGN 4", check };

fn check(subject: &Subject<'_>) -> Result<(), String> {
    let (mode, modifiers) = subject.mode()?;
    // Asked the other way round than the profile: for each permission that sshd knows, may it stand here?
    let may = |name: &str| match name {
        "permit-X11-forwarding" => modifiers.contains(Modifier::X11),
        "permit-agent-forwarding" => modifiers.contains(Modifier::Agent),
        "permit-port-forwarding" => match mode {
            Mode::Forward | Mode::Jump => true,
            Mode::Shell | Mode::Exec | Mode::Sftp => modifiers.contains(Modifier::Forward),
        },
        "permit-pty" => match mode {
            Mode::Shell => true,
            Mode::Exec | Mode::Sftp | Mode::Forward | Mode::Jump => false,
        },
        GRANT_EXTENSION => true,
        _ => false,
    };
    let known = [
        GRANT_EXTENSION,
        "permit-X11-forwarding",
        "permit-agent-forwarding",
        "permit-port-forwarding",
        "permit-pty",
    ];
    let found: Vec<&str> = subject.decoded.extensions.iter().map(|(name, _)| name.as_str()).collect();
    let wanted: Vec<&str> = known.into_iter().filter(|name| may(name)).collect();
    demand(found == wanted, || format!("{found:?} where {mode} with its modifiers needs {wanted:?}"))?;
    let grant = subject.decoded.extensions.iter().find(|(name, _)| name == GRANT_EXTENSION);
    let id = grant.and_then(|(_, data)| one_string(data));
    demand(id == Some(subject.statement.grant.to_string()), || format!("{GRANT_EXTENSION} is {id:?}"))
}
