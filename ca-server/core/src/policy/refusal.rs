//! What a refused caller is told: which rule, and what would change the answer. Never a host, a policy or a group that
//! they have no part in.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::PolicyId;
use jit_ssh_proto::{Account, Action, Code, Name, Span};

use super::Denial;
use super::annotations::{Approvals, Rule};
use super::compile::Compiled;
use super::decide::{Judged, Verdict};
use crate::identity::{IdentityKind, VerifiedIdentity};
use crate::inventory::Guest;

/// So many hosts, groups or reasons are named in one answer.
const SHOWN: usize = 8;

/// One answer to unknown hosts, to logins that a host does not offer, and to hosts that one has no part in.
const NO_ACCESS: &str = "No policy gives you this access, or there is no such account: check LOGIN@HOST and the mode, \
                         or ask the people who keep the access policies.";

/// The refusal, if any pair gives reason for one: that there is nothing for this caller, if that is so of any account of
/// which nothing else is told; else the hardest: what nobody can change comes before what the caller can.
pub(super) fn of(verdicts: &[Judged<'_>], compiled: &Compiled) -> Option<Denial> {
    let mut errors: Option<BTreeSet<PolicyId>> = None;
    let mut forbidden: Vec<(&Judged<'_>, &BTreeSet<PolicyId>)> = Vec::new();
    let (mut unknown, mut told) = (BTreeSet::new(), BTreeSet::new());
    let mut hidden = BTreeSet::new();
    let mut longest: Option<Span> = None;
    let mut demands: BTreeMap<&Approvals, BTreeSet<&PolicyId>> = BTreeMap::new();
    for judged in verdicts {
        match &judged.verdict {
            Verdict::Failed(ids) => {
                told.insert(&judged.account);
                errors.get_or_insert_default().extend(ids.iter().cloned());
            }
            Verdict::Forbidden(ids) => {
                told.insert(&judged.account);
                forbidden.push((judged, ids));
            }
            Verdict::NoAccess(ids) => {
                unknown.insert(&judged.account);
                hidden.extend(ids.iter().map(ToString::to_string));
            }
            Verdict::TooLong(most) => longest = Some(longest.map_or(*most, |so_far| so_far.min(*most))),
            Verdict::NeedsApproval(terms, demand) => {
                demands.entry(demand).or_default().insert(terms.id);
            }
            Verdict::Allowed(_) => {}
        }
    }
    // What one pair would be told must not say of another that it is there: a request for a host that one has a part in
    // and a guess is answered like one for two guesses.
    if !unknown.is_subset(&told) {
        // What failed is in the ledger, whoever asked.
        hidden.extend(errors.iter().flatten().map(ToString::to_string));
        Some(Denial { policies: hidden.into_iter().collect(), ..no_access() })
    } else if let Some(ids) = errors {
        Some(failed(&ids))
    } else if !forbidden.is_empty() {
        let each = forbidden.iter().flat_map(|(judged, ids)| {
            ids.iter().map(|id| (format!("{} on {}", judged.action, judged.account), id))
        });
        Some(self::forbidden(each, compiled))
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

/// Groups with more members than one request may have.
pub(super) fn too_many_members(most: usize) -> Denial {
    denial(
        Code::TooManyHosts,
        format!(
            "The groups that you ask for have more than {most} hosts, the most of one request: ask for smaller groups or \
             for single hosts."
        ),
    )
}

/// More principals than one certificate may have.
pub(super) fn too_many_principals(found: usize, most: usize, groups: &[Name]) -> Denial {
    let groups: Vec<String> = groups.iter().take(SHOWN).map(|group| format!("group/{group}")).collect();
    let why = if groups.is_empty() {
        format!("ask for {most} at a time, or for a group that they are in")
    } else {
        format!(
            "ask for {most} hosts at a time, or ask the people who keep the inventory for principals = \"group\" on {}",
            groups.join(", ")
        )
    };
    let detail =
        format!("Policy allows this, but one certificate cannot name {found} places, only {most}: {why}.");
    denial(Code::TooManyHosts, detail)
}

/// Hosts of several authorities; one account of each.
pub(super) fn ask_separately<'a>(accounts: impl Iterator<Item = &'a Account>) -> Denial {
    let accounts: Vec<String> = accounts.take(SHOWN).map(ToString::to_string).collect();
    denial(
        Code::AskSeparately,
        format!(
            "Policy allows this, but these hosts trust different authorities, and a certificate is of one: ask \
             separately for {}, and for those that belong with each.",
            accounts.join(", for ")
        ),
    )
}

/// What only a host's own files could hold to its meaning.
pub(super) fn not_on_devices(action: Action, device: &Name) -> Denial {
    denial(
        Code::NotAvailable,
        format!(
            "{device} matches plain login names, where nothing could hold {action} to its limits: ask for shell, exec or \
             sftp without it."
        ),
    )
}

/// Nothing signs for these hosts. What to do stands in the log, for whoever runs the CA.
pub(super) fn no_key() -> Denial {
    denial(
        Code::NotAvailable,
        "Policy allows this, but it is not available yet, for the CA has no key that signs for these hosts: tell the CA's \
         operator."
            .into(),
    )
}

/// The name of the host or group makes no authority's name.
pub(super) fn no_authority() -> Denial {
    denial(
        Code::NotAvailable,
        "The name of these hosts is too long to have an authority of its own: tell the CA's operator.".into(),
    )
}

fn denial(code: Code, detail: String) -> Denial {
    Denial { code, detail, policies: Vec::new() }
}

/// What each of these policies forbids, and its message.
pub(super) fn forbidden<'a>(
    found: impl Iterator<Item = (String, &'a PolicyId)>,
    compiled: &Compiled,
) -> Denial {
    let mut reasons: Vec<String> = Vec::new();
    let mut policies = BTreeSet::new();
    let mut more = 0_usize;
    for (what, id) in found {
        policies.insert(id.to_string());
        if reasons.len() >= SHOWN {
            more = more.saturating_add(1);
            continue;
        }
        let why = match compiled.rules.get(id) {
            Some(Rule::Forbid(Some(message))) => message.clone(),
            Some(Rule::Forbid(None) | Rule::Permit(_)) | None => format!("policy {id} forbids it"),
        };
        reasons.push(format!("{what}: {why}"));
    }
    if more > 0 {
        reasons.push(format!("and {more} more"));
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
