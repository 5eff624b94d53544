//! The index over policies changes no answer: every decision is the same as when each policy is asked about everything.

use alloc::vec;

use proptest::prelude::*;

use super::super::Verb;
use super::*;

const WHO: [&str; 10] = [
    "principal",
    "principal in Group::\"sre\"",
    "principal in Group::\"dev\"",
    "principal in Group::\"visitors\"",
    "principal is User",
    "principal is Workload",
    "principal is User in Group::\"sre\"",
    "principal is Workload in Group::\"sre\"",
    "principal == User::\"corp/alice\"",
    "principal in User::\"corp/alice\"",
];

const WHAT: [&str; 12] = [
    "resource",
    "resource in HostGroup::\"prod\"",
    "resource in HostGroup::\"web\"",
    "resource in HostGroup::\"lab\"",
    "resource in HostGroup::\"nowhere\"",
    "resource in Host::\"web-1\"",
    "resource in Host::\"db-1\"",
    "resource == Account::\"deploy@web-1\"",
    "resource in Account::\"root@web-1\"",
    "resource is Account",
    "resource is Account in HostGroup::\"prod\"",
    "resource is Account in Host::\"lab-1\"",
];

const ACTION: [&str; 5] = [
    "action",
    "action == Action::\"shell\"",
    "action in [Action::\"shell\", Action::\"agent\"]",
    "action == Action::\"sftp\"",
    "action in [Action::\"exec\", Action::\"sftp\"]",
];

const WHEN: [&str; 8] = [
    "",
    "",
    "when { resource.login == \"deploy\" }",
    "when { context.reason != \"\" }",
    "when { context.duration <= duration(\"30m\") }",
    "unless { context.duration > duration(\"1h\") }",
    "when { 9223372036854775800 + context.local.minute > 0 && context.ticket == \"T-1\" }",
    "when { resource.host in HostGroup::\"prod\" }",
];

const TERMS: [&str; 6] = [
    "",
    "@ttl(\"10m\")",
    "@ttl(\"40m\")",
    "@ttl(\"2h\")",
    "@approvals(\"1 of leads\") @ttl(\"8h\")",
    "@break_glass",
];

fn policy() -> impl Strategy<Value = String> {
    let pick = |from: &'static [&'static str]| prop::sample::select(from);
    let permit = (pick(&TERMS), pick(&WHO), pick(&ACTION), pick(&WHAT), pick(&WHEN)).prop_map(
        |(terms, who, action, what, when)| format!("{terms} permit ({who}, {action}, {what}) {when};"),
    );
    let forbid = (pick(&WHO), pick(&ACTION), pick(&WHAT), pick(&WHEN[2..]))
        .prop_map(|(who, action, what, when)| format!("forbid ({who}, {action}, {what}) {when};"));
    let verb = (pick(&WHO), prop::bool::ANY).prop_map(|(who, permit)| {
        let effect = if permit { "permit" } else { "forbid" };
        format!("{effect} ({who}, action == Action::\"audit\", resource == Request::\"ledger\");")
    });
    prop_oneof![12 => permit, 3 => forbid, 1 => verb]
}

fn people() -> Vec<VerifiedIdentity> {
    vec![
        person("alice", &["sre"]),
        person("bob", &["dev", "sre"]),
        person("eve", &[]),
        identity(IdentityKind::Workload, "ci", &["sre"], &json!({})),
    ]
}

const ASKS: [&str; 9] = [
    "shell deploy@web-1",
    "shell deploy@web-1 for 20m because x ticket T-1",
    "shell+agent deploy@web-1,root@web-1,deploy@lab-1 because y",
    "sftp postgres@db-1",
    "sftp www@web-1,deploy@db-1 ticket T-1",
    "exec deploy@db-1 run ls",
    "shell alice@lab-1 for 2h",
    "shell deploy@switch-1",
    "shell deploy@nowhere",
];

proptest! {
    #![proptest_config(few(24))]

    #[test]
    fn the_index_changes_no_answer(texts in prop::collection::vec(policy(), 1..24)) {
        // A policy that can never match is an error here, and then the whole set is: leave those out.
        let guest = "[[guest]]\nissuer = \"corp\"\nname = \"eve\"\nsponsor = \"corp/alice\"\nuntil = \"2030-01-01\"\ngroups = [\"visitors\"]\n";
        let load = |texts: &[String]| {
            let source = PolicySource { file: "p".into(), text: texts.join("\n") };
            let inventory = inventory_of(&[INVENTORY, guest].concat());
            Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(3600))
        };
        let texts: Vec<String> = texts.into_iter().filter(|text| load(core::slice::from_ref(text)).is_ok()).collect();
        let indexed = load(&texts).unwrap();
        let asking_everything = load(&texts).unwrap().asking_everything();
        for who in &people() {
            for request in ASKS.iter().flat_map(|line| [ask(line), ask(line).under_break_glass(true)]) {
                let [ours, theirs] = [&indexed, &asking_everything]
                    .map(|rules| format!("{:?}", rules.decide(who, &request, &key(), &circumstances())));
                prop_assert_eq!(ours, theirs, "{} {:?}\n{}", who.name(), request, texts.join("\n"));
            }
            let [ours, theirs] = [&indexed, &asking_everything]
                .map(|rules| rules.may(who, Verb::Audit, &key(), &circumstances()));
            prop_assert_eq!(ours, theirs, "{}\n{}", who.name(), texts.join("\n"));
        }
    }
}

/// Policies that name others are not so much as looked at: what fails for others fails nobody else.
#[test]
fn only_what_can_be_about_a_question_is_asked() {
    let mut texts: Vec<String> = (0..200)
        .map(|at| {
            format!(
                "permit (principal in Group::\"team-{at}\", action, resource in HostGroup::\"prod\");\n\
                 permit (principal, action, resource == Account::\"deploy@host-{at}\");"
            )
        })
        .collect();
    texts.push(
        "@id(\"sre\") permit (principal in Group::\"sre\", action, resource in HostGroup::\"web\");".into(),
    );
    let rules = rules(&texts.join("\n"));
    let alice = person("alice", &["sre", "team-7"]);
    let account = "deploy@web-1".parse().unwrap();
    let host = rules.inventory().account(&account).unwrap();
    let entities = rules.vocabulary.entities(&alice, core::iter::once((&account, host))).unwrap();
    let (principal, resource) = (rules.vocabulary.principal(&alice), rules.vocabulary.account(&account));
    assert_eq!(rules.compiled.conditions.concerned_count(&principal, &resource, &entities), 2);
    assert_eq!(outcome(&decide(&rules, &alice, "shell deploy@web-1")), "1h by p.cedar:15");
}
