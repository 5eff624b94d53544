//! What policies are told, asked through policies; and what a policy that fails comes to.

use cedar_policy::{Entities, EntityUid, Request, Schema};
use jit_ssh_proto::Action;

use super::super::compile::SCHEMA;
use super::super::facts::{Asking, Looked, context};
use super::*;

/// Whether the condition holds for this question.
fn holds(condition: &str, who: &VerifiedIdentity, what: &str, at: &Circumstances) -> String {
    let request = ask(what);
    let action = request.mode();
    let rules = rules(&format!(
        "@id(\"yes\") permit (principal, action == Action::\"{action}\", resource) when {{ {condition} }};"
    ));
    outcome(&rules.decide(who, &request, &key(), at))
}

#[test]
fn what_is_told_fits_the_schema() {
    let (schema, warnings) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    assert_eq!(warnings.count(), 0);
    let rules = rules("");
    let vocabulary = &rules.vocabulary;
    let more = json!({"auth_time": NOW, "amr": ["hwk"], "acr": "2"});
    for kind in [IdentityKind::User, IdentityKind::Workload] {
        for (identity, what) in [
            (
                identity(kind, "alice", &["sre"], &more),
                "exec deploy@web-1,postgres@db-1 for 5m because x run a b c d e f g h i j k l",
            ),
            (
                identity(kind, "alice", &[], &json!({"preferred_username": "Ä"})),
                "exec deploy@lab-1 run ls | sh",
            ),
        ] {
            let request = ask(what);
            let accounts = request.accounts().iter().map(|a| (a, rules.inventory.account(a).unwrap()));
            let told = Entities::from(vocabulary.entities(&identity, accounts).unwrap());
            Entities::from_entities(told.iter().cloned(), Some(&schema)).unwrap();
            for action in Action::ALL {
                let context = context(
                    (&rules.functions, &Looked::Everything),
                    &identity,
                    &Asking::of(&request, action),
                    Span::from_seconds(300),
                    &key(),
                    &circumstances(),
                )
                .unwrap();
                let uid = |uid| EntityUid::from(uid);
                Request::new(
                    uid(vocabulary.principal(&identity)),
                    uid(vocabulary.action(action).unwrap()),
                    uid(vocabulary.account(&request.accounts()[0])),
                    context.into(),
                    Some(&schema),
                )
                .unwrap_or_else(|e| panic!("{action}: {e}"));
            }
        }
    }
}

#[test]
fn each_fact_is_there() {
    let who = identity(
        IdentityKind::User,
        "alice",
        &["sre"],
        &json!({"auth_time": NOW - 600, "amr": ["hwk", "pin"], "acr": "2"}),
    );
    for condition in [
        r#"principal == User::"corp/alice" && principal is User && principal in Group::"sre""#,
        r#"principal.issuer == "corp" && principal.name == "alice" && principal has login && principal.login == "alice""#,
        r#"principal has email && principal.email == "alice@example.com""#,
        r#"resource == Account::"deploy@web-1" && resource.login == "deploy" && resource.host == Host::"web-1""#,
        r#"resource in Host::"web-1" && resource in HostGroup::"web" && resource in HostGroup::"prod""#,
        r#"resource.host.name == "web-1" && resource.host.hasTag("env") && resource.host.getTag("env") == "prod""#,
        r#"!(resource in HostGroup::"lab") && !(resource in Host::"db-1")"#,
        r#"context.now == datetime("2026-11-22T09:30:00Z")"#,
        r#"context.local == {hour: 10, minute: 30, weekday: 7, date: "2026-11-22"}"#,
        r#"context.source_ip.isInRange(ip("192.0.2.0/24"))"#,
        r#"context.reason == "OPS-7" && context.ticket == """#,
        r#"context.duration == duration("20m") && context.starts_in == duration("0s") && !context.break_glass"#,
        r#"context.auth has age && context.auth.age == duration("10m") && context.auth.methods.containsAll(["hwk", "pin"])"#,
        r#"context.auth has level && context.auth.level == "2" && context.auth.flow == "code" && context.auth.issuer == "corp""#,
        r#"context.key.type == "ssh-ed25519" && !(context.key has hardware)"#,
    ] {
        let got = holds(condition, &who, "shell deploy@web-1 for 20m because OPS-7", &circumstances());
        assert_eq!(got, "20m by yes", "{condition}");
    }
}

#[test]
fn tags_are_what_the_issuers_entry_takes() {
    let issuer = IssuerRules {
        name: "ci".parse().unwrap(),
        url: "https://ci.example.com".into(),
        kind: IdentityKind::Workload,
        username: None,
        groups: None,
        groups_map: [].into(),
        tags: [("ref", "ref"), ("namespace", "/kubernetes.io/namespace")]
            .map(|(tag, claim)| (tag.into(), claim.parse().unwrap()))
            .into(),
        allowed_domains: Vec::new(),
        privileged_flows: false,
    };
    let payload = json!({ "sub": "job", "ref": "refs/heads/main", "kubernetes.io": { "namespace": "shop" }, "environment": "prod" });
    let claims = Claims::from_payload(&issuer, Flow::Code, payload.as_object().unwrap()).unwrap();
    let job = VerifiedIdentity::admit(&issuer, &claims).unwrap();
    for (condition, expected) in [
        (r#"principal.hasTag("ref") && principal.getTag("ref") == "refs/heads/main""#, "1h by yes"),
        (r#"principal.hasTag("namespace") && principal.getTag("namespace") == "shop""#, "1h by yes"),
        // A claim that the entry does not take reaches no policy.
        (r#"principal.hasTag("environment") && principal.getTag("environment") == "prod""#, "no_access"),
    ] {
        assert_eq!(holds(condition, &job, "shell deploy@web-1", &circumstances()), expected, "{condition}");
    }
    let other = IssuerRules { tags: [("ref".into(), "sub".parse().unwrap())].into(), ..issuer };
    assert_eq!(VerifiedIdentity::admit(&other, &claims).unwrap_err().code, Code::SessionEnded);
}

#[test]
fn what_a_request_says_of_itself() {
    let rules = rules(
        r#"@id("later") permit (principal, action, resource) when { context.starts_in == duration("2h") };
           @id("glass") @break_glass permit (principal, action, resource) when { context.break_glass };"#,
    );
    let who = person("alice", &[]);
    let plain = || ask("shell deploy@web-1");
    for (request, expected) in [
        (plain(), "no_access"),
        (plain().starting_in(Span::from_seconds(7200)), "1h by later"),
        (plain().starting_in(Span::from_seconds(u64::MAX)), "policy_error"),
        (plain().under_break_glass(true), "1h by glass"),
        // Under break-glass no other permit is an offer, and without it those for it are none.
        (plain().starting_in(Span::from_seconds(7200)).under_break_glass(true), "1h by glass"),
        (plain().under_break_glass(false), "no_access"),
    ] {
        let decision = rules.decide(&who, &request, &key(), &circumstances());
        assert_eq!(outcome(&decision), expected, "{request:?}");
    }
}

#[test]
fn absent_facts_never_satisfy() {
    let nobody = identity(IdentityKind::Workload, "Not A Login", &[], &json!({"email_verified": false}));
    for condition in [
        "principal has login",
        "principal has email",
        "principal is User",
        "principal in Group::\"sre\"",
        "context.auth has age && context.auth.age < duration(\"1h\")",
        "context.auth has level",
        "context.auth.methods.contains(\"pwd\")",
        "context.key has hardware && context.key.hardware",
        "context.reason != \"\"",
        "context.ticket != \"\"",
        "resource.host.hasTag(\"owner\") && resource.host.getTag(\"owner\") == \"\"",
    ] {
        let got = holds(condition, &nobody, "shell deploy@web-1", &circumstances());
        assert_eq!(got, "no_access", "{condition}");
    }
}

#[test]
fn the_age_of_a_login_is_known_or_absent() {
    let fresh = "context.auth has age && context.auth.age <= duration(\"5m\")";
    for (auth_time, expected) in [
        (json!({}), "no_access"),
        (json!({"auth_time": NOW - 301}), "no_access"),
        (json!({"auth_time": NOW - 300}), "1h by yes"),
        (json!({"auth_time": NOW + 60}), "1h by yes"),
        // A login that lies ahead would otherwise stay fresh until then.
        (json!({"auth_time": NOW + 61}), "no_access"),
        (json!({"auth_time": i64::MAX}), "no_access"),
    ] {
        let who = identity(IdentityKind::User, "alice", &[], &auth_time);
        assert_eq!(holds(fresh, &who, "shell deploy@web-1", &circumstances()), expected, "{auth_time}");
    }
}

#[test]
fn an_ipv4_caller_on_an_ipv6_socket_is_an_ipv4_caller() {
    let mut at = circumstances();
    for (source, expected) in [
        ("::ffff:192.0.2.7", "1h by yes"),
        ("192.0.2.7", "1h by yes"),
        ("192.0.3.7", "no_access"),
        ("2001:db8::7", "no_access"),
        ("::192.0.2.7", "no_access"),
    ] {
        at.source_ip = source.parse().unwrap();
        let got = holds(
            "context.source_ip.isInRange(ip(\"192.0.2.0/24\"))",
            &person("alice", &[]),
            "shell deploy@web-1",
            &at,
        );
        assert_eq!(got, expected, "{source}");
    }
}

#[test]
fn commands_are_words_only_if_every_shell_agrees() {
    let words = r#"context has argv && context.argv.program == "ls" && context.argv has a1 && context.argv.a1 == "-l" && context.argv.count == 2"#;
    let plain = r#"context has command && context.command == "ls -l""#;
    let raw = r#"context has raw_command && context.raw_command == "ls -l; id""#;
    let any_words = "context has argv || context has command";
    for (condition, what, expected) in [
        (words, "exec deploy@web-1 run ls -l", "1h by yes"),
        (plain, "exec deploy@web-1 run ls -l", "1h by yes"),
        (words, "exec deploy@web-1 run ls -l x", "no_access"),
        (any_words, "exec deploy@web-1 run ls -l; id", "no_access"),
        (any_words, "exec deploy@web-1 run ls  -l", "no_access"),
        (any_words, "exec deploy@web-1 run A=b ls", "no_access"),
        (raw, "exec deploy@web-1 run ls -l; id", "1h by yes"),
        ("context has raw_command", "exec deploy@web-1 run ls -l", "no_access"),
        (
            r#"context has argv && context.argv.count == 12 && context.argv has a9 && context.argv.a9 == "9""#,
            "exec deploy@web-1 run p 1 2 3 4 5 6 7 8 9 10 11",
            "1h by yes",
        ),
    ] {
        assert_eq!(
            holds(condition, &person("alice", &[]), what, &circumstances()),
            expected,
            "{condition} {what}"
        );
    }
}

#[test]
fn two_issuers_people_of_one_name_are_two() {
    let other = identity(IdentityKind::User, "alice", &[], &json!({}));
    assert_eq!(
        holds(r#"principal == User::"other/alice""#, &other, "shell deploy@web-1", &circumstances()),
        "no_access"
    );
    let robot = identity(IdentityKind::Workload, "alice", &[], &json!({}));
    assert_eq!(
        holds(r#"principal == User::"corp/alice""#, &robot, "shell deploy@web-1", &circumstances()),
        "no_access"
    );
}

#[test]
fn invariant_10_an_error_in_any_policy_denies() {
    let allow = "@id(\"ok\") permit (principal, action == Action::\"shell\", resource);";
    // Overflows while it is evaluated, which no validator sees.
    let overflow = "9223372036854775807 + context.local.hour > 0";
    for broken in [
        format!("@id(\"bad\") permit (principal, action, resource is Account) when {{ {overflow} }};"),
        format!("@id(\"bad\") forbid (principal, action, resource is Account) when {{ {overflow} }};"),
        format!(
            "@id(\"bad\") @break_glass permit (principal, action, resource is Account) when {{ {overflow} }};"
        ),
        "@id(\"bad\") forbid (principal, action, resource is Account) when { Host::\"gone\".name == \"x\" };"
            .into(),
    ] {
        let rules = rules(&format!("{allow}\n{broken}"));
        let denial = denied(decide(&rules, &person("alice", &[]), "shell deploy@web-1"));
        assert_eq!(
            (denial.code, denial.policies),
            (Code::PolicyError, Vec::from(["bad".to_string()])),
            "{broken}"
        );
        assert!(!denial.detail.contains("bad"), "{}", denial.detail);
    }
    // A forbid that matches does not hide the error, and an error does not let one through.
    let rules = rules(&format!(
        "{allow} forbid (principal, action, resource); @id(\"bad\") permit (principal, action, resource is Account) when {{ {overflow} }};"
    ));
    assert_eq!(outcome(&decide(&rules, &person("alice", &[]), "shell deploy@web-1")), "policy_error");
}

#[test]
fn an_error_about_a_host_that_one_has_no_part_in_is_told_to_the_ledger_alone() {
    let rules = rules(
        "@id(\"ok\") permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"web\");\n\
         @id(\"bad\") forbid (principal, action, resource in HostGroup::\"web\") \
         when { 9223372036854775807 + context.local.hour > 0 };",
    );
    let stranger = person("alice", &[]);
    let there = denied(decide(&rules, &stranger, "shell deploy@web-1"));
    let not_there = denied(decide(&rules, &stranger, "shell deploy@web-999"));
    assert_eq!((there.code, &there.detail), (not_there.code, &not_there.detail));
    assert_eq!(there.code, Code::NoAccess);
    assert_eq!((there.policies, not_there.policies), (Vec::from(["bad".to_string()]), Vec::new()));
    // Whoever has a part is told that something is wrong.
    let member = denied(decide(&rules, &person("bob", &["sre"]), "shell deploy@web-1"));
    assert_eq!(member.code, Code::PolicyError);
}

#[test]
fn invariant_10_what_cannot_be_told_denies() {
    let rules = rules("permit (principal, action == Action::\"shell\", resource);");
    let mut at = circumstances();
    at.now = Timestamp::MAX;
    let decision = rules.decide(&person("alice", &[]), &ask("shell deploy@web-1"), &key(), &at);
    assert_eq!(outcome(&decision), "policy_error");
}
