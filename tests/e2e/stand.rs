//! A CA under test: a data directory, two issuers whose keys the test holds, server processes on it, and what its
//! database says, read without the CA's own code.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use jit_ssh_proto::CaId;
use jit_ssh_proto::event::{CertificateIssued, Event, What};
use jit_ssh_proto::wire::{OpenSession, SessionOpened};
use jit_ssh_test_postgres::Postgres;
use jit_ssh_tests::api::{Call, Issuer, Key, Session, Signing, access_body, login_body};
use jit_ssh_tests::database::{Database, Row};
use jit_ssh_tests::http::{Answer, send};
use jit_ssh_tests::ledger::Leaf;
use jit_ssh_tests::process::{self, Output, Process, Stream};
use serde_json::Value;
use tempfile::TempDir;

/// What the keys of every CA here are encrypted with: long and odd enough to be looked for in what a CA writes.
pub(crate) const PASSPHRASE: &str = "correct-horse-9b1f-battery-staple";

/// Who may do what, unless a test says otherwise.
pub(crate) const POLICY: &str = r#"
@id("sre") @ttl("1h")
permit (principal in Group::"sre", action in [Action::"shell", Action::"exec", Action::"sftp"], resource in HostGroup::"web")
when { ["deploy", "root"].contains(resource.login) && context.reason != "" };
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

fn ca() -> Command {
    process::command(&process::program("jit-ssh-ca").unwrap())
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
    /// The URL of its database, if that is not the file in its directory.
    store: Option<String>,
}

impl Site {
    /// A new CA with [`POLICY`].
    pub(crate) fn new() -> Self {
        Self::with_store(None)
    }

    /// A new CA on a fresh database of this server.
    pub(crate) fn on(postgres: &Postgres) -> Self {
        Self::with_store(Some(postgres.database().unwrap()))
    }

    fn with_store(store: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("ca");
        let passphrase = folder.path().join("passphrase");
        fs::write(&passphrase, format!("{PASSPHRASE}\n")).unwrap();
        let mut init = ca();
        init.arg("init").arg(&dir).env("JIT_SSH_PASSPHRASE_FILE", &passphrase);
        if let Some(url) = &store {
            init.args(["--store", url]);
        }
        process::run(&mut init).unwrap().ok().unwrap();
        let corp = Arc::new(Issuer::new("https://corp.example.com", "corp-1").unwrap());
        let partner = Arc::new(Issuer::new("https://partner.example.com", "partner-1").unwrap());
        let id = fs::read_to_string(dir.join("keys/ca.id")).unwrap().trim().parse().unwrap();
        let site = Self { folder: Arc::new(folder), dir, passphrase, corp, partner, ca: id, store };
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
            store: self.store.clone(),
        }
    }

    /// The same CA in a copy of its data directory: a second machine, or a backup of the whole folder.
    pub(crate) fn copy(&self, name: &str) -> Self {
        let to = self.folder.path().join(name);
        copy_folder(&self.dir, &to);
        self.seen_at(to)
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
        let store = self.store.as_ref().map(|url| format!("[store]\nurl = {url:?}\n"));
        format!(
            "listen = \"127.0.0.1:0\"\nurl = \"http://localhost\"\n{}{}{}",
            store.unwrap_or_default(),
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
        let mut command = ca();
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
        Server::start(&mut command).unwrap_or_else(|ended| panic!("{:?}: {}", ended.code, ended.err))
    }

    /// Starts a server, which must not come up, and returns what it said.
    pub(crate) fn refuses_to_serve(&self) -> String {
        match Server::start(&mut self.command()) {
            Ok(_) => panic!("the server started"),
            Err(ended) => ended.code(1).unwrap().err,
        }
    }

    /// Its database.
    pub(crate) fn database(&self) -> Database {
        match &self.store {
            None => Database::Sqlite(self.dir.join("ca.db")),
            Some(url) => Database::Postgres(url.clone()),
        }
    }

    /// Every row of a query, read from the database beside whoever writes it.
    pub(crate) fn query(&self, sql: &str) -> Vec<Row> {
        self.database().query(sql).unwrap()
    }

    /// Changes the database of a stopped server.
    pub(crate) fn execute(&self, sql: &str) {
        self.database().execute(sql).unwrap();
    }

    /// The ledger as it is stored, unchecked.
    pub(crate) fn leaves(&self) -> Vec<Leaf> {
        let rows = self.query("SELECT leaf, body, salt, hash FROM events ORDER BY leaf");
        let leaf = |row: &Row| {
            let bytes = |at: usize| row.bytes(at).unwrap();
            Leaf {
                index: row.int(0).unwrap().try_into().unwrap(),
                body: bytes(1),
                salt: bytes(2),
                hash: bytes(3),
            }
        };
        rows.iter().map(leaf).collect()
    }

    /// The ledger, each leaf recomputed and each event in canonical form.
    pub(crate) fn ledger(&self) -> Vec<Event> {
        self.leaves().iter().enumerate().map(|(at, leaf)| leaf.event(at).unwrap()).collect()
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
            | What::SessionRevalidated(_)
            | What::IdentityDisabled(_)
            | What::IdentityEnabled(_)
            | What::LoginReleased(_)
            | What::IssuerBound(_)
            | What::RequestDecided(_)
            | What::CertificateRevoked(_)
            | What::KeyUsed(_)
            | What::KeyAdded(_)
            | What::ConfigChanged(_)
            | What::LogExported(_)
            | What::EventErased(_)
            | What::StoreRestored(_)
            | What::StoreMoved(_) => None,
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
        );
        counts.iter().map(|row| (row.text(0).unwrap().to_owned(), row.int(1).unwrap())).collect()
    }

    /// `jit-ssh-ca log show`, as an operator reads it.
    pub(crate) fn log_show(&self, arguments: &[&str]) -> String {
        process::run(ca().args(["log", "show"]).arg(&self.dir).args(arguments)).unwrap().ok().unwrap().out
    }

    /// What `jit-ssh-ca log show` says that will not narrow so.
    pub(crate) fn log_show_refused(&self, narrowed: &str) -> String {
        let mut show = ca();
        show.args(["log", "show", "--where", narrowed]).arg(&self.dir);
        process::run(&mut show).unwrap().code(1).unwrap().err
    }

    /// `jit-ssh-ca log erase`, of a stopped server.
    pub(crate) fn erase(&self, index: u64) {
        let mut erase = ca();
        erase.args(["log", "erase", &index.to_string()]).arg(&self.dir).args(["--reason", "OPS-9"]);
        process::run(&mut erase).unwrap().ok().unwrap();
    }

    /// `jit-ssh-ca log verify`, which reads everything there is.
    pub(crate) fn verify(&self) -> Output {
        process::run(ca().args(["log", "verify"]).arg(&self.dir)).unwrap()
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

/// Copies a folder with what is in it.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_socket() {
            // A running server's own.
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A running server. It ends with this.
pub(crate) struct Server {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `command` and waits until it listens; what it said if it ends instead.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Output> {
        let process = Process::start(command).unwrap();
        match process.line(Stream::Err, "that it listens", listening) {
            Ok(address) => Ok(Self { process, address }),
            Err(_) => Err(process.wait().unwrap()),
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
        self.process.id()
    }

    /// Freezes it.
    pub(crate) fn pause(&self) {
        self.process.pause().unwrap();
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.process.resume().unwrap();
    }

    /// Sends it SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.process.hang_up().unwrap();
    }

    /// What it has written so far.
    pub(crate) fn said(&self) -> String {
        self.process.said()
    }

    /// Waits until its log has a line with this text.
    pub(crate) fn logs(&self, text: &str) {
        self.process.line(Stream::Err, text, |line| line.contains(text).then_some(())).unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.process.wait_for_end().unwrap()
    }

    /// Asks it to stop, which it must do in good order; returns everything that it wrote.
    pub(crate) fn stop(self) -> String {
        self.process.terminate().unwrap();
        let output = self.process.wait().unwrap().ok().unwrap();
        format!("{}{}", output.out, output.err)
    }
}

/// The address in the log line that says that a server listens.
fn listening(line: &str) -> Option<SocketAddr> {
    let value: Value = serde_json::from_str(line).ok()?;
    let listens = value["message"] == "listening";
    listens.then(|| value["address"].as_str().unwrap().parse().unwrap())
}
