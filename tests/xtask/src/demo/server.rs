//! A throw-away sshd on loopback: stock OpenSSH, no password, no authorized_keys. It lets in what the files of
//! `jit-ssh-host` let in, and nothing else.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::stage::{Running, Stage, until};
use crate::shell;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server to be: its name and its port are known before anything else is.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    /// Its own folder, where `jit-ssh-host files` writes to.
    pub(crate) folder: PathBuf,
}

impl Plan {
    /// Picks a free port and makes the folder.
    pub(crate) fn new(stage: &Stage, name: &'static str) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = port.context("no port is free on loopback")?.port();
        let folder = stage.folder().join(name);
        fs::create_dir(&folder).with_context(|| format!("{} could not be made", folder.display()))?;
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        Ok(Self { name, port, folder })
    }

    /// Starts sshd and waits until it listens.
    pub(crate) fn start(self, stage: &Stage) -> Result<Server> {
        let sshd = shell::find("sshd").context("sshd is not installed")?;
        if rustix::process::geteuid().is_root() {
            // Where a privileged sshd locks up its unprivileged half; Debian makes it when the service starts.
            fs::create_dir_all("/run/sshd").context("/run/sshd could not be made")?;
        }
        let keys = stage.private(&format!("{}-key", self.name))?;
        let key = keys.join("host_key");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f"]).arg(&key);
        let made = stage.run(&mut keygen)?;
        if made.code() != Some(0) {
            bail!("no host key for {}: {}", self.name, made.said());
        }
        let key_line = fs::read_to_string(key.with_extension("pub"))?;

        let configuration = self.folder.join("sshd_config");
        let text = self.configuration(&key);
        fs::write(&configuration, &text)?;
        // sshd 9.8 and later shuts out an address that was refused a few times, which is what this demo does.
        let mut knows = Command::new(&sshd);
        knows.arg("-t").arg("-f").arg(&configuration).args(["-o", "PerSourcePenalties=no"]);
        if stage.run(&mut knows)?.code() == Some(0) {
            fs::write(&configuration, format!("PerSourcePenalties no\n{text}"))?;
        }

        let log = self.folder.join("sshd.log");
        let mut command = Command::new(&sshd);
        command.arg("-D").arg("-f").arg(&configuration).arg("-E").arg(&log);
        let running = stage.start(&mut command)?;
        let listens = format!("Server listening on 127.0.0.1 port {}", self.port);
        until(&listens, PATIENCE, || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if running.ended()?.is_some() {
                bail!("sshd for {} ended at once\n{}{said}", self.name, running.said());
            }
            Ok(said.contains(&listens).then_some(()))
        })?;
        Ok(Server { plan: self, key_line, log, running })
    }

    fn configuration(&self, key: &Path) -> String {
        format!(
            "Include {include}\n\
             Port {port}\n\
             ListenAddress 127.0.0.1\n\
             HostKey {key}\n\
             PidFile none\n\
             LogLevel VERBOSE\n\
             AuthorizedKeysFile none\n\
             PasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\n\
             UsePAM no\n\
             StrictModes no\n\
             Subsystem sftp internal-sftp\n",
            include = self.folder.join("sshd_config.d").join("*.conf").display(),
            port = self.port,
            key = key.display(),
        )
    }
}

/// A server that listens.
pub(crate) struct Server {
    pub(crate) plan: Plan,
    /// Its host key: `ssh-ed25519 AAAA… NAME`.
    pub(crate) key_line: String,
    pub(crate) log: PathBuf,
    running: Running,
}

impl Server {
    /// A place in the log: what comes later is asked for with [`Server::log_since`].
    pub(crate) fn mark(&self) -> Result<usize> {
        Ok(self.whole_log()?.len())
    }

    /// What sshd has logged since.
    pub(crate) fn log_since(&self, mark: usize) -> Result<String> {
        Ok(self.whole_log()?.get(mark..).unwrap_or_default().to_owned())
    }

    /// The first line since the mark that contains a text; waits for it, because sshd's log is a moment behind.
    pub(crate) fn logged(&self, mark: usize, text: &str) -> Result<String> {
        until(&format!("\"{text}\" in {}", self.log.display()), PATIENCE, || {
            if self.running.ended()?.is_some() {
                bail!("sshd for {} has ended", self.plan.name);
            }
            let since = self.log_since(mark)?;
            Ok(since.lines().find(|line| line.contains(text)).map(|line| line.trim().to_owned()))
        })
        .with_context(|| format!("{} says\n{}", self.log.display(), self.log_since(mark).unwrap_or_default()))
    }

    fn whole_log(&self) -> Result<String> {
        let log = fs::read(&self.log).with_context(|| format!("{} could not be read", self.log.display()))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }
}
