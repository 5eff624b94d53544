//! What the annotations of a policy say: its name, its message, and the terms of its offer (DESIGN 5).

use alloc::format;
use alloc::string::String;

use cedar_policy::{Effect, Policy};
use jit_ssh_proto::{Name, Span, Text};

use crate::position::closest;

/// What a permit demands and limits, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// `@ttl`, or the configured default: what it says, which the limit of the rules may shorten.
    pub(super) ttl: Span,
    /// `@approvals`
    pub(super) approvals: Option<Approvals>,
    /// `@source("pin")`
    pub(super) pin_source: bool,
    /// `@verify`
    pub(super) verify: bool,
    /// `@break_glass`: an offer only under break-glass.
    pub(super) break_glass: bool,
    /// `@notify`: who is told when the offer is taken.
    pub(super) notify: Option<String>,
    /// `@title`: what the offer is for, in the words of who wrote it.
    pub(super) title: Option<String>,
}

/// `@approvals("1 of sre-leads")`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Approvals {
    /// How many people.
    pub(super) count: u8,
    /// Of which group.
    pub(super) group: Name,
}

/// A policy as the decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// An offer.
    Permit(Offer),
    /// A refusal, with its `@message`.
    Forbid(Option<String>),
}

/// Everything that the annotations of one policy say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Annotations {
    /// `@id`
    pub(super) id: Option<Name>,
    pub(super) rule: Rule,
}

/// Which annotation is wrong, and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AnnotationError {
    pub(super) name: String,
    pub(super) what: String,
}

/// The most people that one offer may ask for.
const MAX_APPROVALS: u8 = 9;

/// Reads the annotations of a policy.
///
/// # Errors
/// The first annotation that is unknown, malformed, or on the wrong kind of policy.
pub(super) fn read(policy: &Policy, default_ttl: Span) -> Result<Annotations, AnnotationError> {
    let effect = policy.effect();
    let mut id = None;
    let mut message = None;
    let mut offer = Offer {
        ttl: default_ttl,
        approvals: None,
        pin_source: false,
        verify: false,
        break_glass: false,
        notify: None,
        title: None,
    };
    for (name, value) in policy.annotations() {
        let wrong = |what: String| AnnotationError { name: name.into(), what };
        let terms_of_a_permit =
            matches!(name, "ttl" | "approvals" | "source" | "verify" | "break_glass" | "notify");
        if terms_of_a_permit && effect == Effect::Forbid {
            return Err(wrong(format!("@{name} is a term of an offer: only a permit has one")));
        }
        match name {
            "id" => {
                id = Some(value.parse().map_err(|e| wrong(format!("@id {value:?} {e}")))?);
            }
            "ttl" => {
                offer.ttl = value.parse().map_err(|e| wrong(format!("@ttl {value:?} {e}")))?;
            }
            "message" => message = Some(visible(name, value).map_err(wrong)?),
            "title" => offer.title = Some(visible(name, value).map_err(wrong)?),
            "notify" => offer.notify = Some(visible(name, value).map_err(wrong)?),
            "approvals" => offer.approvals = Some(approvals(value).map_err(wrong)?),
            "source" if value == "pin" => offer.pin_source = true,
            "source" => return Err(wrong(format!("@source {value:?} is not known: write @source(\"pin\")"))),
            "verify" | "break_glass" if !value.is_empty() => {
                return Err(wrong(format!("@{name} takes no value: write @{name}")));
            }
            "verify" => offer.verify = true,
            "break_glass" => offer.break_glass = true,
            _ => return Err(wrong(unknown(name))),
        }
    }
    let rule = match effect {
        Effect::Permit => Rule::Permit(offer),
        Effect::Forbid => Rule::Forbid(message),
    };
    Ok(Annotations { id, rule })
}

/// Every annotation that means something.
const KNOWN: [&str; 9] =
    ["id", "title", "message", "ttl", "approvals", "source", "verify", "notify", "break_glass"];

fn unknown(name: &str) -> String {
    match closest(name, KNOWN) {
        Some(meant) => format!("@{name} is not known: did you mean @{meant}?"),
        None => {
            let (last, others) = KNOWN.split_last().map_or(("", String::new()), |(l, o)| (*l, o.join(", ")));
            format!("@{name} is not known: use {others} or {last}")
        }
    }
}

fn visible(name: &str, value: &str) -> Result<String, String> {
    let text: Text = value.parse().map_err(|e| format!("@{name} {e}"))?;
    if text.as_str().trim().is_empty() { Err(format!("@{name} says nothing")) } else { Ok(text.into()) }
}

fn approvals(value: &str) -> Result<Approvals, String> {
    let wrong = || {
        format!(
            "@approvals {value:?} is not understood: write \"N of GROUP\" with N from 1 to {MAX_APPROVALS}, as in \
             \"1 of sre-leads\""
        )
    };
    let (count, group) = value.split_once(" of ").ok_or_else(wrong)?;
    let digit = count.len() == 1 && count.bytes().all(|b| b.is_ascii_digit());
    let count: u8 = count.parse().map_err(|_| wrong())?;
    if !digit || !(1..=MAX_APPROVALS).contains(&count) {
        return Err(wrong());
    }
    Ok(Approvals { count, group: group.parse().map_err(|_| wrong())? })
}
