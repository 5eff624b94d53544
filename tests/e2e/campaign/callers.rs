//! The load of a campaign: each caller asks for one certificate after the other, each for a key of its own, and asks
//! again with the very same call when no answer came.

use std::net::SocketAddr;
use std::thread;

use jit_ssh_proto::UserKey;
use jit_ssh_proto::wire::{Issued, SessionOpened};
use jit_ssh_tests::api::{Call, Key, Session};
use jit_ssh_tests::http::{Answer, send};
use jit_ssh_tests::process::until;

use super::fleet::Fleet;

/// A caller logs in anew after so many certificates under one session.
const CALLS_A_SESSION: usize = 8;

/// How one certificate was asked for, and what came of it.
pub(super) struct Attempt {
    /// The key that it was asked for; no other attempt's.
    pub(super) key: UserKey,
    /// How often there was no answer.
    pub(super) lost: usize,
    /// The errors that were answered before the last word.
    pub(super) errors: Vec<String>,
    pub(super) end: End,
}

/// The last word.
pub(super) enum End {
    /// The certificate.
    Received(Box<Issued>),
    /// The call was taken before: what was lost was the answer.
    Recorded,
    /// The campaign ended first.
    Open,
}

/// Lets `callers` ask until `meanwhile` is done; returns every attempt.
pub(super) fn ask(fleet: &Fleet, callers: usize, meanwhile: impl FnOnce()) -> Vec<Attempt> {
    thread::scope(|scope| {
        let callers: Vec<_> = (0..callers).map(|n| scope.spawn(move || caller(fleet, n))).collect();
        // However `meanwhile` ends, nobody is left waiting.
        let end = Ended(fleet);
        meanwhile();
        fleet.end();
        drop(end);
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    })
}

struct Ended<'a>(&'a Fleet);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

fn caller(fleet: &Fleet, n: usize) -> Vec<Attempt> {
    let site = fleet.site();
    let mut attempts = Vec::new();
    let mut session: Option<Session> = None;
    for turn in 0.. {
        if turn % CALLS_A_SESSION == 0 {
            session = None;
        }
        let key = Key::new().unwrap();
        let attempt = match &session {
            Some(session) => {
                let call = session.access(&site.ca, &key).unwrap();
                make(fleet, n + turn, &key, &call, |answer| answer.json().unwrap())
            }
            None => {
                let session_key = Key::new().unwrap();
                let call = site.login_call(&format!("caller-{n}"), &session_key, Some(&key));
                make(fleet, n + turn, &key, &call, |answer| {
                    let opened: SessionOpened = answer.json().unwrap();
                    let id = opened.session.id.parse().unwrap();
                    session = Some(Session { key: session_key.clone(), token: opened.token, id });
                    opened.issued.unwrap()
                })
            }
        };
        let open = matches!(attempt.end, End::Open);
        attempts.push(attempt);
        if open {
            break;
        }
    }
    attempts
}

/// Makes one call until its last word.
fn make(
    fleet: &Fleet,
    wish: usize,
    key: &Key,
    call: &Call,
    received: impl FnOnce(&Answer) -> Issued,
) -> Attempt {
    let mut attempt = Attempt { key: key.public.clone(), lost: 0, errors: Vec::new(), end: End::Open };
    loop {
        let Some(address) = fleet.address(wish + attempt.lost + attempt.errors.len()) else { return attempt };
        let Ok(answer) = send(address, call) else {
            attempt.lost += 1;
            continue;
        };
        match answer.outcome().as_str() {
            "201" => {
                fleet.answered();
                attempt.end = End::Received(Box::new(received(&answer)));
                return attempt;
            }
            // Only who had no answer, or one that left it open, may be told so.
            "409 signature_replayed" if attempt.lost + attempt.errors.len() > 0 => {
                attempt.end = End::Recorded;
                return attempt;
            }
            error => {
                let problem = answer.problem().unwrap();
                assert_eq!(answer.status, 503, "{error}: {}", problem.detail);
                assert!(answer.header("retry-after").is_some(), "{error}: {}", problem.detail);
                attempt.errors.push(problem.detail);
                until_ready(fleet, address);
            }
        }
    }
}

/// Waits until a server that said to try again would take a call, or has died, or it is all over.
fn until_ready(fleet: &Fleet, address: SocketAddr) {
    let ready = Call::plain("GET", "/readyz");
    until("readiness", || {
        let waits = send(address, &ready).is_ok_and(|answer| answer.status == 503);
        Ok((!waits || fleet.is_over()).then_some(()))
    })
    .unwrap();
}
