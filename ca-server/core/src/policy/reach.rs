//! From the accounts that were asked for to the hosts that they come to at this moment, and, once all of it is allowed,
//! to what one certificate can say. A group of hosts is every host in it, directly or by nesting.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jit_ssh_proto::{Account, Name, Place};

use super::{Denial, Rules, refusal};
use crate::inventory::{Host, Inventory};
use crate::places::{PlaceLimits, Places, Reach, Unsayable, said_by_certificate};
use crate::request::AccessRequest;

/// What a request comes to.
#[derive(Debug)]
pub(super) struct Reached<'a> {
    /// One for each account that was asked for, in that order.
    asked: Vec<Reach>,
    /// Every account of a host that is in it, once.
    pub(super) accounts: Vec<(Account, Host<'a>)>,
    /// Whether groups have more members than may be asked for at once: then the others are not here.
    beyond: bool,
}

/// Looks up what is asked for. None if some of it does not exist: a host or a group that is not there, a group that
/// nobody is in, a login that a host or a member does not offer.
pub(super) fn reach<'a>(
    inventory: &'a Inventory,
    asked: &[Account],
    limits: &PlaceLimits,
) -> Option<Reached<'a>> {
    let mut reached = Reached { asked: Vec::with_capacity(asked.len()), accounts: Vec::new(), beyond: false };
    let mut seen: BTreeSet<(&Name, &Name)> = BTreeSet::new();
    let mut left = limits.group_members;
    for account in asked {
        let login = &account.login;
        let (hosts, by_group) = match &account.place {
            Place::Host(name) => (Vec::from([inventory.host(name)?]), false),
            Place::Group(group) => {
                let members = inventory.members(group);
                if members.len() == 0 {
                    return None;
                }
                reached.beyond |= members.len() > left;
                let hosts: Vec<Host<'a>> = members.take(left).collect();
                left = left.saturating_sub(hosts.len());
                let by_group = hosts.iter().all(|host| host.group_principals().contains(group));
                (hosts, by_group)
            }
        };
        if !hosts.iter().all(|host| host.logins().contains(login)) {
            return None;
        }
        for host in &hosts {
            if seen.insert((login, host.name())) {
                let place = Place::Host(host.name().clone());
                reached.accounts.push((Account { login: login.clone(), place }, *host));
            }
        }
        let hosts = hosts.iter().map(|host| host.name().clone()).collect();
        reached.asked.push(Reach { account: account.clone(), hosts, by_group });
    }
    // Nothing is decided about nothing.
    (!reached.accounts.is_empty()).then_some(reached)
}

impl Reached<'_> {
    /// Whether something signs for every host of it.
    pub(super) fn signed(&self, rules: &Rules) -> bool {
        self.accounts.iter().all(|(_, host)| rules.signs_for(*host))
    }

    /// What one certificate says of it, all of it being allowed.
    ///
    /// # Errors
    /// Why none can, and what to ask for instead. Only for those to whom all of it is allowed: it names hosts and groups.
    pub(super) fn places(&self, request: &AccessRequest, rules: &Rules) -> Result<Places, Denial> {
        let limits = &rules.limits;
        if self.beyond {
            return Err(refusal::too_many_members(limits.group_members));
        }
        let mut authorities: BTreeMap<Option<&Name>, &Account> = BTreeMap::new();
        for (account, host) in &self.accounts {
            authorities.entry(host.authority()).or_insert(account);
        }
        let device = match authorities.iter().next() {
            Some((device, _)) if authorities.len() == 1 => *device,
            Some(_) | None => return Err(refusal::ask_separately(authorities.values().copied())),
        };
        if let (Some(device), Some(action)) = (device, request.actions().find(|a| !said_by_certificate(*a))) {
            return Err(refusal::not_on_devices(action, device));
        }
        if !self.signed(rules) {
            return Err(refusal::no_key());
        }
        Places::new(self.asked.clone(), device, limits.host_principals).map_err(|unsayable| match unsayable {
            Unsayable::TooMany { principals, groups } => {
                refusal::too_many_principals(principals, limits.host_principals, &groups)
            }
            Unsayable::Authority => refusal::no_authority(),
        })
    }
}
