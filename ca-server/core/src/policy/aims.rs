//! Whom permits are for and where they lead, as far as their scopes alone say: what narrows a list of accounts before
//! any question is put. What it leaves out no permit gives; what it leaves in is for the decision to say.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};

use cedar_policy::{EntityUid, Policy, PrincipalConstraint, ResourceConstraint};
use jit_ssh_proto::{Account, Name};

use crate::identity::{IdentityKind, VerifiedIdentity};

/// Whom a scope is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    Anyone,
    Kind(String),
    One(String),
    /// Members of a group: all, or those of one kind.
    Group(Option<String>, String),
}

/// Where a scope leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aim {
    /// Every account there is.
    Anywhere,
    /// Hosts of a group.
    Group(Name),
    /// A host.
    Host(Name),
    /// One account of a host.
    Account(Account),
}

/// The scopes of all permits for logins.
#[derive(Debug, Default)]
pub(super) struct Aims(BTreeMap<Whom, BTreeSet<Aim>>);

impl Aims {
    pub(super) fn of<'a>(permits: impl Iterator<Item = &'a Policy>) -> Self {
        let mut aims: BTreeMap<Whom, BTreeSet<Aim>> = BTreeMap::new();
        for permit in permits {
            if let Some(aim) = aim(permit) {
                aims.entry(whom(permit)).or_default().insert(aim);
            }
        }
        Self(aims)
    }

    /// Where somebody might get to.
    pub(super) fn from(&self, identity: &VerifiedIdentity) -> BTreeSet<&Aim> {
        let kind = match identity.kind() {
            IdentityKind::User => "User",
            IdentityKind::Workload => "Workload",
        };
        let one = format!("{kind}::{}/{}", identity.issuer(), identity.name());
        let groups = identity
            .groups()
            .iter()
            .flat_map(|group| [None, Some(kind.into())].map(|kind| Whom::Group(kind, group.to_string())));
        let is = [Whom::Anyone, Whom::Kind(kind.into()), Whom::One(one)];
        is.into_iter().chain(groups).filter_map(|whom| self.0.get(&whom)).flatten().collect()
    }
}

fn whom(permit: &Policy) -> Whom {
    let one_or_group = |kind: Option<String>, uid: &EntityUid| match uid.type_name().basename() {
        "Group" => Whom::Group(kind, uid.id().unescaped().into()),
        kind => Whom::One(format!("{kind}::{}", uid.id().unescaped())),
    };
    match permit.principal_constraint() {
        PrincipalConstraint::Any => Whom::Anyone,
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) => one_or_group(None, &uid),
        PrincipalConstraint::IsIn(kind, uid) => one_or_group(Some(kind.basename().into()), &uid),
        PrincipalConstraint::Is(kind) => Whom::Kind(kind.basename().into()),
    }
}

/// None for what no account is.
fn aim(permit: &Policy) -> Option<Aim> {
    match permit.resource_constraint() {
        ResourceConstraint::Any => Some(Aim::Anywhere),
        ResourceConstraint::Is(kind) => (kind.basename() == "Account").then_some(Aim::Anywhere),
        ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => {
            let id = uid.id().unescaped();
            match uid.type_name().basename() {
                "Account" => id.parse().ok().map(Aim::Account),
                "Host" => id.parse().ok().map(Aim::Host),
                "HostGroup" => id.parse().ok().map(Aim::Group),
                _ => None,
            }
        }
    }
}
