//! Policies that can never count: scopes that nothing matches, and permits that a forbid takes back whole.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::read::{Read, Which, Whom};
use super::{Finding, Land, Lint, Surroundings};
use crate::identity::IdentityKind;
use crate::inventory::Inventory;

pub(super) fn review(
    policies: &[Read<'_>],
    inventory: &Inventory,
    land: &Land,
    around: &Surroundings<'_>,
    findings: &mut Vec<Finding>,
) {
    for policy in policies {
        if let Some((message, help)) = unmatched(policy, inventory, land, around) {
            findings.push(policy.finding(Lint::Unreachable, policy.effect(), message, help));
        }
    }
    let forbids: Vec<&Read<'_>> =
        policies.iter().filter(|policy| !policy.is_permit() && policy.condition().is_none()).collect();
    for permit in policies.iter().filter(|policy| policy.is_permit()) {
        let by = forbids.iter().find(|forbid| takes_back(forbid, permit, inventory, land));
        if let Some(forbid) = by {
            let message = format!("{} forbids everything that this permits, without conditions", forbid.id);
            let help = "remove one of the two, or give the forbid a condition".to_string();
            findings.push(permit.finding(Lint::Shadowed, permit.effect(), message, help));
        }
    }
}

/// Why nothing can match the scope, where no name in it is unknown: those are told by themselves.
fn unmatched(
    policy: &Read<'_>,
    inventory: &Inventory,
    land: &Land,
    around: &Surroundings<'_>,
) -> Option<(alloc::string::String, alloc::string::String)> {
    if let Which::HostGroup(group) = policy.which()
        && inventory.groups().any(|(name, _)| name.as_str() == group)
        && !land.has_hosts(&group)
    {
        let message = format!("nothing matches this: no host is in {group}");
        return Some((message, format!("put hosts into {group}, or remove the policy")));
    }
    if policy.which() == Which::Any && !land.occupied && policy.speaks_of("shell") {
        return Some((
            "nothing matches this: the inventory has no account".to_string(),
            "add hosts and logins to the inventory".to_string(),
        ));
    }
    let kind = match policy.whom() {
        Whom::Kind(kind) | Whom::Group { kind: Some(kind), name: _ } => kind,
        Whom::One(uid) => uid.type_name().to_string(),
        Whom::Anybody | Whom::Group { kind: None, name: _ } => return None,
    };
    let of_kind = |wanted| around.issuers.is_some_and(|all| !all.iter().any(|issuer| issuer.kind == wanted));
    let (nobody, word) = match kind.as_str() {
        "User" => (of_kind(IdentityKind::User), "user"),
        "Workload" => (of_kind(IdentityKind::Workload), "workload"),
        _ => return None,
    };
    nobody.then(|| {
        let message = format!("nobody matches this: no issuer is of the kind {word}");
        (message, format!("add an [[issuer]] with kind = {word:?}, or remove the policy"))
    })
}

/// Whether a forbid is about everything that the permit is about, by its scope.
fn takes_back(forbid: &Read<'_>, permit: &Read<'_>, inventory: &Inventory, land: &Land) -> bool {
    let whom = match (forbid.whom(), permit.whom()) {
        (Whom::Anybody, _) => true,
        (Whom::Kind(kind), Whom::Kind(other) | Whom::Group { kind: Some(other), name: _ }) => kind == other,
        (Whom::Kind(kind), Whom::One(uid)) => uid.type_name().to_string() == kind,
        (Whom::Group { name, kind: None }, Whom::Group { name: other, kind: _ }) => name == other,
        (forbidden, permitted) => forbidden == permitted,
    };
    let actions = match (forbid.actions(), permit.actions()) {
        (None, _) => true,
        (Some(forbidden), Some(permitted)) => permitted.is_subset(&forbidden),
        (Some(_), None) => false,
    };
    // A permit of verbs is about no accounts; only a forbid of everything is about what it is about.
    let which = match (forbid.which(), permit.which()) {
        (Which::Any, _) => !matches!(permit.which(), Which::Other) && is_about_logins(permit),
        (forbidden, permitted) => land.covers(inventory, &forbidden, &permitted),
    };
    whom && actions && which
}

fn is_about_logins(policy: &Read<'_>) -> bool {
    ["shell", "exec", "sftp", "forward", "jump", "agent", "x11", "sudo"]
        .iter()
        .any(|action| policy.speaks_of(action))
}
