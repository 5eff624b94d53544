//! What needs a fresh login: the client logs in again by itself, once, and says it when the provider would not.

use jit_ssh_tests::browser::Browser;
use jit_ssh_tests::ca::{Ca, Setup};
use jit_ssh_tests::client::{Person, address};
use jit_ssh_tests::process::{Output, Process, Stream};
use jit_ssh_tests::provider::NodeProvider;

use super::NONE;
use crate::login::setup;

const POLICY: &str = r#"
@id("fresh") @ttl("30m")
permit (principal in Group::"sre", action == Action::"shell", resource in HostGroup::"web")
when { context.auth has age && context.auth.age < duration("10m") };
"#;

struct Scene {
    provider: NodeProvider,
    ca: Ca,
    alice: Person,
    /// The one browser that alice has.
    browser: Browser,
}

impl Scene {
    fn new() -> Self {
        let provider = NodeProvider::start().unwrap();
        let setup = Setup { policy: POLICY.to_owned(), ..setup(provider.issuer(), "deploy", "127.0.0.1:1") };
        let ca = Ca::start(&setup).unwrap();
        let alice = Person::new().unwrap();
        alice.setup(&ca).unwrap();
        Self { provider, ca, alice, browser: Browser::new() }
    }

    /// `jit-ssh login …`; every page that it shows is opened, in order. How it ended, and how many there were.
    fn login(&mut self, arguments: &[&str]) -> (Output, usize) {
        let words = ["login", "--no-browser"].iter().chain(arguments);
        let process: Process = self.alice.start(words).unwrap();
        let mut seen: Vec<String> = Vec::new();
        // A login that is over shows no further page.
        while let Ok(page) = process
            .line(Stream::Err, "another page", |line| address(line).filter(|page| !seen.contains(page)))
        {
            self.browser.log_in(&page, "alice").unwrap();
            seen.push(page);
        }
        (process.wait().unwrap(), seen.len())
    }

    fn sessions(&self) -> usize {
        let events = self.ca.data().events().unwrap();
        events.iter().filter(|item| item["event"]["type"] == "session.opened").count()
    }
}

#[test]
fn a_denial_for_want_of_a_fresh_login_makes_the_client_log_in_again_once() {
    let mut scene = Scene::new();
    let (ended, pages) = scene.login(&NONE);
    assert_eq!((ended.code, pages, scene.browser.passwords()), (Some(0), 1, 1), "{}", ended.err);
    // Who is logged in at the provider is not asked again; the login counts from then.
    scene.provider.age().unwrap();
    scene.login(&NONE).0.ok().unwrap();
    assert_eq!(scene.browser.passwords(), 1);

    // By the session that is there: one page more, with the password.
    let (ended, pages) = scene.login(&["deploy@web-1"]);
    let ended = ended.ok().unwrap();
    assert!(ended.err.contains("not fresh enough") && ended.err.contains("Granted: shell"), "{}", ended.err);
    assert_eq!((pages, scene.browser.passwords(), scene.sessions()), (1, 2, 3), "{}", ended.err);
    // Fresh as it is, nothing more is asked.
    assert_eq!(scene.login(&["deploy@web-1"]).1, 0);

    // Without a session: the first login finds the old one at the provider, the second is fresh.
    scene.alice.run(["logout"]).unwrap().ok().unwrap();
    scene.provider.age().unwrap();
    let (ended, pages) = scene.login(&["deploy@web-1"]);
    let ended = ended.ok().unwrap();
    assert_eq!((pages, scene.browser.passwords()), (2, 3), "{}", ended.err);
    assert_eq!(ended.err.matches("not fresh enough").count(), 1, "{}", ended.err);
    // For somebody whom no login helps there is no other try.
    scene.provider.age().unwrap();
    let (denied, pages) = scene.login(&["root@web-1"]);
    assert_eq!((denied.code, pages), (Some(3), 0), "{}", denied.err);
}

#[test]
fn a_provider_that_does_not_listen_is_named_after_one_more_try() {
    let mut scene = Scene::new();
    scene.login(&NONE).0.ok().unwrap();
    scene.provider.age().unwrap();
    scene.provider.deaf().unwrap();
    scene.alice.run(["logout"]).unwrap().ok().unwrap();
    let (denied, pages) = scene.login(&["deploy@web-1"]);
    let denied = denied.code(3).unwrap();
    assert_eq!((pages, scene.browser.passwords()), (2, 1), "{}", denied.err);
    assert!(
        denied.err.contains("corp did not ask for it: you logged in there 1h ago")
            && denied.err.contains("stays closed"),
        "{}",
        denied.err
    );
    assert!(denied.err.contains("(no_access)"), "{}", denied.err);
    // It is tried again when it is asked for again, and then too only once.
    let (denied, pages) = scene.login(&["deploy@web-1"]);
    assert_eq!((denied.code, pages), (Some(3), 1), "{}", denied.err);
}
