//! From what the files say to what exists: everything is named once, refers to what is there, and contradicts nothing.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use jit_ssh_proto::Name;

use super::by_name::ByName;
use super::error::{At, Faults};
use super::groups::{self, Groups, MAX_ABOVE};
use super::read::{Entries, HostAt, Kind, Tail};
use super::{
    Authority, Inventory, InventoryError, InventorySource, KindOfHost, PrincipalStyle, Record, guests, read,
};
use crate::position::closest;

/// Every host and group of the files.
///
/// # Errors
/// What is wrong, by place.
pub(super) fn inventory(sources: &[InventorySource]) -> Result<Inventory, Vec<InventoryError>> {
    let mut faults = Faults::new(sources);
    let entries = read::entries(sources, &mut faults);
    // What one file does not say because it is broken, another would be blamed for.
    if !faults.is_empty() {
        return Err(faults.finish());
    }
    let Entries { mut hosts, kinds, tails, addresses, groups, guests } = entries;
    let first = |at: &usize| hosts.get(*at).map(|host| (host.name.clone(), host.at));
    let of_kinds: Vec<_> = kinds.iter().map(|(_, at)| first(at)).collect();
    let of_tails: Vec<_> = tails.iter().map(|(_, at)| first(at)).collect();
    let mut groups = groups::check(groups, &mut faults);
    let guests = guests::check(guests, &mut faults);
    hosts.sort_by(|a, b| (&a.name, a.at).cmp(&(&b.name, b.at)));
    duplicates(&hosts, &mut faults);
    for ((kind, _), first) in kinds.iter().zip(&of_kinds) {
        if let Some((name, at)) = first {
            check_kind(name, kind, *at, &groups, &mut faults);
        }
    }
    for ((tail, _), first) in tails.iter().zip(&of_tails) {
        if let Some((name, at)) = first {
            check_tail(name, tail, *at, &hosts, &mut faults);
        }
    }
    own_targets(&hosts, &tails, &mut faults);
    if !faults.is_empty() {
        return Err(faults.finish());
    }
    let mut made = Vec::with_capacity(kinds.len());
    for ((kind, _), first) in kinds.into_iter().zip(&of_kinds) {
        let kind = match first {
            Some((name, at)) => resolve(name, kind, *at, &groups, &mut faults),
            None => None,
        };
        made.extend(kind);
    }
    own_authorities(&hosts, &made, &mut faults);
    if !faults.is_empty() {
        return Err(faults.finish());
    }
    for (number, kind) in made.iter().enumerate() {
        for name in &kind.above {
            if let (Some(group), Ok(number)) = (groups.get_mut(name), u32::try_from(number)) {
                group.kinds.push(number);
            }
        }
    }
    by_kind(&hosts, &mut made);
    let record = |HostAt { name, kind, tail, address, at: _ }| Record { name, kind, tail, address };
    let hosts: Vec<Record> = hosts.into_iter().map(record).collect();
    let tails = tails.into_iter().map(|(Tail { labels, fronts }, _)| super::TailOfHost {
        labels: labels.into_iter().collect(),
        fronts: fronts.into_iter().collect(),
    });
    let by_name = ByName::of(&hosts);
    Ok(Inventory { hosts, by_name, kinds: made, tails: tails.collect(), groups, addresses, guests })
}

/// Each host stands once. `hosts` are by name.
fn duplicates(hosts: &[HostAt], faults: &mut Faults<'_>) {
    let twice = hosts.iter().zip(hosts.iter().skip(1)).filter(|(first, second)| first.name == second.name);
    for (first, second) in twice {
        let place = faults.line(first.at);
        let name = &second.name;
        faults.add(second.at, name.as_str(), || {
            format!("host {name}: it stands in {place} already: keep one of the two")
        });
    }
}

fn check_kind(name: &Name, kind: &Kind, at: At, groups: &Groups, faults: &mut Faults<'_>) {
    let of = format!("host {name}");
    groups::once(&of, "groups", &kind.groups, at, faults);
    groups::once(&of, "logins", &kind.logins, at, faults);
    groups::exist(&of, &kind.groups, groups, at, faults);
    if kind.principals == Some(PrincipalStyle::Group) && kind.groups.is_empty() {
        faults.add(at, "group", || {
            format!(
                "{of}: principals says \"group\", but it is in none: name its groups or remove principals"
            )
        });
    }
}

fn check_tail(name: &Name, tail: &Tail, at: At, hosts: &[HostAt], faults: &mut Faults<'_>) {
    let of = format!("host {name}");
    if tail.labels.contains_key("") {
        faults.add(at, "", || format!("{of}: labels has the empty name \"\": give it one or remove it"));
    }
    groups::once(&of, "fronts", &tail.fronts, at, faults);
    for target in &tail.fronts {
        if hosts.binary_search_by(|host| host.name.cmp(target)).is_err() {
            faults.add(at, target.as_str(), || {
                let meant = match closest(target.as_str(), hosts.iter().map(|host| host.name.as_str())) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "add a [[host]]".into(),
                };
                format!("{of}: fronts names {target}, which is no host here: {meant}")
            });
        }
    }
}

/// No bastion fronts itself.
fn own_targets(hosts: &[HostAt], tails: &[(Tail, usize)], faults: &mut Faults<'_>) {
    let tail = |host: &HostAt| tails.get(usize::try_from(host.tail).ok()?);
    for host in hosts {
        if tail(host).is_some_and(|(tail, _)| tail.fronts.contains(&host.name)) {
            let name = &host.name;
            faults.add(host.at, name.as_str(), || {
                format!("host {name}: fronts names the host itself: a bastion's targets are other hosts")
            });
        }
    }
}

/// What a kind of hosts is, with what its groups, and theirs, add.
fn resolve(name: &Name, kind: Kind, at: At, groups: &Groups, faults: &mut Faults<'_>) -> Option<KindOfHost> {
    let Kind { groups: direct, logins, principals: own } = kind;
    let Some(above) = groups::above(&direct, groups) else {
        faults.add(at, name.as_str(), || {
            format!("host {name}: it is in more than {MAX_ABOVE} groups, those of its groups included: nest them less")
        });
        return None;
    };
    let mut logins: BTreeSet<Name> = logins.into_iter().collect();
    let mut by_groups = PrincipalStyle::default();
    for group in above.iter().filter_map(|name| groups.get(*name)) {
        logins.extend(group.logins.iter().cloned());
        by_groups = by_groups.max(group.principals.unwrap_or_default());
    }
    let saying = |style| {
        let says =
            move |name: &&&Name| groups.get(**name).is_some_and(|group| group.principals == Some(style));
        above.iter().filter(says).map(|name| (*name).clone())
    };
    let principals = own.unwrap_or(by_groups);
    let (group_principals, authority) = match (principals, own) {
        (PrincipalStyle::Host, _) => (BTreeSet::new(), Authority::Shared),
        // It says itself that it answers to its groups.
        (PrincipalStyle::Group, Some(_)) => {
            (above.iter().map(|name| (*name).clone()).collect(), Authority::Shared)
        }
        (PrincipalStyle::Group, None) => (saying(PrincipalStyle::Group).collect(), Authority::Shared),
        (PrincipalStyle::Login, Some(_)) => (BTreeSet::new(), Authority::Own),
        (PrincipalStyle::Login, None) => {
            let found: Vec<Name> = saying(PrincipalStyle::Login).collect();
            if let [one, other, ..] = found.as_slice() {
                faults.add(at, name.as_str(), || {
                    format!(
                        "host {name}: the groups {one} and {other} both say principals = \"login\", and it can trust \
                         the authority of one only: take it out of one, or say principals = \"login\" here for an \
                         authority of its own"
                    )
                });
                return None;
            }
            (BTreeSet::new(), found.into_iter().next().map_or(Authority::Shared, Authority::Group))
        }
    };
    let above = above.into_iter().cloned().collect();
    let groups = direct.into_iter().collect();
    Some(KindOfHost { groups, above, logins, principals, group_principals, authority, hosts: Vec::new() })
}

/// No host has the authority of a group of its name: a certificate for one would be good on the other.
fn own_authorities(hosts: &[HostAt], kinds: &[KindOfHost], faults: &mut Faults<'_>) {
    let kind = |host: &HostAt| kinds.get(usize::try_from(host.kind).ok()?);
    let groups: BTreeSet<&Name> = kinds
        .iter()
        .filter_map(|kind| match &kind.authority {
            Authority::Group(name) => Some(name),
            Authority::Shared | Authority::Own => None,
        })
        .collect();
    if groups.is_empty() {
        return;
    }
    let own = |host: &&HostAt| kind(host).is_some_and(|kind| matches!(kind.authority, Authority::Own));
    for HostAt { name, at, .. } in hosts.iter().filter(own).filter(|host| groups.contains(&host.name)) {
        faults.add(*at, name.as_str(), || {
            format!(
                "host {name}: it and the group {name} both say principals = \"login\" and would share the authority \
                 user-{name}: rename one of them"
            )
        });
    }
}

/// Tells each kind its hosts, in order.
fn by_kind(hosts: &[HostAt], kinds: &mut [KindOfHost]) {
    for (number, host) in hosts.iter().enumerate() {
        let kind = usize::try_from(host.kind).ok().and_then(|kind| kinds.get_mut(kind));
        if let (Some(kind), Ok(number)) = (kind, u32::try_from(number)) {
            kind.hosts.push(number);
        }
    }
    kinds.iter_mut().for_each(|kind| kind.hosts.shrink_to_fit());
}
