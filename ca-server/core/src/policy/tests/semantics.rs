//! What holds of every decision, sentence by sentence: each test is named after one, and docs/POLICY.md has the list
//! (`tests/xtask/src/documents.rs` compares the two).

use super::offers::fido_key;
use super::*;

const SHELL: &str = "(principal, action == Action::\"shell\", resource)";

/// What comes of it for alice, who is in these groups.
fn comes_of(policies: &str, groups: &[&str], what: &str) -> String {
    outcome(&decide(&rules(policies), &person("alice", groups), what))
}

#[test]
fn semantics_no_policy_no_access() {
    assert_eq!(comes_of("", &["sre"], "shell deploy@web-1"), "no_access");
    assert_eq!(comes_of("// permit (principal, action, resource);", &[], "shell deploy@web-1"), "no_access");
    // Nor for the CA's own verbs.
    let leave =
        rules("").may(&person("alice", &["auditors"]), crate::policy::Verb::Audit, &key(), &circumstances());
    assert!(matches!(leave, crate::policy::Leave::Denied(_)), "{leave:?}");
}

#[test]
fn semantics_a_group_exists_only_where_an_issuer_maps_it() {
    let rules =
        rules("@id(\"a\") permit (principal in Group::\"sre\", action == Action::\"shell\", resource);");
    let issuer = IssuerRules {
        groups_map: [("platform".to_string(), Vec::from(["sre".parse().unwrap()]))].into(),
        ..issuer_rules("corp", IdentityKind::User)
    };
    for (theirs, expected) in [("platform", "1h by a"), ("sre", "no_access"), ("Platform", "no_access")] {
        let payload = json!({ "sub": "s", "preferred_username": "alice", "groups": [theirs] });
        let claims = Claims::from_payload(&issuer, Flow::Code, payload.as_object().unwrap()).unwrap();
        let who = VerifiedIdentity::admit(&issuer, &claims).unwrap();
        assert_eq!(outcome(&decide(&rules, &who, "shell deploy@web-1")), expected, "{theirs}");
    }
}

#[test]
fn semantics_a_rule_for_a_group_of_hosts_holds_for_those_nested_in_it() {
    let permit = |place: &str| {
        format!("@id(\"a\") permit (principal, action == Action::\"shell\", resource in {place});")
    };
    for (place, what, expected) in [
        ("HostGroup::\"prod\"", "shell www@web-1", "1h by a"),
        ("HostGroup::\"web\"", "shell www@web-1", "1h by a"),
        ("HostGroup::\"web\"", "shell deploy@db-1", "no_access"),
        ("Host::\"web-1\"", "shell deploy@web-1", "1h by a"),
        ("HostGroup::\"lab\"", "shell www@web-1", "no_access"),
    ] {
        assert_eq!(comes_of(&permit(place), &[], what), expected, "{place} {what}");
    }
}

#[test]
fn semantics_a_permit_counts_for_a_verb_only_if_it_names_it() {
    for (scope, given) in [
        ("action == Action::\"audit\"", true),
        ("action in [Action::\"audit\", Action::\"approve\"]", true),
        ("action", false),
        ("action == Action::\"approve\"", false),
    ] {
        let rules = rules(&format!("permit (principal, {scope}, resource);"));
        let leave = rules.may(&person("alice", &[]), crate::policy::Verb::Audit, &key(), &circumstances());
        assert_eq!(matches!(leave, crate::policy::Leave::Given(_)), given, "{scope}");
    }
}

#[test]
fn semantics_each_permit_is_an_offer_on_its_own_terms() {
    let policies = format!(
        "@id(\"short\") @ttl(\"10m\") permit {SHELL} when {{ context.reason == \"\" }};
         @id(\"long\") @ttl(\"4h\") @source(\"pin\") permit {SHELL} when {{ context.reason != \"\" }};"
    );
    assert_eq!(comes_of(&policies, &[], "shell deploy@web-1"), "10m by short");
    assert_eq!(comes_of(&policies, &[], "shell deploy@web-1 because x"), "4h pin by long");
}

#[test]
fn semantics_offers_are_never_mixed() {
    // The length of one, the condition of another.
    let policies = format!(
        "@id(\"short\") @ttl(\"10m\") permit {SHELL};
         @id(\"long\") @ttl(\"4h\") permit {SHELL} when {{ context.ticket != \"\" }};"
    );
    assert_eq!(comes_of(&policies, &[], "shell deploy@web-1 for 4h"), "duration_denied");
    // The actions of one, the actions of another: each pair has its own offer, and all of them restrict.
    let policies = "@id(\"shell\") @ttl(\"4h\") permit (principal, action == Action::\"shell\", resource);
                    @id(\"agent\") @ttl(\"10m\") @source(\"pin\") permit (principal, action == Action::\"agent\", resource);";
    assert_eq!(comes_of(policies, &[], "shell+agent deploy@web-1"), "10m pin by agent,shell");
    assert_eq!(comes_of(policies, &[], "shell+agent deploy@web-1 for 1h"), "duration_denied");
}

#[test]
fn semantics_an_offer_shorter_than_what_was_asked_for_does_not_match() {
    let policies = format!(
        "@id(\"a\") @ttl(\"30m\") permit {SHELL}; @id(\"b\") @ttl(\"2h\") @source(\"pin\") permit {SHELL};"
    );
    for (what, expected) in [
        ("shell deploy@web-1 for 30m", "30m pin by b"),
        ("shell deploy@web-1 for 31m", "31m pin by b"),
        ("shell deploy@web-1 for 2h", "2h pin by b"),
        ("shell deploy@web-1 for 121m", "duration_denied"),
    ] {
        assert_eq!(comes_of(&policies, &[], what), expected, "{what}");
    }
}

#[test]
fn semantics_a_request_without_a_duration_takes_the_offers_own() {
    for (annotation, expected) in [("@ttl(\"7m\")", "7m by a"), ("@ttl(\"5h\")", "5h by a"), ("", "1h by a")]
    {
        let policies = format!("@id(\"a\") {annotation} permit {SHELL};");
        assert_eq!(comes_of(&policies, &[], "shell deploy@web-1"), expected, "{annotation}");
    }
}

#[test]
fn semantics_the_cheapest_offer_wins() {
    let offer = |id: &str, terms: &str| format!("@id(\"{id}\") {terms} permit {SHELL};");
    for (offers, expected) in [
        // No approval before approval, however long that one is.
        ([offer("a", "@ttl(\"8h\") @approvals(\"1 of x\")"), offer("b", "@ttl(\"5m\")")], "5m by b"),
        // Longer before shorter, whatever they are called.
        ([offer("a", "@ttl(\"5m\")"), offer("b", "@ttl(\"6m\")")], "6m by b"),
        // The id that sorts first, where nothing else tells them apart.
        ([offer("b", "@ttl(\"5m\")"), offer("a", "@ttl(\"5m\")")], "5m by a"),
    ] {
        assert_eq!(comes_of(&offers.concat(), &[], "shell deploy@web-1"), expected);
    }
    // Fewer approvals before more.
    let offers = [
        offer("a", "@ttl(\"8h\") @approvals(\"2 of x\")"),
        offer("b", "@ttl(\"5m\") @approvals(\"1 of y\")"),
    ];
    let denial = denied(decide(&rules(&offers.concat()), &person("alice", &[]), "shell deploy@web-1"));
    assert_eq!((denial.code, denial.policies), (Code::ApprovalRequired, Vec::from(["b".to_string()])));
}

#[test]
fn semantics_break_glass_offers_count_under_break_glass_and_no_others_do() {
    let rules = rules(&format!("@id(\"daily\") permit {SHELL}; @id(\"glass\") @break_glass permit {SHELL};"));
    for (under, expected) in [(false, "1h by daily"), (true, "1h by glass")] {
        let request = ask("shell deploy@web-1").under_break_glass(under);
        let decision = rules.decide(&person("alice", &[]), &request, &key(), &circumstances());
        assert_eq!(outcome(&decision), expected);
    }
}

#[test]
fn semantics_every_pair_is_decided_on_its_own_and_all_must_be_allowed() {
    let policies = "@id(\"web\") permit (principal, action in [Action::\"shell\", Action::\"agent\"], resource in HostGroup::\"web\");
                    @id(\"db\") permit (principal, action == Action::\"shell\", resource in Host::\"db-1\");";
    for (what, expected) in [
        ("shell deploy@web-1,deploy@db-1", "1h by db,web"),
        ("shell+agent deploy@web-1", "1h by web"),
        ("shell+agent deploy@web-1,deploy@db-1", "no_access"),
        ("shell deploy@web-1,deploy@lab-1", "no_access"),
    ] {
        assert_eq!(comes_of(policies, &[], what), expected, "{what}");
    }
}

#[test]
fn semantics_of_several_pairs_the_shortest_time_and_every_restriction_hold() {
    let rules = rules(
        "@id(\"web\") @ttl(\"2h\") @source(\"pin\") permit (principal, action, resource in HostGroup::\"web\");
         @id(\"db\") @ttl(\"20m\") permit (principal, action, resource in Host::\"db-1\");
         @id(\"lab\") @ttl(\"4h\") @verify permit (principal, action, resource in Host::\"lab-1\");",
    );
    for (what, expected) in [
        ("shell deploy@web-1,deploy@db-1", "20m pin by db,web"),
        ("shell deploy@lab-1,deploy@web-1", "2h pin verify by lab,web"),
        ("shell deploy@lab-1,deploy@db-1,deploy@web-1", "20m pin verify by db,lab,web"),
    ] {
        let decision = rules.decide(&person("a", &[]), &ask(what), &fido_key(), &circumstances());
        assert_eq!(outcome(&decision), expected, "{what}");
    }
}

#[test]
fn semantics_of_several_pairs_each_demand_for_approval_is_made() {
    let policies = "@id(\"web\") @approvals(\"1 of web-leads\") permit (principal, action, resource in HostGroup::\"web\");
                    @id(\"db\") @approvals(\"2 of db-leads\") permit (principal, action, resource in Host::\"db-1\");";
    let denial = denied(decide(&rules(policies), &person("alice", &[]), "shell deploy@web-1,deploy@db-1"));
    assert_eq!(denial.code, Code::ApprovalRequired);
    for demand in ["1 of web-leads", "2 of db-leads"] {
        assert!(denial.detail.contains(demand), "{}", denial.detail);
    }
}

#[test]
fn semantics_any_forbid_that_matches_denies() {
    let permits = format!("@id(\"a\") permit {SHELL}; @id(\"z\") @break_glass permit {SHELL};");
    for (forbid, denies) in [
        ("forbid (principal, action, resource);", true),
        ("forbid (principal == User::\"corp/alice\", action, resource);", true),
        ("forbid (principal in Group::\"sre\", action, resource is Account);", true),
        ("forbid (principal, action == Action::\"shell\", resource in HostGroup::\"prod\");", true),
        ("forbid (principal, action, resource is Account) when { resource.login == \"deploy\" };", true),
        ("forbid (principal, action, resource is Account) unless { context.reason != \"\" };", true),
        ("forbid (principal in Group::\"dev\", action, resource);", false),
        ("forbid (principal, action == Action::\"sftp\", resource);", false),
        ("forbid (principal, action, resource in HostGroup::\"lab\");", false),
    ] {
        let expected = if denies { "forbidden" } else { "1h by a" };
        // Before the permits or after them.
        for policies in [format!("{permits}{forbid}"), format!("{forbid}{permits}")] {
            assert_eq!(comes_of(&policies, &["sre"], "shell deploy@web-1"), expected, "{forbid}");
        }
    }
}

#[test]
fn semantics_any_error_in_any_policy_denies() {
    let allow = format!("@id(\"a\") permit {SHELL};");
    for broken in [
        "permit (principal, action, resource is Account) when { 9223372036854775807 + context.local.hour > 0 };",
        "forbid (principal, action, resource is Account) when { 9223372036854775807 * (2 + context.local.hour) > 0 };",
        "forbid (principal, action, resource is Account) when { Host::\"gone\".name == \"x\" };",
        "permit (principal, action, resource is Account) when { context.now.offset(duration(\"9223372036854775807ms\")) > context.now };",
        "forbid (principal, action, resource is Account) unless { HostGroup::\"gone\" in Host::\"x\" || Host::\"gone\".name == \"x\" };",
    ] {
        assert_eq!(
            comes_of(&format!("{allow}{broken}"), &[], "shell deploy@web-1"),
            "policy_error",
            "{broken}"
        );
    }
}

#[test]
fn semantics_absent_facts_never_satisfy() {
    let rules = rules(&format!(
        "@id(\"age\") permit {SHELL} when {{ context.auth has age && context.auth.age < duration(\"1h\") }};
         @id(\"level\") permit {SHELL} when {{ context.auth has level && context.auth.level != \"0\" }};
         @id(\"hw\") permit {SHELL} when {{ context.key has hardware }};
         @id(\"login\") permit {SHELL} when {{ principal has login && principal.login != \"root\" }};
         @id(\"email\") permit {SHELL} when {{ principal has email && principal.email != \"\" }};
         @id(\"tag\") permit {SHELL} when {{ principal.hasTag(\"ref\") && principal.getTag(\"ref\") != \"\" }};
         @id(\"label\") permit {SHELL} when {{ resource.host.hasTag(\"owner\") && resource.host.getTag(\"owner\") != \"x\" }};"
    ));
    let nobody = identity(IdentityKind::Workload, "Not A Login", &[], &json!({ "email_verified": false }));
    assert_eq!(outcome(&decide(&rules, &nobody, "shell deploy@web-1")), "no_access");
}

#[test]
fn semantics_unknown_hosts_and_those_without_a_part_in_it_answer_alike() {
    let rules = rules(
        "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"web\");
         forbid (principal, action, resource in HostGroup::\"prod\") when { resource.login == \"root\" };
         permit (principal in Group::\"dev\", action == Action::\"shell\", resource in HostGroup::\"lab\");",
    );
    let answers = ["root@web-1", "deploy@web-1", "nobody@web-1", "root@db-1", "deploy@nowhere", "x@y"]
        .map(|account| denied(decide(&rules, &person("alice", &["dev"]), &format!("shell {account}"))));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}

#[test]
fn semantics_a_denial_says_which_policies_forbade_it_and_their_messages() {
    let rules = rules(
        "permit (principal, action, resource is Account);
         @id(\"one\") @message(\"not on Sundays\") forbid (principal, action, resource is Account) when { context.local.weekday == 7 };
         @id(\"two\") forbid (principal, action, resource in HostGroup::\"prod\") when { resource.login == \"root\" };",
    );
    let denial = denied(decide(&rules, &person("alice", &[]), "shell root@web-1"));
    assert_eq!(denial.policies, ["one", "two"]);
    assert!(
        denial.detail.contains("not on Sundays") && denial.detail.contains("policy two forbids it"),
        "{}",
        denial.detail
    );
}

#[test]
fn semantics_evaluation_is_a_function_of_values() {
    let text =
        "@id(\"a\") permit (principal, action, resource is Account) when { context.local.hour == 10 };";
    let (one, other) = (rules(text), rules(text));
    for what in ["shell deploy@web-1", "exec deploy@db-1 run ls", "shell root@web-1 for 2h", "sftp x@y"] {
        let first = outcome(&decide(&one, &person("alice", &[]), what));
        for rules in [&one, &other] {
            assert_eq!(outcome(&decide(rules, &person("alice", &[]), what)), first, "{what}");
        }
    }
}

#[test]
fn semantics_each_decision_names_the_set_that_made_it() {
    let rules = rules(&format!("permit {SHELL};"));
    match decide(&rules, &person("alice", &[]), "shell deploy@web-1") {
        Decision::Allowed(allowed) => assert_eq!(allowed.digest(), rules.digest()),
        Decision::Denied(denial) => panic!("{denial:?}"),
    }
}

#[test]
fn semantics_a_command_is_told_as_words_only_if_it_is_plain() {
    let any = "@id(\"a\") permit (principal, action == Action::\"exec\", resource) when { context has command && context has argv };";
    assert_eq!(comes_of(any, &[], "exec deploy@web-1 run ls -l"), "1h by a");
    assert_eq!(comes_of(any, &[], "exec deploy@web-1 run ls -l; id"), "no_access");
    let raw = "@id(\"a\") permit (principal, action == Action::\"exec\", resource) when { context has raw_command };";
    assert_eq!(comes_of(raw, &[], "exec deploy@web-1 run ls -l"), "no_access");
    assert_eq!(comes_of(raw, &[], "exec deploy@web-1 run ls -l; id"), "1h by a");
}
