//! Which hosts, groups and accounts there are: what the inventory offers exists, nothing else does.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use jit_ssh_proto::{Account, Name, Place};
use serde::Deserialize;

/// One `inventory/*.toml` file, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryFile {
    /// `[[host]]`
    #[serde(default)]
    pub host: Vec<HostEntry>,
    /// `[[group]]`
    #[serde(default)]
    pub group: Vec<GroupEntry>,
}

/// `[[host]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostEntry {
    /// The name in principals and policies.
    pub name: Name,
    /// Groups it is in.
    #[serde(default)]
    pub groups: Vec<Name>,
    /// Free labels, tags of the host in policies.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Logins it offers, besides those of its groups.
    #[serde(default)]
    pub logins: Vec<Name>,
    /// What its principals are.
    #[serde(default)]
    pub principals: Option<PrincipalStyle>,
    /// Where it is reached, `ADDRESS[:PORT]`, if its name does not say.
    #[serde(default)]
    pub address: Option<String>,
    /// The hosts it is a bastion for.
    #[serde(default)]
    pub fronts: Vec<Name>,
}

/// `[[group]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupEntry {
    /// The name in principals and policies.
    pub name: Name,
    /// Logins that every member offers.
    #[serde(default)]
    pub logins: Vec<Name>,
    /// Groups that this group is in.
    #[serde(default)]
    pub groups: Vec<Name>,
    /// What its members' principals are.
    #[serde(default)]
    pub principals: Option<PrincipalStyle>,
}

/// What the principals of a host are.
///
/// In the order of how much they narrow a request: where groups differ and the host says nothing, the last wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalStyle {
    /// `mode:login@host`
    #[default]
    Host,
    /// `mode:login@group/NAME`
    Group,
    /// Plain `login`, for devices that can match nothing else; signed by an authority of its own.
    Login,
}

/// Every host and group, checked.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    hosts: BTreeMap<Name, Host>,
    /// Group → the groups it is in.
    groups: BTreeMap<Name, BTreeSet<Name>>,
}

/// A host and what it offers.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name.
    pub name: Name,
    /// The groups it is in directly.
    pub groups: BTreeSet<Name>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Every login it offers: its own and those of its groups, nested ones too.
    pub logins: BTreeSet<Name>,
    /// What its principals are.
    pub principals: PrincipalStyle,
    /// Where it is reached.
    pub address: Option<String>,
    /// The hosts it is a bastion for.
    pub fronts: BTreeSet<Name>,
}

/// What is wrong with an inventory: which file, which entry, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct InventoryError {
    /// The file.
    pub file: String,
    /// What is wrong there.
    pub what: String,
}

impl Inventory {
    /// Merges files (name, contents): a host or group stands in one place only; groups must exist and have no cycle.
    ///
    /// # Errors
    /// The first entry that is wrong.
    pub fn build(files: &[(String, InventoryFile)]) -> Result<Self, InventoryError> {
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
            if let Some(address) = &entry.address {
                check_address(address).map_err(|what| error(format!("address {address:?} {what}")))?;
            }
        }
        for (file, entry) in hosts.values() {
            let error = |what: String| InventoryError::new(file, format!("host {}: {what}", entry.name));
            if let Some(twice) = first_repeated(&entry.fronts) {
                return Err(error(format!("fronts has {twice} twice: name it once")));
            }
            if entry.fronts.contains(&entry.name) {
                return Err(error(
                    "fronts names the host itself: a bastion's targets are other hosts".into(),
                ));
            }
            if let Some(unknown) = entry.fronts.iter().find(|target| !hosts.contains_key(*target)) {
                return Err(error(format!("fronts names {unknown}, which is no host here: add a [[host]]")));
            }
        }
        let hosts = hosts.into_values().map(|(_, entry)| (entry.name.clone(), entry.resolve(&groups)));
        Ok(Self {
            hosts: hosts.collect(),
            groups: groups.into_iter().map(|(name, g)| (name, g.groups.iter().cloned().collect())).collect(),
        })
    }

    /// The host of an account, if the inventory offers that account: an account of one host, with a login that the
    /// host or one of its groups names.
    #[must_use]
    pub fn account(&self, account: &Account) -> Option<&Host> {
        match &account.place {
            Place::Host(name) => self.hosts.get(name).filter(|host| host.logins.contains(&account.login)),
            Place::Group(_) => None,
        }
    }

    /// The groups that a group is in directly.
    #[must_use]
    pub fn group(&self, name: &Name) -> Option<&BTreeSet<Name>> {
        self.groups.get(name)
    }

    /// The host of that name.
    #[must_use]
    pub fn host(&self, name: &Name) -> Option<&Host> {
        self.hosts.get(name)
    }

    /// Every host, by name.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// Every group with the groups it is in, by name.
    pub fn groups(&self) -> impl Iterator<Item = (&Name, &BTreeSet<Name>)> {
        self.groups.iter()
    }
}

type Groups<'a> = BTreeMap<Name, &'a GroupEntry>;

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

/// `ADDRESS[:PORT]`: a name of DNS, an IPv4 address, or an IPv6 address, in brackets if a port follows.
fn check_address(text: &str) -> Result<(), &'static str> {
    const FORM: &str =
        "is not ADDRESS[:PORT]: write a DNS name, an IPv4 address, or an IPv6 address in brackets";
    let port = |port: &str| {
        let digits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
        match port.parse::<u16>() {
            Ok(1..) if digits && !port.starts_with('0') => Ok(()),
            Ok(_) | Err(_) => Err("has no port from 1 to 65535 after its last ':'"),
        }
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(FORM)?;
        return match (address.parse::<IpAddr>(), after.strip_prefix(':')) {
            (Ok(IpAddr::V6(_)), Some(digits)) => port(digits),
            (Ok(IpAddr::V6(_)), None) if after.is_empty() => Ok(()),
            (Ok(_) | Err(_), _) => Err(FORM),
        };
    }
    if let Ok(IpAddr::V6(_)) = text.parse() {
        return Ok(());
    }
    let (name, digits) = match text.split_once(':') {
        Some((name, digits)) => (name, Some(digits)),
        None => (text, None),
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > Name::MAX_BYTES || !name.split('.').all(label) {
        return Err(FORM);
    }
    digits.map_or(Ok(()), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(files: &[&str]) -> Result<Inventory, InventoryError> {
        let parsed = files.iter().enumerate().map(|(at, text)| {
            (format!("{at}.toml"), toml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}")))
        });
        Inventory::build(&parsed.collect::<Vec<_>>())
    }

    #[test]
    fn logins_reach_members_through_nested_groups() {
        let inventory = build(&[
            r#"
            host = [
                { name = "web-1", groups = ["web", "eu"], logins = ["backup"], address = "10.0.0.1:2222" },
                { name = "bare" },
                { name = "gate", fronts = ["web-1", "bare"] },
            ]
            "#,
            r#"
            group = [
                { name = "web", groups = ["prod"], logins = ["www"] },
                { name = "eu", groups = ["prod"] },
                { name = "prod", groups = ["all"], logins = ["deploy"] },
                { name = "all", logins = ["audit", "www"] },
            ]
            "#,
        ])
        .unwrap();
        let host = |name: &str| inventory.host(&name.parse().unwrap()).unwrap();
        let logins: Vec<&str> = host("web-1").logins.iter().map(Name::as_str).collect();
        assert_eq!(logins, ["audit", "backup", "deploy", "www"]);
        assert!(host("bare").logins.is_empty());
        assert_eq!(host("gate").fronts.len(), 2);
        assert_eq!((inventory.hosts().count(), inventory.groups().count()), (3, 4));
        for (account, offered) in [
            ("deploy@web-1", true),
            ("backup@web-1", true),
            ("root@web-1", false),
            ("deploy@bare", false),
            ("deploy@nowhere", false),
            ("deploy@group/web", false),
        ] {
            assert_eq!(inventory.account(&account.parse().unwrap()).is_some(), offered, "{account}");
        }
    }

    #[test]
    fn a_host_says_its_style_or_its_groups_do() {
        let inventory = build(&[r#"
            host = [
                { name = "a", groups = ["near"] },
                { name = "b", groups = ["near"], principals = "host" },
                { name = "c", groups = ["near", "devices"] },
                { name = "d", groups = ["plain"] },
            ]
            group = [
                { name = "near", groups = ["far"] },
                { name = "far", principals = "group" },
                { name = "devices", principals = "login" },
                { name = "plain" },
            ]
        "#])
        .unwrap();
        let styles: Vec<PrincipalStyle> = inventory.hosts().map(|h| h.principals).collect();
        assert_eq!(
            styles,
            [PrincipalStyle::Group, PrincipalStyle::Host, PrincipalStyle::Login, PrincipalStyle::Host]
        );
    }

    #[test]
    fn what_is_refused_names_file_and_entry() {
        for (files, expected) in [
            (
                &[r#"host = [{ name = "a" }]"#, r#"host = [{ name = "a" }]"#][..],
                "1.toml: host a: it stands in 0.toml already",
            ),
            (&[r#"host = [{ name = "a" }, { name = "a" }]"#], "0.toml: host a: it stands in 0.toml already"),
            (
                &[r#"group = [{ name = "g" }]"#, r#"group = [{ name = "g" }]"#],
                "1.toml: group g: it stands in 0.toml already",
            ),
            (
                &["", r#"host = [{ name = "a", groups = ["g"] }]"#],
                "1.toml: host a: groups names g, which is no group",
            ),
            (
                &[r#"group = [{ name = "g", groups = ["h"] }]"#],
                "0.toml: group g: groups names h, which is no group",
            ),
            (
                &[r#"group = [{ name = "g" }]
                  host = [{ name = "a", groups = ["g", "g"] }]"#],
                "0.toml: host a: groups has g twice",
            ),
            (&[r#"host = [{ name = "a", logins = ["x", "y", "x"] }]"#], "0.toml: host a: logins has x twice"),
            (&[r#"group = [{ name = "g", logins = ["x", "x"] }]"#], "0.toml: group g: logins has x twice"),
            (
                &[r#"host = [{ name = "a", labels = { "" = "x" } }]"#],
                "0.toml: host a: labels has the empty name",
            ),
            (
                &[r#"host = [{ name = "a", fronts = ["b"] }]"#],
                "0.toml: host a: fronts names b, which is no host",
            ),
            (&[r#"host = [{ name = "a", fronts = ["a"] }]"#], "0.toml: host a: fronts names the host itself"),
            (&[r#"group = [{ name = "g", groups = ["g"] }]"#], "0.toml: groups are in themselves: g -> g:"),
            (
                &[
                    r#"group = [{ name = "a", groups = ["b"] }, { name = "b", groups = ["c"] }]"#,
                    r#"group = [{ name = "c", groups = ["d", "b"] }, { name = "d" }]"#,
                ],
                "0.toml: groups are in themselves: b -> c -> b:",
            ),
        ] {
            let error = build(files).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}\n{expected}");
        }
    }

    #[test]
    fn a_diamond_is_no_cycle_and_a_long_chain_no_recursion() {
        let diamond = r#"group = [{ name = "a", groups = ["b", "c"] }, { name = "b", groups = ["d"] },
                                  { name = "c", groups = ["d"] }, { name = "d" }]"#;
        assert!(build(&[diamond]).is_ok());
        let entry = |at: usize, groups: Vec<Name>| GroupEntry {
            name: format!("g{at}").parse().unwrap(),
            logins: Vec::new(),
            groups,
            principals: None,
        };
        let group: Vec<GroupEntry> = (0..20_000_usize)
            .map(|at| {
                entry(
                    at,
                    if at == 0 { Vec::new() } else { Vec::from([format!("g{}", at - 1).parse().unwrap()]) },
                )
            })
            .collect();
        assert!(Inventory::build(&[("f".into(), InventoryFile { host: Vec::new(), group })]).is_ok());
    }

    #[test]
    fn addresses() {
        for good in [
            "10.0.0.1",
            "10.0.0.1:22",
            "web-1.example.com",
            "Web_1.example.com:65535",
            "::1",
            "fe80::1",
            "[::1]",
            "[2001:db8::1]:2222",
            "localhost",
        ] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            " ",
            ":22",
            "host:",
            "host:0",
            "host:022",
            "host:65536",
            "host:+22",
            "host:22:22",
            "host name",
            "user@host",
            "host/path",
            "[::1",
            "::1]",
            "[::1]22",
            "[::1]:",
            "[10.0.0.1]:22",
            "[host]:22",
            "a..b",
            "-a",
            "a-",
            ".a",
            "a.",
            "h\n",
            "hôte",
            "$(id)",
            "%h",
            "-oProxyCommand=x",
        ] {
            assert!(check_address(bad).is_err(), "{bad:?}");
        }
        let error = build(&[r#"host = [{ name = "a", address = "a b" }]"#]).unwrap_err().to_string();
        assert!(error.starts_with("0.toml: host a: address \"a b\" is not ADDRESS[:PORT]"), "{error}");
    }

    #[test]
    fn what_the_file_itself_cannot_say() {
        for bad in [
            r#"host = [{ name = "A" }]"#,
            r#"host = [{ name = "a", fronts = ["b c"] }]"#,
            r#"host = [{ name = "a", login = ["x"] }]"#,
            r#"host = [{ name = "a", principals = "logins" }]"#,
            r#"host = [{ name = "a", logins = ["*"] }]"#,
            r#"host = [{ }]"#,
            r#"hosts = []"#,
        ] {
            assert!(toml::from_str::<InventoryFile>(bad).is_err(), "{bad}");
        }
    }
}
