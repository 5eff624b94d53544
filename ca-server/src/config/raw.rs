//! `ca.toml` as written. Unknown keys are refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    pub(super) listen: SocketAddr,
    pub(super) url: String,
    #[serde(default)]
    pub(super) tls: Option<RawTls>,
    #[serde(default)]
    pub(super) trusted_proxies: Vec<IpAddr>,
    #[serde(default)]
    pub(super) store: RawStore,
    #[serde(default = "utc")]
    pub(super) timezone: String,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) issuer: Vec<RawIssuer>,
    #[serde(default)]
    pub(super) witness: Vec<RawWitness>,
}

/// `[[witness]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWitness {
    pub(super) url: String,
    pub(super) key: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// `[tls]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// `[store]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStore {
    pub(super) url: Option<String>,
    pub(super) keep: Option<String>,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) session: Option<String>,
    pub(super) duration: Option<String>,
    pub(super) ttl: Option<String>,
    pub(super) accounts: Option<usize>,
    pub(super) group_members: Option<usize>,
    pub(super) host_principals: Option<usize>,
    pub(super) refused: Option<u32>,
}

/// `[[issuer]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIssuer {
    pub(super) name: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) client_id: Option<String>,
    #[serde(default)]
    pub(super) client_secret_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) device_client_id: Option<String>,
    #[serde(default)]
    pub(super) device_client_secret_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) audience: Option<String>,
    #[serde(default)]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) flows: Option<Vec<String>>,
    #[serde(default)]
    pub(super) algorithms: Option<Vec<String>>,
    #[serde(default)]
    pub(super) scopes: Option<Vec<String>>,
    #[serde(default)]
    pub(super) username: Option<String>,
    #[serde(default)]
    pub(super) groups: Option<String>,
    #[serde(default)]
    pub(super) groups_map: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) allowed_domains: Vec<String>,
    #[serde(default)]
    pub(super) privileged_flows: bool,
    #[serde(default)]
    pub(super) max_token_age: Option<String>,
    #[serde(default)]
    pub(super) jwks_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) revalidate: Option<String>,
    #[serde(default)]
    pub(super) redirect_port: Option<u16>,
}
