//! A private sshd on a random loopback port, in a folder of its own, and the stock client against it.
//!
//! Works as root and as an ordinary user: the login is whoever runs the test. It is stopped by its process id.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::certificates::{Identity, random_key, write_key};

/// How long anything here may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with what an sshd and its client need, before it runs.
#[derive(Debug)]
pub struct SshdFolder {
    folder: tempfile::TempDir,
    host_key: String,
    login: String,
}

/// A running sshd.
#[derive(Debug)]
pub struct Sshd {
    place: SshdFolder,
    port: u16,
    child: Child,
    reachable: u16,
}

/// A real ssh-agent with one key in it, ended with the value.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
    child: Child,
}

/// What came of one run of `ssh` or `sftp`.
#[derive(Debug)]
pub struct Attempt {
    /// Exit code; 255 is the client's own failure.
    pub code: Option<i32>,
    /// What the session said.
    pub out: String,
    /// What the client said.
    pub err: String,
    /// What sshd logged about it.
    pub log: String,
}

impl Attempt {
    /// Whether sshd let the certificate in.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.log.contains("Accepted publickey for")
    }
}

impl SshdFolder {
    /// A new folder that other users may look into, with a host key.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Principals files are opened as the user who logs in.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let key = random_key()?;
        write_key(&folder.path().join("host_key"), &key)?;
        let login = Command::new("id").arg("-un").output().context("id cannot be run")?;
        Ok(Self {
            host_key: key.public_key().to_openssh()?,
            login: String::from_utf8(login.stdout)?.trim().to_owned(),
            folder,
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The login of whoever runs this: the one that an ordinary user's sshd can open.
    #[must_use]
    pub fn login(&self) -> &str {
        &self.login
    }

    /// Writes a file below the folder and answers where it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, below: &str, contents: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path().join(below);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, contents).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }

    /// Starts sshd with these lines of configuration before the harness's own, so that the first value is theirs.
    ///
    /// # Errors
    /// When sshd is not installed or refuses its configuration.
    pub fn start(self, lines: &str) -> Result<Sshd> {
        // The folder that sshd locks its unprivileged half into when it runs as root.
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd")?;
        }
        // X11 forwarding wants the program; what it does is not asked here.
        let xauth = self.write("xauth", "#!/bin/sh\ncat >/dev/null\n")?;
        fs::set_permissions(&xauth, fs::Permissions::from_mode(0o755))?;
        serve_agent(&self.path().join("agent"))?;
        let reachable = serve_greeting()?;
        let folder = self.path().display();
        let penalties = if knows_penalties() { "PerSourcePenalties no\n" } else { "" };
        for _ in 0..8 {
            // The port is free now and somebody else's at worst a moment later: then another one.
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            let configuration = format!(
                "{lines}\n\
                 Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\n\
                 AuthorizedKeysFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 Subsystem sftp internal-sftp\nX11Forwarding yes\nXAuthLocation {folder}/xauth\n\
                 MaxStartups 100\nLogLevel DEBUG2\n{penalties}"
            );
            let file = self.write("sshd_config", configuration)?;
            let log = self.write("log", "")?;
            let mut child = Command::new("/usr/sbin/sshd")
                .arg("-D")
                .arg("-f")
                .arg(&file)
                .arg("-E")
                .arg(&log)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("/usr/sbin/sshd cannot be started: install openssh-server")?;
            let ready = format!("Server listening on 127.0.0.1 port {port}.");
            let mut gone = None;
            wait("sshd to listen", || {
                gone = child.try_wait().ok().flatten();
                gone.is_some() || fs::read_to_string(&log).is_ok_and(|text| text.contains(&ready))
            })?;
            if gone.is_none() {
                let known = format!("[127.0.0.1]:{port} {}\n", self.host_key);
                self.write("known_hosts", known)?;
                return Ok(Sshd { place: self, port, child, reachable });
            }
            let said = fs::read_to_string(&log).unwrap_or_default();
            if !said.contains("Address already in use") {
                bail!("sshd did not start: {said}");
            }
        }
        bail!("no free port was found")
    }
}

impl Sshd {
    /// Its folder.
    #[must_use]
    pub fn place(&self) -> &SshdFolder {
        &self.place
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything that it logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("log")).unwrap_or_default()
    }

    /// A port of 127.0.0.1 where somebody says `reached`.
    #[must_use]
    pub fn reachable(&self) -> u16 {
        self.reachable
    }

    /// Runs `ssh` with these arguments before the destination and this command after it, as the usual login.
    ///
    /// # Errors
    /// When the client cannot be run or sshd does not finish.
    pub fn ssh(&self, identity: &Identity, arguments: &[&str], command: &str) -> Result<Attempt> {
        self.ssh_as(self.place.login(), identity, arguments, command)
    }

    /// The same as another login.
    ///
    /// # Errors
    /// When the client cannot be run or sshd does not finish.
    pub fn ssh_as(
        &self,
        login: &str,
        identity: &Identity,
        arguments: &[&str],
        command: &str,
    ) -> Result<Attempt> {
        let mut client = self.client("ssh", identity);
        client.arg("-p").arg(self.port.to_string()).args(arguments);
        client.arg(format!("{login}@127.0.0.1"));
        if !command.is_empty() {
            client.arg(command);
        }
        self.run(&mut client, "")
    }

    /// Offers whatever a real agent at this socket holds: the client looks at its own files more closely than at those.
    ///
    /// # Errors
    /// When the client cannot be run or sshd does not finish.
    pub fn ssh_by_agent(&self, socket: &Path, command: &str) -> Result<Attempt> {
        let mut client = self.bare_client("ssh");
        client
            .env("SSH_AUTH_SOCK", socket)
            .args(["-o", "IdentityFile=none", "-p"])
            .arg(self.port.to_string());
        client.arg(format!("{}@127.0.0.1", self.place.login())).arg(command);
        self.run(&mut client, "")
    }

    /// Runs `sftp` with these commands.
    ///
    /// # Errors
    /// When the client cannot be run or sshd does not finish.
    pub fn sftp(&self, identity: &Identity, commands: &str) -> Result<Attempt> {
        let mut client = self.client("sftp", identity);
        client.arg("-P").arg(self.port.to_string()).args(["-b", "-"]);
        client.arg(format!("{}@127.0.0.1", self.place.login()));
        self.run(&mut client, commands)
    }

    fn client(&self, program: &str, identity: &Identity) -> Command {
        let mut client = self.bare_client(program);
        for option in [
            format!("CertificateFile={}", identity.certificate.display()),
            format!("IdentityFile={}", identity.key.display()),
            "IdentitiesOnly=yes".to_owned(),
        ] {
            client.arg("-o").arg(option);
        }
        client
    }

    fn bare_client(&self, program: &str) -> Command {
        let folder = self.place.path();
        let mut client = Command::new(program);
        client.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // Enough for the client to ask for X11; nothing connects to it.
        client.env("DISPLAY", "127.0.0.1:99").env("HOME", folder);
        client.env("SSH_AUTH_SOCK", folder.join("agent"));
        client.args(["-F", "/dev/null"]);
        for option in [
            format!("UserKnownHostsFile={}/known_hosts", folder.display()),
            format!("XAuthLocation={}/xauth", folder.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "PreferredAuthentications=publickey".to_owned(),
            "BatchMode=yes".to_owned(),
            "ConnectTimeout=20".to_owned(),
            "KexAlgorithms=curve25519-sha256".to_owned(),
        ] {
            client.arg("-o").arg(option);
        }
        client
    }

    /// The arguments that ask for everything a session could have besides its command and a terminal: a client that
    /// demands a terminal and gets none goes away, and what else it would have got is not seen.
    #[must_use]
    pub fn greedy(&self) -> Vec<String> {
        [
            "-T".to_owned(),
            "-Y".to_owned(),
            "-A".to_owned(),
            "-R".to_owned(),
            format!("0:127.0.0.1:{}", self.reachable),
        ]
        .into()
    }

    fn run(&self, client: &mut Command, input: &str) -> Result<Attempt> {
        let before = self.log().len();
        let mut child = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("the OpenSSH client cannot be run: install openssh-client")?;
        if let Some(mut stdin) = child.stdin.take() {
            // A client that was refused has gone already.
            let _ = stdin.write_all(input.as_bytes());
        }
        let Output { status, stdout, stderr } = child.wait_with_output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let mut log = String::new();
        wait("sshd to finish with the connection", || {
            log = self.log().get(before..).unwrap_or_default().to_owned();
            ["Connection closed by", "Disconnected from", "Connection reset by", "do_cleanup"]
                .iter()
                .any(|end| log.contains(end))
        })
        .with_context(|| format!("log: {log}"))?;
        Ok(Attempt { code: status.code(), out: text(stdout), err: text(stderr), log })
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // The listener only: sessions end with their clients, which have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    /// Starts one in this folder and adds the key with its certificate.
    ///
    /// # Errors
    /// When the OpenSSH client's programs are not installed.
    pub fn with(folder: &Path, identity: &Identity) -> Result<Self> {
        let socket = folder.join(format!("agent-{:08x}", rand::random::<u32>()));
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("ssh-agent cannot be started: install openssh-client")?;
        let agent = Self { socket, child };
        wait("the agent's socket", || UnixStream::connect(&agent.socket).is_ok())?;
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(&identity.key)
            .env("SSH_AUTH_SOCK", &agent.socket)
            .output()?;
        if !added.status.success() {
            bail!("ssh-add: {}", String::from_utf8_lossy(&added.stderr));
        }
        Ok(agent)
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Waits until something holds.
///
/// # Errors
/// When it does not within [`PATIENCE`].
pub fn wait(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now().checked_add(PATIENCE);
    while !holds() {
        if deadline.is_none_or(|deadline| Instant::now() > deadline) {
            bail!("waited too long for {what}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Somebody on loopback who says `reached` to whoever comes, for as long as the test runs.
fn serve_greeting() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.map(|mut stream| stream.write_all(b"reached\n"));
        }
    });
    Ok(port)
}

/// An agent that has nothing and does nothing: being there is enough for a client to offer it to a server.
fn serve_agent(socket: &Path) -> Result<()> {
    let listener = UnixListener::bind(socket)?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || refuse_everything(stream));
        }
    });
    Ok(())
}

/// `SSH_AGENT_FAILURE` (5) to every message of the agent protocol (RFC 9987).
fn refuse_everything(mut stream: UnixStream) -> std::io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u64::from(u32::from_be_bytes(length));
        std::io::copy(&mut (&mut stream).take(length), &mut std::io::sink())?;
        stream.write_all(&[0, 0, 0, 1, 5])?;
    }
}

/// From 9.8 on sshd shuts out addresses that fail too often: all of these tests come from one.
fn knows_penalties() -> bool {
    let asked = Command::new("/usr/sbin/sshd")
        .args(["-t", "-f", "/dev/null", "-o", "PerSourcePenalties=no"])
        .output();
    asked.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains("Bad configuration option"))
}
