//! From what the files say to what exists: everything is named once, refers to what is there, and groups end somewhere.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jit_ssh_proto::Name;

use super::{GroupEntry, Host, HostEntry, Inventory, InventoryError, InventoryFile, address};

type Groups<'a> = BTreeMap<Name, &'a GroupEntry>;

/// Every host and group of the files.
///
/// # Errors
/// The first entry that is wrong.
pub(super) fn inventory(files: &[(String, InventoryFile)]) -> Result<Inventory, InventoryError> {
    let groups = groups(files)?;
    let mut hosts: BTreeMap<&Name, (&str, &HostEntry)> = BTreeMap::new();
    for (file, entry) in entries(files, |f| &f.host) {
        let error = |what: String| InventoryError::new(file, format!("host {}: {what}", entry.name));
        if let Some((first, _)) = hosts.insert(&entry.name, (file, entry)) {
            return Err(error(format!("it stands in {first} already: keep one of the two")));
        }
        if let Some(twice) = first_repeated(&entry.groups) {
            return Err(error(format!("groups has {twice} twice: name it once")));
        }
        if let Some(twice) = first_repeated(&entry.logins) {
            return Err(error(format!("logins has {twice} twice: name it once")));
        }
        if let Some(unknown) = entry.groups.iter().find(|g| !groups.contains_key(*g)) {
            return Err(error(unknown_group(unknown)));
        }
        if let Some(label) = entry.labels.keys().find(|label| label.is_empty()) {
            return Err(error(format!("labels has the empty name {label:?}: give it one or remove it")));
        }
        if let Some(text) = &entry.address {
            address::check(text).map_err(|what| error(format!("address {text:?} {what}")))?;
        }
    }
    for (file, entry) in hosts.values() {
        let error = |what: String| InventoryError::new(file, format!("host {}: {what}", entry.name));
        if let Some(twice) = first_repeated(&entry.fronts) {
            return Err(error(format!("fronts has {twice} twice: name it once")));
        }
        if entry.fronts.contains(&entry.name) {
            return Err(error("fronts names the host itself: a bastion's targets are other hosts".into()));
        }
        if let Some(unknown) = entry.fronts.iter().find(|target| !hosts.contains_key(*target)) {
            return Err(error(format!("fronts names {unknown}, which is no host here: add a [[host]]")));
        }
    }
    let hosts = hosts.into_values().map(|(_, entry)| (entry.name.clone(), entry.resolve(&groups)));
    Ok(Inventory {
        hosts: hosts.collect(),
        groups: groups.into_iter().map(|(name, g)| (name, g.groups.iter().cloned().collect())).collect(),
    })
}

impl InventoryError {
    fn new(file: &str, what: String) -> Self {
        Self { file: file.to_string(), what }
    }
}

fn entries<'a, T: 'a>(
    files: &'a [(String, InventoryFile)],
    of: impl Fn(&'a InventoryFile) -> &'a Vec<T>,
) -> impl Iterator<Item = (&'a str, &'a T)> {
    files.iter().flat_map(move |(name, file)| of(file).iter().map(move |entry| (name.as_str(), entry)))
}

fn first_repeated(names: &[Name]) -> Option<&Name> {
    let mut seen = BTreeSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

fn unknown_group(name: &Name) -> String {
    format!("groups names {name}, which is no group here: add a [[group]] or correct the name")
}

/// Every group; each stands once, names groups that exist, and is not in itself.
fn groups(files: &[(String, InventoryFile)]) -> Result<Groups<'_>, InventoryError> {
    let mut groups: BTreeMap<Name, (&str, &GroupEntry)> = BTreeMap::new();
    for (file, entry) in entries(files, |f| &f.group) {
        if let Some((first, _)) = groups.insert(entry.name.clone(), (file, entry)) {
            let what = format!("group {}: it stands in {first} already: keep one of the two", entry.name);
            return Err(InventoryError::new(file, what));
        }
    }
    for (file, entry) in groups.values() {
        let error = |what: String| InventoryError::new(file, format!("group {}: {what}", entry.name));
        if let Some(twice) = first_repeated(&entry.groups) {
            return Err(error(format!("groups has {twice} twice: name it once")));
        }
        if let Some(twice) = first_repeated(&entry.logins) {
            return Err(error(format!("logins has {twice} twice: name it once")));
        }
        if let Some(unknown) = entry.groups.iter().find(|g| !groups.contains_key(*g)) {
            return Err(error(unknown_group(unknown)));
        }
    }
    let files: BTreeMap<Name, &str> = groups.iter().map(|(name, (file, _))| (name.clone(), *file)).collect();
    let groups: Groups<'_> = groups.into_iter().map(|(name, (_, entry))| (name, entry)).collect();
    if let Some(path) = cycle(&groups) {
        let names: Vec<&str> = path.iter().map(|name| name.as_str()).collect();
        let file = path.first().and_then(|name| files.get(*name)).copied().unwrap_or_default();
        let what = format!("groups are in themselves: {}: remove one of these steps", names.join(" -> "));
        return Err(InventoryError::new(file, what));
    }
    Ok(groups)
}

/// A path from a group back to itself, if there is one. Without recursion: a chain of groups may be long.
fn cycle<'a>(groups: &'a Groups<'a>) -> Option<Vec<&'a Name>> {
    let mut seen: BTreeSet<&Name> = BTreeSet::new();
    for start in groups.keys() {
        // The groups on the way here, each with its parents still to be visited.
        let mut path: Vec<(&Name, core::slice::Iter<'_, Name>)> = Vec::new();
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
                    path.push((name, groups.get(name).map(|g| g.groups.iter()).unwrap_or_default()));
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

impl HostEntry {
    /// The host with what its groups, and theirs, add.
    fn resolve(&self, groups: &Groups<'_>) -> Host {
        let mut logins: BTreeSet<Name> = self.logins.iter().cloned().collect();
        let mut seen: BTreeSet<&Name> = BTreeSet::new();
        let mut style = None;
        let mut queue: Vec<&Name> = self.groups.iter().collect();
        while let Some(name) = queue.pop() {
            if !seen.insert(name) {
                continue;
            }
            if let Some(group) = groups.get(name) {
                logins.extend(group.logins.iter().cloned());
                style = style.max(group.principals);
                queue.extend(&group.groups);
            }
        }
        Host {
            name: self.name.clone(),
            groups: self.groups.iter().cloned().collect(),
            labels: self.labels.clone(),
            logins,
            principals: self.principals.or(style).unwrap_or_default(),
            address: self.address.clone(),
            fronts: self.fronts.iter().cloned().collect(),
        }
    }
}
