//! Asking a provider about a login again, with a refresh token (RFC 6749, 6; OpenID Connect Core 1.0, 12).

use jit_ssh_proto::Flow;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Provider;
use super::fetch::{ClientAuth, TokenAnswer};

/// What a provider said.
pub enum Refreshed {
    /// It stands by the login.
    Stands {
        /// A new ID token, if it sent one.
        id_token: Option<String>,
        /// The refresh token from now on, if it is another.
        refresh_token: Option<Zeroizing<String>>,
    },
    /// It does not (`invalid_grant`): expired, revoked, logged out, or used before.
    Refused,
    /// It could not be asked, or said something else: why, for the log.
    Trouble(String),
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
}

impl Provider {
    /// Exchanges a refresh token that came with a login of this flow.
    pub async fn refresh_login(&self, token: &str, flow: Flow) -> Refreshed {
        let client = ClientAuth { id: self.config.client_of(flow), secret: self.config.secret_of(flow) };
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        match self.keys.exchange(&client, &form).await {
            Ok(TokenAnswer::Tokens(body)) => match serde_json::from_slice::<Tokens>(&body) {
                Ok(tokens) => Refreshed::Stands {
                    id_token: tokens.id_token,
                    refresh_token: tokens.refresh_token.map(Zeroizing::new),
                },
                Err(_) => Refreshed::Trouble("its token endpoint did not answer with tokens".to_owned()),
            },
            Ok(TokenAnswer::Refused(code)) if code == "invalid_grant" => Refreshed::Refused,
            // That the client may not ask says nothing about the person.
            Ok(TokenAnswer::Refused(code)) => {
                let code: String = code.chars().take(64).collect();
                Refreshed::Trouble(format!("its token endpoint refused with {code:?}"))
            }
            Err(error) => Refreshed::Trouble(error.to_string()),
        }
    }
}
