//! Tests of the decision, over one small inventory.

mod explain;
mod facts;
mod following;
mod guests;
mod index;
mod listing;
mod load;
mod matrix;
mod narrowing;
mod offers;
mod places;
mod reference;
mod semantics;
mod starter;
mod tricks;
mod verbs;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use jit_ssh_proto::wire::AccessRequestBody;
use jit_ssh_proto::{Code, Mode, Modifier, Span, Timestamp, UserKey};
use proptest::test_runner::Config as ProptestConfig;
use serde_json::{Value, json};

use super::{Circumstances, Decision, Denial, LocalTime, PolicyError, PolicySource, Rules};
use crate::identity::{Claims, Flow, IdentityKind, IssuerRules, VerifiedIdentity};
use crate::inventory::{Inventory, InventorySource};
use crate::request::{AccessRequest, RequestLimits};

const INVENTORY: &str = r#"
    [[group]]
    name = "prod"
    logins = ["deploy", "root"]
    [[group]]
    name = "web"
    groups = ["prod"]
    logins = ["www"]
    [[group]]
    name = "lab"
    logins = ["deploy", "alice"]
    [[host]]
    name = "web-1"
    groups = ["web"]
    labels = { env = "prod", tier = "front" }
    [[host]]
    name = "db-1"
    groups = ["prod"]
    logins = ["postgres"]
    [[host]]
    name = "lab-1"
    groups = ["lab"]
    [[host]]
    name = "switch-1"
    groups = ["lab"]
    principals = "login"
"#;

/// 2026-11-22T09:30:00Z, a Sunday.
const NOW: u64 = 1_795_339_800;
const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB2phQr2MUYVQCpR2ZCnL9q3nBcP6nHSVpSWP0HcL1Jm";

/// For properties whose every case loads whole sets of policies: so many where others have 256, and more in a long run.
fn few(cases: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.saturating_mul(cases) / 256, ..usual }
}

fn inventory() -> Inventory {
    inventory_of(INVENTORY)
}

fn inventory_of(text: &str) -> Inventory {
    Inventory::read(&[InventorySource { file: "inventory.toml".into(), text: text.into() }]).unwrap()
}

fn try_rules(policies: &str) -> Result<Rules, Vec<PolicyError>> {
    let source = PolicySource { file: "p.cedar".into(), text: policies.into() };
    Rules::load(&[source], inventory(), &[0; 32], Span::from_seconds(3600))
}

fn rules(policies: &str) -> Rules {
    try_rules(policies).unwrap_or_else(|errors| {
        panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// A person with these groups.
pub(super) fn person(name: &str, groups: &[&str]) -> VerifiedIdentity {
    identity(IdentityKind::User, name, groups, &json!({}))
}

/// An issuer that maps nobody to any group.
pub(super) fn issuer_rules(name: &str, kind: IdentityKind) -> IssuerRules {
    IssuerRules {
        name: name.parse().unwrap(),
        url: "https://id.example.com".into(),
        kind,
        username: Some("preferred_username".into()),
        groups: Some("groups".into()),
        groups_map: BTreeMap::new(),
        tags: BTreeMap::new(),
        allowed_domains: Vec::new(),
        privileged_flows: false,
    }
}

fn identity(kind: IdentityKind, name: &str, groups: &[&str], more: &Value) -> VerifiedIdentity {
    let issuer = IssuerRules {
        groups_map: groups.iter().map(|g| (g.to_string(), Vec::from([g.parse().unwrap()]))).collect(),
        ..issuer_rules("corp", kind)
    };
    let mut payload = json!({
        "sub": format!("sub-{name}"), "preferred_username": name, "groups": groups,
        "email": format!("{name}@example.com"), "email_verified": true,
    });
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let claims = Claims::from_payload(&issuer, Flow::Code, payload.as_object().unwrap()).unwrap();
    VerifiedIdentity::admit(&issuer, &claims).unwrap()
}

/// `MODE[+MODIFIER…] LOGIN@HOST[,LOGIN@HOST…] [for DURATION] [because REASON] [ticket TICKET] [run COMMAND]`
fn ask(line: &str) -> AccessRequest {
    let (line, command) = match line.split_once(" run ") {
        Some((line, command)) => (line, Some(command.to_string())),
        None => (line, None),
    };
    let (line, ticket) = line.split_once(" ticket ").unwrap_or((line, ""));
    let (line, reason) = line.split_once(" because ").unwrap_or((line, ""));
    let (line, duration) = match line.split_once(" for ") {
        Some((line, duration)) => (line, Some(duration.to_string())),
        None => (line, None),
    };
    let (what, accounts) = line.split_once(' ').unwrap();
    let mut words = what.split('+');
    let mode: Mode = words.next().unwrap().parse().unwrap();
    let modifiers = words.map(|w| w.parse::<Modifier>().unwrap()).collect();
    let body = AccessRequestBody {
        accounts: accounts.split(',').map(ToString::to_string).collect(),
        mode,
        modifiers,
        command,
        duration,
        reason: reason.into(),
        ticket: ticket.into(),
        key: String::new(),
        proof: String::new(),
    };
    let limits = RequestLimits { max_duration: Span::from_seconds(86_400), max_accounts: 16 };
    AccessRequest::parse(&body, &limits).unwrap()
}

fn circumstances() -> Circumstances {
    Circumstances {
        now: Timestamp::from_seconds(NOW),
        local: LocalTime { hour: 10, minute: 30, weekday: 7, date: "2026-11-22".into() },
        source_ip: IpAddr::from([192, 0, 2, 7]),
    }
}

fn key() -> UserKey {
    ED25519.parse().unwrap()
}

fn decide(rules: &Rules, who: &VerifiedIdentity, what: &str) -> Decision {
    rules.decide(who, &ask(what), &key(), &circumstances())
}

fn denied(decision: Decision) -> Denial {
    match decision {
        Decision::Allowed(allowed) => panic!("allowed: {allowed:?}"),
        Decision::Denied(denial) => denial,
    }
}

/// What a decision comes to, in one line: `1h pin verify by a,b`, or a code.
fn outcome(decision: &Decision) -> String {
    match decision {
        Decision::Allowed(a) => format!(
            "{}{}{} by {}",
            a.duration(),
            if a.pin_source() { " pin" } else { "" },
            if a.verify_required() { " verify" } else { "" },
            a.policies().join(",")
        ),
        Decision::Denied(d) => d.code.to_string(),
    }
}

#[test]
fn without_policies_nothing_is_allowed() {
    let rules = rules("");
    assert!(rules.is_empty());
    assert_eq!(denied(decide(&rules, &person("alice", &["sre"]), "shell deploy@web-1")).code, Code::NoAccess);
}
