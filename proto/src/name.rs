//! Names: the one alphabet that everything in a certificate is written in (DESIGN 4).
//!
//! Nothing is ever escaped or cleaned up: a string either is a [`Name`] or is refused.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// A login, a host, a group or an alias: `[a-z0-9_][a-z0-9._-]*`, at most 253 characters (a DNS name's limit).
///
/// Cheap to clone: a name is copied into many places and never changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes: the limit of a DNS name (RFC 1035, 2.3.4).
    pub const MAX_BYTES: usize = 253;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a string is not a [`Name`], [`Place`] or [`Account`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing stands where a name should.
    #[error("is empty")]
    Empty,
    /// Longer than [`Name::MAX_BYTES`].
    #[error("is longer than 253 characters")]
    TooLong,
    /// A character outside the alphabet, or one that may not come first.
    #[error(
        "has {0:?} at position {1}: only a-z, 0-9, '_', '.' and '-' are allowed, and the first must be a-z, 0-9 or '_'"
    )]
    Character(char, usize),
    /// An account without `@`.
    #[error("has no '@': write LOGIN@HOST")]
    NoAt,
    /// What stands before the `@`.
    #[error("has a login that {0}")]
    Login(Box<Self>),
    /// What stands after it.
    #[error("has a host that {0}")]
    Host(Box<Self>),
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(NameError::TooLong);
        }
        for (at, c) in text.chars().enumerate() {
            let first = matches!(c, 'a'..='z' | '0'..='9' | '_');
            let later = matches!(c, '.' | '-');
            if !(first || (at > 0 && later)) {
                return Err(NameError::Character(c, at));
            }
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a certificate is good: one host, or every host of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// `web-1.prod.example.com`
    Host(Name),
    /// `group/web`
    Group(Name),
}

impl FromStr for Place {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix("group/") {
            Some(group) => group.parse().map(Self::Group),
            None => text.parse().map(Self::Host),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => name.fmt(f),
            Self::Group(name) => write!(f, "group/{name}"),
        }
    }
}

/// A login at a place: `deploy@web-1`, `deploy@group/web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Account {
    /// The account's name on the host.
    pub login: Name,
    /// The host or the group of hosts.
    pub place: Place,
}

impl FromStr for Account {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (login, place) = text.split_once('@').ok_or(NameError::NoAt)?;
        Ok(Self {
            login: login.parse().map_err(|e| NameError::Login(Box::new(e)))?,
            place: place.parse().map_err(|e| NameError::Host(Box::new(e)))?,
        })
    }
}

impl TryFrom<String> for Account {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        alloc::format!("{account}")
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.login, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_a_name() {
        for bad in [
            "",
            "-a",
            ".a",
            "A",
            "root ",
            " root",
            "a b",
            "a,b",
            "a*",
            "*",
            "a\n",
            "a\0",
            "a\"",
            "a'",
            "a/b",
            "a@b",
            "a:b",
            "a+b",
            "ä",
            "a\u{202e}",
            "a#b",
            "a%b",
            "a\\b",
            "ро",
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(254).parse::<Name>().is_err());
    }

    #[test]
    fn what_is_not_an_account() {
        for (bad, why) in [
            ("deploy", "has no '@'"),
            ("@web", "has a login that is empty"),
            ("deploy@", "has a host that is empty"),
            ("deploy@@web", "has a host that has '@' at position 0"),
            ("de ploy@web", "has a login that has ' ' at position 2"),
            ("Deploy@web", "has a login that has 'D' at position 0"),
            ("deploy@group/", "has a host that is empty"),
            ("deploy@group/a/b", "has a host that has '/' at position 1"),
            ("a@b@c", "has a host that has '@' at position 1"),
        ] {
            let error = bad.parse::<Account>().unwrap_err().to_string();
            assert!(error.starts_with(why), "{bad:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn an_account_survives_being_written_and_read(login in "[a-z0-9_][a-z0-9._-]{0,30}", place in "(group/)?[a-z0-9_][a-z0-9._-]{0,60}") {
            let text = alloc::format!("{login}@{place}");
            prop_assert_eq!(text.parse::<Account>().unwrap().to_string(), text);
        }

        #[test]
        fn any_accepted_name_is_in_the_alphabet(text in ".*") {
            if let Ok(name) = text.parse::<Name>() {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b)));
            }
        }
    }
}
