//! Groups of hosts: each stands once, is in groups that exist, and is not in itself.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::Name;

use super::PrincipalStyle;
use super::entry::GroupEntry;
use super::error::{At, Faults};
use crate::position::closest;

/// The most groups that a host or a group may be in, those of its groups included: each is told to policy with every
/// decision about a host.
pub(super) const MAX_ABOVE: usize = 1000;

/// A group of hosts.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The groups it is in directly.
    pub(super) parents: BTreeSet<Name>,
    pub(super) logins: BTreeSet<Name>,
    pub(super) principals: Option<PrincipalStyle>,
    /// Which kinds of hosts are in it, directly or not.
    pub(super) kinds: Vec<u32>,
}

pub(super) type Groups = BTreeMap<Name, Group>;

/// The groups of the files.
pub(super) fn check(entries: Vec<(GroupEntry, At)>, faults: &mut Faults<'_>) -> Groups {
    let mut places: BTreeMap<Name, At> = BTreeMap::new();
    let mut groups = Groups::new();
    for (entry, at) in entries {
        let GroupEntry { name, logins, groups: parents, principals } = entry;
        let of = format!("group {name}");
        if let Some(first) = places.get(&name) {
            let first = faults.line(*first);
            faults.add(at, name.as_str(), || {
                format!("{of}: it stands in {first} already: keep one of the two")
            });
            continue;
        }
        once(&of, "groups", &parents, at, faults);
        once(&of, "logins", &logins, at, faults);
        places.insert(name.clone(), at);
        let (parents, logins) = (parents.into_iter().collect(), logins.into_iter().collect());
        groups.insert(name, Group { parents, logins, principals, kinds: Vec::new() });
    }
    for (name, group) in &groups {
        if let Some(at) = places.get(name) {
            exist(&format!("group {name}"), &group.parents, &groups, *at, faults);
        }
    }
    // Where names are unknown, what is above whom is too.
    if faults.is_empty() {
        let circle = circle(&groups);
        match &circle {
            Some(path) => {
                let next = path.get(1).map_or("", |name| name.as_str());
                if let Some(at) = path.first().and_then(|first| places.get(*first)) {
                    let shown = shorten(path);
                    faults.add(*at, next, || {
                        format!("groups are in themselves: {shown}: remove one of these steps")
                    });
                }
            }
            None => high(&groups, &places, faults),
        }
    }
    groups
}

/// A circle of thousands is shown by its ends.
fn shorten(path: &[&Name]) -> String {
    const SHOWN: usize = 8;
    let names = |path: &[&Name]| path.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" -> ");
    match (path.get(..SHOWN), path.last()) {
        (Some(first), Some(last)) if path.len() > SHOWN + 1 => format!("{} -> … -> {last}", names(first)),
        _ => names(path),
    }
}

/// Says which name a list has twice.
pub(super) fn once(of: &str, list: &str, names: &[Name], at: At, faults: &mut Faults<'_>) {
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
        faults.add(at, twice.as_str(), || format!("{of}: {list} has {twice} twice: name it once"));
    }
}

/// Says which groups do not exist.
pub(super) fn exist<'a>(
    of: &str,
    named: impl IntoIterator<Item = &'a Name>,
    groups: &Groups,
    at: At,
    faults: &mut Faults<'_>,
) {
    for unknown in named.into_iter().filter(|name| !groups.contains_key(*name)) {
        faults.add(at, unknown.as_str(), || {
            let meant = match closest(unknown.as_str(), groups.keys().map(Name::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => "add a [[group]] or correct the name".into(),
            };
            format!("{of}: groups names {unknown}, which is no group here: {meant}")
        });
    }
}

/// These groups and all that they are in, at most [`MAX_ABOVE`]; none if there are more.
pub(super) fn above<'a>(
    direct: impl IntoIterator<Item = &'a Name>,
    groups: &'a Groups,
) -> Option<BTreeSet<&'a Name>> {
    let mut seen: BTreeSet<&Name> = BTreeSet::new();
    let mut queue: Vec<&Name> = direct.into_iter().collect();
    while let Some(name) = queue.pop() {
        if seen.insert(name) {
            if seen.len() > MAX_ABOVE {
                return None;
            }
            queue.extend(groups.get(name).into_iter().flat_map(|group| &group.parents));
        }
    }
    Some(seen)
}

/// Says which group is in too many.
fn high(groups: &Groups, places: &BTreeMap<Name, At>, faults: &mut Faults<'_>) {
    for (name, group) in groups {
        if let (None, Some(at)) = (above(&group.parents, groups), places.get(name)) {
            faults.add(*at, name.as_str(), || {
                format!(
                    "group {name}: it is in more than {MAX_ABOVE} groups, those of its groups included: nest them less"
                )
            });
            // Whatever is below it is too.
            return;
        }
    }
}

/// A path from a group back to itself, if there is one. Without recursion: a chain of groups may be long.
fn circle(groups: &Groups) -> Option<Vec<&Name>> {
    let mut seen: BTreeSet<&Name> = BTreeSet::new();
    for start in groups.keys() {
        // The groups on the way here, each with its parents still to be visited.
        let mut path: Vec<(&Name, alloc::collections::btree_set::Iter<'_, Name>)> = Vec::new();
        let mut on_path: BTreeSet<&Name> = BTreeSet::new();
        let mut next = Some(start);
        loop {
            match next.take() {
                Some(name) if on_path.contains(name) => {
                    let around = path.iter().map(|(step, _)| *step).skip_while(|step| *step != name);
                    return Some(around.chain(core::iter::once(name)).collect());
                }
                Some(name) if seen.insert(name) => {
                    on_path.insert(name);
                    path.push((name, groups.get(name).map(|g| g.parents.iter()).unwrap_or_default()));
                }
                Some(_) | None => {}
            }
            let Some((name, parents)) = path.last_mut() else { break };
            next = parents.next();
            if next.is_none() {
                on_path.remove(*name);
                path.pop();
            }
        }
    }
    None
}
