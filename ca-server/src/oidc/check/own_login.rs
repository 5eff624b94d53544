//! A login of one's own, for its token: authorization code with PKCE, the browser's answer taken on loopback. The token
//! is looked at and thrown away.

use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Html;
use axum::routing::get;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use url::{Url, form_urlencoded};

use super::super::IssuerConfig;
use super::super::fetch::Fetcher;
use super::super::form::{ClientAuth, TokenAnswer};
use super::super::provider::Timing;
use super::{Metadata, redirect};
use crate::entropy;

/// How long a person may take in the browser.
const PATIENCE: Duration = Duration::from_secs(300);

/// A login that waits for its person.
#[derive(Debug)]
pub struct OwnLogin {
    /// The address to open.
    pub address: Url,
    /// The nonce that its token will carry.
    pub nonce: String,
    state: String,
    verifier: String,
    redirect: String,
    listener: TcpListener,
}

/// What the browser brought; a parameter that is there twice counts for nothing.
struct Answer {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
}

impl OwnLogin {
    /// Prepares one.
    ///
    /// # Errors
    /// If the provider does not describe itself, or no port can be had.
    pub async fn begin(config: &IssuerConfig) -> anyhow::Result<Self> {
        let fetcher = Fetcher::new(config.url.clone(), Timing::default().patience);
        let described = fetcher.describe().await?;
        let metadata: Metadata =
            serde_json::from_slice(&described.body).context("the discovery document is not understood")?;
        let authorize =
            metadata.authorization_endpoint.context("the provider has no authorization endpoint")?;
        let token_endpoint = metadata.token_endpoint.context("the provider has no token endpoint")?;
        fetcher.may_send_us_to(&token_endpoint).await?;
        let port = config.redirect_port.unwrap_or(0);
        let listener = TcpListener::bind(("127.0.0.1", port)).await.with_context(|| {
            format!(
                "127.0.0.1:{port} cannot be listened on for the browser's answer: end the program that has it"
            )
        })?;
        let redirect = format!("http://{}/callback", listener.local_addr()?);
        let random = || BASE64URL_NOPAD.encode(&entropy::bytes::<32>());
        let (state, nonce, verifier) = (random(), random(), random());
        let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(verifier.as_bytes()));
        let more = [
            ("redirect_uri", redirect.as_str()),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
        ];
        let address = redirect::request(config, &authorize, &more);
        Ok(Self { address, nonce, state, verifier, redirect, listener })
    }

    /// Waits for the person and fetches the token.
    ///
    /// # Errors
    /// If nobody comes, or the provider refuses.
    pub async fn token(self, config: &IssuerConfig) -> anyhow::Result<String> {
        let (sender, mut answers) = mpsc::channel::<Answer>(4);
        let app = Router::new().route("/callback", get(arrived)).with_state(sender);
        let serving = tokio::spawn(async move { axum::serve(self.listener, app).await });
        let code = tokio::time::timeout(PATIENCE, async {
            loop {
                let answer = answers.recv().await.context("nobody listens any more")?;
                if answer.state.as_deref() != Some(self.state.as_str()) {
                    continue;
                }
                match (answer.code, answer.error) {
                    (Some(code), None) => return Ok(code),
                    (_, error) => bail!("the provider refused the login ({:?})", error.unwrap_or_default()),
                }
            }
        })
        .await
        .context("nobody logged in within five minutes: run the command again")?;
        serving.abort();
        let fetcher = Fetcher::new(config.url.clone(), Timing::default().patience);
        let code = code?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", &self.redirect),
            ("code_verifier", &self.verifier),
        ];
        let client = ClientAuth { id: &config.client_id, secret: config.client_secret.as_deref() };
        match fetcher.exchange(&client, &form).await? {
            TokenAnswer::Tokens(body) => serde_json::from_slice::<Tokens>(&body)
                .context("the token endpoint's answer is not understood")?
                .id_token
                .context("the token endpoint sent no ID token: ask for the scope openid"),
            TokenAnswer::Refused(error) => bail!(
                "the token endpoint refused the code ({error:?}): compare client and `client_secret_file`"
            ),
        }
    }
}

async fn arrived(
    State(sender): State<mpsc::Sender<Answer>>,
    RawQuery(query): RawQuery,
) -> Html<&'static str> {
    let query = query.unwrap_or_default();
    let one = |name: &str| {
        let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n == name).map(|(_, v)| v);
        values.next().filter(|_| values.next().is_none()).map(std::borrow::Cow::into_owned)
    };
    // Whoever sends more than four answers is not the browser.
    let _full = sender.try_send(Answer { state: one("state"), code: one("code"), error: one("error") });
    Html("<!doctype html><title>jit-ssh-ca</title><p>Close this window and go back to the terminal.</p>")
}
