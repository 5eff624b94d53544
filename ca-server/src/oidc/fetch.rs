//! Asking a provider for its discovery document and keys, believing as little as possible of the answer: no
//! redirects, bounded time and size, https unless everything is on loopback.

use std::net::IpAddr;

use openidconnect::{IssuerUrl, JsonWebKeySet, JsonWebKeySetUrl};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, LOCATION};
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::{Host, Url, form_urlencoded};

use super::key::RingKey;
use crate::outgoing::{self, Patience};

/// The largest discovery document or key set that is read.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Why a provider's keys were not had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// It did not answer, or said that it is in trouble: it may work later.
    #[error("{0}")]
    Unreachable(String),
    /// It answered, and the answer is not acceptable: somebody has to change something.
    #[error("{0}")]
    Invalid(String),
}

fn invalid(what: impl Into<String>) -> FetchError {
    FetchError::Invalid(what.into())
}

fn unreachable(what: impl Into<String>) -> FetchError {
    FetchError::Unreachable(what.into())
}

/// The two members of a discovery document that the CA needs. openidconnect's own type also demands an
/// authorization endpoint, which the providers of workloads (GitHub Actions, Kubernetes) do not have.
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: IssuerUrl,
    jwks_uri: JsonWebKeySetUrl,
}

/// What the CA needs of it to ask about a login again.
#[derive(Debug, Deserialize)]
struct Endpoints {
    #[serde(default)]
    token_endpoint: Option<Url>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// As which client the CA asks a token endpoint: the one that people logged in through.
#[derive(Clone, Copy)]
pub(crate) struct ClientAuth<'a> {
    pub(crate) id: &'a str,
    pub(crate) secret: Option<&'a str>,
}

/// What a token endpoint answered.
pub(crate) enum TokenAnswer {
    /// Tokens, as JSON.
    Tokens(zeroize::Zeroizing<Vec<u8>>),
    /// An OAuth error (RFC 6749, 5.2): its code.
    Refused(String),
}

/// A discovery document that is the issuer's own.
#[derive(Debug)]
pub(crate) struct Described {
    /// Where the keys are.
    pub(crate) jwks_uri: JsonWebKeySetUrl,
    /// The answer's `Date`.
    pub(crate) date: Option<String>,
    /// The document.
    pub(crate) body: Vec<u8>,
}

/// A client for one provider.
#[derive(Debug)]
pub(crate) struct Fetcher {
    issuer: String,
    patience: Patience,
    client: OnceCell<reqwest::Client>,
}

impl Fetcher {
    pub(crate) fn new(issuer: String, patience: Patience) -> Self {
        Self { issuer, patience, client: OnceCell::new() }
    }

    /// Where the keys are, by OpenID Connect Discovery 1.0, 4.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(crate) async fn discover(&self) -> Result<JsonWebKeySetUrl, FetchError> {
        Ok(self.describe().await?.jwks_uri)
    }

    /// The whole discovery document, if it is this issuer's.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(crate) async fn describe(&self) -> Result<Described, FetchError> {
        let issuer = self.url()?;
        let stem = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        let address = Url::parse(&format!("{stem}/.well-known/openid-configuration"))
            .map_err(|_| invalid("the issuer's `url` is not a URL"))?;
        acceptable(&issuer, &address).map_err(|why| invalid(format!("the issuer's `url` {why}")))?;
        let response = self.answer(self.client().await?.get(address.clone()), &address).await?;
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
        let body = self.body(response, &address).await?;
        let jwks_uri = keys_of(&issuer, &self.issuer, &body, address.as_str())?;
        Ok(Described { jwks_uri, date, body })
    }

    /// Refuses an address that this issuer may not send us to.
    ///
    /// # Errors
    /// [`FetchError::Invalid`].
    pub(crate) fn may_send_us_to(&self, address: &Url) -> Result<(), FetchError> {
        acceptable(&self.url()?, address)
            .map_err(|why| invalid(format!("the provider's endpoint {address} {why}")))
    }

    /// Asks for a page and reads none of it: its status, and where it would send a browser.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(crate) async fn knock(&self, address: &Url) -> Result<(u16, Option<String>), FetchError> {
        self.may_send_us_to(address)?;
        let response =
            self.client().await?.get(address.clone()).send().await.map_err(|error| lost(address, &error))?;
        let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        Ok((response.status().as_u16(), location))
    }

    /// Sends a form to the token endpoint (RFC 6749, 3.2), with the client's secret if it has one: by HTTP Basic, unless
    /// the provider says that it takes it in the body only (OpenID Connect Core 1.0, 9).
    ///
    /// # Errors
    /// [`FetchError`]; an answer that is an OAuth error is none.
    pub(crate) async fn exchange(
        &self,
        client: &ClientAuth<'_>,
        form: &[(&str, &str)],
    ) -> Result<TokenAnswer, FetchError> {
        let document = self.describe().await?.body;
        let found: Endpoints = serde_json::from_slice(&document)
            .map_err(|_| invalid("the discovery document's token endpoint is not understood"))?;
        let address =
            found.token_endpoint.ok_or_else(|| invalid("the discovery document names no token endpoint"))?;
        self.may_send_us_to(&address)?;
        let methods = found.token_endpoint_auth_methods_supported;
        let takes = |method: &str| methods.as_ref().is_some_and(|all| all.iter().any(|one| one == method));
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
            .map_err(|error| lost(&address, &error))?;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(unreachable(format!("{address} answered {}", status.as_u16())));
        }
        let answer = self.body(response, &address).await.map(zeroize::Zeroizing::new)?;
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

    /// Posts a form, with a client's name and secret where it has one, and reads the JSON that comes back, whatever
    /// its status.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(crate) async fn post(
        &self,
        address: &Url,
        form: &[(&str, &str)],
        client: Option<(&str, &str)>,
    ) -> Result<Vec<u8>, FetchError> {
        self.may_send_us_to(address)?;
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self
            .client()
            .await?
            .post(address.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(encoded);
        if let Some((name, secret)) = client {
            // RFC 6749, 2.3.1: both are form-encoded before they are joined.
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(encode(name), Some(encode(secret)));
        }
        let response = request.send().await.map_err(|error| lost(address, &error))?;
        self.body(response, address).await
    }

    /// The keys at `address`.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(crate) async fn keys(
        &self,
        address: &JsonWebKeySetUrl,
    ) -> Result<JsonWebKeySet<RingKey>, FetchError> {
        let body = self.get(address.url()).await?;
        key_set(&body, address.as_str())
    }

    async fn get(&self, address: &Url) -> Result<Vec<u8>, FetchError> {
        let response = self.answer(self.client().await?.get(address.clone()), address).await?;
        self.body(response, address).await
    }

    /// A good answer, with its body still to be read.
    async fn answer(
        &self,
        request: reqwest::RequestBuilder,
        address: &Url,
    ) -> Result<reqwest::Response, FetchError> {
        let response =
            request.header(ACCEPT, "application/json").send().await.map_err(|error| lost(address, &error))?;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(unreachable(format!("{address} answered {}", status.as_u16())));
        }
        if status.is_redirection() {
            return Err(invalid(format!("{address} redirects, which is not followed")));
        }
        if status != StatusCode::OK {
            return Err(invalid(format!("{address} answered {}", status.as_u16())));
        }
        Ok(response)
    }

    /// A body of JSON, of a size that is reasonable.
    async fn body(&self, mut response: reqwest::Response, address: &Url) -> Result<Vec<u8>, FetchError> {
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !plausible(kind) {
            return Err(invalid(format!("{address} did not answer with JSON")));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(address, &error))? {
            if body.len().saturating_add(chunk.len()) > MAX_BODY_BYTES {
                return Err(invalid(format!("{address} answered with more than 256 KiB")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn url(&self) -> Result<Url, FetchError> {
        Url::parse(&self.issuer).map_err(|_| invalid("the issuer's `url` is not a URL"))
    }

    async fn client(&self) -> Result<&reqwest::Client, FetchError> {
        self.client.get_or_try_init(|| self.build()).await
    }

    async fn build(&self) -> Result<reqwest::Client, FetchError> {
        let plain = self.issuer.starts_with("http://");
        outgoing::client(plain, self.patience).await.map_err(unreachable)
    }
}

/// Where a discovery document says that the keys are, if it is the issuer's own.
fn keys_of(issuer: &Url, name: &str, body: &[u8], place: &str) -> Result<JsonWebKeySetUrl, FetchError> {
    let found: Discovery = serde_json::from_slice(body)
        .map_err(|_| invalid(format!("{place} is not an OpenID Connect discovery document")))?;
    if found.issuer.as_str() != name {
        return Err(invalid(format!("{place} names another issuer than the configured `url`")));
    }
    acceptable(issuer, found.jwks_uri.url())
        .map_err(|why| invalid(format!("the provider's jwks_uri {why}")))?;
    Ok(found.jwks_uri)
}

/// Reads a discovery document for the fuzz targets.
///
/// # Panics
/// If a public issuer could send us into this machine's own network.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn discovery(body: &[u8], name: &str) {
    let Ok(issuer) = Url::parse(name) else { return };
    if let Ok(keys) = keys_of(&issuer, name, body, "the document") {
        assert!(keys.url().scheme() == "https" && !private(keys.url()), "{}", keys.as_str());
    }
}

fn lost(address: &Url, error: &reqwest::Error) -> FetchError {
    let what = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
    unreachable(format!("{address} {what}: {}", root_cause(error)))
}

/// As RFC 6749, 2.3.1 wants id and secret before they go into HTTP Basic.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The innermost error, which is the one that says something: a refused connection, a certificate nobody knows.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Reads a key set; entries that cannot verify ID tokens are passed over, as RFC 7517, 5 says.
///
/// # Errors
/// [`FetchError::Invalid`] if it is none, or has no usable key.
pub(crate) fn key_set(body: &[u8], place: &str) -> Result<JsonWebKeySet<RingKey>, FetchError> {
    let set: JsonWebKeySet<RingKey> =
        serde_json::from_slice(body).map_err(|_| invalid(format!("{place} is not a JSON Web Key Set")))?;
    if set.keys().is_empty() {
        return Err(invalid(format!("{place} has no key that can verify ID tokens")));
    }
    Ok(set)
}

/// JSON under any of its names, plain text (static hosting) or nothing at all; a web page is not.
fn plausible(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        essence.as_str(),
        "" | "application/json" | "text/json" | "text/plain" | "application/octet-stream"
    ) || essence.ends_with("+json")
}

/// Whether a provider at `issuer` may send us to `address`: https, or http if both are on loopback; and never from
/// a public issuer to an address literal of this machine or its network.
fn acceptable(issuer: &Url, address: &Url) -> Result<(), &'static str> {
    if !address.username().is_empty() || address.password().is_some() {
        return Err("carries a user name or password");
    }
    match address.scheme() {
        "https" => {}
        "http" if loopback(issuer) && loopback(address) => {}
        "http" => return Err("is plain http, which is taken on loopback only"),
        _ => return Err("is not an https URL"),
    }
    if private(address) && issuer.host() != address.host() && !loopback(issuer) {
        return Err("points into this machine's own network");
    }
    Ok(())
}

fn loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.trim_end_matches('.') == "localhost",
        None => false,
    }
}

fn private(url: &Url) -> bool {
    let address: IpAddr = match url.host() {
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.to_canonical(),
        Some(Host::Domain(name)) => {
            return loopback(url) || name.trim_end_matches('.').ends_with(".localhost");
        }
        None => return true,
    };
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_issuer_may_not_send_us() {
        for (issuer, address) in [
            ("https://id.example", "http://id.example/keys"),
            ("https://id.example", "ftp://id.example/keys"),
            ("https://id.example", "file:///etc/passwd"),
            ("https://id.example", "http://127.0.0.1/keys"),
            ("https://id.example", "https://127.0.0.1/keys"),
            ("https://id.example", "https://localhost/keys"),
            ("https://id.example", "https://a.localhost/keys"),
            ("https://id.example", "https://10.0.0.1/keys"),
            ("https://id.example", "https://169.254.169.254/latest"),
            ("https://id.example", "https://[::1]/keys"),
            ("https://id.example", "https://[fd00::1]/keys"),
            ("https://id.example", "https://[::ffff:10.0.0.1]/keys"),
            ("https://id.example", "https://user@id.example/keys"),
            ("http://127.0.0.1:1", "http://id.example/keys"),
            ("http://id.example", "http://id.example/keys"),
        ] {
            let (issuer, url) = (Url::parse(issuer).unwrap(), Url::parse(address).unwrap());
            assert!(acceptable(&issuer, &url).is_err(), "{issuer} → {address}");
        }
    }

    #[test]
    fn where_it_may() {
        for (issuer, address) in [
            ("https://id.example", "https://keys.example/all"),
            ("https://10.0.0.1", "https://10.0.0.1/keys"),
            ("http://127.0.0.1:1", "http://127.0.0.1:2/keys"),
            ("http://[::1]:1", "http://[::1]:1/keys"),
            ("http://localhost:1", "http://127.0.0.1:1/keys"),
        ] {
            let (issuer, url) = (Url::parse(issuer).unwrap(), Url::parse(address).unwrap());
            assert_eq!(acceptable(&issuer, &url), Ok(()), "{issuer} → {address}");
        }
    }
}
