//! The walk itself: one function a scene, in the order in which a newcomer meets them. A claim that does not hold
//! ends the walk with an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::certificate::{self, Certificate};
use super::claims::{EXPIRED, NO_PRINCIPAL, UNKNOWN_KEY, let_in, refused};
use super::dev_ca::DevCa;
use super::narrator::Narrator;
use super::person::{Person, forget_surroundings, keep};
use super::server::{Plan, Server};
use super::stage::{Stage, until};

/// How long the certificate lives that is seen to expire, and how long the walk waits for that.
const SHORT: &str = "10s";
const EXPIRES_WITHIN: Duration = Duration::from_secs(90);

/// Everything that stands while the walk goes on.
pub(crate) struct Walk<'a> {
    stage: &'a Stage,
    narrator: Narrator,
    binaries: &'a Path,
    ca: DevCa,
    web: Server,
    db: Server,
    alice: Person,
    login: String,
    other_login: &'static str,
    ssh_config: PathBuf,
}

/// Walks from nothing to a shell and to every refusal on the way.
pub(crate) fn walk<'a>(stage: &'a Stage, binaries: &'a Path) -> Result<Walk<'a>> {
    let mut walk = Walk::set_up(stage, binaries)?;
    walk.nobody_without_a_certificate()?;
    let shell = walk.login()?;
    walk.what_it_says(&shell)?;
    walk.a_command(&shell)?;
    walk.another_host(&shell)?;
    walk.another_login(&shell)?;
    walk.another_mode()?;
    walk.one_command_then_expiry()?;
    walk.denied_by_policy()?;
    walk.advised()?;
    walk.the_log(&shell)?;
    let claims = walk.narrator.claims();
    walk.narrator.say(&format!("\nThe walk is over: {claims} claims, all checked, all held."));
    Ok(walk)
}

impl<'a> Walk<'a> {
    fn set_up(stage: &'a Stage, binaries: &'a Path) -> Result<Self> {
        let mut narrator = Narrator::new(stage.folder());
        let login = current_login(stage)?;
        // Not root and not nobody: an sshd without privileges takes these two for locked (systemd's name service
        // answers for them), which is a refusal for another reason.
        let other_login = if login == "daemon" { "bin" } else { "daemon" };
        narrator.say("The commands below are the real ones. To type them yourself:");
        narrator.say(&format!("   export D={} PATH={}:$PATH", stage.folder().display(), binaries.display()));

        narrator.scene("A throw-away CA, with a development identity provider");
        let (web, db) = (Plan::new(stage, "web-1")?, Plan::new(stage, "db-1")?);
        let logins = [login.as_str(), other_login];
        let ca = DevCa::start(stage, &narrator, &binaries.join("jit-ssh-ca"), &[&web, &db], &logins)?;

        narrator.scene("Two servers, stock OpenSSH, that trust only this CA");
        let bundle = stage.folder().join("bundle.json");
        ca.save_bundle(&narrator, &bundle)?;
        for plan in [&web, &db] {
            let mut files = Command::new(binaries.join("jit-ssh-host"));
            files.args(["files", "--name", plan.name, "--group", "dev"]);
            files.args(logins.iter().flat_map(|login| ["--login", login]));
            files.arg("--bundle").arg(&bundle).args(["--trust", &ca.trust]).arg("--dir").arg(&plan.folder);
            narrator.command(&files);
            let written = stage.run(&mut files)?;
            ensure!(written.code() == Some(0), "{}", written.said());
        }
        let (web, db) = (web.start(stage)?, db.start(stage)?);
        for server in [&web, &db] {
            let Plan { name, port, .. } = server.plan;
            narrator
                .output(&format!("{name} listens on 127.0.0.1:{port}; its log is {}", server.log.display()));
        }
        let ssh_config = write_ssh_config(stage, &[&web, &db])?;
        let alice = Person::new(stage, &binaries.join("jit-ssh"), "alice")?;
        Ok(Self { stage, narrator, binaries, ca, web, db, alice, login, other_login, ssh_config })
    }

    /// Plain ssh with one key, and a certificate if there is one.
    fn ssh(&self, key: &Path, certificate: Option<&Path>, login: &str, server: &Server) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(&self.ssh_config).arg("-i").arg(key);
        if let Some(certificate) = certificate {
            command.arg("-o").arg(format!("CertificateFile={}", certificate.display()));
        }
        command.arg(format!("{login}@{}", server.plan.name));
        forget_surroundings(&mut command);
        command
    }

    fn ssh_with(&self, certificate: &Certificate, login: &str, server: &Server) -> Command {
        self.ssh(&certificate.key, Some(&certificate.file), login, server)
    }

    fn nobody_without_a_certificate(&mut self) -> Result<()> {
        self.narrator.scene("Nobody gets in without a certificate");
        let key = self.stage.private("plain")?.join("id_ed25519");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        let made = self.stage.run(&mut keygen)?;
        ensure!(made.code() == Some(0), "{}", made.said());
        let mut command = self.ssh(&key, None, &self.login, &self.web);
        refused(self.stage, &mut self.narrator, &self.web, UNKNOWN_KEY, command.arg("id -un"))?;
        self.narrator.held("a key alone is refused");
        Ok(())
    }

    /// The principal that a certificate for this person's login on `web-1` has.
    fn principal(&self, mode: &str) -> String {
        format!("{mode}:{}@{}", self.login, self.web.plan.name)
    }

    fn login(&mut self) -> Result<Certificate> {
        self.narrator.scene("alice sets up her client, which pins the CA's trust key, and logs in");
        self.narrator.typed(&self.alice.exports());
        let mut setup = self.alice.jit_ssh(["setup", &self.ca.url, "--trust", &self.ca.trust]);
        self.narrator.command(&setup);
        let done = self.stage.run(&mut setup)?;
        self.narrator.output(&done.out);
        self.narrator.output(&done.err);
        ensure!(done.code() == Some(0), "{}", done.said());
        self.certificate("shell", &["--for", "10m", "--reason", "OPS-7 disk full"])
    }

    /// `jit-ssh login LOGIN@web-1 …` and the certificate that it brought.
    fn certificate(&mut self, mode: &str, arguments: &[&str]) -> Result<Certificate> {
        let account = format!("{}@{}", self.login, self.web.plan.name);
        let arguments: Vec<_> = [account.as_str()].iter().chain(arguments).copied().collect();
        let done = self.alice.login(self.stage, &self.narrator, &arguments)?;
        ensure!(done.code() == Some(0), "{}", done.said());
        let certificate = self.alice.certificate(self.stage, &self.principal(mode))?;
        self.narrator.held(&format!("she holds a certificate: {}", certificate.file.display()));
        Ok(certificate)
    }

    fn what_it_says(&mut self, certificate: &Certificate) -> Result<()> {
        self.narrator.scene("What the certificate says: one mode, one login, one host, ten minutes");
        self.narrator.command(&certificate::show(&certificate.file));
        let shown = &certificate.shown;
        self.narrator.output(&shown.text);
        ensure!(shown.kind.ends_with("user certificate"), "not a user certificate: {}", shown.kind);
        ensure!(!shown.valid.contains("forever"), "valid forever: {}", shown.valid);
        ensure!(shown.principals == [self.principal("shell")], "principals: {:?}", shown.principals);
        ensure!(shown.critical.is_empty(), "critical options: {:?}", shown.critical);
        // Our own extension is shown by name and hex; every other is a right.
        let rights: Vec<_> =
            shown.extensions.iter().filter(|name| !name.starts_with("grant@jit-ssh")).collect();
        ensure!(rights == ["permit-pty"], "rights: {rights:?}");
        self.narrator.held("one principal, one right (a terminal), nothing by default");
        Ok(())
    }

    fn a_command(&mut self, certificate: &Certificate) -> Result<()> {
        self.narrator.scene("ssh runs a command with it");
        let account = format!("{}@{}", self.login, self.web.plan.name);
        let mut command = self.alice.jit_ssh(["ssh", account.as_str(), "--", "-F"]);
        command.arg(&self.ssh_config).arg("id -un");
        let ended = let_in(self.stage, &mut self.narrator, &self.web, certificate, &mut command)?;
        ensure!(ended.out.trim() == self.login, "`id -un` said {:?}", ended.out);
        self.narrator.held(&format!("{} ran it and logged whose certificate it was", self.web.plan.name));
        Ok(())
    }

    fn another_host(&mut self, certificate: &Certificate) -> Result<()> {
        self.narrator.scene("The same certificate on another host that trusts the same CA");
        let mut command = self.ssh_with(certificate, &self.login, &self.db);
        refused(self.stage, &mut self.narrator, &self.db, NO_PRINCIPAL, command.arg("id -un"))?;
        self.narrator.held("refused: it names web-1, and db-1 answers to its own name only");
        Ok(())
    }

    fn another_login(&mut self, certificate: &Certificate) -> Result<()> {
        self.narrator
            .scene(&format!("The same certificate for another login, {}, on web-1", self.other_login));
        let file = self.web.plan.folder.join("jit-ssh").join("principals").join(self.other_login);
        let answers =
            fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let own = format!("shell:{}@{}", self.other_login, self.web.plan.name);
        ensure!(
            answers.contains(&own),
            "{} does not answer to {own}: this would prove nothing",
            file.display()
        );
        let mut command = self.ssh_with(certificate, self.other_login, &self.web);
        refused(self.stage, &mut self.narrator, &self.web, NO_PRINCIPAL, command.arg("id -un"))?;
        self.narrator.held(&format!("refused: {own} would be let in, but this certificate does not say so"));
        Ok(())
    }

    fn another_mode(&mut self) -> Result<()> {
        self.narrator.scene("Another mode: an sftp certificate copies files and is no shell");
        let reason = "OPS-7 fetch a log";
        let certificate =
            self.certificate("sftp", &["--mode", "sftp", "--for", "10m", "--reason", reason])?;
        let batch = self.stage.folder().join("batch");
        fs::write(&batch, "pwd\n")?;
        let mut command = Command::new("sftp");
        command.arg("-F").arg(&self.ssh_config).arg("-i").arg(&certificate.key);
        command.arg("-o").arg(format!("CertificateFile={}", certificate.file.display()));
        command.arg("-b").arg(&batch).arg(format!("{}@{}", self.login, self.web.plan.name));
        forget_surroundings(&mut command);
        let ended = let_in(self.stage, &mut self.narrator, &self.web, &certificate, &mut command)?;
        ensure!(ended.out.contains("Remote working directory:"), "sftp said {:?}", ended.out);
        self.narrator.held("sftp works with it");

        // sshd lets it in, for sftp only: the command is not run, whatever it is.
        let mark = self.web.mark()?;
        let mut command = self.ssh_with(&certificate, &self.login, &self.web);
        command.arg("echo this is a shell");
        self.narrator.command(&command);
        let ended = self.stage.run(&mut command)?;
        ensure!(!ended.out.contains("this is a shell"), "a command ran: {}", ended.said());
        let line = self.web.logged(mark, "Starting session:")?;
        ensure!(line.contains("forced-command") && line.contains("'internal-sftp'"), "sshd started {line}");
        self.narrator.output(&format!("[sshd of {}] {line}", self.web.plan.name));
        self.narrator.held("the command was not run: sshd gave it an sftp server to talk to");
        Ok(())
    }

    fn one_command_then_expiry(&mut self) -> Result<()> {
        self.narrator.scene(&format!("A certificate for one exact command, for {SHORT}"));
        let arguments = ["--mode", "exec", "--command", "id -un", "--for", SHORT, "--reason", "OPS-7 check"];
        let held = self.certificate("exec", &arguments)?;
        // The client removes what has expired, and never offers it; somebody else might.
        let certificate = keep(self.stage, &self.narrator, &held, "kept")?;
        let mut command = self.ssh_with(&certificate, &self.login, &self.web);
        command.arg("echo something else");
        let ended = let_in(self.stage, &mut self.narrator, &self.web, &certificate, &mut command)?;
        ensure!(ended.out.trim() == self.login, "not the certificate's command ran: {}", ended.said());
        self.narrator.held("asked for something else, sshd ran the certificate's own command");

        self.narrator.scene("The same certificate once its time is over");
        self.narrator.output(&format!("valid {}; waiting until sshd refuses it", certificate.shown.valid));
        self.wait_for_expiry(&certificate)?;
        let mut command = self.ssh_with(&certificate, &self.login, &self.web);
        refused(self.stage, &mut self.narrator, &self.web, EXPIRED, command.arg("id -un"))?;
        self.narrator.held("refused: expired");
        Ok(())
    }

    /// Asks sshd again and again, as the only clock that counts is its own.
    fn wait_for_expiry(&self, certificate: &Certificate) -> Result<()> {
        until("sshd refuses a certificate whose time is over", EXPIRES_WITHIN, || {
            let mut command = self.ssh_with(certificate, &self.login, &self.web);
            let ended = self.stage.run(command.arg("id -un"))?;
            if ended.code() != Some(0) {
                return Ok(Some(()));
            }
            thread::sleep(Duration::from_millis(500));
            Ok(None)
        })
    }

    fn denied_by_policy(&mut self) -> Result<()> {
        self.narrator.scene("dave, who is in no group, asks for the same");
        let dave = Person::new(self.stage, &self.binaries.join("jit-ssh"), "dave")?;
        self.narrator.typed(&dave.exports());
        let mut setup = dave.jit_ssh(["setup", &self.ca.url, "--trust", &self.ca.trust]);
        self.narrator.command(&setup);
        let done = self.stage.run(&mut setup)?;
        ensure!(done.code() == Some(0), "{}", done.said());
        let account = format!("{}@{}", self.login, self.web.plan.name);
        let ended =
            dave.login(self.stage, &self.narrator, &[&account, "--for", "10m", "--reason", "curious"])?;
        ensure!(ended.code() == Some(3), "exit code 3 means denied, but {}", ended.said());
        self.narrator.held("denied, with the reason and exit code 3");
        Ok(())
    }

    fn advised(&mut self) -> Result<()> {
        self.narrator.scene("bob, a developer, asks for too much and too tersely, and is told what would do");
        let bob = Person::new(self.stage, &self.binaries.join("jit-ssh"), "bob")?;
        self.narrator.typed(&bob.exports());
        let mut setup = bob.jit_ssh(["setup", &self.ca.url, "--trust", &self.ca.trust]);
        self.narrator.command(&setup);
        let done = self.stage.run(&mut setup)?;
        ensure!(done.code() == Some(0), "{}", done.said());
        let account = format!("{}@{}", self.login, self.web.plan.name);
        let ended = bob.login(self.stage, &self.narrator, &[&account, "--for", "1h"])?;
        ensure!(ended.code() == Some(3), "exit code 3 means denied, but {}", ended.said());
        self.narrator.held("denied, with what would change the answer");

        // As a program would: the way out is typed, and so is the command that goes it.
        let mut explain = bob.jit_ssh(["explain", &account, "--for", "1h", "--json"]);
        self.narrator.command(&explain);
        let explained = self.stage.run(&mut explain)?;
        ensure!(explained.code() == Some(3), "{}", explained.said());
        self.narrator.output(&explained.out);
        let command = advised(&explained.out)?;
        let command = command.replace('…', "OPS-7 disk full");
        self.narrator.typed(&command);
        let words = command.strip_prefix("jit-ssh ").context("the advice is not a command of jit-ssh")?;
        let mut follow = Command::new("sh");
        follow.args(["-c", &format!("exec \"$0\" {words}")]).arg(self.binaries.join("jit-ssh"));
        bob.dress(&mut follow);
        let followed = self.stage.run(&mut follow)?;
        self.narrator.output(&followed.err);
        ensure!(followed.code() == Some(0), "the advice does not hold: {}", followed.said());
        bob.certificate(self.stage, &self.principal("shell"))?;
        self.narrator.held("he did as he was told, and holds a certificate");

        let mut list = bob.jit_ssh(["ls"]);
        self.narrator.command(&list);
        let listed = self.stage.run(&mut list)?;
        self.narrator.output(&listed.out);
        ensure!(listed.out.contains(&account), "{} is not listed: {}", account, listed.said());
        self.narrator.held("and sees where else he may go, and what that takes");
        Ok(())
    }

    fn the_log(&mut self, certificate: &Certificate) -> Result<()> {
        self.narrator.scene("What the CA's log says");
        let mut command = Command::new(self.binaries.join("jit-ssh-ca"));
        command.args(["log", "show"]).arg(&self.ca.data);
        forget_surroundings(&mut command);
        self.narrator.command(&command);
        let ended = self.stage.run(&mut command)?;
        ensure!(ended.code() == Some(0), "{}", ended.said());
        self.narrator.output(&ended.out);
        let grant = certificate.shown.key_id.rsplit('/').next().unwrap_or_default();
        for (text, what) in [(grant, "the grant of the first certificate"), ("dave", "who was denied")] {
            ensure!(ended.out.contains(text), "the log does not name {what}: {text}");
        }
        self.narrator.held(&format!("{grant} is in sshd's log, in the certificate and in the CA's log"));
        self.ca.still_runs()
    }

    /// Says what can be tried, and waits until Ctrl-C or until the CA has ended.
    pub(crate) fn leave_running(self) -> Result<()> {
        let account = format!("{}@{}", self.login, self.web.plan.name);
        let ssh_config = self.ssh_config.display();
        self.narrator.say("\nEverything still runs, until Ctrl-C. In another terminal:\n");
        for line in [
            format!("export PATH={}:$PATH", self.binaries.display()),
            self.alice.exports(),
            format!("jit-ssh login {account} --for 10m --reason 'a look around'"),
            "jit-ssh status".to_owned(),
            format!("jit-ssh ssh {account} -- -F {ssh_config}"),
            format!("jit-ssh-ca log show {}", self.ca.data.display()),
            format!("tail -f {} {}", self.web.log.display(), self.db.log.display()),
        ] {
            self.narrator.say(&format!("   {line}"));
        }
        loop {
            self.ca.still_runs()?;
            thread::sleep(Duration::from_millis(500));
        }
    }
}

/// The command of the first way out in an explanation.
fn advised(json: &str) -> Result<String> {
    let explanation: serde_json::Value =
        serde_json::from_str(json).with_context(|| format!("not JSON: {json}"))?;
    let command = explanation.pointer("/advice/0/command").and_then(serde_json::Value::as_str);
    Ok(command.with_context(|| format!("no way out is told: {json}"))?.to_owned())
}

/// The login of whoever runs the demo; the only one that an sshd without privileges can let in.
fn current_login(stage: &Stage) -> Result<String> {
    let ended = stage.run(Command::new("id").arg("-un"))?;
    let login = ended.out.trim();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if login.is_empty() || !login.chars().all(fits) || login.starts_with(['.', '-']) {
        bail!("the login {login:?} is outside the alphabet of principals; run the demo as another user");
    }
    Ok(login.to_owned())
}

/// What `~/.ssh/config` and `known_hosts` would say about the two servers.
fn write_ssh_config(stage: &Stage, servers: &[&Server]) -> Result<PathBuf> {
    let known_hosts = stage.folder().join("known_hosts");
    let mut known = String::new();
    let mut config = String::new();
    for server in servers {
        let Plan { name, port, .. } = server.plan;
        let key = server.key_line.trim();
        known += &format!("{name} {key}\n[{name}]:{port} {key}\n[127.0.0.1]:{port} {key}\n");
        config += &format!("Host {name}\n    HostName 127.0.0.1\n    Port {port}\n    HostKeyAlias {name}\n");
    }
    config += &format!(
        "Host *\n    UserKnownHostsFile {}\n    GlobalKnownHostsFile /dev/null\n    StrictHostKeyChecking yes\n    \
         IdentitiesOnly yes\n    IdentityAgent none\n    PreferredAuthentications publickey\n    BatchMode yes\n    \
         LogLevel ERROR\n",
        known_hosts.display()
    );
    fs::write(&known_hosts, known)?;
    let file = stage.folder().join("ssh_config");
    fs::write(&file, config).with_context(|| format!("{} could not be written", file.display()))?;
    Ok(file)
}
