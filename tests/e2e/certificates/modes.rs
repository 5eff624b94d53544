//! Every mode × every line: a certificate does on a host exactly what its mode says, the host's own line and the
//! certificate each hold on their own, and no other line lets it in.

use std::fs;

use jit_ssh_proto::{Mode, Modifier, Modifiers};
use jit_ssh_tests::certificates::Identity;

use super::{World, all_modes, brief};

/// What a certificate can do on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rights {
    runs: Runs,
    tty: bool,
    agent: bool,
    x11: bool,
    /// `-R`.
    listens: bool,
    /// `-W`, anywhere.
    tunnels: bool,
    /// Files by `sftp`.
    files: bool,
}

/// What becomes of the command that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    /// It runs.
    Asked,
    /// The certificate's own runs instead.
    Forced,
    /// Nothing does.
    Nothing,
}

/// DESIGN 4, as rights on a host.
fn says(mode: Mode, modifiers: Modifiers) -> Rights {
    let none = Rights {
        runs: Runs::Nothing,
        tty: false,
        agent: modifiers.contains(Modifier::Agent),
        x11: modifiers.contains(Modifier::X11),
        listens: modifiers.contains(Modifier::Forward),
        tunnels: modifiers.contains(Modifier::Forward),
        files: false,
    };
    match mode {
        // A shell includes what exec and sftp can do.
        Mode::Shell => Rights { runs: Runs::Asked, tty: true, files: true, ..none },
        Mode::Exec => Rights { runs: Runs::Forced, ..none },
        Mode::Sftp => Rights { files: true, ..none },
        Mode::Forward => Rights { listens: true, tunnels: true, ..none },
        // To its one target only, which has its own test.
        Mode::Jump => none,
    }
}

/// Tries everything and reads from the session, the client and sshd's log what there was.
fn rights_of(world: &World, identity: &Identity) -> Rights {
    let session = world.wish_for_everything(identity);
    assert!(session.accepted(), "{}", brief(&session));
    // The wishes did reach sshd, and it did start what it was going to.
    for wish in ["auth-agent-req", "x11-req", "tcpip-forward", "Starting session: "] {
        assert!(session.log.contains(wish), "{wish} was not asked: {}", brief(&session));
    }
    let terminal = world.wish_for_a_terminal(identity);
    assert!(terminal.accepted() && terminal.log.contains("pty-req"), "{}", brief(&terminal));
    let (probed, asked) = (session.out.contains("probe"), session.out.contains("asked"));
    let tunnel = world.tunnel(identity);
    assert!(tunnel.accepted(), "{}", brief(&tunnel));
    let copy = world.folder().join(format!("copy-{:08x}", rand::random::<u32>()));
    let from = world.folder().join("known_hosts");
    let files = world.sshd.sftp(identity, &format!("get {} {}\n", from.display(), copy.display())).unwrap();
    assert!(files.accepted(), "{}", brief(&files));
    let rights = Rights {
        runs: match (probed, asked) {
            (_, true) => Runs::Asked,
            (true, false) => Runs::Forced,
            (false, false) => Runs::Nothing,
        },
        tty: terminal.log.contains("Allocating pty."),
        agent: !session.log.contains("agent forwarding disabled"),
        x11: !session.err.contains("X11 forwarding request failed"),
        listens: session.err.contains("Allocated port"),
        tunnels: tunnel.out.contains("reached"),
        files: fs::read(&copy).ok() == fs::read(&from).ok(),
    };
    // Where a command ran, it saw the same.
    if probed {
        for (word, there) in [("has-agent", rights.agent), ("has-x11", rights.x11)] {
            assert_eq!(session.out.contains(word), there, "{word}: {}", brief(&session));
        }
    }
    let refused = terminal.log.contains("Allocating a pty not permitted");
    assert_eq!(refused, !rights.tty, "{}", brief(&terminal));
    // Where /dev/pts does not hand out terminals with the right group, an ordinary user's sshd cannot set it either.
    if !terminal.log.contains("chown(/dev/pts/") {
        assert_eq!(terminal.out.contains("has-tty"), rights.tty, "{}", brief(&terminal));
    }
    assert_eq!(session.err.contains("remote port forwarding failed"), !rights.listens, "{}", brief(&session));
    assert_eq!(tunnel.err.contains("administratively prohibited"), !rights.tunnels, "{}", brief(&tunnel));
    rights
}

fn each_says_what_it_does(place: &str, modes: &[Mode]) {
    let world = World::new("");
    for (mode, modifiers) in all_modes().into_iter().filter(|(mode, _)| modes.contains(mode)) {
        let identity = world.issue(mode, modifiers, place);
        let words: Vec<Modifier> = modifiers.iter().collect();
        assert_eq!(rights_of(&world, &identity), says(mode, modifiers), "{mode} {words:?} at {place}");
    }
}

#[test]
fn a_shell_does_exactly_what_it_says_by_host() {
    each_says_what_it_does("web-1", &[Mode::Shell]);
}

#[test]
fn a_shell_does_exactly_what_it_says_by_group() {
    each_says_what_it_does("group/web", &[Mode::Shell]);
}

#[test]
fn exec_does_exactly_what_it_says_by_host() {
    each_says_what_it_does("web-1", &[Mode::Exec]);
}

#[test]
fn exec_does_exactly_what_it_says_by_group() {
    each_says_what_it_does("group/web", &[Mode::Exec]);
}

#[test]
fn sftp_and_forward_do_exactly_what_they_say() {
    for place in ["web-1", "group/web"] {
        each_says_what_it_does(place, &[Mode::Sftp, Mode::Forward]);
    }
}

#[test]
fn a_jump_leads_to_its_target_only() {
    let world = World::new("");
    let identity = world.issue(Mode::Jump, Modifiers::NONE, "127.0.0.1");
    assert_eq!(rights_of(&world, &identity), says(Mode::Jump, Modifiers::NONE));
    // Port 22 of the target may be dead or alive here; sshd goes there, and nowhere else.
    let target = world.sshd.ssh(&identity, &["-W", "127.0.0.1:22"], "").unwrap();
    assert!(target.accepted() && !target.err.contains("administratively prohibited"), "{}", brief(&target));
    for elsewhere in ["127.0.0.1:23", "127.0.0.2:22", "localhost:22"] {
        let refused = world.sshd.ssh(&identity, &["-W", elsewhere], "").unwrap();
        assert!(refused.err.contains("administratively prohibited"), "{elsewhere}: {}", brief(&refused));
    }
    // The bastion itself is another place.
    for mode in [Mode::Shell, Mode::Sftp, Mode::Forward] {
        let refused = world.sshd.ssh(&world.issue(mode, Modifiers::NONE, "127.0.0.1"), &[], "true").unwrap();
        assert!(
            refused.log.contains("does not contain an authorized principal"),
            "{mode}: {}",
            brief(&refused)
        );
    }
}

#[test]
fn no_other_line_lets_a_certificate_in() {
    let world = World::new("");
    let all = fs::read_to_string(world.principals()).unwrap();
    for place in ["web-1", "group/web"] {
        for (mode, modifiers) in all_modes().into_iter().filter(|(mode, _)| *mode != Mode::Jump) {
            let asked = world.asked(mode, modifiers, place);
            let principal = asked.principals().remove(0);
            let others: Vec<&str> =
                all.lines().filter(|l| l.split(' ').next_back() != Some(principal.as_str())).collect();
            assert_eq!(others.len(), all.lines().count() - 1, "{principal} has one line");
            fs::write(world.principals(), others.join("\n") + "\n").unwrap();
            let identity = world.ca.issue(world.folder(), &asked).unwrap();
            let refused = world.sshd.ssh(&identity, &[], "true").unwrap();
            assert!(
                !refused.accepted() && refused.log.contains("does not contain an authorized principal"),
                "{principal}: {}",
                brief(&refused)
            );
        }
    }
}

/// The host's half: a certificate that allows everything gets what its line allows.
#[test]
fn a_line_holds_whatever_the_certificate_permits() {
    let world = World::new("");
    for mode in [Mode::Shell, Mode::Exec, Mode::Sftp, Mode::Forward] {
        let principal = format!("{mode}:{}", world.account("web-1"));
        // ssh-keygen permits everything by default, and forces nothing.
        let identity = world.keygen(&["-n", &principal]);
        // The exact command of exec is the certificate's to say: one without is what our CA's lints make impossible.
        let lax = match mode {
            Mode::Exec => Rights { runs: Runs::Asked, files: true, ..says(mode, Modifiers::NONE) },
            Mode::Shell | Mode::Sftp | Mode::Forward | Mode::Jump => says(mode, Modifiers::NONE),
        };
        assert_eq!(rights_of(&world, &identity), lax, "{mode}");
    }
}

/// The certificate's half: on a host whose lines restrict nothing, it does what it says.
#[test]
fn a_certificate_holds_whatever_the_line_permits() {
    let world = World::new("");
    let all = fs::read_to_string(world.principals()).unwrap();
    let bare: String =
        all.lines().filter_map(|l| l.split(' ').next_back()).map(|p| format!("{p}\n")).collect();
    fs::write(world.principals(), bare).unwrap();
    let some = Modifiers::NONE.with(Modifier::Agent);
    for (mode, modifiers) in [
        (Mode::Shell, Modifiers::NONE),
        (Mode::Shell, some),
        (Mode::Exec, Modifiers::NONE),
        (Mode::Exec, some),
        (Mode::Sftp, Modifiers::NONE),
        (Mode::Forward, Modifiers::NONE),
    ] {
        let identity = world.issue(mode, modifiers, "web-1");
        assert_eq!(rights_of(&world, &identity), says(mode, modifiers), "{mode}");
    }
}

#[test]
fn sockets_are_not_forwarded() {
    let world = World::new("");
    let identity = world.issue(Mode::Forward, Modifiers::NONE, "web-1");
    let socket = format!("{}/socket:127.0.0.1:{}", world.folder().display(), world.sshd.reachable());
    let refused =
        world.sshd.ssh(&identity, &["-N", "-o", "ExitOnForwardFailure=yes", "-R", &socket], "").unwrap();
    assert!(
        refused.accepted() && refused.err.contains("remote port forwarding failed"),
        "{}",
        brief(&refused)
    );
    assert!(!world.folder().join("socket").exists());
}
