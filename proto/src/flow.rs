//! How somebody logs in: the ways in which an ID token comes to the CA.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// The way in which an ID token was obtained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// Authorization code with PKCE over a loopback redirect (RFC 8252): the token carries our nonce.
    #[default]
    Code,
    /// Device authorization grant (RFC 8628): the person logs in on another machine; there is no nonce.
    Device,
    /// A token that a platform gave to a workload: a CI job's or a service account's. There is no nonce.
    Token,
}

/// Not a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowError;

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is no flow that this version knows: write code, device or token")
    }
}

impl core::error::Error for FlowError {}

impl Flow {
    /// Every flow.
    pub const ALL: [Self; 3] = [Self::Code, Self::Device, Self::Token];

    /// The word in policies, events, configuration and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Device => "device",
            Self::Token => "token",
        }
    }

    /// Whether its tokens carry the nonce that binds them to a session key. Without one, whoever presents a token
    /// first has it.
    #[must_use]
    pub fn has_nonce(self) -> bool {
        match self {
            Self::Code => true,
            Self::Device | Self::Token => false,
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Flow {
    type Err = FlowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|flow| flow.as_str() == text).ok_or(FlowError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for flow in Flow::ALL {
            assert_eq!(flow.as_str().parse(), Ok(flow));
            assert_eq!(serde_json::to_value(flow).unwrap(), flow.as_str());
        }
        for text in ["", "Code", "implicit", "code ", "password"] {
            assert_eq!(text.parse::<Flow>(), Err(FlowError), "{text:?}");
        }
        assert!(Flow::Code.has_nonce() && !Flow::Device.has_nonce() && !Flow::Token.has_nonce());
    }
}
