//! The authorization code flow with PKCE: in the browser of this machine, which comes back to a port of ours
//! (RFC 8252), or in any browser, whose last address is pasted here by hand. Both are one login with one set of rules.

use std::io::stdin;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use openidconnect::core::{CoreAuthPrompt, CoreAuthenticationFlow};
use openidconnect::{
    AuthorizationCode, CsrfToken, HttpRequest, Nonce, PkceCodeChallenge, RedirectUrl, Scope,
};
use url::Url;

use super::answer::{Answer, Expected, Wrong};
use super::callback::{Listener, PATH, redirect_uri};
use super::complaint::{self, lying, nobody_came, refused};
use super::discovery::{Provider, exchange};
use super::start::Start;
use super::{Freshness, Proof};
use crate::error::{Error, Result};
use crate::http::Http;
use crate::output::{Waiting, escape, note};
use crate::terminal::{Typed, Unseen};

/// How long a person may take in the browser.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the port is looked at while a person may be pasting.
const GLANCE: Duration = Duration::from_millis(100);

/// Where the browser is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Browser {
    /// On this machine, and opened by us.
    Opened,
    /// On this machine, and opened by hand.
    ByHand,
    /// Anywhere: the address at which it ends up is pasted here.
    Elsewhere,
}

/// Logs in and returns the ID token, which carries `nonce`.
pub(super) fn log_in(
    http: &Http,
    provider: &Provider<'_>,
    nonce: &str,
    browser: Browser,
    freshness: Freshness,
) -> Result<Proof> {
    let issuer = provider.issuer;
    let (listener, address) = match (Listener::bind(issuer.redirect_port, &issuer.name), issuer.redirect_port)
    {
        (Ok(listener), _) => {
            let address = listener.address();
            (Some(listener), address)
        }
        // What is pasted needs no port of ours. Whoever has it may get to see the code, and has no use for it (PKCE).
        (Err(_), Some(port)) if browser == Browser::Elsewhere => {
            (None, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        }
        (Err(error), _) => return Err(error),
    };
    let redirect = RedirectUrl::new(redirect_uri(address))
        .map_err(|e| Error::Local(format!("cannot make a redirect address: {e}")))?;
    let client =
        provider.client().set_auth_uri(provider.authorization_endpoint()?).set_redirect_uri(redirect);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let committed = Nonce::new(nonce.to_owned());
    let mut request =
        client.authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, move || {
            committed.clone()
        });
    for scope in issuer.scopes.iter().filter(|s| s.as_str() != "openid") {
        request = request.add_scope(Scope::new(scope.clone()));
    }
    if freshness == Freshness::Anew {
        // Both: some providers know the one, some the other, and `max_age` makes them say when it was.
        request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(Duration::ZERO);
    }
    if issuer.scopes.iter().any(|scope| scope == "offline_access") {
        // Without it providers leave out the refresh token (OpenID Connect Core 1.0, 11).
        request = request.add_prompt(CoreAuthPrompt::Consent);
    }
    let (url, state, _) = request.set_pkce_challenge(challenge).url();
    let expected = Expected {
        state: state.secret().clone(),
        issuer: issuer.url.clone(),
        issuer_is_named: provider.names_itself(),
    };
    let (sender, answers) = channel();
    let start = Arc::new(Start::new(address, &url, PATH));
    if let Some(listener) = listener {
        listener.listen(expected.clone(), Arc::clone(&start), sender);
    }
    let deadline = Instant::now() + PATIENCE;
    let name = escape(&issuer.name);
    let answer = match browser {
        Browser::Opened | Browser::ByHand => {
            if browser == Browser::ByHand || !opened(&start, &name) {
                note(&format!(
                    "To log in at {name}, open this address in a browser on this machine:\n\n  {url}\n"
                ));
            }
            let _waiting = Waiting::for_(format!("waiting for your login at {name} in the browser"));
            let left = deadline.saturating_duration_since(Instant::now());
            answers.recv_timeout(left).ok()
        }
        Browser::Elsewhere => {
            note(&format!(
                "To log in at {name}, open this address in a browser on any machine:\n\n  {url}\n\nIn the end that \
                 browser is sent to http://{address}/… and cannot show it. Copy that whole address from it, paste it \
                 here and press Enter; what you paste is not shown."
            ));
            pasted(&answers, &expected, address, deadline)?
        }
    };
    let code = match answer {
        Some(Answer::Code(code)) => AuthorizationCode::new(code),
        Some(Answer::Refused { error, description }) => return Err(refused(issuer, &error, &description)),
        Some(Answer::SomebodyElse) => {
            return Err(Error::Local(
                "somebody else opened the page of this login, or answered it from another browser: perhaps somebody on \
                 this machine who wants you to work under their name; log in again, with --no-browser if you opened it \
                 twice yourself"
                    .into(),
            ));
        }
        None => return Err(nobody_came(issuer, PATIENCE.as_secs())),
    };
    let _waiting = Waiting::for_(format!("fetching the ID token from {name}"));
    let answer = client
        .exchange_code(code)
        .set_pkce_verifier(verifier)
        .request(&|request: HttpRequest| exchange(http, request))
        .map_err(|e| complaint::exchange(issuer, "token endpoint", &e))?;
    let (token, refresh) = answer.into_tokens();
    let token = token.ok_or_else(|| lying(issuer, "its token endpoint sent no ID token"))?;
    Proof::read(token)
        .and_then(|proof| proof.with_nonce(nonce))
        .map(|proof| proof.with_refresh(issuer, refresh))
        .map_err(|why| lying(issuer, why))
}

/// Opens a browser at the page of ours, if one can be opened.
fn opened(start: &Start, name: &str) -> bool {
    start.offer();
    match webbrowser::open(start.address()) {
        Ok(()) => {
            note(&format!(
                "To log in at {name}, go on in the browser that opens; if none does, open this address in one, once:\n\n  \
                 {}\n",
                start.address()
            ));
            true
        }
        Err(e) => {
            start.withdraw();
            note(&format!("(no browser could be opened: {e})"));
            false
        }
    }
}

/// The answer that is pasted, or that the browser brings after all because it is on this machine or a port is
/// forwarded. None if it does not come in time.
fn pasted(
    answers: &Receiver<Answer>,
    expected: &Expected,
    address: SocketAddr,
    deadline: Instant,
) -> Result<Option<Answer>> {
    let cannot = |e: std::io::Error| Error::Local(format!("cannot read what is pasted: {e}"));
    let mut terminal = Unseen::begin(stdin()).map_err(cannot)?;
    loop {
        match answers.recv_timeout(Duration::ZERO) {
            Ok(answer) => return Ok(Some(answer)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        match terminal.next(left.min(GLANCE)).map_err(cannot)? {
            Typed::Nothing => {}
            Typed::Line(line) if line.trim().is_empty() => {}
            Typed::Line(line) => match read_pasted(&line, expected, address) {
                Ok(answer) => return Ok(Some(answer)),
                Err(wrong) => note(&format!("{wrong} Paste the address at which the browser ended up:")),
            },
            Typed::End => {
                return Err(Error::Local(
                    "standard input ended before the address was pasted: run the command in a terminal"
                        .into(),
                ));
            }
            Typed::Interrupted => return Err(Error::Local("the login was interrupted".into())),
        }
    }
}

/// What was pasted, which must be the address of this very login.
fn read_pasted(text: &str, expected: &Expected, address: SocketAddr) -> std::result::Result<Answer, Wrong> {
    let text = text.trim().trim_matches(['<', '>', '"', '\'']);
    let url =
        Url::parse(text).map_err(|_| "That is not a whole address, as in http://127.0.0.1:…/callback?….")?;
    let ours = format!("http://{address}");
    if url.origin().ascii_serialization() != ours || url.path() != PATH || !url.username().is_empty() {
        return Err("That is another address than the one this login ends at.");
    }
    expected.read(url.query().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::answer::tests::expected;
    use super::*;

    #[test]
    fn what_may_be_pasted() {
        let address = SocketAddr::from(([127, 0, 0, 1], 4711));
        let read = |text: &str| read_pasted(text, &expected(), address);
        for good in [
            "http://127.0.0.1:4711/callback?code=c&state=s1",
            "  http://127.0.0.1:4711/callback?code=c&state=s1&iss=https%3A%2F%2Fop  ",
            "\"http://127.0.0.1:4711/callback?code=c&state=s1\"",
            "<http://127.0.0.1:4711/callback?code=c&state=s1#>",
        ] {
            assert!(read(good) == Ok(Answer::Code("c".into())), "{good}");
        }
        assert!(matches!(
            read("http://127.0.0.1:4711/callback?error=access_denied&state=s1"),
            Ok(Answer::Refused { .. })
        ));
        for (bad, why) in [
            ("c", "not a whole address"),
            ("127.0.0.1:4711/callback?code=c&state=s1", "not a whole address"),
            ("/callback?code=c&state=s1", "not a whole address"),
            ("code=c&state=s1", "not a whole address"),
            // Another login's, from another window.
            ("http://127.0.0.1:4712/callback?code=c&state=s1", "another address"),
            ("http://127.0.0.1/callback?code=c&state=s1", "another address"),
            ("https://127.0.0.1:4711/callback?code=c&state=s1", "another address"),
            ("http://localhost:4711/callback?code=c&state=s1", "another address"),
            ("http://127.0.0.1:4711/other?code=c&state=s1", "another address"),
            ("http://me@127.0.0.1:4711/callback?code=c&state=s1", "another address"),
            ("https://op/authorize?client_id=jit-ssh&state=s1", "another address"),
            ("javascript:alert(1)", "another address"),
            ("http://127.0.0.1:4711/callback", "another login"),
            ("http://127.0.0.1:4711/callback?code=c&state=s2", "another login"),
            ("http://127.0.0.1:4711/callback?code=c", "another login"),
            ("http://127.0.0.1:4711/callback#code=c&state=s1", "another login"),
            (
                "http://127.0.0.1:4711/callback?code=c&state=s1&iss=https%3A%2F%2Fevil",
                "another identity provider",
            ),
            ("http://127.0.0.1:4711/callback?code=c&code=d&state=s1", "twice"),
            ("http://127.0.0.1:4711/callback?state=s1", "neither"),
        ] {
            let Err(wrong) = read(bad) else { panic!("{bad} is taken") };
            assert!(wrong.contains(why), "{bad}: {wrong}");
        }
    }
}
