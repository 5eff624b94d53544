//! Trouble below a running CA: its database goes away, comes back, comes back older, belongs to somebody else or cannot
//! be written. Each time callers are told to try again, the operator is told what to do, nothing is issued that is not
//! recorded, nothing that was recorded is lost, and it goes on by itself when the trouble is over.
//!
//! (Disks that are full or read-only below SQLite are in `bad_input/operator.rs`.)

mod postgres;
mod sqlite;

use std::collections::BTreeSet;

use jit_ssh_proto::Code;
use jit_ssh_proto::wire::Issued;
use jit_ssh_tests::api::{Call, Key, Session};
use jit_ssh_tests::http::Answer;
use jit_ssh_tests::process::until;

use crate::stand::{Server, Site};

/// A server with a live session, and what it issued.
struct Station {
    site: Site,
    server: Server,
    session: Session,
    received: Vec<Issued>,
}

impl Station {
    fn new(site: Site) -> Self {
        let server = site.serve();
        let session = server.session(&site, "alice");
        Self { site, server, session, received: Vec::new() }
    }

    fn ask(&self) -> Answer {
        self.server.send(&self.session.access(&self.site.ca, &Key::new().unwrap()).unwrap())
    }

    fn is_issued(&mut self) {
        let answer = self.ask();
        assert_eq!(answer.status, 201, "{}\n{}", answer.text(), self.server.said());
        self.received.push(answer.json().unwrap());
    }

    /// Callers are told to try again and nothing else; the log says `why`.
    fn is_refused(&self, code: Code, why: &str) {
        until("the refusal", || {
            let said = Self::refusal(&self.ask()) == code;
            Ok((said && self.server.said().contains(why)).then_some(()))
        })
        .unwrap();
        // Whoever spreads calls over several servers leaves this one out.
        let ready = Call::plain("GET", "/readyz");
        until("the refusal", || Ok((Self::refusal(&self.server.send(&ready)) == code).then_some(())))
            .unwrap();
    }

    /// A refusal's code. A connection that broke is noticed by the next who uses it, so that may come first.
    fn refusal(answer: &Answer) -> Code {
        let problem = answer.problem().unwrap();
        is_refused(answer, problem.code);
        problem.code
    }

    /// Asked again and again, as clients do, it comes back by itself.
    fn comes_back(&mut self) {
        until("a certificate", || {
            let answer = self.ask();
            if answer.status != 201 {
                Self::refusal(&answer);
                return Ok(None);
            }
            self.received.push(answer.json()?);
            Ok(Some(()))
        })
        .unwrap();
        let ready = Call::plain("GET", "/readyz");
        until("readiness", || Ok((self.server.send(&ready).status == 200).then_some(()))).unwrap();
    }

    /// Everything that was ever received is in the ledger, once, in order; `more` certificates are there beside it.
    fn nothing_is_lost(&self, more: usize) {
        self.site.verify().ok().unwrap();
        let recorded = self.site.certificates();
        let serials: Vec<u64> = recorded.iter().map(|issued| issued.serial).collect();
        assert_eq!(serials, (1..=u64::try_from(serials.len()).unwrap()).collect::<Vec<_>>());
        let digests: BTreeSet<_> = recorded.iter().map(|issued| issued.tbs_sha256.clone()).collect();
        assert_eq!(digests.len(), recorded.len());
        let events = self.site.ledger();
        for issued in &self.received {
            let event = &events[usize::try_from(issued.leaf_index).unwrap()];
            let promised = issued.receipt.as_ref().unwrap().event.as_bytes();
            assert_eq!(event.canonical().unwrap(), promised, "serial {}", issued.serial);
        }
        assert_eq!(recorded.len(), self.received.len() + more);
    }
}

fn is_refused(answer: &Answer, code: Code) {
    let problem = answer.problem().unwrap();
    assert_eq!((answer.status, problem.code), (503, code), "{}", answer.text());
    assert!(answer.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()));
    assert!(problem.detail.ends_with('.') && problem.detail.contains("operator"), "{}", problem.detail);
    for internal in ["postgres:", "sqlite", "ca.db", "/tmp/"] {
        assert!(!problem.detail.contains(internal), "{}", problem.detail);
    }
}

/// What a server that must not start says last.
fn last_line(said: &str) -> &str {
    let line = said.lines().last().unwrap_or_default();
    assert!(line.starts_with("jit-ssh-ca: "), "{said}");
    line
}
