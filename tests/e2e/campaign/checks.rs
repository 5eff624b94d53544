//! What must be true when a campaign is over, whatever happened in it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::VerifyingKey;
use jit_ssh_core::cert::encode_tbs;
use jit_ssh_proto::event::{CertificateIssued, What};
use jit_ssh_proto::wire::{Issued, Receipt};
use jit_ssh_tests::ledger::{Checkpoint, Leaf, Roots};
use sha2::{Digest, Sha256};
use ssh_key::{Certificate, PublicKey};

use super::callers::{Attempt, End};
use crate::stand::Site;

/// What a campaign came to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    recorded: usize,
    received: usize,
    lost: usize,
    errors: usize,
    undelivered: usize,
    leaves: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recorded, received, lost, errors, undelivered, leaves } = self;
        write!(
            f,
            "{recorded} certificates recorded in {leaves} leaves, {received} received with their receipts, \
             {undelivered} recorded and never delivered; {lost} calls without an answer, {errors} told to try again"
        )
    }
}

pub(super) fn check(site: &Site, attempts: &[Attempt]) -> Counts {
    site.verify().ok().unwrap();
    let leaves = site.leaves();
    let roots = Roots::of(&leaves);
    let recorded = certificates(&leaves);
    let ledger_key = ledger_key(site);
    let mut counts = Counts { recorded: recorded.len(), leaves: leaves.len(), ..Counts::default() };

    // Serials are leaf order, counted through.
    for (serial, (_, issued)) in (1_u64..).zip(&recorded) {
        assert_eq!(issued.serial, serial, "serials are counted through in the order of leaves");
    }
    // By key, because each attempt had one of its own.
    let mut by_key: BTreeMap<String, Vec<&(u64, CertificateIssued)>> = BTreeMap::new();
    for entry in &recorded {
        by_key.entry(entry.1.key.to_string()).or_default().push(entry);
    }
    for attempt in attempts {
        let found = by_key.remove(&attempt.key.to_string()).unwrap_or_default();
        counts.lost += attempt.lost;
        counts.errors += attempt.errors.len();
        match &attempt.end {
            End::Received(issued) => {
                let [entry] = found.as_slice() else {
                    panic!("serial {}: {} records", issued.serial, found.len())
                };
                is_recorded(issued, entry);
                counts.received += 1;
                let receipt = issued.receipt.as_ref().unwrap();
                is_proved(site, receipt, entry, &leaves, &roots, &ledger_key);
            }
            End::Recorded => {
                assert_eq!(found.len(), 1, "a call that was taken before is in the ledger, once");
                counts.undelivered += 1;
            }
            // Nobody had an answer: it may be there or not, but not twice.
            End::Open => {
                assert!(found.len() <= 1, "{} records of one call", found.len());
                counts.undelivered += found.len();
            }
        }
    }
    assert!(by_key.is_empty(), "certificates that nobody asked for: {by_key:?}");
    assert_eq!(counts.received + counts.undelivered, counts.recorded);
    counts
}

/// The certificates of the ledger with their leaves, each leaf checked.
fn certificates(leaves: &[Leaf]) -> Vec<(u64, CertificateIssued)> {
    let mut certificates = Vec::new();
    for (at, leaf) in leaves.iter().enumerate() {
        if let What::CertificateIssued(issued) = leaf.event(at).unwrap().what {
            let digest = HEXLOWER.encode(&Sha256::digest(encode_tbs(&issued).unwrap()));
            assert_eq!(
                digest, issued.tbs_sha256,
                "the event of serial {} determines its bytes",
                issued.serial
            );
            certificates.push((leaf.index, *issued));
        }
    }
    certificates
}

/// What a caller holds is what the ledger says.
fn is_recorded(issued: &Issued, (leaf, recorded): &(u64, CertificateIssued)) {
    let certificate: Certificate = issued.certificate.parse().unwrap();
    // The signature is the last string of a certificate: its length, then its bytes.
    let bytes = certificate.to_bytes().unwrap();
    let signature = Vec::<u8>::try_from(certificate.signature().clone()).unwrap();
    let signed = &bytes[..bytes.len() - 4 - signature.len()];
    assert_eq!(HEXLOWER.encode(&Sha256::digest(signed)), recorded.tbs_sha256, "serial {}", issued.serial);
    assert_eq!((issued.serial, issued.leaf_index), (recorded.serial, *leaf));
    assert_eq!(certificate.serial(), issued.serial);
}

/// The receipt shows that the ledger which is there now is the one that the caller was promised.
fn is_proved(
    site: &Site,
    receipt: &Receipt,
    (leaf, _): &(u64, CertificateIssued),
    leaves: &[Leaf],
    roots: &Roots,
    key: &VerifyingKey,
) {
    let stored = &leaves[usize::try_from(*leaf).unwrap()];
    assert_eq!(receipt.event.as_bytes(), stored.body, "leaf {leaf}");
    assert_eq!(BASE64URL_NOPAD.decode(receipt.salt.as_bytes()).unwrap(), stored.salt, "leaf {leaf}");
    let checkpoint = Checkpoint::read(&receipt.checkpoint, &site.ca, key).unwrap();
    let proof: Vec<_> = receipt.proof.iter().map(|hash| BASE64.decode(hash.as_bytes()).unwrap()).collect();
    checkpoint.has(*leaf, &stored.hash, &proof).unwrap();
    assert_eq!(
        Some(&checkpoint.root),
        roots.at(checkpoint.size),
        "the tree of leaf {leaf}'s receipt is no prefix"
    );
}

/// The ledger key's public half, from the file that the trust bundle takes it from.
fn ledger_key(site: &Site) -> VerifyingKey {
    let line = fs::read_to_string(site.dir.join("keys/ledger.pub")).unwrap();
    let key = PublicKey::from_openssh(&line).unwrap();
    VerifyingKey::from_bytes(&key.key_data().ed25519().unwrap().0).unwrap()
}
