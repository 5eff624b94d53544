//! A configured provider and its cached keys: fetched in the background, looked up again for an unknown key id at
//! most once a minute, kept while the provider is away.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jit_ssh_proto::{Code, Problem, Span, Timestamp};
use openidconnect::core::CoreJwsSigningAlgorithm as Algorithm;
use openidconnect::{JsonWebKey, JsonWebKeySet, JsonWebKeySetUrl};
use tokio::time::Instant;

use super::IssuerConfig;
use super::fetch::{FetchError, Fetcher};
use super::key::{self, RingKey};
use super::keys_file;
use super::token::Header;
use crate::outgoing::Patience;

/// How often and how patiently a provider is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Between background refreshes while all is well.
    pub(crate) refresh: Duration,
    /// After the first failure; doubles up to `max_back_off`.
    pub(crate) back_off: Duration,
    /// The longest pause while the provider is in trouble.
    pub(crate) max_back_off: Duration,
    /// At least this long between two fetches that tokens caused.
    pub(crate) on_demand: Duration,
    /// What one exchange may take.
    pub(crate) patience: Patience,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(600),
            back_off: Duration::from_secs(1),
            max_back_off: Duration::from_secs(60),
            on_demand: Duration::from_secs(60),
            patience: Patience { connect: Duration::from_secs(5), total: Duration::from_secs(10) },
        }
    }
}

/// How much longer than a fetch its caller waits, so as to hear how it ended.
const GRACE: Duration = Duration::from_secs(1);

/// A provider in trouble.
#[derive(Clone, Debug)]
struct Trouble {
    since: Instant,
    error: FetchError,
}

/// What only the one fetch under way touches.
#[derive(Debug, Default)]
struct Flight {
    /// Where the keys were last time.
    jwks_uri: Option<JsonWebKeySetUrl>,
    /// When a token last made us fetch.
    on_demand: Option<Instant>,
}

/// The keys of one provider.
#[derive(Debug)]
pub(crate) struct Keys {
    file: Option<std::path::PathBuf>,
    name: String,
    timing: Timing,
    fetcher: Fetcher,
    current: RwLock<Option<Arc<JsonWebKeySet<RingKey>>>>,
    trouble: Mutex<Option<Trouble>>,
    /// A token made us see that the provider is in trouble: the background asks again until it is not.
    wake: tokio::sync::Notify,
    flight: Arc<tokio::sync::Mutex<Flight>>,
}

/// Whether a set has the key for a token.
enum Found {
    One(RingKey),
    None,
    Several,
}

impl Keys {
    /// What asks the provider.
    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    pub(crate) fn new(config: &IssuerConfig, timing: Timing) -> Self {
        Self {
            file: config.jwks_file.clone(),
            name: config.rules.name.to_string(),
            timing,
            fetcher: Fetcher::new(config.url.clone(), timing.patience),
            current: RwLock::new(None),
            trouble: Mutex::new(None),
            wake: tokio::sync::Notify::new(),
            flight: Arc::default(),
        }
    }

    /// Keeps the keys fresh; never returns.
    pub(crate) async fn refresh(&self) {
        let mut pause = self.timing.back_off;
        loop {
            let fetched = {
                let mut flight = self.flight.lock().await;
                self.fetch(&mut flight, true).await
            };
            if fetched.is_ok() {
                pause = self.timing.back_off;
                let woken = tokio::time::timeout(self.timing.refresh, self.wake.notified()).await;
                if woken.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            } else {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(self.timing.max_back_off);
            }
        }
    }

    /// The one key that may have signed a token with this header.
    ///
    /// # Errors
    /// `token_key`, `provider_unreachable`, `provider_invalid`.
    pub(crate) async fn key_for(
        self: &Arc<Self>,
        header: &Header,
        now: Timestamp,
    ) -> Result<RingKey, Problem> {
        match self.find(header) {
            Found::One(key) => return Ok(key),
            Found::Several => return Err(ambiguous()),
            Found::None => self.fetch_on_demand(header).await,
        }
        match self.find(header) {
            Found::One(key) => Ok(key),
            Found::Several => Err(ambiguous()),
            Found::None => Err(self.trouble(now).unwrap_or_else(|| {
                Problem::new(
                    Code::TokenKey,
                    "The ID token was signed by a key that the identity provider does not publish for that \
                     algorithm; log in again in a minute.",
                )
            })),
        }
    }

    /// Fetches because of a token: unless a fetch that it waited for brought its key, or one was made for a token
    /// within the last minute. The fetch goes on when the caller hangs up or is tired of waiting, or else who sends
    /// nonsense and hangs up could spend every minute's fetch.
    async fn fetch_on_demand(self: &Arc<Self>, header: &Header) {
        let fetched = async {
            let mut flight = Arc::clone(&self.flight).lock_owned().await;
            let arrived = match self.find(header) {
                Found::One(_) | Found::Several => true,
                Found::None => false,
            };
            if arrived || flight.on_demand.is_some_and(|last| last.elapsed() < self.timing.on_demand) {
                return;
            }
            flight.on_demand = Some(Instant::now());
            let keys = Arc::clone(self);
            let first = flight.jwks_uri.is_none();
            let fetch = tokio::spawn(async move {
                if keys.fetch(&mut flight, first).await.is_err() {
                    keys.wake.notify_one();
                }
            });
            // The outcome is in `current` and `trouble`.
            let _ = fetch.await;
        };
        let _ = tokio::time::timeout(self.timing.patience.total.saturating_add(GRACE), fetched).await;
    }

    fn find(&self, header: &Header) -> Found {
        self.current().map_or(Found::None, |set| select(&set, header))
    }

    async fn fetch(&self, flight: &mut Flight, discover: bool) -> Result<(), FetchError> {
        let fetched = self.fetch_keys(flight, discover).await;
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(keys) => {
                if trouble.take().is_some() {
                    tracing::info!(issuer = %self.name, "the identity provider answers again");
                }
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
                Ok(())
            }
            Err(error) => {
                tracing::warn!(issuer = %self.name, %error, "the identity provider's keys cannot be fetched");
                let since = trouble.as_ref().map_or_else(Instant::now, |trouble| trouble.since);
                *trouble = Some(Trouble { since, error: error.clone() });
                Err(error)
            }
        }
    }

    async fn fetch_keys(
        &self,
        flight: &mut Flight,
        discover: bool,
    ) -> Result<JsonWebKeySet<RingKey>, FetchError> {
        if let Some(path) = &self.file {
            return keys_file::fetch(path).await;
        }
        let asked = async {
            let jwks_uri = match &flight.jwks_uri {
                Some(known) if !discover => known.clone(),
                Some(_) | None => self.fetcher.discover().await?,
            };
            self.fetcher.keys(flight.jwks_uri.insert(jwks_uri)).await
        };
        // Each exchange has its own limit; this one is for both together.
        match tokio::time::timeout(self.timing.patience.total, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Unreachable("the provider did not answer in time".to_owned())),
        }
    }

    fn current(&self) -> Option<Arc<JsonWebKeySet<RingKey>>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is wrong with the provider, if anything is; or that nothing has been fetched yet.
    pub(crate) fn trouble(&self, now: Timestamp) -> Option<Problem> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(Trouble { since, error }) = trouble else {
            return self.current().is_none().then(|| {
                Problem::new(
                    Code::ProviderUnreachable,
                    format!(
                        "The keys of the identity provider {} are still being fetched; try again.",
                        self.name
                    ),
                )
            });
        };
        let since = utc(now.minus(Span::from_seconds(since.elapsed().as_secs())));
        if self.file.is_some() {
            return Some(Problem::new(
                Code::ProviderInvalid,
                format!(
                    "The CA has no usable keys of the issuer {} since {since}, in the file that it takes them from: tell \
                     the operator of the CA, whose log says what is wrong.",
                    self.name
                ),
            ));
        }
        Some(match error {
            FetchError::Unreachable(_) => Problem::new(
                Code::ProviderUnreachable,
                format!(
                    "The identity provider {} has been out of reach since {since}: try again later, or tell the \
                     operator of the CA.",
                    self.name
                ),
            ),
            FetchError::Invalid(_) => Problem::new(
                Code::ProviderInvalid,
                format!(
                    "The identity provider {} has given answers that cannot be accepted since {since}: tell the \
                     operator of the CA, whose log says what is wrong.",
                    self.name
                ),
            ),
        })
    }
}

fn utc(at: Timestamp) -> String {
    i64::try_from(at.seconds())
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| "an unknown time".to_owned(), |at| at.to_string())
}

fn ambiguous() -> Problem {
    Problem::new(
        Code::TokenKey,
        "The identity provider publishes several keys that the ID token may be signed by: it has to name one by a \
         `kid` of its own.",
    )
}

/// By `kid` if the token has one; by algorithm in any case.
fn select(set: &JsonWebKeySet<RingKey>, header: &Header) -> Found {
    let named = |key: &&RingKey| match &header.kid {
        Some(kid) => key.key_id().is_some_and(|id| id.as_str() == kid),
        None => true,
    };
    let fits = |key: &&RingKey| fits(key, &header.algorithm);
    let mut eligible = set.keys().iter().filter(named).filter(fits);
    match (eligible.next(), eligible.next()) {
        (None, _) => Found::None,
        (Some(key), None) => Found::One(key.clone()),
        (Some(_), Some(_)) => Found::Several,
    }
}

fn fits(key: &RingKey, algorithm: &Algorithm) -> bool {
    key::fits(key, algorithm)
}
