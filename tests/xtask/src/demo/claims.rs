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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    use crate::demo::server::Plan;

    /// A server with a CA made by ssh-keygen, and principals files as `jit-ssh-host files` writes them.
    struct Set {
        stage: Stage,
        narrator: Narrator,
        server: Server,
        keys: PathBuf,
        login: String,
    }

    impl Set {
        fn up() -> Self {
            let stage = Stage::set().unwrap();
            let keys = stage.private("keys").unwrap();
            for key in ["ca", "user"] {
                let mut keygen = Command::new("ssh-keygen");
                run(&stage, keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(keys.join(key)));
            }
            let login = run(&stage, Command::new("id").arg("-un")).out.trim().to_owned();
            let plan = Plan::new(&stage, "web-1").unwrap();
            let folder = plan.folder.clone();
            let principals = folder.join("principals");
            fs::create_dir(&principals).unwrap();
            fs::create_dir(folder.join("sshd_config.d")).unwrap();
            fs::copy(keys.join("ca.pub"), folder.join("user_ca.pub")).unwrap();
            for login in [login.as_str(), "daemon"] {
                let lines = format!("restrict shell:{login}@web-1\n");
                fs::write(principals.join(login), lines).unwrap();
            }
            let drop_in = format!(
                "TrustedUserCAKeys {}\nAuthorizedPrincipalsFile {}/%u\n",
                folder.join("user_ca.pub").display(),
                principals.display()
            );
            fs::write(folder.join("sshd_config.d/10-jit-ssh.conf"), drop_in).unwrap();
            let server = plan.start(&stage).unwrap();
            let narrator = Narrator::new(stage.folder());
            Self { stage, narrator, server, keys, login }
        }

        fn certificate(&self, principal: &str, valid: &str) -> Certificate {
            let mut sign = Command::new("ssh-keygen");
            sign.args(["-q", "-I", "dev/alice/grt_1", "-z", "7", "-n", principal, "-V", valid, "-s"]);
            run(&self.stage, sign.arg(self.keys.join("ca")).arg(self.keys.join("user.pub")));
            Certificate::read(&self.stage, &self.keys.join("user-cert.pub")).unwrap()
        }

        fn ssh(&self, key: &Path, certificate: Option<&Certificate>, login: &str) -> Command {
            let mut ssh = Command::new("ssh");
            ssh.args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentityAgent=none",
                "-o",
                "LogLevel=ERROR",
            ]);
            ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
            ssh.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(key);
            if let Some(certificate) = certificate {
                ssh.arg("-o").arg(format!("CertificateFile={}", certificate.file.display()));
            }
            ssh.arg("-p").arg(self.server.plan.port.to_string());
            ssh.arg(format!("{login}@127.0.0.1")).arg("id -un");
            ssh
        }
    }

    fn run(stage: &Stage, command: &mut Command) -> Finished {
        let ended = stage.run(command).unwrap();
        assert_eq!(ended.code(), Some(0), "{}", ended.said());
        ended
    }

    #[test]
    fn a_real_sshd_lets_in_and_refuses_for_the_reason_it_logs() {
        let mut set = Set::up();
        let own = format!("shell:{}@web-1", set.login);
        let login = set.login.clone();
        let elsewhere = format!("shell:{login}@db-1");
        let past = "20200101:20200102";

        let good = set.certificate(&own, "+10m");
        let mut ssh = set.ssh(&good.key, Some(&good), &login);
        let ended = let_in(&set.stage, &mut set.narrator, &set.server, &good, &mut ssh).unwrap();
        assert_eq!(ended.out.trim(), login);

        for (principal, valid, to, reason) in [
            (elsewhere.as_str(), "+10m", login.as_str(), NO_PRINCIPAL),
            (own.as_str(), "+10m", "daemon", NO_PRINCIPAL),
            (own.as_str(), past, login.as_str(), EXPIRED),
        ] {
            let bad = set.certificate(principal, valid);
            let mut ssh = set.ssh(&bad.key, Some(&bad), to);
            refused(&set.stage, &mut set.narrator, &set.server, reason, &mut ssh).unwrap();
            // The other claim about the same thing must not hold.
            let error = let_in(&set.stage, &mut set.narrator, &set.server, &bad, &mut ssh).unwrap_err();
            assert!(error.to_string().contains("should have been let in"), "{error:#}");
        }

        let mut ssh = set.ssh(&set.keys.join("ca"), None, &login);
        refused(&set.stage, &mut set.narrator, &set.server, UNKNOWN_KEY, &mut ssh).unwrap();
    }

    #[test]
    fn a_refusal_that_does_not_happen_or_has_another_cause_is_an_error() {
        let mut set = Set::up();
        let login = set.login.clone();
        let good = set.certificate(&format!("shell:{login}@web-1"), "+10m");
        let mut ssh = set.ssh(&good.key, Some(&good), &login);
        let error = refused(&set.stage, &mut set.narrator, &set.server, NO_PRINCIPAL, &mut ssh).unwrap_err();
        assert!(error.to_string().contains("should have been refused"), "{error:#}");

        // Nothing listens there: ssh fails, but no sshd refused anything.
        ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-p", "1", "127.0.0.1", "true"]);
        let error = refused(&set.stage, &mut set.narrator, &set.server, NO_PRINCIPAL, &mut ssh).unwrap_err();
        assert!(error.to_string().contains("should have been refused"), "{error:#}");
    }
}
