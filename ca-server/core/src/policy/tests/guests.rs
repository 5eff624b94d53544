//! Guests: in their groups until their last day is over, then out of everything.

use super::super::{Leave, Verb};
use super::*;

const GUESTS: &str = r#"
    [[guest]]
    issuer = "corp"
    name = "eve"
    sponsor = "corp/alice"
    until = "2026-11-22"
    groups = ["visitors"]
    [[guest]]
    issuer = "corp"
    email = "Mallory@example.com"
    sponsor = "corp/alice"
    until = "2026-11-21"
    groups = ["visitors"]
    [[guest]]
    issuer = "elsewhere"
    name = "bob"
    sponsor = "corp/alice"
    until = "2020-01-01"
"#;

const POLICIES: &str = r#"
    @id("visit")
    permit (principal in Group::"visitors", action == Action::"sftp", resource in HostGroup::"prod");
    @id("all")
    permit (principal in Group::"sre", action == Action::"shell", resource);
    @id("audit")
    permit (principal in Group::"visitors", action == Action::"audit", resource);
"#;

fn with_guests() -> Rules {
    let source = PolicySource { file: "p.cedar".into(), text: POLICIES.into() };
    let inventory = inventory_of(&[INVENTORY, GUESTS].concat());
    Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(3600)).unwrap()
}

fn on(date: &str) -> Circumstances {
    Circumstances { local: LocalTime { date: date.into(), ..circumstances().local }, ..circumstances() }
}

#[test]
fn a_guest_is_in_their_groups_until_their_last_day_is_over() {
    let rules = with_guests();
    for (who, groups, what, date, expected) in [
        ("eve", &[][..], "sftp deploy@web-1", "2026-11-22", "1h by visit"),
        // Their groups come on top of those that are mapped.
        ("eve", &["sre"], "sftp deploy@web-1", "2026-11-22", "1h by visit"),
        ("eve", &["sre"], "shell deploy@web-1", "2026-11-22", "1h by all"),
        ("eve", &[], "shell deploy@web-1", "2026-11-22", "no_access"),
        // Whatever else they are in.
        ("eve", &["sre"], "sftp deploy@web-1", "2026-11-23", "guest_ended"),
        ("eve", &["sre"], "shell deploy@web-1", "2027-01-01", "guest_ended"),
        ("eve", &[], "shell deploy@nowhere", "2026-11-23", "guest_ended"),
        // By e-mail address, whichever way it is written.
        ("mallory", &["sre"], "shell deploy@web-1", "2026-11-21", "1h by all"),
        ("mallory", &["sre"], "shell deploy@web-1", "2026-11-22", "guest_ended"),
        // Another issuer's guest is somebody else.
        ("bob", &["sre"], "shell deploy@web-1", "2026-11-22", "1h by all"),
        ("alice", &[], "sftp deploy@web-1", "2026-11-22", "no_access"),
    ] {
        let decision = rules.decide(&person(who, groups), &ask(what), &key(), &on(date));
        assert_eq!(outcome(&decision), expected, "{who} {what} {date}");
    }
    let denial =
        denied(rules.decide(&person("eve", &[]), &ask("sftp deploy@web-1"), &key(), &on("2026-12-01")));
    assert_eq!(
        denial.detail,
        "Your time as a guest ended with 2026-11-22: ask corp/alice, who answers for you, to prolong it."
    );
    assert!(denial.policies.is_empty());
}

#[test]
fn nor_is_a_guest_let_do_what_is_the_cas_own_when_their_last_day_is_over() {
    let rules = with_guests();
    for (date, given) in [("2026-11-22", true), ("2026-11-23", false)] {
        let leave = rules.may(&person("eve", &[]), Verb::Audit, &key(), &on(date));
        match leave {
            Leave::Given(by) => assert!(given && by == ["audit"], "{date}"),
            Leave::Denied(denial) => assert!(!given && denial.code == Code::GuestEnded, "{date}: {denial:?}"),
        }
    }
}
