//! Rights that are more than they look, and refusals that are less.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::verb::{self, Scope};
use super::conditions::looks_at_the_command;
use super::read::{Read, Which, Whom};
use super::{Finding, Land, Lint};
use crate::inventory::Inventory;

/// What a shell can do anyway, and how.
const LESSER: [(&str, &str); 2] = [("exec", "a shell runs any command"), ("sftp", "a shell moves any file")];

pub(super) fn review(policies: &[Read<'_>], inventory: &Inventory, land: &Land, findings: &mut Vec<Finding>) {
    for policy in policies {
        if policy.is_permit() {
            match verb::scope(&policy.policy) {
                Scope::Both => {
                    let message = "this permits logins and verbs of the CA in one".to_string();
                    let help = "give the verbs a policy of their own".to_string();
                    findings.push(policy.finding(Lint::MixedVerbs, policy.effect(), message, help));
                }
                Scope::Open | Scope::Logins | Scope::Verbs => {}
            }
            findings.extend(worth_a_shell(policy));
        } else {
            findings.extend(lesser(policy, policies, inventory, land));
        }
    }
}

/// `sftp`, or `exec` of any command, without `shell`.
fn worth_a_shell(permit: &Read<'_>) -> Option<Finding> {
    let actions = permit.actions()?;
    if actions.contains("shell") {
        return None;
    }
    let (what, help) = if actions.contains("exec") && !permit.condition().is_some_and(looks_at_the_command) {
        (
            "exec of any command is a shell",
            "name the commands: [\"uptime\", \"df -h\"].contains(context.command)",
        )
    } else if actions.contains("sftp") {
        (
            "sftp is worth a shell where the account can write its own start-up files",
            "make sure that the account's home cannot be written, or permit shell and say so",
        )
    } else {
        return None;
    };
    Some(permit.finding(Lint::WorthAShell, permit.effect(), what.to_string(), help.to_string()))
}

/// A forbid of less than a shell, for people who may have one there.
fn lesser(forbid: &Read<'_>, policies: &[Read<'_>], inventory: &Inventory, land: &Land) -> Option<Finding> {
    let actions = forbid.actions()?;
    if actions.contains("shell") {
        return None;
    }
    let (action, why) = LESSER.into_iter().find(|(action, _)| actions.contains(*action))?;
    let permit = policies.iter().find(|policy| {
        policy.is_permit()
            && policy.speaks_of("shell")
            && may_be_the_same(&forbid.whom(), &policy.whom())
            && policy.which() != Which::Other
            && land.overlap(inventory, &forbid.which(), &policy.which())
    })?;
    let named: BTreeSet<String> = actions;
    let message = format!(
        "{} permits shell to whom this forbids {}: {why}",
        permit.id,
        named.into_iter().collect::<Vec<_>>().join(", ")
    );
    let help = format!("forbid shell too, or do not count on {action} being forbidden");
    Some(forbid.finding(Lint::LesserForbidden, forbid.effect(), message, help))
}

/// Whether somebody is meant by both. Members of two groups of different names are not thought to be the same people.
fn may_be_the_same(one: &Whom, other: &Whom) -> bool {
    match (one, other) {
        (Whom::Anybody, _) | (_, Whom::Anybody) => true,
        (Whom::Group { name, kind: _ }, Whom::Group { name: other, kind: _ }) => name == other,
        (Whom::One(one), Whom::One(other)) => one == other,
        (Whom::Kind(one), Whom::Kind(other)) => one == other,
        (Whom::Kind(kind), Whom::One(uid)) | (Whom::One(uid), Whom::Kind(kind)) => {
            uid.type_name().to_string() == *kind
        }
        (Whom::Kind(of), Whom::Group { kind, name: _ }) | (Whom::Group { kind, name: _ }, Whom::Kind(of)) => {
            kind.as_ref().is_none_or(|kind| kind == of)
        }
        (Whom::One(_), Whom::Group { .. }) | (Whom::Group { .. }, Whom::One(_)) => false,
    }
}
