//! Invariant 10: what cannot be understood denies, at the start and in every decision.

use jit_ssh_tests::api::Key;
use jit_ssh_tests::database::Database;
use serde_json::Value;

use crate::stand::{POLICY, Site};

#[test]
fn invariant_10_rules_that_cannot_be_read_refuse_the_start() {
    let site = Site::new();
    let before = site.state();
    let inventory = "[[host]]\nname = \"web-1\"\n";
    for (file, text, says) in [
        ("policies/20-bad.cedar", "permit (principal, action", "policies/20-bad.cedar"),
        (
            "policies/20-bad.cedar",
            "permit (principal, action == Action::\"shel\", resource);",
            "policies/20-bad.cedar:1",
        ),
        (
            "policies/20-bad.cedar",
            "permit (principal, action, resource) when { resource.logn == \"x\" };",
            "20-bad.cedar:1",
        ),
        ("policies/20-bad.cedar", "@ttl(\"soon\") permit (principal, action, resource);", "ttl"),
        ("policies/20-bad.cedar", "@tll(\"1h\") permit (principal, action, resource);", "tll"),
        ("policies/20-bad.cedar", "@id(\"sre\") permit (principal, action, resource);", "sre"),
        ("inventory/20-bad.toml", "[[hots]]\nname = \"web-9\"\n", "inventory/20-bad.toml:1"),
        ("inventory/20-bad.toml", inventory, "web-1"),
        ("inventory/20-bad.toml", "[[host]]\nname = \"Web 9\"\n", "has 'W'"),
        ("inventory/20-bad.toml", "[[host]]\nname = \"web-9\"\ngroups = [\"no-such\"]\n", "no-such"),
    ] {
        site.write(file, text);
        let said = site.refuses_to_serve();
        assert!(said.contains("jit-ssh-ca: ") && said.contains(says), "{text}: {says:?} in {said}");
        std::fs::remove_file(site.dir.join(file)).unwrap();
    }
    let not_text = site.dir.join("policies/20-bad.cedar");
    std::fs::write(&not_text, b"\xff\xfe").unwrap();
    assert!(site.refuses_to_serve().contains("20-bad.cedar"));
    std::fs::remove_file(&not_text).unwrap();
    std::fs::create_dir(&not_text).unwrap();
    assert!(site.refuses_to_serve().contains("20-bad.cedar"));
    assert_eq!(site.state(), before, "a start that failed before the store left something");
}

#[test]
fn invariant_10_a_policy_that_fails_while_it_is_asked_denies_everything() {
    let site = Site::new();
    // An overflow, which no check of the policy's text can see.
    let broken = "@id(\"broken\") forbid (principal, action, resource is Account) \
                  when { 9223372036854775807 + context.local.hour + 1 > 0 };";
    site.write("policies/20-broken.cedar", broken);
    let server = site.serve();
    let (session_key, key) = (Key::new().unwrap(), Key::new().unwrap());
    let (session, opened) = server.log_in(&session_key, &site.login_call("alice", &session_key, Some(&key)));
    // The login stands; what was asked with it is denied.
    assert_eq!(opened.issued, None);
    assert_eq!(opened.refused.unwrap().code.as_str(), "policy_error");
    let answer = server.send(&session.access(&site.ca, &key).unwrap());
    assert_eq!(answer.outcome(), "403 policy_error");
    assert!(!answer.text().contains("overflow") && !answer.text().contains("broken"), "{}", answer.text());
    assert!(site.certificates().is_empty());
    // Who keeps the policies finds which one it was.
    assert!(site.log_show(&["--json"]).contains("broken"));
    server.stop();

    std::fs::remove_file(site.dir.join("policies/20-broken.cedar")).unwrap();
    let server = site.serve();
    let session = server.session(&site, "alice");
    assert_eq!(server.send(&session.access(&site.ca, &key).unwrap()).status, 201);
}

#[test]
fn invariant_10_without_a_policy_there_is_no_access() {
    let site = Site::new();
    site.write("policies/10-starter.cedar", "");
    let server = site.serve();
    let session = server.session(&site, "alice");
    let answer = server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap());
    assert_eq!(answer.outcome(), "403 no_access");
    server.stop();
    // A forbid alone allows nothing either.
    site.write(
        "policies/10-starter.cedar",
        POLICY
            .split("@id(\"no-root\")")
            .nth(1)
            .map(|rest| format!("@id(\"no-root\"){rest}"))
            .unwrap()
            .as_str(),
    );
    let server = site.serve();
    let session = server.session(&site, "alice");
    let answer = server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap());
    assert_eq!(answer.outcome(), "403 no_access");
}

#[test]
fn invariant_10_what_the_store_holds_and_nobody_understands_is_not_a_session() {
    let site = Site::new();
    let server = site.serve();
    let session = server.session(&site, "alice");
    server.stop();
    for damage in [
        "UPDATE sessions SET claims = '{}'",
        "UPDATE sessions SET session_key = 'ssh-unknown AAAA'",
        "UPDATE sessions SET claims = replace(claims, '\"code\"', '\"another-flow\"')",
    ] {
        let saved = site.query("SELECT claims, session_key FROM sessions");
        site.execute(damage);
        let server = site.serve();
        let answer = server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap());
        let problem: Value = answer.json().unwrap();
        assert!(answer.status >= 400 && problem["code"].is_string(), "{damage}: {}", answer.text());
        server.stop();
        let [claims, key] = [0, 1].map(|at| Database::quoted(saved[0].text(at).unwrap()));
        site.execute(&format!("UPDATE sessions SET claims = {claims}, session_key = {key}"));
    }
    let server = site.serve();
    assert_eq!(server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap()).status, 201);
}
