//! Which hosts, groups and accounts there are: what the inventory offers exists, nothing else does.

mod address;
mod build;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::{Account, Name, Place};
use serde::Deserialize;

/// One `inventory/*.toml` file, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryFile {
    /// `[[host]]`
    #[serde(default)]
    pub host: Vec<HostEntry>,
    /// `[[group]]`
    #[serde(default)]
    pub group: Vec<GroupEntry>,
}

/// `[[host]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostEntry {
    /// The name in principals and policies.
    pub name: Name,
    /// Groups it is in.
    #[serde(default)]
    pub groups: Vec<Name>,
    /// Free labels, tags of the host in policies.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Logins it offers, besides those of its groups.
    #[serde(default)]
    pub logins: Vec<Name>,
    /// What its principals are.
    #[serde(default)]
    pub principals: Option<PrincipalStyle>,
    /// Where it is reached, `ADDRESS[:PORT]`, if its name does not say.
    #[serde(default)]
    pub address: Option<String>,
    /// The hosts it is a bastion for.
    #[serde(default)]
    pub fronts: Vec<Name>,
}

/// `[[group]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupEntry {
    /// The name in principals and policies.
    pub name: Name,
    /// Logins that every member offers.
    #[serde(default)]
    pub logins: Vec<Name>,
    /// Groups that this group is in.
    #[serde(default)]
    pub groups: Vec<Name>,
    /// What its members' principals are.
    #[serde(default)]
    pub principals: Option<PrincipalStyle>,
}

/// What the principals of a host are.
///
/// In the order of how much they narrow a request: where groups differ and the host says nothing, the last wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalStyle {
    /// `mode:login@host`
    #[default]
    Host,
    /// `mode:login@group/NAME`
    Group,
    /// Plain `login`, for devices that can match nothing else; signed by an authority of its own.
    Login,
}

/// Every host and group, checked.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    hosts: BTreeMap<Name, Host>,
    /// Group → the groups it is in.
    groups: BTreeMap<Name, BTreeSet<Name>>,
}

/// A host and what it offers.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name.
    pub name: Name,
    /// The groups it is in directly.
    pub groups: BTreeSet<Name>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Every login it offers: its own and those of its groups, nested ones too.
    pub logins: BTreeSet<Name>,
    /// What its principals are.
    pub principals: PrincipalStyle,
    /// Where it is reached.
    pub address: Option<String>,
    /// The hosts it is a bastion for.
    pub fronts: BTreeSet<Name>,
}

/// What is wrong with an inventory: which file, which entry, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct InventoryError {
    /// The file.
    pub file: String,
    /// What is wrong there.
    pub what: String,
}

impl Inventory {
    /// Merges files (name, contents): a host or group stands in one place only; groups must exist and have no cycle.
    ///
    /// # Errors
    /// The first entry that is wrong.
    pub fn build(files: &[(String, InventoryFile)]) -> Result<Self, InventoryError> {
        build::inventory(files)
    }

    /// The host of an account, if the inventory offers that account: an account of one host, with a login that the
    /// host or one of its groups names.
    #[must_use]
    pub fn account(&self, account: &Account) -> Option<&Host> {
        match &account.place {
            Place::Host(name) => self.hosts.get(name).filter(|host| host.logins.contains(&account.login)),
            Place::Group(_) => None,
        }
    }

    /// The groups that a group is in directly.
    #[must_use]
    pub fn group(&self, name: &Name) -> Option<&BTreeSet<Name>> {
        self.groups.get(name)
    }

    /// The host of that name.
    #[must_use]
    pub fn host(&self, name: &Name) -> Option<&Host> {
        self.hosts.get(name)
    }

    /// Every host, by name.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// Every group with the groups it is in, by name.
    pub fn groups(&self) -> impl Iterator<Item = (&Name, &BTreeSet<Name>)> {
        self.groups.iter()
    }
}
