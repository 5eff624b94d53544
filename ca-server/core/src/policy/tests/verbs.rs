//! The CA's own verbs: who may, who may not, and what they are told.

use cedar_policy::{Entities, Request};

use super::*;
use crate::policy::compile::SCHEMA;
use crate::policy::facts::{Asking, Looked, context};
use crate::policy::{Leave, Verb};

const AUDITORS: &str =
    "@id(\"audit\") permit (principal in Group::\"auditors\", action == Action::\"audit\", resource);";

fn may(rules: &Rules, groups: &[&str]) -> Leave {
    rules.may(&person("alice", groups), Verb::Audit, &key(), &circumstances())
}

/// `by POLICIES`, or a code and the policies that are recorded with it.
fn told(leave: &Leave) -> String {
    match leave {
        Leave::Given(policies) => format!("by {}", policies.join(",")),
        Leave::Denied(denial) => format!("{} {}", denial.code, denial.policies.join(",")).trim_end().into(),
    }
}

#[test]
fn only_a_permit_that_names_the_verb_counts() {
    for (policies, expected) in [
        (AUDITORS, "by audit"),
        (
            "@id(\"two\") permit (principal, action in [Action::\"audit\", Action::\"revoke\"], resource);",
            "by two",
        ),
        ("@id(\"is\") permit (principal, action == Action::\"audit\", resource is Request);", "by is"),
        (
            "@id(\"one\") permit (principal, action == Action::\"audit\", resource == Request::\"ledger\");",
            "by one",
        ),
        // Written with logins in mind: they do not hand out the ledger.
        ("permit (principal, action, resource);", "no_access"),
        ("permit (principal in Group::\"auditors\", action, resource);", "no_access"),
        ("permit (principal, action, resource) when { true };", "no_access"),
        ("permit (principal, action, resource is Request);", "no_access"),
        ("permit (principal, action, resource) when { action == Action::\"audit\" };", "no_access"),
        ("permit (principal, action == Action::\"shell\", resource);", "no_access"),
        // Other verbs and other objects.
        ("permit (principal, action == Action::\"administer\", resource);", "no_access"),
        ("permit (principal, action == Action::\"audit\", resource == Request::\"other\");", "no_access"),
        ("permit (principal in Group::\"others\", action == Action::\"audit\", resource);", "no_access"),
        ("permit (principal is Workload, action == Action::\"audit\", resource);", "no_access"),
        ("", "no_access"),
    ] {
        assert_eq!(told(&may(&rules(policies), &["auditors"])), expected, "{policies}");
    }
    assert_eq!(told(&may(&rules(AUDITORS), &["sre"])), "no_access");
}

/// DESIGN 5: sessions from flows without a nonce do not approve, administer or break glass unless the issuer's entry
/// says so; workloads never.
#[test]
fn a_login_that_is_bound_to_no_key_goes_only_so_far() {
    use crate::identity::{Claims, Flow};
    let rules = rules(
        r#"@id("all") permit (principal, action in [Action::"audit", Action::"approve", Action::"administer"], resource);
           @id("glass") @break_glass permit (principal, action, resource) when { context.break_glass };"#,
    );
    for (kind, flow, entry_says_so, privileged) in [
        (IdentityKind::User, Flow::Code, false, true),
        (IdentityKind::User, Flow::Device, false, false),
        (IdentityKind::User, Flow::Device, true, true),
        (IdentityKind::Workload, Flow::Token, false, false),
        (IdentityKind::Workload, Flow::Token, true, false),
    ] {
        let issuer = IssuerRules {
            name: "corp".parse().unwrap(),
            url: "https://id.example.com".into(),
            kind,
            username: None,
            groups: None,
            groups_map: [].into(),
            tags: [].into(),
            allowed_domains: Vec::new(),
            privileged_flows: entry_says_so,
        };
        let payload = json!({ "sub": "s" });
        let claims = Claims::from_payload(&issuer, flow, payload.as_object().unwrap()).unwrap();
        let who = VerifiedIdentity::admit(&issuer, &claims).unwrap();
        let what = format!("{kind:?} {flow} {entry_says_so}");
        for verb in Verb::ALL {
            let leave = told(&rules.may(&who, verb, &key(), &circumstances()));
            let expected = if privileged || verb == Verb::Audit { "by all" } else { "login_not_privileged" };
            assert_eq!(leave, expected, "{what} {verb}");
        }
        let glass = ask("shell deploy@web-1").under_break_glass(true);
        let expected = if privileged { "1h by glass" } else { "login_not_privileged" };
        assert_eq!(outcome(&rules.decide(&who, &glass, &key(), &circumstances())), expected, "{what}");
    }
}

#[test]
fn every_forbid_counts_and_is_told_to_those_whom_it_stops() {
    for (forbid, expected) in [
        ("@id(\"no\") forbid (principal, action, resource);", "forbidden no"),
        ("@id(\"no\") forbid (principal, action == Action::\"audit\", resource);", "forbidden no"),
        (
            "@id(\"no\") forbid (principal, action, resource) when { context.local.weekday == 7 };",
            "forbidden no",
        ),
        ("@id(\"no\") forbid (principal, action, resource is Account);", "by audit"),
        ("@id(\"no\") forbid (principal, action == Action::\"shell\", resource);", "by audit"),
    ] {
        let rules = rules(&format!("{AUDITORS} {forbid}"));
        assert_eq!(told(&may(&rules, &["auditors"])), expected, "{forbid}");
        assert_eq!(told(&may(&rules, &["sre"])), "no_access", "{forbid}");
    }
    let rules =
        rules(&format!("{AUDITORS} @message(\"not on a Sunday\") forbid (principal, action, resource);"));
    let Leave::Denied(denial) = may(&rules, &["auditors"]) else { panic!() };
    assert_eq!(denial.detail, "Forbidden: audit: not on a Sunday.");
    let Leave::Denied(denial) = may(&rules, &[]) else { panic!() };
    assert!(denial.detail.starts_with("No policy lets you read the ledger") && denial.policies.is_empty());
}

#[test]
fn invariant_10_an_error_in_any_policy_denies_a_verb_too() {
    let overflow = "9223372036854775807 + context.local.hour > 0";
    for broken in [
        format!("@id(\"bad\") permit (principal, action, resource) when {{ {overflow} }};"),
        format!("@id(\"bad\") forbid (principal, action, resource) when {{ {overflow} }};"),
        format!(
            "@id(\"bad\") permit (principal, action == Action::\"audit\", resource) when {{ {overflow} }};"
        ),
    ] {
        let rules = rules(&format!("{AUDITORS} {broken}"));
        assert_eq!(told(&may(&rules, &["auditors"])), "policy_error bad", "{broken}");
    }
    let mut at = circumstances();
    at.now = Timestamp::MAX;
    let leave = rules(AUDITORS).may(&person("alice", &["auditors"]), Verb::Audit, &key(), &at);
    assert_eq!(told(&leave), "policy_error");
}

#[test]
fn circumstances_are_told_and_what_belongs_to_a_request_is_empty() {
    for (condition, expected) in [
        ("context.local.weekday == 7 && context.source_ip == ip(\"192.0.2.7\")", "by audit"),
        ("context.auth.flow == \"code\" && context.key.type == \"ssh-ed25519\"", "by audit"),
        ("context.reason == \"\" && context.ticket == \"\" && !context.break_glass", "by audit"),
        ("context.duration == duration(\"0s\") && context.starts_in == duration(\"0s\")", "by audit"),
        ("context.reason != \"\"", "no_access"),
        ("context.key has hardware && context.key.hardware", "no_access"),
        ("context.auth has age && context.auth.age < duration(\"1h\")", "no_access"),
    ] {
        let rules = rules(&format!(
            "@id(\"audit\") permit (principal, action == Action::\"audit\", resource) when {{ {condition} }};"
        ));
        assert_eq!(told(&may(&rules, &[])), expected, "{condition}");
    }
}

#[test]
fn what_is_told_of_a_verb_fits_the_schema() {
    let (schema, _) = cedar_policy::Schema::from_cedarschema_str(SCHEMA).unwrap();
    let rules = rules("");
    let vocabulary = &rules.vocabulary;
    for kind in [IdentityKind::User, IdentityKind::Workload] {
        let who =
            identity(kind, "alice", &["auditors"], &json!({"auth_time": NOW, "amr": ["hwk"], "acr": "2"}));
        let told = Entities::from(vocabulary.entities(&who, core::iter::empty()).unwrap());
        Entities::from_entities(told.iter().cloned(), Some(&schema)).unwrap();
        for verb in Verb::ALL {
            let asking = Asking::default();
            let context = context(
                (&rules.functions, &Looked::Everything),
                &who,
                &asking,
                Span::default(),
                &key(),
                &circumstances(),
            )
            .unwrap();
            let (action, object) = vocabulary.verb(verb);
            let principal = vocabulary.principal(&who);
            Request::new(principal.into(), action.into(), object.into(), context.into(), Some(&schema))
                .unwrap_or_else(|e| panic!("{verb}: {e}"));
        }
    }
}

#[test]
fn a_permit_for_a_verb_has_no_terms_of_access_to_hosts() {
    for term in ["@ttl(\"1h\")", "@approvals(\"1 of leads\")", "@source(\"pin\")", "@verify", "@break_glass"]
    {
        for scope in ["action == Action::\"audit\"", "action in [Action::\"shell\", Action::\"audit\"]"] {
            let errors =
                try_rules(&format!("@id(\"a\")\n{term} permit (principal, {scope}, resource);")).unwrap_err();
            let name = term.split('(').next().unwrap();
            assert_eq!((errors[0].line, errors[0].column), (2, 1), "{term} {scope}");
            assert!(
                errors[0].what.starts_with(&format!("{name} is a term of access to hosts")),
                "{errors:?}"
            );
        }
    }
    // Nor does it lend logins its length.
    let rules = rules(&format!(
        "{AUDITORS} @ttl(\"2h\") permit (principal, action == Action::\"shell\", resource) when {{ context.duration <= duration(\"90m\") }};"
    ));
    assert_eq!(outcome(&decide(&rules, &person("alice", &[]), "shell deploy@web-1")), "no_access");
    assert_eq!(
        outcome(&decide(&rules, &person("alice", &[]), "shell deploy@web-1 for 1h")),
        "1h by p.cedar:2"
    );
}
