//! Events about the CA's own running: its record, its keys, its configuration and its store.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{GrantId, Name, RequestId, SessionId, Text, Timestamp};

/// `event.erased`: a body and its salt were taken out of the ledger; its leaf stays, so that the log still proves
/// itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventErased {
    /// The index of the erased leaf, from 0.
    pub leaf: u64,
    /// Why, as the operator wrote it.
    pub reason: Text,
}

/// `log.exported`: somebody was given everything that these filters match, in one stream. Written before its first
/// line leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogExported {
    /// The session that asked for it.
    pub session: SessionId,
    /// What it was narrowed to.
    pub filter: LogFilter,
}

/// What narrows a search of the ledger: an event is found if it fits everything that is here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFilter {
    /// Only leaves after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Only leaves before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Only from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Only before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The event's type, known to this version or not.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "type")]
    pub kind: Option<Name>,
    /// The name of who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Name>,
    /// A host that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Name>,
    /// A mode or modifier that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Name>,
    /// A policy that decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Text>,
    /// A certificate's serial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// A request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// A grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// A session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Words of its body, in any case of letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grep: Option<Text>,
}

/// `config.changed`: the CA started with another `ca.toml` than the last time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChanged {
    /// SHA-256 of the file before, lower-case hex; absent at the first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// SHA-256 of the file now, lower-case hex.
    pub after: String,
}

/// `key.added`: an authority that was not there at `init`. Written at the first start with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAdded {
    /// The authority's name: `user-NAME`.
    pub name: Name,
    /// Its public key line.
    pub key: String,
}

/// `key.used`: a key other than an authority's signed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUsed {
    /// The key's name: `trust`, …
    pub key: Name,
    /// What for: `trust-bundle`, …
    pub purpose: Name,
    /// The key's fingerprint, `SHA256:…`.
    pub fingerprint: String,
    /// SHA-256 of what was signed, lower-case hex.
    pub sha256: String,
}

/// `store.restored`: the store came back from a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreRestored {
    /// How many leaves the backup had.
    pub leaves: u64,
    /// How far each authority's serials jumped ahead, so that none is given twice.
    pub serials: Vec<SerialJump>,
    /// How many certificates were recorded as revoked with it.
    pub revoked: u64,
    /// What it came from: the backup's SHA-256 in lower-case hex, or its name.
    pub from: String,
}

/// Serials that will never be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialJump {
    /// The authority.
    pub authority: Name,
    /// The next serial as the backup had it.
    pub from: u64,
    /// The next serial now.
    pub to: u64,
}

/// `store.moved`: the record now lives in another engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreMoved {
    /// The scheme of the store before: `sqlite` or `postgres`.
    pub from: Name,
    /// The scheme of the store now.
    pub to: Name,
    /// How many leaves came along.
    pub leaves: u64,
}

/// `certificate.revoked`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRevoked {
    /// The authority that signed it.
    pub authority: Name,
    /// Its serial.
    pub serial: u64,
    /// The last serial of a whole range that begins there, each of them revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<u64>,
    /// Its key ID, if the CA knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Why.
    pub reason: Text,
}
