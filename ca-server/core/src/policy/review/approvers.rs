//! Whether an approval can be somebody's own: one person may have an identity at each of two issuers, and the CA cannot
//! know that they are one.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use jit_ssh_proto::Name;

use super::read::{Read, Whom};
use super::{Finding, Lint, Surroundings};
use crate::identity::{IdentityKind, IssuerRules};
use crate::inventory::Inventory;

pub(super) fn review(
    policies: &[Read<'_>],
    inventory: &Inventory,
    around: &Surroundings<'_>,
    findings: &mut Vec<Finding>,
) {
    let Some(issuers) = around.issuers else { return };
    for policy in policies {
        let Some(approvals) = policy.offer().and_then(|offer| offer.approvals.as_ref()) else { continue };
        let group = approvals.group.as_str();
        let at = policy.annotation("approvals");
        let of_kind = |kind| move |issuer: &&IssuerRules| issuer.kind == kind;
        if let Some(issuer) =
            issuers.iter().filter(of_kind(IdentityKind::Workload)).find(|i| maps_to(inventory, i, group))
        {
            let message = format!(
                "{} is an issuer of workloads, which never approve, but maps some of them to {group}",
                issuer.name
            );
            let help = format!("take {group} out of its groups_map");
            findings.push(policy.finding(Lint::SecondIdentity, at, message, help));
        }
        let people: Vec<&IssuerRules> = issuers.iter().filter(of_kind(IdentityKind::User)).collect();
        let askers: BTreeSet<&Name> = people
            .iter()
            .filter(|issuer| may_ask(policy, inventory, issuer))
            .map(|issuer| &issuer.name)
            .collect();
        let approvers: BTreeSet<&Name> = people
            .iter()
            .filter(|issuer| maps_to(inventory, issuer, group))
            .map(|issuer| &issuer.name)
            .collect();
        // Where those who ask are of one issuer and those who approve of another, that is how it is meant.
        let meant = askers.is_disjoint(&approvers);
        let other = |asker: &Name| approvers.iter().find(|approver| **approver != asker).copied();
        let two = askers.iter().find_map(|asker| Some((*asker, other(asker)?))).filter(|_| !meant);
        if let Some((asker, approver)) = two {
            let message = format!(
                "who has an identity at {asker} and one in {group} at {approver} can approve what they ask for themselves"
            );
            let help = format!(
                "map {group} at one issuer only, and ask for it there: principal in a group of the same issuer"
            );
            findings.push(policy.finding(Lint::SecondIdentity, at, message, help));
        }
    }
}

/// Whether somebody of the issuer can be in the group, by its mapping or as a guest.
fn maps_to(inventory: &Inventory, issuer: &IssuerRules, group: &str) -> bool {
    let guests = inventory.guests().filter(|guest| *guest.issuer() == issuer.name);
    let mut groups = issuer.groups_map.values().flatten().chain(guests.flat_map(|guest| guest.groups()));
    groups.any(|ours| ours.as_str() == group)
}

/// Whether people of the issuer may ask for what the permit offers, by its scope.
fn may_ask(policy: &Read<'_>, inventory: &Inventory, issuer: &IssuerRules) -> bool {
    match policy.whom() {
        Whom::Anybody => true,
        Whom::Kind(kind) => kind == "User",
        Whom::Group { name, kind } => {
            maps_to(inventory, issuer, &name) && kind.is_none_or(|kind| kind == "User")
        }
        Whom::One(uid) => {
            let id: &str = uid.id().as_ref();
            id.split_once('/').is_some_and(|(alias, _)| alias == issuer.name.as_str())
        }
    }
}
