//! Offers: which match, which is taken, and what several pairs come to.

use super::*;

#[test]
fn a_permit_is_an_offer_on_its_own_terms() {
    let rules = rules(
        r#"
        @id("day") @ttl("8h") permit (principal in Group::"sre", action == Action::"shell", resource in HostGroup::"web");
        "#,
    );
    let sre = person("alice", &["sre"]);
    for (what, expected) in [
        ("shell deploy@web-1", "8h by day"),
        ("shell deploy@web-1 for 30m", "30m by day"),
        ("shell deploy@web-1 for 8h", "8h by day"),
        ("shell deploy@web-1 for 9h", "duration_denied"),
        ("sftp deploy@web-1", "no_access"),
        ("shell+agent deploy@web-1", "no_access"),
        ("shell deploy@db-1", "no_access"),
        ("shell deploy@nowhere", "no_access"),
        ("shell nobody@web-1", "no_access"),
    ] {
        assert_eq!(outcome(&decide(&rules, &sre, what)), expected, "{what}");
    }
    assert_eq!(outcome(&decide(&rules, &person("bob", &["dev"]), "shell deploy@web-1")), "no_access");
}

/// A key in a FIDO token: `sk-ssh-ed25519@openssh.com`, application `ssh:`.
pub(super) fn fido_key() -> UserKey {
    let mut blob = Vec::new();
    for part in [b"sk-ssh-ed25519@openssh.com".as_slice(), &key().blob()[19..], b"ssh:"] {
        blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend(part);
    }
    format!("sk-ssh-ed25519@openssh.com {}", data_encoding::BASE64.encode(&blob)).parse().unwrap()
}

const SHELL: &str = "(principal, action == Action::\"shell\", resource);";

#[test]
fn the_cheapest_offer_wins() {
    for (policies, what, expected) in [
        // No approval before approval, however short.
        (
            "@id(\"a\") @ttl(\"8h\") @approvals(\"1 of leads\") permit S @id(\"b\") @ttl(\"10m\") permit S",
            "",
            "10m by b",
        ),
        // Longer time, then the id.
        ("@id(\"a\") @ttl(\"1h\") permit S @id(\"b\") @ttl(\"2h\") permit S", "", "2h by b"),
        ("@id(\"b\") @ttl(\"1h\") permit S @id(\"a\") @ttl(\"1h\") permit S", "", "1h by a"),
        ("@id(\"b\") @ttl(\"2h\") permit S @id(\"a\") @ttl(\"1h\") permit S", " for 1h", "1h by b"),
        // Restrictions are not costs, and are not mixed in from offers that were not taken.
        (
            "@id(\"a\") @ttl(\"2h\") @source(\"pin\") permit S @id(\"b\") @ttl(\"1h\") permit S",
            "",
            "2h pin by a",
        ),
        ("@id(\"a\") @ttl(\"1h\") @source(\"pin\") permit S @id(\"b\") @ttl(\"2h\") permit S", "", "2h by b"),
        // Offers are never mixed: what is long enough decides on its own terms.
        (
            "@id(\"a\") @ttl(\"8h\") @approvals(\"1 of leads\") permit S @id(\"b\") @ttl(\"10m\") permit S",
            " for 1h",
            "approval_required",
        ),
        (
            "@id(\"a\") @ttl(\"8h\") @approvals(\"1 of leads\") permit S @id(\"b\") @ttl(\"10m\") permit S",
            " for 9h",
            "duration_denied",
        ),
        // The configured default.
        ("@id(\"a\") permit S", "", "1h by a"),
        ("@id(\"a\") permit S", " for 61m", "duration_denied"),
        // Break-glass offers are none without break-glass.
        ("@id(\"a\") @break_glass permit S", "", "no_access"),
        ("@id(\"a\") @break_glass @ttl(\"8h\") permit S @id(\"b\") permit S", " for 8h", "duration_denied"),
        // A software key does not match @verify.
        ("@id(\"a\") @verify permit S", "", "no_access"),
        ("@id(\"a\") @verify @ttl(\"8h\") permit S @id(\"b\") permit S", "", "1h by b"),
        // What changes nothing.
        ("@id(\"a\") @title(\"T\") @message(\"m\") @notify(\"#ops\") permit S", "", "1h by a"),
    ] {
        let rules = rules(&policies.replace("permit S", &format!("permit {SHELL}")));
        let what = format!("shell deploy@web-1{what}");
        assert_eq!(outcome(&decide(&rules, &person("alice", &[]), &what)), expected, "{policies}\n{what}");
    }
}

#[test]
fn verify_is_for_fido_keys() {
    let rules = rules(&format!("@id(\"a\") @verify permit {SHELL}"));
    let decision = rules.decide(&person("a", &[]), &ask("shell deploy@web-1"), &fido_key(), &circumstances());
    assert_eq!(outcome(&decision), "1h verify by a");
}

#[test]
fn every_pair_is_decided_on_its_own() {
    let rules = rules(
        r#"
        @id("web") @ttl("2h") permit (principal, action in [Action::"shell", Action::"forward"], resource in HostGroup::"web");
        @id("db") @ttl("1h") @source("pin") permit (principal, action == Action::"shell", resource in Host::"db-1");
        @id("lab") @ttl("30m") @approvals("2 of leads") permit (principal, action == Action::"shell", resource in Host::"lab-1");
        @id("agent") @ttl("10m") permit (principal, action == Action::"agent", resource in HostGroup::"web");
        "#,
    );
    for (what, expected) in [
        ("shell deploy@web-1,www@web-1", "2h by web"),
        ("shell deploy@web-1,deploy@db-1", "1h pin by db,web"),
        ("shell deploy@web-1,deploy@db-1 for 2h", "duration_denied"),
        ("shell+agent deploy@web-1", "10m by agent,web"),
        ("shell+agent+forward deploy@web-1", "10m by agent,web"),
        ("shell+agent+x11 deploy@web-1", "no_access"),
        ("shell+agent deploy@web-1,deploy@db-1", "no_access"),
        ("forward deploy@web-1", "2h by web"),
        // One pair's lack is everybody's.
        ("shell deploy@web-1,deploy@lab-1", "approval_required"),
        ("shell deploy@web-1,deploy@nowhere", "no_access"),
        ("shell deploy@lab-1,deploy@db-1 for 45m", "duration_denied"),
    ] {
        assert_eq!(outcome(&decide(&rules, &person("alice", &[]), what)), expected, "{what}");
    }
}

#[test]
fn nothing_tells_an_unknown_account_from_one_without_a_part() {
    let rules = rules(
        r#"
        permit (principal in Group::"sre", action == Action::"shell", resource in HostGroup::"web");
        permit (principal in Group::"sre", action == Action::"shell", resource in Host::"switch-1");
        @message("not on a Sunday") forbid (principal, action, resource in HostGroup::"lab");
        "#,
    );
    let nothing = denied(decide(&rules, &person("bob", &["dev"]), "shell deploy@nowhere"));
    assert_eq!((nothing.code, nothing.policies.len()), (Code::NoAccess, 0));
    for what in [
        "shell deploy@web-1",
        "shell nobody@web-1",
        "shell deploy@lab-1",
        "shell deploy@switch-1",
        "sftp deploy@web-1,deploy@lab-1",
    ] {
        assert_eq!(denied(decide(&rules, &person("bob", &["dev"]), what)), nothing, "{what}");
    }
    // Who has a part is told why.
    let told = denied(decide(&rules, &person("amy", &["sre"]), "shell deploy@switch-1"));
    assert_eq!(told.detail, "Forbidden: shell on deploy@switch-1: not on a Sunday.");
    assert_eq!(told.policies, ["p.cedar:3"]);
}

#[test]
fn a_forbid_is_told_to_those_who_have_a_part_in_the_host() {
    let forbid = "@message(\"no root\") forbid (principal, action, resource) when { resource is Account && resource.login == \"root\" };";
    for (permit, told) in [
        // Any action, any login, any condition, any terms: a part is a part.
        (
            "permit (principal in Group::\"sre\", action == Action::\"sftp\", resource in Host::\"web-1\");",
            true,
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource == Account::\"www@web-1\");",
            true,
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"prod\") when { context.reason == \"x\" };",
            true,
        ),
        (
            "@approvals(\"2 of leads\") permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"web\");",
            true,
        ),
        ("permit (principal == User::\"corp/amy\", action, resource is Account);", true),
        ("permit (principal, action, resource);", true),
        // Another's, another host's, or the CA's own.
        (
            "permit (principal in Group::\"dev\", action == Action::\"shell\", resource in Host::\"web-1\");",
            false,
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in Host::\"db-1\");",
            false,
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"lab\");",
            false,
        ),
        ("permit (principal == User::\"other/amy\", action, resource is Account);", false),
        ("permit (principal in Group::\"sre\", action == Action::\"audit\", resource);", false),
        ("", false),
    ] {
        let rules = rules(&format!("{permit} {forbid}"));
        let denial = denied(decide(&rules, &person("amy", &["sre"]), "shell root@web-1"));
        let expected = if told { Code::Forbidden } else { Code::NoAccess };
        assert_eq!((denial.code, denial.detail.contains("no root")), (expected, told), "{permit}");
    }
}

#[test]
fn refusals_say_what_would_do() {
    let rules = rules(
        r#"
        @id("a") @ttl("30m") permit (principal, action == Action::"shell", resource in HostGroup::"web");
        @id("b") @ttl("8h") @approvals("2 of sre-leads") permit (principal, action == Action::"sftp", resource);
        @id("c") @ttl("8h") @approvals("1 of sre-leads") permit (principal, action == Action::"exec", resource in Host::"db-1");
        @id("d") @ttl("8h") @approvals("1 of dbas") permit (principal, action == Action::"exec", resource in Host::"lab-1");
        "#,
    );
    for (what, expected, policies) in [
        ("shell deploy@web-1 for 1h", "for 30m at most", &[][..]),
        ("sftp deploy@web-1", "approval of 2 of sre-leads,", &["b"][..]),
        (
            "exec deploy@db-1,deploy@lab-1 run ls",
            "approval of 1 of dbas and 1 of sre-leads,",
            &["c", "d"][..],
        ),
    ] {
        let denial = denied(decide(&rules, &person("alice", &[]), what));
        assert!(denial.detail.contains(expected), "{denial:?}");
        assert_eq!(denial.policies, policies);
    }
}

#[test]
fn policies_that_look_at_the_duration_are_asked_about_the_one_that_is_given() {
    let policies = r#"
        @id("long") @ttl("8h") permit (principal, action == Action::"shell", resource);
        @id("short") @ttl("1h") permit (principal, action == Action::"shell", resource);
        @id("lab") @ttl("30m") permit (principal, action == Action::"shell", resource in Host::"lab-1");
        @id("prod") forbid (principal, action, resource in HostGroup::"prod") when { context.duration > duration("2h") };
        @id("brief") forbid (principal, action, resource in Host::"db-1") when { context["duration"] < duration("40m") };
    "#;
    let rules = rules(policies);
    for (what, expected) in [
        ("shell deploy@web-1", "1h by long"),
        ("shell deploy@web-1 for 8h", "forbidden"),
        ("shell deploy@web-1 for 2h", "2h by long"),
        ("shell deploy@lab-1", "8h by long"),
        ("shell deploy@lab-1,deploy@web-1", "1h by long"),
        ("shell deploy@db-1 for 30m", "forbidden"),
        ("shell deploy@db-1", "1h by long"),
    ] {
        assert_eq!(outcome(&decide(&rules, &person("alice", &[]), what)), expected, "{what}");
    }
}

#[test]
fn what_can_be_approved_is_not_lost_to_a_shorter_length() {
    let rules = rules(
        r#"
        @id("asks") @ttl("2h") @approvals("1 of leads") permit (principal, action == Action::"sftp", resource in HostGroup::"prod");
        @id("short") @ttl("1h") permit (principal, action == Action::"shell", resource in HostGroup::"prod");
        @id("brief") forbid (principal, action, resource in Host::"db-1") when { context.duration <= duration("1h") };
        "#,
    );
    for (what, expected) in [
        ("sftp deploy@db-1", "approval_required"),
        ("sftp deploy@web-1", "approval_required"),
        ("shell deploy@db-1", "forbidden"),
        ("shell deploy@web-1", "1h by short"),
    ] {
        assert_eq!(outcome(&decide(&rules, &person("alice", &[]), what)), expected, "{what}");
    }
}

#[test]
fn a_longer_offer_for_one_pair_does_not_stand_in_the_way_of_another() {
    let policies = r#"
        @id("a") @ttl("8h") permit (principal, action == Action::"shell", resource in Host::"lab-1") when { context.duration >= duration("8h") };
        @id("b") @ttl("30m") permit (principal, action == Action::"shell", resource in Host::"lab-1");
        @id("c") @ttl("1h") permit (principal, action == Action::"shell", resource in Host::"db-1");
    "#;
    let rules = rules(policies);
    for (what, expected) in [
        ("shell deploy@lab-1", "8h by a"),
        ("shell deploy@db-1", "1h by c"),
        ("shell deploy@lab-1,deploy@db-1", "30m by b,c"),
    ] {
        assert_eq!(outcome(&decide(&rules, &person("alice", &[]), what)), expected, "{what}");
    }
}

#[test]
fn the_hardest_refusal_of_several_pairs_is_told() {
    let rules = rules(
        r#"
        @id("short") @ttl("30m") permit (principal, action == Action::"shell", resource == Account::"www@web-1");
        @id("asks") @ttl("8h") @approvals("1 of leads") permit (principal, action == Action::"shell", resource == Account::"deploy@web-1");
        @id("all") @ttl("8h") permit (principal, action == Action::"shell", resource in Host::"db-1");
        @id("no-root") @message("never") forbid (principal, action, resource is Account) when { resource.login == "root" };
        @id("bad") forbid (principal, action, resource == Account::"postgres@db-1") when { 9223372036854775807 + context.local.hour > 0 };
        "#,
    );
    let (allowed, asks, short, none, forbidden, failed) =
        ("deploy@db-1", "deploy@web-1", "www@web-1", "deploy@lab-1", "root@db-1", "postgres@db-1");
    for (accounts, expected) in [
        (&[allowed][..], "1h by all"),
        (&[allowed, asks], "approval_required"),
        (&[allowed, asks, short], "duration_denied"),
        (&[allowed, asks, short, none], "no_access"),
        (&[allowed, asks, short, forbidden], "forbidden"),
        (&[failed, forbidden, short, asks, allowed], "policy_error"),
        // Beside an account that is told of, one that nothing is told of is answered like one that there is not.
        (&[forbidden, none], "no_access"),
        (&[forbidden, "deploy@nowhere"], "no_access"),
        (&[failed, none], "no_access"),
        (&[failed, "deploy@nowhere"], "no_access"),
        (&[failed, forbidden, none, short, asks, allowed], "no_access"),
    ] {
        let what = format!("shell {} for 1h", accounts.join(","));
        assert_eq!(outcome(&decide(&rules, &person("alice", &[]), &what)), expected, "{what}");
    }
}
