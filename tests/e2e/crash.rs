//! Invariant 1: wherever the process dies on the issue path, what it leaves is safe and explained. The ledger may know
//! a certificate that was never delivered; never the reverse.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;

use data_encoding::HEXLOWER;
use jit_ssh_core::cert::encode_tbs;
use jit_ssh_tests::api::Key;
use jit_ssh_tests::http::send;
use sha2::{Digest, Sha256};
use ssh_key::Certificate;

use crate::stand::Site;

/// The points of `jit_ssh_ca::crash`, in order, and whether the record is durable there.
const POINTS: [(&str, bool); 5] = [
    ("before-append", false),
    ("in-append", false),
    ("after-append", true),
    ("after-sign", true),
    ("before-reply", true),
];

#[test]
fn invariant_1_a_crash_at_any_point_leaves_a_record_and_never_a_signature_without_one() {
    let site = Site::new();
    let mut delivered = 0_u64;
    for (point, durable) in POINTS {
        let before = site.certificates().len();
        let server = site.serve_with(&[("JIT_SSH_CRASH_AT", point)]);
        let (session_key, key) = (Key::new().unwrap(), Key::new().unwrap());
        let call = site.login_call("alice", &session_key, Some(&key));
        let answer = send(server.address, &call);
        assert!(answer.is_err(), "{point}: {answer:?}");
        let aborted = rustix::process::Signal::ABORT.as_raw();
        assert_eq!(server.ended().signal(), Some(aborted), "{point}");

        // What it left, before anything touches it again.
        let left = site.certificates();
        assert_eq!(left.len(), before + usize::from(durable), "{point}");
        let server = site.serve();
        let used = site.state();

        // The very same call: taken if nothing was kept, refused if it was.
        let again = server.send(&call);
        if durable {
            assert_eq!(again.outcome(), "409 signature_replayed", "{point}");
            assert_eq!(site.state(), used, "{point}");
        } else {
            assert_eq!(again.status, 201, "{point}: {}", again.text());
            delivered += 1;
        }

        // A new call by the same key goes on where the ledger stands.
        let used = site.state();
        let session_key = Key::new().unwrap();
        let (_, opened) = server.log_in(&session_key, &site.login_call("alice", &session_key, Some(&key)));
        let issued = opened.issued.unwrap();
        assert_eq!(i64::try_from(issued.serial).unwrap(), used["serials"], "{point}");
        let certificate: Certificate = issued.certificate.parse().unwrap();
        assert_eq!(certificate.serial(), issued.serial, "{point}");
        delivered += 1;
        server.stop();
    }

    // Every certificate is determined by its event alone, and no serial was given twice or skipped.
    let certificates = site.certificates();
    let serials: Vec<u64> = certificates.iter().map(|issued| issued.serial).collect();
    assert_eq!(serials, (1..=u64::try_from(serials.len()).unwrap()).collect::<Vec<_>>());
    assert_eq!(u64::try_from(serials.len()).unwrap(), delivered + 3);
    let mut nonces = BTreeSet::new();
    for issued in &certificates {
        let digest = HEXLOWER.encode(&Sha256::digest(encode_tbs(issued).unwrap()));
        assert_eq!(digest, issued.tbs_sha256, "serial {}", issued.serial);
        assert!(nonces.insert(issued.nonce.to_string()), "serial {}", issued.serial);
    }
}

#[test]
fn every_crash_point_that_there_is_has_its_row() {
    let source = include_str!("../../ca-server/src/crash.rs");
    let (_, list) = source.split_once("POINTS: &[&str] = &[").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let points: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert_eq!(points, POINTS.map(|(point, _)| point));
}

#[test]
fn invariant_1_what_was_delivered_is_what_was_recorded() {
    let site = Site::new();
    let server = site.serve();
    let (session_key, key) = (Key::new().unwrap(), Key::new().unwrap());
    let (session, opened) = server.log_in(&session_key, &site.login_call("alice", &session_key, Some(&key)));
    let second: jit_ssh_proto::wire::Issued =
        server.send(&session.access(&site.ca, &key).unwrap()).json().unwrap();
    let recorded = site.certificates();
    for (issued, recorded) in [opened.issued.unwrap(), second].iter().zip(&recorded) {
        let certificate: Certificate = issued.certificate.parse().unwrap();
        // The signature is the last string of a certificate: its length, then its bytes.
        let (bytes, signature) = (certificate.to_bytes().unwrap(), certificate.signature().clone());
        let signature = Vec::<u8>::try_from(signature).unwrap();
        let signed = &bytes[..bytes.len() - 4 - signature.len()];
        assert_eq!(HEXLOWER.encode(&Sha256::digest(signed)), recorded.tbs_sha256);
        assert_eq!(signed, encode_tbs(recorded).unwrap());
        assert_eq!(recorded.serial, issued.serial);
    }
    assert_eq!(recorded.len(), 2);
}
