//! Claims, tokens and what a provider says of itself: whatever comes, nobody becomes somebody else.

use jit_ssh_core::identity::{Claims, Flow, IdentityKind, IssuerRules, VerifiedIdentity};
use serde_json::{Map, Value};

fn entry() -> Option<IssuerRules> {
    Some(IssuerRules {
        name: "corp".parse().ok()?,
        url: "https://id.example.com".into(),
        kind: IdentityKind::User,
        username: Some("preferred_username".into()),
        groups: Some("groups".into()),
        groups_map: [("sre".to_owned(), vec!["sre".parse().ok()?])].into(),
        tags: [
            ("ref".to_owned(), "ref".parse().ok()?),
            ("ns".to_owned(), "/kubernetes.io/namespace".parse().ok()?),
        ]
        .into(),
        allowed_domains: vec!["example.com".into()],
        privileged_flows: false,
    })
}

/// The payload of a token that was verified.
pub(crate) fn claims(bytes: &[u8]) {
    let Ok(payload) = serde_json::from_slice::<Map<String, Value>>(bytes) else { return };
    let Some(rules) = entry() else { return };
    for flow in Flow::ALL {
        let Ok(claims) = Claims::from_payload(&rules, flow, &payload) else { continue };
        let Ok(who) = VerifiedIdentity::admit(&rules, &claims) else { continue };
        assert_eq!(Some(who.sub()), payload.get("sub").and_then(Value::as_str), "another subject");
        assert_eq!(
            payload.get("email_verified"),
            Some(&Value::Bool(true)),
            "an address that is not verified"
        );
        let email = payload.get("email").and_then(Value::as_str).unwrap_or_default();
        assert!(email.to_ascii_lowercase().ends_with("@example.com"), "another domain");
        if let Some(login) = who.login() {
            assert_eq!(
                Some(login.as_str()),
                payload.get("preferred_username").and_then(Value::as_str),
                "a login that was changed"
            );
            assert!(!login.as_str().starts_with("id-"), "a login that poses as a derived name");
        }
        for group in who.groups() {
            assert_eq!(group.as_str(), "sre", "a group that is not mapped");
        }
        let named = serde_json::to_string(payload.get("groups").unwrap_or(&Value::Null)).unwrap_or_default();
        assert!(who.groups().is_empty() || named.contains("sre"), "a group that the token does not name");
        assert_eq!(who.is_privileged(), flow == Flow::Code, "{flow}");
    }
}

#[cfg(feature = "coverage")]
/// A token as it arrives. No key ever signed what is made up here.
pub(crate) fn token(bytes: &[u8]) {
    if let Ok(token) = std::str::from_utf8(bytes) {
        jit_ssh_ca::oidc::fuzzing::token(token);
    }
}

#[cfg(feature = "coverage")]
/// What a provider answers.
pub(crate) fn discovery(bytes: &[u8]) {
    jit_ssh_ca::oidc::fuzzing::answer(bytes);
}
