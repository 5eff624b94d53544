//! Who is asked for: those of the cases or of a file, and somebody of each group that a policy names which is not the
//! same in both sets.

use std::collections::{BTreeMap, BTreeSet};

use jit_ssh_core::identity::{IdentityKind, IssuerRules};
use jit_ssh_core::policy::Mentioned;

use super::super::case::Who;
use super::super::files::Set;
use super::super::person::Person;
use super::super::test::person;

/// The most groups of which each two are asked for together, where nobody is named.
const PAIRED: usize = 12;
/// The most groups of permits that those are made members of whom a changed forbid is for.
const PERMITTED: usize = 16;

/// Somebody who is asked for.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// What they are called in what is printed.
    pub(super) name: String,
    pub(super) person: Person,
    /// Whether nobody wrote them down.
    pub(super) made_up: bool,
}

/// What policies speak of, in either set.
pub(super) struct Spoken<'a> {
    /// Of every policy.
    pub(super) all: Vec<&'a Mentioned>,
    /// Of those that are not the same in both sets.
    pub(super) altered: Vec<&'a Mentioned>,
}

/// Somebody who has to be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    kind: Option<IdentityKind>,
    /// `corp/alice`, if it has to be them.
    who: Option<String>,
    groups: BTreeSet<String>,
}

/// Everybody who is asked for.
///
/// # Errors
/// When one of those who are written down is like somebody who is not.
pub(super) fn askers(
    known: &BTreeMap<String, Person>,
    spoken: &Spoken<'_>,
    sets: [&Set; 2],
) -> Result<Vec<Asker>, String> {
    let mut askers = Vec::new();
    for name in known.keys() {
        let person = person(&Who::Named(name.clone()), known)?;
        askers.push(Asker { name: name.clone(), person, made_up: false });
    }
    let mut wanted = if askers.is_empty() { of_all(spoken) } else { Vec::new() };
    for policy in &spoken.altered {
        wanted.extend(of_altered(policy, spoken));
    }
    // As a guest somebody may be in a group that no issuer maps anybody to.
    let guests = sets.into_iter().flat_map(|set| set.rules.inventory().guests());
    let mut invited: Vec<Wanted> = guests
        .filter(|guest| {
            spoken
                .altered
                .iter()
                .any(|policy| guest.groups().iter().any(|g| policy.groups.contains(g.as_str())))
        })
        .map(|guest| Wanted {
            who: Some(format!("{}/{}", guest.issuer(), guest.person())),
            ..Wanted::default()
        })
        .take(PERMITTED)
        .collect();
    wanted.append(&mut invited);
    let entries = issuers(sets);
    for one in &wanted {
        for asker in entries.made(one, &askers) {
            if !askers.iter().any(|other| entries.is_the_same(other, &asker)) {
                askers.push(asker);
            }
        }
    }
    Ok(askers)
}

/// One of no group, one of each group that a policy names, and one of each two.
fn of_all(spoken: &Spoken<'_>) -> Vec<Wanted> {
    let groups: BTreeSet<&String> = spoken.all.iter().flat_map(|policy| &policy.groups).collect();
    let kinds: Vec<IdentityKind> = spoken.all.iter().filter_map(|policy| policy.kind).collect();
    let mut wanted = vec![Wanted::default()];
    wanted.extend(kinds.into_iter().map(|kind| Wanted { kind: Some(kind), ..Wanted::default() }));
    for (at, one) in groups.iter().enumerate() {
        let of = |groups: &[&String]| Wanted {
            groups: groups.iter().map(|group| (*group).clone()).collect(),
            ..Wanted::default()
        };
        wanted.push(of(&[one]));
        if groups.len() <= PAIRED {
            wanted.extend(groups.iter().skip(at + 1).map(|other| of(&[one, other])));
        }
    }
    wanted
}

/// Those whom a policy is for, alone and as members of what else it names; for a forbid, of what permits are for too:
/// only from who has something can it take away.
fn of_altered(policy: &Mentioned, spoken: &Spoken<'_>) -> Vec<Wanted> {
    let base: BTreeSet<String> = policy.group.iter().cloned().collect();
    let permits = spoken.all.iter().filter(|other| policy.forbids && !other.forbids);
    let permitted: BTreeSet<&String> = permits.filter_map(|other| other.group.as_ref()).collect();
    let others: Vec<&String> = policy.groups.iter().chain(permitted.into_iter().take(PERMITTED)).collect();
    let with = |who: Option<&String>| -> Vec<Wanted> {
        let one = Wanted { kind: policy.kind, who: who.cloned(), groups: base.clone() };
        let more = others.iter().map(|group| {
            let mut more = one.clone();
            more.groups.insert((*group).clone());
            more
        });
        std::iter::once(one.clone()).chain(more).collect()
    };
    // One policy may be for somebody by name, or for others by what they are.
    with(None).into_iter().chain(policy.people.iter().flat_map(|who| with(Some(who)))).collect()
}

/// The issuers of both sets.
struct Issuers<'a> {
    entries: BTreeMap<&'a str, Vec<&'a IssuerRules>>,
}

fn issuers<'a>(sets: [&'a Set; 2]) -> Issuers<'a> {
    let mut entries: BTreeMap<&str, Vec<&IssuerRules>> = BTreeMap::new();
    for entry in sets.into_iter().flat_map(|set| set.excerpt.issuers.iter().flatten()) {
        entries.entry(entry.name.as_str()).or_default().push(entry);
    }
    Issuers { entries }
}

impl Issuers<'_> {
    /// One for each issuer that can have such a person.
    fn made(&self, wanted: &Wanted, known: &[Asker]) -> Vec<Asker> {
        let named = wanted.who.as_deref().and_then(|who| who.split_once('/'));
        let mut found = Vec::new();
        for (alias, entries) in &self.entries {
            let is_one = |entry: &&IssuerRules| {
                wanted.kind.is_none_or(|kind| kind == entry.kind)
                    && wanted.groups.iter().all(|group| maps(entry, group))
            };
            let meant = named.is_none_or(|(issuer, _)| issuer == *alias);
            if let Some(entry) = entries.iter().find(|entry| is_one(entry)).filter(|_| meant) {
                found.push(made_up(alias, wanted, named.map(|(_, name)| name), entry.username.is_some()));
            }
        }
        if self.entries.is_empty() {
            // Nothing is known of issuers: then it is one of those who are asked for.
            let other = known.iter().find_map(|asker| asker.person.issuer.as_deref());
            let alias = named.map(|(issuer, _)| issuer).or(other).unwrap_or("issuer");
            found.push(made_up(alias, wanted, named.map(|(_, name)| name), true));
        }
        found
    }

    /// Whether somebody is there already who is no other to any policy.
    fn is_the_same(&self, known: &Asker, made: &Asker) -> bool {
        let only = || self.entries.keys().next().filter(|_| self.entries.len() == 1).map(ToString::to_string);
        let (one, other) = (&known.person, &made.person);
        let groups = |person: &Person| person.groups.iter().flatten().cloned().collect::<BTreeSet<String>>();
        let named = |person: &Person| person.name.clone().filter(|name| name != SOMEBODY);
        one.claims.is_none()
            && one.issuer.clone().or_else(only) == other.issuer
            && groups(one) == groups(other)
            && other.kind.is_none_or(|kind| one.kind == Some(kind) || !self.entries.is_empty())
            && (named(other).is_none() || named(one) == named(other))
            && (other.email.is_none() || one.email == other.email)
    }
}

fn maps(entry: &IssuerRules, group: &str) -> bool {
    entry.groups_map.values().flatten().any(|ours| ours.as_str() == group)
}

/// A name that means nobody.
const SOMEBODY: &str = "somebody";

fn made_up(alias: &str, wanted: &Wanted, name: Option<&str>, has_names: bool) -> Asker {
    let groups: Vec<String> = wanted.groups.iter().cloned().collect();
    let of = match (groups.as_slice(), name) {
        ([], Some(name)) => format!("{alias}/{name}"),
        (groups, Some(name)) => format!("{alias}/{name} in {}", groups.join(" and ")),
        ([], None) => format!("{alias}: somebody in no group"),
        (groups, None) => format!("{alias}: members of {}", groups.join(" and ")),
    };
    let called = name.unwrap_or(SOMEBODY).to_owned();
    let mut person = Person {
        issuer: Some(alias.to_owned()),
        groups: Some(groups),
        kind: wanted.kind,
        ..Person::default()
    };
    if called.contains('@') {
        (person.email, person.sub) = (Some(called), Some(SOMEBODY.to_owned()));
    } else if has_names {
        person.name = Some(called);
    } else {
        person.sub = Some(called);
    }
    Asker { name: of, person, made_up: true }
}

/// The same person where a group or a tag may not be known: there nobody is in it, nor has it.
pub(super) fn as_known(person: &Person, set: &Set) -> Person {
    let mut person = person.clone();
    let entries = set.excerpt.issuers.as_deref().unwrap_or_default();
    let entry = match (&person.issuer, entries) {
        (Some(alias), entries) => entries.iter().find(|entry| entry.name.as_str() == alias),
        (None, [one]) => Some(one),
        (None, _) => None,
    };
    if let (Some(entry), None) = (entry, &person.claims) {
        person.groups.iter_mut().for_each(|groups| groups.retain(|group| maps(entry, group)));
        person.tags.iter_mut().for_each(|tags| tags.retain(|tag, _| entry.tags.contains_key(tag)));
    }
    person
}
