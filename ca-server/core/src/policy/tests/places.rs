//! Several hosts and groups of hosts: decided host by host, allowed only if all are, and told to nobody who has no part.

use jit_ssh_proto::Place;
use jit_ssh_proto::explanation::Answer;

use super::explain::explain;
use super::*;
use crate::places::{Named, PlaceLimits, Places};

const HOSTS: &str = r#"
    [[group]]
    name = "prod"
    logins = ["deploy"]
    principals = "group"
    [[group]]
    name = "web"
    groups = ["prod"]
    logins = ["www"]
    principals = "group"
    [[group]]
    name = "db"
    groups = ["prod"]
    [[group]]
    name = "nobody"
    groups = ["prod"]
    logins = ["deploy"]
    [[group]]
    name = "mixed"
    logins = ["deploy"]
    principals = "group"
    [[group]]
    name = "switches"
    logins = ["admin", "audit"]
    principals = "login"
    [[group]]
    name = "rack"
    logins = ["admin"]
    [[host]]
    name = "web-1"
    groups = ["web", "rack"]
    [[host]]
    name = "web-2"
    groups = ["web"]
    [[host]]
    name = "web-3"
    groups = ["web", "mixed"]
    [[host]]
    name = "db-1"
    groups = ["db"]
    logins = ["postgres"]
    [[host]]
    name = "db-2"
    groups = ["mixed"]
    principals = "host"
    [[host]]
    name = "switch-1"
    groups = ["switches", "rack"]
    [[host]]
    name = "switch-2"
    groups = ["switches"]
    [[host]]
    name = "router-1"
    logins = ["admin"]
    principals = "login"
"#;

const ALL: &str = "permit (principal in Group::\"sre\", action in [Action::\"shell\", Action::\"exec\", Action::\"sftp\", \
                   Action::\"forward\", Action::\"agent\"], resource);";

fn rules_within(policies: &str, group_members: usize, host_principals: usize) -> Rules {
    let source = PolicySource { file: "p.cedar".into(), text: policies.into() };
    let rules = Rules::load(&[source], inventory_of(HOSTS), &[0; 32], Span::from_seconds(3600)).unwrap();
    rules.limited(PlaceLimits { group_members, host_principals })
}

fn sre() -> VerifiedIdentity {
    person("amy", &["sre"])
}

/// What the certificate would name, and under which authority.
fn named(places: &Places) -> String {
    let names: Vec<String> = match places.named() {
        Named::Places(accounts) => accounts.iter().map(ToString::to_string).collect(),
        Named::Logins(logins) => logins.iter().map(ToString::to_string).collect(),
    };
    format!("{}: {}", places.authority(), names.join(" "))
}

/// The names, or the code of the refusal.
fn come_to(rules: &Rules, what: &str) -> String {
    match decide(rules, &sre(), what) {
        Decision::Allowed(allowed) => named(allowed.places()),
        Decision::Denied(denial) => denial.code.to_string(),
    }
}

#[test]
fn a_group_is_each_of_its_hosts_directly_or_by_nesting() {
    let few = rules_within(ALL, 1000, 4);
    for (what, expected) in [
        ("shell deploy@web-1", "user: deploy@web-1"),
        ("shell deploy@web-2,deploy@web-1", "user: deploy@web-2 deploy@web-1"),
        ("shell www@group/web", "user: www@web-1 www@web-2 www@web-3"),
        ("shell deploy@group/prod", "user: deploy@db-1 deploy@web-1 deploy@web-2 deploy@web-3"),
        ("shell deploy@web-3,deploy@group/web", "user: deploy@web-3 deploy@web-1 deploy@web-2"),
        ("shell postgres@db-1,www@group/web", "user: postgres@db-1 www@web-1 www@web-2 www@web-3"),
        ("shell admin@group/switches", "user-switches: admin"),
        ("shell admin@group/switches,audit@switch-1", "user-switches: admin audit"),
        ("shell admin@switch-1", "user-switches: admin"),
        ("shell admin@router-1", "user-router-1: admin"),
    ] {
        assert_eq!(come_to(&few, what), expected, "{what}");
    }
}

#[test]
fn beyond_the_limit_a_group_is_named_by_its_own_name_where_all_its_members_answer_to_it() {
    let one = rules_within(ALL, 1000, 1);
    for (what, expected) in [
        ("shell deploy@web-1", "user: deploy@web-1"),
        // A host always answers to its own name, whatever else it answers to.
        ("sftp www@web-1", "user: www@web-1"),
        ("shell www@group/web", "user: www@group/web"),
        ("shell deploy@group/prod", "user: deploy@group/prod"),
        ("shell deploy@group/prod,deploy@web-1", "user: deploy@group/prod"),
        ("shell deploy@group/mixed", "too_many_hosts"),
        ("shell deploy@group/prod,deploy@group/mixed", "too_many_hosts"),
        ("shell deploy@web-1,deploy@web-2", "too_many_hosts"),
        ("shell www@group/web,postgres@db-1", "too_many_hosts"),
        ("shell admin@group/switches,audit@switch-2", "user-switches: admin audit"),
    ] {
        assert_eq!(come_to(&one, what), expected, "{what}");
    }
    let two = rules_within(ALL, 1000, 2);
    assert_eq!(come_to(&two, "shell www@group/web,postgres@db-1"), "user: www@group/web postgres@db-1");
    let said = denied(decide(&one, &sre(), "shell deploy@group/mixed")).detail;
    assert!(said.contains("group/mixed") && said.contains("principals = \"group\""), "{said}");
    let said = denied(decide(&one, &sre(), "shell deploy@web-1,deploy@web-2")).detail;
    assert!(said.contains("ask for 1 at a time"), "{said}");
}

#[test]
fn what_does_not_exist_is_answered_like_what_nobody_gives() {
    let rules = rules_within(ALL, 1000, 32);
    let expected = denied(decide(&rules, &person("eve", &[]), "shell deploy@web-1"));
    for what in [
        "shell deploy@group/unknown",
        "shell deploy@group/nobody",
        // A host is no group, and a group no host.
        "shell deploy@group/web-1",
        "shell deploy@web",
        // One of them does not offer the login.
        "shell www@group/prod",
        "shell postgres@group/db,root@web-1",
        "shell deploy@group/rack",
        "shell deploy@web-1,deploy@web-9",
        "shell deploy@group/web,deploy@group/unknown",
    ] {
        assert_eq!(denied(decide(&rules, &sre(), what)), expected, "{what}");
    }
}

#[test]
fn one_member_that_is_not_allowed_denies_all_of_them() {
    let web =
        "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"web\");";
    for (policies, what, expected) in [
        (web, "shell deploy@group/web", "allowed"),
        (web, "shell deploy@group/prod", "no_access"),
        (web, "shell deploy@group/web,postgres@db-1", "no_access"),
        (
            &format!("{web} forbid (principal, action, resource in Host::\"web-3\");"),
            "shell deploy@group/web",
            "forbidden",
        ),
        (
            &format!("{web} forbid (principal, action, resource in Host::\"web-3\");"),
            "shell deploy@web-1,deploy@web-2",
            "allowed",
        ),
        (
            "@ttl(\"8h\") permit (principal, action, resource in Host::\"web-1\");
             @ttl(\"8h\") permit (principal, action, resource in Host::\"web-2\");
             @ttl(\"5m\") permit (principal, action, resource in Host::\"web-3\");",
            "shell deploy@group/web for 1h",
            "duration_denied",
        ),
        (
            &format!(
                "{web} @approvals(\"1 of leads\") permit (principal, action, resource in Host::\"db-1\");"
            ),
            "shell deploy@group/prod",
            "approval_required",
        ),
        (
            &format!(
                "{ALL} forbid (principal, action, resource is Account) when {{ resource.host.name == \"web-3\" && 9223372036854775807 + 1 > 0 }};"
            ),
            "shell deploy@group/prod",
            "policy_error",
        ),
    ] {
        let rules = rules_within(policies, 1000, 32);
        let found = match decide(&rules, &sre(), what) {
            Decision::Allowed(_) => "allowed".to_string(),
            Decision::Denied(denial) => denial.code.to_string(),
        };
        assert_eq!(found, expected, "{policies} {what}");
    }
}

#[test]
fn the_members_narrow_each_other() {
    let rules = rules_within(
        "@id(\"a\") @ttl(\"2h\") permit (principal, action, resource in Host::\"web-1\");
         @id(\"b\") @ttl(\"1h\") @source(\"pin\") permit (principal, action, resource in Host::\"web-2\");
         @id(\"c\") @ttl(\"30m\") permit (principal, action, resource in Host::\"web-3\");",
        1000,
        32,
    );
    assert_eq!(outcome(&decide(&rules, &sre(), "shell deploy@group/web")), "30m pin by a,b,c");
}

#[test]
fn too_many_members_are_told_to_those_who_would_be_allowed_only() {
    let rules = rules_within(ALL, 2, 32);
    for (what, expected) in [
        ("shell www@group/web", "too_many_hosts"),
        ("shell admin@group/switches", "user-switches: admin"),
        ("shell admin@group/switches,deploy@group/db", "too_many_hosts"),
        // Single hosts are no members.
        ("shell deploy@web-1,deploy@web-2,deploy@web-3", "user: deploy@web-1 deploy@web-2 deploy@web-3"),
        ("shell www@group/web,deploy@group/unknown", "no_access"),
        ("shell www@group/web,deploy@group/nobody", "no_access"),
    ] {
        assert_eq!(come_to(&rules, what), expected, "{what}");
    }
    for what in ["shell www@group/web", "shell deploy@group/web", "shell deploy@group/unknown"] {
        assert_eq!(denied(decide(&rules, &person("eve", &[]), what)).code, Code::NoAccess, "{what}");
    }
    let said = denied(decide(&rules, &sre(), "shell www@group/web")).detail;
    assert!(said.contains("more than 2 hosts"), "{said}");
}

#[test]
fn hosts_of_several_authorities_are_asked_for_separately() {
    let rules = rules_within(ALL, 1000, 32);
    for what in [
        "shell admin@switch-1,deploy@web-1",
        "shell admin@switch-1,admin@router-1",
        "shell admin@group/rack",
        "shell admin@group/switches,deploy@group/web",
    ] {
        assert_eq!(come_to(&rules, what), "ask_separately", "{what}");
        // Whoever has no part in some of it learns nothing of authorities.
        assert_eq!(denied(decide(&rules, &person("eve", &[]), what)).code, Code::NoAccess, "{what}");
    }
    let said = denied(decide(&rules, &sre(), "shell admin@switch-1,deploy@web-1")).detail;
    assert!(said.contains("separately for deploy@web-1, for admin@switch-1"), "{said}");
}

#[test]
fn devices_that_match_plain_logins_get_what_a_certificate_alone_can_say() {
    let rules = rules_within(ALL, 1000, 32);
    for (what, expected) in [
        ("shell admin@switch-1", "user-switches: admin"),
        ("shell+agent admin@switch-1", "user-switches: admin"),
        ("sftp admin@switch-1", "user-switches: admin"),
        ("exec admin@switch-1 run show version", "user-switches: admin"),
        ("forward admin@switch-1", "not_available"),
        ("shell+forward admin@switch-1", "not_available"),
        ("exec+forward admin@switch-1 run show version", "not_available"),
        ("forward deploy@web-1", "user: deploy@web-1"),
    ] {
        assert_eq!(come_to(&rules, what), expected, "{what}");
        assert!(
            matches!(decide(&rules, &person("eve", &[]), what), Decision::Denied(d) if d.code == Code::NoAccess)
        );
    }
}

#[test]
fn what_nothing_signs_for_is_not_available_whatever_policy_says() {
    let signed =
        |policies: &str| rules_within(policies, 1000, 32).signed_for(["switches".parse().unwrap()].into());
    let rules = signed(ALL);
    for (what, expected) in [
        ("shell admin@switch-1", "user-switches: admin"),
        ("shell deploy@web-1", "user: deploy@web-1"),
        ("shell admin@router-1", "not_available"),
        ("exec admin@router-1 run show version", "not_available"),
        ("forward admin@router-1", "not_available"),
        ("shell admin@switch-1,admin@router-1", "ask_separately"),
        ("shell root@router-1", "no_access"),
    ] {
        assert_eq!(come_to(&rules, what), expected, "{what}");
        // Whoever has no part in it learns nothing of keys.
        assert_eq!(denied(decide(&rules, &person("eve", &[]), what)).code, Code::NoAccess, "{what}");
    }
    let said = denied(decide(&rules, &sre(), "shell admin@router-1")).detail;
    assert!(said.contains("not available yet") && !said.contains("router"), "{said}");
    // Nobody's approval helps, and neither does anything that the caller could do.
    let asks = "@approvals(\"1 of leads\") permit (principal, action == Action::\"shell\", resource);";
    let reason = "permit (principal, action == Action::\"shell\", resource) when { context.reason != \"\" };";
    for (policies, what, code, ways) in [
        (ALL, "shell admin@router-1", "not_available", 0),
        (asks, "shell admin@router-1", "not_available", 0),
        (asks, "shell admin@switch-1", "approval_required", 0),
        (reason, "shell admin@router-1", "no_access", 0),
        (reason, "shell admin@switch-1", "no_access", 1),
    ] {
        let rules = signed(policies);
        assert_eq!(come_to(&rules, what), code, "{what}");
        let told = explain(&rules, &sre(), what, NOW).told;
        assert_eq!((told.code.unwrap().as_str(), told.advice.len()), (code, ways), "{what} {told:?}");
        let expected = if code == "approval_required" { Answer::Pending } else { Answer::Denied };
        assert_eq!(told.answer, expected, "{what}");
    }
}

/// Who may, with the approval of others, do what no certificate says is not told to wait for them.
#[test]
fn approval_is_not_asked_for_what_no_certificate_says() {
    let asks = format!("@approvals(\"1 of leads\") {ALL}");
    let rules = rules_within(&asks, 3, 1);
    for (what, expected) in [
        ("shell deploy@web-1", "approval_required"),
        ("shell www@group/web", "approval_required"),
        ("shell deploy@group/prod", "too_many_hosts"),
        ("shell deploy@web-1,deploy@db-1", "too_many_hosts"),
        ("shell admin@switch-1,deploy@web-1", "ask_separately"),
        ("forward admin@switch-1", "not_available"),
        ("forward deploy@web-1", "approval_required"),
    ] {
        assert_eq!(come_to(&rules, what), expected, "{what}");
        let told = explain(&rules, &sre(), what, NOW).told;
        assert_eq!(told.code.unwrap().as_str(), expected, "{what}");
    }
    // Of several lengths that are tried, what stands in the way of the longest is told.
    let lengths =
        "@ttl(\"1h\") permit (principal, action, resource) when { context.duration >= duration(\"1h\") };
                   @ttl(\"10m\") permit (principal, action, resource) when { context.reason == \"x\" };";
    assert_eq!(come_to(&rules_within(lengths, 3, 1), "shell deploy@web-1,deploy@db-1"), "too_many_hosts");
}

#[test]
fn no_way_out_leads_to_what_no_certificate_says() {
    let rules = rules_within("permit (principal, action == Action::\"forward\", resource);", 1000, 32);
    for (what, ways) in [("shell admin@switch-1", &[][..]), ("shell deploy@web-1", &["in mode forward"])] {
        let told = explain(&rules, &sre(), what, NOW).told;
        let advice: Vec<String> = told.advice.iter().map(ToString::to_string).collect();
        assert_eq!(advice, ways, "{what}");
    }
}

#[test]
fn what_is_told_of_many_members_is_bounded() {
    let hosts: String =
        (0..600).map(|n| format!("[[host]]\nname = \"node-{n}\"\ngroups = [\"farm\"]\n")).collect();
    let inventory = inventory_of(&format!("[[group]]\nname = \"farm\"\nlogins = [\"deploy\"]\n{hosts}"));
    let policies = "permit (principal, action, resource); @id(\"no\") @message(\"closed\") forbid (principal, action, resource);";
    let source = PolicySource { file: "p.cedar".into(), text: policies.into() };
    let rules = Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(3600)).unwrap();
    let denial = denied(decide(&rules, &sre(), "shell deploy@group/farm"));
    assert_eq!((denial.code, denial.policies.as_slice()), (Code::Forbidden, &["no".to_string()][..]));
    assert!(denial.detail.len() < 1000 && denial.detail.ends_with("and 592 more."), "{}", denial.detail);
}

#[test]
fn what_was_decided_is_what_is_granted() {
    let rules = rules_within(ALL, 1000, 1);
    let Decision::Allowed(allowed) = decide(&rules, &sre(), "shell deploy@group/prod,deploy@web-1") else {
        panic!("denied")
    };
    let reaches: Vec<(String, Vec<&str>)> = allowed
        .places()
        .reaches()
        .iter()
        .map(|r| (r.account.to_string(), r.hosts.iter().map(jit_ssh_proto::Name::as_str).collect()))
        .collect();
    assert_eq!(
        reaches,
        [
            ("deploy@group/prod".to_string(), Vec::from(["db-1", "web-1", "web-2", "web-3"])),
            ("deploy@web-1".to_string(), Vec::from(["web-1"])),
        ]
    );
    assert!(matches!(allowed.request().accounts()[0].place, Place::Group(_)));
}
