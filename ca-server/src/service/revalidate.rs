//! Re-validation: the provider is asked about sessions while they live. What it no longer stands by ends; what it says of
//! a person's groups counts at once. Trouble at the provider ends nothing.
//!
//! 1. find     sessions whose time has come
//! 2. claim    in the store, so that of several processes one asks: most providers take a refresh token once
//! 3. ask      the provider ([`super::standing`])
//! 4. admit    what it says, under today's entry
//! 5. record   the next refresh token and what changed, or the end, in one transaction

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jit_ssh_proto::event::EndReason;
use jit_ssh_proto::{Code, Problem, SessionId, Span, Timestamp};

use super::standing::{Doubt, Standing, ask, is_token};
use super::{Held, Service, refusal};
use crate::entropy;
use crate::oidc::Provider;
use crate::store::{Answer, Change, ClaimRevalidation, DueSession, Refresh, Revalidated};

/// How often is looked for sessions whose time has come.
const LOOK: Duration = Duration::from_secs(1);

/// So many are taken on at once, and so many asked about side by side.
const ROUND: u32 = 64;
const SIDE_BY_SIDE: usize = 8;

/// For how long one process has one: longer than all that asking may take.
const HELD: Span = Span::from_seconds(60);

/// When a provider could not be asked, it is again after so long, or after the entry's own time if that is shorter.
const AGAIN: Span = Span::from_seconds(60);

impl Service {
    /// What a login's session is to be asked about with, and when the session ends: where the issuer's entry wants
    /// sessions asked about, one that brings no refresh token lasts only until it would have been.
    ///
    /// # Errors
    /// `field_invalid` for what cannot be a refresh token.
    pub(super) fn refresh_of(
        &self,
        provider: &Provider,
        session: &SessionId,
        token: Option<&str>,
        expires: Timestamp,
    ) -> Result<(Option<Refresh>, Timestamp), Problem> {
        if token.is_some_and(|token| !is_token(token)) {
            return Err(Problem::new(
                Code::FieldInvalid,
                "refresh_token is not 1 to 16384 visible ASCII characters: leave it out, or send what the provider sent.",
            ));
        }
        match (provider.config().revalidate, token) {
            // Nobody will ask: it is not kept.
            (None, _) => Ok((None, expires)),
            (Some(every), None) => Ok((None, expires.min(self.now().plus(every)))),
            (Some(every), Some(token)) => {
                let token = self.sealer.seal(session, token);
                let token =
                    token.ok_or_else(|| refusal::internal("a refresh token that cannot be encrypted"))?;
                Ok((Some(Refresh { token, due: due_at(self.now(), every) }), expires))
            }
        }
    }

    /// Asks about sessions when their time has come; never returns.
    pub async fn revalidate(&self) {
        let holder = data_encoding::HEXLOWER.encode(&entropy::bytes::<16>());
        loop {
            match self.revalidate_due(&holder).await {
                // There may be more.
                Ok(asked) if asked > 0 => {}
                Ok(_) => tokio::time::sleep(LOOK).await,
                Err(problem) => {
                    tracing::error!(code = %problem.code, "sessions cannot be asked about");
                    tokio::time::sleep(LOOK.saturating_mul(5)).await;
                }
            }
        }
    }

    /// One round; how many were asked about.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revalidate_due(&self, holder: &str) -> Result<usize, Problem> {
        // 1. find
        let now = self.now();
        let due = self.store.due_revalidations(now, ROUND).await.map_err(refusal::store)?;
        if due.is_empty() {
            return Ok(0);
        }
        // 2. claim
        let claims = due.iter().map(|due| {
            let (session, holder) = (due.session, holder.to_owned());
            Change::ClaimRevalidation(ClaimRevalidation { session, holder, until: now.plus(HELD) })
        });
        let claimed = self.store.apply(self.clock.now(), claims.collect()).await.map_err(refusal::store)?;
        let ours = due.into_iter().zip(claimed).filter_map(|(due, claimed)| claimed.ok().map(|_| due));
        let asked = futures_util::stream::iter(ours)
            .map(|due| async move {
                let (session, answer) = (due.session, self.ask_provider(&due).await);
                self.record_answer(session, holder, answer).await;
            })
            .buffer_unordered(SIDE_BY_SIDE)
            .count()
            .await;
        Ok(asked)
    }

    /// Steps 3 and 4.
    async fn ask_provider(&self, due: &DueSession) -> Answer {
        let now = self.now();
        let of_issuer = |provider: &&Arc<Provider>| provider.config().rules.name == due.issuer;
        let Some(provider) = self.providers.iter().find(of_issuer) else {
            // Its sessions are refused while it is not configured.
            return Answer::Trouble { due: now.plus(AGAIN) };
        };
        let Some(every) = provider.config().revalidate else {
            return Answer::Trouble { due: now.plus(AGAIN) };
        };
        let again = now.plus(AGAIN.min(every));
        if due.claims.picked.issuer != provider.config().url {
            // Its provider is another one, which this one's token endpoint is no place to ask.
            return Answer::Over(EndReason::IssuerMoved);
        }
        let Some(token) = self.sealer.open(&due.session, &due.token) else {
            tracing::error!(session = %due.session, "its refresh token cannot be decrypted with this CA's ledger key");
            return Answer::Over(EndReason::ProviderRefused);
        };
        // 3. ask, 4. admit
        let Standing { verdict, token: next } = ask(provider, &due.claims, &token, now).await;
        let over = |reason| {
            // What the provider may still take is of no use any more.
            Held::of(provider, due.session, due.claims.flow, next.as_ref().unwrap_or(&token)).give_back();
            Answer::Over(reason)
        };
        let sealed = match next.as_ref().map(|next| self.sealer.seal(&due.session, next)) {
            Some(Some(sealed)) => Some(sealed),
            Some(None) => return over(EndReason::ProviderRefused),
            None => None,
        };
        match verdict {
            Ok(Some(changed)) => {
                Answer::Stands { token: sealed, due: due_at(now, every), changed: Some(changed) }
            }
            Ok(None) => Answer::Stands { token: sealed, due: due_at(now, every), changed: None },
            Err(Doubt::Refused) => Answer::Over(EndReason::ProviderRefused),
            Err(Doubt::Another(code)) => {
                tracing::warn!(session = %due.session, issuer = %due.issuer, %code, "what the provider says now is not of this session");
                over(EndReason::IdentityChanged)
            }
            Err(Doubt::Trouble(why)) => {
                tracing::warn!(session = %due.session, issuer = %due.issuer, why, "the provider could not be asked about a session");
                Answer::Stands { token: sealed, due: again, changed: None }
            }
        }
    }

    /// Step 5. What cannot be recorded is asked again when nobody has it any more.
    async fn record_answer(&self, session: SessionId, holder: &str, answer: Answer) {
        let changed = match &answer {
            Answer::Over(_) => true,
            Answer::Stands { changed, .. } => changed.is_some(),
            Answer::Trouble { .. } => false,
        };
        let answered = Revalidated { session, holder: holder.to_owned(), answer };
        match self.apply_one(Change::Revalidated(answered)).await {
            Ok(outcome) => {
                if changed {
                    self.sessions.forget_session(&session);
                }
                if !outcome.ended.is_empty() {
                    tracing::info!(%session, "session ended: the provider does not stand by it");
                }
            }
            // It ended in the meantime, or the store is in trouble.
            Err(problem) => {
                tracing::warn!(%session, code = %problem.code, "what the provider said was not kept")
            }
        }
    }
}

/// When a provider is asked next: up to a tenth early, so that those who logged in together are not asked about together.
fn due_at(now: Timestamp, every: Span) -> Timestamp {
    let [random] = entropy::bytes::<1>();
    let early = every.seconds().saturating_mul(u64::from(random)) / 2560;
    now.plus(Span::from_seconds(every.seconds().saturating_sub(early)))
}
