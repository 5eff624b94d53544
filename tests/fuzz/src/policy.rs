//! Policies, their annotations, and the inventory: whatever is written, loading ends, and what loads decides.

use std::sync::LazyLock;

use jit_ssh_core::identity::{Claims, Flow, IdentityKind, IssuerRules, VerifiedIdentity};
use jit_ssh_core::inventory::{Inventory, InventorySource};
use jit_ssh_core::policy::{Circumstances, Decision, LocalTime, PolicySource, Rules};
use jit_ssh_core::request::{AccessRequest, RequestLimits};
use jit_ssh_proto::wire::AccessRequestBody;
use jit_ssh_proto::{Code, Mode, Span, Timestamp, UserKey};
use serde_json::json;

/// As the server's parser has (`config/rules.rs`).
const STACK_BYTES: usize = 16 << 20;
const HOUR: Span = Span::from_seconds(3600);
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB2phQr2MUYVQCpR2ZCnL9q3nBcP6nHSVpSWP0HcL1Jm";
const HOSTS: &str =
    "[[group]]\nname = \"web\"\nlogins = [\"deploy\"]\n[[host]]\nname = \"web-1\"\ngroups = [\"web\"]\n";

/// Somebody of no group.
static NOBODY: LazyLock<Option<VerifiedIdentity>> = LazyLock::new(|| {
    let issuer = IssuerRules {
        name: "corp".parse().ok()?,
        url: "https://id.example.com".into(),
        kind: IdentityKind::User,
        username: Some("preferred_username".into()),
        groups: None,
        groups_map: [].into(),
        tags: [].into(),
        allowed_domains: Vec::new(),
        privileged_flows: false,
    };
    let payload = json!({ "sub": "1", "preferred_username": "mallory" });
    let claims = Claims::from_payload(&issuer, Flow::Code, payload.as_object()?).ok()?;
    VerifiedIdentity::admit(&issuer, &claims).ok()
});

fn read(text: &str) -> Option<Inventory> {
    let source = InventorySource { file: "fuzz.toml".into(), text: text.into() };
    match Inventory::read(&[source]) {
        Ok(inventory) => Some(inventory),
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            for error in errors {
                assert!(error.line > 0 && error.column > 0 && !error.to_string().contains('\n'), "{error}");
            }
            None
        }
    }
}

fn ask(account: &str) -> Option<AccessRequest> {
    let body = AccessRequestBody {
        accounts: vec![account.into()],
        mode: Mode::Shell,
        modifiers: Vec::new(),
        command: None,
        duration: None,
        reason: String::new(),
        ticket: String::new(),
        key: String::new(),
        proof: String::new(),
    };
    AccessRequest::parse(&body, &RequestLimits { max_duration: HOUR, max_accounts: 4 }).ok()
}

fn decide(rules: &Rules, account: &str) -> Option<Decision> {
    let at = Circumstances {
        now: Timestamp::from_seconds(1_795_339_800),
        local: LocalTime { hour: 9, minute: 30, weekday: 7, date: "2026-11-22".into() },
        source_ip: [192, 0, 2, 7].into(),
    };
    let key: UserKey = KEY.parse().ok()?;
    Some(rules.decide(NOBODY.as_ref()?, &ask(account)?, &key, &at))
}

/// Loads policies; what loads is asked, and must not give anybody more than the longest length that it names.
fn load(policies: String) {
    let joined = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let source = PolicySource { file: "fuzz.cedar".into(), text: policies.clone() };
        let Some(inventory) = read(HOSTS) else { return };
        match Rules::load(&[source], inventory, &[0; 32], HOUR) {
            Ok(rules) => {
                let decided = decide(&rules, "deploy@web-1");
                if let Some(Decision::Allowed(allowed)) = decided {
                    assert!(
                        !allowed.policies().is_empty() && policies.contains("permit"),
                        "allowed by nothing"
                    );
                }
                assert!(
                    !matches!(decide(&rules, "root@web-1"), Some(Decision::Allowed(_))),
                    "a login that the inventory does not offer"
                );
                if let Some(Decision::Denied(denial)) = decide(&rules, "deploy@elsewhere") {
                    assert_eq!(denial.code, Code::NoAccess, "an unknown host is like any other");
                }
            }
            Err(errors) => {
                assert!(!errors.is_empty(), "refused without a reason");
                for error in errors {
                    assert!(
                        error.line > 0 && error.column > 0 && !error.to_string().contains('\n'),
                        "{error}"
                    );
                }
            }
        }
    });
    if let Ok(joined) = joined {
        assert!(joined.join().is_ok(), "loading or deciding panicked");
    }
}

/// A policy file.
pub(crate) fn text(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        load(text.to_owned());
    }
}

/// What stands between `@` and `permit`.
pub(crate) fn annotations(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        load(format!("@{text} permit (principal, action, resource);"));
    }
}

/// An inventory file: what it offers is decided without a policy, which is no.
pub(crate) fn inventory(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(inventory) = read(text) else { return };
    let accounts: Vec<String> = inventory
        .hosts()
        .take(8)
        .flat_map(|host| host.logins().iter().map(move |login| format!("{login}@{}", host.name())))
        .take(16)
        .collect();
    let Ok(rules) = Rules::load(&[], inventory, &[0; 32], HOUR) else { return };
    for account in accounts {
        assert!(
            !matches!(decide(&rules, &account), Some(Decision::Allowed(_))),
            "{account} without a policy"
        );
    }
}
