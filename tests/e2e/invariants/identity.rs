//! Invariant 4: who somebody is, is issuer and `sub`; a login is theirs for ever.

use jit_ssh_proto::event::What;
use jit_ssh_tests::api::{Call, Issuer, Key};
use jit_ssh_tests::http::Answer;
use serde_json::{Value, json};

use crate::stand::{Server, Site};

/// A login by a person of an issuer, with something changed in the claims.
fn log_in(
    site: &Site,
    server: &Server,
    issuer: &Issuer,
    user: &str,
    change: impl FnOnce(&mut Value),
) -> Answer {
    let session = Key::new().unwrap();
    let body = site.login_body(issuer, &session, |nonce| {
        let mut claims = issuer.claims(user, &["platform-sre"], nonce);
        change(&mut claims);
        claims
    });
    server.send(&site.sign_login(&session, &body))
}

#[test]
fn invariant_4_a_login_once_held_by_one_identity_is_not_anothers() {
    let site = Site::new();
    let server = site.serve();
    assert_eq!(log_in(&site, &server, &site.corp, "alice", |_| {}).status, 201);
    let before = site.state();
    // Same name, same address, another issuer; then another subject of the same issuer.
    for (what, issuer, subject) in [
        ("another issuer", &site.partner, "subject-alice"),
        ("another subject", &site.corp, "subject-alice-2"),
        ("a subject that differs in case", &site.corp, "Subject-alice"),
    ] {
        let answer = log_in(&site, &server, issuer, "alice", |claims| claims["sub"] = json!(subject));
        assert_eq!(answer.outcome(), "403 login_taken", "{what}");
    }
    // Each was a good token: that it was refused is recorded, and nothing else is.
    let mut after = site.state();
    *after.get_mut("events").unwrap() -= 3;
    assert_eq!(after, before);
    let refusals = site.ledger().into_iter().filter(|event| matches!(event.what, What::SessionRefused(_)));
    assert_eq!(refusals.count(), 3);

    // It stays so over a restart, and after the one who has it has another name.
    server.stop();
    let server = site.serve();
    let renamed = |claims: &mut Value| claims["preferred_username"] = json!("alice-smith");
    assert_eq!(log_in(&site, &server, &site.corp, "alice", renamed).status, 201);
    assert_eq!(log_in(&site, &server, &site.partner, "alice", |_| {}).outcome(), "403 login_taken");
    assert_eq!(log_in(&site, &server, &site.corp, "alice", |_| {}).status, 201);
}

#[test]
fn invariant_4_nothing_is_made_into_a_login_by_changing_it() {
    let site = Site::new();
    let server = site.serve();
    for claimed in
        ["root@example.com", "Root", "root ", " root", "root\u{200b}", "corp\\root", "../root", "rооt"]
    {
        let answer = log_in(&site, &server, &site.corp, "mallory", |claims| {
            claims["preferred_username"] = json!(claimed);
        });
        let opened: Value = answer.json().unwrap();
        // A name that is none gives no login; who it is, is told from the subject.
        assert_eq!(answer.status, 201, "{claimed:?}: {opened}");
        assert_eq!(opened["session"].get("login"), None, "{claimed:?}");
        assert!(opened["session"]["name"].as_str().unwrap().starts_with("id-"), "{claimed:?}: {opened}");
    }
    // Nobody can claim a name that is made from a subject.
    let derived = "id-aaaaaaaaaaaaaaaaaaaaaaaaaa";
    let answer =
        log_in(&site, &server, &site.corp, "eve", |claims| claims["preferred_username"] = json!(derived));
    let opened: Value = answer.json().unwrap();
    assert_ne!(opened["session"]["name"], derived);
}

#[test]
fn invariant_4_groups_and_addresses_count_only_where_the_issuers_entry_says_so() {
    let site = Site::new();
    // The partner's groups are not mapped, and its people need no address.
    let config = site.config();
    let (corp, partner) = config.split_once("[[issuer]]\nname = \"partner\"").unwrap();
    let partner =
        partner.replace("groups = \"groups\"\n", "").replace("allowed_domains = [\"example.com\"]\n", "");
    let partner = partner.split("[issuer.groups_map]").next().unwrap();
    site.write("ca.toml", &format!("{corp}[[issuer]]\nname = \"partner\"{partner}"));
    let server = site.serve();
    let session = |issuer: &Issuer, user: &str, change: fn(&mut Value)| -> Value {
        let answer = log_in(&site, &server, issuer, user, change);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json::<Value>().unwrap()["session"].clone()
    };
    assert_eq!(session(&site.corp, "alice", |_| {})["groups"], json!(["sre"]));
    assert_eq!(session(&site.corp, "bob", |c| c["groups"] = json!(["sre"]))["groups"], json!([]));
    assert_eq!(session(&site.corp, "carol", |c| c["groups"] = json!(["Platform-sre"]))["groups"], json!([]));
    assert_eq!(session(&site.partner, "dave", |_| {})["groups"], json!([]));
    let unverified = session(&site.partner, "erin", |c| c["email_verified"] = json!(false));
    assert_eq!(unverified.get("email"), None);
}

#[test]
fn invariant_4_where_somebody_calls_from_is_not_theirs_to_say() {
    let site = Site::new();
    let source = |site: &Site, server: &Server, forwarded: &str| {
        let session = Key::new().unwrap();
        let call = site.login_call("alice", &session, None);
        let call = call
            .with("x-forwarded-for", forwarded)
            .with("forwarded", "for=192.0.2.66")
            .with("x-real-ip", "192.0.2.66");
        server.log_in(&session, &call);
        site.ledger().pop().unwrap().source.unwrap()
    };
    let server = site.serve();
    assert_eq!(source(&site, &server, "203.0.113.9"), "127.0.0.1");
    server.stop();
    // From a proxy that the operator named, the last address that is not the proxy's own counts, and no other header.
    let trusted = "trusted_proxies = [\"127.0.0.1\"]\n[[issuer]]";
    site.write("ca.toml", &site.config().replacen("[[issuer]]", trusted, 1));
    let server = site.serve();
    assert_eq!(source(&site, &server, "198.51.100.7, 203.0.113.9"), "203.0.113.9");
    assert_eq!(source(&site, &server, "not an address"), "127.0.0.1");
}

#[test]
fn invariant_4_a_session_does_not_become_somebody_else_when_its_issuers_entry_changes() {
    let site = Site::new();
    let server = site.serve();
    // Bob may choose his nickname; the login `alice` is alice's.
    assert_eq!(log_in(&site, &server, &site.corp, "alice", |_| {}).status, 201);
    let corp = site.config();
    site.write("ca.toml", &corp.replace("username = \"preferred_username\"", "username = \"nickname\""));
    server.stop();
    let server = site.serve();
    let answer = log_in(&site, &server, &site.corp, "bob", |claims| claims["nickname"] = json!("bobby"));
    let opened: Value = answer.json().unwrap();
    assert_eq!(opened["session"]["login"], "bobby");
    let whoami = Call::plain("GET", "/v1/sessions/current")
        .with("authorization", &format!("Bearer {}", opened["token"].as_str().unwrap()));
    assert_eq!(server.send(&whoami).status, 200);
    server.stop();
    // The operator corrects the entry: what a nickname was taken for is nobody's login.
    site.write("ca.toml", &corp);
    let server = site.serve();
    assert_eq!(server.send(&whoami).outcome(), "401 session_ended");
}
