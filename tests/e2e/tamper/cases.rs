//! The table: what is done, and what must be said of it.

use std::fs;

use data_encoding::HEXLOWER;
use jit_ssh_proto::Salt;
use jit_ssh_proto::event::Event;
use jit_ssh_tests::database::Database;

use super::Leaves;
use crate::stand::Site;

pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) does: fn(&Site, &Leaves),
    /// How the line begins that names it.
    pub(super) finds: fn(&Site, &Leaves) -> String,
    /// Whether the checkpoint that was last seen is still beside the database.
    pub(super) remembers: bool,
}

/// A leaf somewhere in the first tile, and one behind the last complete tile.
const MIDDLE: u64 = 100;

const NOT_ITS_HASH: &str = "its body and salt are not what its hash is of";
const NOT_ITS_LEAVES: &str = "tile 1/0: its hash is not that of its leaves";

/// Turns over one bit of a column of an event.
fn flip(site: &Site, leaf: u64, column: &str) {
    let row = &site.query(&format!("SELECT {column} FROM events WHERE leaf = {leaf}"))[0];
    let mut bytes = row.bytes(0).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    site.execute(&format!("UPDATE events SET {column} = x'{}' WHERE leaf = {leaf}", HEXLOWER.encode(&bytes)));
}

/// Says something else at a leaf, with a hash that fits.
fn rewrite(site: &Site, leaf: u64, from: &str, to: &str) {
    let row = &site.query(&format!("SELECT body, salt FROM events WHERE leaf = {leaf}"))[0];
    let body = String::from_utf8(row.bytes(0).unwrap()).unwrap();
    let new = body.replacen(from, to, 1);
    assert_ne!(new, body, "{from:?} is not in it");
    let salt = Salt::from_bytes(row.bytes(1).unwrap().try_into().unwrap());
    let hash = Event::leaf(&salt, new.as_bytes());
    site.execute(&format!(
        "UPDATE events SET body = x'{}', hash = x'{}' WHERE leaf = {leaf}",
        HEXLOWER.encode(new.as_bytes()),
        HEXLOWER.encode(&hash)
    ));
}

/// Takes away the events from a leaf on, and whatever state came of them.
fn truncate(site: &Site, from: u64) {
    for table in ["events", "identities", "sessions", "requests", "certificates"] {
        site.execute(&format!("DELETE FROM {table} WHERE leaf >= {from}"));
    }
    site.execute(
        "UPDATE serials SET next = 1 + (SELECT MAX(serial) FROM certificates WHERE authority = serials.authority)",
    );
}

/// Lets a CA have some more of a past.
fn go_on(site: &Site) {
    let server = site.serve();
    server.session(site, "alice");
    server.stop();
}

/// The leaf of the first certificate.
fn certificate(leaves: &Leaves) -> u64 {
    leaves.first("certificate.issued")
}

fn session(site: &Site, leaf: u64, finding: &str) -> String {
    let row = &site.query(&format!("SELECT id FROM sessions WHERE leaf = {leaf}"))[0];
    format!("sessions row {}: {finding}", row.text(0).unwrap())
}

fn request(site: &Site, leaf: u64, finding: &str) -> String {
    let row = &site.query(&format!("SELECT id FROM requests WHERE leaf = {leaf}"))[0];
    format!("requests row {}: {finding}", row.text(0).unwrap())
}

fn row_of(site: &Site, leaf: u64, finding: &str) -> String {
    let row = &site.query(&format!("SELECT authority, serial FROM certificates WHERE leaf = {leaf}"))[0];
    format!("certificates row {}/{}: {finding}", row.text(0).unwrap(), row.text(1).unwrap())
}

pub(super) const CASES: &[Case] = &[
    // The log itself.
    Case {
        what: "one bit of a body",
        does: |site, _| flip(site, MIDDLE, "body"),
        finds: |_, _| format!("leaf {MIDDLE}: {NOT_ITS_HASH}"),
        remembers: false,
    },
    Case {
        what: "one bit of a salt",
        does: |site, _| flip(site, MIDDLE, "salt"),
        finds: |_, _| format!("leaf {MIDDLE}: {NOT_ITS_HASH}"),
        remembers: false,
    },
    Case {
        what: "one bit of a hash",
        does: |site, _| flip(site, MIDDLE, "hash"),
        finds: |_, _| format!("leaf {MIDDLE}: {NOT_ITS_HASH}"),
        remembers: false,
    },
    Case {
        what: "another reason, with a hash that fits",
        does: |site, leaves| rewrite(site, leaves.first("request.decided"), "OPS-7", "OPS-8"),
        finds: |_, _| NOT_ITS_LEAVES.to_owned(),
        remembers: false,
    },
    Case {
        what: "another reason behind the last complete tile, with a hash that fits",
        does: |site, leaves| {
            let last = site.query("SELECT MAX(leaf) FROM events WHERE kind = 'request.decided'")[0].int(0);
            assert!(last.as_ref().is_ok_and(|leaf| u64::try_from(*leaf).unwrap() > leaves.count / 256 * 256));
            rewrite(site, last.unwrap().try_into().unwrap(), "OPS-7", "OPS-8");
        },
        finds: |_, _| "ledger.seen: another history".to_owned(),
        remembers: true,
    },
    Case {
        what: "one event gone",
        does: |site, _| site.execute(&format!("DELETE FROM events WHERE leaf = {MIDDLE}")),
        finds: |_, _| format!("leaf {MIDDLE}: is missing"),
        remembers: false,
    },
    Case {
        what: "two events in each other's place",
        does: |site, _| {
            let (one, other) = (MIDDLE, MIDDLE + 2);
            for (from, to) in [(one, 1_000_000), (other, one), (1_000_000, other)] {
                site.execute(&format!("UPDATE events SET leaf = {to} WHERE leaf = {from}"));
            }
        },
        finds: |_, _| NOT_ITS_LEAVES.to_owned(),
        remembers: false,
    },
    Case {
        what: "the tail cut off, and all that came of it",
        does: |site, leaves| truncate(site, leaves.count - 4),
        finds: |_, leaves| {
            format!("ledger.seen: it has {} leaves, but only {} are there", leaves.count, leaves.count - 4)
        },
        remembers: true,
    },
    Case {
        what: "another history that went on from a copy",
        does: |site, _| {
            let other = site.copy("another-history");
            go_on(site);
            go_on(&other);
            fs::copy(other.dir.join("ca.db"), site.dir.join("ca.db")).unwrap();
        },
        finds: |_, _| "ledger.seen: another history".to_owned(),
        remembers: true,
    },
    Case {
        what: "a tile's root",
        does: |site, _| site.execute("UPDATE tiles SET hash = zeroblob(32) WHERE level = 1 AND idx = 0"),
        finds: |_, _| NOT_ITS_LEAVES.to_owned(),
        remembers: false,
    },
    Case {
        what: "a tile's root gone",
        does: |site, _| site.execute("DELETE FROM tiles"),
        finds: |_, _| "tile 1/0: it is missing".to_owned(),
        remembers: false,
    },
    Case {
        what: "what an event is found by says something else than the event",
        does: |site, _| site.execute(&format!("UPDATE events SET name = 'mallory' WHERE leaf = {MIDDLE}")),
        finds: |_, _| format!("leaf {MIDDLE}: its column name says \"mallory\""),
        remembers: true,
    },
    Case {
        what: "a time that an event is found by",
        does: |site, _| site.execute(&format!("UPDATE events SET time = time - 60 WHERE leaf = {MIDDLE}")),
        finds: |_, _| format!("leaf {MIDDLE}: its column time says"),
        remembers: true,
    },
    // State without an event.
    Case {
        what: "a session that nobody opened",
        does: |site, _| {
            site.execute(
                "INSERT INTO sessions SELECT 5000, 'ses_01m818rn98pnbck354cvkm9mds', token_hash, replay, issuer, sub, claims, \
                 session_key, opened, expires, ended, keep_until, NULL FROM sessions LIMIT 1",
            );
        },
        finds: |_, _| {
            "sessions row ses_01m818rn98pnbck354cvkm9mds: it stands on leaf 5000, which is not there"
                .to_owned()
        },
        remembers: true,
    },
    Case {
        what: "a session that lasts longer",
        does: |site, leaves| {
            let opened = leaves.first("session.opened");
            site.execute(&format!("UPDATE sessions SET expires = expires + 3600 WHERE leaf = {opened}"));
        },
        finds: |site, leaves| session(site, leaves.first("session.opened"), "its column expires says"),
        remembers: true,
    },
    Case {
        what: "a session of somebody else",
        does: |site, leaves| {
            let opened = leaves.first("session.opened");
            site.execute(&format!("UPDATE sessions SET sub = 'subject-mallory' WHERE leaf = {opened}"));
        },
        finds: |site, leaves| {
            session(site, leaves.first("session.opened"), "its column sub says \"subject-mallory\"")
        },
        remembers: true,
    },
    Case {
        what: "a session that was ended and lives",
        does: |site, _| site.execute("UPDATE sessions SET ended = NULL"),
        finds: |site, leaves| session(site, leaves.last("session.opened"), "its column ended says nothing"),
        remembers: true,
    },
    Case {
        what: "a grant that nobody decided",
        does: |site, _| {
            site.execute(
                "INSERT INTO requests SELECT 'req_01m818rnenw3xm046bq5abqf1q', session, issuer, sub, time, asked, refused, \
                 'grt_01m818rner51by0bq23zt6t8e4', not_before, not_after, policy_digest, leaf FROM requests LIMIT 1",
            );
        },
        finds: |_, _| "requests row req_01m818rnenw3xm046bq5abqf1q: ".to_owned(),
        remembers: true,
    },
    Case {
        what: "a grant that lasts longer",
        does: |site, leaves| {
            let decided = leaves.first("request.decided");
            site.execute(&format!("UPDATE requests SET not_after = not_after + 3600 WHERE leaf = {decided}"));
        },
        finds: |site, leaves| request(site, leaves.first("request.decided"), "its column not_after says"),
        remembers: true,
    },
    Case {
        what: "a certificate that was never recorded",
        does: |site, _| {
            site.execute(
                "INSERT INTO certificates SELECT authority, 9000, grant_id, request, session, fingerprint, tbs_sha256, \
                 valid_after, valid_before, leaf, revoked FROM certificates LIMIT 1",
            );
        },
        finds: |_, _| "certificates row user/9000: ".to_owned(),
        remembers: true,
    },
    Case {
        what: "a certificate whose row names other bytes",
        does: |site, leaves| {
            let issued = certificate(leaves);
            site.execute(&format!(
                "UPDATE certificates SET tbs_sha256 = '{}' WHERE leaf = {issued}",
                "00".repeat(32)
            ));
        },
        finds: |site, leaves| row_of(site, certificate(leaves), "its column tbs_sha256 says"),
        remembers: true,
    },
    Case {
        what: "a login that is somebody else's now",
        does: |site, _| {
            let mallory = Database::quoted("subject-mallory");
            site.execute(&format!("UPDATE identities SET sub = {mallory} WHERE name = 'alice'"));
        },
        finds: |_, _| "identities row alice: ".to_owned(),
        remembers: true,
    },
    Case {
        what: "serials that go back",
        does: |site, _| site.execute("UPDATE serials SET next = next - 1"),
        finds: |_, _| "serials row user: its column next says".to_owned(),
        remembers: true,
    },
    // An event without its state.
    Case {
        what: "a session that lives and is gone",
        does: |site, leaves| {
            let opened = leaves.first("session.opened");
            site.execute(&format!("DELETE FROM sessions WHERE leaf = {opened}"));
        },
        finds: |site, leaves| session(site, leaves.first("session.opened"), "it is missing"),
        remembers: true,
    },
    Case {
        what: "a grant in force that is gone",
        does: |site, leaves| {
            let decided = leaves.first("request.decided");
            site.execute(&format!("DELETE FROM requests WHERE leaf = {decided}"));
        },
        finds: |site, leaves| request(site, leaves.first("request.decided"), "it is missing"),
        remembers: true,
    },
    Case {
        what: "a certificate in force that is gone",
        does: |site, leaves| {
            site.execute(&format!("DELETE FROM certificates WHERE leaf = {}", certificate(leaves)))
        },
        finds: |site, leaves| row_of(site, certificate(leaves), "it is missing"),
        remembers: true,
    },
    Case {
        what: "a login that is free again",
        does: |site, _| site.execute("DELETE FROM identities WHERE name = 'alice'"),
        finds: |_, _| "identities row alice: it is missing".to_owned(),
        remembers: true,
    },
];
