//! Each lint catches what it is for: a good certificate is bent in one place, in its record or in its bytes, and the
//! lint must be among the findings.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use data_encoding::HEXLOWER;
use jit_ssh_proto::event::CertificateIssued;
use jit_ssh_proto::{Mode, Modifier, Modifiers, Salt, Timestamp};
use sha2::{Digest, Sha256};

use super::super::tests::fixture::{NOW, Parts, ed25519, fido_key, name, public};
use super::super::{CertError, encode_tbs, profile};
use super::{LINTS, findings};
use crate::authority::{Authority, CertKind};

mod places;

use places::bent_places;

/// The names of the lints that find something in bytes made from a bent record.
fn found_in(parts: &Parts, tbs: &[u8], record: &CertificateIssued) -> Vec<String> {
    match findings(tbs, record, &parts.statement(), &parts.issuance()) {
        Ok(found) => found
            .into_iter()
            .map(|e| match e {
                CertError::Lint { rule, .. } => rule.to_string(),
                CertError::Ended | CertError::Encoding | CertError::Signature => format!("{e:?}"),
            })
            .collect(),
        Err(e) => vec![format!("{e:?}")],
    }
}

/// Bends the record of a good certificate; the digest is made to fit again.
fn bent(parts: &Parts, bend: impl FnOnce(&mut CertificateIssued)) -> Vec<String> {
    let mut record = profile(&parts.statement(), &parts.issuance()).unwrap();
    bend(&mut record);
    let tbs = encode_tbs(&record).unwrap();
    record.tbs_sha256 = HEXLOWER.encode(&Sha256::digest(&tbs));
    found_in(parts, &tbs, &record)
}

/// Replaces one piece of the bytes of a good certificate; the digest is made to fit again.
fn patched(parts: &Parts, from: &[u8], to: &[u8]) -> Vec<String> {
    let mut record = profile(&parts.statement(), &parts.issuance()).unwrap();
    let tbs = encode_tbs(&record).unwrap();
    let places: Vec<usize> =
        (0..tbs.len()).filter(|at| tbs.get(*at..).is_some_and(|rest| rest.starts_with(from))).collect();
    assert_eq!(places.len(), 1, "{from:?} stands at {places:?}");
    let mut out = tbs[..places[0]].to_vec();
    out.extend_from_slice(to);
    out.extend_from_slice(&tbs[places[0] + from.len()..]);
    record.tbs_sha256 = HEXLOWER.encode(&Sha256::digest(&out));
    found_in(parts, &out, &record)
}

fn flag(name: &str) -> (String, String) {
    (name.to_string(), String::new())
}

fn option(name: &str, value: &str) -> (String, String) {
    (name.to_string(), value.to_string())
}

/// (what is wrong, the lint that must find it, all that were found)
fn bent_records() -> Vec<(&'static str, &'static str, Vec<String>)> {
    let shell = Parts::shell();
    let exec = Parts::new(Mode::Exec, Modifiers::NONE);
    let sftp = Parts::new(Mode::Sftp, Modifiers::NONE);
    let forward = Parts::new(Mode::Forward, Modifiers::NONE);
    let pinned = Parts { source_address: Some("192.0.2.7".parse().unwrap()), ..Parts::shell() };
    let fido = Parts { key: fido_key(), ..Parts::shell() };
    let verified = Parts { verify_required: true, ..fido.clone() };
    let principals = |list: &[&str]| -> Vec<String> { list.iter().map(ToString::to_string).collect() };
    let with = |list: &[&str]| bent(&shell, |r| r.principals = principals(list));
    let web = "shell:deploy@web-1.example.com";
    vec![
        ("no principals", "principals", with(&[])),
        (
            "257 principals",
            "principals",
            bent(&shell, |r| r.principals = (0..257).map(|n| format!("shell:a@h{n}")).collect()),
        ),
        ("an empty principal", "principals", with(&[""])),
        ("a wildcard", "principals", with(&["*"])),
        ("a wildcard host", "principals", with(&["shell:deploy@*"])),
        ("a plain login", "principals", with(&["deploy"])),
        ("a login in capitals", "principals", with(&["shell:Deploy@web-1.example.com"])),
        ("a space", "principals", with(&["shell:deploy@web-1.example.com "])),
        ("a comma", "principals", with(&["shell:deploy@web-1,root"])),
        ("a newline", "principals", with(&["shell:deploy@web-1\nroot"])),
        ("a comment", "principals", with(&["shell:deploy@web-1#x"])),
        ("modifiers out of order", "principals", with(&["shell+x11+agent:deploy@web-1"])),
        ("one principal twice", "principals", with(&[web, web])),
        ("two modes", "one-mode", with(&[web, "sftp:deploy@web-1.example.com"])),
        ("two sets of modifiers", "one-mode", with(&[web, "shell+agent:deploy@web-1.example.com"])),
        ("an account that was not granted", "grant-accounts", with(&[web, "shell:root@web-1.example.com"])),
        ("another account", "grant-accounts", with(&["shell:root@web-1.example.com"])),
        ("another mode than granted", "grant-accounts", with(&["sftp:deploy@web-1.example.com"])),
        ("a key that was not asked for", "certified-key", bent(&shell, |r| r.key = public(&ed25519(8)))),
        (
            "another authority's key",
            "authority-kind",
            bent(&shell, |r| r.authority_key = public(&ed25519(8))),
        ),
        ("another authority's name", "authority-kind", bent(&shell, |r| r.authority = name("user-switches"))),
        ("a host certificate", "authority-kind", bent(&shell, |r| r.cert_type = 2)),
        ("no type", "authority-kind", bent(&shell, |r| r.cert_type = 0)),
        (
            "the authority's own key",
            "authority-is-not-subject",
            bent(&shell, |r| r.key = public(&ed25519(1))),
        ),
        ("serial 0", "serial", bent(&shell, |r| r.serial = 0)),
        ("another serial", "serial", bent(&shell, |r| r.serial = 43)),
        ("a nonce of one byte", "nonce", bent(&shell, |r| r.nonce = Salt::from_bytes([7; 32]))),
        ("an empty key ID", "key-id", bent(&shell, |r| r.key_id.clear())),
        (
            "a newline in the key ID",
            "key-id",
            bent(&shell, |r| r.key_id = r.key_id.replace("alice", "alice\nAccepted")),
        ),
        ("a space in the key ID", "key-id", bent(&shell, |r| r.key_id = r.key_id.replace("alice", "al ice"))),
        ("capitals in the key ID", "key-id", bent(&shell, |r| r.key_id = r.key_id.to_uppercase())),
        ("somebody else's key ID", "key-id", bent(&shell, |r| r.key_id = r.key_id.replace("alice", "bob"))),
        ("a fourth part", "key-id", bent(&shell, |r| r.key_id.push_str("/x"))),
        ("another grant's key ID", "key-id", bent(&shell, |r| r.key_id = r.key_id.replace("grt_", "req_"))),
        ("an empty window", "window", bent(&shell, |r| r.valid_before = r.valid_after)),
        (
            "a window the wrong way round",
            "window",
            bent(&shell, |r| r.valid_before = Timestamp::from_seconds(NOW - 90)),
        ),
        (
            "more than a day",
            "window",
            bent(&shell, |r| r.valid_before = Timestamp::from_seconds(NOW - 59 + 86_400)),
        ),
        ("forever", "window", bent(&shell, |r| r.valid_before = Timestamp::MAX)),
        ("always", "window", bent(&shell, |r| r.valid_after = Timestamp::from_seconds(0))),
        (
            "past its grant",
            "within-grant",
            bent(&shell, |r| r.valid_before = Timestamp::from_seconds(NOW + 1801)),
        ),
        (
            "before its grant",
            "within-grant",
            bent(&shell, |r| r.valid_after = Timestamp::from_seconds(NOW - 61)),
        ),
        (
            "past its session",
            "within-grant",
            bent(&Parts { session_ends: NOW + 9, ..shell.clone() }, |r| {
                r.valid_before = Timestamp::from_seconds(NOW + 10)
            }),
        ),
        (
            "past the maximum",
            "within-grant",
            bent(&Parts { max: 9, ..shell.clone() }, |r| r.valid_before = Timestamp::from_seconds(NOW + 10)),
        ),
        ("ended already", "within-grant", bent(&shell, |r| r.valid_before = Timestamp::from_seconds(NOW))),
        (
            "too far back",
            "within-grant",
            bent(&Parts { not_before: 5, ..shell.clone() }, |r| {
                r.valid_after = Timestamp::from_seconds(NOW - 61)
            }),
        ),
        ("exec without a command", "critical-options", bent(&exec, |r| r.critical_options.clear())),
        (
            "exec of another command",
            "critical-options",
            bent(&exec, |r| r.critical_options = vec![option("force-command", "/usr/bin/id -g")]),
        ),
        (
            "exec of an empty command",
            "critical-options",
            bent(&exec, |r| r.critical_options = vec![flag("force-command")]),
        ),
        (
            "a shell with a command",
            "critical-options",
            bent(&shell, |r| r.critical_options = vec![option("force-command", "id")]),
        ),
        (
            "sftp of a command",
            "critical-options",
            bent(&sftp, |r| {
                r.critical_options = vec![option("force-command", "/usr/lib/openssh/sftp-server")]
            }),
        ),
        ("sftp without a command", "critical-options", bent(&sftp, |r| r.critical_options.clear())),
        ("forward without a command", "critical-options", bent(&forward, |r| r.critical_options.clear())),
        (
            "an unknown critical option",
            "critical-options",
            bent(&shell, |r| r.critical_options = vec![option("x@jit-ssh", "1")]),
        ),
        (
            "an address that was not pinned",
            "critical-options",
            bent(&shell, |r| r.critical_options = vec![option("source-address", "192.0.2.7/32")]),
        ),
        (
            "another address",
            "critical-options",
            bent(&pinned, |r| r.critical_options = vec![option("source-address", "192.0.2.8/32")]),
        ),
        (
            "a block of addresses",
            "critical-options",
            bent(&pinned, |r| r.critical_options = vec![option("source-address", "192.0.2.7/24")]),
        ),
        (
            "every address",
            "critical-options",
            bent(&pinned, |r| r.critical_options = vec![option("source-address", "0.0.0.0/0")]),
        ),
        (
            "two addresses",
            "critical-options",
            bent(&pinned, |r| {
                r.critical_options = vec![option("source-address", "192.0.2.7/32,192.0.2.8/32")]
            }),
        ),
        ("the pin is gone", "critical-options", bent(&pinned, |r| r.critical_options.clear())),
        ("verification is gone", "critical-options", bent(&verified, |r| r.critical_options.clear())),
        (
            "verification nobody asked for",
            "critical-options",
            bent(&fido, |r| r.critical_options = vec![flag("verify-required")]),
        ),
        (
            "verification of a plain key",
            "critical-options",
            bent(&shell, |r| r.critical_options = vec![flag("verify-required")]),
        ),
        (
            "options out of order",
            "option-order",
            bent(&Parts { source_address: pinned.source_address, ..exec.clone() }, |r| {
                r.critical_options.reverse()
            }),
        ),
        (
            "an option twice",
            "option-order",
            bent(&exec, |r| r.critical_options.push(r.critical_options[0].clone())),
        ),
        ("extensions out of order", "option-order", bent(&shell, |r| r.extensions.reverse())),
        ("an extension twice", "option-order", bent(&shell, |r| r.extensions.push(flag("permit-pty")))),
        (
            "a flag with data",
            "option-data",
            bent(&verified, |r| r.critical_options = vec![option("verify-required", "yes")]),
        ),
        ("an extension with data", "option-data", bent(&shell, |r| r.extensions[1].1.push('1'))),
        ("a grant without its id", "option-data", bent(&shell, |r| r.extensions[0].1.clear())),
        ("another grant's id", "extensions", bent(&shell, |r| r.extensions[0].1.push('x'))),
        ("a shell without its terminal", "extensions", bent(&shell, |r| r.extensions.truncate(1))),
        (
            "no grant",
            "extensions",
            bent(&shell, |r| {
                r.extensions.remove(0);
            }),
        ),
        (
            "force-command as an extension",
            "extensions",
            bent(&shell, |r| r.extensions.insert(0, option("force-command", "id"))),
        ),
        ("a terminal for exec", "extensions", bent(&exec, |r| r.extensions.push(flag("permit-pty")))),
        ("a terminal for sftp", "extensions", bent(&sftp, |r| r.extensions.push(flag("permit-pty")))),
        (
            "forwarding for sftp",
            "extensions",
            bent(&sftp, |r| r.extensions.push(flag("permit-port-forwarding"))),
        ),
        (
            "forwarding for a shell",
            "extensions",
            bent(&shell, |r| r.extensions.insert(1, flag("permit-port-forwarding"))),
        ),
        (
            "the agent for a shell",
            "extensions",
            bent(&shell, |r| r.extensions.insert(1, flag("permit-agent-forwarding"))),
        ),
        (
            "X11 for a shell",
            "extensions",
            bent(&shell, |r| r.extensions.insert(1, flag("permit-X11-forwarding"))),
        ),
        ("a user's rc file", "extensions", bent(&shell, |r| r.extensions.push(flag("permit-user-rc")))),
        ("no touch", "extensions", bent(&shell, |r| r.extensions.insert(1, flag("no-touch-required")))),
        ("an unknown extension", "extensions", bent(&shell, |r| r.extensions.push(option("x@jit-ssh", "1")))),
        ("far too large", "size", bent(&exec, |r| r.critical_options[0].1 = "x".repeat(170_000))),
    ]
}

fn bent_bytes() -> Vec<(&'static str, &'static str, Vec<String>)> {
    let shell = Parts::shell();
    let good = profile(&shell.statement(), &shell.issuance()).unwrap();
    let tbs = encode_tbs(&good).unwrap();
    let mut nonce = vec![0, 0, 0, 32];
    nonce.extend_from_slice(good.nonce.as_bytes());
    let mut short = vec![0, 0, 0, 31];
    short.extend_from_slice(&good.nonce.as_bytes()[..31]);
    let authority = good.authority_key.blob();
    let mut reserved = vec![0, 0, 0, 0, 0, 0, 0, u8::try_from(authority.len()).unwrap()];
    reserved.extend_from_slice(authority);
    let mut filled = vec![0, 0, 0, 1, b'x'];
    filled.extend_from_slice(&reserved[4..]);
    vec![
        ("a nonce of 31 bytes", "nonce", patched(&shell, &nonce, &short)),
        ("something in the reserved field", "reserved", patched(&shell, &reserved, &filled)),
        ("bytes that the record does not say", "determined", patched(&shell, b"web-1", b"web-2")),
        ("a digest of other bytes", "digest", {
            let other = CertificateIssued { tbs_sha256: HEXLOWER.encode(&[0; 32]), ..good.clone() };
            found_in(&shell, &tbs, &other)
        }),
    ]
}

#[test]
fn each_lint_finds_what_it_is_for() {
    let mut used = BTreeSet::new();
    for (what, lint, found) in bent_records().into_iter().chain(bent_places()).chain(bent_bytes()) {
        assert!(found.iter().any(|f| f == lint), "{what}: wanted {lint}, found {found:?}");
        used.insert(lint);
    }
    let all: BTreeSet<&str> = LINTS.iter().map(|lint| lint.name).collect();
    assert_eq!(used, all, "every lint has a row that it finds");
    assert_eq!(all.len(), LINTS.len(), "every lint has a name of its own");
    assert!(LINTS.iter().all(|lint| !lint.source.is_empty()));
}

#[test]
fn a_good_certificate_has_no_findings() {
    for modifiers in Modifiers::all_sets() {
        assert!(bent(&Parts::new(Mode::Shell, modifiers), |_| {}).is_empty());
        assert!(bent(&Parts::new(Mode::Exec, modifiers), |_| {}).is_empty());
    }
    let all = Modifiers::NONE.with(Modifier::Agent).with(Modifier::Forward).with(Modifier::X11);
    let parts = Parts {
        key: fido_key(),
        verify_required: true,
        source_address: Some("2001:db8::1".parse().unwrap()),
        ..Parts::new(Mode::Exec, all)
    };
    assert!(bent(&parts, |_| {}).is_empty());
}

#[test]
fn bytes_that_cannot_be_read_are_refused() {
    let shell = Parts::shell();
    let record = profile(&shell.statement(), &shell.issuance()).unwrap();
    let tbs = encode_tbs(&record).unwrap();
    let mut longer = tbs.clone();
    longer.push(0);
    for (what, bytes) in
        [("nothing", &tbs[..0]), ("cut off", &tbs[..tbs.len() - 1]), ("trailing bytes", longer.as_slice())]
    {
        let found = found_in(&shell, bytes, &record);
        assert!(found.iter().any(|f| f.contains("readable")), "{what}: {found:?}");
    }
    let host = Authority::new(name("host"), CertKind::Host, public(&shell.signer));
    assert_eq!(
        found_in(&Parts { authority: host, ..shell }, &tbs, &record),
        ["authority-kind", "grant-accounts"]
    );
}
