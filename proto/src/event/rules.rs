//! What a `policy.loaded` says of the difference to the set before.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

/// How one set of policies and inventory differs from the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesChange {
    /// Of what.
    pub of: Ruled,
    /// How many are new.
    pub added: u64,
    /// How many are gone.
    pub removed: u64,
    /// How many say something else.
    pub changed: u64,
    /// The first of them: `+new`, `-gone`, `~changed`.
    pub names: Vec<String>,
}

/// What a set of policies and inventory consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruled {
    /// Policies, by id.
    Policies,
    /// Hosts.
    Hosts,
    /// Groups of hosts.
    Groups,
    /// Guests.
    Guests,
}

impl RulesChange {
    /// The most names that are told.
    pub const NAMES: usize = 10;
}

impl fmt::Display for RulesChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.of {
            Ruled::Policies => "policies",
            Ruled::Hosts => "hosts",
            Ruled::Groups => "groups",
            Ruled::Guests => "guests",
        };
        write!(f, "{of} +{} -{} ~{} ({}", self.added, self.removed, self.changed, self.names.join(" "))?;
        let told = u64::try_from(self.names.len()).unwrap_or(u64::MAX);
        let all = self.added.saturating_add(self.removed).saturating_add(self.changed);
        f.write_str(if all > told { " …)" } else { ")" })
    }
}
