//! Bad input: each has its code, a sentence that names the field or the next step, and leaves nothing behind.

mod fields;
mod operator;
mod signatures;
mod tokens;
mod transport;

use jit_ssh_proto::{Code, Problem};
use jit_ssh_tests::api::{Call, CallId, Key, Session, Signing, access_body, random};
use jit_ssh_tests::http::Answer;
use serde_json::{Value, json};

use crate::stand::{Server, Site};

/// A server with one live session, and a place for the bad calls to be made.
struct Desk {
    site: Site,
    server: Server,
    session: Session,
    key: Key,
}

/// A bad call and what it must come to.
struct Row {
    what: &'static str,
    code: Code,
    /// What its sentence names.
    says: &'static str,
    call: Call,
    /// How many events it leaves: decisions are recorded, mistakes are not.
    events: i64,
}

fn row(what: &'static str, code: Code, says: &'static str, call: Call) -> Row {
    Row { what, code, says, call, events: 0 }
}

impl Desk {
    fn new() -> Self {
        let site = Site::new();
        let server = site.serve();
        let session = server.session(&site, "alice");
        Self { site, server, session, key: Key::new().unwrap() }
    }

    /// A request for access with something changed before it is signed.
    fn access(&self, change: impl FnOnce(&mut Value)) -> Call {
        self.access_with(random(), change)
    }

    fn access_with(&self, id: CallId, change: impl FnOnce(&mut Value)) -> Call {
        let signing = Signing { id, ..self.signing() };
        let body = access_body(&self.site.ca, &self.session.key, &self.key, id).unwrap();
        let mut body = serde_json::to_value(body).unwrap();
        change(&mut body);
        self.signed(&signing, body.to_string().as_bytes())
    }

    /// A request for access whose body is these bytes.
    fn bytes(&self, body: &[u8]) -> Call {
        self.signed(&self.signing(), body)
    }

    fn signing(&self) -> Signing<'_> {
        Signing::new(&self.site.ca, &self.session.key, Some(&self.session.id))
    }

    fn signed(&self, signing: &Signing<'_>, body: &[u8]) -> Call {
        let call = signing.call("POST", "/v1/requests", body.to_vec()).unwrap();
        call.with("authorization", &self.session.bearer())
    }

    /// A login with a first request, with something changed before it is signed.
    fn login(&self, change: impl FnOnce(&mut Value)) -> Call {
        let session = Key::new().unwrap();
        let good = self.site.login_call("alice", &session, Some(&self.key));
        let mut body: Value = serde_json::from_slice(&good.body).unwrap();
        change(&mut body);
        // The proof is for the call's id, so the id stays.
        let signature = good.headers.iter().find(|(name, _)| name == "Jit-Ssh-Signature").unwrap();
        let id = signature.1.split('.').nth(2).unwrap();
        let id = data_encoding::BASE64URL_NOPAD.decode(id.as_bytes()).unwrap().try_into().unwrap();
        let signing = Signing { id, ..Signing::new(&self.site.ca, &session, None) };
        signing.call("POST", "/v1/sessions", body.to_string().into_bytes()).unwrap()
    }

    /// Sends every call. What is refused changes nothing but the events that it is due.
    fn check(&self, rows: Vec<Row>) {
        for row in rows {
            let before = self.site.state();
            let answer = self.server.send(&row.call);
            let problem = problem(row.what, &answer);
            assert_eq!(problem.code, row.code, "{}: {problem:?}", row.what);
            assert!(problem.detail.contains(row.says), "{}: {:?} in {problem:?}", row.what, row.says);
            let mut expected = before.clone();
            if row.events > 0 {
                // A decision: its event, its request, and the id of the call that asked for it.
                for (table, more) in [("events", row.events), ("requests", 1), ("call_ids", 1)] {
                    *expected.get_mut(table).unwrap() += more;
                }
            }
            assert_eq!(self.site.state(), expected, "{}: what it left", row.what);
        }
        // All the while everything is in order for who asks properly.
        let answer = self.server.send(&self.access(|_| {}));
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

/// An answer that must be a problem document in order: as RFC 9457 has it, and with a sentence.
fn problem(what: &str, answer: &Answer) -> Problem {
    let problem = answer.problem().unwrap_or_else(|e| panic!("{what}: {e:#}"));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    assert_eq!(answer.status, problem.code.status(), "{what}");
    assert_eq!(
        (problem.status, problem.title.as_str()),
        (answer.status, problem.code.title()),
        "{what}: {problem:?}"
    );
    assert_eq!(problem.kind, format!("urn:jit-ssh:problem:{}", problem.code), "{what}");
    detail(what, &problem.detail);
    problem
}

/// A sentence. What would change the answer comes with the command that goes that way, as it is typed.
fn detail(what: &str, text: &str) {
    match text.split_once(". Run: jit-ssh ") {
        Some((text, command)) => {
            sentence(what, &format!("{text}."));
            assert!(!command.is_empty() && !command.chars().any(char::is_control), "{what}: {command:?}");
        }
        None => sentence(what, text),
    }
}

/// One line that begins like a sentence or with the name of a field, ends like a sentence, and is no internal text.
fn sentence(what: &str, text: &str) {
    assert!(text.ends_with('.') && !text.ends_with(".."), "{what}: {text:?}");
    assert!(text.len() > 20 && text.contains(' '), "{what}: {text:?}");
    assert!(!text.chars().any(char::is_control), "{what}: {text:?}");
    for internal in ["::", "Err(", "panicked", "sqlx", "SQLite", "serde", "/tmp/", "unwrap"] {
        assert!(!text.contains(internal), "{what}: {text:?}");
    }
}

/// What a field becomes.
fn set(field: &'static str, value: Value) -> impl FnOnce(&mut Value) {
    move |body| body[field] = value
}

#[test]
fn a_first_request_that_is_wrong_does_not_use_up_the_token() {
    let desk = Desk::new();
    let session = Key::new().unwrap();
    let good: Value = serde_json::from_slice(&desk.site.login_call("alice", &session, None).body).unwrap();
    let with_request = |duration: &str| {
        let signing = Signing::new(&desk.site.ca, &session, None);
        let request = access_body(&desk.site.ca, &session, &desk.key, signing.id).unwrap();
        let mut body = good.clone();
        body["request"] = serde_json::to_value(request).unwrap();
        body["request"]["duration"] = json!(duration);
        signing.call("POST", "/v1/sessions", body.to_string().into_bytes()).unwrap()
    };
    desk.check(vec![row("of no length", Code::DurationInvalid, "duration", with_request("0s"))]);
    // Put right, the same token opens the session and the request is granted.
    let (_, opened) = desk.server.log_in(&session, &with_request("10m"));
    assert_eq!((opened.issued.is_some(), opened.refused), (true, None));
}

#[test]
fn a_first_request_that_is_denied_does_not_undo_the_login() {
    let desk = Desk::new();
    let before = desk.site.state();
    let call = desk.login(|body| body["request"]["accounts"] = json!(["root@web-1"]));
    let opened: Value = desk.server.send(&call).json().unwrap();
    assert_eq!(opened["refused"]["code"], "forbidden", "{opened}");
    assert_eq!(opened.get("issued"), None, "{opened}");
    detail("a denied first request", opened["refused"]["detail"].as_str().unwrap());
    let after = desk.site.state();
    assert_eq!(after["sessions"] - before["sessions"], 1);
    assert_eq!(after["events"] - before["events"], 2);
    assert_eq!((after["certificates"], after["serials"]), (before["certificates"], before["serials"]));
}
