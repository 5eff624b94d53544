//! What is worth a second look in policies that load: names that nothing has, policies that can never count, and rights
//! that are more than they look. Pure: what the files say comes in, findings go out. Nothing here decides anything.

mod actions;
mod approvers;
mod conditions;
mod evaluate;
mod guests;
mod hosts;
mod land;
mod literals;
mod mentioned;
mod names;
mod reach;
mod read;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::Span;

use self::land::Land;
pub use self::mentioned::{Mentioned, mentioned};
use self::read::Read;
use super::PolicySource;
use crate::identity::IssuerRules;
use crate::inventory::{Inventory, InventorySource};

/// What else policies depend on: what of `ca.toml` they are written against.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The identity providers; none if they are not known, and then nothing is said about them.
    pub issuers: Option<&'a [IssuerRules]>,
    /// The files that the inventory was read from, for the places of what is found in them; none if nobody has them.
    pub inventory: &'a [InventorySource],
    /// The longest grant (`limits.duration`).
    pub max_duration: Span,
    /// What an offer without `@ttl` gives (`limits.ttl`).
    pub default_ttl: Span,
    /// Today in the CA's zone, `2026-11-22`; none if it is not to matter.
    pub today: Option<&'a str>,
}

/// What sort of finding it is. The text form is stable: programs may rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lint {
    /// A name that neither inventory nor `ca.toml` has.
    UnknownName,
    /// A group of people that no issuer maps anybody to.
    UnmappedGroup,
    /// `@approvals` of a group that no issuer maps people to.
    UnmappedApprovers,
    /// A policy whose scope nothing matches.
    Unreachable,
    /// A permit that a forbid without conditions takes back whole.
    Shadowed,
    /// A group of hosts that no host is in.
    EmptyHostGroup,
    /// A host that takes plain logins.
    LoginStyle,
    /// A forbid of less than what somebody's shell can do anyway.
    LesserForbidden,
    /// `sftp`, or `exec` of any command, without `shell`.
    WorthAShell,
    /// A `like` that more fits than it seems to.
    OpenLike,
    /// A forbid of certain commands.
    EvadableForbid,
    /// An hour, minute or day of the week that there is not.
    OutOfRange,
    /// People who could approve for themselves by a second identity.
    SecondIdentity,
    /// A permit for logins and for the CA's own verbs.
    MixedVerbs,
    /// `@ttl` above `limits.duration`.
    TtlAboveMaximum,
    /// A guest whose time has passed.
    GuestEnded,
    /// A file beside those that are read, which nobody reads. It is for whoever reads the folders to find.
    IgnoredFile,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Most likely a mistake.
    Warning,
    /// Right perhaps, but good to know.
    Note,
}

impl Lint {
    /// Every sort.
    pub const ALL: [Self; 17] = [
        Self::UnknownName,
        Self::UnmappedGroup,
        Self::UnmappedApprovers,
        Self::Unreachable,
        Self::Shadowed,
        Self::EmptyHostGroup,
        Self::LoginStyle,
        Self::LesserForbidden,
        Self::WorthAShell,
        Self::OpenLike,
        Self::EvadableForbid,
        Self::OutOfRange,
        Self::SecondIdentity,
        Self::MixedVerbs,
        Self::TtlAboveMaximum,
        Self::GuestEnded,
        Self::IgnoredFile,
    ];

    /// The stable text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownName => "unknown-name",
            Self::UnmappedGroup => "unmapped-group",
            Self::UnmappedApprovers => "unmapped-approvers",
            Self::Unreachable => "unreachable",
            Self::Shadowed => "shadowed",
            Self::EmptyHostGroup => "empty-host-group",
            Self::LoginStyle => "login-style",
            Self::LesserForbidden => "lesser-forbidden",
            Self::WorthAShell => "worth-a-shell",
            Self::OpenLike => "open-like",
            Self::EvadableForbid => "evadable-forbid",
            Self::OutOfRange => "out-of-range",
            Self::SecondIdentity => "second-identity",
            Self::MixedVerbs => "mixed-verbs",
            Self::TtlAboveMaximum => "ttl-above-maximum",
            Self::GuestEnded => "guest-ended",
            Self::IgnoredFile => "ignored-file",
        }
    }

    /// How much it matters.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::UnknownName
            | Self::UnmappedGroup
            | Self::UnmappedApprovers
            | Self::Unreachable
            | Self::Shadowed
            | Self::LesserForbidden
            | Self::OpenLike
            | Self::EvadableForbid
            | Self::OutOfRange
            | Self::SecondIdentity
            | Self::MixedVerbs
            | Self::TtlAboveMaximum
            | Self::IgnoredFile => Severity::Warning,
            Self::EmptyHostGroup | Self::LoginStyle | Self::WorthAShell | Self::GuestEnded => Severity::Note,
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What sort it is.
    pub lint: Lint,
    /// Where, if it is in a policy or a guest's entry: file, line and column, these counted from 1.
    pub place: Option<(String, usize, usize)>,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// Looks through policies that load.
///
/// Cedar's parser recurses: call it on a thread with a large stack (16 MiB), as [`super::Rules::load`].
#[must_use]
pub fn review(sources: &[PolicySource], inventory: &Inventory, around: &Surroundings<'_>) -> Vec<Finding> {
    let policies = Read::all(sources, around.default_ttl);
    let land = Land::of(inventory);
    let mut findings = Vec::new();
    names::review(&policies, inventory, &land, around, &mut findings);
    reach::review(&policies, inventory, &land, around, &mut findings);
    actions::review(&policies, inventory, &land, &mut findings);
    conditions::review(&policies, around, &mut findings);
    approvers::review(&policies, inventory, around, &mut findings);
    hosts::review(inventory, &land, &mut findings);
    guests::review(inventory, around, &mut findings);
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (f.place.is_none(), f.place.clone(), f.lint, f.message.clone());
        key(a).cmp(&key(b))
    });
    findings.dedup();
    findings
}
