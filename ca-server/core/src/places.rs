//! Where an allowed request leads: what was asked for, the hosts that it came to at that moment, and what a certificate
//! calls them (DESIGN 4). Which hosts are in which groups is the inventory's business; here it is known already.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;

use jit_ssh_proto::event::Members;
use jit_ssh_proto::{Account, Action, Name, Place};

use crate::authority::{Authority, USER};

/// How far one request may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceLimits {
    /// The most members that the groups of one request may have together.
    pub group_members: usize,
    /// The most principals of one certificate.
    pub host_principals: usize,
}

impl Default for PlaceLimits {
    fn default() -> Self {
        Self { group_members: 1000, host_principals: 32 }
    }
}

/// One account that was asked for, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// As asked: of a host or of a group of hosts.
    pub account: Account,
    /// The hosts by name, each once; for a host's account that host.
    pub hosts: Vec<Name>,
    /// Whether every one of them answers to the group's name.
    pub by_group: bool,
}

impl Reach {
    /// An account of one host.
    #[must_use]
    pub fn host(login: Name, host: Name) -> Self {
        Self {
            account: Account { login, place: Place::Host(host.clone()) },
            hosts: Vec::from([host]),
            by_group: false,
        }
    }

    /// Whether it comes to this login on this host.
    #[must_use]
    pub fn covers(&self, login: &Name, host: &Name) -> bool {
        self.account.login == *login && self.hosts.binary_search(host).is_ok()
    }
}

/// What the principals of a certificate are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// `mode:login@place`, for hosts that have files of ours; signed by `user`.
    Places(Vec<Account>),
    /// Plain `login`, for devices that match nothing else: where it is good is for the authority to say, `user-NAME`.
    Logins(Vec<Name>),
}

/// Everything that an allowed request leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    reaches: Vec<Reach>,
    authority: Name,
    named: Named,
}

/// Why a certificate cannot say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsayable {
    /// More principals than a certificate may have.
    TooMany {
        /// How many there would be.
        principals: usize,
        /// The groups that were asked for and have members that do not answer to the group's name.
        groups: Vec<Name>,
    },
    /// A group of devices whose name is too long to be an authority's.
    Authority,
}

impl Places {
    /// Finds the names: one for each host if there are not too many, else the name of each group whose members all
    /// answer to it. For `device`, the host or group whose own authority signs, plain logins.
    ///
    /// # Errors
    /// When no certificate can say it.
    pub fn new(mut reaches: Vec<Reach>, device: Option<&Name>, most: usize) -> Result<Self, Unsayable> {
        for reach in &mut reaches {
            reach.hosts.sort_unstable();
            reach.hosts.dedup();
        }
        if let Some(device) = device {
            let authority = format!("{USER}-{device}").parse().map_err(|_| Unsayable::Authority)?;
            let logins: BTreeSet<&Name> = reaches.iter().map(|reach| &reach.account.login).collect();
            let named = Named::Logins(logins.into_iter().cloned().collect());
            return Ok(Self { reaches, authority, named });
        }
        let authority = USER.parse().map_err(|_| Unsayable::Authority)?;
        let mut accounts = by_host(&reaches, &BTreeSet::new());
        if accounts.len() > most {
            let groups: BTreeSet<&Account> =
                reaches.iter().filter(|reach| reach.by_group).map(|reach| &reach.account).collect();
            let hosts = by_host(&reaches, &groups);
            accounts = groups.into_iter().cloned().chain(hosts).collect();
        }
        if accounts.len() > most {
            let groups = reaches.iter().filter(|reach| !reach.by_group);
            let groups = groups.filter_map(|reach| match &reach.account.place {
                Place::Group(name) => Some(name.clone()),
                Place::Host(_) => None,
            });
            return Err(Unsayable::TooMany { principals: accounts.len(), groups: groups.collect() });
        }
        Ok(Self { reaches, authority, named: Named::Places(accounts) })
    }

    /// Exactly these principals, whatever they lead to: for tests of what certificates say.
    #[must_use]
    pub fn as_written(accounts: Vec<Account>, authority: Name) -> Self {
        let reach = |account: &Account| match &account.place {
            Place::Host(host) => Reach::host(account.login.clone(), host.clone()),
            Place::Group(group) => {
                Reach { account: account.clone(), hosts: Vec::from([group.clone()]), by_group: true }
            }
        };
        let reaches = accounts.iter().map(reach).collect();
        let named = if Authority::device_of(&authority).is_some() {
            Named::Logins(accounts.into_iter().map(|account| account.login).collect())
        } else {
            Named::Places(accounts)
        };
        Self { reaches, authority, named }
    }

    /// What was asked for, and what it came to.
    #[must_use]
    pub fn reaches(&self) -> &[Reach] {
        &self.reaches
    }

    /// The authority that signs: `user` or `user-NAME`.
    #[must_use]
    pub fn authority(&self) -> &Name {
        &self.authority
    }

    /// What the principals are.
    #[must_use]
    pub fn named(&self) -> &Named {
        &self.named
    }

    /// The members of the groups that were asked for, for the ledger.
    #[must_use]
    pub fn members(&self) -> Vec<Members> {
        let groups = self.reaches.iter().filter(|reach| matches!(reach.account.place, Place::Group(_)));
        groups.map(|reach| Members { account: reach.account.clone(), hosts: reach.hosts.clone() }).collect()
    }

    /// Every host, each once.
    pub fn hosts(&self) -> impl Iterator<Item = &Name> {
        self.reaches.iter().flat_map(|reach| &reach.hosts).collect::<BTreeSet<_>>().into_iter()
    }
}

/// Each account of a host that none of these groups names, once, in the order asked.
fn by_host(reaches: &[Reach], groups: &BTreeSet<&Account>) -> Vec<Account> {
    let mut seen: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
    for reach in reaches.iter().filter(|reach| groups.contains(&reach.account)) {
        seen.entry(&reach.account.login).or_default().extend(&reach.hosts);
    }
    let mut accounts = Vec::new();
    for reach in reaches {
        let login = &reach.account.login;
        let seen = seen.entry(login).or_default();
        for host in &reach.hosts {
            if seen.insert(host) {
                accounts.push(Account { login: login.clone(), place: Place::Host(host.clone()) });
            }
        }
    }
    accounts
}

/// Whether an action can be held to its meaning where a host has no files of ours: the certificate alone must say it.
/// What forwards ports cannot, because that Unix sockets are not forwarded, and where a jump leads, only those files say.
#[must_use]
pub fn said_by_certificate(action: Action) -> bool {
    match action {
        Action::Shell | Action::Exec | Action::Sftp | Action::Agent | Action::X11 => true,
        Action::Forward | Action::Jump | Action::Sudo => false,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// `deploy@web-1`, `deploy@group/web=web-1,web-2`, with a `!` before the hosts if they answer to the group's name.
    fn reach(text: &str) -> Reach {
        let (account, hosts) = text.split_once('=').unwrap_or((text, ""));
        let account: Account = account.parse().unwrap();
        if let Place::Host(host) = &account.place {
            return Reach::host(account.login.clone(), host.clone());
        }
        let by_group = hosts.starts_with('!');
        let hosts = hosts.trim_start_matches('!').split(',').map(name).collect();
        Reach { account, hosts, by_group }
    }

    fn named(asked: &[&str], most: usize) -> Result<Vec<alloc::string::String>, Unsayable> {
        let places = Places::new(asked.iter().map(|text| reach(text)).collect(), None, most)?;
        assert_eq!(places.authority().as_str(), "user");
        match places.named() {
            Named::Places(accounts) => Ok(accounts.iter().map(ToString::to_string).collect()),
            Named::Logins(logins) => panic!("{logins:?}"),
        }
    }

    #[test]
    fn each_host_by_its_name_while_there_are_few_and_groups_by_theirs_beyond() {
        for (asked, most, expected) in [
            (&["d@a"][..], 1, &["d@a"][..]),
            (&["d@b", "d@a"], 2, &["d@b", "d@a"]),
            (&["d@group/g=!a,b"], 2, &["d@a", "d@b"]),
            (&["d@group/g=!a,b,c"], 2, &["d@group/g"]),
            // A host that is asked for twice is one.
            (&["d@a", "d@group/g=a,b"], 2, &["d@a", "d@b"]),
            (&["d@a", "d@group/g=!a,b,c"], 2, &["d@group/g"]),
            // Another login on it is another.
            (&["r@a", "d@group/g=!a,b,c"], 2, &["d@group/g", "r@a"]),
            // Those whose members do not answer to the group are named one by one.
            (&["d@group/g=!a,b,c", "d@group/h=x,y"], 3, &["d@group/g", "d@x", "d@y"]),
            (&["d@group/g=!a,b,c", "r@group/g=!a,b,c"], 2, &["d@group/g", "r@group/g"]),
        ] {
            assert_eq!(named(asked, most).unwrap(), expected, "{asked:?}");
        }
    }

    #[test]
    fn what_cannot_be_said_names_the_groups_that_are_to_blame() {
        for (asked, most, principals, groups) in [
            (&["d@a", "d@b"][..], 1, 2, &[][..]),
            (&["d@group/g=a,b,c"], 2, 3, &["g"]),
            (&["d@group/g=!a,b,c", "d@group/h=x,y"], 2, 3, &["h"]),
            (&["d@group/g=!a,b", "d@x", "d@y"], 2, 3, &[]),
        ] {
            let groups = groups.iter().copied().map(name).collect();
            assert_eq!(named(asked, most), Err(Unsayable::TooMany { principals, groups }), "{asked:?}");
        }
    }

    #[test]
    fn devices_get_plain_logins_whatever_the_limit() {
        let switches = name("switches");
        let reaches = vec![reach("admin@group/switches=s-1,s-2"), reach("admin@s-3"), reach("audit@s-1")];
        let places = Places::new(reaches, Some(&switches), 1).unwrap();
        assert_eq!(places.authority().as_str(), "user-switches");
        assert_eq!(*places.named(), Named::Logins(vec![name("admin"), name("audit")]));
        assert_eq!(places.hosts().map(Name::as_str).collect::<Vec<_>>(), ["s-1", "s-2", "s-3"]);
        let long = name(&"x".repeat(Name::MAX_BYTES));
        assert_eq!(Places::new(vec![reach("a@b")], Some(&long), 1), Err(Unsayable::Authority));
    }

    #[test]
    fn the_ledger_is_told_the_members_of_groups() {
        let places = Places::new(vec![reach("d@a"), reach("d@group/g=b,c")], None, 9).unwrap();
        let members: Vec<_> = places.members().into_iter().map(|m| (m.account, m.hosts)).collect();
        assert_eq!(members, [("d@group/g".parse().unwrap(), vec![name("b"), name("c")])]);
    }
}
