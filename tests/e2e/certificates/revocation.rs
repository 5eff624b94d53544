//! Revocation lists, made by `ssh-keygen`, read by sshd at the next login without a reload.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use jit_ssh_proto::{Mode, Modifiers};
use jit_ssh_tests::certificates::{Asked, Identity, TestAuthority};

use super::{World, brief};

/// A list by ssh-keygen: of a CA (its public key's file), or of keys when there is none.
fn list(world: &World, authority: Option<&TestAuthority>, what: &str) -> Vec<u8> {
    let place = world.sshd.place();
    let specification = place.write("specification", format!("{what}\n")).unwrap();
    let out = place.path().join("list");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-k", "-f"]).arg(&out);
    if let Some(authority) = authority {
        command.arg("-s").arg(place.write("revoker.pub", authority.line()).unwrap());
    }
    let output = command.arg(&specification).output().unwrap();
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    fs::read(out).unwrap()
}

fn revoked_file(world: &World) -> PathBuf {
    world.folder().join("etc/jit-ssh/revoked.krl")
}

/// (accepted, what sshd logged)
fn try_in(world: &World, identity: &Identity) -> (bool, String) {
    let attempt = world.sshd.ssh(identity, &[], "true").unwrap();
    assert_eq!(attempt.accepted(), attempt.code == Some(0), "{}", brief(&attempt));
    (attempt.accepted(), attempt.log)
}

#[test]
fn what_a_list_revokes() {
    let world = World::new("");
    let stranger = TestAuthority::new(world.folder(), "stranger").unwrap();
    let asked = Asked { serial: 7, ..world.asked(Mode::Shell, Modifiers::NONE, "web-1") };
    let identity = world.ca.issue(world.folder(), &asked).unwrap();
    let certificate = ssh_key::Certificate::read_file(&identity.certificate).unwrap();
    let key = ssh_key::PublicKey::from(certificate.public_key().clone()).to_openssh().unwrap();
    let key_id = certificate.key_id().to_owned();
    // Rows 24 and 25.
    for (what, authority, specification, revoked) in [
        ("its serial", Some(&world.ca), "serial: 7".to_owned(), true),
        ("a range around it", Some(&world.ca), "serial: 1-100".to_owned(), true),
        ("its key ID", Some(&world.ca), format!("id: {key_id}"), true),
        ("its key", None, format!("key: {key}"), true),
        ("its CA", None, format!("key: {}", world.ca.line()), true),
        ("its neighbours", Some(&world.ca), "serial: 6\nserial: 8-100".to_owned(), false),
        ("the serial of another CA", Some(&stranger), "serial: 7".to_owned(), false),
        ("the key ID at another CA", Some(&stranger), format!("id: {key_id}"), false),
        ("a key ID that begins the same", Some(&world.ca), format!("id: {key_id}0"), false),
        ("another CA", None, format!("key: {}", stranger.line()), false),
    ] {
        fs::write(revoked_file(&world), list(&world, authority, &specification)).unwrap();
        let (accepted, log) = try_in(&world, &identity);
        assert_eq!(accepted, !revoked, "{what}: {log}");
        assert_eq!(log.contains("revoked by file"), revoked, "{what}: {log}");
    }
}

/// Rows 26 and 27: a list that cannot be read closes the host to all keys; an empty file revokes nothing.
#[test]
fn a_list_that_is_no_list() {
    let world = World::new("");
    let identity = world.shell();
    let whole = list(&world, Some(&world.ca), "serial: 100-200");
    let cut = whole.len() - 3;
    for (what, contents) in [
        ("garbage", Some(b"garbage".to_vec())),
        ("cut off", Some(whole.get(..cut).unwrap().to_vec())),
        ("missing", None),
    ] {
        match contents {
            Some(bytes) => fs::write(revoked_file(&world), bytes).unwrap(),
            None => fs::remove_file(revoked_file(&world)).unwrap(),
        }
        let (accepted, log) = try_in(&world, &identity);
        assert!(!accepted && log.contains("Error checking authentication key"), "{what}: {log}");
    }
    for (what, bytes) in [("empty", vec![]), ("whole, of other serials", whole)] {
        fs::write(revoked_file(&world), bytes).unwrap();
        assert!(try_in(&world, &identity).0, "{what}");
    }
}
