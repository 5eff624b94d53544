//! What a refused caller is told: which rule, and what would change the answer. Never a host, a policy or a group that
//! they have no part in.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::PolicyId;
use jit_ssh_proto::{Code, Name, Span};

use super::Denial;
use super::annotations::{Approvals, Rule};
use super::compile::Compiled;
use super::decide::{Judged, Verdict};
use crate::identity::{IdentityKind, VerifiedIdentity};
use crate::inventory::Guest;

/// One answer to unknown hosts, to logins that a host does not offer, and to hosts that one has no part in.
const NO_ACCESS: &str = "No policy gives you this access, or there is no such account: check LOGIN@HOST and the mode, \
                         or ask the people who keep the access policies.";

/// The refusal, if any pair gives reason for one. The hardest reason wins: what nobody can change comes before what
/// the caller can.
pub(super) fn of(verdicts: &[Judged<'_>], compiled: &Compiled) -> Option<Denial> {
    let mut errors: Option<BTreeSet<PolicyId>> = None;
    let mut forbidden: Vec<(&Judged<'_>, &BTreeSet<PolicyId>)> = Vec::new();
    let mut unknown = false;
    let mut longest: Option<Span> = None;
    let mut demands: BTreeMap<&Approvals, BTreeSet<&PolicyId>> = BTreeMap::new();
    for judged in verdicts {
        match &judged.verdict {
            Verdict::Failed(ids) => errors.get_or_insert_default().extend(ids.iter().cloned()),
            Verdict::Forbidden(ids) => forbidden.push((judged, ids)),
            Verdict::NoAccess => unknown = true,
            Verdict::TooLong(most) => longest = Some(longest.map_or(*most, |so_far| so_far.min(*most))),
            Verdict::NeedsApproval(id, demand) => {
                demands.entry(demand).or_default().insert(id);
            }
            Verdict::Allowed(_) => {}
        }
    }
    if let Some(ids) = errors {
        Some(failed(&ids))
    } else if !forbidden.is_empty() {
        let each = forbidden.iter().flat_map(|(judged, ids)| {
            ids.iter().map(|id| (format!("{} on {}", judged.action, judged.account), id))
        });
        Some(self::forbidden(each, compiled))
    } else if unknown {
        Some(no_access())
    } else if let Some(longest) = longest {
        Some(Denial {
            code: Code::DurationDenied,
            detail: format!("Policy allows this, but for {longest} at most: ask for {longest} or less."),
            policies: Vec::new(),
        })
    } else if demands.is_empty() {
        None
    } else {
        Some(approval(&demands))
    }
}

/// Nothing to be had, and nothing to be learnt.
pub(super) fn no_access() -> Denial {
    Denial { code: Code::NoAccess, detail: NO_ACCESS.into(), policies: Vec::new() }
}

/// Their time as a guest is over, whatever else they may be.
pub(super) fn guest_ended(guest: &Guest) -> Denial {
    let (until, sponsor) = (guest.until(), guest.sponsor());
    Denial {
        code: Code::GuestEnded,
        detail: format!(
            "Your time as a guest ended with {until}: ask {sponsor}, who answers for you, to prolong it."
        ),
        policies: Vec::new(),
    }
}

/// A policy failed while it was evaluated, or could not be asked at all.
pub(super) fn failed(ids: &BTreeSet<PolicyId>) -> Denial {
    Denial {
        code: Code::PolicyError,
        detail: "A policy could not be evaluated, so the answer is no: tell the people who keep the access policies."
            .into(),
        policies: ids.iter().map(ToString::to_string).collect(),
    }
}

/// Nobody broke a rule of policy: the way in which they logged in does not go that far.
pub(super) fn not_privileged(identity: &VerifiedIdentity, what: &str) -> Denial {
    let detail = match identity.kind() {
        IdentityKind::Workload => format!("Workloads do not {what}: a person has to."),
        IdentityKind::User => format!(
            "A login of the kind {} may not {what}: log in with `jit-ssh login` in a browser.",
            identity.flow().as_str()
        ),
    };
    Denial { code: Code::LoginNotPrivileged, detail, policies: Vec::new() }
}

/// The device matches nothing but login names.
pub(super) fn login_style(host: &Name) -> Denial {
    Denial {
        code: Code::NotAvailable,
        detail: format!(
            "{host} matches plain login names, for which this version signs nothing: ask the people who run the CA."
        ),
        policies: Vec::new(),
    }
}

/// What each of these policies forbids, and its message.
pub(super) fn forbidden<'a>(
    found: impl Iterator<Item = (String, &'a PolicyId)>,
    compiled: &Compiled,
) -> Denial {
    let mut reasons: Vec<String> = Vec::new();
    let mut policies = BTreeSet::new();
    for (what, id) in found {
        policies.insert(id.to_string());
        let why = match compiled.rules.get(id) {
            Some(Rule::Forbid(Some(message))) => message.clone(),
            Some(Rule::Forbid(None) | Rule::Permit(_)) | None => format!("policy {id} forbids it"),
        };
        reasons.push(format!("{what}: {why}"));
    }
    Denial {
        code: Code::Forbidden,
        detail: format!("Forbidden: {}.", reasons.join("; ")),
        policies: policies.into_iter().collect(),
    }
}

fn approval(demands: &BTreeMap<&Approvals, BTreeSet<&PolicyId>>) -> Denial {
    let who: Vec<String> = demands.keys().map(|d| format!("{} of {}", d.count, d.group)).collect();
    let policies: BTreeSet<String> = demands.values().flatten().map(ToString::to_string).collect();
    Denial {
        code: Code::ApprovalRequired,
        detail: format!(
            "This needs the approval of {}, which this version cannot ask for yet: ask for less, or the people who \
             keep the access policies.",
            who.join(" and ")
        ),
        policies: policies.into_iter().collect(),
    }
}
