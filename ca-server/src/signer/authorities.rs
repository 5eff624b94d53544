//! The signers of every authority that signs for people: `user`, and one for each host or group of devices that match
//! plain logins.

use std::collections::BTreeMap;
use std::sync::Arc;

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

    /// The names of the authorities.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }
}

impl FromIterator<Arc<dyn Signer>> for Signers {
    fn from_iter<I: IntoIterator<Item = Arc<dyn Signer>>>(signers: I) -> Self {
        Self(signers.into_iter().map(|signer| (signer.authority().name().clone(), signer)).collect())
    }
}
