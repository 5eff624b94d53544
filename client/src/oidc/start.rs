//! The page of ours at which the browser that we open begins. What is opened stands in the list of processes, which
//! everybody on this machine can read: the provider's address with the state in it would let them log in there as
//! themselves, bring the answer here, and have us work as them. So a page is opened that works once, gives the browser
//! a cookie, and sends it on; the answer has to come with that cookie.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openidconnect::CsrfToken;
use url::Url;

/// How long the browser keeps the cookie, in seconds: longer than a login may take.
const COOKIE_SECONDS: u32 = 900;

/// The page.
pub(super) struct Start {
    address: String,
    path: String,
    /// `name=value`
    cookie: String,
    /// Where the cookie belongs.
    callback: &'static str,
    to: String,
    stage: Mutex<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is no such page: a person opens the provider's.
    Unused,
    /// A browser is on its way.
    Offered,
    /// A browser has been here.
    Visited,
}

/// What becomes of a visit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// The first: the provider's page, and the value of `Set-Cookie`.
    SentOn(String, String),
    /// Somebody was here before.
    Again,
    /// There is no such page.
    Nothing,
}

impl Start {
    /// A page at `address` of ours that leads to the provider's, with a path that nobody guesses. Not yet offered.
    pub(super) fn new(address: SocketAddr, to: &Url, callback: &'static str) -> Self {
        let random = || CsrfToken::new_random_len(32).into_secret();
        let path = format!("/start/{}", random());
        Self {
            address: format!("http://{address}{path}"),
            path,
            // Cookies know no ports: the name keeps two logins apart.
            cookie: format!("jit-ssh-{}={}", address.port(), random()),
            callback,
            to: to.as_str().to_owned(),
            stage: Mutex::new(Stage::Unused),
        }
    }

    /// Its whole address, for the browser that is opened.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// From now on it is there, and no answer is taken without its cookie.
    pub(super) fn offer(&self) {
        *self.stage() = Stage::Offered;
    }

    /// No browser could be opened: it is gone again, unless somebody was there.
    pub(super) fn withdraw(&self) {
        let mut stage = self.stage();
        if *stage == Stage::Offered {
            *stage = Stage::Unused;
        }
    }

    /// Whether this is its path.
    pub(super) fn is_at(&self, path: &str) -> bool {
        path == self.path
    }

    /// Somebody comes.
    pub(super) fn visit(&self) -> Visit {
        let mut stage = self.stage();
        match *stage {
            Stage::Unused => Visit::Nothing,
            Stage::Visited => Visit::Again,
            Stage::Offered => {
                *stage = Stage::Visited;
                let Self { cookie, callback, .. } = self;
                let cookie =
                    format!("{cookie}; HttpOnly; SameSite=Lax; Path={callback}; Max-Age={COOKIE_SECONDS}");
                Visit::SentOn(self.to.clone(), cookie)
            }
        }
    }

    /// Whether an answer with these `Cookie` headers may be taken. A wrong cookie is not tried twice: it ends the login.
    pub(super) fn admits(&self, headers: &[&str]) -> bool {
        match *self.stage() {
            Stage::Unused => true,
            Stage::Offered | Stage::Visited => {
                headers.iter().flat_map(|header| header.split(';')).any(|one| one.trim() == self.cookie)
            }
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn start(port: u16) -> Start {
        let to = Url::parse("https://op/authorize?state=s1").unwrap();
        Start::new(SocketAddr::from(([127, 0, 0, 1], port)), &to, "/callback")
    }

    #[test]
    fn the_page_works_once_and_the_answer_needs_its_cookie() {
        let page = start(9);
        assert!(page.address().starts_with("http://127.0.0.1:9/start/") && page.address().len() > 60);
        assert_eq!(page.visit(), Visit::Nothing, "not offered");
        assert!(page.admits(&[]), "a person opens the provider's page by hand");
        page.offer();
        assert!(!page.admits(&[]), "who did not come here has the state from elsewhere");
        let Visit::SentOn(to, set) = page.visit() else { panic!("the first visit") };
        assert_eq!(to, "https://op/authorize?state=s1");
        let (cookie, rules) = set.split_once(';').unwrap();
        assert_eq!(rules, " HttpOnly; SameSite=Lax; Path=/callback; Max-Age=900");
        assert!(cookie.starts_with("jit-ssh-9="));
        assert_eq!(page.visit(), Visit::Again);
        for (headers, admitted) in [
            (vec![cookie], true),
            (vec!["a=b", cookie], true),
            (vec![&*format!("a=b; {cookie}; c=d")], true),
            (vec![], false),
            (vec!["jit-ssh-9="], false),
            (vec![cookie.trim_start_matches("jit-ssh-9=")], false),
            (vec![&cookie[..cookie.len() - 1]], false),
            (vec![&*format!("x{cookie}")], false),
        ] {
            assert_eq!(page.admits(&headers), admitted, "{headers:?}");
        }
        page.withdraw();
        assert!(!page.admits(&[]), "somebody was there");
        assert_ne!(start(9).address(), start(9).address());
    }

    #[test]
    fn where_no_browser_opens_there_is_no_page() {
        let page = start(9);
        page.offer();
        page.withdraw();
        assert_eq!(page.visit(), Visit::Nothing);
        assert!(page.admits(&[]));
    }
}
