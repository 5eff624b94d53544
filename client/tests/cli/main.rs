//! The program as a whole against a CA that misbehaves on command.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should fail")]

mod browser;
mod explain;
mod fake;
mod flows;
mod ledger;
mod log;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fake::{Fake, key};
use jit_ssh_proto::{Code, Problem};
use serde_json::Value;

/// A person's machine: folders of its own, a stand-in for ssh on PATH.
struct Machine {
    folder: tempfile::TempDir,
    agent: Option<Child>,
}

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ssh = folder.path().join("ssh");
        fs::write(&ssh, "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 7\n").unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, agent: None }
    }

    fn with_agent(mut self) -> Self {
        let socket = self.socket();
        let agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
        self.agent = Some(agent.unwrap());
        wait_for("the agent", || socket.exists());
        self
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    fn held(&self) -> Vec<PathBuf> {
        let held = self.folder.path().join("runtime/held");
        let mut files: Vec<PathBuf> =
            fs::read_dir(held).map(|d| d.map(|e| e.unwrap().path()).collect()).unwrap_or_default();
        files.sort();
        files
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jit-ssh"));
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        command
            .args(args)
            .env_clear()
            .env("PATH", path)
            .env("JIT_SSH_CONFIG_DIR", self.folder.path().join("config"))
            .env("JIT_SSH_RUNTIME_DIR", self.folder.path().join("runtime"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.agent.is_some() {
            command.env("SSH_AUTH_SOCK", self.socket());
        }
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// Runs a command that needs a browser, and is that browser.
    fn browse(&self, fake: &Fake, args: &[&str]) -> Ended {
        let mut child = self.command(&[args, &["--no-browser"]].concat()).spawn().unwrap();
        let mut err = String::new();
        let mut visited = 0;
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if line.contains("/op/authorize?") {
                visited += 1;
                fake.browse(line.trim());
            }
            err.push_str(&line);
            err.push('\n');
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(visited, 1, "{err}");
        Ended { code: output.status.code().unwrap(), out: String::from_utf8(output.stdout).unwrap(), err }
    }

    fn set_up(&self, fake: &Fake) {
        let ended = self.run(&["setup", &fake.url, "--trust", &fake.fingerprint()]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(
            ended.err.contains(&fake.fingerprint()) && ended.err.contains("corp (user, http://127"),
            "{}",
            ended.err
        );
    }

    fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{}", ended.err);
        serde_json::from_str(&ended.out).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn private(path: &Path) -> bool {
    fs::metadata(path).unwrap().permissions().mode() & 0o077 == 0
}

#[test]
fn from_setup_to_logout_with_keys_in_files() {
    let (fake, machine) = (Fake::start(), Machine::new());
    assert!(machine.run(&["login"]).err.contains("jit-ssh setup"));
    machine.set_up(&fake);
    assert_eq!(machine.run(&["whoami"]).code, 5);

    let login =
        machine.browse(&fake, &["login", "deploy@web-1", "--for", "30m", "--reason", "OPS-7 disk full"]);
    assert_eq!(login.code, 0, "{}", login.err);
    // One round trip for session and certificate.
    assert_eq!((fake.count("POST /v1/sessions"), fake.count("POST /v1/requests")), (1, 0));
    let files = machine.held();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|f| private(f)) && private(&machine.folder.path().join("runtime/session.json")));

    let status = machine.json(&["status", "--json"]);
    assert_eq!(status["certificates"][0]["account"], "deploy@web-1");
    assert_eq!(status["certificates"][0]["in_agent"], false);
    let inspect = machine.json(&["inspect", "--json"]);
    assert_eq!((&inspect[0]["authority"], &inspect[0]["signature_verifies"]), (&"user".into(), &true.into()));

    // ssh takes the held one, and its exit status is ours.
    let ssh = machine.run(&["ssh", "deploy@web-1", "--", "-v", "uptime"]);
    assert_eq!(ssh.code, 7, "{}", ssh.err);
    for option in ["IdentitiesOnly=yes", "HostName=127.0.0.1", "Port=2222", "HostKeyAlias=web-1"] {
        assert!(ssh.out.lines().any(|l| l == option), "{option}: {}", ssh.out);
    }
    assert!(
        ssh.out.contains("CertificateFile=") && ssh.out.ends_with("deploy@web-1\n-v\nuptime\n"),
        "{}",
        ssh.out
    );
    assert_eq!(fake.count("POST /v1/requests"), 0);

    // Another mode is another certificate, by the session, without a browser.
    let exec = machine.run(&["ssh", "deploy@web-1", "--mode", "exec", "--command", "systemctl status nginx"]);
    assert_eq!(exec.code, 7, "{}", exec.err);
    assert!(exec.out.ends_with("-T\ndeploy@web-1\n--\nsystemctl status nginx\n"), "{}", exec.out);
    assert_eq!((fake.count("POST /v1/sessions"), fake.count("POST /v1/requests")), (1, 1));

    let who = machine.run(&["whoami"]);
    assert!(
        who.code == 0 && who.out.contains("ada\\u{1b}[31m") && !who.out.contains('\u{1b}'),
        "{}",
        who.out
    );

    assert_eq!(machine.run(&["logout"]).code, 0);
    assert_eq!(fake.count("DELETE /v1/sessions/current"), 1);
    assert_eq!(machine.held(), Vec::<PathBuf>::new());
    assert_eq!(machine.run(&["whoami"]).code, 5);
    assert_eq!(machine.run(&["logout"]).code, 0);
}

#[test]
fn with_an_agent_no_key_touches_the_disk() {
    let (fake, machine) = (Fake::start(), Machine::new().with_agent());
    machine.set_up(&fake);
    let login = machine.browse(&fake, &["login", "deploy@web-1"]);
    assert!(login.code == 0 && login.err.contains("in the ssh-agent"), "{}", login.err);
    let listed = || {
        let output =
            Command::new("ssh-add").arg("-L").env("SSH_AUTH_SOCK", machine.socket()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let agent = listed();
    assert_eq!(
        agent.lines().filter(|l| l.starts_with("ssh-ed25519-cert-v01@openssh.com ")).count(),
        1,
        "{agent}"
    );
    // Only the certificate: neither its plain key nor the session key.
    assert!(!agent.lines().any(|l| l.starts_with("ssh-ed25519 ")), "{agent}");
    assert_eq!(machine.held().len(), 2);
    assert!(!machine.held().iter().any(|f| fs::read_to_string(f).unwrap().contains("PRIVATE KEY")));

    let ssh = machine.run(&["ssh", "deploy@web-1"]);
    assert!(
        ssh.code == 7 && ssh.out.contains("-cert.pub\"\n") && !ssh.out.contains("CertificateFile"),
        "{}",
        ssh.out
    );
    // What is asked for again replaces what was there.
    assert_eq!(machine.run(&["login", "deploy@web-1"]).code, 0);
    assert_eq!((listed().lines().count(), machine.held().len()), (1, 2));
    // An agent that lost it is not counted on.
    Command::new("ssh-add").arg("-D").env("SSH_AUTH_SOCK", machine.socket()).output().unwrap();
    let before = fake.count("POST /v1/requests");
    assert_eq!(machine.run(&["ssh", "deploy@web-1"]).code, 7);
    assert_eq!(fake.count("POST /v1/requests"), before + 1);

    assert_eq!(machine.run(&["logout"]).code, 0);
    assert!(!listed().contains("cert"), "{}", listed());
    assert_eq!(machine.held(), Vec::<PathBuf>::new());
}

#[test]
fn a_key_in_a_file_is_gone_after_its_end() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    fake.set(|s| s.change = |spec| spec.seconds = 3);
    assert_eq!(machine.browse(&fake, &["login", "deploy@web-1"]).code, 0);
    wait_for("the key to be removed", || machine.held().is_empty());
    // Too short for ssh: it asks for another rather than start with what ends at once.
    assert_eq!(machine.run(&["ssh", "deploy@web-1"]).code, 7);
    assert_eq!(machine.run(&["ssh", "deploy@web-1"]).code, 7);
    assert_eq!(fake.count("POST /v1/requests"), 2);
}

#[test]
fn one_certificate_for_several_hosts_and_for_a_group_of_them() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    let twice = machine.run(&["login", "deploy@web-1", "deploy@web-1"]);
    assert!(twice.code == 2 && twice.err.contains("deploy@web-1 is there twice"), "{}", twice.err);
    let login = machine.browse(&fake, &["login", "deploy@group/web", "deploy@db-1", "root@db-1"]);
    assert_eq!(login.code, 0, "{}", login.err);
    for said in [
        "shell on deploy@group/web deploy@db-1 root@db-1 until",
        "Good for 3 hosts: deploy@web-1 deploy@web-2 deploy@db-1 and 1 more.",
        "Connect with: jit-ssh ssh deploy@web-1",
    ] {
        assert!(login.err.contains(said), "{said}: {}", login.err);
    }
    let status = machine.json(&["status", "--json"]);
    let held = &status["certificates"][0];
    assert_eq!(held["accounts"], serde_json::json!(["deploy@group/web", "deploy@db-1", "root@db-1"]));
    assert_eq!(held["members"], serde_json::json!({ "deploy@group/web": ["web-1", "web-2"] }));
    assert_eq!(held["addresses"]["web-2"], "127.0.0.1:2222");
    assert!(machine.run(&["status"]).out.contains("deploy@group/web deploy@db-1 root@db-1"));
    assert!(machine.run(&["inspect"]).out.contains("a shell as deploy on any host of group web"));

    // Each of these hosts is reached with it, at its own address, and no other account is.
    for account in ["deploy@web-1", "deploy@web-2", "deploy@db-1", "root@db-1"] {
        let ssh = machine.run(&["ssh", account]);
        assert_eq!(ssh.code, 7, "{account}: {}", ssh.err);
        let host = account.split('@').nth(1).unwrap();
        assert!(ssh.out.contains(&format!("HostKeyAlias={host}")), "{account}: {}", ssh.out);
    }
    assert_eq!(fake.count("POST /v1/requests"), 0);
    for (args, asked) in [
        (&["ssh", "root@web-1"][..], 1),
        (&["ssh", "deploy@web-3"], 2),
        (&["ssh", "deploy@web-1", "--mode", "sftp"], 3),
    ] {
        machine.run(args);
        assert_eq!(fake.count("POST /v1/requests"), asked, "{args:?}");
    }
    let group = machine.run(&["ssh", "deploy@group/web"]);
    assert!(group.code == 2 && group.err.contains("one host"), "{}", group.err);
}

#[test]
fn what_a_lying_ca_sends_is_thrown_away() {
    type Change = fn(&mut fake::Spec);
    let table: &[(Change, &str)] = &[
        (|s| s.signer = key(9), "does not list"),
        (|s| s.signer = key(3), "does not list"),
        (|s| s.subject = key(9).public_key().to_openssh().unwrap().parse().unwrap(), "another key"),
        (|s| s.principals = vec!["shell:root@web-1".into()], "other accounts"),
        (|s| s.principals = vec!["shell+agent:deploy@web-1".into()], "other accounts"),
        (|s| s.principals = vec!["deploy".into()], "other accounts"),
        (|s| s.force = Some("id".into()), "another command"),
        (|s| s.seconds = 7200, "longer than asked"),
        (|s| s.told_serial = 99, "its answer describes"),
    ];
    let (fake, machine) = (Fake::start(), Machine::new().with_agent());
    machine.set_up(&fake);
    assert_eq!(machine.browse(&fake, &["login"]).code, 0);
    for (change, why) in table {
        fake.set(|s| s.change = *change);
        let ended = machine.run(&["login", "deploy@web-1", "--for", "30m"]);
        assert!(ended.code == 1 && ended.err.contains(why), "{why}: {} {}", ended.code, ended.err);
        assert_eq!(machine.held(), Vec::<PathBuf>::new());
    }
}

#[test]
fn refusals_and_their_exit_codes() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    // Refused in the round trip that opened the session: the session stays.
    let no = |code, text: &str| Problem::new(code, text);
    fake.set(|s| s.refuse = vec![no(Code::NoAccess, "You have no access to deploy@web-1.")]);
    let ended = machine.browse(&fake, &["login", "deploy@web-1"]);
    assert!(ended.code == 3 && ended.err.contains("no access to deploy@web-1 (no_access)"), "{}", ended.err);
    assert_eq!(machine.run(&["whoami"]).code, 0);
    for (code, exit) in [
        (Code::ApprovalRequired, 3),
        (Code::Forbidden, 3),
        (Code::DurationTooLong, 1),
        (Code::StoreReadOnly, 6),
    ] {
        fake.set(|s| s.refuse = vec![no(code, "No\u{1b}[2J.")]);
        let ended = machine.run(&["login", "deploy@web-1"]);
        assert_eq!(ended.code, exit, "{}", ended.err);
        assert!(ended.err.contains(&format!("error: No\\u{{1b}}[2J ({code})")), "{}", ended.err);
        assert!(!ended.err.contains('\u{1b}') && ended.out.is_empty());
    }
    fake.set(|s| {
        s.refuse = vec![no(Code::SignatureStale, "Stale.")];
        s.date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
    });
    let ended = machine.run(&["login", "deploy@web-1"]);
    assert!(ended.code == 1 && ended.err.contains("ahead of the CA's"), "{}", ended.err);
}

#[test]
fn a_session_that_the_ca_forgot_is_replaced_once() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    assert_eq!(machine.browse(&fake, &["login"]).code, 0);
    let gone = || Problem::new(Code::SessionEnded, "The session was ended: log in again.");
    fake.set(|s| s.refuse = vec![gone()]);
    let ended = machine.browse(&fake, &["login", "deploy@web-1"]);
    assert!(ended.code == 0 && ended.err.contains("logging in anew"), "{}", ended.err);
    fake.set(|s| s.refuse = vec![gone(), gone()]);
    assert_eq!(machine.browse(&fake, &["login", "deploy@web-1", "--mode", "forward"]).code, 5);
}

#[test]
fn a_token_with_another_nonce_is_not_sent_on() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    fake.set(|s| s.change_nonce = |_| "other".into());
    let ended = machine.browse(&fake, &["login"]);
    assert!(ended.code == 1 && ended.err.contains("nonce of another login"), "{}", ended.err);
    assert_eq!(fake.count("POST /v1/sessions"), 0);
}

#[test]
fn another_trust_key_is_refused_everywhere() {
    let (fake, machine) = (Fake::start(), Machine::new());
    let told = machine.run(&["setup", &fake.url, "--trust", "SHA256:other"]);
    assert!(told.code == 1 && told.err.contains("nothing was pinned"), "{}", told.err);
    let unseen = machine.run(&["setup", &fake.url]);
    assert!(unseen.code == 2 && unseen.err.contains(&fake.fingerprint()), "{}", unseen.err);
    machine.set_up(&fake);
    fake.set(|s| s.issued -= 1);
    let older = machine.run(&["login", "--no-browser"]);
    assert!(older.code == 1 && older.err.contains("older"), "{}", older.err);
    fake.set(|s| s.trust = key(99));
    for args in [
        &["login"][..],
        &["setup", &fake.url, "--yes"],
        &["setup", &fake.url, "--trust", &fake.fingerprint()],
    ] {
        let ended = machine.run(args);
        assert!(ended.code == 1 && ended.err.contains("--replace"), "{args:?}: {}", ended.err);
    }
    assert_eq!(machine.run(&["setup", &fake.url, "--replace"]).code, 2);
    assert_eq!(machine.run(&["setup", &fake.url, "--replace", "--trust", &fake.fingerprint()]).code, 0);
}

#[test]
fn a_ca_that_is_not_there() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = machine.folder.path().join("config/ca.toml");
    let text = fs::read_to_string(&config).unwrap().replace(&fake.url, &format!("http://{unused}"));
    fs::write(&config, text).unwrap();
    for args in [&["login"][..], &["ssh", "deploy@web-1"], &["setup", &format!("http://{unused}")]] {
        let ended = machine.run(args);
        assert!(ended.code == 6 && ended.err.contains("cannot be reached"), "{args:?}: {}", ended.err);
    }
    assert_eq!(machine.run(&["setup", "http://ca.example.com"]).code, 2);
}

#[test]
fn runtime_folders_that_others_can_reach_are_refused() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    let runtime = machine.folder.path().join("runtime");
    fs::create_dir_all(&runtime).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o777)).unwrap();
    for args in [&["status"][..], &["login"], &["logout"]] {
        let ended = machine.run(args);
        assert!(ended.code == 1 && ended.err.contains("chmod 700"), "{args:?}: {}", ended.err);
    }
    assert_eq!(fake.count("POST /v1/sessions"), 0);
}

#[test]
fn the_rest_of_the_command_line() {
    let machine = Machine::new();
    for (args, code) in [
        (&[][..], 2),
        (&["fly"], 2),
        (&["login", "--reason", "x"], 2),
        (&["login", "Deploy@web"], 2),
        (&["inspect", "/nowhere"], 1),
        (&["status"], 0),
        (&["inspect"], 0),
        (&["completions", "bash"], 0),
        (&["--version"], 0),
    ] {
        assert_eq!(machine.run(args).code, code, "{args:?}");
    }
}
