//! Login: an ID token and a session key become a session; with a first request, a certificate in the same round trip.

use std::net::IpAddr;

use jit_ssh_core::identity::VerifiedIdentity;
use jit_ssh_proto::wire::SessionOpened;
use jit_ssh_proto::{Code, Flow, Problem, Salt, UserKey, oidc_nonce, wire};
use sha2::{Digest, Sha256};

use super::issue::{Opening, parse_key};
use super::session::{hash_token, info, new_token};
use super::{Call, Service, Who, actor, refusal};
use crate::oidc::{Provider, VerifiedToken, issuer_of};
use crate::store::{Change, OpenSession, RefuseSession};

/// What an identity is counted by.
fn identity_digest(identity: &VerifiedIdentity) -> [u8; 32] {
    let digest = Sha256::new().chain_update(identity.issuer().as_str()).chain_update([0]);
    digest.chain_update(identity.sub()).finalize().into()
}

impl Service {
    /// Opens a session.
    ///
    /// # Errors
    /// What is wrong with the call, the key, the token or the identity; then nothing was kept. A first request that
    /// is denied is no error: the session is open and the answer says why.
    pub async fn log_in(&self, call: &Call<'_>, body: &wire::OpenSession) -> Result<SessionOpened, Problem> {
        // 1. the call: a session key made it
        let key = parse_key("session_key", &body.session_key)?;
        let salt: Salt = body.salt.parse().map_err(|e| {
            Problem::new(Code::FieldInvalid, format!("salt {e}: send 32 random bytes in unpadded base64url."))
        })?;
        let opened = self.open_call(call, None, &key)?;
        // 2. the first request, if there is one: refused before the token is used
        let asked = body.request.as_ref().map(|request| self.open_ask(request, &key, opened.id()));
        let (signed, ask) = self.prove_call(opened, asked).await?;
        // 3. the token: its issuer's, for us, for this key, once
        let provider = self.provider(&body.id_token, body.flow)?;
        let nonce = oidc_nonce(&self.ca_id, &salt, &key);
        let now = self.now();
        let token = provider.verify(&body.id_token, body.flow, &nonce, now).await.inspect_err(|problem| {
            tracing::warn!(issuer = %provider.config().rules.name, code = %problem.code, source = %call.source, "token refused");
        })?;
        // 4. the identity: who the issuer's entry lets in
        let identity = VerifiedIdentity::admit(&provider.config().rules, &token.claims).inspect_err(|problem| {
            tracing::warn!(issuer = %provider.config().rules.name, sub = ?token.claims.sub, code = %problem.code, source = %call.source, "identity refused");
        })?;
        // 5. the session, and what was asked with it
        let longest = token.issued.min(now).plus(self.limits.session);
        // A job's session ends with the job's token: there is nobody to log out.
        let expires = match body.flow {
            Flow::Token => longest.min(token.expires),
            Flow::Code | Flow::Device => longest,
        };
        let session = OpenSession::session_of(token.issued, &token.replay);
        let (refresh, expires) =
            self.refresh_of(provider, &session, body.refresh_token.as_deref(), expires)?;
        let who = Who { identity, session, expires, source: call.source };
        let bearer = new_token(&who.session);
        let opening = Box::new(OpenSession {
            call: signed.id,
            token_hash: hash_token(&bearer),
            issuer: who.identity.issuer().clone(),
            claims: token.claims.clone(),
            name: who.identity.name().clone(),
            login: who.identity.login().cloned(),
            email: who.identity.email().map(str::to_owned),
            groups: who.identity.groups().iter().cloned().collect(),
            flow: who.identity.flow(),
            key: key.clone(),
            expires,
            replay: token.replay,
            issued: token.issued,
            // The leeway on `exp` is a minute; remember the token well past that.
            replay_until: token.expires.max(now).plus(jit_ssh_proto::Span::from_seconds(600)),
            source: call.source.to_string(),
            refresh,
        });
        let (opened, issued) = match ask {
            None => {
                drop(signed.coming);
                (self.apply_one(Change::OpenSession(opening)).await, None)
            }
            Some(ask) => match self.issue(signed.coming, who.clone(), ask, Opening::Session(opening)).await {
                Ok(answer) => match answer.opened {
                    Some(opened) => (Ok(opened), Some(answer.issued)),
                    None => (Err(refusal::internal("a login without a session")), None),
                },
                Err(problem) => (Err(problem), None),
            },
        };
        let opened = match opened {
            Ok(outcome) => outcome.time,
            Err(problem) => {
                self.record_refusal(&who.identity, &token, &key, problem.code, call.source).await;
                return Err(problem);
            }
        };
        tracing::info!(session = %who.session, issuer = who.identity.issuer().as_str(), name = who.identity.name().as_str(), source = %call.source, "session opened");
        // 6. reply
        let (issued, refused) = match issued {
            None => (None, None),
            Some(Ok(issued)) => (Some(issued), None),
            Some(Err(problem)) => (None, Some(problem)),
        };
        let session = info(&who.identity, &who.session.to_string(), opened, who.expires);
        Ok(SessionOpened { session, token: bearer.to_string(), issued, refused })
    }

    /// The entry for a token: of its issuer, and where that has one for people and one for workloads, of the flow.
    fn provider(&self, token: &str, flow: Flow) -> Result<&Provider, Problem> {
        let issuer = issuer_of(token)?;
        let of_issuer = || self.providers.iter().filter(|p| p.config().url == issuer);
        let fitting = of_issuer().find(|p| p.config().flows.contains(&flow));
        fitting.or_else(|| of_issuer().next()).map(AsRef::as_ref).ok_or_else(|| {
            Problem::new(Code::TokenIssuer, "The ID token comes from an identity provider that is not configured here: log in with `jit-ssh login`.")
        })
    }

    /// Records that a good token was refused, so that probing shows. The caller's refusal stands whatever happens here.
    async fn record_refusal(
        &self,
        identity: &VerifiedIdentity,
        token: &VerifiedToken,
        key: &UserKey,
        code: Code,
        source: IpAddr,
    ) {
        if !matches!(code, Code::TokenUsed | Code::LoginTaken | Code::IdentityDisabled | Code::SessionEnded) {
            return;
        }
        // Every one of them is answered; so many of an identity, and of a token, are recorded in a minute: the ledger
        // keeps events for ever, and whoever holds one token can present it with as many keys as they like.
        let now = self.now();
        let counted = [identity_digest(identity), token.replay];
        if counted.iter().any(|what| self.refused_logins.wait(what, now).is_some()) {
            tracing::warn!(issuer = %identity.issuer(), sub = ?identity.sub(), %code, %source, "login refused, and not recorded: too many of late");
            return;
        }
        counted.iter().for_each(|what| self.refused_logins.refused(what, now));
        let refuse = RefuseSession {
            actor: actor(identity),
            code,
            key: key.fingerprint(),
            replay: token.replay,
            source: source.to_string(),
        };
        if let Err(error) = self.apply_one(Change::RefuseSession(refuse)).await {
            tracing::error!(%error, "a refused login could not be recorded");
        }
    }
}
