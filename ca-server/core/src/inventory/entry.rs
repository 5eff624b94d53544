//! What stands in an inventory file, as it is written there.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::Name;
use serde::Deserialize;
use serde_spanned::Spanned;

/// One `inventory/*.toml` file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEntries {
    #[serde(default)]
    pub(super) host: Vec<Spanned<HostEntry>>,
    #[serde(default)]
    pub(super) group: Vec<Spanned<GroupEntry>>,
    #[serde(default)]
    pub(super) guest: Vec<Spanned<GuestEntry>>,
}

/// `[[host]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostEntry {
    /// The name in principals and policies.
    pub(super) name: Name,
    /// Groups it is in.
    #[serde(default)]
    pub(super) groups: Vec<Name>,
    /// Free labels, tags of the host in policies.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    /// Logins it offers, besides those of its groups.
    #[serde(default)]
    pub(super) logins: Vec<Name>,
    /// What its principals are.
    #[serde(default)]
    pub(super) principals: Option<PrincipalStyle>,
    /// Where it is reached, `ADDRESS[:PORT]`, if its name does not say.
    #[serde(default)]
    pub(super) address: Option<String>,
    /// The hosts it is a bastion for.
    #[serde(default)]
    pub(super) fronts: Vec<Name>,
}

/// `[[group]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupEntry {
    /// The name in principals and policies.
    pub(super) name: Name,
    /// Logins that every member offers.
    #[serde(default)]
    pub(super) logins: Vec<Name>,
    /// Groups that this group is in.
    #[serde(default)]
    pub(super) groups: Vec<Name>,
    /// What its members' principals are.
    #[serde(default)]
    pub(super) principals: Option<PrincipalStyle>,
}

/// `[[guest]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GuestEntry {
    /// The alias of the issuer that vouches for them.
    pub(super) issuer: Name,
    /// Their name there, or
    #[serde(default)]
    pub(super) name: Option<Name>,
    /// their verified e-mail address.
    #[serde(default)]
    pub(super) email: Option<String>,
    /// Who answers for them: `ISSUER/NAME`.
    pub(super) sponsor: String,
    /// Their last day: `2026-12-31`.
    pub(super) until: String,
    /// The groups of people that they are in until then.
    #[serde(default)]
    pub(super) groups: Vec<Name>,
}

/// What the principals of a host are.
///
/// In the order of how much they narrow a request: where groups differ and the host says nothing, the last wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalStyle {
    /// `mode:login@host`
    #[default]
    Host,
    /// `mode:login@host`, and `mode:login@group/NAME` for its groups.
    Group,
    /// Plain `login`, for devices that can match nothing else; signed by an authority of its own.
    Login,
}
