//! Sending a form to a provider as the client that people logged in through: the one way in which the CA says anything
//! to a provider that is not a question anybody may ask.

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::fetch::{FetchError, Fetcher, invalid, lost, unreachable};

/// What the CA needs of a discovery document for that (RFC 8414, 2).
#[derive(Debug, Deserialize)]
struct Endpoints {
    #[serde(default)]
    token_endpoint: Option<Url>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    device_authorization_endpoint: Option<Url>,
    #[serde(default)]
    revocation_endpoint: Option<Url>,
    #[serde(default)]
    revocation_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// As which client.
#[derive(Clone, Copy)]
pub(crate) struct ClientAuth<'a> {
    pub(crate) id: &'a str,
    pub(crate) secret: Option<&'a str>,
}

/// What a token endpoint answered.
pub(crate) enum TokenAnswer {
    /// Tokens, as JSON.
    Tokens(Zeroizing<Vec<u8>>),
    /// An OAuth error (RFC 6749, 5.2): its code.
    Refused(String),
}

impl Fetcher {
    /// Sends a form to the token endpoint (RFC 6749, 3.2).
    ///
    /// # Errors
    /// [`FetchError`]; an answer that is an OAuth error is none.
    pub(crate) async fn exchange(
        &self,
        client: &ClientAuth<'_>,
        form: &[(&str, &str)],
    ) -> Result<TokenAnswer, FetchError> {
        let found = self.endpoints().await?;
        let address =
            found.token_endpoint.ok_or_else(|| invalid("the discovery document names no token endpoint"))?;
        let methods = found.token_endpoint_auth_methods_supported;
        self.answered(&address, methods.as_deref(), client, form).await
    }

    /// Sends a form to the device authorization endpoint (RFC 8628, 3.1), whose answer is read as a token endpoint's.
    ///
    /// # Errors
    /// As [`Fetcher::exchange`].
    pub(crate) async fn device_code(
        &self,
        client: &ClientAuth<'_>,
        form: &[(&str, &str)],
    ) -> Result<TokenAnswer, FetchError> {
        let found = self.endpoints().await?;
        let address = found
            .device_authorization_endpoint
            .ok_or_else(|| invalid("the discovery document names no device authorization endpoint"))?;
        let methods = found.token_endpoint_auth_methods_supported;
        self.answered(&address, methods.as_deref(), client, form).await
    }

    async fn answered(
        &self,
        address: &Url,
        methods: Option<&[String]>,
        client: &ClientAuth<'_>,
        form: &[(&str, &str)],
    ) -> Result<TokenAnswer, FetchError> {
        let response = self.submit(address, methods, client, form).await?;
        let status = response.status();
        let answer = self.body(response, address).await.map(Zeroizing::new)?;
        if status == StatusCode::OK {
            return Ok(TokenAnswer::Tokens(answer));
        }
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        match serde_json::from_slice::<Refusal>(&answer) {
            Ok(refusal) if status.is_client_error() => Ok(TokenAnswer::Refused(refusal.error)),
            Ok(_) | Err(_) => Err(invalid(format!("{address} answered {}", status.as_u16()))),
        }
    }

    /// Tells the provider that a refresh token is not needed any more (RFC 7009). Whether it has a place to be told.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(crate) async fn revoke(&self, client: &ClientAuth<'_>, token: &str) -> Result<bool, FetchError> {
        let found = self.endpoints().await?;
        let Some(address) = found.revocation_endpoint else { return Ok(false) };
        let methods =
            found.revocation_endpoint_auth_methods_supported.or(found.token_endpoint_auth_methods_supported);
        let form = [("token", token), ("token_type_hint", "refresh_token")];
        let status = self.submit(&address, methods.as_deref(), client, &form).await?.status();
        if status == StatusCode::OK {
            return Ok(true);
        }
        Err(invalid(format!("{address} answered {}", status.as_u16())))
    }

    async fn endpoints(&self) -> Result<Endpoints, FetchError> {
        serde_json::from_slice(&self.describe().await?.body)
            .map_err(|_| invalid("the discovery document's endpoints are not understood"))
    }

    /// Posts a form, with the client's secret if it has one: by HTTP Basic, unless the provider says that it takes it in
    /// the body only (OpenID Connect Core 1.0, 9).
    async fn submit(
        &self,
        address: &Url,
        methods: Option<&[String]>,
        client: &ClientAuth<'_>,
        form: &[(&str, &str)],
    ) -> Result<reqwest::Response, FetchError> {
        self.may_send_us_to(address).await?;
        let takes = |method: &str| methods.is_some_and(|all| all.iter().any(|one| one == method));
        let in_body = takes("client_secret_post") && !takes("client_secret_basic");
        let request = self.client().await?.post(address.clone());
        let (request, ours): (_, &[(&str, &str)]) = match client.secret {
            Some(secret) if !in_body => (request.basic_auth(encoded(client.id), Some(encoded(secret))), &[]),
            Some(secret) => (request, &[("client_id", client.id), ("client_secret", secret)]),
            None => (request, &[("client_id", client.id)]),
        };
        let body =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(form).extend_pairs(ours).finish();
        let response = request
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .map_err(|error| lost(address, &error))?;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(unreachable(format!("{address} answered {}", status.as_u16())));
        }
        Ok(response)
    }
}

/// As RFC 6749, 2.3.1 wants id and secret before they go into HTTP Basic.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
