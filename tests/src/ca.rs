//! A real CA for a test: `jit-ssh-ca init`, a configuration of the test's own, `jit-ssh-ca serve` on loopback.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jit_ssh_proto::{SignedBundle, TrustBundle};

use crate::process::{self, Output, Process, until};

/// The passphrase of the keys, unless a test takes another.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// What a test's CA is like. `Setup::default()` has no issuer, lets nobody in and offers nothing.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// `[[issuer]]` blocks.
    pub issuers: Vec<Issuer>,
    /// The policy, in Cedar.
    pub policy: String,
    /// The inventory, in TOML.
    pub inventory: String,
    /// More of `ca.toml`: lines that go before the first table.
    pub keys: String,
    /// More of `ca.toml`: tables, `[limits]` for one.
    pub tables: String,
    /// More of the environment of `serve`, `JIT_SSH_CRASH_AT` for one.
    pub environment: Vec<(String, String)>,
}

/// An `[[issuer]]` of `ca.toml`, for the client `jit-ssh` unless a test says otherwise, with groups in `groups` and names in `preferred_username`.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The alias.
    pub name: String,
    /// The issuer's URL.
    pub url: String,
    /// Our client there.
    pub client: String,
    /// Our client for the device grant, where that is another.
    pub device_client: Option<String>,
    /// Theirs and ours.
    pub groups: Vec<(String, String)>,
    /// More lines, `algorithms = ["ES256"]` for one.
    pub lines: String,
}

impl Issuer {
    /// An issuer whose groups are taken over under their own names.
    #[must_use]
    pub fn new(name: &str, url: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| ((*group).to_owned(), (*group).to_owned())).collect();
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            client: "jit-ssh".to_owned(),
            device_client: None,
            groups,
            lines: String::new(),
        }
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { name, url, client, device_client, groups, lines } = self;
        writeln!(out, "[[issuer]]\nname = {name:?}\nurl = {url:?}\nclient_id = {client:?}")?;
        if let Some(device) = device_client {
            writeln!(out, "device_client_id = {device:?}")?;
        }
        writeln!(
            out,
            "username = \"preferred_username\"\ngroups = \"groups\"\n{lines}\n[issuer.groups_map]"
        )?;
        for (theirs, ours) in groups {
            writeln!(out, "{theirs:?} = [{ours:?}]")?;
        }
        Ok(())
    }
}

/// A data directory: what `jit-ssh-ca init` made, with the test's own configuration.
#[derive(Debug)]
pub struct Data {
    folder: tempfile::TempDir,
    dir: PathBuf,
    passphrase: PathBuf,
    port: u16,
}

impl Data {
    /// Makes it.
    ///
    /// # Errors
    /// When `init` fails.
    pub fn init(setup: &Setup) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let passphrase = folder.path().join("passphrase");
        fs::write(&passphrase, PASSPHRASE)?;
        fs::set_permissions(&passphrase, Permissions::from_mode(0o600))?;
        // Known before the server is, because clients and the trust bundle name it.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let data = Self { dir: folder.path().join("ca"), folder, passphrase, port };
        process::run(data.command()?.arg("init").arg(&data.dir))?.ok().context("jit-ssh-ca init")?;
        data.write(setup)?;
        Ok(data)
    }

    /// Writes the configuration, the policy and the inventory, in place of the ones that are there.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, setup: &Setup) -> Result<()> {
        let mut text = format!("listen = \"127.0.0.1:{}\"\nurl = {:?}\n", self.port, self.url());
        writeln!(text, "{}\n{}", setup.keys, setup.tables)?;
        for issuer in &setup.issuers {
            issuer.write(&mut text)?;
        }
        fs::write(self.dir.join("ca.toml"), text)?;
        for (folder, file, text) in
            [("policies", "test.cedar", &setup.policy), ("inventory", "test.toml", &setup.inventory)]
        {
            let folder = self.dir.join(folder);
            for starter in fs::read_dir(&folder)? {
                fs::remove_file(starter?.path())?;
            }
            fs::write(folder.join(file), text)?;
        }
        Ok(())
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A folder beside it for whatever the test needs; it goes with the data.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The file with the passphrase.
    #[must_use]
    pub fn passphrase(&self) -> &Path {
        &self.passphrase
    }

    /// The address that `serve` will have.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `jit-ssh-ca`, with the passphrase at hand.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn command(&self) -> Result<Command> {
        let mut command = process::command(&process::program("jit-ssh-ca")?);
        command.env("JIT_SSH_PASSPHRASE_FILE", &self.passphrase);
        Ok(command)
    }

    /// `jit-ssh-ca serve`, not waited for: for tests in which it does not come up.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn serve(&self, environment: &[(String, String)]) -> Result<Process> {
        let mut command = self.command()?;
        command.args(["serve", "--log", "json"]).arg(&self.dir);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Process::start(&mut command)
    }

    /// The events so far, oldest first, as `jit-ssh-ca log show --json` prints them.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn events(&self) -> Result<Vec<serde_json::Value>> {
        let log = process::run(self.command()?.args(["log", "show", "--json"]).arg(&self.dir))?.ok()?;
        log.out.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

/// A CA that serves. It is killed when dropped.
#[derive(Debug)]
pub struct Ca {
    data: Data,
    process: Process,
    environment: Vec<(String, String)>,
}

impl Ca {
    /// Makes a CA and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come up; with what it said.
    pub fn start(setup: &Setup) -> Result<Self> {
        Self::serve(Data::init(setup)?, setup.environment.clone())
    }

    /// Serves data that are there, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come up; with what it said.
    pub fn serve(data: Data, environment: Vec<(String, String)>) -> Result<Self> {
        let mut process = data.serve(&environment)?;
        await_ready(&data.url(), &mut process)?;
        Ok(Self { data, process, environment })
    }

    /// The address, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        self.data.url()
    }

    /// Its data.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The server's process, to be waited for or killed.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What the server has logged so far, one JSON object a line.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.said()
    }

    /// Ends the server as a power cut would, and gives back the data.
    ///
    /// # Errors
    /// When the system does not know the process.
    pub fn kill(mut self) -> Result<Data> {
        self.process.kill()?;
        Ok(self.data)
    }

    /// Asks the server to end and waits for that.
    ///
    /// # Errors
    /// When it does not, or not well.
    pub fn stop(mut self) -> Result<(Data, ExitStatus)> {
        self.process.terminate()?;
        let status = self.process.wait_for_end()?;
        Ok((self.data, status))
    }

    /// Starts the server again, after it ended or by ending it, with the given variables in place of the ones before.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(self, environment: Option<Vec<(String, String)>>) -> Result<Self> {
        let environment = environment.unwrap_or_else(|| self.environment.clone());
        Self::serve(self.kill()?, environment)
    }

    /// The trust bundle as it is served, not verified.
    ///
    /// # Errors
    /// When it cannot be got.
    pub fn signed_bundle(&self) -> Result<SignedBundle> {
        let url = format!("{}/.well-known/jit-ssh", self.url());
        let text = ureq::get(&url).call()?.into_body().read_to_string()?;
        serde_json::from_str(&text).with_context(|| format!("not a trust bundle: {text}"))
    }

    /// The fingerprint that clients and hosts pin: of the key that `init` wrote, not of the one that is served.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn trust(&self) -> Result<String> {
        let file = self.data.dir().join("keys").join("trust.pub");
        let key = ssh_key::PublicKey::read_openssh_file(&file)
            .with_context(|| format!("{} cannot be read", file.display()))?;
        Ok(key.fingerprint(ssh_key::HashAlg::Sha256).to_string())
    }

    /// The trust bundle, verified as a client does.
    ///
    /// # Errors
    /// When it cannot be got or does not verify.
    pub fn bundle(&self) -> Result<TrustBundle> {
        Ok(self.signed_bundle()?.open(&self.trust()?)?)
    }

    /// Runs `jit-ssh-ca` with arguments, the passphrase at hand.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn run<I: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Result<Output> {
        process::run(self.data.command()?.args(arguments))
    }
}

/// Waits until `/readyz` says yes; an error as soon as the server has ended.
fn await_ready(url: &str, process: &mut Process) -> Result<()> {
    let url = format!("{url}/readyz");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(5)))
        .http_status_as_error(false)
        .build()
        .into();
    let ready = until(&url, || {
        if let Some(status) = process.ended()? {
            bail!("jit-ssh-ca serve ended with {status}");
        }
        Ok(agent.get(&url).call().is_ok_and(|answer| answer.status() == 200).then_some(()))
    });
    ready.with_context(|| process.said())
}
