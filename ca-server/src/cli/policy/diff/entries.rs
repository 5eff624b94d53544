//! What changed in the entries of issuers and guests: they say who comes in, until when, and in which groups, so that a
//! change of them may be one of what somebody may do that no question shows. Each is told in a line.

use std::collections::{BTreeMap, BTreeSet};

use jit_ssh_core::identity::{IdentityKind, IssuerRules};
use jit_ssh_core::inventory::Guest;
use serde_json::{Value, json};

use super::super::files::Set;

/// What an entry says: under keys that have one value, and under keys that have any number.
#[derive(Default)]
struct Entry {
    one: BTreeMap<&'static str, String>,
    many: BTreeSet<(&'static str, String)>,
}

/// One value that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alteration {
    /// `issuer corp`, `guest corp/eve`
    entry: String,
    key: &'static str,
    before: Option<String>,
    after: Option<String>,
}

impl Alteration {
    pub(super) fn as_text(&self) -> String {
        let Self { entry, key, before, after } = self;
        match (before, after) {
            (Some(before), Some(after)) => format!("{entry}: {key}: {before} -> {after}"),
            (None, Some(after)) => format!("{entry}: {key}: added {after}"),
            (Some(before), None) => format!("{entry}: {key}: removed {before}"),
            (None, None) => format!("{entry}: {key}"),
        }
    }

    pub(super) fn as_json(&self) -> Value {
        json!({ "entry": self.entry, "key": self.key, "before": self.before, "after": self.after })
    }
}

/// Every value that the one set has and the other has not, or has otherwise.
pub(super) fn altered(old: &Set, new: &Set) -> Vec<Alteration> {
    let (was, is) = (entries(old), entries(new));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let none = Entry::default();
    names
        .into_iter()
        .flat_map(|name| differences(name, was.get(name).unwrap_or(&none), is.get(name).unwrap_or(&none)))
        .collect()
}

fn differences(name: &str, was: &Entry, is: &Entry) -> Vec<Alteration> {
    let alteration = |key, before: Option<&String>, after: Option<&String>| Alteration {
        entry: name.to_owned(),
        key,
        before: before.cloned(),
        after: after.cloned(),
    };
    let keys: BTreeSet<&'static str> = was.one.keys().chain(is.one.keys()).copied().collect();
    let pairs = keys.into_iter().map(|key| (key, was.one.get(key), is.one.get(key)));
    let one = pairs.filter(|(_, was, is)| was != is).map(|(key, was, is)| alteration(key, was, is));
    let gone = was.many.difference(&is.many).map(|(key, value)| alteration(key, Some(value), None));
    let new = is.many.difference(&was.many).map(|(key, value)| alteration(key, None, Some(value)));
    one.chain(gone).chain(new).collect()
}

fn entries(set: &Set) -> BTreeMap<String, Entry> {
    let issuers = set.excerpt.issuers.iter().flatten();
    let issuers = issuers.map(|rules| (format!("issuer {}", rules.name), issuer(rules)));
    let mut all: BTreeMap<String, Entry> = issuers.collect();
    for guest in set.rules.inventory().guests() {
        let entry = all.entry(format!("guest {}/{}", guest.issuer(), guest.person())).or_default();
        add_guest(entry, guest);
    }
    all
}

fn issuer(rules: &IssuerRules) -> Entry {
    let IssuerRules {
        name: _,
        url,
        kind,
        username,
        groups,
        groups_map,
        tags,
        allowed_domains,
        privileged_flows,
    } = rules;
    let kind = match kind {
        IdentityKind::User => "user",
        IdentityKind::Workload => "workload",
    };
    let mut entry = Entry::default();
    entry.one.insert("url", url.clone());
    entry.one.insert("kind", kind.to_owned());
    entry.one.insert("privileged_flows", privileged_flows.to_string());
    entry.one.extend(username.iter().map(|claim| ("username", claim.clone())));
    entry.one.extend(groups.iter().map(|claim| ("groups", claim.clone())));
    let mappings = groups_map.iter().flat_map(|(theirs, ours)| ours.iter().map(move |ours| (theirs, ours)));
    entry.many.extend(mappings.map(|(theirs, ours)| ("groups_map", format!("{theirs:?} = {ours}"))));
    entry.many.extend(tags.iter().map(|(tag, claim)| ("tags", format!("{tag} = {claim}"))));
    entry.many.extend(allowed_domains.iter().map(|domain| ("allowed_domains", domain.clone())));
    if allowed_domains.is_empty() {
        entry.many.insert(("allowed_domains", "any address".to_owned()));
    }
    entry
}

fn add_guest(entry: &mut Entry, guest: &Guest) {
    entry.one.insert("until", guest.until().to_owned());
    entry.one.insert("sponsor", guest.sponsor().to_string());
    entry.many.extend(guest.groups().iter().map(|group| ("groups", group.to_string())));
}
