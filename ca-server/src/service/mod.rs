//! What the CA does, as numbered steps over the core, the store, the signer and the providers. Knows no HTTP types.

mod accounts;
mod call;
mod events;
mod explain;
mod held;
mod issue;
mod latest;
mod ledger;
mod login;
mod logout;
mod proofs;
mod quota;
mod refusal;
mod requests;
mod revalidate;
mod rules;
mod session;
mod standing;

use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jit_ssh_core::identity::VerifiedIdentity;
use jit_ssh_core::policy::LocalTime;
use jit_ssh_proto::event::Actor;
use jit_ssh_proto::{CaId, Problem, SessionId, SignedBundle, Timestamp};

pub use accounts::AccountQuery;
pub use call::{Call, SignedCall};
pub use events::{Auditor, EventQuery, Export};
pub(crate) use held::Held;
pub use issue::Ask;
pub use latest::Latest;
pub use ledger::Cosigned;
pub(crate) use logout::REFUSED_LOGOUTS;
pub use logout::VerifiedLogout;
pub use proofs::Proofs;
pub use quota::Quota;
pub use rules::InForce;
pub use session::{LiveSession, SessionCache};

use crate::clock::{self, Clock};
use crate::config::Limits;
use crate::oidc::Provider;
use crate::signer::{LedgerSigner, Sealer, Signers};
use crate::store::Store;
use crate::witness::Witness;

/// Everything the services work with.
pub struct Service {
    /// The CA's id.
    pub ca_id: CaId,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The store.
    pub store: Store,
    /// The signers of the authorities that sign for people.
    pub signers: Signers,
    /// The ledger key's signer.
    pub ledger: Arc<LedgerSigner>,
    /// Who cosigns checkpoints.
    pub witnesses: Vec<Witness>,
    /// The last checkpoint that was handed out.
    pub cosigned: Latest<Result<Cosigned, Problem>>,
    /// Whether the store was ready when it was asked last.
    pub readiness: Latest<Result<(), Problem>>,
    /// Policies and inventory in force.
    pub rules: InForce,
    /// Identity providers.
    pub providers: Vec<Arc<Provider>>,
    /// Limits.
    pub limits: Limits,
    /// The zone of `context.local`.
    pub timezone: TimeZone,
    /// The signed trust bundle.
    pub bundle: SignedBundle,
    /// Sessions found lately.
    pub sessions: SessionCache,
    /// Refusals of late.
    pub quota: Quota,
    /// Logins of identities that were refused of late, by identity and by token: so many are recorded.
    pub refused_logins: Quota<[u8; 32]>,
    /// Logout tokens that were refused of late, by network.
    pub logouts: Quota<IpAddr>,
    /// Signatures of calls that come at the same time.
    pub proofs: Proofs,
    /// Encrypts refresh tokens.
    pub sealer: Sealer,
    /// Encrypts cursors.
    pub cursors: Sealer,
}

impl Service {
    /// Now: the clock's time, lifted to the ledger's if the clock went back, so that a backwards clock never extends
    /// access (invariant 12).
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now().max(self.store.last_time())
    }

    /// Whether the CA could issue now.
    ///
    /// # Errors
    /// When the store does not answer or cannot be written.
    pub async fn ready(&self) -> Result<(), Problem> {
        // Anybody may ask, as often as they like.
        self.readiness.get(async |_| self.store.ready().await.map_err(refusal::store)).await
    }

    /// The providers that are in trouble: name, and what is wrong since when. Sessions that live go on; nobody logs in
    /// there.
    #[must_use]
    pub fn providers_in_trouble(&self) -> Vec<(String, Problem)> {
        let now = self.now();
        let troubled = self
            .providers
            .iter()
            .filter_map(|provider| Some((provider.config().rules.name.to_string(), provider.trouble(now)?)));
        troubled.collect()
    }

    /// `now` in the configured zone.
    fn local(&self, now: Timestamp) -> LocalTime {
        clock::local(now, &self.timezone)
    }
}

/// Who asks, in one place: identity, session, address.
#[derive(Clone, Debug)]
struct Who {
    identity: VerifiedIdentity,
    session: SessionId,
    expires: Timestamp,
    source: IpAddr,
}

impl Who {
    fn actor(&self) -> Actor {
        actor(&self.identity)
    }
}

fn actor(identity: &VerifiedIdentity) -> Actor {
    Actor::Identity {
        issuer: identity.issuer().clone(),
        sub: identity.sub().to_owned(),
        name: identity.name().clone(),
    }
}
