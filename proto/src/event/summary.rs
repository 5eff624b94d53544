//! What happened, in a line: for tables. The kind, the time and the actor stand beside it and are not repeated. Texts
//! that people wrote are in it as they are; whoever shows it to a terminal escapes it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::{CertificateIssued, Outcome, RequestDecided, What};
use crate::Name;

/// As many characters of a digest as tell it from others.
const DIGEST: usize = 16;

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaInitialised(e) => write!(f, "CA {}", e.ca_id),
            Self::PolicyLoaded(e) => {
                write!(f, "{} policies, {} hosts, ", e.policies, e.hosts)?;
                digests(f, e.previous.as_ref(), &e.digest)?;
                e.changes.iter().try_for_each(|change| write!(f, "; {change}"))
            }
            Self::SessionOpened(e) => write!(f, "{} groups [{}]", e.session, list(&e.groups, " ")),
            Self::SessionRefused(e) => write!(f, "{} for the key {}", e.code, e.key),
            Self::SessionEnded(e) => {
                write!(f, "{}", e.session)?;
                e.reason.iter().try_for_each(|reason| write!(f, ": {}", reason.as_str()))
            }
            Self::SessionRevalidated(e) => write!(f, "{} groups [{}]", e.session, list(&e.groups, " ")),
            Self::IdentityDisabled(e) => {
                write!(f, "{}: {}", known_as(&e.issuer, e.name.as_ref(), &e.sub), e.reason)
            }
            Self::IdentityEnabled(e) => f.write_str(&known_as(&e.issuer, e.name.as_ref(), &e.sub)),
            Self::LoginReleased(e) => write!(f, "{}, of {}/{}", e.login, e.issuer, e.sub),
            Self::IssuerBound(e) => {
                write!(f, "{} is {}", e.issuer, e.url)?;
                e.previous.iter().try_for_each(|previous| write!(f, ", was {previous}"))
            }
            Self::RequestDecided(e) => decided(f, e),
            Self::CertificateIssued(e) => issued(f, e),
            Self::CertificateRevoked(e) => {
                write!(f, "serial {} of {}", e.serial, e.authority)?;
                e.key_id.iter().try_for_each(|id| write!(f, " {id}"))?;
                write!(f, ": {}", e.reason)
            }
            Self::KeyAdded(e) => write!(f, "{} {}", e.name, e.key),
            Self::KeyUsed(e) => write!(f, "{} for {}, {}", e.key, e.purpose, e.fingerprint),
            Self::ConfigChanged(e) => digests(f, e.before.as_ref(), &e.after),
            Self::LogExported(e) => {
                let pairs = e.filter.pairs();
                if pairs.is_empty() {
                    return f.write_str("everything");
                }
                let mut between = "";
                pairs.iter().try_for_each(|(name, value)| {
                    write!(f, "{between}{name}={value}")?;
                    between = " ";
                    Ok(())
                })
            }
            Self::EventErased(e) => write!(f, "event {}: {}", e.leaf, e.reason),
            Self::StoreRestored(e) => {
                write!(f, "{} events from {}, {} certificates revoked", e.leaves, e.from, e.revoked)
            }
            Self::StoreMoved(e) => write!(f, "{} events from {} to {}", e.leaves, e.from, e.to),
        }
    }
}

/// `digest 0123456789abcdef… → fedcba9876543210…`: what was, and what is.
fn digests(f: &mut fmt::Formatter<'_>, before: Option<&String>, after: &str) -> fmt::Result {
    match before {
        Some(before) if before == after => write!(f, "digest {after:.DIGEST$}… as before"),
        Some(before) => write!(f, "digest {before:.DIGEST$}… → {after:.DIGEST$}…"),
        None => write!(f, "digest {after:.DIGEST$}…"),
    }
}

fn decided(f: &mut fmt::Formatter<'_>, event: &RequestDecided) -> fmt::Result {
    let asked = &event.asked;
    write!(f, "{}", asked.mode)?;
    asked.modifiers.iter().try_for_each(|modifier| write!(f, "+{modifier}"))?;
    for account in &asked.accounts {
        write!(f, " {account}")?;
        let members = event.members.iter().find(|members| members.account == *account);
        members.iter().try_for_each(|members| write!(f, " ({} hosts)", members.hosts.len()))?;
    }
    asked.command.iter().try_for_each(|command| write!(f, " {:?}", command.as_str()))?;
    match &event.outcome {
        Outcome::Granted { policies, .. } => {
            write!(f, ": granted by {}", policies.join(", "))?;
        }
        Outcome::Denied { code, policies } => {
            write!(f, ": denied, {code}")?;
            if !policies.is_empty() {
                write!(f, " by {}", policies.join(", "))?;
            }
        }
    }
    for text in [&asked.reason, &asked.ticket] {
        if !text.is_empty() {
            write!(f, " ({text})")?;
        }
    }
    Ok(())
}

fn issued(f: &mut fmt::Formatter<'_>, event: &CertificateIssued) -> fmt::Result {
    write!(f, "serial {}, {} for {}", event.serial, event.principals.join(" "), event.key.fingerprint())
}

fn known_as(issuer: &Name, name: Option<&Name>, sub: &str) -> String {
    match name {
        Some(name) => alloc::format!("{issuer}/{name}"),
        None => alloc::format!("{issuer}/{sub}"),
    }
}

fn list<T: ToString>(items: &[T], between: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use crate::event::Event;

    #[test]
    fn what_happened_in_a_line() {
        for (form, expected) in [
            (
                include_str!("../../golden/events/request.decided.granted.full.json"),
                "exec+agent+x11 deploy@web-1 deploy@web-2 \"systemctl restart \\\"nginx\\\"\": granted by \
                 sre-everything (disk full: été ✓) (OPS-7)",
            ),
            (
                include_str!("../../golden/events/request.decided.denied.json"),
                "shell deploy@web-1: denied, forbidden",
            ),
            (
                include_str!("../../golden/events/request.decided.granted.group.json"),
                "shell deploy@group/web (2 hosts) deploy@db-1: granted by sre-everything",
            ),
            (
                include_str!("../../golden/events/certificate.issued.json"),
                "serial 1, shell:deploy@web-1 for SHA256:",
            ),
            (
                include_str!("../../golden/events/log.exported.full.json"),
                "after=10 before=99 since=1795329000 until=1795330000 type=certificate.issued user=alice",
            ),
            (include_str!("../../golden/events/log.exported.json"), "everything"),
            (
                include_str!("../../golden/events/certificate.revoked.json"),
                "serial 17 of user: issued after the backup",
            ),
            (
                include_str!("../../golden/events/policy.loaded.changes.json"),
                "4 policies, 1 hosts, digest 8a93cb9eff63e8a5… → 2604c414986ef74c…; policies +1 -1 ~1 (+oncall \
                 -old.cedar:3 ~sre); hosts +2 -0 ~0 (+web-2 +web-3); groups +0 -0 ~1 (~web); guests +0 -1 ~0 (-corp/eve)",
            ),
            (
                include_str!("../../golden/events/policy.loaded.json"),
                "4 policies, 1 hosts, digest 2604c414986ef74c…",
            ),
            (include_str!("../../golden/events/store.moved.json"), "1000 events from sqlite to postgres"),
            (
                include_str!("../../golden/events/session.ended.full.json"),
                "ses_01m80zy0brb16h0tg9vyxfnhr2: provider_logout",
            ),
            (include_str!("../../golden/events/identity.disabled.full.json"), "dev/alice: left the company"),
            (include_str!("../../golden/events/identity.disabled.json"), "dev/dev-7f3a01: left the company"),
            (include_str!("../../golden/events/login.released.json"), "alice, of dev/dev-7f3a01"),
            (
                include_str!("../../golden/events/issuer.bound.full.json"),
                "dev is https://login.example.com, was https://id.example.com",
            ),
        ] {
            let event: Event = serde_json::from_str(form).unwrap();
            let said = event.what.to_string();
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
