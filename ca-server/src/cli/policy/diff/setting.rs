//! One circumstance of a question: how it is asked in it, and what it is called.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jit_ssh_proto::Span;

use super::super::case::Case;
use super::super::person::Person;
use super::manner::Manner;
use super::time::Time;

/// One circumstance that is tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Setting {
    At(Time),
    Manner(Manner),
    /// As it is where nobody says anything of it.
    Usual,
    From(IpAddr),
    For(Span),
    StartsIn(Span),
    Key(String),
    LoggedIn(Span),
    Methods(Vec<String>),
    Level(String),
    Called(String),
    Mail(String),
    Tag(String, String),
}
impl Setting {
    /// Asks in this circumstance.
    pub(super) fn apply(&self, case: &mut Case, person: &mut Person, zone: Option<&jiff::tz::TimeZone>) {
        match self {
            Self::At(time) => case.at = Some(time.written(zone)),
            Self::Manner(manner) => manner.apply(case),
            Self::Usual => {}
            Self::From(address) => case.source = Some(address.to_string()),
            Self::For(length) => case.duration = Some(length.to_string()),
            Self::StartsIn(length) => case.starts_in = Some(length.to_string()),
            Self::Key(kind) => case.key = Some(kind.clone()),
            Self::LoggedIn(age) => person.auth_age = Some(age.to_string()),
            Self::Methods(methods) => person.methods = Some(methods.clone()),
            Self::Level(level) => person.level = Some(level.clone()),
            Self::Called(name) => person.name = Some(name.clone()),
            Self::Mail(email) => person.email = Some(email.clone()),
            Self::Tag(tag, value) => {
                person.tags.get_or_insert_default().insert(tag.clone(), value.clone());
            }
        }
    }

    /// The same, if no length were asked for.
    pub(super) fn without_length(&self) -> Self {
        if let Self::For(_) = self { Self::Usual } else { self.clone() }
    }

    /// In a few words.
    pub(super) fn told(&self) -> String {
        match self {
            Self::At(time) => time.written(None),
            Self::Manner(manner) => manner.told(),
            Self::Usual => "otherwise".to_owned(),
            Self::From(address) => format!("from {address}"),
            Self::For(length) => format!("for {length}"),
            Self::StartsIn(length) => format!("starting in {length}"),
            Self::Key(kind) => format!("with a key {kind}"),
            Self::LoggedIn(age) => format!("{age} after a login"),
            Self::Methods(methods) => format!("logged in by {}", methods.join(" and ")),
            Self::Level(level) => format!("logged in at level {level}"),
            Self::Called(name) => format!("if called {name}"),
            Self::Mail(email) => format!("if of the address {email}"),
            Self::Tag(tag, value) => format!("with the tag {tag} = {value:?}"),
        }
    }

    /// Which of all that were tried these are: where it is so as usual, too, what is not one of them.
    pub(super) fn all_told(shown: &BTreeSet<Self>, tried: &BTreeSet<Self>) -> String {
        let words =
            |settings: Vec<&Self>| settings.into_iter().map(Self::told).collect::<Vec<_>>().join(", ");
        if shown.contains(&Self::Usual) {
            return format!("not {}", words(tried.difference(shown).collect()));
        }
        words(shown.iter().collect())
    }

    /// What it is a value of, for programs.
    pub(super) fn kind(&self) -> Option<&'static str> {
        match self {
            Self::At(_) | Self::Manner(_) | Self::Usual => None,
            Self::From(_) => Some("source"),
            Self::For(_) => Some("for"),
            Self::StartsIn(_) => Some("starts_in"),
            Self::Key(_) => Some("key"),
            Self::LoggedIn(_) => Some("auth_age"),
            Self::Methods(_) => Some("methods"),
            Self::Level(_) => Some("level"),
            Self::Called(_) => Some("name"),
            Self::Mail(_) => Some("email"),
            Self::Tag(..) => Some("tags"),
        }
    }
}
