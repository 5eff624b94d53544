//! Events about who may log in, and about what ends or changes a session while it lives.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{Name, SessionId, Text};

/// Why a session ended that its owner did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The operator disabled the identity.
    IdentityDisabled,
    /// The operator released the login that it had.
    LoginReleased,
    /// The provider says that the person logged out there (OpenID Connect Back-Channel Logout).
    ProviderLogout,
    /// The provider, asked again, does not stand by the login any more.
    ProviderRefused,
    /// The provider, asked again, says things of the identity that this session must not go on with: another subject
    /// or name, or an address that may not log in.
    IdentityChanged,
    /// The operator said that its issuer's name stands for another URL.
    IssuerMoved,
}

impl EndReason {
    /// The word in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdentityDisabled => "identity_disabled",
            Self::LoginReleased => "login_released",
            Self::ProviderLogout => "provider_logout",
            Self::ProviderRefused => "provider_refused",
            Self::IdentityChanged => "identity_changed",
            Self::IssuerMoved => "issuer_moved",
        }
    }
}

/// `session.revalidated`: written only where something changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRevalidated {
    /// The session.
    pub session: SessionId,
    /// The verified e-mail address now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Mapped groups now.
    pub groups: Vec<Name>,
    /// Tags for policy and their values now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
    /// SHA-256 of the claims that the CA keeps with the session from now on, lower-case hex.
    pub claims: String,
}

/// `identity.disabled`: each of its sessions ended with it, by an event of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityDisabled {
    /// The issuer's alias.
    pub issuer: Name,
    /// The issuer's subject.
    pub sub: String,
    /// The name that the operator knew it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Why, as the operator wrote it.
    pub reason: Text,
}

/// `identity.enabled`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityEnabled {
    /// The issuer's alias.
    pub issuer: Name,
    /// The issuer's subject.
    pub sub: String,
    /// The name that the operator knew it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
}

/// `login.released`: what it meant in policies may from now on be meant by another identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginReleased {
    /// The login or name.
    pub login: Name,
    /// The issuer's alias of the identity that had it.
    pub issuer: Name,
    /// That identity's subject.
    pub sub: String,
}

/// `issuer.bound`: who has a name under this alias is who that issuer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerBound {
    /// The alias.
    pub issuer: Name,
    /// The issuer identifier.
    pub url: String,
    /// The one that the alias stood for before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for reason in [
            EndReason::IdentityDisabled,
            EndReason::LoginReleased,
            EndReason::ProviderLogout,
            EndReason::ProviderRefused,
            EndReason::IdentityChanged,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert!(serde_json::from_str::<EndReason>("\"bored\"").is_err());
    }
}
