//! Certificates on a real sshd: what each does, and mostly what none does. The host's files are those that
//! `jit-ssh-host files` writes, the certificates those of the CA's own profile; what our CA would never make comes
//! from `ssh-keygen` or a bent record. Every refusal is checked against the line that sshd logged.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod modes;
mod refusals;
mod revocation;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jit_ssh_host::files::{Wanted, install};
use jit_ssh_proto::{Mode, Modifiers};
use jit_ssh_tests::certificates::{Asked, Identity, TestAuthority};
use jit_ssh_tests::sshd::{Attempt, Sshd, SshdFolder};

/// A host that trusts one CA.
struct World {
    ca: TestAuthority,
    sshd: Sshd,
}

impl World {
    /// A host called web-1 in the group web, and a bastion for 127.0.0.1, with these lines before its drop-in.
    fn new(lines: &str) -> Self {
        let place = SshdFolder::new().unwrap();
        let ca = TestAuthority::new(place.path(), "ca").unwrap();
        let etc = place.path().join("etc");
        fs::create_dir(&etc).unwrap();
        fs::set_permissions(&etc, Permissions::from_mode(0o755)).unwrap();
        let wanted = Wanted {
            folder: etc.clone(),
            name: "web-1".parse().unwrap(),
            groups: vec!["web".parse().unwrap()],
            logins: vec![place.login().parse().unwrap()],
            fronts: vec!["127.0.0.1".parse().unwrap()],
            authorities: vec![ca.key().clone()],
            prune: false,
        };
        install(&wanted).unwrap();
        let include = format!("{lines}\nInclude {}/sshd_config.d/*.conf", etc.display());
        Self { ca, sshd: place.start(&include).unwrap() }
    }

    fn login(&self) -> &str {
        self.sshd.place().login()
    }

    fn folder(&self) -> &Path {
        self.sshd.place().path()
    }

    /// `LOGIN@PLACE` for the usual login.
    fn account(&self, place: &str) -> String {
        format!("{}@{place}", self.login())
    }

    /// The usual login's principals file.
    fn principals(&self) -> PathBuf {
        self.folder().join("etc/jit-ssh/principals").join(self.login())
    }

    /// What a mode's certificate for a place is asked with; `exec` runs the probe.
    fn asked(&self, mode: Mode, modifiers: Modifiers, place: &str) -> Asked {
        let mut asked = Asked::new(mode, modifiers, &[&self.account(place)]);
        asked.command = (mode == Mode::Exec).then(|| PROBE.parse().unwrap());
        asked
    }

    fn issue(&self, mode: Mode, modifiers: Modifiers, place: &str) -> Identity {
        self.ca.issue(self.folder(), &self.asked(mode, modifiers, place)).unwrap()
    }

    /// A plain shell for this host.
    fn shell(&self) -> Identity {
        self.issue(Mode::Shell, Modifiers::NONE, "web-1")
    }

    fn keygen(&self, arguments: &[&str]) -> Identity {
        self.ca.keygen(self.folder(), arguments).unwrap()
    }

    /// Runs the probe in a terminal, or goes away without one.
    fn wish_for_a_terminal(&self, identity: &Identity) -> Attempt {
        self.sshd.ssh(identity, &["-tt"], PROBE).unwrap()
    }

    /// Runs the probe with every other wish that a client can have.
    fn wish_for_everything(&self, identity: &Identity) -> Attempt {
        let greedy = self.sshd.greedy();
        let arguments: Vec<&str> = greedy.iter().map(String::as_str).collect();
        self.sshd.ssh(identity, &arguments, &format!("{PROBE}; echo asked")).unwrap()
    }

    /// `ssh -W` to somebody who says `reached`.
    fn tunnel(&self, identity: &Identity) -> Attempt {
        let target = format!("127.0.0.1:{}", self.sshd.reachable());
        self.sshd.ssh(identity, &["-W", &target], "").unwrap()
    }
}

/// Says what a session has. Each word is cut in two, so that a command line that is only echoed never looks like it.
const PROBE: &str = "echo pro''be; test -t 0 && echo has-''tty; test -S \"$SSH_AUTH_SOCK\" && echo has-''agent; \
                     test -n \"$DISPLAY\" && echo has-''x11; true";

/// Every mode with every set of modifiers that it takes.
fn all_modes() -> Vec<(Mode, Modifiers)> {
    let sets = |mode: Mode| Modifiers::all_sets().filter(move |set| set.is_empty() || mode.takes_modifiers());
    Mode::ALL.into_iter().flat_map(|mode| sets(mode).map(move |set| (mode, set))).collect()
}

/// The log without sshd's own debugging, for messages of failed assertions.
fn brief(attempt: &Attempt) -> String {
    let lines: Vec<&str> = attempt.log.lines().filter(|l| !l.starts_with("debug")).collect();
    format!("out: {}\nerr: {}\nlog: {}", attempt.out, attempt.err, lines.join("\n"))
}
