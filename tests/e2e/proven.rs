//! What a person can prove of a CA that they do not trust: that its ledger holds their certificates, and that it is one
//! history, even when the operator puts an older one in its place and hides that from the CA itself.

use std::fs;
use std::path::{Path, PathBuf};

use jit_ssh_tests::browser;
use jit_ssh_tests::ca::{self, Ca, Data, Setup};
use jit_ssh_tests::client::Person;
use jit_ssh_tests::database::Database;
use jit_ssh_tests::ledger::{Leaf, Roots};
use jit_ssh_tests::process::Output;
use jit_ssh_tests::provider::NodeProvider;
use jit_ssh_tests::witness::Witness;

const POLICY: &str = r#"
@id("all") @ttl("1h")
permit (principal, action == Action::"shell", resource in HostGroup::"web");
"#;

pub(crate) fn setup(url: &str) -> Setup {
    let mut corp = ca::Issuer::new("corp", url, &["sre", "dev"]);
    corp.lines =
        "scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\nallowed_domains = [\"example.com\"]"
            .to_owned();
    Setup {
        issuers: vec![corp],
        policy: POLICY.to_owned(),
        inventory: "[[group]]\nname = \"web\"\nlogins = [\"deploy\"]\n[[host]]\nname = \"web-1\"\ngroups = [\"web\"]\n"
            .to_owned(),
        ..Setup::default()
    }
}

/// The root of each size that the ledger had, by an implementation of RFC 6962 that is not ours.
fn roots(data: &Data) -> Roots {
    let rows =
        Database::Sqlite(data.dir().join("ca.db")).query("SELECT leaf, hash FROM events ORDER BY leaf");
    let leaf = |index, hash| Leaf { index, body: vec![], salt: vec![], hash };
    let leaves: Vec<Leaf> = rows
        .unwrap()
        .iter()
        .map(|row| leaf(row.int(0).unwrap().try_into().unwrap(), row.bytes(1).unwrap()))
        .collect();
    Roots::of(&leaves)
}

fn verify(person: &Person) -> Output {
    person.run(["log", "verify", "--full", "--json"]).unwrap()
}

/// The files of the database that is there, in another place, or back from it.
fn copy(from: &Path, to: &Path) {
    for name in ["ca.db", "ca.db-wal", "ca.db-shm"] {
        let (from, to): (PathBuf, PathBuf) = (from.join(name), to.join(name));
        if to.exists() {
            fs::remove_file(&to).unwrap();
        }
        if from.exists() {
            fs::copy(&from, &to).unwrap();
        }
    }
}

#[test]
fn a_person_proves_the_ledger_and_catches_an_operator_who_puts_back_an_older_one() {
    let provider = NodeProvider::start().unwrap();
    let ca = Ca::start(&setup(provider.issuer())).unwrap();
    let alice = Person::new().unwrap();
    alice.setup(&ca).unwrap();
    let account = "deploy@web-1";

    // The certificate came with a proof, and what proved it is remembered.
    alice.login([account], |url| browser::log_in(url, "alice")).unwrap().ok().unwrap();
    let told = verify(&alice).ok().unwrap().json().unwrap();
    let size = told["size"].as_u64().unwrap();
    let everything = roots(ca.data());
    assert_eq!((size, told["proven_from"][0]["size"].as_u64()), (everything.size(), Some(size)));
    assert_eq!(told["root"], data_encoding::BASE64.encode(everything.at(size).unwrap()));

    // An operator keeps a copy, and lets the ledger go on.
    let (data, _) = ca.stop().unwrap();
    let kept = data.scratch().join("kept");
    fs::create_dir(&kept).unwrap();
    copy(data.dir(), &kept);
    let ca = Ca::serve(data, Vec::new()).unwrap();
    alice.run(["login", account]).unwrap().ok().unwrap();
    let later = verify(&alice).ok().unwrap().json().unwrap()["size"].as_u64().unwrap();
    assert!(later > size && later == roots(ca.data()).size(), "{size} {later}");

    // Then puts the copy back, and takes away what would have told the CA.
    let (data, _) = ca.stop().unwrap();
    copy(&kept, data.dir());
    fs::remove_file(data.dir().join("ledger.seen")).unwrap();
    let ca = Ca::serve(data, Vec::new()).unwrap();
    let shrunk = verify(&alice).code(1).unwrap();
    let now = roots(ca.data()).size();
    let expected = format!("it had {later} entries and now has {now}");
    assert!(shrunk.err.contains(&expected), "{}", shrunk.err);
    // As soon as a certificate is asked for, there are two checkpoints of one size. It is not taken.
    let forked = alice.run(["login", account]).unwrap().code(1).unwrap();
    assert!(forked.err.contains(&format!("two checkpoints of {later} entries")), "{}", forked.err);
    let evidence =
        alice.configuration().join("ledger").join(ca.bundle().unwrap().ca_id.to_string()).join("evidence");
    assert!(fs::read_dir(evidence).unwrap().count() >= 2);
    // And when it has grown past what was shown, the beginning is another.
    let bob = Person::new().unwrap();
    bob.setup(&ca).unwrap();
    bob.login([account], |url| browser::log_in(url, "bob")).unwrap().ok().unwrap();
    let rewritten = verify(&alice).code(1).unwrap();
    assert!(rewritten.err.contains(&format!("the first {later} entries are not those")), "{}", rewritten.err);
    // Bob, who saw nothing before, cannot tell.
    verify(&bob).ok().unwrap();
}

#[test]
fn a_witness_cosigns_what_extends_what_it_saw_and_a_person_demands_that() {
    let provider = NodeProvider::start().unwrap();
    let witness = Witness::start().unwrap();
    let mut setup = setup(provider.issuer());
    setup.tables.push_str(&witness.entry());
    let ca = Ca::start(&setup).unwrap();
    let alice = Person::new().unwrap();
    alice.setup(&ca).unwrap();
    alice.login(["deploy@web-1"], |url| browser::log_in(url, "alice")).unwrap().ok().unwrap();
    let vkey = witness.vkey();
    let demand = || alice.run(["log", "verify", "--witness", vkey.as_str()]).unwrap();
    demand().ok().unwrap();
    // The ledger goes on, over a restart after which the CA has forgotten what the witness knows.
    alice.run(["login", "deploy@web-1"]).unwrap().ok().unwrap();
    demand().ok().unwrap();
    let (data, _) = ca.stop().unwrap();
    let kept = data.scratch().join("kept");
    fs::create_dir(&kept).unwrap();
    copy(data.dir(), &kept);
    let ca = Ca::serve(data, Vec::new()).unwrap();
    alice.run(["login", "deploy@web-1"]).unwrap().ok().unwrap();
    demand().ok().unwrap();
    let cosigned = witness.cosigned();
    assert!(cosigned.len() >= 3 && cosigned.is_sorted(), "{cosigned:?}");
    assert!(witness.refused().is_empty(), "{:?}", witness.refused());
    // An operator who puts an older ledger back gets no line for it, and nobody who demands one is deceived, not even
    // a person who saw nothing before.
    let (data, _) = ca.stop().unwrap();
    copy(&kept, data.dir());
    fs::remove_file(data.dir().join("ledger.seen")).unwrap();
    let ca = Ca::serve(data, Vec::new()).unwrap();
    let bob = Person::new().unwrap();
    bob.setup(&ca).unwrap();
    let refused = bob.run(["log", "verify", "--witness", vkey.as_str()]).unwrap().code(1).unwrap();
    assert!(refused.err.contains("witness.example/w1"), "{}", refused.err);
    // Another witness's key is not good enough.
    let other = vkey.replacen("w1", "w2", 1);
    bob.run(["log", "verify", "--witness", other.as_str()]).unwrap().code(2).unwrap();
}
