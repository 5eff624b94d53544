//! The whole way, with nothing made up in between: claims → identity → decision → grant → certificate. What the
//! policy's terms say stands in the certificate, and what they do not say does not.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use jit_ssh_proto::wire::AccessRequestBody;
use jit_ssh_proto::{GrantId, Mode, Modifier, RequestId, SessionId, Span, Timestamp};
use serde_json::json;

use super::super::{CertError, Prepared};
use super::fixture::{NOW, Parts, fido_key, name, public};
use crate::authority::{Authority, CertKind};
use crate::grant::{Grant, GrantFacts};
use crate::identity::{Claims, Flow, IdentityKind, IssuerRules, VerifiedIdentity};
use crate::inventory::{Inventory, InventorySource};
use crate::places::PlaceLimits;
use crate::policy::{Circumstances, Decision, LocalTime, PolicySource, Rules};
use crate::request::{AccessRequest, RequestLimits};

const POLICIES: &str = r#"
    @id("plain") @ttl("30m")
    permit (principal, action in [Action::"shell", Action::"sftp"], resource) when { resource.login == "deploy" };
    @id("pinned") @ttl("20m") @source("pin")
    permit (principal, action == Action::"exec", resource) when { resource.login == "deploy" };
    @id("verified") @ttl("10m") @verify
    permit (principal, action == Action::"shell", resource) when { resource.login == "root" };
"#;

fn rules() -> Rules {
    let text = "[[host]]\nname = \"web-1\"\nlogins = [\"deploy\", \"root\"]\n\
                [[host]]\nname = \"web-2\"\nlogins = [\"deploy\"]\n\
                [[group]]\nname = \"farm\"\nlogins = [\"deploy\"]\nprincipals = \"group\"\n\
                [[host]]\nname = \"node-1\"\ngroups = [\"farm\"]\n\
                [[host]]\nname = \"node-2\"\ngroups = [\"farm\"]\n\
                [[host]]\nname = \"node-3\"\ngroups = [\"farm\"]\n\
                [[host]]\nname = \"switch\"\nlogins = [\"deploy\"]\nprincipals = \"login\"\n";
    let hosts = InventorySource { file: "inventory.toml".into(), text: text.into() };
    let inventory = Inventory::read(&[hosts]).unwrap();
    let source = PolicySource { file: "p.cedar".into(), text: POLICIES.into() };
    let rules = Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(3600)).unwrap();
    rules.limited(PlaceLimits { group_members: 3, host_principals: 2 })
}

fn alice() -> VerifiedIdentity {
    let issuer = IssuerRules {
        name: name("corp"),
        url: "https://id.example.com".into(),
        kind: IdentityKind::User,
        username: Some("preferred_username".into()),
        groups: None,
        groups_map: alloc::collections::BTreeMap::new(),
        tags: [].into(),
        allowed_domains: Vec::new(),
        privileged_flows: false,
    };
    let payload = json!({ "sub": "1", "preferred_username": "alice" });
    let claims = Claims::from_payload(&issuer, Flow::Code, payload.as_object().unwrap()).unwrap();
    VerifiedIdentity::admit(&issuer, &claims).unwrap()
}

fn body(mode: Mode, accounts: &[&str], command: Option<&str>) -> AccessRequestBody {
    AccessRequestBody {
        accounts: accounts.iter().map(ToString::to_string).collect(),
        mode,
        modifiers: Vec::new(),
        command: command.map(Into::into),
        duration: None,
        reason: String::new(),
        ticket: String::new(),
        key: String::new(),
        proof: String::new(),
    }
}

/// Decides under [`POLICIES`]; a grant if it is allowed. Keys are FIDO keys.
fn grant(body: &AccessRequestBody) -> Option<Grant> {
    let limits = RequestLimits { max_duration: Span::from_seconds(86_400), max_accounts: 16 };
    let request = AccessRequest::parse(body, &limits).unwrap();
    let source: IpAddr = "192.0.2.7".parse().unwrap();
    let at = Circumstances {
        now: Timestamp::from_seconds(NOW),
        local: LocalTime { hour: 6, minute: 0, weekday: 7, date: "2026-11-22".into() },
        source_ip: source,
    };
    let identity = alice();
    match rules().decide(&identity, &request, &fido_key(), &at) {
        Decision::Denied(_) => None,
        Decision::Allowed(allowed) => Some(Grant::new(
            allowed,
            &GrantFacts {
                id: GrantId::from_parts(1, 1),
                request: RequestId::from_parts(1, 2),
                session: SessionId::from_parts(1, 3),
                session_ends: Timestamp::from_seconds(NOW + 8 * 3600),
                max: Span::from_seconds(3600),
                decided: Timestamp::from_seconds(NOW),
                source,
            },
        )),
    }
}

fn fido() -> Parts {
    Parts { key: fido_key(), ..Parts::shell() }
}

#[test]
fn invariant_3_a_certificate_says_what_was_decided() {
    let deploy = &["deploy@web-1", "deploy@web-2"][..];
    for (body, principals, options, length) in [
        (body(Mode::Shell, deploy, None), vec!["shell:deploy@web-1", "shell:deploy@web-2"], vec![], 1800),
        (
            body(Mode::Sftp, &["deploy@web-2"], None),
            vec!["sftp:deploy@web-2"],
            vec![("force-command", "internal-sftp")],
            1800,
        ),
        (
            body(Mode::Exec, &["deploy@web-1"], Some("uptime -p")),
            vec!["exec:deploy@web-1"],
            vec![("force-command", "uptime -p"), ("source-address", "192.0.2.7/32")],
            1200,
        ),
        (
            body(Mode::Shell, &["deploy@group/farm", "deploy@web-1"], None),
            vec!["shell:deploy@group/farm", "shell:deploy@web-1"],
            vec![],
            1800,
        ),
        (
            body(Mode::Sftp, &["deploy@switch"], None),
            vec!["deploy"],
            vec![("force-command", "internal-sftp")],
            1800,
        ),
        (
            body(Mode::Shell, &["root@web-1"], None),
            vec!["shell:root@web-1"],
            vec![("verify-required", "")],
            600,
        ),
    ] {
        let grant = grant(&body).unwrap();
        let signer = fido();
        let authority =
            Authority::new(grant.places().authority().clone(), CertKind::User, public(&signer.signer));
        let parts = Parts { authority, ..signer };
        let prepared = Prepared::new(&grant, &parts.issuance()).unwrap();
        let record = prepared.record();
        assert_eq!(record.principals, principals);
        let said: Vec<(&str, &str)> =
            record.critical_options.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(said, options, "{principals:?}");
        assert_eq!(record.valid_before.seconds(), NOW + length, "{principals:?}");
        assert_eq!(record.valid_after.seconds(), NOW - 60, "{principals:?}");
        assert_eq!(record.key_id, alloc::format!("corp/alice/{}", grant.id()));
        assert_eq!(record.policy_digest, rules().digest());
    }
}

#[test]
fn what_was_not_decided_has_no_grant_to_be_certified_under() {
    let modified =
        AccessRequestBody { modifiers: vec![Modifier::Agent], ..body(Mode::Shell, &["deploy@web-1"], None) };
    for refused in [
        body(Mode::Forward, &["deploy@web-1"], None),
        body(Mode::Sftp, &["root@web-1"], None),
        body(Mode::Shell, &["root@web-2"], None),
        body(Mode::Shell, &["deploy@web-3"], None),
        body(Mode::Shell, &["root@group/farm"], None),
        body(Mode::Shell, &["deploy@group/unknown"], None),
        body(Mode::Shell, &["deploy@switch", "deploy@web-1"], None),
        body(Mode::Shell, &["deploy@web-1", "root@web-2"], None),
        modified,
    ] {
        assert_eq!(grant(&refused), None, "{refused:?}");
    }
}

/// Certificates under one grant, as time goes by: never past it, and none once it or its session has ended.
#[test]
fn invariant_2_no_certificate_outlives_its_grant() {
    let grant = grant(&body(Mode::Shell, &["deploy@web-1"], None)).unwrap();
    let end = NOW + 1800;
    for (now, session_ends, expected) in [
        (NOW, NOW + 3600, Ok(end)),
        (NOW + 1000, NOW + 3600, Ok(end)),
        (end - 1, NOW + 3600, Ok(end)),
        (end, NOW + 3600, Err(CertError::Ended)),
        (end + 30, NOW + 3600, Err(CertError::Ended)),
        (NOW + 1000, NOW + 1200, Ok(NOW + 1200)),
        (NOW + 1000, NOW + 1000, Err(CertError::Ended)),
        // A clock that went back.
        (NOW - 600, NOW + 3600, Ok(end)),
    ] {
        let parts = Parts { now, session_ends, ..fido() };
        let ends = Prepared::new(&grant, &parts.issuance()).map(|p| p.record().valid_before.seconds());
        assert_eq!(ends, expected, "{now} {session_ends}");
    }
}
