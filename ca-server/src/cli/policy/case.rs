//! What is written in `policies/*.test.toml`: who asks for what, when, and what is to come of it.

use std::collections::BTreeMap;
use std::fmt;

use jit_ssh_proto::Modifier;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::person::Person;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseFile {
    /// People and workloads, by the names that cases use.
    #[serde(default)]
    pub(super) identity: BTreeMap<String, Person>,
    /// What holds where a case says nothing else.
    #[serde(default)]
    pub(super) default: Defaults,
    /// `[[case]]`
    #[serde(default)]
    pub(super) case: Vec<toml::Spanned<Case>>,
}

/// `[default]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    pub(super) at: Option<String>,
    pub(super) source: Option<String>,
    pub(super) key: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) ticket: Option<String>,
}

/// `[[case]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) who: Who,
    /// `LOGIN@HOST`
    #[serde(default)]
    pub(super) account: Option<String>,
    /// Several of them, asked for at once.
    #[serde(default)]
    pub(super) accounts: Vec<String>,
    /// `login` on each of `hosts`.
    #[serde(default)]
    pub(super) login: Option<String>,
    #[serde(default)]
    pub(super) host: Option<String>,
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    /// A mode, or one of the CA's verbs; `shell` unless told otherwise.
    #[serde(default, alias = "mode")]
    pub(super) action: Option<String>,
    /// What to add to `shell` or `exec`.
    #[serde(default)]
    pub(super) with: Vec<Modifier>,
    #[serde(default)]
    pub(super) command: Option<String>,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) ticket: Option<String>,
    /// How long.
    #[serde(default, rename = "for")]
    pub(super) duration: Option<String>,
    /// In the CA's zone, or with a zone of its own.
    #[serde(default)]
    pub(super) at: Option<String>,
    /// The caller's address.
    #[serde(default)]
    pub(super) source: Option<String>,
    /// The type of the certificate's key.
    #[serde(default)]
    pub(super) key: Option<String>,
    #[serde(default)]
    pub(super) break_glass: bool,
    #[serde(default)]
    pub(super) starts_in: Option<String>,
    pub(super) expect: Answer,
    /// What was given: how long.
    #[serde(default)]
    pub(super) ttl: Option<String>,
    /// The policies that gave or refused it.
    #[serde(default)]
    pub(super) policy: Option<OneOrMore>,
    /// The code of the refusal.
    #[serde(default)]
    pub(super) code: Option<String>,
    /// A part of what the refused caller reads.
    #[serde(default)]
    pub(super) message: Option<String>,
    /// Whether the certificate is good from the caller's address only.
    #[serde(default)]
    pub(super) pinned: Option<bool>,
    /// Whether a PIN or a finger is demanded.
    #[serde(default)]
    pub(super) verify: Option<bool>,
}

/// Who asks: by name, or written out.
#[derive(Clone, Debug)]
pub(super) enum Who {
    Named(String),
    Person(Box<Person>),
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    /// A certificate.
    Allow,
    /// Only with the consent of others.
    Approval,
    /// Nothing.
    Deny,
}

/// One policy, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(super) fn all(&self) -> Vec<&str> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more.iter().map(String::as_str).collect(),
        }
    }
}

impl Answer {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Approval => "approval",
            Self::Deny => "deny",
        }
    }
}

impl Case {
    /// One that asks nothing yet, and expects nothing.
    pub(super) fn of(who: Who) -> Self {
        Self {
            name: String::new(),
            who,
            account: None,
            accounts: Vec::new(),
            login: None,
            host: None,
            hosts: Vec::new(),
            action: None,
            with: Vec::new(),
            command: None,
            reason: None,
            ticket: None,
            duration: None,
            at: None,
            source: None,
            key: None,
            break_glass: false,
            starts_in: None,
            expect: Answer::Allow,
            ttl: None,
            policy: None,
            code: None,
            message: None,
            pinned: None,
            verify: None,
        }
    }

    /// The accounts, as asked.
    ///
    /// # Errors
    /// When they are said in two ways, or in none.
    pub(super) fn places(&self) -> Result<Vec<String>, &'static str> {
        let hosts: Vec<&String> = self.host.iter().chain(&self.hosts).collect();
        match (&self.account, self.accounts.as_slice(), &self.login, hosts.as_slice()) {
            (Some(account), [], None, []) => Ok(vec![account.clone()]),
            (None, accounts @ [_, ..], None, []) => Ok(accounts.to_vec()),
            (None, [], Some(login), hosts @ [_, ..]) => {
                Ok(hosts.iter().map(|host| format!("{login}@{host}")).collect())
            }
            (None, [], None, []) => Ok(Vec::new()),
            _ => Err("say where in one way: account, accounts, or login with host or hosts"),
        }
    }
}

// Written out, so that what is wrong inside is said with its place, which serde's own way loses.
impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Who;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an [identity], or { issuer = …, name = …, groups = […] }")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Who, E> {
                Ok(Who::Named(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Who, A::Error> {
                Person::deserialize(MapAccessDeserializer::new(map))
                    .map(|person| Who::Person(Box::new(person)))
            }
        }
        deserializer.deserialize_any(Of)
    }
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of a policy, or a list of them")
            }

            fn visit_str<E: serde::de::Error>(self, id: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore::One(id.to_owned()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMore, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = items.next_element()? {
                    ids.push(id);
                }
                Ok(OneOrMore::More(ids))
            }
        }
        deserializer.deserialize_any(Of)
    }
}
