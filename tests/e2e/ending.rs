//! What a person may no longer do ends: the operator disables them, the provider logs them out or no longer stands by
//! them. No new certificate then, from any server; what was issued lasts as long as it says and no longer.

use std::process::Command;

use jit_ssh_test_postgres::Postgres;
use jit_ssh_tests::api::{Call, Key, Session, now, random};
use jit_ssh_tests::browser;
use jit_ssh_tests::ca::{self, Ca, Setup};
use jit_ssh_tests::client::Person;
use jit_ssh_tests::process::{self, Output, until};
use jit_ssh_tests::provider::NodeProvider;
use serde_json::{Value, json};

use crate::stand::{Server, Site};

/// `jit-ssh-ca identity …`, beside whatever runs.
fn identity(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(process::program("jit-ssh-ca").unwrap());
    command.arg("identity").args(arguments).arg(&site.dir);
    process::run(&mut command).unwrap()
}

/// What asking for a certificate comes to.
fn access(server: &Server, site: &Site, session: &Session) -> String {
    server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap()).outcome()
}

/// What logging in comes to.
fn login(server: &Server, site: &Site, user: &str) -> String {
    server.send(&site.login_call(user, &Key::new().unwrap(), None)).outcome()
}

/// The reasons of the `session.ended` there are.
fn reasons(site: &Site) -> Vec<String> {
    let bodies = site.leaves().into_iter().map(|leaf| serde_json::from_slice::<Value>(&leaf.body).unwrap());
    let ended = bodies.filter(|event| event["type"] == "session.ended");
    ended.map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_operator_disables_somebody_beside_a_running_server_and_it_counts_at_once() {
    let site = Site::new();
    let server = site.serve();
    let (alice, bob) = (server.session(&site, "alice"), server.session(&site, "bob"));
    for session in [&alice, &bob] {
        assert_eq!(access(&server, &site, session), "201");
    }
    let said = identity(&site, &["disable", "corp/alice", "--reason", "left the company"]).ok().unwrap().out;
    assert!(said.starts_with("corp/alice is disabled, and the live session ended"), "{said}");
    assert_eq!(access(&server, &site, &alice), "401 session_ended");
    assert_eq!(login(&server, &site, "alice"), "403 identity_disabled");
    assert_eq!(access(&server, &site, &bob), "201");

    for (arguments, expected) in [
        (&["disable", "corp/alice", "--reason", "x"][..], "is disabled already"),
        (&["disable", "partner/alice", "--reason", "x"], "write corp/alice"),
        (&["disable", "corp/nobody", "--reason", "x"], "nobody has logged in as corp/nobody"),
        (&["disable", "corp/bob", "--reason", ""], "say why"),
        (&["enable", "corp/bob"], "is not disabled"),
        (&["release", "nobody"], "is nobody's"),
        (&["move-issuer", "nobody"], "no [[issuer]] with the name"),
    ] {
        let refused = identity(&site, arguments).code(1).unwrap();
        assert!(refused.err.contains(expected), "{arguments:?}: {}", refused.err);
    }
    let listed = identity(&site, &["list", "--json"]).ok().unwrap().out;
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |name: &str| listed.iter().find(|known| known["name"] == name).unwrap();
    assert_eq!((&named("alice")["sessions"], &named("bob")["sessions"]), (&json!(0), &json!(1)));
    assert_eq!(named("alice")["disabled"]["reason"], "left the company");
    let shown = identity(&site, &["show", "alice"]).ok().unwrap().out;
    assert!(shown.contains("disabled since") && shown.contains("alice@example.com"), "{shown}");

    identity(&site, &["enable", "corp/alice"]).ok().unwrap();
    assert_eq!(login(&server, &site, "alice"), "201");
    assert_eq!(access(&server, &site, &alice), "401 session_ended", "what ended stays ended");
    assert_eq!(reasons(&site), ["identity_disabled"]);
    // The same without a server, on the same data; and the record explains every row.
    server.stop();
    // A slip of the pen disables nobody, and says so.
    for arguments in [&["disable", "crop/alice"][..], &["disable", "crop/subject-alice", "--subject"]] {
        let refused = identity(&site, &[arguments, &["--reason", "leaked"]].concat()).code(1).unwrap();
        assert!(refused.err.contains("no [[issuer]] with the name crop (it has corp"), "{}", refused.err);
    }
    identity(&site, &["disable", "corp/repo:acme/web", "--subject", "--reason", "leaked"]).ok().unwrap();
    identity(&site, &["release", "bob"]).ok().unwrap();
    site.verify().ok().unwrap();
}

/// An identity is its subject, whatever name it came with last.
#[test]
fn an_identity_is_shown_as_its_last_login_left_it() {
    let site = Site::new();
    let server = site.serve();
    let log_in = |name: &str, group: &str| {
        let key = Key::new().unwrap();
        let body = site.login_body(&site.corp, &key, |nonce| {
            let mut claims = site.corp.claims("alice", &[group], nonce);
            claims["preferred_username"] = json!(name);
            claims["email"] = json!(format!("{name}@example.com"));
            claims
        });
        assert_eq!(server.send(&site.sign_login(&key, &body)).outcome(), "201", "{name}");
    };
    log_in("alice", "platform-sre");
    log_in("alice.adler", "developers");
    for name in ["alice", "alice.adler", "corp/alice", "corp/alice.adler"] {
        let shown = identity(&site, &["show", name]).ok().unwrap().out;
        assert!(
            shown.contains("alice.adler@example.com") && shown.contains("Names     alice alice.adler"),
            "{shown}"
        );
    }
    let refused = identity(&site, &["show", "partner/alice"]).code(1).unwrap();
    assert!(refused.err.contains("write corp/alice"), "{}", refused.err);
    assert!(identity(&site, &["show", "corp/nobody"]).code(1).unwrap().err.contains("nobody has the name"));
}

#[test]
fn a_released_login_goes_to_whoever_comes_first() {
    let site = Site::new();
    let server = site.serve();
    let alice = server.session(&site, "alice");
    let other = Key::new().unwrap();
    let body = site
        .login_body(&site.partner, &other, |nonce| site.partner.claims("alice", &["platform-sre"], nonce));
    assert_eq!(server.send(&site.sign_login(&other, &body)).outcome(), "403 login_taken");
    identity(&site, &["release", "alice"]).ok().unwrap();
    assert_eq!(access(&server, &site, &alice), "401 session_ended");
    let body = site
        .login_body(&site.partner, &other, |nonce| site.partner.claims("alice", &["platform-sre"], nonce));
    assert_eq!(server.send(&site.sign_login(&other, &body)).outcome(), "201");
    assert_eq!(login(&server, &site, "alice"), "403 login_taken");
    site.verify().ok().unwrap();
}

#[test]
fn every_server_over_one_database_honours_it_at_once() {
    let postgres = Postgres::start().unwrap();
    let site = Site::on(&postgres);
    let second = site.copy("second");
    let (here, there) = (site.serve(), second.serve());
    let (alice, bob) = (here.session(&site, "alice"), here.session(&site, "bob"));
    // The other one has both sessions in its memory.
    for session in [&alice, &bob] {
        assert_eq!(access(&there, &site, session), "201");
    }
    identity(&site, &["disable", "corp/alice", "--reason", "left"]).ok().unwrap();
    assert_eq!(access(&there, &site, &alice), "401 session_ended");
    assert_eq!(login(&there, &site, "alice"), "403 identity_disabled");
    let token = logout_token(&site, json!({ "sub": "subject-bob" }));
    assert_eq!(here.send(&logout(&token, "corp")).outcome(), "200");
    assert_eq!(access(&there, &site, &bob), "401 session_ended");
    // A logout token is good once, whichever server it is sent to.
    assert_eq!(there.send(&logout(&token, "corp")).outcome(), "400 logout_token_invalid");
    drop((here, there));
    site.verify().ok().unwrap();
}

#[test]
fn an_issuers_name_that_stands_for_another_provider_stops_the_start_until_the_operator_says_so() {
    let site = Site::new();
    let server = site.serve();
    let alice = server.session(&site, "alice");
    server.stop();
    site.write("ca.toml", &site.config().replace("https://corp.example.com", "https://evil.example.com"));
    let said = site.refuses_to_serve();
    assert!(said.contains("the people known as corp/… came from https://corp.example.com"), "{said}");
    assert!(said.contains("identity move-issuer corp"), "{said}");
    let moved = identity(&site, &["move-issuer", "corp"]).ok().unwrap().out;
    let said = "corp stands for https://evil.example.com, and the live session ended";
    assert!(moved.starts_with(said), "{moved}");
    let server = site.serve();
    assert_eq!(access(&server, &site, &alice), "401 session_ended");
    assert_eq!(reasons(&site), ["issuer_moved"]);
    drop(server);
    site.write("ca.toml", &site.config());
    site.refuses_to_serve();
    site.verify().ok().unwrap();
}

/// A logout token of `corp`, with these claims beside or in place of those that nobody could object to.
fn logout_token(site: &Site, more: Value) -> String {
    let mut claims = json!({
        "iss": site.corp.url, "aud": "jit-ssh", "iat": now(), "exp": now() + 120,
        "jti": data_encoding::HEXLOWER.encode(&random::<16>()),
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    site.corp.token(&claims).unwrap()
}

/// What a provider sends.
pub(crate) fn logout(token: &str, issuer: &str) -> Call {
    let call = Call::plain("POST", &format!("/v1/backchannel-logout/{issuer}"));
    Call { body: format!("logout_token={token}").into_bytes(), ..call }
        .with("content-type", "application/x-www-form-urlencoded")
}

/// A call that logs out nobody that is here.
pub(crate) fn idle_logout(site: &Site) -> Call {
    logout(&logout_token(site, json!({ "sub": "subject-nobody" })), "corp")
}

#[test]
fn a_provider_logs_somebody_out_and_whoever_is_no_provider_learns_nothing() {
    let site = Site::new();
    let server = site.serve();
    let (alice, bob) = (server.session(&site, "alice"), server.session(&site, "bob"));
    let good = logout_token(&site, json!({ "sub": "subject-alice" }));
    let id_token = site.login_body(&site.corp, &Key::new().unwrap(), |nonce| {
        site.corp.claims("alice", &["platform-sre"], nonce)
    });
    let twice =
        Call { body: format!("logout_token={good}&logout_token={good}").into_bytes(), ..logout("", "corp") };
    let mut refused: Vec<(&str, Call)> = vec![
        ("no token", logout("", "corp")),
        ("another's route", logout(&good, "partner")),
        ("no such route", logout(&good, "nobody")),
        ("an ID token", logout(&id_token.id_token, "corp")),
        (
            "no logout event",
            logout(&logout_token(&site, json!({ "sub": "subject-alice", "events": {} })), "corp"),
        ),
        ("old", logout(&logout_token(&site, json!({ "sub": "subject-alice", "iat": now() - 600 })), "corp")),
        ("two", twice),
        (
            "as JSON",
            Call::plain("POST", "/v1/backchannel-logout/corp").with("content-type", "application/json"),
        ),
    ];
    let before = site.leaves().len();
    let answers: Vec<String> = refused
        .drain(..)
        .map(|(what, call)| {
            let answer = server.send(&call);
            assert_eq!(answer.outcome(), "400 logout_token_invalid", "{what}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
            answer.text()
        })
        .collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(site.leaves().len(), before, "a refused token left something");
    assert_eq!(access(&server, &site, &alice), "201");

    let done = server.send(&logout(&good, "corp"));
    assert_eq!((done.status, done.body.len(), done.header("cache-control")), (200, 0, Some("no-store")));
    assert_eq!(access(&server, &site, &alice), "401 session_ended");
    assert_eq!(access(&server, &site, &bob), "201");
    assert_eq!(server.send(&logout(&good, "corp")).outcome(), "400 logout_token_invalid", "a second time");
    assert_eq!(reasons(&site), ["provider_logout"]);
    // Who is logged out logs in again, as ever.
    assert_eq!(login(&server, &site, "alice"), "201");
    // Guessing has an end, for whoever guesses.
    let stopped =
        (0..100).map(|_| server.send(&logout("x", "corp"))).find(|answer| answer.status != 400).unwrap();
    assert_eq!(stopped.outcome(), "429 too_many_requests");
    assert!(!server.said().contains(&good), "the log has the token");
    site.verify().ok().unwrap();
}

/// A CA that asks panva's provider about each session every few seconds.
fn asks_again(provider: &NodeProvider) -> Ca {
    let mut corp = ca::Issuer::new("corp", provider.issuer(), &["sre", "dev"]);
    corp.lines =
        "scopes = [\"openid\", \"profile\", \"email\", \"groups\", \"offline_access\"]\nrevalidate = \"3s\""
            .to_owned();
    Ca::start(&Setup {
        issuers: vec![corp],
        policy: "@id(\"sre\") @ttl(\"1h\")\npermit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"web\");\n".to_owned(),
        inventory: "[[group]]\nname = \"web\"\nlogins = [\"deploy\"]\n[[host]]\nname = \"web-1\"\ngroups = [\"web\"]\n".to_owned(),
        ..Setup::default()
    })
    .unwrap()
}

fn logged_in(ca: &Ca, name: &str) -> Person {
    let person = Person::new().unwrap();
    person.setup(ca).unwrap();
    let nothing: [&str; 0] = [];
    person.login(nothing, |url| browser::log_in(url, name)).unwrap().ok().unwrap();
    person
}

fn whoami(person: &Person) -> Output {
    person.run(["whoami", "--json"]).unwrap()
}

#[test]
fn what_the_provider_takes_away_while_a_session_lives_is_gone_here() {
    let provider = NodeProvider::start().unwrap();
    let ca = asks_again(&provider);
    let (alice, bob) = (logged_in(&ca, "alice"), logged_in(&ca, "bob"));
    let certificate = |person: &Person| person.run(["login", "deploy@web-1"]).unwrap();
    certificate(&alice).ok().unwrap();
    // Asked about twice and more, with a new refresh token each time, all stays as it is.
    let asked = provider.asked("/token").unwrap();
    until("more questions", || Ok((provider.asked("/token")? >= asked + 4).then_some(()))).unwrap();
    assert_eq!(whoami(&alice).ok().unwrap().json().unwrap()["groups"], json!(["sre"]));

    // Trouble at the provider ends nothing.
    provider.away().unwrap();
    let asked = provider.asked("/.well-known/openid-configuration").unwrap();
    until("questions in vain", || {
        Ok((provider.asked("/.well-known/openid-configuration")? >= asked + 2).then_some(()))
    })
    .unwrap();
    certificate(&alice).ok().unwrap();
    provider.back().unwrap();

    // A group is taken away: no certificate by it.
    provider.change(&json!({ "alice": { "groups": ["dev"] } })).unwrap();
    until("the groups of today", || {
        let who = whoami(&alice).ok()?.json()?;
        Ok((who["groups"] == json!(["dev"])).then_some(()))
    })
    .unwrap();
    assert!(certificate(&alice).code(3).unwrap().err.contains("access policies"));

    // Who logs out is forgotten there as well, and nobody waits for that.
    let carol = logged_in(&ca, "carol");
    let taken_back = || provider.asked("/token/revocation");
    assert_eq!(taken_back().unwrap(), 0);
    carol.run(["logout"]).unwrap().ok().unwrap();
    until("a refresh token given back", || Ok((taken_back()? == 1).then_some(()))).unwrap();

    // Bob is gone: so is his session.
    provider.change(&json!({ "bob": { "gone": true } })).unwrap();
    until("the end of a session", || Ok((whoami(&bob).code == Some(5)).then_some(()))).unwrap();
    let events = ca.data().events().unwrap();
    let of = |kind: &str| {
        events.iter().filter(|e| e["event"]["type"] == kind).map(|e| &e["event"]).collect::<Vec<_>>()
    };
    assert_eq!(of("session.revalidated").len(), 1);
    assert_eq!(of("session.revalidated")[0]["groups"], json!(["dev"]));
    let reasons: Vec<&Value> = of("session.ended").into_iter().map(|event| &event["reason"]).collect();
    assert_eq!(reasons, [&Value::Null, &json!("provider_refused")]);
    // Alice is disabled here: the provider forgets her too, though it may be away.
    let dir = ca.data().dir().to_str().unwrap();
    ca.run(["identity", "disable", "corp/alice", "--reason", "left", dir]).unwrap().ok().unwrap();
    assert_eq!(whoami(&alice).code, Some(5));
    until("another given back", || Ok((taken_back()? == 2).then_some(()))).unwrap();
    ca.run(["log", "verify", ca.data().dir().to_str().unwrap()]).unwrap().ok().unwrap();
}
