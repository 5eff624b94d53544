//! Several providers side by side: which one is meant, and that they do not make one name.

use jit_ssh_tests::browser;
use jit_ssh_tests::ca::{Ca, Issuer};
use jit_ssh_tests::client::Person;
use jit_ssh_tests::glewlwyd::Glewlwyd;
use jit_ssh_tests::provider::NodeProvider;

use super::{NONE, whoami};
use crate::login::setup;

#[test]
fn of_several_providers_the_named_one_is_asked_then_the_last_and_none_takes_anothers_names() {
    let (corp, partner) = (NodeProvider::start().unwrap(), Glewlwyd::start().unwrap());
    let mut setup = setup(corp.issuer(), "deploy", "127.0.0.1:1");
    let mut other = Issuer::new("partner", &partner.issuer(), &["dev"]);
    other.lines = "scopes = [\"openid\"]\nflows = [\"code\", \"device\"]".to_owned();
    other.device_client = Some("jit-ssh-device".to_owned());
    setup.issuers.push(other);
    let ca = Ca::start(&setup).unwrap();
    let person = |arguments: &[&str]| {
        let person = Person::new().unwrap();
        person.setup(&ca).unwrap();
        let unclear = person.run(["login", "--no-browser"]).unwrap().code(2).unwrap();
        assert!(
            unclear.err.contains("--issuer NAME\n  corp (code; http://127.0.0.1:")
                && unclear.err.contains("\n  partner (code, device; "),
            "{}",
            unclear.err
        );
        assert!(
            arguments.is_empty() || person.run(["login"].iter().chain(arguments)).unwrap().code == Some(2)
        );
        person
    };

    let bob = person(&["--issuer", "parnter"]);
    bob.login(["--issuer", "partner"], |url| partner.log_in(url, "bob")).unwrap().ok().unwrap();
    assert_eq!(whoami(&bob)["issuer"], "partner");
    // As last time: nothing need be said, and it is.
    let again = bob.login(NONE, |url| partner.log_in(url, "bob")).unwrap().ok().unwrap();
    assert!(again.err.contains("Logging in at partner, as last time"), "{}", again.err);
    // Only one of them takes this.
    bob.login_by_code(NONE, |url| partner.approve(url, "bob")).unwrap().ok().unwrap();

    // The bob of the other provider is somebody else, and the name is taken.
    let namesake = person(&[]);
    let refused =
        namesake.login(["--issuer", "corp"], |url| browser::log_in(url, "bob")).unwrap().code(3).unwrap();
    assert!(refused.err.contains("(login_taken)"), "{}", refused.err);
    let alice = person(&[]);
    alice.login(["--issuer", "corp"], |url| browser::log_in(url, "alice")).unwrap().ok().unwrap();
    assert_eq!(whoami(&alice)["issuer"], "corp");
    // A session at one is not taken for a login at the other.
    let words = ["deploy@web-1", "--issuer", "partner"];
    let device = alice.login_by_code(words, |url| partner.approve(url, "alice")).unwrap();
    assert_eq!(device.code, Some(3), "{}", device.err);
    assert!(device.err.contains("(login_taken)"), "{}", device.err);
}
