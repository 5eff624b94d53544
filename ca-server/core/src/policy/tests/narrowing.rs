//! Properties: what more pairs, more forbids, more permits and fewer groups can do to an answer.

use proptest::prelude::*;

use super::*;

const ACCOUNTS: [&str; 6] =
    ["deploy@web-1", "www@web-1", "root@web-1", "deploy@db-1", "postgres@db-1", "alice@lab-1"];
const MODES: [&str; 5] = ["shell", "sftp", "shell+agent", "shell+agent+forward", "forward"];
const GROUPS: [&str; 3] = ["sre", "dev", "leads"];

fn scope() -> impl Strategy<Value = String> {
    (
        proptest::option::of(prop::sample::select(&GROUPS[..])),
        prop::sample::select(&["shell", "sftp", "agent", "forward"][..]),
        prop::sample::select(&["HostGroup::\"prod\"", "HostGroup::\"web\"", "HostGroup::\"lab\"", "Host::\"db-1\""][..]),
        prop::sample::select(
            &["true", "resource.login == \"deploy\"", "context.duration <= duration(\"1h\")", "principal in Group::\"dev\""][..],
        ),
    )
        .prop_map(|(group, action, place, when)| {
            let who = group.map_or("principal".to_string(), |g| format!("principal in Group::\"{g}\""));
            format!("({who}, action in [Action::\"shell\", Action::\"{action}\"], resource in {place}) when {{ {when} }};")
        })
}

fn permit() -> impl Strategy<Value = String> {
    (
        prop::sample::select(&["", "@ttl(\"30m\")", "@ttl(\"2h\")", "@ttl(\"8h\")"][..]),
        prop::sample::select(
            &["", "", "@approvals(\"1 of leads\")", "@source(\"pin\")", "@verify", "@break_glass"][..],
        ),
        scope(),
    )
        .prop_map(|(ttl, term, scope)| format!("{ttl} {term} permit {scope}\n"))
}

fn policies() -> impl Strategy<Value = String> {
    (prop::collection::vec(permit(), 1..6), prop::collection::vec(scope(), 0..2)).prop_map(
        |(permits, forbids)| {
            forbids.into_iter().map(|scope| format!("forbid {scope}\n")).chain(permits).collect()
        },
    )
}

type Question = (Vec<&'static str>, &'static str, &'static str, Vec<&'static str>);

/// Loading costs far more than asking, so that each set is asked many questions.
fn questions() -> impl Strategy<Value = Vec<Question>> {
    prop::collection::vec(question(), 24)
}

fn question() -> impl Strategy<Value = Question> {
    (
        prop::sample::subsequence(&ACCOUNTS[..], 1..4),
        prop::sample::select(&MODES[..]),
        prop::sample::select(&["", " for 20m", " for 1h", " for 4h"][..]),
        prop::sample::subsequence(&GROUPS[..], 0..=3),
    )
}

/// The set may hold policies that can never match; such sets are not of interest.
fn loaded(policies: &str) -> Result<Rules, TestCaseError> {
    try_rules(policies).map_err(|_| TestCaseError::reject("can never match"))
}

fn answer(rules: &Rules, groups: &[&str], mode: &str, accounts: &[&str], time: &str) -> Decision {
    decide(rules, &person("alice", groups), &format!("{mode} {}{time}", accounts.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..few(12) })]

    #[test]
    fn several_pairs_are_never_more_than_each(policies in policies(), questions in questions()) {
        let rules = loaded(&policies)?;
        for (accounts, mode, time, groups) in questions {
        if let Decision::Allowed(all) = answer(&rules, &groups, mode, &accounts, time) {
            for account in &accounts {
                // Each alone is allowed for that long too, and what restricts it restricts all.
                let alone = answer(&rules, &groups, mode, &[account], &format!(" for {}s", all.duration().seconds()));
                let Decision::Allowed(alone) = alone else { return Err(TestCaseError::fail(format!("{account}: {alone:?}"))) };
                prop_assert_eq!(alone.duration(), all.duration());
                prop_assert!(all.pin_source() || !alone.pin_source());
                prop_assert!(all.verify_required() || !alone.verify_required());
            }
        }
        }
    }

    #[test]
    fn a_group_of_hosts_comes_to_what_its_hosts_come_to(policies in policies(), questions in questions()) {
        let rules = loaded(&policies)?;
        for (_, mode, time, groups) in questions {
            for (group, hosts) in [
                ("deploy@group/prod", &["deploy@db-1", "deploy@web-1"][..]),
                ("root@group/prod", &["root@db-1", "root@web-1"]),
                ("www@group/web", &["www@web-1"]),
            ] {
                let (group, each) =
                    (answer(&rules, &groups, mode, &[group], time), answer(&rules, &groups, mode, hosts, time));
                prop_assert_eq!(outcome(&group), outcome(&each));
            }
        }
    }

    #[test]
    fn a_further_forbid_never_allows(policies in policies(), forbid in scope(), questions in questions()) {
        let (before, after) = (loaded(&policies)?, loaded(&format!("{policies}forbid {forbid}"))?);
        for (accounts, mode, time, groups) in questions {
        if let Decision::Allowed(after) = answer(&after, &groups, mode, &accounts, time) {
            match answer(&before, &groups, mode, &accounts, time) {
                Decision::Allowed(before) => prop_assert!(before.duration() >= after.duration() || !time.is_empty()),
                Decision::Denied(denial) => return Err(TestCaseError::fail(format!("{denial:?}"))),
            }
        }
        }
    }

    #[test]
    fn a_further_permit_never_denies(policies in policies(), permit in permit(), questions in questions()) {
        let (before, after) = (loaded(&policies)?, loaded(&format!("{policies}{permit}"))?);
        for (accounts, mode, time, groups) in questions {
        if let Decision::Allowed(before) = answer(&before, &groups, mode, &accounts, time) {
            match answer(&after, &groups, mode, &accounts, time) {
                Decision::Allowed(after) => prop_assert!(after.duration() >= before.duration()),
                Decision::Denied(denial) => return Err(TestCaseError::fail(format!("{denial:?}"))),
            }
        }
        }
    }

    #[test]
    fn a_group_less_never_allows(permits in prop::collection::vec(permit(), 1..6), questions in questions()) {
        // No forbid and no negation here: those may well name a group.
        let rules = loaded(&permits.concat())?;
        for (accounts, mode, time, groups) in questions {
        let fewer = groups.get(1..).unwrap_or_default();
        if let Decision::Allowed(fewer) = answer(&rules, fewer, mode, &accounts, time) {
            match answer(&rules, &groups, mode, &accounts, time) {
                Decision::Allowed(all) => prop_assert!(all.duration() >= fewer.duration()),
                Decision::Denied(denial) => return Err(TestCaseError::fail(format!("{denial:?}"))),
            }
        }
        }
    }

    #[test]
    fn an_error_in_one_policy_denies_whatever_the_others_say(
        policies in policies(),
        effect in prop::sample::select(&["permit", "forbid", "@break_glass permit"][..]),
        questions in questions(),
    ) {
        // It overflows whenever it is asked, and is asked about every account.
        let broken = "(principal, action, resource is Account) when { 9223372036854775807 + context.local.hour > 0 };";
        let rules = loaded(&format!("{policies}@id(\"broken\") {effect} {broken}"))?;
        for (accounts, mode, time, groups) in questions {
            match answer(&rules, &groups, mode, &accounts, time) {
                Decision::Denied(denial) => {
                    // Whoever has no part in one of the hosts is told of nothing; the ledger is.
                    prop_assert!(matches!(denial.code, Code::PolicyError | Code::NoAccess), "{denial:?}");
                    prop_assert_eq!(denial.policies, ["broken"]);
                }
                Decision::Allowed(allowed) => return Err(TestCaseError::fail(format!("{allowed:?}"))),
            }
        }
    }
}

#[test]
fn a_group_less_allows_only_where_a_forbid_or_a_negation_names_it() {
    let permit = "@id(\"a\") permit (principal, action == Action::\"shell\", resource)";
    for (policies, with, without) in [
        (
            format!("{permit}; forbid (principal in Group::\"dev\", action, resource);"),
            "forbidden",
            "1h by a",
        ),
        (format!("{permit} when {{ !(principal in Group::\"dev\") }};"), "no_access", "1h by a"),
        (format!("{permit} unless {{ principal in Group::\"dev\" }};"), "no_access", "1h by a"),
        (
            format!("{permit} when {{ if principal in Group::\"dev\" then false else true }};"),
            "no_access",
            "1h by a",
        ),
        (format!("{permit} when {{ principal in Group::\"dev\" }};"), "1h by a", "no_access"),
    ] {
        let rules = rules(&policies);
        for (groups, expected) in [(&["sre", "dev"][..], with), (&["sre"], without)] {
            let decision = decide(&rules, &person("alice", groups), "shell deploy@web-1");
            assert_eq!(outcome(&decision), expected, "{policies} {groups:?}");
        }
    }
}
