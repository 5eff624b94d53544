//! Invariant 9: every route, called by every kind of caller. The matrix is written down; a route that is not in it, a
//! row without a route, and an answer that changed all fail.

use std::collections::BTreeSet;
use std::fmt::Write;

use jit_ssh_tests::api::{Call, Key, Session, Signing, access_body};
use serde_json::Value;

use crate::ending::idle_logout;
use crate::stand::{Server, Site};

/// Who calls, in the order of the matrix.
const CALLERS: [&str; 8] = [
    "nobody",
    "new session, signed",
    "garbage bearer",
    "live session, not signed",
    "live session, signed by another's key",
    "live session, signed for another session",
    "live session, signed",
    "ended session, signed",
];

/// The routes of a document: `METHOD /path`, sorted.
fn routes(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let routes = paths.iter().flat_map(|(path, item)| {
        let methods =
            item.as_object().unwrap().keys().filter(|key| !["parameters", "summary"].contains(&key.as_str()));
        methods.map(move |method| (path.clone(), method.to_uppercase()))
    });
    routes.collect()
}

struct Callers {
    site: Site,
    server: Server,
    neighbour: Session,
    ended: Session,
    key: Key,
}

impl Callers {
    /// The call of a route by one kind of caller: one that works, if the caller may.
    fn call(&self, method: &str, path: &str, caller: &str) -> Call {
        let live = self.server.session(&self.site, "alice");
        let path =
            if path.contains("{id}") { path.replace("{id}", &self.request(&live)) } else { path.to_owned() };
        let new = Key::new().unwrap();
        let (bearer, key, session) = match caller {
            "nobody" => (None, None, None),
            "new session, signed" => (None, Some(&new), None),
            "garbage bearer" => (Some("Bearer jss_garbage".to_owned()), Some(&live.key), Some(&live)),
            "live session, not signed" => (Some(live.bearer()), None, Some(&live)),
            "live session, signed by another's key" => {
                (Some(live.bearer()), Some(&self.neighbour.key), Some(&live))
            }
            "live session, signed for another session" => {
                (Some(live.bearer()), Some(&live.key), Some(&self.neighbour))
            }
            "live session, signed" => (Some(live.bearer()), Some(&live.key), Some(&live)),
            "ended session, signed" => (Some(self.ended.bearer()), Some(&self.ended.key), Some(&self.ended)),
            other => panic!("{other}"),
        };
        let signing =
            Signing::new(&self.site.ca, key.unwrap_or(&live.key), session.map(|session| &session.id));
        let body = match (method, path.as_str()) {
            ("POST", "/v1/requests") => {
                let holder = session.unwrap_or(&live);
                serde_json::to_vec(&access_body(&self.site.ca, &holder.key, &self.key, signing.id).unwrap())
                    .unwrap()
            }
            ("POST", "/v1/explain") => {
                br#"{"accounts":["deploy@web-1"],"mode":"shell","reason":"OPS-7"}"#.to_vec()
            }
            ("POST", "/v1/sessions") => self.site.login_call("dave", &new, None).body,
            // Whoever brings the provider's token speaks for it, whatever else is sent along.
            ("POST", "/v1/backchannel-logout/{issuer}") => return idle_logout(&self.site),
            ("GET" | "DELETE", _) => Vec::new(),
            other => panic!("{other:?} is a new route: say here what a good call of it looks like"),
        };
        let call = match key {
            Some(_) => signing.call(method, &path, body).unwrap(),
            None => Call { body, ..Call::plain(method, &path) }.with("content-type", "application/json"),
        };
        match bearer {
            Some(bearer) => call.with("authorization", &bearer),
            None => call,
        }
    }

    /// A request that a session has made.
    fn request(&self, session: &Session) -> String {
        let answer = self.server.send(&session.access(&self.site.ca, &self.key).unwrap());
        answer.json::<Value>().unwrap()["request"].as_str().unwrap().to_owned()
    }
}

#[test]
fn invariant_9_every_route_by_every_caller() {
    let site = Site::new();
    let server = site.serve();
    let (neighbour, ended) = (server.session(&site, "bob"), server.session(&site, "carol"));
    let end = ended.call(&site.ca, "DELETE", "/v1/sessions/current", Vec::new()).unwrap();
    assert_eq!(server.send(&end).status, 204);
    let callers = Callers { site, server, neighbour, ended, key: Key::new().unwrap() };
    let document = callers.server.send(&Call::plain("GET", "/v1/openapi.json")).json().unwrap();
    let mut matrix = String::new();
    for (path, method) in routes(&document) {
        writeln!(matrix, "{method} {path}").unwrap();
        for caller in CALLERS {
            let answer = callers.server.send(&callers.call(&method, &path, caller));
            writeln!(matrix, "    {caller:<42}{}", answer.outcome()).unwrap();
        }
    }
    expect_test::expect_file!["authorisation.txt"].assert_eq(&matrix);
}

#[test]
fn invariant_9_a_session_sees_only_what_is_its_identitys() {
    let site = Site::new();
    let server = site.serve();
    let (alice, bob) = (server.session(&site, "alice"), server.session(&site, "bob"));
    let callers =
        Callers { neighbour: bob.clone(), ended: bob.clone(), key: Key::new().unwrap(), site, server };
    let request = callers.request(&alice);
    let look = |session: &Session, path: &str| {
        callers.server.send(&Call::plain("GET", path).with("authorization", &session.bearer()))
    };
    let path = format!("/v1/requests/{request}");
    assert_eq!(look(&alice, &path).json::<Value>().unwrap()["id"], request.as_str());
    // Another's is as little there as one that never was.
    let others = look(&bob, &path);
    let never = look(&bob, "/v1/requests/req_01hzzzzzzzzzzzzzzzzzzzzzzz");
    assert_eq!((others.status, others.text()), (404, never.text()));
    assert_eq!(look(&bob, "/v1/requests").json::<Value>().unwrap()["items"], serde_json::json!([]));
    assert_eq!(look(&alice, "/v1/requests").json::<Value>().unwrap()["items"][0]["id"], request.as_str());
    // The same person in another session sees their own.
    let again = callers.server.session(&callers.site, "alice");
    assert_eq!(look(&again, &path).status, 200);
    // Whoever has the bearer token alone changes nothing with it.
    let unsigned = Call::plain("DELETE", "/v1/sessions/current").with("authorization", &alice.bearer());
    assert_eq!(callers.server.send(&unsigned).outcome(), "401 signature_missing");
    assert_eq!(look(&alice, "/v1/sessions/current").status, 200);
}
