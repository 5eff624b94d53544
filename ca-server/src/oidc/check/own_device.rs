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
use super::super::form::{ClientAuth, TokenAnswer};
use super::super::provider::Timing;
use super::Metadata;

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
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
}

fn client(config: &IssuerConfig) -> ClientAuth<'_> {
    ClientAuth { id: config.client_of(Flow::Device), secret: config.secret_of(Flow::Device) }
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
        fetcher
            .may_send_us_to(&metadata.token_endpoint.context("the provider has no token endpoint")?)
            .await?;
        let scopes = config.asked_scopes();
        let details = match fetcher.device_code(&client(config), &[("scope", &scopes)]).await? {
            TokenAnswer::Tokens(body) => serde_json::from_slice::<Details>(&body)
                .context("the device endpoint's answer is not understood")?,
            TokenAnswer::Refused(error) => bail!("the device endpoint gave no code ({error:?})"),
        };
        let (Some(device_code), Some(code), Some(address)) =
            (details.device_code, details.user_code, details.verification_uri)
        else {
            bail!("the device endpoint gave no code");
        };
        Ok(Self {
            address: details.verification_uri_complete.unwrap_or(address),
            code,
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
        let form = [("grant_type", GRANT), ("device_code", self.device_code.as_str())];
        let deadline = Instant::now().checked_add(self.patience).context("the code lasts for ever")?;
        let mut interval = self.interval;
        while Instant::now() < deadline {
            tokio::time::sleep(interval).await;
            match fetcher.exchange(&client(config), &form).await? {
                TokenAnswer::Tokens(body) => {
                    return serde_json::from_slice::<Tokens>(&body)
                        .context("the token endpoint's answer is not understood")?
                        .id_token
                        .context("the token endpoint sent no ID token: ask for the scope openid");
                }
                TokenAnswer::Refused(error) => match error.as_str() {
                    "authorization_pending" => {}
                    // RFC 8628, 3.5: five seconds more, for good.
                    "slow_down" => interval = interval.saturating_add(Duration::from_secs(5)),
                    _ => bail!("the provider refused the login ({error:?})"),
                },
            }
        }
        bail!("nobody logged in while the code was good: run the command again")
    }
}
