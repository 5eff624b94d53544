//! A login of one's own by the device grant (RFC 8628), for its token, where the entry takes people in no other way. The
//! token is looked at and thrown away.

use std::time::Duration;

use anyhow::{Context, bail};
use jit_ssh_proto::Flow;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::super::IssuerConfig;
use super::super::fetch::Fetcher;
use super::super::provider::Timing;
use super::Metadata;
use super::device::post;

/// The grant's name.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The longest that a person may take.
const PATIENCE: u64 = 900;

/// A login that waits for its person.
#[derive(Debug)]
pub struct OwnDevice {
    /// The address to open.
    pub address: Url,
    /// The code to type in there.
    pub code: String,
    metadata: Metadata,
    token_endpoint: Url,
    device_code: String,
    interval: Duration,
    patience: Duration,
}

#[derive(Deserialize)]
struct Details {
    device_code: Option<String>,
    user_code: Option<String>,
    verification_uri: Option<Url>,
    verification_uri_complete: Option<Url>,
    expires_in: Option<u64>,
    interval: Option<u64>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
    error: Option<String>,
}

impl OwnDevice {
    /// Asks for a code.
    ///
    /// # Errors
    /// If the provider does not describe itself, or gives none.
    pub async fn begin(config: &IssuerConfig) -> anyhow::Result<Self> {
        let fetcher = Fetcher::new(config.url.clone(), Timing::default().patience);
        let described = fetcher.describe().await?;
        let metadata: Metadata =
            serde_json::from_slice(&described.body).context("the discovery document is not understood")?;
        let endpoint = metadata.device_authorization_endpoint.clone();
        let endpoint = endpoint.context("the provider has no device authorization endpoint")?;
        let token_endpoint = metadata.token_endpoint.clone().context("the provider has no token endpoint")?;
        fetcher.may_send_us_to(&token_endpoint)?;
        let client = (config.client_of(Flow::Device), config.secret_of(Flow::Device));
        let scopes = config.asked_scopes();
        let body = post(&fetcher, &endpoint, &metadata, client, &[("scope", &scopes)]).await?;
        let details: Details =
            serde_json::from_slice(&body).context("the device endpoint's answer is not understood")?;
        let (Some(device_code), Some(code), Some(address)) =
            (details.device_code, details.user_code, details.verification_uri)
        else {
            bail!("the device endpoint gave no code ({:?})", details.error.unwrap_or_default());
        };
        Ok(Self {
            address: details.verification_uri_complete.unwrap_or(address),
            code,
            metadata,
            token_endpoint,
            device_code,
            interval: Duration::from_secs(details.interval.unwrap_or(5).clamp(1, 60)),
            patience: Duration::from_secs(details.expires_in.unwrap_or(PATIENCE).min(PATIENCE)),
        })
    }

    /// Asks until the person has logged in.
    ///
    /// # Errors
    /// If nobody does, or the provider refuses.
    pub async fn token(self, config: &IssuerConfig) -> anyhow::Result<String> {
        let fetcher = Fetcher::new(config.url.clone(), Timing::default().patience);
        let client = (config.client_of(Flow::Device), config.secret_of(Flow::Device));
        let form = [("grant_type", GRANT), ("device_code", self.device_code.as_str())];
        let deadline = Instant::now().checked_add(self.patience).context("the code lasts for ever")?;
        let mut interval = self.interval;
        while Instant::now() < deadline {
            tokio::time::sleep(interval).await;
            let body = post(&fetcher, &self.token_endpoint, &self.metadata, client, &form).await?;
            let tokens: Tokens =
                serde_json::from_slice(&body).context("the token endpoint's answer is not understood")?;
            match (tokens.id_token, tokens.error.as_deref()) {
                (Some(token), _) => return Ok(token),
                (None, Some("authorization_pending")) => {}
                // RFC 8628, 3.5: five seconds more, for good.
                (None, Some("slow_down")) => interval = interval.saturating_add(Duration::from_secs(5)),
                (None, Some(error)) => bail!("the provider refused the login ({error:?})"),
                (None, None) => bail!("the token endpoint sent no ID token: ask for the scope openid"),
            }
        }
        bail!("nobody logged in while the code was good: run the command again")
    }
}
