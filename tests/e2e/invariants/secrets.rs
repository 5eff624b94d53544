//! Invariant 11: secrets go nowhere but where they must. Everything that a CA says and keeps is searched for them, at
//! the most talkative level of logging.

use std::fs;

use jit_ssh_tests::api::{Call, Key};
use serde_json::{Value, json};

use crate::stand::{PASSPHRASE, Site};

/// What must not be found: named, so that a failure says which.
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn add(&mut self, name: &str, secret: &str) {
        self.0.push((name.to_owned(), secret.as_bytes().to_vec()));
    }

    /// A token, and its parts: the claims and the signature alone would do harm enough.
    fn add_token(&mut self, name: &str, token: &str) {
        self.add(name, token);
        for (part, text) in ["header", "claims", "signature"].iter().zip(token.split('.')) {
            if *part != "header" {
                self.add(&format!("{name}, {part}"), text);
            }
        }
    }

    /// A private key: its seed raw, in hex and in base64.
    fn add_key(&mut self, name: &str, key: &ssh_key::PrivateKey) {
        let seed = key.key_data().ed25519().unwrap().private.to_bytes();
        self.0.push((name.to_owned(), seed.to_vec()));
        self.add(name, &data_encoding::HEXLOWER.encode(&seed));
        self.add(name, data_encoding::BASE64_NOPAD.encode(&seed).trim_end_matches('A'));
    }

    fn search(&self, place: &str, bytes: &[u8]) {
        for (name, secret) in &self.0 {
            assert!(secret.len() > 16, "{name} is too short to be looked for");
            assert!(!contains(bytes, secret), "{name} is in {place}");
        }
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[test]
fn invariant_11_no_secret_in_a_log_an_error_an_event_the_database_or_a_process_list() {
    let site = Site::new();
    let server = site.serve_with(&[("RUST_LOG", "trace")]);
    let mut secrets = Secrets(Vec::new());
    let mut answers = Vec::new();
    secrets.add("the passphrase", PASSPHRASE);
    for name in ["user", "host", "trust", "ledger"] {
        let key = ssh_key::PrivateKey::read_openssh_file(&site.dir.join("keys").join(name)).unwrap();
        assert!(key.is_encrypted(), "{name} is not encrypted at rest");
        secrets.add_key(&format!("the key {name}"), &key.decrypt(PASSPHRASE).unwrap());
    }

    // A login that is taken, with a certificate; one that is denied; tokens that are refused on the way.
    let mut token_of = |call: &Call, name: &str| {
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        secrets.add_token(name, body["id_token"].as_str().unwrap());
    };
    let (key, certificate_key) = (Key::new().unwrap(), Key::new().unwrap());
    let good = site.login_call("alice", &key, Some(&certificate_key));
    token_of(&good, "the token of a login");
    let (session, opened) = server.log_in(&key, &good);
    assert!(opened.issued.is_some());
    answers.push(("a replay", server.send(&good)));
    let taken = {
        let other = Key::new().unwrap();
        let body = site.login_body(&site.partner, &other, |nonce| site.partner.claims("alice", &[], nonce));
        site.sign_login(&other, &body)
    };
    token_of(&taken, "the token of a taken login");
    answers.push(("a taken login", server.send(&taken)));
    for (name, claim, value) in [
        ("an expired token", "exp", json!(1)),
        ("a token for another audience", "aud", json!("another")),
        ("a token with another nonce", "nonce", json!("another")),
        ("a token with a strange claim", "groups", json!({ "a": 1 })),
        ("a token with a strange subject", "sub", json!("a\nb")),
    ] {
        let other = Key::new().unwrap();
        let body = site.login_body(&site.corp, &other, |nonce| {
            let mut claims = site.corp.claims("mallory", &[], nonce);
            claims[claim] = value;
            claims
        });
        let call = site.sign_login(&other, &body);
        token_of(&call, name);
        let answer = server.send(&call);
        assert!(answer.status >= 400, "{name}: {}", answer.text());
        answers.push((name, answer));
    }
    secrets.add("the bearer token", &opened.token);
    secrets.add("the bearer token, without its prefix", opened.token.trim_start_matches("jss_"));
    secrets.add_key("the session's key", &key.private);
    secrets.add_key("the certificate's key", &certificate_key.private);
    let garbage = "jss_garbage-that-somebody-sent-as-a-bearer";
    secrets.add("a bearer that nobody has", garbage);
    let look = Call::plain("GET", "/v1/sessions/current");
    answers.push(("a look", server.send(&look.clone().with("authorization", &session.bearer()))));
    answers.push(("garbage", server.send(&look.with("authorization", &format!("Bearer {garbage}")))));
    let mut broken = session.access(&site.ca, &certificate_key).unwrap();
    broken.body.truncate(broken.body.len() / 2);
    answers.push(("half a body", server.send(&broken)));
    answers.push(("a certificate", server.send(&session.access(&site.ca, &certificate_key).unwrap())));

    for (name, answer) in &answers {
        secrets.search(&format!("the answer to {name}"), &answer.body);
    }
    // What others on the machine can see of the process. (Its environment names the file of the passphrase only.)
    for file in ["cmdline", "environ"] {
        let seen = match fs::read(format!("/proc/{}/{file}", server.pid())) {
            // Its own user sees no more of it than others do; root sees all.
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied && file == "environ" => continue,
            seen => seen.unwrap(),
        };
        assert!(!seen.is_empty());
        secrets.search(file, &seen);
    }
    let database = |when: &str| {
        let mut all = Vec::new();
        for entry in fs::read_dir(&site.dir).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("ca.db") {
                all.extend(fs::read(&path).unwrap());
            }
        }
        // It is the place where things are: what may be there is.
        assert!(contains(&all, session.id.to_string().as_bytes()), "the session is not in the database");
        secrets.search(&format!("the database {when}"), &all);
    };
    database("while it is served");
    secrets.search("the log as it is shown", site.log_show(&["--json"]).as_bytes());
    let said = server.stop();
    database("afterwards");
    for needle in ["\"level\":\"DEBUG\"", "certificate issued", "token refused"] {
        assert!(said.contains(needle), "the log is not what this test is about: no {needle}");
    }
    secrets.search("what the server wrote", said.as_bytes());
}

#[test]
fn invariant_11_what_people_wrote_cannot_forge_a_line_of_the_log() {
    let site = Site::new();
    let server = site.serve();
    let session = server.session(&site, "alice");
    let key = Key::new().unwrap();
    let ask = |reason: &str| {
        let signing = jit_ssh_tests::api::Signing::new(&site.ca, &session.key, Some(&session.id));
        let mut body = jit_ssh_tests::api::access_body(&site.ca, &session.key, &key, signing.id).unwrap();
        body.reason = reason.to_owned();
        let call = signing.call("POST", "/v1/requests", serde_json::to_vec(&body).unwrap()).unwrap();
        server.send(&call.with("authorization", &session.bearer())).outcome()
    };
    let lines = site.log_show(&[]).lines().count();
    for forged in ["x\n     0  1970 ca.initialised", "x\r\u{1b}[1A", "\u{202e}x", "x\u{2028}y", "\u{9b}2J"] {
        assert_eq!(ask(forged), "400 text_invalid", "{forged:?}");
    }
    assert_eq!(site.log_show(&[]).lines().count(), lines);
    assert_eq!(ask("disk full: \"quoted\", {json}, 磁盘已满"), "201");
    let shown = site.log_show(&[]);
    assert_eq!(shown.lines().count(), lines + 2);
    assert!(shown.contains("disk full: \"quoted\", {json}, 磁盘已满"), "{shown}");
}

#[test]
fn invariant_11_a_crash_writes_no_memory_to_disk() {
    let site = Site::new();
    let server = site.serve();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
}
