//! How far inside our own network an address is, and a look-up of names that keeps a provider from sending us further
//! in than where it is itself. A literal address in a URL never comes here: [`super::fetch`] judges it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// How far inside an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Anywhere.
    Public,
    /// In a network of our own.
    Private,
    /// This machine, or what only it can see: loopback, link-local (where clouds answer questions about a machine).
    Local,
}

impl Place {
    /// Where an address is (the special-purpose registries of RFC 6890). An IPv6 address that stands for an IPv4
    /// address is where that is.
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, ..] = address.octets();
        match (a, b) {
            (0 | 127 | 224.., _) | (169, 254) => Self::Local,
            (10, _) | (172, 16..=31) | (192, 168) | (100, 64..=127) | (198, 18..=19) => Self::Private,
            (192, 0) if address.octets().starts_with(&[192, 0, 0]) => Self::Private,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if address.is_loopback() || address.is_unspecified() {
            return Self::Local;
        }
        let [a, b, c, d, e, f, g, h] = address.segments();
        let v4 =
            |high: u16, low: u16| Self::of_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
        match (a, b) {
            // IPv4-compatible (RFC 4291, 2.5.5.1), NAT64 (RFC 6052, 2.1) and 6to4 (RFC 3056, 2).
            (0, 0) if [c, d, e, f] == [0; 4] => v4(g, h),
            (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => v4(g, h),
            (0x2002, high) => v4(high, c),
            // NAT64 of a network of our own (RFC 8215), unique local, and site-local as it once was.
            (0x64, 0xff9b) | (0xfc00..=0xfdff | 0xfec0..=0xfeff, _) => Self::Private,
            (0xfe80..=0xfebf | 0xff00.., _) => Self::Local,
            _ => Self::Public,
        }
    }

    /// Where a URL's host is, if that can be told without asking anybody.
    pub(super) fn of_host(url: &Url) -> Option<Self> {
        match url.host() {
            Some(Host::Ipv4(address)) => Some(Self::of(address.into())),
            Some(Host::Ipv6(address)) => Some(Self::of(address.into())),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                (name == "localhost" || name.ends_with(".localhost")).then_some(Self::Local)
            }
            None => Some(Self::Local),
        }
    }
}

/// A name that a provider sent us to, and that is further inside than the provider.
#[derive(Debug, thiserror::Error)]
#[error("{0} is an address in this machine's own network, and the issuer's own is not")]
pub(super) struct Inward(String);

/// The names of this machine's configuration: `/etc/hosts`, DNS.
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

/// Looks up names for one provider, at the moment of connecting, so that no name can change its mind in between. Its own
/// name may be anywhere, because the operator wrote it; any other, only as far inside as it is itself. Where a proxy is on
/// the way, the proxy looks up names and is the judge.
#[derive(Clone)]
pub(super) struct Guard {
    /// The issuer's host, if it is a name.
    issuer: Option<String>,
    /// Where it is, if that needs no look-up.
    known: Option<Place>,
    /// The hosts of proxies, which the operator wrote too.
    proxies: Arc<BTreeSet<String>>,
    names: Arc<dyn Resolve>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Guard {
    /// For the provider with this issuer identifier.
    pub(super) fn new(issuer: &str) -> Self {
        Self::with(issuer, proxies(|name| std::env::var(name).ok()), Arc::new(System))
    }

    /// The same with other names.
    pub(super) fn with(issuer: &str, proxies: BTreeSet<String>, names: Arc<dyn Resolve>) -> Self {
        let url = Url::parse(issuer).ok();
        let host = url.as_ref().and_then(Url::domain).map(str::to_owned);
        let known = url.as_ref().map_or(Some(Place::Public), Place::of_host);
        Self { issuer: host, known, proxies: Arc::new(proxies), names }
    }

    /// Where the provider is: if its name has several addresses, the one furthest outside counts; if it has none that can
    /// be found, it is a stranger.
    pub(super) async fn place(&self) -> Place {
        if let Some(known) = self.known {
            return known;
        }
        let Some(name) = self.issuer.as_deref().and_then(|name| name.parse().ok()) else {
            return Place::Public;
        };
        let found = self.names.resolve(name).await;
        found.ok().and_then(|found| found.map(|at| Place::of(at.ip())).min()).unwrap_or(Place::Public)
    }

    async fn look_up(self, name: Name) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
        let asked = name.as_str().to_owned();
        let found: Vec<SocketAddr> = self.names.resolve(name).await?.collect();
        let ours = self.issuer.as_deref() == Some(asked.as_str()) || self.proxies.contains(&asked);
        if ours || found.iter().all(|at| Place::of(at.ip()) == Place::Public) {
            return Ok(Box::new(found.into_iter()));
        }
        let furthest = self.place().await;
        if found.iter().any(|at| Place::of(at.ip()) > furthest) {
            return Err(Inward(asked).into());
        }
        Ok(Box::new(found.into_iter()))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(self.clone().look_up(name))
    }
}

/// The hosts of the proxies that the environment names.
fn proxies(variable: impl Fn(&str) -> Option<String>) -> BTreeSet<String> {
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let host = |text: String| {
        let url = Url::parse(&text)
            .ok()
            .filter(Url::has_host)
            .or_else(|| Url::parse(&format!("http://{text}")).ok());
        url.as_ref().and_then(Url::host_str).map(str::to_owned)
    };
    names.into_iter().filter_map(variable).filter_map(host).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Names that a test makes up.
    pub(in crate::oidc) struct Names(BTreeMap<&'static str, Vec<IpAddr>>);

    impl Names {
        pub(in crate::oidc) fn of(names: &[(&'static str, &[&str])]) -> Arc<Self> {
            let parse = |all: &[&str]| all.iter().map(|one| one.parse().unwrap()).collect();
            Arc::new(Self(names.iter().map(|(name, all)| (*name, parse(all))).collect()))
        }
    }

    impl Resolve for Names {
        fn resolve(&self, name: Name) -> Resolving {
            let found = self.0.get(name.as_str()).cloned();
            Box::pin(async move {
                let found = found.ok_or("no such name")?;
                let found: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
                Ok(found)
            })
        }
    }

    #[test]
    fn where_addresses_are() {
        for (place, addresses) in [
            (
                Place::Public,
                &[
                    "8.8.8.8",
                    "172.15.0.1",
                    "172.32.0.1",
                    "100.63.0.1",
                    "100.128.0.1",
                    "192.0.1.1",
                    "198.20.0.1",
                    "223.255.255.255",
                    "2606:4700::1111",
                    "::ffff:8.8.8.8",
                    "64:ff9b::8.8.8.8",
                    "2002:808:808::1",
                ][..],
            ),
            (
                Place::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "100.100.100.200",
                    "192.0.0.8",
                    "198.18.0.1",
                    "fd00::1",
                    "fc00::1",
                    "fec0::1",
                    "::ffff:10.0.0.1",
                    "::10.0.0.1",
                    "64:ff9b::10.0.0.1",
                    "64:ff9b:1::1",
                    "2002:a00:1::1",
                ],
            ),
            (
                Place::Local,
                &[
                    "127.0.0.1",
                    "127.255.0.1",
                    "0.0.0.0",
                    "0.1.2.3",
                    "169.254.169.254",
                    "224.0.0.1",
                    "255.255.255.255",
                    "::1",
                    "::",
                    "fe80::1",
                    "ff02::1",
                    "::ffff:127.0.0.1",
                    "::ffff:169.254.169.254",
                    "::127.0.0.1",
                    "64:ff9b::169.254.169.254",
                    "2002:7f00:1::1",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(Place::of(address.parse().unwrap()), place, "{address}");
            }
        }
    }

    #[tokio::test]
    async fn invariant_5_no_name_leads_further_inside_than_the_issuer_is() {
        let names = Names::of(&[
            ("id.example", &["203.0.113.1"]),
            ("keys.example", &["203.0.113.2", "2001:db8::1"]),
            ("in.example", &["10.0.0.1"]),
            ("both.example", &["203.0.113.3", "10.0.0.1"]),
            ("here.example", &["127.0.0.1"]),
            ("here6.example", &["::1"]),
            ("cloud.example", &["169.254.169.254"]),
            ("mapped.example", &["::ffff:127.0.0.1"]),
            ("none.example", &[]),
            ("id.corp", &["10.1.1.1", "fd00::7"]),
            ("keys.corp", &["10.2.2.2"]),
            ("id.mixed", &["203.0.113.9", "10.0.0.9"]),
            ("id.here", &["127.0.0.1"]),
            ("proxy.corp", &["10.9.9.9"]),
        ]);
        let taken = async |issuer: &str, name: &str| {
            let guard = Guard::with(issuer, ["proxy.corp".to_owned()].into(), names.clone());
            let found = guard.resolve(name.parse().unwrap()).await;
            match found {
                Ok(found) => Ok(found.count()),
                Err(error) if error.is::<Inward>() => Err("inward"),
                Err(_) => Err("unknown"),
            }
        };
        for (issuer, name, expected) in [
            ("https://id.example", "keys.example", Ok(2)),
            ("https://id.example", "none.example", Ok(0)),
            ("https://id.example", "nobody.example", Err("unknown")),
            ("https://id.example", "in.example", Err("inward")),
            ("https://id.example", "both.example", Err("inward")),
            ("https://id.example", "here.example", Err("inward")),
            ("https://id.example", "here6.example", Err("inward")),
            ("https://id.example", "cloud.example", Err("inward")),
            ("https://id.example", "mapped.example", Err("inward")),
            ("https://203.0.113.1:8443", "in.example", Err("inward")),
            // An issuer that cannot be found is a stranger, and so is one that is half outside.
            ("https://nobody.example", "keys.corp", Err("inward")),
            ("https://id.mixed", "keys.corp", Err("inward")),
            ("not a URL", "keys.corp", Err("inward")),
            // One of our own network sends us there, and no further; one on this machine, anywhere.
            ("https://id.corp", "keys.corp", Ok(1)),
            ("https://10.1.1.1", "keys.corp", Ok(1)),
            ("https://id.corp/realm", "keys.example", Ok(2)),
            ("https://id.corp", "here.example", Err("inward")),
            ("https://id.corp", "cloud.example", Err("inward")),
            ("https://id.here", "keys.corp", Ok(1)),
            ("http://127.0.0.1:1", "here.example", Ok(1)),
            ("http://localhost:1", "here6.example", Ok(1)),
            // What the operator wrote may be anywhere: the issuer itself, a proxy.
            ("https://id.corp", "id.corp", Ok(2)),
            ("https://id.mixed", "id.mixed", Ok(2)),
            ("https://id.example", "proxy.corp", Ok(1)),
        ] {
            assert_eq!(taken(issuer, name).await, expected, "{issuer} → {name}");
        }
    }

    #[test]
    fn which_hosts_are_proxies() {
        let hosts = |value: &str| -> Vec<String> {
            proxies(|name| (name == "HTTPS_PROXY").then(|| value.to_owned())).into_iter().collect()
        };
        for (value, host) in [
            ("http://proxy.corp:3128", "proxy.corp"),
            ("http://me:pw@proxy.corp:3128/", "proxy.corp"),
            ("proxy.corp:3128", "proxy.corp"),
            ("proxy.corp", "proxy.corp"),
        ] {
            assert_eq!(hosts(value), [host], "{value}");
        }
        assert!(hosts("").is_empty());
    }
}
