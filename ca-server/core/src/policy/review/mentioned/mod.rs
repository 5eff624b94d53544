//! What policies speak of by name or number: what has to be tried to see what they say. Nothing here says what comes of
//! it: that is for the decision.

mod compared;
mod looks;
mod values;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};

use cedar_policy_core::ast::Expr;
use jit_ssh_proto::Span;

use super::literals::literals;
use super::read::{Read, Whom};
use crate::identity::IdentityKind;
use crate::policy::PolicySource;

/// What one policy speaks of, or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentioned {
    /// Whether it forbids.
    pub forbids: bool,
    /// The group of people that its scope names.
    pub group: Option<String>,
    /// The kind of identity that its scope names.
    pub kind: Option<IdentityKind>,
    /// Whether it is an offer under break-glass only.
    pub break_glass: bool,
    /// Whether it is an offer for FIDO keys only.
    pub verify: bool,
    /// How long offers give.
    pub ttls: BTreeSet<Span>,
    /// People and workloads by name, `corp/alice`.
    pub people: BTreeSet<String>,
    /// Groups of people.
    pub groups: BTreeSet<String>,
    /// Hosts.
    pub hosts: BTreeSet<String>,
    /// Whether hosts are told apart by their names.
    pub host_names: bool,
    /// What is looked at, as `context.local.hour` or `principal.email`; of the context the member too, `context.local`.
    pub looks: BTreeSet<String>,
    /// Whole commands, and such as fit a pattern.
    pub commands: BTreeSet<String>,
    /// The first of each stretch of hours that comparisons with `context.local.hour` tell from the one before.
    pub hours: BTreeSet<u8>,
    /// Whether the hour is reckoned with, so that each may be unlike all others.
    pub each_hour: bool,
    /// The same of `context.local.minute`.
    pub minutes: BTreeSet<u8>,
    /// The same of `context.local.weekday`.
    pub weekdays: BTreeSet<u8>,
    /// What `context.local.date` is compared with.
    pub dates: BTreeSet<String>,
    /// What `context.now` is compared with, as written.
    pub instants: BTreeSet<String>,
    /// Addresses and ranges that `context.source_ip` is compared with.
    pub sources: BTreeSet<String>,
    /// Texts of numbers and words that other members are compared with, by what is looked at.
    pub texts: BTreeMap<String, BTreeSet<String>>,
    /// Lengths that durations are compared with, by what is looked at, in seconds.
    pub lengths: BTreeMap<String, BTreeSet<u64>>,
    /// Values of the asker's tags, by tag.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    /// Whether the login is compared with the asker's own.
    pub own_login: bool,
}

/// Collects what each policy speaks of, by its id. What does not parse is left out. `default_ttl` is what an offer
/// without `@ttl` gives.
#[must_use]
pub fn mentioned(sources: &[PolicySource], default_ttl: Span) -> BTreeMap<String, Mentioned> {
    Read::all(sources, default_ttl).iter().map(|policy| (policy.id.clone(), of(policy))).collect()
}

fn of(policy: &Read<'_>) -> Mentioned {
    let mut found = Mentioned { forbids: !policy.is_permit(), ..Mentioned::default() };
    let kind = |name: &str| if name == "Workload" { IdentityKind::Workload } else { IdentityKind::User };
    match policy.whom() {
        Whom::Group { name, kind: of } => {
            (found.group, found.kind) = (Some(name), of.as_deref().map(kind));
        }
        Whom::Kind(of) => found.kind = Some(kind(&of)),
        Whom::Anybody | Whom::One(_) => {}
    }
    if let Some(offer) = policy.offer() {
        (found.break_glass, found.verify) = (offer.break_glass, offer.verify);
        found.ttls.insert(offer.ttl);
    }
    for literal in literals(policy.statement.text) {
        let id = literal.id.to_string();
        match literal.kind {
            "Host" => drop(found.hosts.insert(id)),
            "Account" => found.hosts.extend(id.rsplit_once('@').map(|(_, host)| host.to_string())),
            "Group" => drop(found.groups.insert(id)),
            "User" | "Workload" => drop(found.people.insert(id)),
            _ => {}
        }
    }
    for expr in policy.condition().into_iter().flat_map(Expr::subexpressions) {
        found.look(expr);
        found.compare(expr);
    }
    found
}
impl Mentioned {
    /// Takes in what another speaks of. What is said of one policy alone (whom it is for, whether it forbids) stays.
    pub fn extend(&mut self, other: &Self) {
        self.break_glass |= other.break_glass;
        self.verify |= other.verify;
        self.host_names |= other.host_names;
        self.each_hour |= other.each_hour;
        self.own_login |= other.own_login;
        self.ttls.extend(&other.ttls);
        for (mine, theirs) in [
            (&mut self.people, &other.people),
            (&mut self.groups, &other.groups),
            (&mut self.hosts, &other.hosts),
            (&mut self.looks, &other.looks),
            (&mut self.commands, &other.commands),
            (&mut self.dates, &other.dates),
            (&mut self.instants, &other.instants),
            (&mut self.sources, &other.sources),
        ] {
            mine.extend(theirs.iter().cloned());
        }
        for (mine, theirs) in [
            (&mut self.hours, &other.hours),
            (&mut self.minutes, &other.minutes),
            (&mut self.weekdays, &other.weekdays),
        ] {
            mine.extend(theirs);
        }
        for (mine, theirs) in [(&mut self.texts, &other.texts), (&mut self.tags, &other.tags)] {
            for (of, texts) in theirs {
                mine.entry(of.clone()).or_default().extend(texts.iter().cloned());
            }
        }
        for (of, lengths) in &other.lengths {
            self.lengths.entry(of.clone()).or_default().extend(lengths);
        }
    }

    /// Whether any policy may look at this, `context.reason` say.
    #[must_use]
    pub fn looks_at(&self, what: &str) -> bool {
        self.looks.contains(what) || (what.starts_with("context.") && self.looks.contains("context"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::values::seconds;
    use super::*;

    fn one(text: &str) -> Mentioned {
        let source = PolicySource { file: "p".into(), text: text.into() };
        let found = mentioned(&[source], Span::from_seconds(60));
        assert_eq!(found.len(), 1, "{text}");
        found.into_values().next().unwrap()
    }

    fn when(condition: &str) -> Mentioned {
        one(&format!("permit (principal, action, resource) when {{ {condition} }};"))
    }

    fn words(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn scopes_name_people_and_hosts() {
        let found = one(
            r#"@ttl("5m") @verify permit (principal is User in Group::"sre", action, resource == Account::"deploy@web-1")
               when { principal in Group::"dev" || principal == User::"corp/ann" } unless { resource in Host::"db-1" };"#,
        );
        assert_eq!((found.group.as_deref(), found.kind), (Some("sre"), Some(IdentityKind::User)));
        assert_eq!((found.groups, found.people), (words(&["dev", "sre"]), words(&["corp/ann"])));
        assert_eq!((found.hosts, found.forbids, found.verify), (words(&["db-1", "web-1"]), false, true));
        assert_eq!(found.ttls.into_iter().map(Span::seconds).collect::<Vec<_>>(), [300]);
        assert!(one("forbid (principal is Workload, action, resource);").forbids);
    }

    #[test]
    fn conditions_name_what_is_to_be_tried() {
        let found = when(
            r#"context.local.hour >= 8 && 20 > context.local.hour && [6, 7].contains(context.local.weekday) &&
               context.local.minute == 30 && context.local.date == "2026-12-24" && context.local.hour < 25 &&
               context.now < datetime("2026-12-01") && context.source_ip.isInRange(ip("10.0.0.0/8"))"#,
        );
        assert_eq!(found.hours, [8, 20].into());
        assert_eq!((found.weekdays, found.minutes), ([6, 7].into(), [30, 31].into()));
        assert_eq!((found.dates, found.instants), (words(&["2026-12-24"]), words(&["2026-12-01"])));
        assert_eq!((found.sources, found.each_hour), (words(&["10.0.0.0/8"]), false));
        assert!(when("context.local.hour * 60 + context.local.minute > 510").each_hour);
        for (condition, expected) in [
            ("context.local.weekday <= 5", &[6][..]),
            ("context.local.weekday > 5", &[6]),
            ("6 <= context.local.weekday", &[6]),
            ("5 < context.local.weekday", &[6]),
            ("context.local.weekday == 3", &[3, 4]),
            ("context.local.weekday == 9", &[]),
            ("context.local.weekday <= 7", &[]),
        ] {
            assert_eq!(when(condition).weekdays.into_iter().collect::<Vec<u8>>(), expected, "{condition}");
        }
    }

    #[test]
    fn texts_and_lengths_are_by_what_is_looked_at() {
        let found = when(
            r#"context.ticket like "CHG-*" && context.duration <= duration("1h30m") && context.auth has age &&
               context.auth.age.toMinutes() < 15 && context.auth.methods.contains("otp") && context.key.type == "x" &&
               context.auth.methods.containsAny(["a", "b"]) && principal has email && principal.email like "*@x.y""#,
        );
        let texts = |of: &str| found.texts.get(of).cloned().unwrap_or_default();
        assert_eq!(texts("context.ticket"), words(&["CHG-x"]));
        assert_eq!(texts("context.auth.methods"), words(&["a", "b", "otp"]));
        assert_eq!((texts("context.key.type"), texts("principal.email")), (words(&["x"]), words(&["x@x.y"])));
        let lengths = |of: &str| found.lengths.get(of).cloned().unwrap_or_default();
        assert_eq!((lengths("context.duration"), lengths("context.auth.age")), ([5400].into(), [900].into()));
        assert!(found.looks_at("context.auth") && found.looks_at("context.auth.age"));
        assert!(!found.looks_at("context.reason") && !found.looks_at("principal.login"));
        assert!(when("{ c: context }.c.reason == \"\"").looks_at("context.reason"));
    }

    #[test]
    fn people_are_told_apart_by_tags_and_logins() {
        let found = when(
            r#"principal.hasTag("ref") && ["a", "b"].contains(principal.getTag("ref")) && principal.getTag("ref") == "c""#,
        );
        assert_eq!(found.tags.get("ref"), Some(&words(&["a", "b", "c"])));
        assert!(when("principal has login && resource.login == principal.login").own_login);
        assert!(when("principal.name == resource.login").own_login);
        assert!(!when("resource.login == \"root\"").own_login);
        assert!(when("resource.host.name like \"web-*\"").host_names);
    }

    #[test]
    fn commands_are_those_that_can_be_asked_for() {
        let found = when(
            r#"context has command && (["uptime", "df -h"].contains(context.command) || context.command like "ls *" || context.command == "")"#,
        );
        assert_eq!(found.commands, words(&["df -h", "ls x", "uptime"]));
        for (text, expected) in
            [("1d2h3m4s5ms", Some(93_784)), ("x", None), ("5", None), ("-1h", None), ("", Some(0))]
        {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
