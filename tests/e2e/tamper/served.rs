//! The same seen from outside: an operator rewrites the ledger, takes away what would have told the CA, and serves it.
//! Whoever saw it before is told by `jit-ssh log verify`, whatever was done and however well it fits together.

use std::fs;
use std::path::Path;

use jit_ssh_tests::browser;
use jit_ssh_tests::ca::Ca;
use jit_ssh_tests::client::Person;
use jit_ssh_tests::database::Database;
use jit_ssh_tests::provider::NodeProvider;

use crate::proven::setup;

/// What is done to a ledger of so many leaves, and what is said when it is served.
struct Case {
    what: &'static str,
    sql: fn(u64) -> String,
    says: fn(u64) -> String,
}

fn another_beginning(size: u64) -> String {
    format!("the first {size} entries are not those")
}

const CASES: &[Case] = &[
    Case {
        what: "another event, with a hash that fits",
        sql: |_| "UPDATE events SET hash = zeroblob(32) WHERE leaf = 2".to_owned(),
        says: another_beginning,
    },
    Case {
        what: "two events in each other's place",
        sql: |_| {
            "UPDATE events SET leaf = 1000 WHERE leaf = 2; UPDATE events SET leaf = 2 WHERE leaf = 3; \
             UPDATE events SET leaf = 3 WHERE leaf = 1000"
                .to_owned()
        },
        says: another_beginning,
    },
    Case {
        what: "an event put in between",
        sql: |_| {
            "UPDATE events SET leaf = leaf + 1000 WHERE leaf > 2; UPDATE events SET leaf = leaf - 999 WHERE leaf > 1000; \
             INSERT INTO events (leaf, time, kind, hash) SELECT 3, time, kind, randomblob(32) FROM events WHERE leaf = 2"
                .to_owned()
        },
        says: another_beginning,
    },
    Case {
        what: "an event gone, the gap closed, and another put at the end",
        sql: |size| {
            format!(
                "DELETE FROM events WHERE leaf = 2; UPDATE events SET leaf = leaf + 1000 WHERE leaf > 2; \
                 UPDATE events SET leaf = leaf - 1001 WHERE leaf > 1000; \
                 INSERT INTO events (leaf, time, kind, hash) SELECT {}, time, kind, randomblob(32) FROM events WHERE leaf = 2",
                size - 1
            )
        },
        says: another_beginning,
    },
    Case {
        what: "the tail cut off",
        // A start adds an event or two, by which it stays too short.
        sql: |_| "DELETE FROM events WHERE leaf >= 2".to_owned(),
        says: |size| format!("it had {size} entries and now has"),
    },
];

#[test]
fn whatever_is_served_in_place_of_the_ledger_that_was_seen_is_called_out() {
    let provider = NodeProvider::start().unwrap();
    let ca = Ca::start(&setup(provider.issuer())).unwrap();
    let alice = Person::new().unwrap();
    alice.setup(&ca).unwrap();
    alice.login(["deploy@web-1"], |url| browser::log_in(url, "alice")).unwrap().ok().unwrap();
    let verify = || alice.run(["log", "verify", "--json"]).unwrap();
    let seen = verify().ok().unwrap().json().unwrap()["size"].as_u64().unwrap();
    let (mut data, _) = ca.stop().unwrap();
    let file = |dir: &Path| dir.join("ca.db");
    let kept = fs::read(file(data.dir())).unwrap();
    for Case { what, sql, says } in CASES {
        fs::write(file(data.dir()), &kept).unwrap();
        Database::Sqlite(file(data.dir())).execute(&sql(seen)).unwrap();
        fs::remove_file(data.dir().join("ledger.seen")).unwrap();
        let ca = Ca::serve(data, Vec::new()).unwrap();
        let told = verify().code(1).unwrap();
        assert!(told.err.contains(&says(seen)), "{what}: {:?} not in {}", says(seen), told.err);
        data = ca.stop().unwrap().0;
    }
    // The right one put back, all is well again.
    fs::write(file(data.dir()), &kept).unwrap();
    fs::remove_file(data.dir().join("ledger.seen")).unwrap();
    let _ca = Ca::serve(data, Vec::new()).unwrap();
    verify().ok().unwrap();
}
