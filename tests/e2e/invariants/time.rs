//! Invariant 12: a clock that went back extends nothing. The clock of a machine is not a test's to set, so the ledger is
//! set ahead of it: to a CA both look the same.

use jit_ssh_tests::api::{Call, Key, Session, now};
use serde_json::Value;

use crate::stand::{Server, Site};

/// Moves the ledger's last event so that the clock is `seconds` behind it. The stored leaf is left as it is: what the
/// CA goes by is the time that its index of events holds.
fn ahead(site: &Site, seconds: u64) {
    let time = now() + seconds;
    site.execute(&format!("UPDATE events SET time = {time} WHERE leaf = (SELECT MAX(leaf) FROM events)"));
}

fn look(server: &Server, session: &Session) -> String {
    let call = Call::plain("GET", "/v1/sessions/current").with("authorization", &session.bearer());
    server.send(&call).outcome()
}

#[test]
fn invariant_12_a_clock_far_behind_the_ledger_starts_nothing() {
    let site = Site::new();
    site.serve().stop();
    ahead(&site, 3600);
    let before = site.state();
    let said = site.refuses_to_serve();
    let line = said.lines().last().unwrap();
    assert!(line.contains("clock") && line.contains("behind the ledger"), "{said}");
    assert_eq!(site.state(), before);
    // When the clock has caught up, it goes on.
    ahead(&site, 0);
    site.serve().stop();
}

#[test]
fn invariant_12_a_clock_a_little_behind_is_lifted_and_ends_what_has_ended() {
    let site = Site::new();
    let limits = "[limits]\nsession = \"40s\"\nduration = \"2h\"\nttl = \"30m\"\n[[issuer]]";
    site.write("ca.toml", &site.config().replacen("[[issuer]]", limits, 1));
    let server = site.serve();
    let session = server.session(&site, "alice");
    assert_eq!(look(&server, &session), "200");
    server.stop();
    // By the ledger the session is over; by the clock it would go on for half a minute.
    ahead(&site, 50);
    let server = site.serve();
    assert_eq!(look(&server, &session), "401 session_expired");
    let key = Key::new().unwrap();
    let answer = server.send(&session.access(&site.ca, &key).unwrap());
    assert_eq!(answer.outcome(), "401 session_expired");
    assert!(site.certificates().is_empty());
    // Times in the ledger never go back.
    let times = site.query("SELECT time FROM events ORDER BY leaf");
    let times: Vec<i64> = times.iter().map(|row| row.int(0).unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn invariant_12_a_certificate_is_dated_by_the_ledger_and_ends_no_later_for_it() {
    let site = Site::new();
    let server = site.serve();
    let session = server.session(&site, "alice");
    server.stop();
    ahead(&site, 50);
    let server = site.serve();
    let answer = server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap());
    assert_eq!(answer.status, 201, "{}", answer.text());
    let issued: Value = answer.json().unwrap();
    let end = issued["valid_before"].as_u64().unwrap();
    // Ten minutes from the ledger's time, which is the later of the two.
    assert!(end <= now() + 50 + 600, "{end}");
    let ledger = site.query("SELECT MAX(time) FROM events")[0].int(0).unwrap();
    assert!(end <= u64::try_from(ledger).unwrap() + 600);
}
