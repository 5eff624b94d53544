//! The inventory as scopes see it: which groups have hosts, which share one, which logins and labels there are.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::Name;

use super::read::Which;
use crate::inventory::Inventory;

/// What is worked out once.
pub(super) struct Land {
    /// Each group with itself and those above it.
    above: BTreeMap<Name, BTreeSet<Name>>,
    /// Groups that share a host, each with itself too if it has one.
    together: BTreeSet<(Name, Name)>,
    /// Every login that some host offers.
    pub(super) logins: BTreeSet<Name>,
    /// Every label that some host has.
    pub(super) labels: BTreeSet<String>,
    /// Whether there is any account at all.
    pub(super) occupied: bool,
}

impl Land {
    pub(super) fn of(inventory: &Inventory) -> Self {
        let mut above = BTreeMap::new();
        for (name, _) in inventory.groups() {
            let mut found = BTreeSet::new();
            let mut queue = Vec::from([name.clone()]);
            while let Some(group) = queue.pop() {
                queue.extend(inventory.group(&group).into_iter().flatten().cloned());
                found.insert(group);
            }
            above.insert(name.clone(), found);
        }
        let (mut logins, mut labels, mut occupied) = (BTreeSet::new(), BTreeSet::new(), false);
        let mut places: BTreeSet<BTreeSet<Name>> = BTreeSet::new();
        for host in inventory.hosts() {
            occupied |= !host.logins().is_empty();
            for login in host.logins() {
                if !logins.contains(login) {
                    logins.insert(login.clone());
                }
            }
            for (label, _) in host.labels() {
                if !labels.contains(label) {
                    labels.insert(label.into());
                }
            }
            if !places.contains(host.groups()) {
                places.insert(host.groups().clone());
            }
        }
        let mut together = BTreeSet::new();
        for groups in places {
            let all: BTreeSet<&Name> = groups.iter().filter_map(|g| above.get(g)).flatten().collect();
            for one in &all {
                together.extend(all.iter().map(|other| ((*one).clone(), (*other).clone())));
            }
        }
        Self { above, together, logins, labels, occupied }
    }

    /// Whether a host is in the group, directly or not.
    pub(super) fn has_hosts(&self, group: &str) -> bool {
        let Ok(name) = group.parse::<Name>() else { return false };
        self.together.contains(&(name.clone(), name))
    }

    /// Whether a group is the other, or is in it.
    fn is_within(&self, group: &str, other: &str) -> bool {
        let above = group.parse::<Name>().ok().and_then(|name| self.above.get(&name));
        above.is_some_and(|above| above.iter().any(|name| name.as_str() == other))
    }

    fn host_is_in(&self, inventory: &Inventory, host: &str, group: &str) -> bool {
        let Ok(name) = host.parse::<Name>() else { return false };
        let groups = inventory.host(&name).map(|host| host.groups().clone()).unwrap_or_default();
        groups.iter().any(|direct| self.is_within(direct.as_str(), group))
    }

    /// Whether everything that the second is about, the first is about too.
    pub(super) fn covers(&self, inventory: &Inventory, outer: &Which, inner: &Which) -> bool {
        let host_of = |account: &str| account.rsplit_once('@').map(|(_, host)| String::from(host));
        match (outer, inner) {
            (Which::Any, Which::Any | Which::Account(_) | Which::Host(_) | Which::HostGroup(_)) => true,
            (Which::HostGroup(group), Which::HostGroup(other)) => self.is_within(other, group),
            (Which::HostGroup(group), Which::Host(host)) => self.host_is_in(inventory, host, group),
            (Which::HostGroup(group), Which::Account(account)) => {
                host_of(account).is_some_and(|host| self.host_is_in(inventory, &host, group))
            }
            (Which::Host(one), Which::Host(other)) | (Which::Account(one), Which::Account(other)) => {
                one == other
            }
            (Which::Host(host), Which::Account(account)) => host_of(account).as_deref() == Some(host),
            (Which::Host(_) | Which::Account(_), Which::HostGroup(_))
            | (Which::Account(_), Which::Host(_))
            | (Which::Host(_) | Which::HostGroup(_) | Which::Account(_), Which::Any)
            | (Which::Other, _)
            | (_, Which::Other) => false,
        }
    }

    /// Whether some account is in both.
    pub(super) fn overlap(&self, inventory: &Inventory, one: &Which, other: &Which) -> bool {
        if let (Which::HostGroup(a), Which::HostGroup(b)) = (one, other) {
            return match (a.parse(), b.parse()) {
                (Ok(a), Ok(b)) => self.together.contains(&(a, b)),
                (Ok(_) | Err(_), _) => false,
            };
        }
        self.covers(inventory, one, other) || self.covers(inventory, other, one)
    }
}
