//! Asking a provider about a login again, with a refresh token (RFC 6749, 6; OpenID Connect Core 1.0, 12), and giving
//! the token back (RFC 7009).

use jit_ssh_proto::Flow;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Provider;
use super::form::{ClientAuth, TokenAnswer};

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

/// A text that is not kept.
struct Secret;

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| drop(Zeroizing::new(text))).map(|()| Self)
    }
}

#[derive(Deserialize)]
struct Tokens {
    /// There is one in every answer that says yes (RFC 6749, 5.1).
    #[serde(rename = "access_token")]
    _access_token: Secret,
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
}

impl Provider {
    fn client(&self, flow: Flow) -> ClientAuth<'_> {
        ClientAuth { id: self.config.client_of(flow), secret: self.config.secret_of(flow) }
    }

    /// Has the provider forget a refresh token of a login of this flow, if it can be told to: whether it was.
    ///
    /// # Errors
    /// Why not, for the log.
    pub async fn give_back(&self, token: &str, flow: Flow) -> Result<bool, String> {
        self.keys.fetcher().revoke(&self.client(flow), token).await.map_err(|error| error.to_string())
    }

    /// Exchanges a refresh token that came with a login of this flow.
    pub async fn refresh_login(&self, token: &str, flow: Flow) -> Refreshed {
        let client = self.client(flow);
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        match self.keys.fetcher().exchange(&client, &form).await {
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
