//! Authorities: a CA key and the one kind of certificate it may sign (invariant 8).

use jit_ssh_proto::{Name, UserKey};
use ssh_key::Signature;

use crate::proof::Claim;

/// The authority of hosts that have files of ours, and the beginning of the names of all others that sign for people.
pub const USER: &str = "user";

/// The kind of certificate that an authority signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertKind {
    /// For people and workloads: `SSH_CERT_TYPE_USER` (1).
    User,
    /// For hosts: `SSH_CERT_TYPE_HOST` (2).
    Host,
}

impl CertKind {
    /// The type field of a certificate (`PROTOCOL.certkeys`).
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::User => 1,
            Self::Host => 2,
        }
    }

    /// The word in the trust bundle.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Host => "host",
        }
    }
}

/// The public side of an authority. The private side is a signer's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    name: Name,
    kind: CertKind,
    key: UserKey,
}

impl Authority {
    /// An authority of one kind.
    #[must_use]
    pub fn new(name: Name, kind: CertKind, key: UserKey) -> Self {
        Self { name, kind, key }
    }

    /// `user`, `host` or `user-NAME`.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub fn kind(&self) -> CertKind {
        self.kind
    }

    /// Its public key.
    #[must_use]
    pub fn key(&self) -> &UserKey {
        &self.key
    }

    /// The host or the group of hosts of an authority that signs plain logins: NAME of `user-NAME`.
    #[must_use]
    pub fn device_of(name: &Name) -> Option<&str> {
        name.as_str().strip_prefix(USER)?.strip_prefix('-').filter(|device| !device.is_empty())
    }

    /// The same of this one.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        Self::device_of(&self.name)
    }

    /// The claim that this is the authority's signature over these bytes.
    pub(crate) fn claim(&self, bytes: &[u8], signature: &Signature) -> Claim {
        Claim::new(self.key.clone(), bytes.to_vec(), signature.clone())
    }
}
