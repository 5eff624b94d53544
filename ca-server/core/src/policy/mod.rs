//! Policy: who may do what, where and when, and on which terms (DESIGN 5).

mod aims;
mod annotations;
mod changes;
mod compile;
mod concern;
mod conditions;
mod decide;
mod entities;
mod explain;
mod facts;
mod format;
mod index;
mod listing;
mod reach;
mod refusal;
mod review;
mod scan;
#[cfg(test)]
mod tests;
mod verb;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use data_encoding::HEXLOWER;
use jit_ssh_proto::{Code, Name, Span, Timestamp, UserKey};
use sha2::{Digest, Sha256};

pub use self::changes::{Alteration, Altered};
use self::compile::Compiled;
pub use self::compile::{Chunk, Draft, Policies, ReadChunk, SCHEMA};
pub use self::concern::Concerned;
use self::entities::Vocabulary;
pub use self::explain::{Calendar, DECISIONS, Explained, QUESTIONS};
use self::facts::{Functions, Looked};
pub use self::format::format;
pub use self::listing::{Reachable, Wanted};
pub use self::review::{Finding, Lint, Mentioned, Severity, Surroundings, mentioned, review};
pub use self::scan::MAX_FILE_BYTES;
pub use self::verb::{Leave, Verb};

use crate::identity::VerifiedIdentity;
use crate::inventory::{Host, Inventory};
use crate::places::{PlaceLimits, Places};
use crate::request::AccessRequest;

/// One `policies/*.cedar` file, as written.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// The file's name, for messages and the digest.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// What is wrong with a policy, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct PolicyError {
    /// The file.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong and what to do.
    pub what: String,
}

/// Everything that decides: policies, inventory, defaults, and the digest that names this set.
#[derive(Debug)]
pub struct Rules {
    compiled: Compiled,
    vocabulary: Vocabulary,
    functions: Functions,
    inventory: Inventory,
    default_ttl: Span,
    /// Nothing is given for longer; without one, for as long as its offer says.
    longest: Option<Span>,
    limits: PlaceLimits,
    /// The devices that something signs for; all of them if that is not known.
    signing: Option<BTreeSet<Name>>,
    digest: String,
}

/// The wall clock of the configured zone, as values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// 0–23
    pub hour: u8,
    /// 0–59
    pub minute: u8,
    /// 1 = Monday … 7 = Sunday
    pub weekday: u8,
    /// `2026-11-22`
    pub date: String,
}

/// What is true at the moment of asking.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// Now.
    pub now: Timestamp,
    /// Now, in the configured zone.
    pub local: LocalTime,
    /// The caller's address.
    pub source_ip: IpAddr,
}

/// What was decided.
#[derive(Debug)]
pub enum Decision {
    /// Every pair of account and action is allowed, on these terms.
    Allowed(Allowed),
    /// At least one is not.
    Denied(Denial),
}

/// An allowed request: whose, what, and on which terms. Made by [`Rules::decide`] and nothing else; a grant is made of
/// it, so that no grant can be for another request or another person than was decided on.
#[derive(Debug)]
pub struct Allowed {
    issuer: Name,
    name: Name,
    request: AccessRequest,
    places: Arc<Places>,
    duration: Span,
    pin_source: bool,
    verify_required: bool,
    policies: Vec<String>,
    digest: String,
}

/// A refusal, for the caller and for the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// `no_access`, `forbidden`, `policy_error`, `approval_required`, `duration_denied`, `too_many_hosts`,
    /// `ask_separately` or `not_available`.
    pub code: Code,
    /// One or two sentences for the caller: why, and what to do. Names no host or policy they have no part in.
    pub detail: String,
    /// The ids of the policies that forbade it or that demand approval, for the ledger.
    pub policies: Vec<String>,
}

impl Rules {
    /// Parses, validates against the schema and compiles. All or nothing.
    ///
    /// Deep nesting is refused before Cedar's recursive parser sees it; call it on a thread with a large stack
    /// (16 MiB) all the same.
    ///
    /// # Errors
    /// Every error found, with its place.
    pub fn load(
        sources: &[PolicySource],
        inventory: Inventory,
        inventory_digest: &[u8; 32],
        default_ttl: Span,
    ) -> Result<Self, Vec<PolicyError>> {
        let draft = Draft::new(sources, default_ttl);
        let read: Vec<ReadChunk> = draft.chunks(1).map(Chunk::read).collect();
        Self::new(draft.policies(read)?, inventory, inventory_digest)
    }

    /// Policies and the inventory that they are about.
    ///
    /// # Errors
    /// When the names of the schema are not understood: a defect.
    pub fn new(
        policies: Policies<'_>,
        inventory: Inventory,
        inventory_digest: &[u8; 32],
    ) -> Result<Self, Vec<PolicyError>> {
        let Policies { compiled, sources, default_ttl } = policies;
        let defect = |_| {
            let what = "the names of the schema are not understood: this is a defect of jit-ssh".into();
            Vec::from([PolicyError { file: "schema.cedarschema".into(), line: 1, column: 1, what }])
        };
        let vocabulary = Vocabulary::new(&inventory).map_err(defect)?;
        let functions = Functions::new().map_err(defect)?;
        let digest = digest(sources, inventory_digest, default_ttl);
        Ok(Self {
            compiled,
            vocabulary,
            functions,
            inventory,
            default_ttl,
            longest: None,
            limits: PlaceLimits::default(),
            signing: None,
            digest,
        })
    }

    /// The same, with other limits to how far one request may reach.
    #[must_use]
    pub fn limited(self, limits: PlaceLimits) -> Self {
        Self { limits, ..self }
    }

    /// The same, where nothing is given for longer than this, whatever its offer says (`limits.duration`).
    #[must_use]
    pub fn lasting_at_most(self, longest: Span) -> Self {
        Self { longest: Some(longest), ..self }
    }

    /// How long an offer that says so gives: what it says, or the limit that stands above every policy.
    fn given_for(&self, says: Span) -> Span {
        self.longest.map_or(says, |longest| says.min(longest))
    }

    /// The same where, of the hosts and groups that match plain logins, nothing but these has a key that signs for it:
    /// what is asked for on others is refused, whatever policy says.
    #[must_use]
    pub fn signed_for(self, devices: BTreeSet<Name>) -> Self {
        Self { signing: Some(devices), ..self }
    }

    /// Whether something signs for this host.
    fn signs_for(&self, host: Host<'_>) -> bool {
        let missing = |device| self.signing.as_ref().is_some_and(|signing| !signing.contains(device));
        !host.authority().is_some_and(missing)
    }

    /// Decides a request: every account × action on its own, offers never mixed, any forbid or error denies.
    #[must_use]
    pub fn decide(
        &self,
        identity: &VerifiedIdentity,
        request: &AccessRequest,
        key: &UserKey,
        at: &Circumstances,
    ) -> Decision {
        decide::decide(self, identity, request, key, at)
    }

    /// Says what a request would be answered now, why, and what would change it. Asks a bounded number of questions, and
    /// grants nothing.
    #[must_use]
    pub fn explain(
        &self,
        identity: &VerifiedIdentity,
        request: &AccessRequest,
        key: &UserKey,
        at: &Circumstances,
        calendar: &dyn Calendar,
    ) -> Explained {
        explain::explain(decide::Supposed { rules: self, identity, request, key, at }, calendar)
    }

    /// Lists the accounts that somebody may get to now, and what each takes: a bounded part of them at a time.
    #[must_use]
    pub fn accounts(
        &self,
        identity: &VerifiedIdentity,
        key: &UserKey,
        at: &Circumstances,
        calendar: &dyn Calendar,
        wanted: &Wanted<'_>,
    ) -> Reachable {
        listing::accounts(self, identity, key, at, calendar, wanted)
    }

    /// Decides whether somebody may do what is the CA's own, now: permits count whose action scope names the verb, any
    /// forbid or error denies. `key` is the session's.
    #[must_use]
    pub fn may(&self, identity: &VerifiedIdentity, verb: Verb, key: &UserKey, at: &Circumstances) -> Leave {
        verb::may(self, identity, verb, key, at)
    }

    /// Why nothing is to be asked of policy for somebody: they are a guest whose last day is over.
    fn ended(&self, identity: &VerifiedIdentity, at: &Circumstances) -> Option<Denial> {
        let ended = self.inventory.guest(identity).find(|guest| guest.ended(&at.local.date));
        ended.map(refusal::guest_ended)
    }

    /// What a context is made with: the extension functions, and which members policies look at.
    fn telling(&self) -> (&Functions, &Looked) {
        (&self.functions, &self.compiled.looked)
    }

    /// The same, asking every policy about everything: to compare with, in answers and in time.
    #[cfg(any(test, feature = "naive"))]
    #[must_use]
    pub fn asking_everything(mut self) -> Self {
        self.compiled.conditions.forget_index();
        self
    }

    /// SHA-256 over policies and inventory, lower-case hex: which set decided.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The hosts.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// How many policies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.compiled.rules.len()
    }

    /// The name of every policy, as decisions have it.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.compiled.rules.keys().map(AsRef::as_ref)
    }

    /// Whether there are none: then nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What an offer without `@ttl` says.
    #[must_use]
    pub fn default_ttl(&self) -> Span {
        self.default_ttl
    }
}

/// The digest of a set: each part with its length before it, files by name.
fn digest(sources: &[PolicySource], inventory: &[u8; 32], default_ttl: Span) -> String {
    let mut sorted: Vec<&PolicySource> = sources.iter().collect();
    sorted.sort_by_key(|source| &source.file);
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        // A length is at most 64 bits on every machine that there is.
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(bytes);
    };
    part(b"jit-ssh-rules-v1");
    part(inventory);
    part(&default_ttl.seconds().to_be_bytes());
    for source in sorted {
        part(source.file.as_bytes());
        part(source.text.as_bytes());
    }
    HEXLOWER.encode(&hash.finalize())
}

impl Allowed {
    /// Issuer, name, request, places, policies and digest, for the grant that is made of it.
    pub(crate) fn into_parts(self) -> (Name, Name, AccessRequest, Arc<Places>, Vec<String>, String) {
        (self.issuer, self.name, self.request, self.places, self.policies, self.digest)
    }

    /// The alias of the asker's issuer.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// The asker's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What was asked.
    #[must_use]
    pub fn request(&self) -> &AccessRequest {
        &self.request
    }

    /// Where it leads: the hosts that the accounts came to, and what certificates call them.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// How long: what was asked, or what the shortest offer gives.
    #[must_use]
    pub fn duration(&self) -> Span {
        self.duration
    }

    /// Whether the certificate is good from the caller's address only (`@source("pin")`).
    #[must_use]
    pub fn pin_source(&self) -> bool {
        self.pin_source
    }

    /// Whether sshd must demand user verification (`@verify`).
    #[must_use]
    pub fn verify_required(&self) -> bool {
        self.verify_required
    }

    /// The ids of the policies whose offers were taken.
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// The digest of the set that decided.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}
