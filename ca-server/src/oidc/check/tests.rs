//! Providers and entries that do not fit, and the one finding that says so.

use jit_ssh_core::identity::IdentityKind;
use serde_json::{Value, json};

use super::super::tests::maker::{TestKey, entry};
use super::super::tests::server::{Says, Server, discovery};
use super::*;

fn bads(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().filter(|finding| finding.grade == Grade::Bad).map(|finding| finding.what).collect()
}

fn today() -> Timestamp {
    crate::clock::Clock::now(&crate::clock::SystemClock)
}

/// A provider with everything that logins need, changed.
async fn described(change: impl FnOnce(&str, &mut Value)) -> (Server, Vec<&'static str>) {
    let server = Server::with_keys(vec![TestKey::p256().jwk("a")]).await;
    let mut document = discovery(&server.url);
    document["token_endpoint"] = json!(format!("{}/token", server.url));
    document["id_token_signing_alg_values_supported"] = json!(["ES256"]);
    document["code_challenge_methods_supported"] = json!(["S256"]);
    change(&server.url, &mut document);
    server.says_discovery(Says::Json(document));
    let findings = check(&entry(&server.url), today()).await;
    let found = bads(&findings);
    (server, found)
}

#[tokio::test]
async fn each_fault_of_a_provider_is_named() {
    // The page of the test's provider that people would see is not there: 404 is what a wrong redirect comes to as well.
    assert_eq!(described(|_, _| {}).await.1, ["redirect"]);
    assert_eq!(described(|_, d| d["issuer"] = json!("https://other.example.com")).await.1, ["discovery"]);
    assert_eq!(
        described(|url, d| d["jwks_uri"] = json!(format!("{url}/nothing"))).await.1,
        ["keys", "redirect"]
    );
    assert_eq!(described(|_, d| d["jwks_uri"] = json!("http://192.0.2.1/keys")).await.1, ["discovery"]);
    assert_eq!(
        described(|_, d| d["id_token_signing_alg_values_supported"] = json!(["HS256"])).await.1,
        ["algorithms", "redirect"]
    );
    assert_eq!(
        described(|_, d| d["code_challenge_methods_supported"] = json!(["plain"])).await.1,
        ["pkce", "redirect"]
    );
    assert_eq!(described(|_, d| d["token_endpoint"] = json!(null)).await.1, ["redirect"]);
    assert_eq!(
        described(|_, d| d["authorization_endpoint"] = json!("http://192.0.2.1/auth")).await.1,
        ["redirect"]
    );
}

#[tokio::test]
async fn each_fault_of_an_entry_is_named() {
    let server = Server::with_keys(vec![TestKey::p256().jwk("a")]).await;
    let url = server.url.clone();
    let with = |change: &dyn Fn(&mut IssuerConfig)| {
        let mut config = entry(&url);
        change(&mut config);
        async move { bads(&check(&config, today()).await) }
    };
    assert_eq!(with(&|c| c.algorithms = vec!["RS256".into()]).await, ["keys", "redirect"]);
    assert_eq!(with(&|c| c.rules.username = Some("email".into())).await, ["entry", "redirect"]);
    assert_eq!(with(&|c| c.flows = vec![Flow::Device]).await, ["device"]);
    assert_eq!(with(&|c| c.url.push('/')).await, ["discovery"]);
    assert_eq!(with(&|c| c.jwks_file = Some("/nothing/there".into())).await, ["keys", "redirect"]);
    let workload = |c: &mut IssuerConfig| {
        c.rules.kind = IdentityKind::Workload;
        c.flows = vec![Flow::Token];
    };
    assert_eq!(with(&workload).await, [""; 0]);
    let mut config = entry(&server.url);
    workload(&mut config);
    // A clock that is wrong by more than the leeway.
    for (off, expected) in [(59, vec![]), (90, vec!["clock"])] {
        let now = today().plus(jit_ssh_proto::Span::from_seconds(off));
        assert_eq!(bads(&check(&config, now).await), expected, "{off}");
    }
    drop(server);
    assert_eq!(bads(&check(&config, today()).await), ["discovery"]);
}

#[tokio::test]
async fn an_entry_with_a_port_of_its_own_is_checked_with_that_one() {
    let server = Server::with_keys(vec![TestKey::p256().jwk("a")]).await;
    let mut document = discovery(&server.url);
    document["token_endpoint"] = json!(format!("{}/token", server.url));
    server.says_discovery(Says::Json(document));
    let theirs = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = theirs.local_addr().unwrap().port();
    let config = IssuerConfig { redirect_port: Some(port), ..entry(&server.url) };
    let findings = check(&config, today()).await;
    let said = &findings.iter().find(|finding| finding.what == "redirect").unwrap().said;
    assert!(said.contains(&format!("register http://127.0.0.1:{port}/callback")), "{said}");
    assert!(!said.contains("any port"), "{said}");
    // A login of one's own ends there, or says who is in the way.
    let refused = format!("{:#}", OwnLogin::begin(&config).await.unwrap_err());
    assert!(refused.contains(&format!("127.0.0.1:{port} cannot be listened on")), "{refused}");
    drop(theirs);
    let begun = OwnLogin::begin(&config).await.unwrap();
    let redirect =
        begun.address.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
    assert_eq!(redirect, format!("http://127.0.0.1:{port}/callback"));
}

#[test]
fn what_a_date_says() {
    let now = Timestamp::from_seconds(1_795_339_800);
    for (date, grade) in [
        (Some("Sun, 22 Nov 2026 09:30:00 GMT"), Grade::Good),
        (Some("Sun, 22 Nov 2026 09:29:01 GMT"), Grade::Good),
        (Some("Sun, 22 Nov 2026 09:31:01 GMT"), Grade::Bad),
        (Some("Sun, 22 Nov 2026 08:30:00 GMT"), Grade::Bad),
        (Some("yesterday"), Grade::Note),
        (None, Grade::Note),
    ] {
        assert_eq!(clock(date, now).grade, grade, "{date:?}");
    }
}
