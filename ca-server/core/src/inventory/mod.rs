//! Which hosts, groups and accounts there are: what the inventory offers exists, nothing else does. And the guests whom
//! somebody answers for.
//!
//! A million hosts have few different sets of groups, logins and labels: each set is held once.

mod address;
mod build;
mod by_name;
mod changes;
mod entry;
mod error;
mod groups;
mod guests;
mod members;
mod plain;
mod read;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use jit_ssh_proto::{Account, Name, Place};

pub use self::entry::PrincipalStyle;
pub use self::error::InventoryError;
pub use self::guests::{Guest, Sponsor};
pub use self::members::Members;
pub use self::read::MAX_FILE_BYTES;

use self::by_name::ByName;
pub(crate) use self::changes::difference;
use self::groups::Groups;
pub(crate) use self::guests::Guests;
use self::read::Part;
use crate::identity::VerifiedIdentity;

/// One `inventory/*.toml` file, as written.
#[derive(Clone, Debug)]
pub struct InventorySource {
    /// The file's name, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// Every host, group and guest, checked.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// By name.
    hosts: Vec<Record>,
    by_name: ByName,
    kinds: Vec<KindOfHost>,
    tails: Vec<TailOfHost>,
    groups: Groups,
    /// The addresses of all hosts, one after the other.
    addresses: String,
    guests: Guests,
}

/// What is a host's own; the rest it shares.
#[derive(Clone, Debug)]
struct Record {
    name: Name,
    kind: u32,
    tail: u32,
    /// Empty for none.
    address: Part,
}

/// What hosts of the same groups, logins and principals have in common.
#[derive(Clone, Debug)]
struct KindOfHost {
    groups: BTreeSet<Name>,
    /// These and theirs.
    above: BTreeSet<Name>,
    logins: BTreeSet<Name>,
    principals: PrincipalStyle,
    group_principals: BTreeSet<Name>,
    authority: Authority,
    /// The numbers of these hosts, in order.
    hosts: Vec<u32>,
}

/// Which user authority signs for a kind of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Authority {
    /// The one for all who can tell places apart.
    Shared,
    /// The host's own.
    Own,
    /// This group's.
    Group(Name),
}

impl KindOfHost {
    /// Whether both say the same, whichever hosts are of them.
    fn same(&self, other: &Self) -> bool {
        let said = |of: &Self| (of.principals, of.authority.clone());
        (&self.groups, &self.above, &self.logins) == (&other.groups, &other.above, &other.logins)
            && self.group_principals == other.group_principals
            && said(self) == said(other)
    }
}

/// What hosts of the same labels and targets have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TailOfHost {
    /// By name.
    labels: Box<[(String, String)]>,
    fronts: BTreeSet<Name>,
}

/// A host and what it offers.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    record: &'a Record,
    kind: &'a KindOfHost,
    tail: &'a TailOfHost,
    addresses: &'a str,
}

impl<'a> Host<'a> {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'a Name {
        &self.record.name
    }

    /// The groups it is in directly.
    #[must_use]
    pub fn groups(self) -> &'a BTreeSet<Name> {
        &self.kind.groups
    }

    /// Every group it is in, nested ones included.
    #[must_use]
    pub fn all_groups(self) -> &'a BTreeSet<Name> {
        &self.kind.above
    }

    /// Labels, by name.
    pub fn labels(self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
        self.tail.labels.iter().map(|(name, of)| (name.as_str(), of.as_str()))
    }

    /// Every login it offers: its own and those of its groups, nested ones too.
    #[must_use]
    pub fn logins(self) -> &'a BTreeSet<Name> {
        &self.kind.logins
    }

    /// What its principals are.
    #[must_use]
    pub fn principals(self) -> PrincipalStyle {
        self.kind.principals
    }

    /// The groups whose principals (`mode:login@group/NAME`) it answers to, nested ones included.
    #[must_use]
    pub fn group_principals(self) -> &'a BTreeSet<Name> {
        &self.kind.group_principals
    }

    /// Where it can match nothing but logins: the host or group whose user authority (`user-NAME`) signs for it.
    #[must_use]
    pub fn authority(self) -> Option<&'a Name> {
        match &self.kind.authority {
            Authority::Shared => None,
            Authority::Own => Some(self.name()),
            Authority::Group(name) => Some(name),
        }
    }

    /// Where it is reached.
    #[must_use]
    pub fn address(self) -> Option<&'a str> {
        let Part { start, len } = self.record.address;
        let (start, len) = (usize::try_from(start).ok()?, usize::try_from(len).ok()?);
        self.addresses.get(start..start.checked_add(len)?).filter(|text| !text.is_empty())
    }

    /// The hosts it is a bastion for.
    #[must_use]
    pub fn fronts(self) -> &'a BTreeSet<Name> {
        &self.tail.fronts
    }
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("name", self.name())
            .field("groups", self.groups())
            .field("logins", self.logins())
            .field("principals", &self.principals())
            .finish_non_exhaustive()
    }
}

impl Inventory {
    /// Merges files: each host, group and guest stands in one place only, groups must exist and have no circle, and
    /// nothing contradicts anything.
    ///
    /// # Errors
    /// What is wrong, by place; the first twenty.
    pub fn read(sources: &[InventorySource]) -> Result<Self, Vec<InventoryError>> {
        build::inventory(sources)
    }

    /// The host of an account, if the inventory offers that account: an account of one host, with a login that the
    /// host or one of its groups names.
    #[must_use]
    pub fn account(&self, account: &Account) -> Option<Host<'_>> {
        match &account.place {
            Place::Host(name) => self.host(name).filter(|host| host.logins().contains(&account.login)),
            Place::Group(_) => None,
        }
    }

    /// The host of that name.
    #[must_use]
    pub fn host(&self, name: &Name) -> Option<Host<'_>> {
        self.view(self.by_name.find(&self.hosts, name)?)
    }

    /// Every host, by name.
    pub fn hosts(&self) -> impl Iterator<Item = Host<'_>> {
        self.hosts.iter().filter_map(|record| self.view(record))
    }

    /// Every host whose name is this or after it, by name.
    pub fn hosts_from(&self, name: &str) -> impl Iterator<Item = Host<'_>> + use<'_> {
        let first = self.hosts.partition_point(|host| host.name.as_str() < name);
        self.hosts.get(first..).unwrap_or_default().iter().filter_map(|record| self.view(record))
    }

    /// How many hosts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The groups that a group is in directly.
    #[must_use]
    pub fn group(&self, name: &Name) -> Option<&BTreeSet<Name>> {
        self.groups.get(name).map(|group| &group.parents)
    }

    /// Every group with the groups it is in directly, by name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&Name, &BTreeSet<Name>)> {
        self.groups.iter().map(|(name, group)| (name, &group.parents))
    }

    /// The hosts that are in a group, directly or by nesting, by name; none if there is no such group.
    #[must_use]
    pub fn members(&self, group: &Name) -> Members<'_> {
        let kinds = self.groups.get(group).map(|group| group.kinds.as_slice()).unwrap_or_default();
        let hosts = |kind: &u32| Some(self.kinds.get(usize::try_from(*kind).ok()?)?.hosts.as_slice());
        Members::new(self, kinds.iter().filter_map(hosts))
    }

    /// The same, from the first whose name is this or after it.
    #[must_use]
    pub fn members_from(&self, group: &Name, name: &str) -> Members<'_> {
        let first = self.hosts.partition_point(|host| host.name.as_str() < name);
        let first = u32::try_from(first).unwrap_or(u32::MAX);
        let kinds = self.groups.get(group).map(|group| group.kinds.as_slice()).unwrap_or_default();
        let hosts = |kind: &u32| {
            let hosts = self.kinds.get(usize::try_from(*kind).ok()?)?.hosts.as_slice();
            hosts.get(hosts.partition_point(|host| *host < first)..)
        };
        Members::new(self, kinds.iter().filter_map(hosts))
    }

    /// What a group says of its members' principals.
    #[must_use]
    pub fn principals_of_group(&self, group: &Name) -> Option<PrincipalStyle> {
        self.groups.get(group)?.principals
    }

    /// The guest entries that are for this identity: by name, by e-mail address, or both.
    pub fn guest(&self, identity: &VerifiedIdentity) -> impl Iterator<Item = &Guest> {
        self.guests.of(identity)
    }

    /// Every guest, by issuer.
    pub fn guests(&self) -> impl Iterator<Item = &Guest> {
        self.guests.all()
    }

    /// The guests, apart from all else.
    pub(crate) fn guest_book(&self) -> &Guests {
        &self.guests
    }

    fn at(&self, number: u32) -> Option<Host<'_>> {
        self.view(self.hosts.get(usize::try_from(number).ok()?)?)
    }

    fn view<'a>(&'a self, record: &'a Record) -> Option<Host<'a>> {
        let kind = self.kinds.get(usize::try_from(record.kind).ok()?)?;
        let tail = self.tails.get(usize::try_from(record.tail).ok()?)?;
        Some(Host { record, kind, tail, addresses: &self.addresses })
    }
}
