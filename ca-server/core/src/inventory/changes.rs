//! What one inventory has that another has not.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt::Display;

use jit_ssh_proto::event::{Ruled, RulesChange};

use super::{Guest, Inventory};

impl Inventory {
    /// What differs from an earlier one, for each kind that differs.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> Vec<RulesChange> {
        // Hosts of the same kind and tail are compared once for all of them.
        let (mut kinds, mut tails) = (BTreeMap::new(), BTreeMap::new());
        let hosts = difference(
            Ruled::Hosts,
            old.hosts().zip(&old.hosts).map(|host| (host.0.name(), host)),
            self.hosts().zip(&self.hosts).map(|host| (host.0.name(), host)),
            |(was, old), (is, new)| {
                let kind = kinds.entry((old.kind, new.kind)).or_insert_with(|| was.kind.same(is.kind));
                let tail = tails.entry((old.tail, new.tail)).or_insert_with(|| was.tail == is.tail);
                *kind && *tail && was.address() == is.address()
            },
        );
        let groups = difference(Ruled::Groups, old.groups.iter(), self.groups.iter(), |was, is| {
            (&was.parents, &was.logins, was.principals) == (&is.parents, &is.logins, is.principals)
        });
        let named = |guest: &Guest| format!("{}/{}", guest.issuer(), guest.person());
        let guests =
            |of: &Self| of.guests().map(|guest| (named(guest), guest.clone())).collect::<BTreeMap<_, _>>();
        let guests =
            difference(Ruled::Guests, guests(old).into_iter(), guests(self).into_iter(), |was, is| was == is);
        [hosts, groups, guests].into_iter().flatten().collect()
    }
}

/// What differs between two lists in the order of their names; none if nothing does.
pub(crate) fn difference<N: Ord + Display, T>(
    of: Ruled,
    old: impl Iterator<Item = (N, T)>,
    new: impl Iterator<Item = (N, T)>,
    mut same: impl FnMut(&T, &T) -> bool,
) -> Option<RulesChange> {
    let mut change = RulesChange { of, added: 0, removed: 0, changed: 0, names: Vec::new() };
    let tell = |names: &mut Vec<_>, sign: char, name: &N| {
        if names.len() < RulesChange::NAMES {
            names.push(format!("{sign}{name}"));
        }
    };
    let (mut old, mut new) = (old.peekable(), new.peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some((was, _)), Some((is, _))) => was.cmp(is),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        let was = if order == Ordering::Greater { None } else { old.next() };
        let is = if order == Ordering::Less { None } else { new.next() };
        match (was, is) {
            (Some((name, _)), None) => {
                change.removed = change.removed.saturating_add(1);
                tell(&mut change.names, '-', &name);
            }
            (None, Some((name, _))) => {
                change.added = change.added.saturating_add(1);
                tell(&mut change.names, '+', &name);
            }
            (Some((name, was)), Some((_, is))) if !same(&was, &is) => {
                change.changed = change.changed.saturating_add(1);
                tell(&mut change.names, '~', &name);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    let differs = change.added != 0 || change.removed != 0 || change.changed != 0;
    differs.then_some(change)
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use alloc::string::ToString;

    use super::*;

    const OLD: &str = r#"
        host = [
            { name = "a", groups = ["web"] },
            { name = "b", address = "10.0.0.1" },
            { name = "c", labels = { env = "prod" } },
            { name = "d" },
        ]
        group = [{ name = "web", logins = ["deploy"] }, { name = "old" }]
        guest = [{ issuer = "corp", name = "eve", sponsor = "corp/alice", until = "2026-12-31" }]
    "#;

    fn told(old: &str, new: &str) -> Vec<alloc::string::String> {
        let (old, new) = (read(&[old]).unwrap(), read(&[new]).unwrap());
        new.changes_since(&old).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_changed_is_told() {
        for (from, to, expected) in [
            ("", "", &[][..]),
            ("10.0.0.1", "10.0.0.2", &["hosts +0 -0 ~1 (~b)"]),
            ("prod", "lab", &["hosts +0 -0 ~1 (~c)"]),
            // What a group gives, its hosts have.
            ("deploy", "root", &["hosts +0 -0 ~1 (~a)", "groups +0 -0 ~1 (~web)"]),
            (r#", { name = "old" }"#, "", &["groups +0 -1 ~0 (-old)"]),
            (r#"{ name = "d" }"#, r#"{ name = "e" }, { name = "f" }"#, &["hosts +2 -1 ~0 (-d +e +f)"]),
            ("2026", "2027", &["guests +0 -0 ~1 (~corp/eve)"]),
            (
                "name = \"eve\"",
                "email = \"eve@x.example\"",
                &["guests +1 -1 ~0 (-corp/eve +corp/eve@x.example)"],
            ),
            ("\n        group", " # said anew\n        group", &[]),
        ] {
            assert_eq!(told(OLD, &OLD.replacen(from, to, 1)), expected, "{from} {to}");
        }
        // The order of files and entries is of no consequence.
        let halves: Vec<&str> = OLD.split("group = ").collect();
        let moved = alloc::format!("group = {}\n{}", halves[1], halves[0]);
        assert_eq!(told(OLD, &moved), [""; 0]);
    }

    #[test]
    fn no_more_than_ten_names_are_told() {
        let hosts = |count: usize| {
            (0..count).map(|at| format!("[[host]]\nname = \"h{at:05}\"\n")).collect::<alloc::string::String>()
        };
        let all = told("", &hosts(5000));
        assert_eq!(all.len(), 1);
        assert!(
            all[0].starts_with("hosts +5000 -0 ~0 (+h00000 +h00001") && all[0].ends_with("+h00009 …)"),
            "{all:?}"
        );
        assert_eq!(told(&hosts(3), ""), ["hosts +0 -3 ~0 (-h00000 -h00001 -h00002)"]);
    }
}
