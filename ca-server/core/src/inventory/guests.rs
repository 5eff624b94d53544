//! Guests: people from elsewhere whom somebody here answers for, until a day.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use jit_ssh_proto::Name;

use super::InventorySource;
use super::entry::GuestEntry;
use super::error::{At, Faults};
use super::groups::once;
use crate::identity::VerifiedIdentity;
use crate::position::position;

/// A `[[guest]]`. Where it stands is no part of what it says: it is the same in another place.
#[derive(Clone, Debug)]
pub struct Guest {
    at: At,
    issuer: Name,
    person: Person,
    sponsor: Sponsor,
    until: String,
    groups: BTreeSet<Name>,
}

impl PartialEq for Guest {
    fn eq(&self, other: &Self) -> bool {
        let Self { at: _, issuer, person, sponsor, until, groups } = self;
        (issuer, person, sponsor, until, groups)
            == (&other.issuer, &other.person, &other.sponsor, &other.until, &other.groups)
    }
}

impl Eq for Guest {}

/// Who answers for a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sponsor {
    issuer: Name,
    name: Name,
}

/// By what a guest is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Person {
    Name(Name),
    /// In lower case.
    Email(String),
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Email(email) => email.fmt(f),
        }
    }
}

impl fmt::Display for Sponsor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.issuer, self.name)
    }
}

impl Sponsor {
    /// The alias of the issuer that they are known by.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }
}

impl Guest {
    /// The alias of the issuer that vouches for them.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// Their name or e-mail address there.
    #[must_use]
    pub fn person(&self) -> String {
        self.person.to_string()
    }

    /// Who answers for them.
    #[must_use]
    pub fn sponsor(&self) -> &Sponsor {
        &self.sponsor
    }

    /// Their last day, `2026-12-31`.
    #[must_use]
    pub fn until(&self) -> &str {
        &self.until
    }

    /// The groups of people that they are in until then, besides those that are mapped.
    #[must_use]
    pub fn groups(&self) -> &BTreeSet<Name> {
        &self.groups
    }

    /// Where a word of the entry stands in the files that it was read from: file, line and column. None if it was read
    /// from others.
    #[must_use]
    pub fn place(&self, sources: &[InventorySource], word: &str) -> Option<(String, usize, usize)> {
        let source = self.at.source(sources)?;
        let (line, column) = position(&source.text, self.at.word(&source.text, word));
        Some((source.file.clone(), line, column))
    }

    /// Whether their last day is over, where it is `today` (`2026-12-31`).
    #[must_use]
    pub fn ended(&self, today: &str) -> bool {
        // Dates of this form sort as they follow one another.
        today > self.until.as_str()
    }
}

/// Every guest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guests(Arc<BTreeMap<(Name, Person), Guest>>);

impl Guests {
    /// The entries that are for this identity: by name, by e-mail address, or both.
    pub(crate) fn of(&self, identity: &VerifiedIdentity) -> impl Iterator<Item = &Guest> {
        let by = |person: Person| self.0.get(&(identity.issuer().clone(), person));
        // Most CAs have no guests, and then nothing is to be looked for.
        let here = !self.0.is_empty();
        let name = here.then(|| by(Person::Name(identity.name().clone()))).flatten();
        let email =
            identity.email().filter(|_| here).and_then(|email| by(Person::Email(email.to_ascii_lowercase())));
        name.into_iter().chain(email)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Guest> {
        self.0.values()
    }
}

/// The guests of the files.
pub(super) fn check(entries: Vec<(GuestEntry, At)>, faults: &mut Faults<'_>) -> Guests {
    let mut guests = BTreeMap::new();
    let mut places: BTreeMap<(Name, Person), At> = BTreeMap::new();
    for (entry, at) in entries {
        match guest(entry, at, faults) {
            Ok(guest) => {
                let key = (guest.issuer.clone(), guest.person.clone());
                if let Some(first) = places.get(&key) {
                    let first = faults.line(*first);
                    let person = guest.person();
                    faults.add(at, &person, || {
                        format!("guest {person}: stands in {first} already: keep one of the two")
                    });
                    continue;
                }
                places.insert(key.clone(), at);
                guests.insert(key, guest);
            }
            Err((word, what)) => faults.add(at, &word, || what),
        }
    }
    Guests(Arc::new(guests))
}

/// One guest; else the value that is wrong, and how.
fn guest(entry: GuestEntry, at: At, faults: &mut Faults<'_>) -> Result<Guest, (String, String)> {
    let GuestEntry { issuer, name, email, sponsor, until, groups } = entry;
    let person = match (name, email) {
        (Some(name), None) => Person::Name(name),
        (None, Some(email)) => {
            let parts = email.split_once('@');
            let whole = parts.is_some_and(|(user, domain)| {
                !user.is_empty() && !domain.is_empty() && !domain.contains('@')
            });
            if !whole || email.contains(|c: char| c.is_whitespace() || c.is_control()) {
                let what = format!("guest: email {email:?} is no e-mail address: write NAME@DOMAIN");
                return Err((email, what));
            }
            Person::Email(email.to_ascii_lowercase())
        }
        (Some(name), Some(_)) => {
            let what =
                format!("guest {name}: has both name and email: keep the one that the provider vouches for");
            return Err((name.to_string(), what));
        }
        (None, None) => {
            return Err((String::new(), "guest: has neither name nor email: say who it is".into()));
        }
    };
    let of = format!("guest {person}");
    let parts = sponsor.split_once('/').map(|(issuer, name)| (issuer.parse(), name.parse()));
    let Some((Ok(sponsor_issuer), Ok(sponsor_name))) = parts else {
        let what = format!("{of}: sponsor {sponsor:?} is not ISSUER/NAME, as in \"corp/alice\"");
        return Err((sponsor, what));
    };
    let own = sponsor_issuer == issuer && matches!(&person, Person::Name(name) if *name == sponsor_name);
    if own {
        let what = format!("{of}: nobody is their own sponsor: name who answers for them");
        return Err((sponsor, what));
    }
    if !is_date(&until) {
        let what = format!("{of}: until {until:?} is no day: write their last one, as in \"2026-12-31\"");
        return Err((until, what));
    }
    once(&of, "groups", &groups, at, faults);
    let sponsor = Sponsor { issuer: sponsor_issuer, name: sponsor_name };
    Ok(Guest { at, issuer, person, sponsor, until, groups: groups.into_iter().collect() })
}

/// Whether this is a day of the calendar, `2026-12-31`.
fn is_date(text: &str) -> bool {
    let number =
        |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u16>().ok())?;
    let mut parts = text.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    if (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (number(year), number(month), number(day)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        for (text, expected) in [
            ("2026-12-31", true),
            ("2024-02-29", true),
            ("2000-02-29", true),
            ("2026-02-29", false),
            ("1900-02-29", false),
            ("2026-04-31", false),
            ("2026-00-10", false),
            ("2026-13-10", false),
            ("2026-01-00", false),
            ("2026-1-1", false),
            ("26-01-01", false),
            ("2026-01-01-01", false),
            ("2026-01", false),
            ("+026-01-01", false),
            ("2026-12-31T00:00", false),
            ("", false),
            ("tomorrow", false),
        ] {
            assert_eq!(is_date(text), expected, "{text}");
        }
    }
}
