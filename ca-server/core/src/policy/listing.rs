//! Which accounts somebody may get to now, and what each takes: by host and login, a bounded number at a time, however
//! many hosts there are.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use jit_ssh_proto::wire::{ReachableAccount, ReachableMode};
use jit_ssh_proto::{Account, Mode, Name, Place, UserKey};

use super::aims::Aim;
use super::explain::{self, Calendar};
use super::{Circumstances, Rules};
use crate::identity::VerifiedIdentity;
use crate::inventory::Host;

/// How many accounts one call looks at.
const LOOKED_AT: usize = 200;

/// The modes that are listed.
const MODES: [Mode; 4] = [Mode::Shell, Mode::Exec, Mode::Sftp, Mode::Forward];

/// Which part of the list is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Only what comes after this account.
    pub after: Option<&'a Account>,
    /// Only hosts whose name begins so.
    pub prefix: &'a str,
    /// The most accounts.
    pub limit: usize,
}

/// Part of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reachable {
    /// The accounts, by host and login.
    pub accounts: Vec<ReachableAccount>,
    /// The account after which to go on, if there may be more.
    pub next: Option<Account>,
}

pub(super) fn accounts(
    rules: &Rules,
    identity: &VerifiedIdentity,
    key: &UserKey,
    at: &Circumstances,
    calendar: &dyn Calendar,
    wanted: &Wanted<'_>,
) -> Reachable {
    let mut reachable = Reachable { accounts: Vec::new(), next: None };
    let aims = rules.compiled.aims.from(identity);
    let after = wanted.after.and_then(|account| match &account.place {
        Place::Host(host) => Some((host, &account.login)),
        Place::Group(_) => None,
    });
    let from = after.map_or(wanted.prefix, |(host, _)| host.as_str().max(wanted.prefix));
    let mut looked_at: usize = 0;
    let hosts = hosts(rules, &aims, from).take_while(|host| host.name().as_str().starts_with(wanted.prefix));
    let mut last: Option<Account> = None;
    for host in hosts {
        for login in host.logins() {
            if after.is_some_and(|after| (host.name(), login) <= after) {
                continue;
            }
            if looked_at >= LOOKED_AT || reachable.accounts.len() >= wanted.limit {
                reachable.next = last;
                return reachable;
            }
            looked_at = looked_at.saturating_add(1);
            let account = Account { login: login.clone(), place: Place::Host(host.name().clone()) };
            let needed = |mode| explain::needed((rules, identity, key, at), calendar, &account, mode);
            let modes: Vec<ReachableMode> = MODES.into_iter().filter_map(needed).collect();
            if !modes.is_empty() {
                let (account, address) = (account.to_string(), host.address().map(ToString::to_string));
                reachable.accounts.push(ReachableAccount { account, address, modes });
            }
            last = Some(account);
        }
    }
    reachable
}

/// The hosts that any permit may lead to, by name, each once.
fn hosts<'a>(
    rules: &'a Rules,
    aims: &BTreeSet<&'a Aim>,
    from: &str,
) -> impl Iterator<Item = Host<'a>> + use<'a> {
    let inventory = rules.inventory();
    let mut sources: Vec<Box<dyn Iterator<Item = Host<'a>> + 'a>> = Vec::new();
    let mut single: BTreeSet<&'a Name> = BTreeSet::new();
    for aim in aims {
        match aim {
            Aim::Anywhere => sources.push(Box::new(inventory.hosts_from(from))),
            Aim::Group(group) => sources.push(Box::new(inventory.members_from(group, from))),
            Aim::Host(host) => drop(single.insert(host)),
            Aim::Account(account) => match &account.place {
                Place::Host(host) => drop(single.insert(host)),
                Place::Group(_) => {}
            },
        }
    }
    single.retain(|host| host.as_str() >= from);
    sources.push(Box::new(single.into_iter().filter_map(|name| inventory.host(name))));
    merged(sources)
}

/// Iterators that are each in order become one that is, without what comes twice.
fn merged<'a>(sources: Vec<Box<dyn Iterator<Item = Host<'a>> + 'a>>) -> impl Iterator<Item = Host<'a>> {
    let mut sources: Vec<_> = sources.into_iter().map(Iterator::peekable).collect();
    core::iter::from_fn(move || {
        let first =
            sources.iter_mut().filter_map(|source| source.peek().copied()).min_by_key(|host| host.name())?;
        for source in &mut sources {
            source.next_if(|host| host.name() == first.name());
        }
        Some(first)
    })
}
