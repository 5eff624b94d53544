//! What each claim may become. A claim is taken exactly as it is or not at all: nothing is stripped, folded, or cut at
//! an `@` to make it fit (invariant 4).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::{Code, Name, Problem, Text};
use serde_json::Value;

use super::claims::wrong_shape;
use super::{Claims, derived};

/// The longest `sub` (OpenID Connect Core 1.0, section 2).
const MAX_SUB_CHARS: usize = 255;
/// The longest address (RFC 5321, 4.5.3.1.3, less the angle brackets).
const MAX_EMAIL_BYTES: usize = 254;
/// The most values of the groups claim that are looked at.
const MAX_GROUPS: usize = 1000;

/// A subject: 1 to 255 characters that can be seen.
pub(super) fn subject(sub: &str) -> Result<&str, Problem> {
    let visible = sub.parse::<Text>().is_ok() && !sub.starts_with(' ') && !sub.ends_with(' ');
    let odd_space = sub.chars().any(|c| c.is_whitespace() && c != ' ');
    if visible && !odd_space && (1..=MAX_SUB_CHARS).contains(&sub.chars().count()) {
        Ok(sub)
    } else {
        Err(Problem::new(
            Code::TokenSubject,
            "sub is not 1 to 255 visible characters: the identity provider must send such a one.",
        ))
    }
}

/// The address, if it is verified: if `email_verified` is the JSON value true and no other.
pub(super) fn email(claims: &Claims) -> Result<Option<&str>, Problem> {
    if claims.email_verified != Some(Value::Bool(true)) {
        return Ok(None);
    }
    let Some(value) = &claims.email else { return Ok(None) };
    let address = value.as_str().filter(|text| {
        let whole =
            text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        let visible = text.parse::<Text>().is_ok() && !text.contains(char::is_whitespace);
        whole && visible && !text.ends_with('@') && text.len() <= MAX_EMAIL_BYTES
    });
    address.map(Some).ok_or_else(|| wrong_shape("email", "an address"))
}

/// Where domains are listed, a verified address in one of them is demanded.
pub(super) fn check_domain(allowed: &[String], claims: &Claims, email: Option<&str>) -> Result<(), Problem> {
    if allowed.is_empty() {
        return Ok(());
    }
    let Some(email) = email else {
        let detail = if claims.email.is_none() {
            "The ID token has no e-mail address, and this issuer's people must have one: ask for the scope \"email\"."
        } else {
            "The identity provider has not verified your e-mail address (email_verified is not true): verify it there."
        };
        return Err(Problem::new(Code::EmailNotVerified, detail));
    };
    let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
    if allowed.iter().any(|a| a.eq_ignore_ascii_case(domain)) {
        Ok(())
    } else {
        Err(Problem::new(
            Code::DomainNotAllowed,
            "Your e-mail address is of a domain that may not log in here: use your work account.",
        ))
    }
}

/// The login that a trusted claim names: in the alphabet as it stands, and no name that is derived from a subject.
pub(super) fn login(claim: &str, value: Option<&Value>) -> Result<Option<Name>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let text = value.as_str().ok_or_else(|| wrong_shape(claim, "text"))?;
    Ok(text.parse().ok().filter(|_| !text.starts_with(derived::PREFIX)))
}

/// Our groups for the provider's. What is not mapped does not exist.
pub(super) fn groups(
    claim: &str,
    value: Option<&Value>,
    map: &BTreeMap<String, Vec<Name>>,
) -> Result<BTreeSet<Name>, Problem> {
    let wrong = || wrong_shape(claim, "a list of texts, or one text");
    let values: &[Value] = match value {
        None => &[],
        Some(Value::Array(items)) => items,
        Some(one @ Value::String(_)) => core::slice::from_ref(one),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return Err(wrong()),
    };
    if values.len() > MAX_GROUPS {
        return Err(Problem::new(
            Code::TokenClaims,
            format!(
                "The claim {claim:?} has more than {MAX_GROUPS} groups: have the identity provider send fewer."
            ),
        ));
    }
    let mut groups = BTreeSet::new();
    for value in values {
        let group = value.as_str().ok_or_else(wrong)?;
        groups.extend(map.get(group).into_iter().flatten().cloned());
    }
    Ok(groups)
}
