//! What an operator does with the record as a whole, with the real programs: backup beside a running server, restore,
//! move to PostgreSQL and back, erase; after each, the ledger verifies and the CA goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jit_ssh_proto::Code;
use jit_ssh_test_postgres::Postgres;
use jit_ssh_tests::api::{Call, Key, Session, Signing, access_body};
use jit_ssh_tests::process::{self, Output};
use jit_ssh_tests::witness::Witness;
use serde_json::Value;

use crate::stand::{Server, Site};

/// `jit-ssh-ca` with these words.
fn run(words: &[&str]) -> Output {
    let mut command = process::command(&process::program("jit-ssh-ca").unwrap());
    process::run(command.args(words)).unwrap()
}

fn dir(site: &Site) -> &str {
    site.dir.to_str().unwrap()
}

fn verified(site: &Site, more: &[&str]) -> Value {
    let mut words = vec!["log", "verify", "--json", dir(site)];
    words.extend(more);
    let output = run(&words).ok().unwrap();
    let report = output.json().unwrap();
    assert_eq!((&report["ok"], &report["more"]), (&Value::Bool(true), &Value::from(0)), "{report}");
    report
}

fn serial(site: &Site, server: &Server, session: &Session) -> u64 {
    let answer = server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap());
    assert_eq!(answer.status, 201, "{}", answer.text());
    site.certificates().last().unwrap().serial
}

fn stores(site: &Site, url: &str) {
    let store = format!("[store]\nurl = \"{url}\"\n[[issuer]]");
    site.write("ca.toml", &site.config().replacen("[[issuer]]", &store, 1));
}

/// The newest checkpoint, as a witness fetches it.
fn witness(server: &Server, file: &Path) {
    let answer = server.send(&Call::plain("GET", "/log/checkpoint"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    fs::write(file, answer.text()).unwrap();
}

#[test]
fn a_backup_is_taken_beside_a_server_and_what_came_after_it_stays_refused() {
    let site = Site::new();
    let folder = tempfile::tempdir().unwrap();
    let (file, checkpoint) = (folder.path().join("ca.backup"), folder.path().join("checkpoint"));
    let (file, checkpoint) = (file.to_str().unwrap(), checkpoint.to_str().unwrap());
    let server = site.serve();
    let session = server.session(&site, "alice");
    assert_eq!(serial(&site, &server, &session), 1);
    let said = run(&["backup", file, dir(&site)]).ok().unwrap();
    assert!(said.out.contains(" leaves, root ") && said.err.contains("keys are NOT in it"), "{said:?}");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let leaves = verified(&site, &["--backup", file])["leaves"].as_u64().unwrap();
    let error = run(&["backup", file, dir(&site)]).code(1).unwrap().err;
    assert!(error.contains("is there already"), "{error}");

    // What will be lost.
    assert_eq!(serial(&site, &server, &session), 2);
    witness(&server, Path::new(checkpoint));
    let lost = verified(&site, &["--checkpoint", checkpoint])["leaves"].as_u64().unwrap() - leaves;
    let error = run(&["restore", file, dir(&site), "--replace", "--accept-loss"]).code(1).unwrap().err;
    assert!(error.contains("another jit-ssh-ca uses"), "{error}");
    server.stop();

    // Nothing but a backup is left, and a checkpoint that somebody has.
    let empty = site.copy("empty");
    for name in ["ca.db", "ca.db-wal", "ca.db-shm", "ledger.seen"] {
        let _absent = fs::remove_file(empty.dir.join(name));
    }
    let error = run(&["restore", file, dir(&empty)]).code(1).unwrap().err;
    assert!(error.contains("--checkpoint") && error.contains("--accept-loss"), "{error}");
    for (restored, more) in [(&empty, vec!["--checkpoint", checkpoint]), (&site, vec!["--replace"])] {
        let mut words = vec!["restore", file, dir(restored)];
        words.extend(&more);
        let error = run(&words).code(1).unwrap().err;
        assert!(error.contains(&format!("what the last {lost} say would be lost")), "{error}");
        words.push("--accept-loss");
        let said = run(&words).ok().unwrap();
        assert!(said.err.contains(&format!("{lost} events after the backup are lost")), "{said:?}");
        verified(restored, &[]);
        let error = run(&["log", "verify", dir(restored), "--checkpoint", checkpoint]).code(1);
        assert!(error.unwrap().out.contains("another history"), "the witness is right");
    }
    // One database, with the log and index that SQLite has beside it.
    let names =
        fs::read_dir(&site.dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let aside = names.filter(|name| name.starts_with("ca.db.replaced-"));
    assert_eq!(aside.filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm")).count(), 1);

    // The session of before has ended, and serials went on far beyond what was lost.
    let server = site.serve();
    let answer = server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap());
    assert!(!(200..300).contains(&answer.status), "{}", answer.text());
    let text = site.log_show(&[]);
    assert!(text.contains("store.restored") && text.contains("certificate.revoked"), "{text}");
    let key = Key::new().unwrap();
    let refused = server.send(&site.login_call("alice", &key, None));
    let problem: Value = refused.json().unwrap();
    assert_eq!(problem["code"], Code::SignatureReplayed.as_str(), "not within a minute: {problem}");
    server.stop();
    let serials = site.query("SELECT next FROM serials WHERE authority = 'user'");
    assert!(serials[0].int(0).unwrap() > 1 << 20, "{serials:?}");
    verified(&site, &[]);
}

#[test]
fn a_restore_asks_the_witnesses_how_far_the_ledger_had_come() {
    let site = Site::new();
    let witness = Witness::start().unwrap();
    site.write("ca.toml", &(site.config() + &witness.entry()));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let backup = |site: &Site, name: &str| drop(run(&["backup", &file(name), dir(site)]).ok().unwrap());
    let server = site.serve();
    let session = server.session(&site, "alice");
    serial(&site, &server, &session);
    backup(&site, "early");
    server.stop();
    let other = site.copy("other");
    let server = site.serve();
    serial(&site, &server, &session);
    let newest = file("checkpoint");
    self::witness(&server, Path::new(&newest));
    let seen = witness.cosigned().last().copied().unwrap();
    serial(&site, &server, &session);
    backup(&site, "late");
    server.stop();
    // The same CA, whose history went on otherwise, and further.
    other.write("ca.toml", &other.config());
    let server = other.serve();
    let serials: Vec<u64> = (0..5).map(|_| serial(&other, &server, &session)).collect();
    assert_eq!(serials, [2, 3, 4, 5, 6]);
    server.stop();
    backup(&other, "another");

    // Nothing is left but backups, and what the witness knows.
    let restore = |name: &str, more: &[&str]| {
        for name in ["ca.db", "ca.db-wal", "ca.db-shm", "ledger.seen"] {
            let _absent = fs::remove_file(site.dir.join(name));
        }
        let mut command = process::command(&process::program("jit-ssh-ca").unwrap());
        command.args(["restore", &file(name), dir(&site)]).args(more);
        process::run(command.env("JIT_SSH_PASSPHRASE_FILE", &site.passphrase)).unwrap()
    };
    let error = restore("early", &[]).code(1).unwrap().err;
    assert!(error.contains(&format!("witness.example/w1 knows of {seen}: what the last")), "{error}");
    let error = restore("another", &[]).code(1).unwrap().err;
    assert!(error.contains("witness.example/w1 saw another history"), "{error}");
    assert!(!site.dir.join("ca.db").exists());
    restore("late", &[]).ok().unwrap();
    verified(&site, &["--checkpoint", &newest]);
    // The witness goes along with what came of that.
    let server = site.serve();
    self::witness(&server, Path::new(&newest));
    assert!(witness.cosigned().last().copied().unwrap() > seen);
    server.stop();
    restore("early", &["--accept-loss"]).ok().unwrap();
    // One that is away knows nothing.
    let entry = format!("[[witness]]\nurl = \"http://127.0.0.1:9/w1\"\nkey = {:?}\n", witness.vkey());
    site.write("ca.toml", &(site.config() + &entry));
    let error = restore("late", &[]).code(1).unwrap().err;
    assert!(error.contains("witness.example/w1 did not say: it cannot be reached"), "{error}");
    assert!(error.contains("nothing here knows how far the ledger had come"), "{error}");
}

#[test]
fn a_ledger_moves_to_postgresql_and_back_and_keeps_its_root() {
    let postgres = Postgres::start().unwrap();
    let site = Site::new();
    let server = site.serve();
    let session = server.session(&site, "alice");
    serial(&site, &server, &session);
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    witness(&server, &checkpoint);
    let checkpoint = checkpoint.to_str().unwrap();
    let url = postgres.database().unwrap();
    let error = run(&["store", "move", &url, dir(&site)]).code(1).unwrap().err;
    assert!(error.contains("another jit-ssh-ca uses"), "{error}");
    server.stop();

    let said = run(&["store", "move", &url, dir(&site)]).ok().unwrap();
    assert!(said.err.contains(&format!("url = {url:?}")), "{said:?}");
    assert!(site.refuses_to_serve().contains("was moved to postgres://"));
    stores(&site, &url);
    let server = site.serve();
    serial(&site, &server, &session);
    verified(&site, &["--checkpoint", checkpoint]);
    // From a running server too: it appends nothing more.
    let back = site.dir.join("back.db");
    let error = run(&["store", "move", "postgres://u:secret@127.0.0.1/x", dir(&site)]).code(1).unwrap().err;
    assert!(error.contains("PGPASSFILE") && !error.contains("secret"), "{error}");
    run(&["store", "move", back.to_str().unwrap(), dir(&site)]).ok().unwrap();
    // Whoever spreads calls over several servers knows it before anybody calls.
    assert_eq!(server.send(&Call::plain("GET", "/readyz")).status, 503);
    let answer = server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap());
    assert_eq!(answer.status, 503, "{}", answer.text());
    server.stop();
    stores(&site, "sqlite:back.db");
    let server = site.serve();
    let answer = server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap());
    assert_eq!(answer.status, 201, "{}", answer.text());
    server.stop();
    verified(&site, &["--checkpoint", checkpoint]);
    // And the other one, after all: but the new one has gone on.
    stores(&site, &url);
    let error = run(&["store", "resume", dir(&site)]).code(1).unwrap().err;
    assert!(error.contains("does not go on from"), "{error}");
    fs::remove_file(site.dir.join("ledger.seen")).unwrap();
    let error = run(&["store", "resume", dir(&site)]).code(1).unwrap().err;
    assert!(error.contains("has gone on: it has") && error.contains("store move"), "{error}");
}

#[test]
fn an_event_is_erased_and_only_what_nothing_stands_on() {
    for postgres in [None, Some(Postgres::start().unwrap())] {
        let site = postgres.as_ref().map_or_else(Site::new, Site::on);
        let server = site.serve();
        let session = server.session(&site, "alice");
        serial(&site, &server, &session);
        // A request that is refused, for a host that is not there.
        let signing = Signing::new(&site.ca, &session.key, Some(&session.id));
        let mut body = access_body(&site.ca, &session.key, &Key::new().unwrap(), signing.id).unwrap();
        body.accounts = vec!["root@web-1".to_owned()];
        body.reason = "hunter2, oops".to_owned();
        let call = signing.call("POST", "/v1/requests", serde_json::to_vec(&body).unwrap()).unwrap();
        let call = call.with("authorization", &session.bearer());
        let answer = server.send(&call);
        assert!(answer.status >= 400, "{}", answer.text());
        let index = site.leaves().len() - 1;
        let shown = site.log_show(&[]);
        assert!(shown.contains("hunter2"), "{shown}");
        let erase = |index: usize| {
            run(&["log", "erase", &index.to_string(), dir(&site), "--reason", "OPS-9: a password"])
        };
        let server = if postgres.is_none() {
            let error = erase(index).code(1).unwrap().err;
            assert!(error.contains("another jit-ssh-ca uses"), "{error}");
            server.stop();
            None
        } else {
            Some(server)
        };
        let error = erase(0).code(1).unwrap().err;
        assert!(error.contains("ca.initialised"), "{error}");
        let error = erase(index - 1).code(1).unwrap().err;
        assert!(error.contains("the certificate of event"), "{error}");
        let said = erase(index).ok().unwrap();
        assert!(said.err.contains("backups, what a restore moved aside"), "{said:?}");
        let shown = site.log_show(&[]);
        assert!(!shown.contains("hunter2") && shown.contains("erased"), "{shown}");
        assert_eq!(verified(&site, &[])["erased"], 1);
        let server = server.unwrap_or_else(|| site.serve());
        let answer = server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap());
        assert_eq!(answer.status, 201, "{}", answer.text());
        server.stop();
        assert_eq!(verified(&site, &[])["erased"], 1);
    }
}
