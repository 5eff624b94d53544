//! Which accounts somebody may get to: what is listed, what is not, and how it is gone through.

use alloc::collections::BTreeSet;

use jit_ssh_proto::Account;
use jit_ssh_proto::wire::{ReachableAccount, ReachableMode};

use super::explain::{Paris, at};
use super::*;
use crate::policy::{Reachable, Wanted};

fn list(rules: &Rules, who: &VerifiedIdentity, after: Option<&str>, prefix: &str, limit: usize) -> Reachable {
    let after: Option<Account> = after.map(|after| after.parse().unwrap());
    rules.accounts(who, &key(), &at(NOW), &Paris, &Wanted { after: after.as_ref(), prefix, limit })
}

/// `shell+agent 1h with a reason and with 1 approval of leads`
fn mode(mode: &ReachableMode) -> String {
    let mut line = mode.mode.to_string();
    mode.modifiers.iter().for_each(|modifier| line += &format!("+{}", modifier.as_str()));
    mode.command.iter().for_each(|command| line += &format!(" {command:?}"));
    line += &format!(" {}", mode.terms.duration);
    mode.needs.iter().for_each(|need| line += &format!(" {need}"));
    mode.terms.approvals.iter().for_each(|approval| line += &format!(" with {approval}"));
    mode.refused.iter().for_each(|code| line += &format!(" ({code})"));
    line
}

fn lines(accounts: &[ReachableAccount]) -> Vec<String> {
    let modes = |account: &ReachableAccount| account.modes.iter().map(mode).collect::<Vec<_>>().join(", ");
    accounts.iter().map(|account| format!("{}: {}", account.account, modes(account))).collect()
}

const POLICIES: &str = r#"
    @ttl("1h") permit (principal in Group::"sre", action in [Action::"shell", Action::"sftp", Action::"agent"], resource in HostGroup::"web")
    when { resource.login != "root" && context.reason != "" };
    @ttl("30m") @approvals("1 of leads") permit (principal in Group::"sre", action == Action::"shell", resource in Host::"db-1")
    when { resource.login == "postgres" };
    @ttl("10m") permit (principal in Group::"dev", action == Action::"exec", resource == Account::"deploy@web-1")
    when { context has command && ["df -h", "uptime"].contains(context.command) };
    @ttl("8h") permit (principal is User, action in [Action::"shell", Action::"exec"], resource is Account in HostGroup::"lab")
    when { principal has login && resource.login == principal.login };
    permit (principal in Group::"sre", action == Action::"shell", resource in HostGroup::"web") when { context.local.hour == 3 };
    permit (principal in Group::"night", action == Action::"shell", resource) when { context.local.hour == 3 };
    permit (principal in Group::"auditors", action == Action::"audit", resource);
    permit (principal == User::"corp/carol", action == Action::"forward", resource);
    forbid (principal in Group::"night", action, resource);
"#;

#[test]
fn each_sees_what_they_may_reach_now_and_nothing_else() {
    let rules = rules(POLICIES);
    for (name, groups, expected) in [
        (
            "bob",
            &["sre"][..],
            &[
                "postgres@db-1: shell 30m with 1 approval of leads (approval_required)",
                "deploy@web-1: shell+agent 1h with a reason, sftp 1h with a reason",
                "www@web-1: shell+agent 1h with a reason, sftp 1h with a reason",
            ][..],
        ),
        ("bob", &["dev"], &["deploy@web-1: exec \"df -h\" 10m"]),
        ("alice", &[], &["alice@lab-1: shell 8h, exec 8h", "alice@switch-1: shell 8h, exec 8h"]),
        ("bob", &[], &[]),
        ("bob", &["night"], &[]),
        ("bob", &["auditors"], &[]),
        (
            "carol",
            &[],
            &[
                "deploy@db-1: forward 1h",
                "postgres@db-1: forward 1h",
                "root@db-1: forward 1h",
                "alice@lab-1: forward 1h",
                "deploy@lab-1: forward 1h",
                "deploy@web-1: forward 1h",
                "root@web-1: forward 1h",
                "www@web-1: forward 1h",
            ],
        ),
    ] {
        let listed = list(&rules, &person(name, groups), None, "", 100);
        assert_eq!(
            (lines(&listed.accounts), listed.next),
            (expected.iter().map(ToString::to_string).collect(), None),
            "{name} {groups:?}"
        );
    }
}

#[test]
fn what_nothing_signs_for_is_listed_as_such() {
    let rules = rules(POLICIES).signed_for(BTreeSet::new());
    let listed = list(&rules, &person("alice", &[]), None, "", 100);
    assert_eq!(
        lines(&listed.accounts),
        [
            "alice@lab-1: shell 8h, exec 8h",
            "alice@switch-1: shell 8h (not_available), exec 8h (not_available)"
        ]
    );
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let rules = rules(POLICIES);
    let carol = person("carol", &["sre"]);
    let whole = lines(&list(&rules, &carol, None, "", 100).accounts);
    for limit in 1..=whole.len() {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = list(&rules, &carol, after.as_deref(), "", limit);
            assert!(page.accounts.len() <= limit);
            all.extend(lines(&page.accounts));
            match page.next {
                Some(next) => after = Some(next.to_string()),
                None => break,
            }
        }
        assert_eq!(all, whole, "{limit} a page");
    }
    // A cursor need not be an account that is there still.
    let rest = lines(&list(&rules, &carol, Some("zzz@lab-0"), "", 100).accounts);
    assert!(rest[0].starts_with("alice@lab-1"), "{rest:?}");
    for (prefix, hosts) in [("web", 3), ("web-1", 3), ("web-12", 0), ("l", 2), ("", whole.len()), ("zz", 0)] {
        assert_eq!(list(&rules, &carol, None, prefix, 100).accounts.len(), hosts, "{prefix}");
    }
}

/// One call looks at so many accounts and no more, and yet all of them are gone through.
#[test]
fn a_call_is_bounded_however_many_hosts_there_are() {
    let mut hosts = String::from(
        "[[group]]\nname = \"all\"\nlogins = [\"a\", \"b\"]\n[[group]]\nname = \"few\"\ngroups = [\"all\"]\n",
    );
    for n in 0..3000 {
        let group = if n % 1000 == 7 { "few" } else { "all" };
        hosts += &format!("[[host]]\nname = \"h-{n:04}\"\ngroups = [\"{group}\"]\n");
    }
    let source = InventorySource { file: "i.toml".into(), text: hosts };
    let inventory = Inventory::read(&[source]).unwrap();
    let policy = "permit (principal in Group::\"some\", action == Action::\"shell\", resource in HostGroup::\"few\");
                  permit (principal in Group::\"any\", action == Action::\"shell\", resource in HostGroup::\"all\") when { resource.login == \"c\" };";
    let source = PolicySource { file: "p.cedar".into(), text: policy.into() };
    let rules = Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(3600)).unwrap();
    // Only where a permit leads is anything looked at.
    let few = list(&rules, &person("a", &["some"]), None, "", 100);
    assert_eq!((few.accounts.len(), few.next), (6, None));
    assert_eq!(few.accounts[0].account, "a@h-0007");
    // Where one leads everywhere, a page may be empty and not the last.
    let page = list(&rules, &person("a", &["any"]), None, "", 100);
    assert_eq!((page.accounts.len(), page.next.map(|next| next.to_string())), (0, Some("b@h-0099".into())));
    assert_eq!(
        list(&rules, &person("a", &["none"]), None, "", 100),
        Reachable { accounts: Vec::new(), next: None }
    );
}

/// What one has at once is not hidden behind what others would have to approve.
#[test]
fn what_can_be_had_now_comes_before_what_others_have_to_approve() {
    let permit = |annotations: &str, when: &str| {
        format!(
            "{annotations} permit (principal, action == Action::\"shell\", resource == Account::\"root@web-1\") when {{ {when} }};"
        )
    };
    let approved = permit("@ttl(\"2h\") @approvals(\"1 of leads\")", "true");
    for (policies, expected) in [
        (approved.clone(), "shell 2h with 1 approval of leads (approval_required)"),
        (approved.clone() + &permit("@ttl(\"1h\")", "context.reason != \"\""), "shell 1h with a reason"),
        (
            approved.clone() + &permit("@ttl(\"1h\")", "context.reason != \"\" && context.ticket != \"\""),
            "shell 1h with a reason with a ticket",
        ),
        // What helps with neither is not asked for.
        (
            approved.clone() + &permit("@ttl(\"1h\") @approvals(\"1 of leads\")", "context.reason != \"\""),
            "shell 2h with 1 approval of leads (approval_required)",
        ),
    ] {
        let rules = rules(&policies);
        let listed = list(&rules, &person("alice", &[]), None, "", 100);
        assert_eq!(lines(&listed.accounts), [format!("root@web-1: {expected}")], "{policies}");
    }
    let limited = rules(&permit("@ttl(\"10h\")", "true")).lasting_at_most(Span::from_seconds(8 * 3600));
    let listed = list(&limited, &person("alice", &[]), None, "", 100);
    assert_eq!(lines(&listed.accounts), ["root@web-1: shell 8h"]);
}

/// A group of one kind of caller leads nobody of another kind through its hosts.
#[test]
fn aims_keep_the_kind_of_a_scope() {
    let rules = rules(
        "permit (principal is Workload in Group::\"ops\", action == Action::\"shell\", resource in HostGroup::\"web\");
         permit (principal in Group::\"ops\", action == Action::\"shell\", resource in Host::\"db-1\");",
    );
    let workload = identity(IdentityKind::Workload, "job", &["ops"], &json!({}));
    for (who, aims) in [(person("alice", &["ops"]), 1), (workload, 2), (person("alice", &["dev"]), 0)] {
        assert_eq!(rules.compiled.aims.from(&who).len(), aims);
    }
}
