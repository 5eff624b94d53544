//! Where the documents' commands are run: a folder in place of `/`, a real sshd as the host web-1, a provider, and
//! programs in front of `PATH` that keep every command inside.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use jit_ssh_tests::process::{self, Output, Process, Stream, until};
use jit_ssh_tests::provider::NodeProvider;
use jit_ssh_tests::sshd::{Sshd, SshdFolder};
use jit_ssh_tests::{browser, client};

use super::lines::{self, Line};
use super::table::{How, PASSPHRASE, how};

/// The section of the README that is walked from a bare machine to a shell, and that gets other scenes ready.
pub(super) const WALK: (&str, &str) = ("README.md", "Put it into service");

/// The URL of a PostgreSQL database in the documents.
const DATABASE: &str = "postgres://jit_ssh_ca@db.example.com/jit_ssh_ca";

/// One machine that is all of them: the CA's, the host's and a person's.
pub(super) struct Scene {
    sshd: Sshd,
    /// Where the CA will listen.
    port: u16,
    /// Of the certificate at hand, once there was a login.
    grant: Option<String>,
    serving: Option<Process>,
    provider: Option<NodeProvider>,
    /// What stands in for [`DATABASE`].
    database: Option<String>,
}

impl Scene {
    /// A machine with the programs installed and nothing done.
    pub(super) fn new() -> Self {
        let place = SshdFolder::new().unwrap();
        let root = place.path().to_path_buf();
        for (folder, mode) in [
            ("bin", 0o755),
            ("etc", 0o755),
            ("etc/ssh", 0o755),
            ("etc/ssh/sshd_config.d", 0o755),
            ("run", 0o755),
            ("run/secrets", 0o700),
            ("var", 0o755),
            ("var/lib", 0o755),
            ("var/backups", 0o700),
            ("home", 0o700),
        ] {
            fs::create_dir(root.join(folder)).unwrap();
            fs::set_permissions(root.join(folder), Permissions::from_mode(mode)).unwrap();
        }
        let passphrase = place.write("run/secrets/jit-ssh", PASSPHRASE).unwrap();
        fs::set_permissions(passphrase, Permissions::from_mode(0o600)).unwrap();
        let include = format!("Include {}/etc/ssh/sshd_config.d/*.conf\n", root.display());
        let main = place.write("etc/ssh/sshd_config", include).unwrap();
        let sshd = place.start(&format!("Include {}\nPidFile {}/sshd.pid", main.display(), root.display()));
        let scene = Self {
            sshd: sshd.unwrap(),
            port: TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(),
            grant: None,
            serving: None,
            provider: None,
            database: None,
        };
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        symlink(tree.join("docs/policies"), scene.root().join("examples")).unwrap();
        scene.programs();
        scene.ssh_config();
        scene
    }

    /// A machine on which the README's walk has been gone up to a command that contains this.
    pub(super) fn after(last: &str) -> Self {
        let mut scene = Self::new();
        let walk = walk();
        let end = walk.iter().position(|line| line.text.contains(last)).unwrap();
        for line in &walk[..=end] {
            scene.run(line);
        }
        scene
    }

    /// The programs that are found first.
    fn programs(&self) {
        for name in ["jit-ssh-ca", "jit-ssh"] {
            symlink(process::program(name).unwrap(), self.root().join("bin").join(name)).unwrap();
        }
        let (root, host) = (self.root().display(), process::program("jit-ssh-host").unwrap());
        let next = "PATH=${PATH#*:} exec";
        for (name, script) in [
            ("jit-ssh-host", format!("exec '{}' \"$@\" --dir {root}/etc/ssh", host.display())),
            ("ssh", format!("{next} ssh -F {root}/ssh_config \"$@\"")),
            ("sshd", format!("exec /usr/sbin/sshd -f {root}/sshd_config \"$@\"")),
            ("systemctl", format!("[ \"$*\" = 'reload ssh' ] && kill -HUP \"$(cat {root}/sshd.pid)\"")),
            // Nobody looks at a screen: the test opens the address that is printed.
            ("xdg-open", "exit 0".to_owned()),
        ] {
            let file = self.sshd.place().write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
            fs::set_permissions(file.unwrap(), Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// A person's own settings: the host's key is known under its name, and nobody is asked anything.
    fn ssh_config(&self) {
        let known = fs::read_to_string(self.root().join("known_hosts")).unwrap();
        let key = known.split_once(' ').unwrap().1;
        let names = self.sshd.place().write("names", format!("web-1 {key}")).unwrap();
        let text = format!(
            "UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\nBatchMode yes\n\
             IdentityFile none\n",
            names.display()
        );
        self.sshd.place().write("ssh_config", text).unwrap();
    }

    /// The folder in place of `/`.
    pub(super) fn root(&self) -> &Path {
        self.sshd.place().path()
    }

    /// What sshd has logged.
    pub(super) fn log(&self) -> String {
        self.sshd.log()
    }

    /// The login that stands in for `deploy`: the one that sshd can open for whoever runs this.
    pub(super) fn login(&self) -> &str {
        self.sshd.place().login()
    }

    fn runtime(&self) -> PathBuf {
        self.root().join("home/runtime")
    }

    /// How many certificates the person holds.
    pub(super) fn certificates(&self) -> usize {
        certificates(&self.runtime()).len()
    }

    /// Runs a line, which has to succeed.
    pub(super) fn run(&mut self, line: &Line) -> Output {
        let output = self.attempt(line);
        output.ok().unwrap_or_else(|e| panic!("{line}\n{e:#}"))
    }

    /// Runs a line and says how it ended.
    pub(super) fn attempt(&mut self, line: &Line) -> Output {
        let how = how(line).unwrap_or_else(|e| panic!("{e}"));
        let text = self.translated(&line.text);
        self.assert_inside(&text);
        match how {
            How::Run => {
                let reloads = text.contains("systemctl reload");
                let before = self.listened();
                let output = process::run(&mut self.shell(&text)).unwrap();
                if reloads && output.code == Some(0) {
                    until("sshd to listen again", || Ok((self.listened() > before).then_some(()))).unwrap();
                }
                output
            }
            How::Typed(answers) => {
                self.type_in(answers);
                let mut command = self.shell("script -qec \"$LINE\" /dev/null < typed");
                process::run(command.env("LINE", &text)).unwrap()
            }
            How::Shell(answers) => {
                self.type_in(answers);
                process::run(&mut self.shell(&format!("{{ {text}\n}} < typed"))).unwrap()
            }
            How::Browser => {
                // Nobody is at a screen here: the address is shown, and no program is looked for that would open it.
                let mut command = self.shell(&text);
                let process =
                    Process::start(command.env("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")).unwrap();
                let url = process.line(Stream::Err, "an address to open", client::address);
                let url = url.unwrap_or_else(|e| panic!("{line}\n{e:#}"));
                browser::log_in(&url, "alice").unwrap();
                let output = process.wait().unwrap();
                self.keep_certificate();
                output
            }
            How::Serve => {
                self.configure();
                self.serve(line, &text);
                Output { code: Some(0), out: String::new(), err: String::new() }
            }
            How::Elsewhere(reason) => panic!("{line}\nis not for a scene: {reason}"),
        }
    }

    /// The line for this machine: its folders, its CA, its login.
    fn translated(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(database) = &self.database {
            text = text.replace(DATABASE, database);
        }
        for folder in ["/var/lib/jit-ssh", "/var/backups", "/run/secrets/jit-ssh", "/etc/ssh"] {
            text = text.replace(folder, &format!("{}{folder}", self.root().display()));
        }
        text = text.replace(" docs/policies/", &format!(" {}/examples/", self.root().display()));
        text = text.replace("https://ca.example.com", &self.url());
        text = text.replace("127.0.0.1:8443", &format!("127.0.0.1:{}", self.port));
        // Who writes policies speaks of the starter's inventory, and logs in nowhere.
        if !text.contains("jit-ssh-ca policy") {
            text = text.replace("deploy@", &format!("{}@", self.login()));
        }
        text = text.replace("--login deploy", &format!("--login {}", self.login()));
        if text.contains("SHA256:") {
            text = with_token(&text, "SHA256:", &self.trust());
        }
        if let Some(grant) = &self.grant {
            text = with_token(&text, "grt_", grant);
        }
        text
    }

    /// No path outside this folder, whatever a document says: these commands may run as root.
    fn assert_inside(&self, text: &str) {
        let root = self.root().to_str().unwrap();
        for word in text.split([' ', '=', '"', '\'', '>', '<']).filter(|word| word.starts_with(['/', '~'])) {
            assert!(
                word.starts_with(root) && !word.contains(".."),
                "{word} in `{text}` is not in the scene: say in Scene::translated what stands in for it"
            );
        }
    }

    fn shell(&self, text: &str) -> Command {
        let mut command = process::command(Path::new("/bin/sh"));
        let home = self.root().join("home");
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}/bin:{path}", self.root().display())).env("SHELL", "/bin/sh");
        command.env("HOME", &home).env("JIT_SSH_CONFIG_DIR", home.join("config"));
        command.env("JIT_SSH_RUNTIME_DIR", self.runtime());
        // `serve` is told by the line itself or, where the document leaves that open, here.
        command.current_dir(&home).args(["-c", text]);
        command
    }

    /// Stops the CA in good order.
    pub(super) fn stop(&mut self) {
        let serving = self.serving.take().unwrap();
        // The shell that runs the line, and the CA.
        serving.terminate_all().unwrap();
        let output = serving.wait().unwrap();
        assert!(output.err.contains("\"stopped\""), "{output:?}");
    }

    /// Has this URL stand in for the one that documents write.
    pub(super) fn has_database(&mut self, url: &str) {
        self.database = Some(url.to_owned());
    }

    fn type_in(&self, answers: &[&str]) {
        self.sshd.place().write("home/typed", answers.join("\n") + "\n").unwrap();
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.root().join("var/lib/jit-ssh")
    }

    /// The fingerprint that `init` printed.
    fn trust(&self) -> String {
        let key = ssh_key::PublicKey::read_openssh_file(&self.data().join("keys/trust.pub")).unwrap();
        key.fingerprint(ssh_key::HashAlg::Sha256).to_string()
    }

    fn listened(&self) -> usize {
        self.log().matches("Server listening on").count()
    }

    /// What the README has people do by hand before `serve`: the address, the issuer, policy and inventory.
    fn configure(&mut self) {
        let provider = NodeProvider::start().unwrap();
        let file = self.data().join("ca.toml");
        let text = fs::read_to_string(&file).unwrap();
        let (before, block) = text.split_once("# [[issuer]]\n").unwrap();
        let block: Vec<&str> = block.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
        let block = replaced(&block.join("\n"), "https://login.example.com", provider.issuer());
        let block = replaced(&block, "\"platform-sre\"", "\"sre\"");
        // This provider lists groups only to those who ask for them.
        let scopes = "scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n[issuer.groups_map]";
        let block = replaced(&block, "[issuer.groups_map]", scopes);
        let before = before.replace("https://ca.example.com", &self.url());
        let before = before.replace("127.0.0.1:8443", &format!("127.0.0.1:{}", self.port));
        fs::write(file, format!("{before}[[issuer]]\n{block}\n")).unwrap();
        self.provider = Some(provider);

        let policy = "@id(\"sre\") permit (principal in Group::\"sre\", action == Action::\"shell\", resource in \
                      HostGroup::\"prod\") when { context.reason != \"\" };\n";
        fs::write(self.data().join("policies/10-starter.cedar"), policy).unwrap();
        let inventory = format!(
            "[[group]]\nname = \"prod\"\nlogins = [{:?}]\n[[group]]\nname = \"web\"\ngroups = [\"prod\"]\n\
             [[host]]\nname = \"web-1\"\ngroups = [\"web\"]\naddress = \"127.0.0.1:{}\"\n",
            self.login(),
            self.sshd.port()
        );
        fs::write(self.data().join("inventory/hosts.toml"), inventory).unwrap();
    }

    fn serve(&mut self, line: &Line, text: &str) {
        let mut command = self.shell(text);
        command.env("JIT_SSH_PASSPHRASE_FILE", self.root().join("run/secrets/jit-ssh"));
        let mut process = Process::start(&mut command).unwrap();
        let ready = format!("{}/readyz", self.url());
        let came_up = until("the CA to be ready", || {
            if let Some(status) = process.ended()? {
                anyhow::bail!("it ended with {status}");
            }
            Ok(ureq::get(&ready).call().is_ok().then_some(()))
        });
        came_up.unwrap_or_else(|e| panic!("{line}\n{e:#}\n{}", process.said()));
        self.serving = Some(process);
    }

    /// Copies the certificate at hand to `id-cert.pub`, which is what a document calls one, and notes its grant.
    fn keep_certificate(&mut self) {
        let found = certificates(&self.runtime());
        let [(text, certificate)] = &found[..] else { panic!("{} certificates instead of one", found.len()) };
        self.sshd.place().write("home/id-cert.pub", text).unwrap();
        self.grant = certificate.key_id().rsplit('/').next().map(str::to_owned);
    }
}

/// The README's walk.
pub(super) fn walk() -> Vec<Line> {
    let (document, section) = WALK;
    let walk: Vec<Line> = lines::of(document).into_iter().filter(|line| line.section == section).collect();
    assert!(!walk.is_empty(), "{document} has no commands under {section:?}");
    walk
}

/// The text with something in it replaced that has to be there.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in\n{text}");
    text.replace(from, to)
}

/// The text with every word that begins like this replaced, as far as it goes on.
fn with_token(text: &str, begins: &str, by: &str) -> String {
    let words = text.split(' ').map(|word| if word.starts_with(begins) { by } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// The certificates in the files of a folder and below.
fn certificates(folder: &Path) -> Vec<(String, ssh_key::Certificate)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(certificates(&path));
        } else if let Ok(text) = fs::read_to_string(&path)
            && let Ok(certificate) = ssh_key::Certificate::from_openssh(text.trim())
        {
            found.push((text, certificate));
        }
    }
    found
}
