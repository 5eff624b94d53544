//! What somebody with the database in their hands does to it: each of it is caught by `jit-ssh-ca log verify` and named.
//!
//! Whoever tampers here is careful: where a hash can be made to fit again, it is, and the file beside the database that
//! remembers the last checkpoint is only there where a row says so.

mod cases;
mod served;

use std::collections::BTreeMap;
use std::fs;

use jit_ssh_tests::api::Key;

use crate::stand::Site;
use crate::tamper::cases::{CASES, Case};

/// How many certificates the ledger has: more than one tile of leaves.
const CERTIFICATES: usize = 150;

/// A CA with a past, stopped: sessions that live and one that was ended, requests allowed and denied, certificates.
fn past() -> Site {
    let site = Site::new();
    let server = site.serve();
    let sessions = ["alice", "bob", "carol"].map(|name| server.session(&site, name));
    for n in 0..CERTIFICATES {
        let session = &sessions[n % 2];
        let answer = server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap());
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let end = sessions[2].call(&site.ca, "DELETE", "/v1/sessions/current", Vec::new()).unwrap();
    assert!(server.send(&end).status < 300);
    server.stop();
    site
}

/// The first and the last leaf of each kind of event, and how many there are.
struct Leaves {
    first: BTreeMap<&'static str, u64>,
    last: BTreeMap<&'static str, u64>,
    count: u64,
}

impl Leaves {
    fn of(site: &Site) -> Self {
        let events = site.ledger();
        let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
        for (leaf, event) in (0..).zip(&events) {
            first.entry(event.what.kind()).or_insert(leaf);
            last.insert(event.what.kind(), leaf);
        }
        Self { first, last, count: u64::try_from(events.len()).unwrap() }
    }

    fn first(&self, kind: &str) -> u64 {
        self.first[kind]
    }

    fn last(&self, kind: &str) -> u64 {
        self.last[kind]
    }
}

#[test]
fn whatever_is_done_to_the_database_is_caught_and_named() {
    let site = past();
    let leaves = Leaves::of(&site);
    site.verify().ok().unwrap();
    let mut missed = Vec::new();
    for (n, Case { what, does, finds, remembers }) in CASES.iter().enumerate() {
        let copy = site.copy(&format!("case-{n}"));
        does(&copy, &leaves);
        if !remembers {
            fs::remove_file(copy.dir.join("ledger.seen")).unwrap();
        }
        let found = copy.verify();
        let finding = finds(&site, &leaves);
        if found.code != Some(1) || !found.out.lines().any(|line| line.starts_with(&finding)) {
            missed.push(format!("{what}: {finding:?} in no line of\n{}{}", found.out, found.err));
        }
    }
    assert!(missed.is_empty(), "{} of {} were missed:\n{}", missed.len(), CASES.len(), missed.join("\n"));
    // All the while nothing is found where nothing was done.
    site.verify().ok().unwrap();
}

#[test]
fn every_case_does_what_it_says_and_its_finding_can_be_named() {
    let site = past();
    let leaves = Leaves::of(&site);
    let before = fs::read(site.dir.join("ca.db")).unwrap();
    for (n, Case { what, does, finds, .. }) in CASES.iter().enumerate() {
        let copy = site.copy(&format!("case-{n}"));
        does(&copy, &leaves);
        assert_ne!(fs::read(copy.dir.join("ca.db")).unwrap(), before, "{what}");
        assert!(!finds(&site, &leaves).is_empty(), "{what}");
    }
}
