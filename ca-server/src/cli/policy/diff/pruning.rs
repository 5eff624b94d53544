//! That leaving out questions hides nothing: where two sets answer anything differently, the comparison says so of the
//! same person, action and account.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use jit_ssh_core::inventory::{Inventory, InventorySource};
use jit_ssh_core::policy::{PolicySource, Rules};
use jit_ssh_proto::Span;
use proptest::prelude::*;

use super::super::ask::Outcome;
use super::super::case::{Case, Defaults, Who};
use super::answers::put;
use super::questions::ACTIONS;
use super::*;

const INVENTORY: &str = r#"
    [[group]]
    name = "prod"
    logins = ["deploy", "root"]
    [[group]]
    name = "lab"
    logins = ["deploy"]
    [[host]]
    name = "web-1"
    groups = ["prod"]
    [[host]]
    name = "web-2"
    groups = ["prod"]
    [[host]]
    name = "lab-1"
    groups = ["lab"]
"#;

const PEOPLE: [(&str, &[&str]); 3] = [("alice", &["sre"]), ("bob", &["dev", "sre"]), ("eve", &[])];
const ACCOUNTS: [&str; 5] = ["deploy@web-1", "root@web-1", "deploy@web-2", "root@web-2", "deploy@lab-1"];

const WHO: [&str; 5] = [
    "principal",
    "principal in Group::\"sre\"",
    "principal in Group::\"dev\"",
    "principal is User",
    "principal == User::\"corp/eve\"",
];
const ACTION: [&str; 6] = [
    "action",
    "action == Action::\"shell\"",
    "action in [Action::\"shell\", Action::\"agent\"]",
    "action == Action::\"agent\"",
    "action == Action::\"sftp\"",
    "action in [Action::\"exec\", Action::\"sftp\"]",
];
const WHAT: [&str; 6] = [
    "resource",
    "resource is Account",
    "resource in HostGroup::\"prod\"",
    "resource in HostGroup::\"lab\"",
    "resource in Host::\"web-2\"",
    "resource == Account::\"root@web-1\"",
];
/// Such that each of their values is tried in every combination.
const WHEN: [&str; 8] = [
    "",
    "",
    "when { resource.login == \"deploy\" }",
    "when { context.reason != \"\" }",
    "unless { context.ticket == \"T-1\" }",
    "when { context.local.hour >= 8 && context.local.hour < 20 }",
    "when { context has command && context.command == \"ls\" }",
    "when { resource.host.name == \"web-1\" }",
];
const TERMS: [&str; 5] =
    ["", "@ttl(\"10m\")", "@ttl(\"2h\")", "@approvals(\"1 of leads\") @ttl(\"2h\")", "@break_glass"];

const TIMES: [&str; 3] = ["2026-01-14T12:10", "2026-01-14T07:50", "2026-01-17T21:00"];

/// A policy without its id.
fn policy() -> impl Strategy<Value = String> {
    let pick = |from: &'static [&'static str]| prop::sample::select(from);
    let permit = (pick(&TERMS), pick(&WHO), pick(&ACTION), pick(&WHAT), pick(&WHEN)).prop_map(
        |(terms, who, action, what, when)| format!("{terms} permit ({who}, {action}, {what}) {when};"),
    );
    let forbid = (pick(&WHO), pick(&ACTION), pick(&WHAT), pick(&WHEN))
        .prop_map(|(who, action, what, when)| format!("forbid ({who}, {action}, {what}) {when};"));
    let verb = (pick(&WHO), prop::bool::ANY).prop_map(|(who, permit)| {
        let effect = if permit { "permit" } else { "forbid" };
        format!("{effect} ({who}, action == Action::\"audit\", resource == Request::\"ledger\");")
    });
    // Some that can never match do not load.
    prop_oneof![12 => permit, 4 => forbid, 1 => verb].prop_filter("loads", |text| {
        let source = PolicySource { file: "p".into(), text: text.clone() };
        let hosts = InventorySource { file: "h".into(), text: INVENTORY.into() };
        let inventory = Inventory::read(&[hosts]).unwrap();
        Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(1800)).is_ok()
    })
}

/// What becomes of a policy.
#[derive(Clone, Debug)]
enum Fate {
    Stays,
    Goes,
    Comes,
    Becomes(String),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        5 => Just(Fate::Stays),
        1 => Just(Fate::Goes),
        1 => Just(Fate::Comes),
        1 => policy().prop_map(Fate::Becomes),
    ]
}

#[derive(Clone, Debug)]
struct Asked {
    who: usize,
    /// None for the verb `audit`.
    account: Option<&'static str>,
    action: usize,
    at: &'static str,
    reason: bool,
    ticket: bool,
    break_glass: bool,
    command: &'static str,
}

fn asked() -> impl Strategy<Value = Asked> {
    let account = prop_oneof![9 => prop::sample::select(&ACCOUNTS[..]).prop_map(Some), 1 => Just(None)];
    let typed = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    let command = prop::sample::select(&["ls", "df"][..]);
    (0..PEOPLE.len(), account, 0..ACTIONS.len(), prop::sample::select(&TIMES[..]), typed, command).prop_map(
        |(who, account, action, at, (reason, ticket, break_glass), command)| Asked {
            who,
            account,
            action,
            at,
            reason,
            ticket,
            break_glass,
            command,
        },
    )
}

impl Asked {
    fn what(&self) -> &'static str {
        if self.account.is_none() { "audit" } else { ACTIONS[self.action].0 }
    }

    fn case(&self) -> Case {
        let (_, mode, with) = ACTIONS[self.action];
        let bare = Case {
            at: Some(self.at.to_owned()),
            reason: self.reason.then(|| "why".to_owned()),
            ticket: self.ticket.then(|| "T-1".to_owned()),
            break_glass: self.break_glass,
            ..Case::of(Who::Named(String::new()))
        };
        let Some(account) = self.account else { return Case { action: Some("audit".into()), ..bare } };
        Case {
            account: Some(account.to_owned()),
            action: Some(mode.as_str().to_owned()),
            with: with.to_vec(),
            command: (self.what() == "exec").then(|| self.command.to_owned()),
            ..bare
        }
    }
}

fn folder(place: &Path, name: &str, policies: &[String], inventory: &str) -> PathBuf {
    let dir = place.join(name);
    for (folder, file, text) in
        [("policies", "p.cedar", policies.join("\n").as_str()), ("inventory", "hosts.toml", inventory)]
    {
        fs::create_dir_all(dir.join(folder)).unwrap();
        fs::write(dir.join(folder).join(file), text).unwrap();
    }
    dir
}

fn people() -> BTreeMap<String, Person> {
    let person = |(name, groups): (&str, &[&str])| {
        let groups = Some(groups.iter().map(ToString::to_string).collect());
        let (issuer, called) = (Some("corp".to_owned()), Some(name.to_owned()));
        (name.to_owned(), Person { issuer, name: called, groups, ..Person::default() })
    };
    PEOPLE.into_iter().map(person).collect()
}

fn compared(old: PathBuf, new: PathBuf) -> Comparison {
    let mut both =
        Comparison::read(&Args { old, new, identities: None, exit_code: false, json: false }).unwrap();
    let accounts = both.accounts();
    for asker in both.askers(&people()).unwrap() {
        let identities = both.identities(&asker).unwrap();
        both.ask_for(&asker, &identities, &accounts);
    }
    both
}

/// Whether a difference is told of the same person, action and account.
fn is_told(both: &Comparison, asked: &Asked) -> bool {
    both.changes.iter().any(|((change, _), accounts)| {
        change.who == PEOPLE[asked.who].0
            && (change.what == asked.what() || change.what.starts_with(&format!("{} of ", asked.what())))
            && asked.account.is_none_or(|account| accounts.contains(account))
    })
}

/// The two sets that come of these policies, and of another inventory, compared.
fn both(place: &Path, policies: &[(String, Fate)], moved: bool) -> Comparison {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for (at, (text, fate)) in policies.iter().enumerate() {
        let text = format!("@id(\"p{at}\") {text}");
        match fate {
            Fate::Stays => {
                old.push(text.clone());
                new.push(text);
            }
            Fate::Goes => old.push(text),
            Fate::Comes => new.push(text),
            Fate::Becomes(other) => {
                old.push(text);
                new.push(format!("@id(\"p{at}\") {other}"));
            }
        }
    }
    // Another inventory, in which a host has changed its group, concerns every policy.
    let inventory = if moved {
        INVENTORY.replace("\"lab-1\"\n    groups = [\"lab\"]", "\"lab-1\"\n    groups = [\"prod\"]")
    } else {
        INVENTORY.to_owned()
    };
    let old = folder(place, "old", &old, INVENTORY);
    let new = folder(place, "new", &new, &inventory);
    compared(old, new)
}

/// Each case is a comparison: a tenth of what others have.
fn a_tenth() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases / 10, ..usual }
}

/// Found by the property below, and rare: each is told of since.
#[test]
fn what_was_hidden_once_is_told() {
    let (permit, forbid) = ("permit (principal, action, resource);", "forbid (principal, action, resource)");
    let asked = |reason, ticket, break_glass| Asked {
        who: 0,
        account: Some("deploy@web-1"),
        action: 0,
        at: "2026-01-14T12:10",
        reason,
        ticket,
        break_glass,
        command: "ls",
    };
    let becomes = |old: &str, new: &str| (old.to_owned(), Fate::Becomes(new.to_owned()));
    for (policies, asked) in [
        // Glass that is broken without a reason.
        (
            vec![
                (format!("@break_glass {permit}"), Fate::Stays),
                becomes(&format!("{forbid};"), &format!("{forbid} when {{ context.reason != \"\" }};")),
            ],
            asked(false, true, true),
        ),
        // This ticket, and no reason.
        (
            vec![
                (format!("@ttl(\"10m\") {permit}"), Fate::Comes),
                (
                    format!("{} unless {{ context.ticket == \"T-1\" }};", &permit[..permit.len() - 1]),
                    Fate::Stays,
                ),
                (format!("{} when {{ context.reason != \"\" }};", &permit[..permit.len() - 1]), Fate::Stays),
            ],
            asked(false, true, false),
        ),
    ] {
        let place = tempfile::tempdir().unwrap();
        let both = both(place.path(), &policies, false);
        let person = &people()[PEOPLE[asked.who].0];
        let answer = |side| put(&asked.case(), &Defaults::default(), person, side).map(|of| of.terms());
        assert_ne!(answer(&both.old), answer(&both.new), "{policies:#?}");
        assert!(is_told(&both, &asked), "{policies:#?}");
    }
}

proptest! {
    #![proptest_config(a_tenth())]

    #[test]
    fn no_difference_is_hidden(
        policies in prop::collection::vec((policy(), fate()), 1..7),
        moved in prop::bool::weighted(0.15),
        questions in prop::collection::vec(asked(), 80),
    ) {
        let place = tempfile::tempdir().unwrap();
        let both = both(place.path(), &policies, moved);
        let people = people();
        let untold: BTreeSet<&str> = alterations::untold_of(&both.altered, &both.seen).collect();
        for asked in &questions {
            let person = &people[PEOPLE[asked.who].0];
            let answer = |side| put(&asked.case(), &Defaults::default(), person, side);
            let (before, after) = (answer(&both.old), answer(&both.new));
            let terms = |of: &Option<Outcome>| of.as_ref().map_or_else(|| "denied".to_owned(), Outcome::terms);
            if terms(&before) != terms(&after) {
                let by = |of: &Option<Outcome>| of.iter().flat_map(|of| of.policies.clone()).collect::<Vec<_>>();
                let named = [by(&before), by(&after)].concat().iter().any(|id| untold.contains(id.as_str()));
                prop_assert!(
                    is_told(&both, asked) || named,
                    "{asked:?}: {} -> {}\n{policies:#?}", terms(&before), terms(&after)
                );
            }
        }
    }
}
