//! A CA under test: a data directory, two issuers whose keys the test holds, server processes on it, and what its
//! database says, read without the CA's own code.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use jit_ssh_proto::CaId;
use jit_ssh_proto::event::{CertificateIssued, Event, What};
use jit_ssh_proto::wire::{OpenSession, SessionOpened};
use jit_ssh_tests::api::{Call, Issuer, Key, Session, Signing, access_body, login_body};
use jit_ssh_tests::http::{Answer, send};
use serde_json::Value;
use sqlx::{Connection, Row, SqliteConnection};
use tempfile::TempDir;

/// What the keys of every CA here are encrypted with: long and odd enough to be looked for in what a CA writes.
pub(crate) const PASSPHRASE: &str = "correct-horse-9b1f-battery-staple";

/// Who may do what, unless a test says otherwise.
pub(crate) const POLICY: &str = r#"
@id("sre") @ttl("1h")
permit (principal in Group::"sre", action in [Action::"shell", Action::"exec", Action::"sftp"], resource in HostGroup::"web")
when { resource.login == "deploy" && context.reason != "" };
@id("own") @ttl("30m")
permit (principal, action == Action::"shell", resource in HostGroup::"web")
when { principal has login && resource.login == principal.login };
@id("no-root") @message("root is not for everyday")
forbid (principal, action, resource in HostGroup::"web") when { resource.login == "root" };
"#;

const INVENTORY: &str = r#"
[[group]]
name = "web"
logins = ["deploy", "root", "alice", "bob"]
[[group]]
name = "db"
logins = ["deploy"]
[[host]]
name = "web-1"
groups = ["web"]
[[host]]
name = "web-2"
groups = ["web"]
[[host]]
name = "db-1"
groups = ["db"]
"#;

/// How long a process may take to come up or to end.
const PATIENCE: Duration = Duration::from_secs(50);

/// A program of the workspace, built beside this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(
        path.exists(),
        "{} is missing: build the whole workspace first (cargo xtask test)",
        path.display()
    );
    path
}

/// A CA's data directory.
pub(crate) struct Site {
    folder: Arc<TempDir>,
    pub(crate) dir: PathBuf,
    pub(crate) passphrase: PathBuf,
    /// The issuer `corp`.
    pub(crate) corp: Arc<Issuer>,
    /// The issuer `partner`.
    pub(crate) partner: Arc<Issuer>,
    pub(crate) ca: CaId,
}

impl Site {
    /// A new CA with [`POLICY`].
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("ca");
        let passphrase = folder.path().join("passphrase");
        fs::write(&passphrase, format!("{PASSPHRASE}\n")).unwrap();
        let made = Command::new(program("jit-ssh-ca"))
            .arg("init")
            .arg(&dir)
            .env("JIT_SSH_PASSPHRASE_FILE", &passphrase)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let corp = Arc::new(Issuer::new("https://corp.example.com", "corp-1").unwrap());
        let partner = Arc::new(Issuer::new("https://partner.example.com", "partner-1").unwrap());
        let ca = fs::read_to_string(dir.join("keys/ca.id")).unwrap().trim().parse().unwrap();
        let site = Self { folder: Arc::new(folder), dir, passphrase, corp, partner, ca };
        site.write("corp.json", &site.corp.jwks());
        site.write("partner.json", &site.partner.jwks());
        site.write("inventory/hosts.toml", INVENTORY);
        site.write("policies/10-starter.cedar", POLICY);
        site.write("ca.toml", &site.config());
        site
    }

    /// The same CA, whose data directory is seen at another place.
    pub(crate) fn seen_at(&self, dir: PathBuf) -> Self {
        Self {
            folder: Arc::clone(&self.folder),
            dir,
            passphrase: self.passphrase.clone(),
            corp: Arc::clone(&self.corp),
            partner: Arc::clone(&self.partner),
            ca: self.ca,
        }
    }

    /// The configuration of every CA here.
    pub(crate) fn config(&self) -> String {
        let issuer = |name: &str, url: &str| {
            format!(
                "[[issuer]]\nname = \"{name}\"\nurl = \"{url}\"\nclient_id = \"jit-ssh\"\nalgorithms = [\"ES256\"]\n\
                 username = \"preferred_username\"\ngroups = \"groups\"\nallowed_domains = [\"example.com\"]\n\
                 jwks_file = \"{name}.json\"\n[issuer.groups_map]\n\"platform-sre\" = [\"sre\"]\n"
            )
        };
        format!(
            "listen = \"127.0.0.1:0\"\nurl = \"http://localhost\"\n{}{}",
            issuer("corp", &self.corp.url),
            issuer("partner", &self.partner.url)
        )
    }

    /// Writes a file of the data directory.
    pub(crate) fn write(&self, below: &str, text: &str) {
        fs::write(self.dir.join(below), text).unwrap();
    }

    /// `jit-ssh-ca serve` on it, not yet started.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(program("jit-ssh-ca"));
        self.arguments(&mut command);
        command
    }

    /// Gives a command what `jit-ssh-ca serve` needs, after whatever it has.
    pub(crate) fn arguments(&self, command: &mut Command) {
        command
            .args(["serve", "--log", "json"])
            .arg(&self.dir)
            .env("JIT_SSH_PASSPHRASE_FILE", &self.passphrase)
            .env("RUST_LOG", "info,sqlx=warn");
    }

    /// Starts a server, which must come up.
    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// The same with more in its environment.
    pub(crate) fn serve_with(&self, environment: &[(&str, &str)]) -> Server {
        let mut command = self.command();
        command.envs(environment.iter().copied());
        Server::start(command).unwrap_or_else(|ended| panic!("{}: {}", ended.status, ended.said))
    }

    /// Starts a server, which must not come up, and returns what it said.
    pub(crate) fn refuses_to_serve(&self) -> String {
        match Server::start(self.command()) {
            Ok(_) => panic!("the server started"),
            Err(ended) => {
                assert_eq!(ended.status.code(), Some(1), "{}", ended.said);
                ended.said
            }
        }
    }

    /// Every row of a query, read from the database file beside whoever writes it.
    pub(crate) fn query<T>(&self, sql: &'static str, row: impl Fn(&sqlx::sqlite::SqliteRow) -> T) -> Vec<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("sqlite://{}?mode=ro", self.dir.join("ca.db").display());
        runtime.block_on(async {
            let mut conn = SqliteConnection::connect(&url).await.unwrap();
            let rows = sqlx::query(sql).fetch_all(&mut conn).await.unwrap();
            conn.close().await.unwrap();
            rows.iter().map(row).collect()
        })
    }

    /// Changes the database of a stopped server.
    pub(crate) fn execute(&self, sql: &'static str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("sqlite://{}?mode=rw", self.dir.join("ca.db").display());
        runtime.block_on(async {
            let mut conn = SqliteConnection::connect(&url).await.unwrap();
            sqlx::query(sql).execute(&mut conn).await.unwrap();
            conn.close().await.unwrap();
        });
    }

    /// The ledger, each leaf recomputed and each event in canonical form.
    pub(crate) fn ledger(&self) -> Vec<Event> {
        let rows = self.query("SELECT leaf, body, salt, hash FROM events ORDER BY leaf", |row| {
            let bytes = |at: usize| row.get::<Vec<u8>, _>(at);
            (row.get::<i64, _>(0), bytes(1), bytes(2), bytes(3))
        });
        let mut events = Vec::new();
        for (at, (leaf, body, salt, hash)) in rows.into_iter().enumerate() {
            assert_eq!(usize::try_from(leaf).unwrap(), at, "leaves are counted through");
            let salt = jit_ssh_proto::Salt::from_bytes(salt.try_into().unwrap());
            assert_eq!(Event::leaf(&salt, &body).as_slice(), hash, "leaf {at}");
            let event: Event = serde_json::from_slice(&body).unwrap();
            assert_eq!(event.canonical().unwrap(), body, "event {at} is not in canonical form");
            events.push(event);
        }
        events
    }

    /// The certificates of the ledger, in order.
    pub(crate) fn certificates(&self) -> Vec<CertificateIssued> {
        let issued = |event: Event| match event.what {
            What::CertificateIssued(issued) => Some(*issued),
            What::CaInitialised(_)
            | What::PolicyLoaded(_)
            | What::SessionOpened(_)
            | What::SessionRefused(_)
            | What::SessionEnded(_)
            | What::RequestDecided(_) => None,
        };
        self.ledger().into_iter().filter_map(issued).collect()
    }

    /// How many rows each table has: what a refusal must leave as it is.
    pub(crate) fn state(&self) -> BTreeMap<String, i64> {
        let counts = self.query(
            "SELECT 'events', COUNT(*) FROM events UNION ALL SELECT 'sessions', COUNT(*) FROM sessions \
             UNION ALL SELECT 'requests', COUNT(*) FROM requests UNION ALL SELECT 'certificates', COUNT(*) FROM certificates \
             UNION ALL SELECT 'call_ids', COUNT(*) FROM call_ids UNION ALL SELECT 'identities', COUNT(*) FROM identities \
             UNION ALL SELECT 'serials', COALESCE(SUM(next), 0) FROM serials",
            |row| (row.get::<String, _>(0), row.get::<i64, _>(1)),
        );
        counts.into_iter().collect()
    }

    /// `jit-ssh-ca log show`, as an operator reads it.
    pub(crate) fn log_show(&self, arguments: &[&str]) -> String {
        let output = Command::new(program("jit-ssh-ca"))
            .args(["log", "show"])
            .arg(&self.dir)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A login of a person of `corp` in the group sre, for a session key, with a first request for a key, or none.
    pub(crate) fn login_call(&self, user: &str, session: &Key, key: Option<&Key>) -> Call {
        let signing = Signing::new(&self.ca, session, None);
        let request = key.map(|key| access_body(&self.ca, session, key, signing.id).unwrap());
        let claims = |nonce: &str| self.corp.claims(user, &["platform-sre"], nonce);
        let body = login_body(&self.ca, &self.corp, session, claims, request).unwrap();
        signing.call("POST", "/v1/sessions", serde_json::to_vec(&body).unwrap()).unwrap()
    }

    /// The body of such a login, to be changed.
    pub(crate) fn login_body(
        &self,
        issuer: &Issuer,
        session: &Key,
        claims: impl FnOnce(&str) -> Value,
    ) -> OpenSession {
        login_body(&self.ca, issuer, session, claims, None).unwrap()
    }

    /// Signs a login's body.
    pub(crate) fn sign_login(&self, session: &Key, body: &OpenSession) -> Call {
        let body = serde_json::to_vec(body).unwrap();
        Signing::new(&self.ca, session, None).call("POST", "/v1/sessions", body).unwrap()
    }
}

/// How a server ended that did not come up.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) said: String,
}

/// A running server. It ends with this.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Server {
    /// Starts `command` and waits until it listens or ends.
    pub(crate) fn start(mut command: Command) -> Result<Self, Ended> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (sender, listening) = mpsc::channel();
        let readers = vec![
            follow(child.stdout.take().unwrap(), &said, sender.clone()),
            follow(child.stderr.take().unwrap(), &said, sender),
        ];
        match listening.recv_timeout(PATIENCE) {
            Ok(address) => Ok(Self { child, address, said, readers }),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = child.wait().unwrap();
                let said = said.lock().unwrap().clone();
                Err(Ended { status, said })
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the server neither listens nor ends: {}", said.lock().unwrap());
            }
        }
    }

    /// Sends a call; an answer must come.
    pub(crate) fn send(&self, call: &Call) -> Answer {
        send(self.address, call).unwrap_or_else(|e| panic!("{e:#}: {}", self.said()))
    }

    /// Sends a login, which must open a session.
    pub(crate) fn log_in(&self, session: &Key, call: &Call) -> (Session, SessionOpened) {
        let answer = self.send(call);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let opened: SessionOpened = answer.json().unwrap();
        let id = opened.session.id.parse().unwrap();
        (Session { key: session.clone(), token: opened.token.clone(), id }, opened)
    }

    /// A live session of a person of `corp` in the group sre.
    pub(crate) fn session(&self, site: &Site, user: &str) -> Session {
        let key = Key::new().unwrap();
        self.log_in(&key, &site.login_call(user, &key, None)).0
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, to standard output and standard error.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        Ended { status, said: self.finish() }
    }

    /// Asks it to stop, which it must do in good order; returns everything that it wrote.
    pub(crate) fn stop(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        let said = self.finish();
        assert!(status.success(), "{status}: {said}");
        said
    }

    fn finish(&mut self) -> String {
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        self.said()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps everything that a server writes, and says when it listens.
fn follow(
    stream: impl Read + Send + 'static,
    said: &Arc<Mutex<String>>,
    listening: mpsc::Sender<SocketAddr>,
) -> thread::JoinHandle<()> {
    let said = Arc::clone(said);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Ok(value) = serde_json::from_str::<Value>(&line)
                && value["message"] == "listening"
            {
                // Nobody waits any more if it was too late.
                let _ = listening.send(value["address"].as_str().unwrap().parse().unwrap());
            }
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    })
}
