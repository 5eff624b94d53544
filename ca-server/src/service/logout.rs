//! Back-channel logout: a provider says that somebody logged out there, and their sessions here end.

use std::net::{IpAddr, Ipv6Addr};

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_proto::{Code, Name, Problem};

use super::{Service, refusal};
use crate::oidc::LoggedOut;
use crate::store::{CallId, Change, LogOut, Whose};

/// How many logout tokens from one network may be refused in a minute; each costs the verification of a signature at
/// most.
pub(crate) const REFUSED_LOGOUTS: u32 = 60;

/// A logout token of a configured provider, verified. That it was not used before is seen where it is used.
#[derive(Debug)]
pub struct VerifiedLogout {
    issuer: Name,
    said: LoggedOut,
    source: IpAddr,
}

impl Service {
    /// Whose logout token this is. What exactly is wrong with one goes to the log; whoever sent it learns nothing.
    ///
    /// # Errors
    /// `logout_token_invalid`; `too_many_requests` from where too many were refused lately.
    pub async fn logout_token(
        &self,
        issuer: &str,
        token: Option<&str>,
        source: IpAddr,
    ) -> Result<VerifiedLogout, Problem> {
        let (now, network) = (self.now(), network(source));
        if let Some(wait) = self.logouts.wait(&network, now) {
            let detail = format!(
                "Too many logout tokens from there were refused within a minute: try again in {wait}."
            );
            return Err(Problem::new(Code::TooManyRequests, detail).retrying_after(wait));
        }
        let provider = self.providers.iter().find(|provider| provider.config().rules.name.as_str() == issuer);
        let verified = match (provider, token) {
            (Some(provider), Some(token)) => {
                let said = provider.verify_logout(token, now).await;
                said.map(|said| VerifiedLogout { issuer: provider.config().rules.name.clone(), said, source })
            }
            (None, _) => Err(Problem::new(Code::NotFound, "No [[issuer]] entry has this name.")),
            (Some(_), None) => Err(Problem::new(Code::BodyMalformed, "No form with one logout_token.")),
        };
        verified.map_err(|problem| {
            self.logouts.refused(&network, now);
            tracing::warn!(?issuer, code = %problem.code, %source, "logout token refused");
            unacceptable()
        })
    }

    /// Ends the sessions that a provider says are over. Those of somebody who has none here are ended too: there is
    /// nothing to tell apart.
    ///
    /// # Errors
    /// `logout_token_invalid` for one that was used before; when the store fails.
    pub async fn log_out(&self, verified: VerifiedLogout) -> Result<(), Problem> {
        let VerifiedLogout { issuer, said, source } = verified;
        let token =
            CallId { id: format!("logout.{}", BASE64URL_NOPAD.encode(&said.id)), signed: said.issued };
        let whose = match (&said.sub, &said.sid) {
            (Some(sub), _) => Some(Whose::Identity(issuer.clone(), sub.clone())),
            (None, Some(sid)) => Some(Whose::ProvidersSession(issuer.clone(), sid.clone())),
            (None, None) => None,
        };
        let held = self.held(whose).await;
        let out = LogOut {
            token,
            issuer: issuer.clone(),
            sub: said.sub,
            sid: said.sid,
            source: source.to_string(),
        };
        let outcomes = self.store.apply(self.clock.now(), vec![Change::LogOut(out)]).await;
        let ended = match refusal::take(&mut outcomes.map_err(refusal::store)?.into_iter()) {
            Ok(outcome) => outcome.ended,
            Err(problem) if problem.code == Code::SignatureReplayed => {
                tracing::warn!(issuer = %issuer, %source, "logout token presented again");
                self.logouts.refused(&network(source), self.now());
                return Err(unacceptable());
            }
            Err(problem) => return Err(problem),
        };
        ended.iter().for_each(|session| self.sessions.forget_session(session));
        held.of_ended(&ended).give_back();
        tracing::info!(issuer = %issuer, ended = ended.len(), %source, "the provider logged somebody out");
        Ok(())
    }
}

fn unacceptable() -> Problem {
    Problem::new(
        Code::LogoutTokenInvalid,
        "The logout token is not one that this identity provider may end sessions with here: the CA's log says why.",
    )
}

/// Where somebody calls from, as far as one caller can choose it: an IPv6 network has more addresses than can be counted.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_counted_by_what_they_cannot_choose() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ] {
            let of = |text: &str| network(text.parse().unwrap());
            assert_eq!(of(one) == of(other), same, "{one} {other}");
        }
    }
}
