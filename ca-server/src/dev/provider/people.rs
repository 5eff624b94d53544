//! Who can be picked.

use serde_json::{Map, Value, json};

/// Somebody who exists only here.
#[derive(Debug)]
pub struct Person {
    /// `preferred_username`
    pub login: &'static str,
    /// `name`
    pub name: &'static str,
    /// `sub`: never the login, because nothing may take it for one.
    pub sub: &'static str,
    /// `groups`
    pub groups: &'static [&'static str],
}

/// Everybody, in the order of the page.
pub const PEOPLE: &[Person] = &[
    Person { login: "alice", name: "Alice Adler", sub: "dev-7f3a01", groups: &["sre", "sre-leads"] },
    Person { login: "bob", name: "Bob Baker", sub: "dev-7f3a02", groups: &["dev"] },
    Person { login: "carol", name: "Carol Chen", sub: "dev-7f3a03", groups: &["contractors"] },
    Person { login: "dave", name: "Dave Diaz", sub: "dev-7f3a04", groups: &[] },
    Person { login: "grace", name: "Grace Gray", sub: "dev-7f3a05", groups: &["auditors"] },
];

/// The person with that login.
pub(super) fn find(login: &str) -> Option<&'static Person> {
    PEOPLE.iter().find(|person| person.login == login)
}

impl Person {
    /// The claims that are about the person.
    pub(super) fn claims(&self) -> Map<String, Value> {
        [
            ("sub", json!(self.sub)),
            ("name", json!(self.name)),
            ("preferred_username", json!(self.login)),
            ("email", json!(format!("{}@example.com", self.login))),
            ("email_verified", json!(true)),
            ("groups", json!(self.groups)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}
