//! Invariant 4: identity is issuer + `sub`; everything else counts only as far as the issuer's entry trusts it, and
//! exactly as it is.

use alloc::string::ToString;
use alloc::vec;
use alloc::{format, vec::Vec};

use jit_ssh_proto::Code;
use serde_json::json;

use super::*;

fn rules() -> IssuerRules {
    IssuerRules {
        name: "corp".parse().unwrap(),
        url: "https://id.example.com".into(),
        kind: IdentityKind::User,
        username: Some("preferred_username".into()),
        groups: Some("groups".into()),
        groups_map: [
            ("/Platform SRE", vec!["sre", "oncall"]),
            ("devs", vec!["dev"]),
            ("Devs", vec!["dev-leads"]),
        ]
        .map(|(theirs, ours)| (theirs.into(), ours.into_iter().map(|n| n.parse().unwrap()).collect()))
        .into(),
        tags: Default::default(),
        allowed_domains: Vec::new(),
        privileged_flows: false,
    }
}

fn admit(rules: &IssuerRules, payload: Value) -> Result<VerifiedIdentity, Problem> {
    let Value::Object(mut payload) = payload else { panic!("an object") };
    payload.entry("sub").or_insert_with(|| "248289761001".into());
    let claims = Claims::from_payload(rules, Flow::Code, &payload)?;
    // What the store gives back is what was put in.
    let stored: Claims = serde_json::from_str(&serde_json::to_string(&claims).unwrap()).unwrap();
    assert_eq!(stored, claims);
    VerifiedIdentity::admit(rules, &stored)
}

fn code(rules: &IssuerRules, payload: Value) -> Code {
    match admit(rules, payload.clone()) {
        Ok(identity) => panic!("{payload} was admitted as {identity:?}"),
        Err(problem) => problem.code,
    }
}

/// The derived name of the default subject.
const DERIVED: &str = "id-";

#[test]
fn an_identity_with_everything() {
    let who = admit(
        &rules(),
        json!({
            "preferred_username": "alice", "groups": ["/Platform SRE", "unmapped"], "email": "Alice@Example.com",
            "email_verified": true, "auth_time": 1_790_000_000, "amr": ["hwk", "pin"], "acr": "2", "extra": {"a": 1},
        }),
    )
    .unwrap();
    assert_eq!((who.issuer().as_str(), who.sub(), who.kind()), ("corp", "248289761001", IdentityKind::User));
    assert_eq!((who.name().as_str(), who.login().map(Name::as_str)), ("alice", Some("alice")));
    assert_eq!(who.email(), Some("Alice@Example.com"));
    assert_eq!(who.groups().iter().map(Name::as_str).collect::<Vec<_>>(), ["oncall", "sre"]);
    assert_eq!(who.auth_time(), Some(Timestamp::from_seconds(1_790_000_000)));
    assert_eq!((who.methods(), who.level()), (&["hwk".to_string(), "pin".to_string()][..], Some("2")));
}

#[test]
fn absent_claims_give_nothing() {
    let who = admit(&rules(), json!({})).unwrap();
    assert!(who.name().as_str().starts_with(DERIVED));
    assert_eq!((who.login(), who.email(), who.auth_time(), who.level()), (None, None, None, None));
    assert!(who.groups().is_empty() && who.methods().is_empty());
}

#[test]
fn what_is_not_a_subject() {
    for sub in [
        json!(""),
        json!("x".repeat(256)),
        json!("a\nb"),
        json!("a\u{0}"),
        json!("a\u{202e}b"),
        json!("a\u{200b}"),
        json!("a\u{a0}b"),
        json!(" a"),
        json!("a "),
        json!(7),
        json!(null),
        json!(["a"]),
        json!({"a": 1}),
        json!(true),
    ] {
        assert_eq!(code(&rules(), json!({"sub": sub})), Code::TokenSubject, "{sub}");
    }
    let missing = Claims::from_payload(&rules(), Flow::Code, &serde_json::Map::new()).unwrap_err();
    assert_eq!(missing.code, Code::TokenSubject);
    for sub in ["x".repeat(255), "ä|1".into(), "CN=Ann Lee,OU=Staff".into()] {
        assert_eq!(admit(&rules(), json!({"sub": sub})).unwrap().sub(), sub);
    }
}

#[test]
fn invariant_4_a_login_is_the_claim_as_it_is_or_none() {
    for username in [
        "root@example.com",
        "root@evil.example",
        "Root",
        "ALICE",
        " root",
        "root ",
        "root\n",
        "root\u{0}",
        "root\u{200b}",
        "r\u{43e}\u{43e}t",
        "roo\u{ff54}",
        "älice",
        "corp\\alice",
        "corp/alice",
        "alice+admin",
        "alice,root",
        "alice:root",
        "../root",
        "-root",
        ".root",
        "*",
        "",
    ] {
        let who = admit(&rules(), json!({"preferred_username": username})).unwrap();
        assert_eq!(who.login(), None, "{username:?}");
        assert_eq!(who.name(), admit(&rules(), json!({})).unwrap().name(), "{username:?}");
    }
    let long = "a".repeat(254);
    assert_eq!(admit(&rules(), json!({"preferred_username": long})).unwrap().login(), None);
}

#[test]
fn invariant_4_a_username_cannot_pose_as_a_derived_name() {
    let victim = admit(&rules(), json!({"sub": "victim"})).unwrap();
    let forger = admit(&rules(), json!({"sub": "forger", "preferred_username": victim.name()})).unwrap();
    assert_eq!(forger.login(), None);
    assert_ne!(forger.name(), victim.name());
    for username in ["id-", "id-x", "id-root"] {
        let who = admit(&rules(), json!({"preferred_username": username})).unwrap();
        assert_eq!(who.login(), None, "{username}");
    }
    let who = admit(&rules(), json!({"preferred_username": "idris"})).unwrap();
    assert_eq!(who.name().as_str(), "idris");
}

#[test]
fn invariant_4_a_derived_name_is_of_issuer_and_subject() {
    let name = |url: &str, sub: &str| {
        let rules = IssuerRules { url: url.into(), ..rules() };
        admit(&rules, json!({"sub": sub})).unwrap().name().to_string()
    };
    // From Python's hashlib and base64, over b"https://id.example.com\0" + b"248289761001".
    assert_eq!(name("https://id.example.com", "248289761001"), "id-7r2p3knp3mj5s4ilvd3sz5zk35");
    assert_ne!(name("https://id.example.com", "a"), name("https://id.example.com", "b"));
    assert_ne!(name("https://id.example.com", "a"), name("https://id.example.org", "a"));
    assert_ne!(name("https://id.example.com/", "a"), name("https://id.example.com", "/a"));
}

#[test]
fn invariant_4_names_come_only_from_a_trusted_claim() {
    let untrusting = IssuerRules { username: None, groups: None, ..rules() };
    let who = admit(
        &untrusting,
        json!({"preferred_username": "root", "name": "root", "email": "root@example.com", "email_verified": true,
               "groups": ["devs"]}),
    )
    .unwrap();
    assert_eq!((who.login(), who.groups().len()), (None, 0));
    assert!(who.name().as_str().starts_with(DERIVED));
}

#[test]
fn invariant_4_an_address_counts_only_if_verified_is_literally_true() {
    let demanding = IssuerRules { allowed_domains: vec!["example.com".into()], ..rules() };
    for verified in [
        json!(false),
        json!("true"),
        json!("false"),
        json!(1),
        json!(null),
        json!([true]),
        json!({"value": true}),
        json!("True"),
    ] {
        let payload = json!({"email": "alice@example.com", "email_verified": verified});
        assert_eq!(admit(&rules(), payload.clone()).unwrap().email(), None, "{verified}");
        assert_eq!(code(&demanding, payload), Code::EmailNotVerified, "{verified}");
    }
    for payload in [json!({"email": "alice@example.com"}), json!({"email_verified": true}), json!({})] {
        assert_eq!(admit(&rules(), payload.clone()).unwrap().email(), None);
        assert_eq!(code(&demanding, payload), Code::EmailNotVerified);
    }
}

#[test]
fn invariant_4_only_allowed_domains() {
    let demanding =
        IssuerRules { allowed_domains: vec!["example.com".into(), "Corp.Example".into()], ..rules() };
    for (email, expected) in [
        ("a@example.org", Code::DomainNotAllowed),
        ("a@evilexample.com", Code::DomainNotAllowed),
        ("a@example.com.evil.example", Code::DomainNotAllowed),
        ("a@sub.example.com", Code::DomainNotAllowed),
        ("a@example.com.", Code::DomainNotAllowed),
        ("a@.example.com", Code::DomainNotAllowed),
        ("a@example.com@evil.example", Code::DomainNotAllowed),
        ("a@ex\u{430}mple.com", Code::DomainNotAllowed),
        ("a@\u{ff45}xample.com", Code::DomainNotAllowed),
        ("a@example\u{3002}com", Code::DomainNotAllowed),
        ("a@example.com ", Code::TokenClaims),
        ("a@example.com\n", Code::TokenClaims),
        ("a@example.com\u{0}", Code::TokenClaims),
        ("a@\u{200b}example.com", Code::TokenClaims),
        ("example.com", Code::TokenClaims),
        ("@example.com", Code::TokenClaims),
        ("a@", Code::TokenClaims),
        ("a@b@", Code::TokenClaims),
        ("", Code::TokenClaims),
    ] {
        assert_eq!(code(&demanding, json!({"email": email, "email_verified": true})), expected, "{email:?}");
    }
    assert_eq!(
        code(&demanding, json!({"email": ["a@example.com"], "email_verified": true})),
        Code::TokenClaims
    );
    let long = format!("{}@example.com", "a".repeat(250));
    assert_eq!(code(&demanding, json!({"email": long, "email_verified": true})), Code::TokenClaims);
    for email in ["a@example.com", "a@EXAMPLE.com", "a@corp.example", "a+b@example.com"] {
        let who = admit(&demanding, json!({"email": email, "email_verified": true})).unwrap();
        assert_eq!(who.email(), Some(email));
    }
}

#[test]
fn groups_exist_only_as_they_are_mapped() {
    for (claim, expected) in [
        (json!([]), &[][..]),
        (json!(["unmapped", "sre", "dev", "root"]), &[]),
        (json!(["devs"]), &["dev"]),
        (json!("devs"), &["dev"]),
        (json!("devs,Devs"), &[]),
        (json!(["Devs"]), &["dev-leads"]),
        (json!(["DEVS", "devs "]), &[]),
        (json!(["/Platform SRE", "devs", "devs"]), &["dev", "oncall", "sre"]),
        (json!(vec!["x"; 1000]), &[]),
    ] {
        let who = admit(&rules(), json!({"groups": claim})).unwrap();
        assert_eq!(who.groups().iter().map(Name::as_str).collect::<Vec<_>>(), expected, "{claim}");
    }
}

#[test]
fn claims_of_other_shapes_are_refused_and_named() {
    for (claim, value) in [
        ("groups", json!(null)),
        ("groups", json!(7)),
        ("groups", json!(true)),
        ("groups", json!({"devs": true})),
        ("groups", json!(["devs", 7])),
        ("groups", json!([["devs"]])),
        ("groups", json!([null])),
        ("groups", json!(vec!["x"; 1001])),
        ("preferred_username", json!(7)),
        ("preferred_username", json!(null)),
        ("preferred_username", json!(["root"])),
        ("auth_time", json!("1790000000")),
        ("auth_time", json!(-1)),
        ("auth_time", json!(1.5)),
        ("auth_time", json!(null)),
        ("auth_time", json!(u64::MAX)),
        ("amr", json!("pwd")),
        ("amr", json!([1])),
        ("amr", json!(null)),
        ("amr", json!(vec!["x"; 33])),
        ("amr", json!(["x".repeat(256)])),
        ("acr", json!(2)),
        ("acr", json!(null)),
        ("acr", json!(["2"])),
        ("acr", json!("x".repeat(256))),
    ] {
        let problem = admit(&rules(), json!({ claim: value })).unwrap_err();
        assert_eq!(problem.code, Code::TokenClaims, "{claim} {value}");
        assert!(problem.detail.contains(claim), "{problem:?}");
    }
}

#[test]
fn invariant_4_kept_claims_never_take_on_another_meaning() {
    let payload = json!({
        "sub": "1", "preferred_username": "alice", "nick": "bob", "groups": ["devs"], "teams": ["/Platform SRE"],
    });
    let Value::Object(payload) = payload else { panic!("an object") };
    let old = |change: &dyn Fn(&mut IssuerRules)| {
        let mut entry = rules();
        change(&mut entry);
        Claims::from_payload(&entry, Flow::Code, &payload).unwrap()
    };
    for (claims, what) in [
        (old(&|entry| entry.username = Some("nick".into())), "another claim was the user name"),
        (old(&|entry| entry.username = None), "no claim was the user name"),
        (old(&|entry| entry.groups = Some("teams".into())), "another claim was the groups"),
        (old(&|entry| entry.groups = None), "no claim was the groups"),
        (old(&|entry| entry.url = "https://other.example.com".into()), "the alias was another issuer's"),
    ] {
        assert_eq!(
            VerifiedIdentity::admit(&rules(), &claims).unwrap_err().code,
            Code::SessionEnded,
            "{what}"
        );
    }
    // What the entry makes of the same claims may change: today's mapping counts.
    let mut narrower = rules();
    narrower.groups_map.clear();
    assert!(VerifiedIdentity::admit(&narrower, &old(&|_| {})).unwrap().groups().is_empty());
}

/// A platform whose jobs choose the audience of their tokens, and whose people log in by a flow without a nonce.
#[test]
fn invariant_4_a_job_is_no_person_in_any_flow() {
    let job_marks = [
        ("GitLab CI", json!({ "project_path": "acme/shop", "job_id": "302" })),
        ("GitLab CI", json!({ "project_path": "acme/shop", "pipeline_id": 574 })),
        ("GitHub Actions", json!({ "repository": "acme/shop", "run_id": "30433642" })),
        ("Kubernetes", json!({ "kubernetes.io": { "namespace": "shop" } })),
        ("Kubernetes", json!({ "kubernetes.io/serviceaccount/namespace": "shop" })),
        ("Buildkite", json!({ "pipeline_slug": "deploy", "build_number": 7 })),
        ("CircleCI", json!({ "oidc.circleci.com/project-id": "74" })),
        ("Bitbucket Pipelines", json!({ "repositoryUuid": "{a}", "stepUuid": "{b}" })),
        ("Terraform", json!({ "terraform_run_id": "run-1" })),
        // Whatever it says, that it says it is enough.
        ("GitHub Actions", json!({ "repository": null, "run_id": false })),
    ];
    let workload = IssuerRules { kind: IdentityKind::Workload, ..rules() };
    for (platform, marks) in job_marks {
        let Value::Object(mut payload) = marks else { panic!("an object") };
        payload.insert("sub".into(), "1".into());
        payload.insert("preferred_username".into(), "alice".into());
        for flow in [Flow::Code, Flow::Device, Flow::Token] {
            let refused = Claims::from_payload(&rules(), flow, &payload).unwrap_err();
            assert_eq!(refused.code, Code::TokenOfAJob, "{platform} {flow}");
            assert!(refused.detail.contains(platform), "{}", refused.detail);
            assert!(refused.detail.contains("kind = \"workload\""), "{}", refused.detail);
        }
        assert!(Claims::from_payload(&workload, Flow::Token, &payload).is_ok(), "{platform}");
    }
    // A person's claims are none of these.
    for person in [
        json!({ "groups_direct": ["acme"], "project_path": "acme" }),
        json!({ "repository": "acme/shop" }),
        json!({ "job_id": "302", "run_id": "1" }),
    ] {
        assert!(admit(&rules(), person.clone()).is_ok(), "{person}");
    }
}
