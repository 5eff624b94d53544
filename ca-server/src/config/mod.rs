//! `ca.toml` and the data directory: raw text in, values that can only be valid out. Parsed once, at start.

mod caret;
mod excerpt;
mod folder;
mod issuer;
mod place;
mod raw;
mod rules;
mod toml_error;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use jiff::tz::TimeZone;
use jit_ssh_core::cert::HARD_MAX;
use jit_ssh_core::places::PlaceLimits;
use jit_ssh_core::request::RequestLimits;
use jit_ssh_proto::{MAX_PRINCIPALS, Span};
use sha2::{Digest, Sha256};
use url::Url;

pub(crate) use caret::shown;
pub use excerpt::Excerpt;
pub(crate) use folder::{ignored, read_all, read_some};
pub use raw::RawConfig;
pub use rules::load_rules;
pub(crate) use rules::{file_name, rule_files};
pub(crate) use toml_error::{explain, explain_shown, position};

use crate::oidc::IssuerConfig;
use crate::witness::WitnessConfig;

/// What is wrong with the configuration, for the operator: which file, which key, what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path}: cannot be read; name a folder that `jit-ssh-ca init` made")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file or folder of policies or inventory is not as it has to be.
    #[error("{path}: {what}")]
    Unfit {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// Not TOML, or not with these keys and types.
    #[error("{path}{place}: {what}{shown}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// `:LINE:COLUMN`, if known.
        place: String,
        /// What is wrong there.
        what: String,
        /// The place in the file, for people; empty if it is not known or not to be shown.
        shown: String,
    },
    /// A value is wrong.
    #[error("{path}{place}: {key} {what}")]
    Value {
        /// The file.
        path: PathBuf,
        /// `:LINE:COLUMN`, if known.
        place: String,
        /// The key, dotted.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// The rules do not load; one line for each error.
    #[error("{0}")]
    Rules(String),
}

impl ConfigError {
    /// A wrong value of a key, which stands somewhere in the text.
    fn of_key(path: &Path, text: &str, key: &str, what: String) -> Self {
        let place = shown_place(place::of_key(text, key));
        Self::Value { path: path.to_path_buf(), place, key: key.to_owned(), what }
    }

    /// A wrong value in the so-manieth `[[issuer]]`; without a key, of the entry.
    fn of_issuer(path: &Path, text: &str, issuer: (usize, &str), key: &str, what: String) -> Self {
        let (nth, name) = issuer;
        let place = shown_place(place::of_entry(text, "issuer", nth, key));
        let key = match (name.is_empty(), key.is_empty()) {
            (true, _) => format!("issuer {}: {key}", nth.saturating_add(1)),
            (false, true) => format!("issuer {name}"),
            (false, false) => format!("issuer {name}: {key}"),
        };
        Self::Value { path: path.to_path_buf(), place, key, what }
    }
}

fn shown_place(place: Option<(usize, usize)>) -> String {
    place.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"))
}

/// Where things are in a data directory (DESIGN 9).
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Of the data directory `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `ca.toml`
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("ca.toml")
    }

    /// `keys/`
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// `policies/`
    #[must_use]
    pub fn policies(&self) -> PathBuf {
        self.root.join("policies")
    }

    /// `control.sock`: where the operator's commands reach a running server.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// `schema.cedarschema`: what policies may speak about, for editors
    #[must_use]
    pub fn schema(&self) -> PathBuf {
        self.root.join("schema.cedarschema")
    }

    /// `ledger.seen`: the last checkpoint that was seen, outside the database
    #[must_use]
    pub fn seen(&self) -> PathBuf {
        self.root.join("ledger.seen")
    }

    /// `inventory/`
    #[must_use]
    pub fn inventory(&self) -> PathBuf {
        self.root.join("inventory")
    }
}

/// How the CA is reached.
#[derive(Clone, Debug)]
pub enum Transport {
    /// TLS here, with this certificate chain and key (PEM).
    Tls {
        /// The chain, leaf first.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Plain HTTP: on loopback, or from trusted proxies only.
    Plain,
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who cosigns checkpoints.
    pub witnesses: Vec<WitnessConfig>,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The CA's address, as clients know it.
    pub url: Url,
    /// TLS or not.
    pub transport: Transport,
    /// Peers whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpAddr>,
    /// The store.
    pub store_url: String,
    /// SHA-256 of the file, lower-case hex; empty if it was never a file.
    pub digest: String,
    /// How long ended requests and certificates stay in the hot tables.
    pub store_keep: Span,
    /// The zone of `context.local`.
    pub timezone: TimeZone,
    /// Limits.
    pub limits: Limits,
    /// Identity providers.
    pub issuers: Vec<IssuerConfig>,
}

/// What the CA never goes beyond.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The length of a session.
    pub session: Span,
    /// The longest grant and certificate.
    pub duration: Span,
    /// What an offer without `@ttl` gives.
    pub ttl: Span,
    /// The most accounts in one request.
    pub accounts: usize,
    /// How far one request may reach.
    pub places: PlaceLimits,
    /// How often a session may be refused in a minute.
    pub refused: u32,
}

impl Limits {
    /// The part that requests are parsed under.
    #[must_use]
    pub fn request(&self) -> RequestLimits {
        RequestLimits { max_duration: self.duration, max_accounts: self.accounts }
    }
}

impl Config {
    /// Reads and checks `ca.toml` of a data directory.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn load(layout: &Layout) -> Result<Self, ConfigError> {
        let path = layout.config();
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        let digest = HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
        Ok(Self { digest, ..Self::parse(&text, layout)? })
    }

    /// Checks the text of a `ca.toml` that belongs to `layout`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(text: &str, layout: &Layout) -> Result<Self, ConfigError> {
        let path = layout.config();
        let raw: RawConfig = toml::from_str(text).map_err(|e| explain(&path, text, &e))?;
        let bad = |key: &str, what: String| ConfigError::of_key(&path, text, key, what);

        let url = Url::parse(&raw.url)
            .map_err(|e| bad("url", format!("is not a URL ({e}): write https://ca.example.com")))?;
        check_public_url(&url).map_err(|what| bad("url", what))?;
        let transport = match raw.tls {
            Some(tls) => {
                Transport::Tls { cert: layout.root().join(tls.cert), key: layout.root().join(tls.key) }
            }
            None if raw.listen.ip().is_loopback() || !raw.trusted_proxies.is_empty() => Transport::Plain,
            None => {
                return Err(bad(
                    "listen",
                    format!(
                        "is {}, which is not loopback, and there is no TLS: add [tls] with cert and key, or name the TLS \
                         proxy in front in trusted_proxies",
                        raw.listen
                    ),
                ));
            }
        };
        let timezone = zone(&raw.timezone).map_err(|what| bad("timezone", what))?;
        let limits = limits(&raw.limits).map_err(|(key, what)| bad(key, what))?;
        let store_url = store_url(raw.store.url.as_deref(), layout).map_err(|what| bad("store.url", what))?;
        let store_keep = store_keep(raw.store.keep.as_deref()).map_err(|what| bad("store.keep", what))?;
        let mut issuers: Vec<IssuerConfig> = Vec::with_capacity(raw.issuer.len());
        for (nth, entry) in raw.issuer.into_iter().enumerate() {
            let name = entry.name.clone();
            let issuer = issuer::parse(entry, layout)
                .map_err(|(key, what)| ConfigError::of_issuer(&path, text, (nth, &name), &key, what))?;
            // One issuer may speak for people and for workloads; nothing else tells its tokens apart.
            let same = |other: &IssuerConfig| {
                other.rules.name == issuer.rules.name
                    || other.url == issuer.url
                        && (other.rules.kind == issuer.rules.kind || other.audience == issuer.audience)
            };
            if issuers.iter().any(same) {
                let what = "has the name or the url of another entry: each must be its own".to_owned();
                return Err(ConfigError::of_issuer(&path, text, (nth, &name), "", what));
            }
            issuers.push(issuer);
        }
        let witnesses = raw.witness.iter().map(witness).collect::<Result<_, _>>();
        let witnesses = witnesses.map_err(|(key, what)| bad(key, what))?;
        Ok(Self {
            witnesses,
            listen: raw.listen,
            url,
            transport,
            trusted_proxies: raw.trusted_proxies,
            digest: String::new(),
            store_url,
            store_keep,
            timezone,
            limits,
            issuers,
        })
    }
}

/// https, or http to loopback.
pub(crate) fn check_public_url(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        "http" => Err("is http and not loopback: use https".to_owned()),
        other => Err(format!("has the scheme {other}: use https")),
    }
}

/// Whether the URL's host is literally this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("{name:?} is not known: write an IANA name such as Europe/Paris"))
}

fn limits(raw: &raw::RawLimits) -> Result<Limits, (&'static str, String)> {
    let span = |key: &'static str, text: &Option<String>, default: Span| match text {
        None => Ok(default),
        Some(text) => match text.parse::<Span>() {
            Err(e) => Err((key, format!("{e}"))),
            Ok(span) if span > HARD_MAX => {
                Err((key, format!("is more than {HARD_MAX}, the most there is: write less")))
            }
            Ok(span) => Ok(span),
        },
    };
    let limits = Limits {
        session: span("limits.session", &raw.session, Span::from_seconds(10 * 3600))?,
        duration: span("limits.duration", &raw.duration, Span::from_seconds(8 * 3600))?,
        ttl: span("limits.ttl", &raw.ttl, Span::from_seconds(30 * 60))?,
        accounts: raw.accounts.unwrap_or(32),
        places: PlaceLimits {
            group_members: raw.group_members.unwrap_or(1000),
            // Whoever may name so many hosts gets them by name.
            host_principals: raw.host_principals.or(raw.accounts).unwrap_or(32),
        },
        refused: raw.refused.unwrap_or(30),
    };
    if limits.ttl > limits.duration {
        return Err(("limits.ttl", format!("is more than limits.duration, {}: write less", limits.duration)));
    }
    if !(1..=256).contains(&limits.accounts) {
        return Err(("limits.accounts", "is not between 1 and 256".to_owned()));
    }
    if !(1..=10_000).contains(&limits.places.group_members) {
        return Err(("limits.group_members", "is not between 1 and 10000".to_owned()));
    }
    if !(1..=MAX_PRINCIPALS).contains(&limits.places.host_principals) {
        return Err(("limits.host_principals", format!("is not between 1 and {MAX_PRINCIPALS}")));
    }
    if !(1..=10_000).contains(&limits.refused) {
        return Err(("limits.refused", "is not between 1 and 10000".to_owned()));
    }
    Ok(limits)
}

fn witness(raw: &raw::RawWitness) -> Result<WitnessConfig, (&'static str, String)> {
    let url = Url::parse(&raw.url).map_err(|e| ("witness.url", format!("is not a URL ({e})")))?;
    check_public_url(&url).map_err(|what| ("witness.url", what))?;
    let key = raw.key.parse().map_err(|e| ("witness.key", format!("{e}")))?;
    Ok(WitnessConfig { url, key })
}

fn store_keep(keep: Option<&str>) -> Result<Span, String> {
    let Some(keep) = keep else { return Ok(crate::store::KEEP) };
    let keep: Span = keep.parse().map_err(|e| format!("{e}"))?;
    if keep < HARD_MAX { Err(format!("is less than {HARD_MAX}: write more")) } else { Ok(keep) }
}

fn store_url(url: Option<&str>, layout: &Layout) -> Result<String, String> {
    const FORMS: &str = "is not of the form sqlite:PATH or postgres://USER@HOST/DATABASE";
    let relative = match url {
        None => "ca.db",
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            return Ok(url.to_owned());
        }
        Some(url) => url.strip_prefix("sqlite:").ok_or(FORMS.to_owned())?,
    };
    if relative.is_empty() || relative.contains(['?', '#']) {
        return Err(FORMS.to_owned());
    }
    Ok(format!("sqlite:{}", layout.root().join(relative).display()))
}
