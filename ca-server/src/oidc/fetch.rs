//! Asking a provider for its discovery document and keys, believing as little as possible of the answer: no
//! redirects, bounded time and size, https unless everything is on loopback.

use std::error::Error;
use std::sync::Arc;

use openidconnect::{IssuerUrl, JsonWebKeySet, JsonWebKeySetUrl};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, LOCATION};
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::{Host, Url};

use super::key::RingKey;
use super::place::{Guard, Inward, Place};
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

pub(super) fn invalid(what: impl Into<String>) -> FetchError {
    FetchError::Invalid(what.into())
}

pub(super) fn unreachable(what: impl Into<String>) -> FetchError {
    FetchError::Unreachable(what.into())
}

/// The two members of a discovery document that the CA needs. openidconnect's own type also demands an
/// authorization endpoint, which the providers of workloads (GitHub Actions, Kubernetes) do not have.
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: IssuerUrl,
    jwks_uri: JsonWebKeySetUrl,
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
    guard: Guard,
    client: OnceCell<reqwest::Client>,
}

impl Fetcher {
    pub(crate) fn new(issuer: String, patience: Patience) -> Self {
        let guard = Guard::new(&issuer);
        Self::with_guard(issuer, patience, guard)
    }

    fn with_guard(issuer: String, patience: Patience, guard: Guard) -> Self {
        Self { issuer, patience, guard, client: OnceCell::new() }
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
        // Its own address is where the operator says.
        acceptable(&issuer, Place::Local, &address)
            .map_err(|why| invalid(format!("the issuer's `url` {why}")))?;
        let response = self.answer(self.client().await?.get(address.clone()), &address).await?;
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
        let body = self.body(response, &address).await?;
        let jwks_uri = keys_of(&self.issuer, &body, address.as_str())?;
        self.allow("the provider's jwks_uri", jwks_uri.url()).await?;
        Ok(Described { jwks_uri, date, body })
    }

    /// Refuses an address that this issuer may not send us to. What a name leads to is seen when it is connected to.
    ///
    /// # Errors
    /// [`FetchError::Invalid`].
    pub(super) async fn allow(&self, what: &str, address: &Url) -> Result<(), FetchError> {
        let issuer = self.url()?;
        let from = match Place::of_host(address) {
            Some(Place::Private | Place::Local) => self.guard.place().await,
            Some(Place::Public) | None => Place::Public,
        };
        acceptable(&issuer, from, address).map_err(|why| invalid(format!("{what} {why}")))
    }

    /// The same for one of its endpoints.
    ///
    /// # Errors
    /// [`FetchError::Invalid`].
    pub(crate) async fn may_send_us_to(&self, address: &Url) -> Result<(), FetchError> {
        self.allow(&format!("the provider's endpoint {address}"), address).await
    }

    /// Asks for a page and reads none of it: its status, and where it would send a browser.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(crate) async fn knock(&self, address: &Url) -> Result<(u16, Option<String>), FetchError> {
        self.may_send_us_to(address).await?;
        let response =
            self.client().await?.get(address.clone()).send().await.map_err(|error| lost(address, &error))?;
        let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        Ok((response.status().as_u16(), location))
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
    pub(super) async fn body(
        &self,
        mut response: reqwest::Response,
        address: &Url,
    ) -> Result<Vec<u8>, FetchError> {
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

    pub(super) async fn client(&self) -> Result<&reqwest::Client, FetchError> {
        self.client.get_or_try_init(|| self.build()).await
    }

    async fn build(&self) -> Result<reqwest::Client, FetchError> {
        let plain = self.issuer.starts_with("http://");
        let names = Arc::new(self.guard.clone());
        outgoing::client(plain, self.patience, Some(names)).await.map_err(unreachable)
    }
}

/// Where a discovery document says that the keys are, if it is the issuer's own.
fn keys_of(name: &str, body: &[u8], place: &str) -> Result<JsonWebKeySetUrl, FetchError> {
    let found: Discovery = serde_json::from_slice(body)
        .map_err(|_| invalid(format!("{place} is not an OpenID Connect discovery document")))?;
    if found.issuer.as_str() != name {
        return Err(invalid(format!("{place} names another issuer than the configured `url`")));
    }
    Ok(found.jwks_uri)
}

/// Reads a discovery document for the fuzz targets.
///
/// # Panics
/// If a public issuer could send us into this machine's own network.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn discovery(body: &[u8], name: &str) {
    let Ok(issuer) = Url::parse(name) else { return };
    if let Ok(keys) = keys_of(name, body, "the document")
        && acceptable(&issuer, Place::Public, keys.url()).is_ok()
    {
        let inside = Place::of_host(keys.url()).is_some_and(|place| place > Place::Public);
        assert!(keys.url().scheme() == "https" && !inside, "{}", keys.as_str());
    }
}

pub(super) fn lost(address: &Url, error: &reqwest::Error) -> FetchError {
    if let Some(inward) = causes(error).find_map(|cause| cause.downcast_ref::<Inward>()) {
        return invalid(format!("{address} is not asked: {inward}"));
    }
    let what = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
    unreachable(format!("{address} {what}: {}", root_cause(error)))
}

/// The innermost error, which is the one that says something: a refused connection, a certificate nobody knows.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// An error and what it comes from, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
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

/// Whether a provider at `issuer`, which is as far inside as `from`, may send us to `address`: https, or http if both are
/// on loopback; and to no literal address further inside than it is itself.
fn acceptable(issuer: &Url, from: Place, address: &Url) -> Result<(), &'static str> {
    if !address.username().is_empty() || address.password().is_some() {
        return Err("carries a user name or password");
    }
    match address.scheme() {
        "https" => {}
        "http" if loopback(issuer) && loopback(address) => {}
        "http" => return Err("is plain http, which is taken on loopback only"),
        _ => return Err("is not an https URL"),
    }
    let further = Place::of_host(address).is_some_and(|place| place > from);
    if further && issuer.host() != address.host() {
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

#[cfg(test)]
mod tests;
