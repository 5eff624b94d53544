//! Certificates that sshd refuses, each for the reason that it logs; rows as in the conformance table of
//! `docs/CERTIFICATES.md`, and for what our CA would never make, the tests of the core show that it does not.

use std::fs;
use std::process::Command;

use jit_ssh_proto::{Mode, Modifiers, Span};
use jit_ssh_tests::certificates::{Asked, Identity, TestAuthority, now};
use jit_ssh_tests::sshd::Agent;

use super::{World, brief};

const NO_PRINCIPAL: &str = "does not contain an authorized principal";

/// Offers the certificate and demands a refusal for this reason.
fn refused(world: &World, what: &str, identity: &Identity, reason: &str) {
    refused_as(world, what, world.login(), identity, reason);
}

fn refused_as(world: &World, what: &str, login: &str, identity: &Identity, reason: &str) {
    let attempt = world.sshd.ssh_as(login, identity, &[], "echo in").unwrap();
    assert!(!attempt.accepted() && attempt.out.is_empty(), "{what} got in: {}", brief(&attempt));
    assert_eq!(attempt.code, Some(255), "{what}: {}", brief(&attempt));
    assert!(attempt.log.contains(reason), "{what}: wanted {reason:?}: {}", brief(&attempt));
}

fn accepted(world: &World, what: &str, identity: &Identity, said: &str) {
    let attempt = world.sshd.ssh(identity, &[], "echo in").unwrap();
    assert!(attempt.accepted() && attempt.out.trim() == said, "{what}: {}", brief(&attempt));
}

/// OpenSSH's one parser, which client and server share, does not take it for a certificate: it is not even offered.
fn unreadable(world: &World, what: &str, identity: &Identity) {
    let attempt = world.sshd.ssh(identity, &[], "echo in").unwrap();
    assert!(!attempt.accepted() && !attempt.log.contains("ED25519-CERT"), "{what}: {}", brief(&attempt));
    let output = Command::new("ssh-keygen").arg("-L").arg("-f").arg(&identity.certificate).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(
        !output.status.success() && said.contains("is not a public key file") || said.contains("invalid"),
        "{what}: {said}"
    );
}

#[test]
fn principals_that_are_not_this_logins_on_this_host() {
    let world = World::new("");
    let login = world.login().to_owned();
    let shell = |place: &str| world.issue(Mode::Shell, Modifiers::NONE, place);
    // Row 3: the good one gets in, and sshd's log names grant and serial.
    let attempt = world.sshd.ssh(&shell("web-1"), &[], "echo in").unwrap();
    assert_eq!(attempt.out, "in\n", "{}", brief(&attempt));
    let line = attempt.log.lines().find(|l| l.starts_with("Accepted publickey")).unwrap();
    assert!(line.contains("ID corp/alice/grt_") && line.contains("(serial 1)"), "{line}");

    // Row 2 and the axes of location and login.
    for place in ["web-2", "group/db", "web", "group/web-1", "web-1.example.com", "web-11"] {
        refused(&world, place, &shell(place), NO_PRINCIPAL);
    }
    for account in ["other@web-1", "nobody@web-1", "deploy@group/web"] {
        let identity =
            world.ca.issue(world.folder(), &Asked::new(Mode::Shell, Modifiers::NONE, &[account])).unwrap();
        refused(&world, account, &identity, NO_PRINCIPAL);
    }
    // Row 4: another login, which has no file; then one, but not with this principal.
    // An ordinary user's sshd serves nobody else, so only root's gets as far as the file.
    let reason = if rustix::process::geteuid().is_root() { NO_PRINCIPAL } else { "User nobody not allowed" };
    refused_as(&world, "a login without a file", "nobody", &shell("web-1"), reason);
    let file = world.folder().join("etc/jit-ssh/principals/nobody");
    fs::write(&file, "restrict,pty shell:nobody@web-1\n").unwrap();
    refused_as(&world, "another login", "nobody", &shell("web-1"), reason);

    // Rows 5 to 8: what our CA's lints refuse to make, and the host refuses all the same.
    let principal = format!("shell:{login}@web-1");
    refused(&world, "no principal", &world.keygen(&[]), "principal");
    for (what, name) in [
        ("a wildcard", "*".to_owned()),
        ("a wildcard host", format!("shell:{login}@*")),
        ("a wildcard login", "shell:*@web-1".to_owned()),
        ("the plain login", login.clone()),
        ("capitals", principal.to_uppercase()),
        ("a capital mode", principal.replace("shell", "Shell")),
        ("a space after", format!("{principal} ")),
        ("a space before", format!(" {principal}")),
        ("a longer one", format!("{principal}x")),
        ("a shorter one", principal.trim_end_matches('1').to_owned()),
        ("the whole line", format!("restrict,pty {principal}")),
    ] {
        let asked = world.asked(Mode::Shell, Modifiers::NONE, "web-1");
        let bent = world.ca.issue_bent(world.folder(), &asked, |r| r.principals = vec![name]).unwrap();
        refused(&world, what, &bent, NO_PRINCIPAL);
    }
    // Row 23.
    let asked = world.asked(Mode::Shell, Modifiers::NONE, "web-1");
    let many =
        world.ca.issue_bent(world.folder(), &asked, |r| r.principals = vec![principal.clone(); 257]).unwrap();
    unreadable(&world, "257 principals", &many);
    let most =
        world.ca.issue_bent(world.folder(), &asked, |r| r.principals = vec![principal.clone(); 256]).unwrap();
    accepted(&world, "256 principals", &most, "in");
}

#[test]
fn the_first_line_that_matches_decides() {
    let world = World::new("");
    let principal = format!("shell:{}", world.account("web-1"));
    let shell = world.shell();
    // Row 9.
    fs::write(world.principals(), format!("from=\"192.0.2.1\" {principal}\n{principal}\n")).unwrap();
    refused(&world, "an earlier line's from=", &shell, "not from a permitted host");
    // What would make the alphabet's rule necessary: a comment cuts a principal short.
    fs::write(world.principals(), format!("restrict {principal}x\n# {principal}\n")).unwrap();
    refused(&world, "a comment", &shell, NO_PRINCIPAL);
    fs::remove_file(world.principals()).unwrap();
    refused(&world, "no file", &shell, NO_PRINCIPAL);
}

#[test]
fn windows() {
    let world = World::new("");
    let asked = world.asked(Mode::Shell, Modifiers::NONE, "web-1");
    // Row 12. A certificate lives a minute here: one of an hour ago is over, one of the next hour has not begun.
    let hour = Span::from_seconds(3600);
    for (what, now, reason) in [
        ("expired", now().minus(hour), "Certificate invalid: expired"),
        ("not yet valid", now().plus(hour), "Certificate invalid: not yet valid"),
    ] {
        let identity = world.ca.issue(world.folder(), &Asked { now, ..asked.clone() }).unwrap();
        refused(&world, what, &identity, reason);
    }
}

#[test]
fn options() {
    let world = World::new("");
    let shell = world.asked(Mode::Shell, Modifiers::NONE, "web-1");
    let principal = shell.principals().remove(0);
    // Row 13.
    for (address, gets_in) in [("127.0.0.1", true), ("127.0.0.2", false), ("::1", false)] {
        let asked = Asked { source_address: Some(address.parse().unwrap()), ..shell.clone() };
        let identity = world.ca.issue(world.folder(), &asked).unwrap();
        if gets_in {
            accepted(&world, address, &identity, "in");
        } else {
            refused(&world, address, &identity, "not from a permitted source address");
        }
    }
    // Row 14, and the bug that fails open: force-command among the extensions is ignored.
    let critical = world.keygen(&["-n", &principal, "-O", "critical:x@jit-ssh=1"]);
    refused(&world, "an unknown critical option", &critical, "ritical option \"x@jit-ssh\" is not supported");
    accepted(
        &world,
        "an unknown extension",
        &world.keygen(&["-n", &principal, "-O", "extension:x@jit-ssh=1"]),
        "in",
    );
    let bent = |bend: fn(&mut jit_ssh_proto::event::CertificateIssued)| {
        world.ca.issue_bent(world.folder(), &shell, bend).unwrap()
    };
    let ignored = bent(|r| r.extensions.insert(0, ("force-command".into(), "false".into())));
    accepted(&world, "force-command as an extension", &ignored, "in");
    let data = bent(|r| {
        r.extensions.retain_mut(|(name, value)| {
            if name == "permit-pty" {
                value.push('1');
            }
            true
        })
    });
    refused(&world, "a known extension with data", &data, "corrupt");
}

#[test]
fn commands() {
    let world = World::new("");
    // Row 15: the certificate's command runs, the asked one is in its environment.
    let asked = Asked {
        command: Some("echo forced; echo \"$SSH_ORIGINAL_COMMAND\"".parse().unwrap()),
        ..world.asked(Mode::Exec, Modifiers::NONE, "web-1")
    };
    accepted(&world, "exec", &world.ca.issue(world.folder(), &asked).unwrap(), "forced\necho in");
    // Row 17: the line's own command and the certificate's must be the same to the byte.
    let sftp = world.asked(Mode::Sftp, Modifiers::NONE, "web-1");
    for command in ["internal-sftp ", "internal-sftp -R", "/usr/lib/openssh/sftp-server", "sh"] {
        let bend = |r: &mut jit_ssh_proto::event::CertificateIssued| {
            r.critical_options = vec![("force-command".into(), command.into())];
        };
        let identity = world.ca.issue_bent(world.folder(), &sftp, bend).unwrap();
        refused(&world, command, &identity, "command");
    }
}

/// Row 16: why the drop-in never sets `ForceCommand`.
#[test]
fn a_force_command_in_the_configuration_would_override_certificates() {
    let world = World::new("ForceCommand echo configured");
    accepted(&world, "exec", &world.issue(Mode::Exec, Modifiers::NONE, "web-1"), "configured");
}

#[test]
fn authorities() {
    let world = World::new("");
    let stranger = TestAuthority::new(world.folder(), "stranger").unwrap();
    let asked = world.asked(Mode::Shell, Modifiers::NONE, "web-1");
    let principal = asked.principals().remove(0);
    // Row 21.
    let foreign = stranger.issue(world.folder(), &asked).unwrap();
    refused(&world, "another CA", &foreign, "is not listed in");
    // A certificate that names our CA but was signed by another.
    let forged = {
        let ours = world.ca.issue(world.folder(), &asked).unwrap();
        let text = fs::read_to_string(&ours.certificate).unwrap();
        let (format, blob) = text.trim().split_once(' ').unwrap();
        let mut bytes = data_encoding::BASE64.decode(blob.as_bytes()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&ours.certificate, format!("{format} {}\n", data_encoding::BASE64.encode(&bytes))).unwrap();
        ours
    };
    unreadable(&world, "a bad signature", &forged);
    // Row 22.
    let host = world.keygen(&["-h", "-n", &principal]);
    let agent = Agent::with(world.folder(), &host).unwrap();
    let attempt = world.sshd.ssh_by_agent(agent.socket(), "echo in").unwrap();
    let reason = "not a user certificate";
    assert!(!attempt.accepted() && attempt.log.contains(reason), "{}", brief(&attempt));
    // Row 21: the CA is removed, without a reload.
    let file = world.folder().join("etc/jit-ssh/user_ca.pub");
    let shell = world.shell();
    accepted(&world, "before", &shell, "in");
    fs::write(&file, format!("{}\n", stranger.line())).unwrap();
    refused(&world, "a CA that is gone", &shell, "is not listed in");
    accepted(&world, "the one that is there instead", &foreign, "in");
}

/// The plain key of a certificate opens nothing.
#[test]
fn a_key_without_its_certificate() {
    let world = World::new("");
    let identity = world.shell();
    let empty = world.sshd.place().write("none-cert.pub", "").unwrap();
    let plain = Identity { certificate: empty, ..identity };
    refused(&world, "the plain key", &plain, "Failed publickey");
}
