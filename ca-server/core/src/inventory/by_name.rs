//! Which host has a name: found in one step, so that a decision costs the same among a hundred hosts and a million. By
//! bisection it would touch some twenty names all over the memory.

use core::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use jit_ssh_proto::Name;

use super::Record;

/// The places of hosts in the list of hosts, by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct ByName {
    hasher: DefaultHashBuilder,
    places: HashTable<u32>,
}

impl ByName {
    /// Of hosts that are named once each.
    pub(super) fn of(hosts: &[Record]) -> Self {
        let hasher = DefaultHashBuilder::default();
        let hash = |at: &u32| record(hosts, *at).map_or(0, |host| hasher.hash_one(&host.name));
        let mut places = HashTable::with_capacity(hosts.len());
        for (at, host) in (0..).zip(hosts) {
            places.insert_unique(hasher.hash_one(&host.name), at, hash);
        }
        Self { hasher, places }
    }

    /// The host of that name, among those that this was made of.
    pub(super) fn find<'a>(&self, hosts: &'a [Record], name: &Name) -> Option<&'a Record> {
        let same = |at: &u32| record(hosts, *at).is_some_and(|host| host.name == *name);
        record(hosts, *self.places.find(self.hasher.hash_one(name), same)?)
    }
}

fn record(hosts: &[Record], at: u32) -> Option<&Record> {
    hosts.get(usize::try_from(at).ok()?)
}
