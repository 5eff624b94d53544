//! The signers of every authority that signs for people: `user`, and one for each host or group of devices that match
//! plain logins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jit_ssh_core::authority::Authority;
use jit_ssh_core::inventory::Inventory;
use jit_ssh_proto::Name;

use super::Signer;

/// Signers by the names of their authorities.
#[derive(Clone, Default)]
pub struct Signers(BTreeMap<Name, Arc<dyn Signer>>);

impl Signers {
    /// The signer of an authority, if this CA has its key.
    #[must_use]
    pub fn get(&self, authority: &Name) -> Option<&Arc<dyn Signer>> {
        self.0.get(authority)
    }

    /// The hosts and groups of devices that there is a key for.
    #[must_use]
    pub fn devices(&self) -> BTreeSet<Name> {
        self.0.keys().filter_map(Authority::device_of).filter_map(|device| device.parse().ok()).collect()
    }

    /// The hosts and groups whose principals are plain logins and for which there is no key: nothing can be issued for
    /// them.
    #[must_use]
    pub fn missing<'a>(&self, inventory: &'a Inventory) -> BTreeSet<&'a Name> {
        let have = self.devices();
        let devices = inventory.hosts().filter_map(|host| host.authority());
        devices.filter(|device| !have.contains(*device)).collect()
    }

    /// Says in the log which are missing, and what to do.
    pub(crate) fn warn_of_missing(&self, inventory: &Inventory) {
        for device in self.missing(inventory) {
            tracing::warn!(name = %device, "principals = \"login\" without a key: nothing is issued for it; make one with `jit-ssh-ca key add user-{device}` and restart");
        }
    }
}

impl FromIterator<Arc<dyn Signer>> for Signers {
    fn from_iter<I: IntoIterator<Item = Arc<dyn Signer>>>(signers: I) -> Self {
        Self(signers.into_iter().map(|signer| (signer.authority().name().clone(), signer)).collect())
    }
}
