//! Whether a provider still stands by a login. Only what it says of the person ends a session: that it refuses the login,
//! or that this is somebody else now, or somebody who may not log in. What it says badly, or not at all, says nothing of
//! the person: the session goes on as it was, no longer than it would have, and the provider is asked again.

use jit_ssh_core::identity::{Claims, VerifiedIdentity};
use jit_ssh_proto::{Code, Timestamp};
use zeroize::Zeroizing;

use crate::oidc::{Provider, Refreshed};
use crate::store::Changed;

/// The longest refresh token that is taken.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// What came of asking.
pub(super) struct Standing {
    /// Whether the session goes on, and with what, if that is not what it was.
    pub(super) verdict: Result<Option<Box<Changed>>, Doubt>,
    /// The refresh token from now on, if there is a new one. Most providers take each once, so it counts whatever else
    /// they said.
    pub(super) token: Option<Zeroizing<String>>,
}

/// Why a session is not confirmed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The provider does not stand by the login: the session is over.
    Refused,
    /// What it says is of somebody else, or of somebody who may not log in: the session is over.
    Another(Code),
    /// Nothing that could be believed, for the log: the session goes on.
    Trouble(String),
}

/// Asks the provider of a session that has these claims.
pub(super) async fn ask(provider: &Provider, before: &Claims, token: &str, now: Timestamp) -> Standing {
    let (id_token, next) = match provider.refresh_login(token, before.flow).await {
        Refreshed::Refused => return Standing { verdict: Err(Doubt::Refused), token: None },
        Refreshed::Trouble(why) => return Standing { verdict: Err(Doubt::Trouble(why)), token: None },
        Refreshed::Stands { id_token, refresh_token } => (id_token, refresh_token),
    };
    let token = next.filter(|next| is_token(next));
    let Some(id_token) = id_token else { return Standing { verdict: Ok(None), token } };
    let verdict = match provider.verify_again(&id_token, before.flow, now).await {
        Ok(verified) => admit_again(provider, before, verified.claims).map_err(Doubt::Another),
        Err(problem) if is_of_the_token(problem.code) => {
            Err(Doubt::Trouble(format!("its ID token cannot be believed: {}", problem.code)))
        }
        Err(problem) => Err(Doubt::Another(problem.code)),
    };
    Standing { verdict, token }
}

/// Whether a refusal is of the token, or of the provider's keys, and so says nothing of the person. What a token's claims
/// say that is no refusal of these is of the person, signed or not: there a doubt ends the session.
fn is_of_the_token(code: Code) -> bool {
    matches!(
        code,
        Code::ProviderUnreachable
            | Code::ProviderInvalid
            | Code::TokenMalformed
            | Code::TokenIssuer
            | Code::TokenUnsigned
            | Code::TokenAlgorithm
            | Code::TokenHeader
            | Code::TokenKey
            | Code::TokenSignature
            | Code::TokenAudience
            | Code::TokenAuthorizedParty
            | Code::TokenExpired
            | Code::TokenNotYetValid
            | Code::TokenFromTheFuture
            | Code::TokenTooOld
    )
}

/// What a provider says now, if a session may go on with it; none if nothing changed. How somebody proved who they are
/// is told by the login alone: refreshing proves nothing anew.
fn admit_again(provider: &Provider, before: &Claims, now: Claims) -> Result<Option<Box<Changed>>, Code> {
    let claims = Claims {
        flow: before.flow,
        auth_time: before.auth_time,
        methods: before.methods.clone(),
        level: before.level.clone(),
        sid: before.sid.clone(),
        ..now
    };
    if claims.sub != before.sub {
        return Err(Code::TokenSubject);
    }
    let rules = &provider.config().rules;
    let then = VerifiedIdentity::admit(rules, before).map_err(|problem| problem.code)?;
    let today = VerifiedIdentity::admit(rules, &claims).map_err(|problem| problem.code)?;
    if (today.name(), today.login()) != (then.name(), then.login()) {
        return Err(Code::LoginTaken);
    }
    if claims == *before {
        return Ok(None);
    }
    let (email, groups) = (today.email().map(str::to_owned), today.groups().iter().cloned().collect());
    Ok(Some(Box::new(Changed { claims, email, groups })))
}

pub(super) fn is_token(token: &str) -> bool {
    (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

#[cfg(test)]
mod tests;
