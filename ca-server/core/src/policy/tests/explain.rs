//! Explanations: which advice a denial comes with, how far it asks, and what it never tells.

use jit_ssh_proto::explanation::{Advice, Answer};

use super::*;
use crate::policy::facts::instant;
use crate::policy::{Calendar, DECISIONS, Explained, QUESTIONS};

/// The clock of Paris around the end of summer time 2026 (October 25, 01:00 UTC).
pub(super) struct Paris;

const WINTER: u64 = 1_792_890_000;

impl Calendar for Paris {
    fn local(&self, at: Timestamp) -> LocalTime {
        let offset = if at.seconds() < WINTER { 7200 } else { 3600 };
        let local = at.plus(Span::from_seconds(offset));
        let text = instant(local).unwrap();
        let number = |from: usize| text[from..from + 2].parse().unwrap();
        // 1970-01-01 was a Thursday.
        let weekday = u8::try_from((local.seconds() / 86_400 + 3) % 7 + 1).unwrap();
        LocalTime { hour: number(11), minute: number(14), weekday, date: text[..10].into() }
    }

    fn zone(&self) -> &str {
        "Europe/Paris"
    }
}

pub(super) fn at(now: u64) -> Circumstances {
    let now = Timestamp::from_seconds(now);
    Circumstances { now, local: Paris.local(now), source_ip: IpAddr::from([192, 0, 2, 7]) }
}

pub(super) fn explain(rules: &Rules, who: &VerifiedIdentity, what: &str, now: u64) -> Explained {
    rules.explain(who, &ask(what), &key(), &at(now), &Paris)
}

/// `denied: with a reason; as www and with a ticket`
fn told(explained: &Explained) -> String {
    assert!(explained.questions <= QUESTIONS && explained.decisions <= DECISIONS, "{explained:?}");
    let answer = match explained.told.answer {
        Answer::Allowed => "allowed",
        Answer::Pending => "pending",
        Answer::Denied => "denied",
    };
    let ways: Vec<String> = explained.told.advice.iter().map(ToString::to_string).collect();
    if ways.is_empty() { answer.to_string() } else { format!("{answer}: {}", ways.join("; ")) }
}

/// 2026-11-23T12:00:00 in Paris, a Monday.
const MONDAY: u64 = 1_795_431_600;

#[test]
fn the_test_clock_is_right() {
    assert_eq!(at(NOW).local, circumstances().local);
    let monday = LocalTime { hour: 12, minute: 0, weekday: 1, date: "2026-11-23".into() };
    assert_eq!(at(MONDAY).local, monday);
}

#[test]
fn what_would_change_the_answer() {
    let shell = |annotations: &str, when: &str| {
        format!(
            "{annotations} permit (principal, action == Action::\"shell\", resource in HostGroup::\"web\") when {{ {when} }};"
        )
    };
    let reason = "context.reason != \"\"";
    let ticket = "context.ticket != \"\"";
    let hours = "context.local.hour >= 8 && context.local.hour < 20";
    let working = "context.local.weekday <= 5 && context.local.hour >= 8 && context.local.hour < 20";
    let fresh = "context.auth has age && context.auth.age < duration(\"1h\")";
    let asks = "shell deploy@web-1 for 2h";
    let sunday_night = NOW + 13 * 3600;
    let mut wrong = Vec::new();
    for (policies, now, what, expected) in [
        // One fact.
        (shell("@ttl(\"8h\")", reason), NOW, asks, "denied: with a reason"),
        (shell("@ttl(\"8h\")", ticket), NOW, asks, "denied: with a ticket"),
        (shell("@ttl(\"8h\")", fresh), NOW, asks, "denied: after a fresh login"),
        (shell("@ttl(\"1h\")", "true"), NOW, asks, "denied: for at most 1h"),
        (shell("@ttl(\"8h\") @verify", "true"), NOW, asks, "denied: with a FIDO key"),
        (shell("@ttl(\"8h\") @break_glass", "true"), NOW, asks, "denied: under break-glass"),
        (shell("@ttl(\"8h\") @approvals(\"1 of leads\")", "true"), NOW, asks, "pending"),
        (
            shell("@ttl(\"8h\") @approvals(\"1 of leads\")", reason),
            NOW,
            asks,
            "denied: with a reason and with 1 approval of leads",
        ),
        (
            shell("@ttl(\"8h\")", "context.duration <= duration(\"90m\")"),
            NOW,
            asks,
            "denied: for at most 90m",
        ),
        (
            shell("@ttl(\"8h\")", "context.duration < duration(\"1h\")"),
            NOW,
            asks,
            "denied: for at most 3599s",
        ),
        // Two at once, and no more than it takes.
        (shell("@ttl(\"15m\")", reason), NOW, asks, "denied: with a reason and for at most 15m"),
        (
            shell("@ttl(\"8h\")", &format!("{reason} && {ticket} && {fresh}")),
            NOW,
            asks,
            "denied: with a reason, with a ticket and after a fresh login",
        ),
        (
            shell("@ttl(\"8h\")", &format!("({reason} && {ticket}) || ({ticket} && {fresh})")),
            NOW,
            asks,
            "denied: with a ticket and after a fresh login",
        ),
        (
            shell("@ttl(\"8h\")", &format!("{reason} && context.duration <= duration(\"1h\")")),
            NOW,
            asks,
            "denied: with a reason and for at most 1h",
        ),
        (
            shell("@ttl(\"8h\") @break_glass", reason),
            NOW,
            asks,
            "denied: with a reason and under break-glass",
        ),
        // Each way on its own; which one is the caller's choice.
        (
            shell("@ttl(\"8h\")", &format!("{reason} || {ticket}")),
            NOW,
            asks,
            "denied: with a reason; with a ticket",
        ),
        (
            shell("@ttl(\"8h\") @approvals(\"2 of leads\")", reason) + &shell("@ttl(\"30m\")", ticket),
            NOW,
            asks,
            "denied: with a ticket and for at most 30m; with a reason and with 2 approvals of leads",
        ),
        (
            shell("@ttl(\"8h\") @approvals(\"1 of leads\")", "true") + &shell("@ttl(\"1h\")", "true"),
            NOW,
            asks,
            "pending: for at most 1h",
        ),
        // Another hour.
        (shell("@ttl(\"8h\")", hours), sunday_night, asks, "denied: between 08:00 and 20:00 Europe/Paris"),
        (shell("@ttl(\"8h\")", working), NOW, asks, "denied: on Monday between 08:00 and 20:00 Europe/Paris"),
        (
            shell("@ttl(\"8h\")", &format!("{working} && {reason}")),
            NOW,
            asks,
            "denied: with a reason and on Monday between 08:00 and 20:00 Europe/Paris",
        ),
        (
            shell("@ttl(\"8h\")", "context.local.weekday >= 6"),
            MONDAY,
            asks,
            "denied: between Saturday 00:00 and Monday 00:00 Europe/Paris",
        ),
        (
            shell("@ttl(\"8h\")", "context.local.hour < 2 || context.local.hour >= 22"),
            MONDAY,
            asks,
            "denied: between 22:00 and 02:00 Europe/Paris",
        ),
        (
            shell("@ttl(\"8h\")", "context.local.hour == 13 && context.local.minute >= 30"),
            MONDAY,
            asks,
            "denied: between 13:30 and 14:00 Europe/Paris",
        ),
        (
            shell("@ttl(\"8h\")", "context.local.date == \"2026-11-26\""),
            MONDAY,
            asks,
            "denied: on Thursday between 00:00 and 24:00 Europe/Paris",
        ),
        (
            shell(
                "@ttl(\"8h\")",
                "context.now >= datetime(\"2026-11-28T22:07:00Z\") && context.now < datetime(\"2026-11-29T01:00:00Z\")",
            ),
            MONDAY,
            asks,
            "denied: between Saturday 23:07 and Sunday 02:00 Europe/Paris",
        ),
        (
            shell("@ttl(\"8h\")", "context.now >= datetime(\"2026-11-28T22:00:00Z\")"),
            MONDAY,
            asks,
            "denied: from Saturday 23:00 on, Europe/Paris time",
        ),
        (shell("@ttl(\"8h\")", "context.local.date == \"2026-12-24\""), MONDAY, asks, "denied"),
        // What a forbid demands.
        (
            shell("@ttl(\"8h\")", "true")
                + "forbid (principal, action, resource in HostGroup::\"prod\") unless { context.ticket != \"\" };",
            NOW,
            asks,
            "denied: with a ticket",
        ),
        (
            shell("@ttl(\"8h\")", "true")
                + "forbid (principal, action, resource in HostGroup::\"prod\") when { context.local.weekday == 7 };",
            NOW,
            asks,
            "denied: between Monday 00:00 and Sunday 00:00 Europe/Paris",
        ),
        // A forbid that has no say now has one then.
        (
            shell("@ttl(\"8h\")", hours)
                + "forbid (principal, action, resource in HostGroup::\"prod\") when { context.local.hour == 12 };",
            sunday_night,
            asks,
            "denied: between 08:00 and 12:00 Europe/Paris",
        ),
        // Another login, another mode, one modifier less.
        (shell("@ttl(\"8h\")", "resource.login == \"www\""), NOW, asks, "denied: as www"),
        (
            shell("@ttl(\"1h\")", &format!("resource.login == \"www\" && {reason}")),
            NOW,
            asks,
            "denied: as www, with a reason and for at most 1h",
        ),
        (
            "@ttl(\"8h\") permit (principal, action == Action::\"sftp\", resource in HostGroup::\"web\");"
                .into(),
            NOW,
            asks,
            "denied: in mode sftp",
        ),
        (shell("@ttl(\"8h\")", "true"), NOW, "shell+agent deploy@web-1", "denied: without agent"),
        // Nothing helps.
        (shell("@ttl(\"8h\")", "context.source_ip.isLoopback()"), NOW, asks, "denied"),
        (shell("@ttl(\"8h\")", "context.reason like \"OPS-*\""), NOW, asks, "denied"),
        (shell("@ttl(\"8h\")", "true"), NOW, asks, "allowed"),
    ] {
        let who = identity(IdentityKind::User, "alice", &["sre"], &json!({ "auth_time": NOW - 7200 }));
        let told = told(&explain(&rules(&policies), &who, what, now));
        if told != expected {
            wrong.push(format!("{policies}\n  told     {told}\n  expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_login_whose_time_nobody_knows_is_not_made_anew() {
    let fresh = "permit (principal, action, resource is Account) when { context.auth has age && context.auth.age < duration(\"1h\") };";
    assert_eq!(told(&explain(&rules(fresh), &person("alice", &[]), "shell deploy@web-1", NOW)), "denied");
}

#[test]
fn windows_follow_the_zone_across_its_changes() {
    let rules = rules(
        "permit (principal, action == Action::\"shell\", resource) when { context.local.weekday == 7 && context.local.hour >= 8 && context.local.hour < 20 };",
    );
    // Saturday noon before summer time ends.
    let explained = explain(&rules, &person("alice", &[]), "shell deploy@web-1", WINTER - 15 * 3600);
    assert_eq!(told(&explained), "denied: on Sunday between 08:00 and 20:00 Europe/Paris");
    let Advice::Between(window) = &explained.told.advice[0].with[0] else { panic!("{explained:?}") };
    // 08:00 is at seven UTC by then.
    assert_eq!(window.from.seconds(), WINTER + 6 * 3600);
    assert_eq!(window.until.unwrap().seconds(), WINTER + 18 * 3600);
}

#[test]
fn what_is_allowed_says_by_which_policy_and_on_which_terms() {
    let rules = rules(
        r#"
        @id("web") @ttl("2h") @source("pin") permit (principal, action == Action::"shell", resource in HostGroup::"web");
        @id("db") @ttl("1h") @approvals("2 of leads") permit (principal, action == Action::"shell", resource in Host::"db-1");
        "#,
    );
    let explained = explain(&rules, &person("alice", &[]), "shell deploy@web-1,www@web-1", NOW);
    assert_eq!((explained.told.answer, explained.questions), (Answer::Allowed, 0));
    let pairs: Vec<String> = explained
        .told
        .pairs
        .iter()
        .map(|p| format!("{} {} {} {}", p.action, p.account, p.policy, p.terms.duration))
        .collect();
    assert_eq!(pairs, ["shell deploy@web-1 web 2h", "shell www@web-1 web 2h"]);
    let terms = explained.told.terms.unwrap();
    assert_eq!((terms.duration.seconds(), terms.pin_source, terms.verify), (7200, true, false));

    let explained = explain(&rules, &person("alice", &[]), "shell deploy@web-1,deploy@db-1", NOW);
    assert_eq!((explained.told.answer, explained.told.code), (Answer::Pending, Some(Code::ApprovalRequired)));
    let terms = explained.told.terms.unwrap();
    assert_eq!((terms.duration.seconds(), terms.pin_source, terms.approvals.len()), (3600, true, 1));
    assert_eq!(explained.policies, ["db"]);
}

#[test]
fn several_pairs_need_advice_that_helps_all_of_them() {
    let rules = rules(
        r#"
        @ttl("2h") permit (principal, action == Action::"shell", resource in Host::"web-1") when { context.reason != "" };
        @ttl("1h") permit (principal, action == Action::"shell", resource in Host::"db-1") when { context.ticket != "" };
        @ttl("8h") permit (principal, action == Action::"shell", resource in Host::"lab-1") when { resource.login == "alice" };
        "#,
    );
    for (what, expected) in [
        ("shell deploy@web-1,www@web-1", "denied: with a reason"),
        ("shell deploy@web-1,deploy@db-1", "denied: with a reason and with a ticket"),
        ("shell deploy@web-1,deploy@db-1 for 2h because x", "denied: with a ticket and for at most 1h"),
        // A group is every host in it.
        ("shell deploy@group/web", "denied: with a reason"),
        ("shell deploy@group/prod", "denied: with a reason and with a ticket"),
        // What helps one pair does not help the other.
        ("shell deploy@web-1,deploy@lab-1", "denied"),
        ("shell alice@lab-1,deploy@web-1", "denied: with a reason"),
    ] {
        assert_eq!(told(&explain(&rules, &person("alice", &[]), what, NOW)), expected, "{what}");
    }
}

#[test]
fn nobody_learns_of_what_they_have_no_part_in() {
    let rules = rules(
        r#"
        @id("web") permit (principal in Group::"sre", action == Action::"shell", resource in HostGroup::"web") when { context.reason != "" };
        @id("lab") @approvals("1 of leads") permit (principal in Group::"sre", action == Action::"shell", resource in HostGroup::"lab");
        @message("never on Sundays") forbid (principal, action, resource in HostGroup::"lab");
        "#,
    );
    let bob = person("bob", &["dev"]);
    let nothing = explain(&rules, &bob, "shell deploy@nowhere", NOW);
    assert_eq!((nothing.told.answer, nothing.told.code), (Answer::Denied, Some(Code::NoAccess)));
    assert_eq!((nothing.questions, nothing.decisions, nothing.policies.len()), (0, 0, 0));
    for what in [
        "shell deploy@web-1",
        "shell nobody@web-1",
        "sftp deploy@web-1",
        "shell deploy@lab-1",
        "shell deploy@db-1 because x",
        "shell deploy@web-1,deploy@nowhere",
        "shell deploy@group/web",
        "shell deploy@group/nowhere",
    ] {
        assert_eq!(explain(&rules, &bob, what, NOW), nothing, "{what}");
    }
    // Who has a part in one host is told nothing of another.
    let amy = person("amy", &["sre"]);
    for what in
        ["shell deploy@nowhere", "shell deploy@db-1", "shell deploy@web-1,deploy@db-1", "shell nobody@web-1"]
    {
        assert_eq!(explain(&rules, &amy, what, NOW), nothing, "{what}");
    }
    assert_eq!(told(&explain(&rules, &amy, "shell deploy@web-1", NOW)), "denied: with a reason");
}

#[test]
fn a_policy_that_fails_is_no_near_miss() {
    let rules = rules(
        "permit (principal, action, resource is Account) when { context.reason != \"\" };
         forbid (principal, action, resource is Account) when { 9223372036854775807 + context.local.hour > 0 };",
    );
    let explained = explain(&rules, &person("alice", &[]), "shell deploy@web-1", NOW);
    assert_eq!((explained.told.code, explained.questions), (Some(Code::PolicyError), 0));
    assert_eq!(told(&explained), "denied");
}

/// Policies that look at everything there is, so that there is as much to ask as there can be.
#[test]
fn questions_are_bounded_whatever_the_policies_are() {
    let mut policies = String::new();
    for n in 0..24 {
        policies += &format!(
            "@ttl(\"{}m\") permit (principal, action in [Action::\"shell\", Action::\"sftp\", Action::\"forward\"], resource) when {{
                context.reason == \"{n}\" && context.ticket == \"{n}\" && context.local.hour == {n} && context.local.minute == {n} &&
                context.auth has age && context.auth.age < duration(\"{n}m\") && context.duration < duration(\"{n}m\") &&
                context.key.type == \"{n}\" && context.break_glass
            }};\n",
            n + 1
        );
    }
    let rules = rules(&policies);
    let who = identity(IdentityKind::User, "alice", &["sre"], &json!({ "auth_time": NOW - 7200 }));
    for what in [
        "shell deploy@web-1",
        "shell deploy@web-1 for 8h",
        "shell+agent+forward+x11 deploy@web-1,www@web-1,root@web-1,deploy@db-1 for 8h",
    ] {
        let explained = explain(&rules, &who, what, NOW);
        assert_eq!(told(&explained), "denied", "{what}");
        assert_eq!(explained.questions, QUESTIONS, "{what}");
    }
}

/// The limit stands above every policy: what is told, by whichever way, is what would be granted.
#[test]
fn nothing_is_said_to_last_longer_than_the_limit() {
    const SHELL: &str = "permit (principal, action == Action::\"shell\", resource in HostGroup::\"web\")";
    const TOO_LONG: &str =
        "forbid (principal, action, resource is Account) when { context.duration > duration(\"8h\") };";
    let limited = |policies: &str| rules(policies).lasting_at_most(Span::from_seconds(8 * 3600));
    for (policies, what, expected, way) in [
        (format!("@id(\"a\") @ttl(\"10h\") {SHELL};"), "shell deploy@web-1", "8h by a", "allowed"),
        (format!("@id(\"a\") @ttl(\"7h\") {SHELL};"), "shell deploy@web-1", "7h by a", "allowed"),
        // What is longer than the limit is all as long.
        (
            format!("@id(\"b\") @ttl(\"20h\") {SHELL}; @id(\"a\") @ttl(\"10h\") {SHELL};"),
            "shell deploy@web-1",
            "8h by a",
            "allowed",
        ),
        // Policies are told of the length that is given, not of that which an offer would give.
        (format!("@id(\"a\") @ttl(\"10h\") {SHELL}; {TOO_LONG}"), "shell deploy@web-1", "8h by a", "allowed"),
        (
            format!("@ttl(\"10h\") {SHELL};"),
            "shell deploy@web-1 for 9h",
            "duration_denied",
            "denied: for at most 8h",
        ),
        (
            format!("@ttl(\"10h\") @approvals(\"1 of leads\") {SHELL}; @ttl(\"9h\") {SHELL};"),
            "shell deploy@web-1 for 9h",
            "duration_denied",
            "denied: for at most 8h",
        ),
    ] {
        let rules = limited(&policies);
        let alice = person("alice", &["sre"]);
        assert_eq!(outcome(&decide(&rules, &alice, what)), expected, "{policies}");
        let explained = explain(&rules, &alice, what, NOW);
        assert_eq!(told(&explained), way, "{policies}");
        let longest = Span::from_seconds(8 * 3600);
        assert!(explained.told.terms.is_none_or(|terms| terms.duration <= longest), "{policies}");
    }
    let pending = limited(&format!("@id(\"a\") @ttl(\"10h\") @approvals(\"1 of leads\") {SHELL};"));
    assert_eq!(pending.demand("a").as_deref(), Some("1 of leads for 8h"));
}

/// Who names no length is asked for with those that offers give; a policy may set its limit below all of them.
#[test]
fn a_shorter_time_is_advised_to_those_who_named_none() {
    const SHELL: &str = "permit (principal, action == Action::\"shell\", resource in HostGroup::\"web\")";
    let forbid =
        "forbid (principal, action, resource is Account) when { context.duration > duration(\"1h\") };";
    for (policies, what, code, expected) in [
        (
            format!("@ttl(\"2h\") {SHELL} when {{ context.duration <= duration(\"1h\") }};"),
            "shell deploy@web-1",
            Code::NoAccess,
            "denied: for at most 1h",
        ),
        (
            format!("@ttl(\"2h\") {SHELL}; {forbid}"),
            "shell deploy@web-1",
            Code::Forbidden,
            "denied: for at most 1h",
        ),
        (
            format!(
                "@ttl(\"2h\") {SHELL} when {{ context.reason != \"\" && context.duration <= duration(\"1h\") }};"
            ),
            "shell deploy@web-1",
            Code::NoAccess,
            "denied: with a reason and for at most 1h",
        ),
        (
            format!("@ttl(\"2h\") {SHELL}; {forbid}"),
            "shell deploy@web-1,www@web-1",
            Code::Forbidden,
            "denied: for at most 1h",
        ),
        // Longer than any offer is no way out, whatever a policy compares with.
        (
            format!("@ttl(\"2h\") {SHELL} when {{ context.duration >= duration(\"3h\") }};"),
            "shell deploy@web-1",
            Code::NoAccess,
            "denied",
        ),
    ] {
        let explained = explain(&rules(&policies), &person("alice", &["sre"]), what, NOW);
        assert_eq!((explained.told.code, told(&explained).as_str()), (Some(code), expected), "{policies}");
    }
}

/// However many modifiers are in the way, all are named, and only those.
#[test]
fn modifiers_that_are_in_the_way_are_left_out_together() {
    let permit = |actions: &str| {
        format!(
            "permit (principal, action in [{actions}], resource in HostGroup::\"web\") when {{ resource.login == \"root\" }};"
        )
    };
    let shell = permit("Action::\"shell\"");
    let agent = permit("Action::\"shell\", Action::\"agent\"");
    for (policies, what, expected) in [
        (&shell, "shell+agent+x11 root@web-1", "denied: without agent and without x11"),
        (
            &shell,
            "shell+agent+forward+x11 root@web-1",
            "denied: without agent, without forward and without x11",
        ),
        (&shell, "shell+x11 root@web-1", "denied: without x11"),
        (&agent, "shell+agent+x11 root@web-1", "denied: without x11"),
        (&agent, "shell+agent root@web-1", "allowed"),
        // Where the mode itself is not given, leaving them out is no help alone.
        (&shell, "shell+agent+x11 deploy@web-1", "denied: as root, without agent and without x11"),
    ] {
        let explained = explain(&rules(policies), &person("alice", &["sre"]), what, NOW);
        assert_eq!(told(&explained), expected, "{what}");
    }
}
