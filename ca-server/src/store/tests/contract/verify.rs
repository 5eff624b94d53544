//! The offline verifier: a good ledger passes, and whatever is changed past the CA is found and named.

use super::identities::{asked_about, binds, disables};
use super::issuing::{grant, is_granted, is_issued};
use super::*;
use crate::store::verify::{Known, Report, Verify};

/// Leaves of a busy ledger: sessions, requests and a certificate first, then enough for two tiles.
const FILL: u64 = 600;

/// A ledger with everything in it that there is.
pub(super) async fn busy(store: &Store) {
    let grant = grant(ALICE, 1, 1, 0);
    let changes = vec![
        asked_about(ALICE, 1),
        is_granted(ALICE, &grant, 1, 1),
        is_issued(ALICE, &grant, 1, 1),
        is_issued(ALICE, &grant, 1, 1),
        BOB.opens(2),
        BOB.is_denied(2, 2),
        BOB.ends(2),
    ];
    for result in results(store, 0, changes).await {
        result.unwrap();
    }
    results(store, 1, (7..500).map(|_| policy_loaded()).collect()).await;
    for result in
        results(store, 1, vec![binds("corp", "https://id.example.com"), disables("corp", "mallory")]).await
    {
        result.unwrap();
    }
    results(store, 1, (502..FILL).map(|_| policy_loaded()).collect()).await;
}

/// Verifies a home's database against what it has seen.
pub(super) async fn verified(home: &Home) -> Report {
    let known = last_seen(&home.options().seen);
    let known = known.map(|head| Known { from: "ledger.seen".to_owned(), head, reached: true });
    verify(home, known.into_iter().collect()).await
}

async fn verify(home: &Home, known: Vec<Known>) -> Report {
    Verify { database: Database::Url(home.url()), ca: ca(), known }.run(Box::new(|_, _| {})).await.unwrap()
}

fn findings(report: &Report) -> Vec<String> {
    report.findings.iter().map(|finding| format!("{}: {}", finding.at, finding.what)).collect()
}

#[tokio::test]
async fn a_good_ledger_passes_beside_its_writer_and_after_it() {
    let home = home();
    let store = home.open().await;
    assert!(verified(&home).await.is_good(), "an empty one");
    busy(&store).await;
    let head = store.tree_head().await.unwrap();
    for _ in 0..2 {
        let report = verified(&home).await;
        assert_eq!(findings(&report), [""; 0]);
        assert_eq!((report.leaves, report.head), (FILL, Some(head)));
        // Two sessions, two requests, two certificates, two names, a serial, an issuer, and one who may not log in.
        assert_eq!((report.rows, report.erased, report.unknown), (11, 0, 0));
        store.clone().close().await;
    }
}

#[tokio::test]
async fn every_earlier_checkpoint_agrees_and_another_history_does_not() {
    let home = home();
    let store = home.open().await;
    let mut known = Vec::new();
    for size in 0..20 {
        let head = store.tree_head().await.unwrap();
        assert_eq!(head.size, size);
        known.push(Known { from: format!("at {size}"), head, reached: true });
        results(&store, 0, vec![policy_loaded()]).await;
    }
    assert_eq!(findings(&verify(&home, known.clone()).await), [""; 0]);
    for at in &mut known {
        at.head.root[31] ^= 1;
    }
    let found = findings(&verify(&home, known.clone()).await);
    assert_eq!(found.len(), known.len(), "{found:?}");
    assert_eq!(found[7], "at 7: another history: of the first 7 leaves it has another root");
    let mut ahead = Known { from: "the witness".to_owned(), head: known[0].head, reached: true };
    ahead.head.size = 21;
    let found = findings(&verify(&home, vec![ahead.clone()]).await);
    assert_eq!(found, ["the witness: it has 21 leaves, but only 20 are there"]);
    ahead.reached = false;
    assert!(verify(&home, vec![ahead]).await.is_good());
}

/// What is done past the CA, and how what is found begins, in any order.
const TAMPERING: &[(&str, &[&str])] = &[
    // Leaves.
    ("DELETE FROM events WHERE leaf = 8", &["leaf 8: is missing", "ledger: it has no root"]),
    (
        "DELETE FROM events WHERE leaf IN (10, 11, 12)",
        &["leaves 10 to 12: are missing", "ledger: it has no root"],
    ),
    ("DELETE FROM events WHERE leaf = 599", &["ledger.seen: it has 600 leaves, but only 599 are there"]),
    ("UPDATE events SET leaf = 600 WHERE leaf = 599", &["leaf 599: is missing", "ledger: it has no root"]),
    (
        "UPDATE events SET body = (SELECT body FROM events AS b WHERE b.leaf = 5) WHERE leaf = 1",
        &["leaf 1: its body and salt are not what its hash is of"],
    ),
    (
        "UPDATE events SET salt = (SELECT salt FROM events AS b WHERE b.leaf = 5) WHERE leaf = 9",
        &["leaf 9: its body and salt are not what its hash is of"],
    ),
    (
        "UPDATE events SET hash = (SELECT hash FROM events AS b WHERE b.leaf = 5) WHERE leaf = 9",
        &[
            "leaf 9: its body and salt are not what its hash is of",
            "tile 1/0: its hash is not that of its leaves",
            "ledger.seen: another history",
        ],
    ),
    (
        "UPDATE events SET body = NULL, salt = NULL WHERE leaf = 9",
        &["leaf 9: its body is gone, and no event says that it was erased"],
    ),
    ("UPDATE events SET body = NULL WHERE leaf = 9", &["leaf 9: its body is gone, but its salt is there"]),
    ("UPDATE events SET salt = NULL WHERE leaf = 9", &["leaf 9: its salt is gone, but its body is there"]),
    // A swapped pair, both whole: only the tree tells, and the tile says where.
    (
        "UPDATE events SET leaf = 9000 WHERE leaf = 9; UPDATE events SET leaf = 9 WHERE leaf = 300; \
         UPDATE events SET leaf = 300 WHERE leaf = 9000",
        &[
            "tile 1/0: its hash is not that of its leaves",
            "tile 1/1: its hash is not that of its leaves",
            "ledger.seen: another history",
        ],
    ),
    // What events are found by.
    ("UPDATE events SET time = time + 1 WHERE leaf = 599", &["leaf 599: its column time says 1790000002"]),
    (
        "UPDATE events SET time = time - 9 WHERE leaf = 599",
        &["leaf 599: its time is 1789999992, before", "leaf 599: its column time says"],
    ),
    ("UPDATE events SET kind = 'key.used' WHERE leaf = 9", &["leaf 9: its column kind says \"key.used\""]),
    ("UPDATE events SET name = 'bob' WHERE leaf = 0", &["leaf 0: its column name says \"bob\""]),
    ("UPDATE events SET sub = NULL WHERE leaf = 2", &["leaf 2: its column sub says nothing"]),
    ("UPDATE events SET serial = 7 WHERE leaf = 2", &["leaf 2: its column serial says 7"]),
    ("UPDATE events SET grant_id = 'x' WHERE leaf = 9", &["leaf 9: its column grant_id says \"x\""]),
    // Tiles.
    ("DELETE FROM tiles WHERE level = 1 AND idx = 1", &["tile 1/1: it is missing"]),
    (
        "UPDATE tiles SET hash = (SELECT hash FROM events WHERE leaf = 1) WHERE idx = 0",
        &["tile 1/0: its hash is not that of its leaves"],
    ),
    (
        "INSERT INTO tiles SELECT 1, 2, hash FROM events WHERE leaf = 1",
        &["tile 1/2: it is there, but not all of its leaves are"],
    ),
    (
        "INSERT INTO tiles SELECT 9, 0, hash FROM events WHERE leaf = 1",
        &["tile 9/0: no tree has such a tile"],
    ),
    // Sessions.
    (
        "UPDATE sessions SET expires = expires + 1 WHERE leaf = 0",
        &["sessions row ses_…: its column expires says"],
    ),
    (
        "UPDATE sessions SET ended = NULL WHERE leaf = 4",
        &["sessions row ses_…: its column ended says nothing"],
    ),
    ("UPDATE sessions SET ended = 1 WHERE leaf = 0", &["sessions row ses_…: its column ended says 1"]),
    ("UPDATE sessions SET sub = 'bob-sub' WHERE leaf = 0", &["sessions row ses_…: its column sub says"]),
    (
        "UPDATE sessions SET session_key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFUBVIXwbbKM/Ry/8udQQ1/1ryHc1r4s8EVN9tnYB4Qz' WHERE leaf = 0",
        &["sessions row ses_…: its column session_key has the fingerprint"],
    ),
    (
        "UPDATE sessions SET claims = replace(claims, 'alice-sub', 'bob-sub') WHERE leaf = 0",
        &["sessions row ses_…: its column claims"],
    ),
    (
        "UPDATE sessions SET claims = replace(claims, 'pwd', 'hwk') WHERE leaf = 0",
        &["sessions row ses_…: its column claims"],
    ),
    ("UPDATE sessions SET keep_until = 1 WHERE leaf = 0", &["sessions row ses_…: its column keep_until"]),
    ("DELETE FROM sessions WHERE leaf = 4", &["sessions row ses_…: it is missing"]),
    (
        "UPDATE sessions SET leaf = 9 WHERE leaf = 4",
        &["sessions row ses_…: it stands on leaf 9, which is no event of it"],
    ),
    (
        "UPDATE sessions SET leaf = 900 WHERE leaf = 4",
        &["sessions row ses_…: it stands on leaf 900, which is not there"],
    ),
    // Requests.
    ("DELETE FROM requests WHERE leaf = 5", &["requests row req_…: it is missing"]),
    (
        "UPDATE requests SET not_after = not_after + 1 WHERE leaf = 1",
        &["requests row req_…: its column not_after says"],
    ),
    (
        "UPDATE requests SET refused = NULL WHERE leaf = 5",
        &["requests row req_…: its column refused says nothing"],
    ),
    (
        "UPDATE requests SET grant_id = 'grt_x', not_before = 0, not_after = 9000000000 WHERE leaf = 5",
        &[
            "requests row req_…: its column grant_id says \"grt_x\"",
            "requests row req_…: its column not_before says 0",
            "requests row req_…: its column not_after says 9000000000",
        ],
    ),
    ("UPDATE requests SET asked = '{}' WHERE leaf = 1", &["requests row req_…: its column asked says"]),
    // Certificates and serials.
    ("DELETE FROM certificates WHERE serial = 2", &["certificates row user/2: it is missing"]),
    (
        "UPDATE certificates SET serial = 3 WHERE serial = 2",
        &["certificates row user/2: it is missing", "certificates row user/3: its column serial says 3"],
    ),
    (
        "UPDATE certificates SET revoked = 'because' WHERE serial = 2",
        &["certificates row user/2: its column revoked says \"because\""],
    ),
    (
        "UPDATE certificates SET valid_before = 9000000000 WHERE serial = 1",
        &["certificates row user/1: its column valid_before says"],
    ),
    (
        "UPDATE certificates SET request = (SELECT id FROM requests WHERE leaf = 5) WHERE serial = 1",
        &["certificates row user/1: its request req_"],
    ),
    ("UPDATE serials SET next = 2", &["serials row user: its column next says 2, but the events say 3"]),
    ("DELETE FROM serials", &["serials row user: it is missing, but the events say 3"]),
    (
        "INSERT INTO serials VALUES ('host', 7)",
        &["serials row host: its column next says 7, but the events say 1"],
    ),
    // Names.
    (
        "UPDATE identities SET sub = 'bob-sub' WHERE name = 'alice'",
        &[
            "identities row alice: leaf 0 has the name as another's",
            "identities row alice: its column sub says",
        ],
    ),
    ("DELETE FROM identities WHERE name = 'bob'", &["identities row bob: it is missing"]),
    (
        "INSERT INTO identities VALUES ('carol', 'corp', 'alice-sub', 0)",
        &["identities row carol: it stands on leaf 0, which is no event of it"],
    ),
    ("UPDATE sessions SET sid = 'x' WHERE sub = 'alice-sub'", &["sessions row ses_…: its column sid is not"]),
    ("DELETE FROM disabled", &["disabled row corp/mallory: it is missing, though an event says so"]),
    (
        "UPDATE disabled SET reason = 'x'",
        &["disabled row corp/mallory: its column reason says x, but the events say"],
    ),
    (
        "INSERT INTO disabled VALUES ('corp/alice-sub', 'x', 0, 0)",
        &["disabled row corp/alice-sub: no event says so"],
    ),
    ("DELETE FROM issuers", &["issuers row corp: it is missing, though an event says so"]),
    (
        "UPDATE issuers SET url = 'https://evil.example'",
        &[
            "issuers row corp: its column url says https://evil.example, but the events say https://id.example.com",
        ],
    ),
    ("INSERT INTO issuers VALUES ('other', 'https://x', 0)", &["issuers row other: no event says so"]),
    ("INSERT INTO meta VALUES ('floor', '1')", &["meta row floor: it says 1, but the events say nothing"]),
];

/// Issue 3, "a tamper test": each is found, and named exactly.
#[tokio::test]
async fn whatever_is_changed_past_the_ca_is_found_and_named() {
    let home = home();
    let store = home.open().await;
    busy(&store).await;
    store.close().await;
    let whole = content(&home);
    let mut wrong = Vec::new();
    for (statement, expected) in TAMPERING {
        let found = past_and_back(&home, statement).await;
        let found: Vec<String> = found.iter().map(|finding| without_ids(finding)).collect();
        let named = expected.iter().all(|wanted| found.iter().any(|found| found.starts_with(wanted)));
        if !named || found.len() != expected.len() {
            wrong.push(format!("{statement}\n{found:#?}"));
        }
        assert_eq!(content(&home), whole, "the test did not put back what {statement} did");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is found after a statement, which is then undone.
async fn past_and_back(home: &Home, statement: &str) -> Vec<String> {
    let undo: Vec<(String, Vec<Vec<Value>>)> = TABLES.iter().map(|(table, _)| rows_of(home, table)).collect();
    statement.split("; ").for_each(|statement| sql(home, statement));
    let found = findings(&verified(home).await);
    past(home, |conn| {
        conn.begin().unwrap();
        for (table, rows) in &undo {
            conn.execute(&format!("DELETE FROM {table}"), &[]).unwrap();
            for row in rows {
                // No argument may be NULL: it stands in the text.
                let args: Vec<Value> = row.iter().filter(|cell| **cell != Value::Null).cloned().collect();
                let mut next = 0;
                let places = row.iter().map(|cell| {
                    if *cell == Value::Null {
                        "NULL".to_owned()
                    } else {
                        next += 1;
                        format!("${next}")
                    }
                });
                let places: Vec<String> = places.collect();
                let text = format!("INSERT INTO {table} VALUES ({})", places.join(", "));
                conn.execute(&text, &args).unwrap();
            }
        }
        conn.commit().unwrap();
    });
    found
}

fn rows_of(home: &Home, table: &str) -> (String, Vec<Vec<Value>>) {
    let rows = past(home, |conn| conn.select(&format!("SELECT * FROM {table}"), &[]).unwrap());
    (table.to_owned(), rows.into_iter().map(|row| row.0).collect())
}

/// `sessions row ses_01m…: x` as `sessions row ses_…: x`
fn without_ids(finding: &str) -> String {
    match finding.split_once("_01") {
        Some((before, after)) if finding.contains(" row ") => {
            format!("{before}_…{}", after.split_once(':').map_or("", |_| &after[after.find(':').unwrap()..]))
        }
        _ => finding.to_owned(),
    }
}
