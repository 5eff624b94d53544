//! The JSON bodies of the HTTP interface (DESIGN 9). Strings here are raw: the CA parses each into the type that
//! can only be valid, so that a wrong one is answered with its own code rather than "malformed JSON".

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::explanation::{Advice, Terms};
use crate::{Code, Flow, Mode, Modifier, Timestamp};

/// `POST /v1/sessions`: opens a session, and asks for access in the same round trip if `request` is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenSession {
    /// The OIDC ID token, a compact JWS.
    pub id_token: String,
    /// The session's public key, an OpenSSH public key line.
    pub session_key: String,
    /// The salt of the nonce: 32 bytes in unpadded base64url.
    pub salt: String,
    /// How the token was obtained; only `code` binds it to the session key by its nonce.
    #[serde(default, skip_serializing_if = "is_code")]
    pub flow: Flow,
    /// The first request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<AccessRequestBody>,
    /// A refresh token that came with the ID token, where the issuer's entry in the trust bundle says `revalidate`: the
    /// CA keeps it encrypted and asks the provider about the session with it while that lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

fn is_code(flow: &Flow) -> bool {
    *flow == Flow::Code
}

/// `POST /v1/requests`: who (the session) asks for what, where, how long and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccessRequestBody {
    /// The accounts, as `LOGIN@HOST` or `LOGIN@group/NAME` for every host of a group; at least one.
    pub accounts: Vec<String>,
    /// The mode of the certificate.
    pub mode: Mode,
    /// What `shell` or `exec` is to add.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modifiers: Vec<Modifier>,
    /// The command, for `exec` and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// How long: `90s`, `30m`, `8h`. Without it, as long as the policy that allows it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The ticket.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ticket: String,
    /// The certificate's public key, an OpenSSH public key line.
    pub key: String,
    /// Proof of possession of that key: a binary SSHSIG in unpadded base64url, namespace `possession@jit-ssh`.
    pub proof: String,
}

/// `POST /v1/explain`: a request that is not made, to learn what it would come to. As `POST /v1/requests`, without a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExplainBody {
    /// The accounts, as `LOGIN@HOST`; at least one.
    pub accounts: Vec<String>,
    /// The mode of the certificate.
    pub mode: Mode,
    /// What `shell` or `exec` is to add.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modifiers: Vec<Modifier>,
    /// The command, for `exec` and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// How long. Without it, as long as the policy that allows it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The ticket.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ticket: String,
    /// Whether under break-glass.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub break_glass: bool,
    /// How long from now it is to start. Without it, at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_in: Option<String>,
}

/// An account that the caller may get to now (`GET /v1/accounts`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReachableAccount {
    /// `LOGIN@HOST`
    pub account: String,
    /// Where the host is reached, if the inventory says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What for, and on which terms.
    pub modes: Vec<ReachableMode>,
}

/// A mode that an account is to be had for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReachableMode {
    /// The mode.
    pub mode: Mode,
    /// What may be added on the same terms or shorter ones, each on its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modifiers: Vec<Modifier>,
    /// For `exec`: a command that would be allowed, if not every one would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The longest, and what it takes of others.
    pub terms: Terms,
    /// What it takes of the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Advice>,
    /// With which code it is refused for now although policy gives it: `approval_required` while approval cannot be
    /// asked for, `not_available` while nothing signs for the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Code>,
}

/// Answer to `POST /v1/sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionOpened {
    /// The session.
    pub session: SessionInfo,
    /// The bearer token. Shown once; the CA keeps only its hash.
    pub token: String,
    /// What the first request came to, if there was one and it was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Issued>,
    /// Why the first request was refused, if it was. The session is open all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<crate::Problem>,
}

/// A session, as its owner sees it (`GET /v1/sessions/current`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionInfo {
    /// `ses_…`
    pub id: String,
    /// The issuer's alias here.
    pub issuer: String,
    /// The issuer's name for the person or workload.
    pub subject: String,
    /// The name in policies and key IDs.
    pub name: String,
    /// The login that is this identity's, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The verified e-mail address, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Mapped groups.
    pub groups: Vec<String>,
    /// Tags for policy: claims that the issuer's entry hands on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How they logged in.
    #[serde(default)]
    pub flow: Flow,
    /// When they last proved who they are to the provider, if it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<Timestamp>,
    /// When the session was opened.
    pub opened: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// A granted request with its certificate: answer to `POST /v1/requests`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Issued {
    /// `req_…`
    pub request: String,
    /// `grt_…`
    pub grant: String,
    /// The certificate, one line as in a `-cert.pub` file.
    pub certificate: String,
    /// Its serial.
    pub serial: u64,
    /// The last second before which sshd takes it.
    pub valid_before: Timestamp,
    /// The policies that allowed it.
    pub policies: Vec<String>,
    /// Where the ledger has the certificate's event: its leaf, counted from 0.
    pub leaf_index: u64,
    /// The proof that it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// How to reach each host whose address the inventory knows: host name → `ADDRESS[:PORT]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, String>,
    /// The hosts that each group of hosts came to: account as asked → host names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, Vec<String>>,
}

/// The proof that the ledger holds a certificate's event, for the one it was issued to: nothing in it is news to them.
/// What checks it is `Receipt::verify` (feature `log`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// The certificate's own event, the canonical JSON text that is hashed.
    pub event: String,
    /// The salt that is hashed before it: 32 bytes in unpadded base64url.
    pub salt: String,
    /// The inclusion proof: sibling hashes from leaf to root, each 32 bytes in standard base64.
    pub proof: Vec<String>,
    /// The signed checkpoint of the tree that the proof is in: a C2SP signed note.
    pub checkpoint: String,
}

/// One leaf of the ledger, as those see it who may audit (`GET /v1/events`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogItem {
    /// The leaf's index, counted from 0.
    pub index: u64,
    /// The leaf, SHA-256(salt ‖ event), in lower-case hex.
    pub leaf: String,
    /// The salt: 32 bytes in unpadded base64url. Absent where the event was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The event, byte for byte in its canonical form: what is hashed after the salt. Absent where it was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub event: Option<Box<RawValue>>,
    /// Whether the event was erased.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub erased: bool,
}

/// Part of a search of the ledger (`GET /v1/events`). A part may be empty and have more after it: one call looks at a
/// bounded number of leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogPage {
    /// What was found, in order.
    pub items: Vec<LogItem>,
    /// Where the next part begins: `after=` of it, or `before=` with `order=desc`. Absent where there is nothing on that
    /// side. What is appended later comes after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether there is more to look at now.
    pub more: bool,
}

/// A request, as its owner sees it (`GET /v1/requests/{id}`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RequestInfo {
    /// `req_…`
    pub id: String,
    /// `granted` or `denied`.
    pub state: RequestState,
    /// When it was decided.
    pub time: Timestamp,
    /// The accounts, as asked.
    pub accounts: Vec<String>,
    /// The mode.
    pub mode: Mode,
    /// The modifiers.
    pub modifiers: Vec<Modifier>,
    /// The reason given.
    pub reason: String,
    /// The ticket given.
    pub ticket: String,
    /// The code of the refusal, if it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Code>,
    /// The grant, if it was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

/// Where a request stands (DESIGN 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RequestState {
    /// Allowed.
    Granted,
    /// Refused.
    Denied,
}

/// A page of a list. `next` is the cursor of the page after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass as `?cursor=` for what follows; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
