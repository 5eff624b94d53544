//! Refresh tokens are given back when their sessions are ended before their time (RFC 7009): the provider forgets them too.
//! At best: in the background, once, after the session is over, and nobody waits for it. What the store no longer has is
//! lost to this CA either way.

use std::sync::Arc;

use jit_ssh_proto::{Flow, SessionId};
use zeroize::Zeroizing;

use super::Service;
use crate::oidc::Provider;
use crate::store::Whose;

/// Refresh tokens in the clear, for as long as it takes to give them back.
#[must_use]
#[derive(Default)]
pub(crate) struct Held(Vec<(Arc<Provider>, SessionId, Flow, Zeroizing<String>)>);

impl Service {
    /// What the CA holds of these live sessions; asked for before they end, because it goes with them. Trouble is nobody's
    /// but the log's: no session lives longer for it.
    pub(crate) async fn held(&self, whose: Option<Whose>) -> Held {
        let asks = self.providers.iter().any(|provider| provider.config().revalidate.is_some());
        let Some(whose) = whose.filter(|_| asks) else { return Held::default() };
        let found = self.store.refresh_tokens(whose).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "refresh tokens cannot be read and are not given back");
            Vec::new()
        });
        let held = found.into_iter().filter_map(|held| {
            let of_session = |provider: &&Arc<Provider>| {
                let config = provider.config();
                config.rules.name == held.issuer && config.url == held.claims.picked.issuer
            };
            let provider = self.providers.iter().find(of_session)?;
            let token = self.sealer.open(&held.session, &held.token)?;
            Some((Arc::clone(provider), held.session, held.claims.flow, token))
        });
        Held(held.collect())
    }
}

impl Held {
    /// One that is at hand.
    pub(super) fn of(
        provider: &Arc<Provider>,
        session: SessionId,
        flow: Flow,
        token: &Zeroizing<String>,
    ) -> Self {
        Self(vec![(Arc::clone(provider), session, flow, token.clone())])
    }

    /// Those of sessions that ended.
    pub(crate) fn of_ended(mut self, ended: &[SessionId]) -> Self {
        self.0.retain(|(_, session, _, _)| ended.contains(session));
        self
    }

    /// Gives them back in the background.
    pub(crate) fn give_back(self) {
        if self.0.is_empty() {
            return;
        }
        tokio::spawn(async move {
            for (provider, session, flow, token) in self.0 {
                let issuer = &provider.config().rules.name;
                match provider.give_back(&token, flow).await {
                    Ok(true) => tracing::info!(%session, %issuer, "the provider took its refresh token back"),
                    Ok(false) => {
                        tracing::debug!(%session, %issuer, "the provider takes no refresh tokens back")
                    }
                    Err(why) => {
                        tracing::warn!(%session, %issuer, why, "the provider did not take its refresh token back");
                    }
                }
            }
        });
    }
}
