//! In which circumstances both sets are asked: no more than the policies look at whose scope fits, at the values that
//! they compare with.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jit_ssh_core::policy::Mentioned;
use jit_ssh_proto::Span;

use super::manner::manners;
use super::setting::Setting;
use super::time::{Time, times};

/// The most questions about one person, account and action. Where there would be more, two circumstances at a time are
/// varied.
const MOST: usize = 256;
/// The most values of one circumstance that are not times.
const VALUES: usize = 12;

/// One combination of them.
pub(super) type Combination = Vec<Setting>;

/// Every circumstance that is tried, each with its values.
pub(super) struct Space(Vec<Vec<Setting>>);

/// Of whom and how is asked, besides what policies look at.
pub(super) struct Asking<'a> {
    /// Whether the two sets have zones of their own: then every hour may differ.
    pub(super) zones_differ: bool,
    /// Whether the asker was made up, so that name, address and tags may be too; and the login that is asked for.
    pub(super) made_up: Option<&'a str>,
    /// The longest that can be asked for.
    pub(super) longest: Span,
}

impl Space {
    pub(super) fn of(spoken: &Mentioned, asking: &Asking<'_>) -> Self {
        let texts = |of: &str| spoken.texts.get(of).into_iter().flatten().take(VALUES).cloned();
        let lengths = |of: &str| spoken.lengths.get(of).into_iter().flatten().take(VALUES).copied();
        let with_next = |of: &str| -> Vec<Span> {
            let both = lengths(of).flat_map(|length| [length, length.saturating_add(1)]);
            both.filter(|length| *length > 0).map(Span::from_seconds).collect()
        };
        // The first is what is usual: noon.
        let mut times: Vec<Time> = times(spoken, asking.zones_differ).into_iter().collect();
        times.sort_by_key(|time| !time.is_usual());
        let mut dims = vec![
            times.into_iter().map(Setting::At).collect(),
            manners(spoken, &|of| texts(of).collect()).into_iter().map(Setting::Manner).collect(),
        ];
        let mut vary = |values: Vec<Setting>| {
            let distinct: BTreeSet<Setting> = values.into_iter().collect();
            if !distinct.is_empty() {
                dims.push(std::iter::once(Setting::Usual).chain(distinct).collect::<Vec<_>>());
            }
        };
        if spoken.looks_at("context.source_ip") {
            vary(sources(spoken).into_iter().map(Setting::From).collect());
        }
        let mut long: Vec<Span> = with_next("context.duration");
        // Which of several offers is taken depends on how long is asked for.
        if spoken.ttls.len() > 1 {
            long.extend(spoken.ttls.iter().take(VALUES));
        }
        long.retain(|length| *length <= asking.longest);
        vary(long.into_iter().map(Setting::For).collect());
        if spoken.looks_at("context.starts_in") {
            let later = with_next("context.starts_in");
            let later = if later.is_empty() { vec![Span::from_seconds(3600)] } else { later };
            vary(later.into_iter().map(Setting::StartsIn).collect());
        }
        if spoken.verify || spoken.looks_at("context.key") {
            let fido = "sk-ssh-ed25519@openssh.com".to_owned();
            vary(texts("context.key.type").chain([fido]).map(Setting::Key).collect());
        }
        if spoken.looks_at("context.auth.age") {
            let ages = with_next("context.auth.age");
            let ages = if ages.is_empty() { vec![Span::from_seconds(60)] } else { ages };
            vary(ages.into_iter().map(Setting::LoggedIn).collect());
        }
        let methods: Vec<String> = texts("context.auth.methods").collect();
        let mut sets: Vec<Vec<String>> = methods.iter().map(|one| vec![one.clone()]).collect();
        sets.push(methods);
        vary(sets.into_iter().filter(|set| !set.is_empty()).map(Setting::Methods).collect());
        vary(texts("context.auth.level").map(Setting::Level).collect());
        if let Some(login) = asking.made_up {
            let own = spoken.own_login.then(|| login.to_owned());
            let names = texts("principal.login").chain(texts("principal.name")).chain(own);
            vary(names.map(Setting::Called).collect());
            vary(texts("principal.email").map(Setting::Mail).collect());
            for (tag, values) in &spoken.tags {
                let values = values.iter().take(VALUES);
                vary(values.map(|value| Setting::Tag(tag.clone(), value.clone())).collect());
            }
        }
        Self(dims)
    }

    /// Every combination, or, where these are too many, each two circumstances with each other, the rest being once as
    /// usual and once as far from it as there is.
    pub(super) fn combinations(&self) -> BTreeSet<Combination> {
        let all = self.0.iter().try_fold(1_usize, |product, dim| product.checked_mul(dim.len()));
        let mut found = BTreeSet::from([Vec::new()]);
        if all.is_some_and(|all| all <= MOST) {
            for dim in &self.0 {
                let longer = found.iter().flat_map(|one: &Combination| {
                    dim.iter().map(move |value| one.iter().chain([value]).cloned().collect())
                });
                found = longer.collect();
            }
            return found;
        }
        found.clear();
        let pick = |last: bool| -> Combination {
            self.0.iter().filter_map(|dim| if last { dim.last() } else { dim.first() }).cloned().collect()
        };
        for base in [pick(false), pick(true)] {
            for (one, values) in self.0.iter().enumerate() {
                for (other, others) in self.0.iter().enumerate().skip(one + 1) {
                    for value in values {
                        for with in others {
                            let mut next = base.clone();
                            for (at, value) in [(one, value), (other, with)] {
                                next.get_mut(at).into_iter().for_each(|space| space.clone_from(value));
                            }
                            found.insert(next);
                        }
                    }
                }
            }
        }
        found
    }

    /// The values of each circumstance, as they were tried.
    pub(super) fn tried(&self) -> Vec<BTreeSet<Setting>> {
        self.0.iter().map(|dim| dim.iter().cloned().collect()).collect()
    }
}
/// The first and the last address of each range that is named, and one of each family that is in none, perhaps.
fn sources(spoken: &Mentioned) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> =
        vec!["2001:db8::1", "127.0.0.1"].into_iter().filter_map(|a| a.parse().ok()).collect();
    for range in spoken.sources.iter().take(VALUES) {
        let (address, bits) =
            range.split_once('/').map_or((range.as_str(), None), |(a, b)| (a, b.parse().ok()));
        let Ok(address) = address.parse::<IpAddr>() else { continue };
        found.push(address);
        found.extend(bits.map(|bits| last(address, bits)));
    }
    found
}

/// The last address of a range of so many fixed bits.
fn last(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let free = u32::MAX.checked_shr(bits).unwrap_or(0);
            IpAddr::V4((u32::from(address) | free).into())
        }
        IpAddr::V6(address) => {
            let free = u128::MAX.checked_shr(bits).unwrap_or(0);
            IpAddr::V6((u128::from(address) | free).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use jit_ssh_core::policy::{PolicySource, mentioned};

    use super::*;

    fn space(policies: &str, made_up: Option<&str>) -> Space {
        let source = PolicySource { file: "p".into(), text: policies.into() };
        let mut all = Mentioned::default();
        mentioned(&[source], Span::from_seconds(1800)).values().for_each(|one| all.extend(one));
        Space::of(&all, &Asking { zones_differ: false, made_up, longest: Span::from_seconds(8 * 3600) })
    }

    fn told(space: &Space) -> Vec<String> {
        space.0.iter().map(|dim| dim.iter().map(Setting::told).collect::<Vec<_>>().join("; ")).collect()
    }

    const BARE: [&str; 2] = ["2026-01-14T12:30", "whatever is typed"];

    #[test]
    fn only_what_is_looked_at_is_varied() {
        for (when, expected) in [
            ("resource.login == \"x\"", &[][..]),
            ("context.duration <= duration(\"1h\")", &["otherwise; for 1h; for 3601s"]),
            // More than can be asked for is not asked for.
            ("context.duration <= duration(\"8h\")", &["otherwise; for 8h"]),
            ("context.starts_in == duration(\"0s\")", &["otherwise; starting in 1s"]),
            (
                "context.key.type like \"sk-*\"",
                &["otherwise; with a key sk-ssh-ed25519@openssh.com; with a key sk-x"],
            ),
            (
                "context.auth has age && context.auth.age.toMinutes() < 15",
                &["otherwise; 15m after a login; 901s after a login"],
            ),
            ("context.auth has age", &["otherwise; 1m after a login"]),
            (
                "context.auth.methods.containsAll([\"otp\", \"pwd\"])",
                &["otherwise; logged in by otp; logged in by otp and pwd; logged in by pwd"],
            ),
            (
                "context.source_ip.isInRange(ip(\"10.0.0.0/8\"))",
                &["otherwise; from 10.0.0.0; from 10.255.255.255; from 127.0.0.1; from 2001:db8::1"],
            ),
        ] {
            let text = format!("permit (principal, action, resource) when {{ {when} }};");
            assert_eq!(told(&space(&text, None)), [&BARE, expected].concat(), "{when}");
        }
    }

    #[test]
    fn what_is_typed_is_varied_too() {
        let text = "@break_glass permit (principal, action, resource) when { context.reason != \"\" && context.ticket like \"CHG-*\" };";
        let daily = [
            "without reason and ticket",
            "without a reason and with the ticket \"CHG-x\"",
            "with a ticket and no reason",
            "with a reason and no ticket",
            "with a reason and with the ticket \"CHG-x\"",
        ];
        let last = "with reason and ticket";
        // The last is what gets furthest.
        let glass = daily.iter().chain([&last]).map(|typed| format!("under break-glass {typed}"));
        let all: Vec<String> =
            daily.map(str::to_owned).into_iter().chain(glass).chain([last.into()]).collect();
        assert_eq!(told(&space(text, None))[1], all.join("; "));
    }

    #[test]
    fn who_was_made_up_may_be_called_anything() {
        let text = "permit (principal, action, resource) when { resource.login == principal.name || principal.hasTag(\"ref\") && principal.getTag(\"ref\") == \"main\" };";
        assert_eq!(told(&space(text, None)), BARE);
        let expected = ["otherwise; if called alice", "otherwise; with the tag ref = \"main\""];
        assert_eq!(told(&space(text, Some("alice"))), [&BARE[..], &expected].concat());
    }

    #[test]
    fn offers_of_several_lengths_are_asked_for_by_length() {
        let text = "@ttl(\"8h\") permit (principal, action, resource); @ttl(\"1h\") permit (principal, action, resource); @ttl(\"9h\") permit (principal, action, resource);";
        assert_eq!(told(&space(text, None))[2], "otherwise; for 1h; for 8h");
    }

    #[test]
    fn there_is_an_end_to_combinations() {
        let many = "permit (principal, action, resource) when { context.local.hour >= 8 && context.local.weekday < 6 && context.reason != \"\" && context.ticket != \"\" &&
            context.duration <= duration(\"1h\") && context.source_ip.isInRange(ip(\"10.0.0.0/8\")) && context.auth has age && context.auth.age < duration(\"5m\") };";
        let space = space(many, None);
        let all: usize = space.0.iter().map(Vec::len).product();
        let combinations = space.combinations();
        assert!(all > MOST && combinations.len() < 700, "{all} {}", combinations.len());
        // Each value of each comes up with each of every other.
        for (one, values) in space.0.iter().enumerate() {
            for (other, others) in space.0.iter().enumerate().filter(|(other, _)| *other != one) {
                for value in values {
                    for with in others {
                        assert!(combinations.iter().any(|c| &c[one] == value && &c[other] == with));
                    }
                }
            }
        }
    }

    #[test]
    fn ranges_end_where_they_end() {
        for (address, bits, expected) in [
            ("10.0.0.0", 8, "10.255.255.255"),
            ("10.0.0.7", 32, "10.0.0.7"),
            ("0.0.0.0", 0, "255.255.255.255"),
            ("fd00::", 8, "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("::1", 128, "::1"),
            ("::1", 200, "::1"),
        ] {
            assert_eq!(last(address.parse().unwrap(), bits).to_string(), expected);
        }
    }
}
