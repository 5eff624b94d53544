//! The claims of the walk about servers: let in, or refused for this reason. Both are read from sshd's own log, not
//! only from what the client saw.

use std::process::Command;

use anyhow::{Result, bail};

use super::certificate::Certificate;
use super::narrator::Narrator;
use super::server::Server;
use super::stage::{Finished, Stage};

/// What sshd says when no principal of a certificate stands in the login's file.
pub(crate) const NO_PRINCIPAL: &str = "Certificate does not contain an authorized principal";
/// What sshd says when a certificate's time is over.
pub(crate) const EXPIRED: &str = "Certificate invalid: expired";
/// What sshd says of a key that it does not know.
pub(crate) const UNKNOWN_KEY: &str = "Failed publickey for";

/// Runs a command that ends on a server, which must let this certificate in and log whose it is.
pub(crate) fn let_in(
    stage: &Stage,
    narrator: &mut Narrator,
    server: &Server,
    certificate: &Certificate,
    command: &mut Command,
) -> Result<Finished> {
    let mark = server.mark()?;
    narrator.command(command);
    let ended = stage.run(command)?;
    narrator.output(&ended.out);
    if ended.code() != Some(0) {
        bail!("this should have been let in: {}\nsshd: {}", ended.said(), server.log_since(mark)?);
    }
    let shown = &certificate.shown;
    let line = server.logged(mark, &format!("ID {} (serial {})", shown.key_id, shown.serial))?;
    if !line.starts_with("Accepted publickey for ") {
        bail!("{} did not log that it let {} in: {line}", server.plan.name, shown.key_id);
    }
    narrator.output(&format!("[sshd of {}] {line}", server.plan.name));
    Ok(ended)
}

/// Runs a command that ends on a server, which must refuse it and log the reason.
pub(crate) fn refused(
    stage: &Stage,
    narrator: &mut Narrator,
    server: &Server,
    reason: &str,
    command: &mut Command,
) -> Result<()> {
    let mark = server.mark()?;
    narrator.command(command);
    let ended = stage.run(command)?;
    narrator.output(&ended.err);
    if ended.code() != Some(255) || !ended.out.is_empty() || !ended.err.contains("Permission denied") {
        bail!("this should have been refused: {}\nsshd: {}", ended.said(), server.log_since(mark)?);
    }
    let line = server.logged(mark, reason)?;
    if server.log_since(mark)?.contains("Accepted ") {
        bail!("{} let somebody in: {}", server.plan.name, server.log_since(mark)?);
    }
    narrator.output(&format!("[sshd of {}] {line}", server.plan.name));
    Ok(())
}
