//! The device grant, and the browser through a provider that knows neither the other nor Node.

use jit_ssh_proto::wire::OpenSession;
use jit_ssh_proto::{Flow, Salt};
use jit_ssh_tests::api::{Key, Signing, random};
use jit_ssh_tests::browser;
use jit_ssh_tests::ca::{Ca, Issuer, Setup};
use jit_ssh_tests::glewlwyd::Glewlwyd;
use jit_ssh_tests::http::send;
use jit_ssh_tests::provider::NodeProvider;
use serde_json::Value;

use super::{NONE, Place, whoami};
use crate::login::{address, setup};

/// The same setup with these flows, for this client and, where there is the device grant, the client for that.
fn with_flows(mut setup: Setup, client: &str, flows: &[&str]) -> Setup {
    let issuer: &mut Issuer = &mut setup.issuers[0];
    issuer.client = client.to_owned();
    issuer.device_client = flows.contains(&"device").then(|| "jit-ssh-device".to_owned());
    issuer.lines.push_str(&format!("\nflows = {flows:?}"));
    setup
}

#[test]
fn a_code_typed_in_elsewhere_ends_in_a_command_on_the_host() {
    let provider = NodeProvider::start().unwrap();
    let place = Place::new(|login, address| {
        with_flows(setup(provider.issuer(), login, address), "jit-ssh-public", &["code", "device"])
    });
    let alice = place.person();
    let account = place.account();
    let words = [account.as_str(), "--reason", "OPS-7"];
    let said = alice.login_by_code(words, |url| browser::approve(url, "alice")).unwrap().ok().unwrap().err;
    assert!(said.contains("and enter the code") && said.contains("that it shows the same code"), "{said}");
    let ran = place.ssh(&alice, &["--reason", "OPS-7"], &["echo from-$((40 + 2))"]).ok().unwrap();
    assert_eq!(ran.out, "from-42\n", "{}", ran.err);
    assert_eq!(whoami(&alice)["groups"], serde_json::json!(["sre"]));
    let opened = place.events("session.opened");
    assert_eq!((opened.len(), &opened[0]["flow"]), (1, &"device".into()), "{opened:?}");

    // Whoever may not, may not this way either; and a code is no more than a way to log in.
    let bob = place.person();
    let denied = bob.login_by_code(words, |url| browser::approve(url, "bob")).unwrap().code(3).unwrap();
    assert!(denied.err.contains("(no_access)"), "{}", denied.err);
    // The browser works beside it, and is the same person.
    let again = place.person();
    again.login(NONE, |url| browser::log_in(url, "alice")).unwrap().ok().unwrap();
    assert_eq!(whoami(&again)["subject"], whoami(&alice)["subject"]);

    // What a token is, the provider says: its caller cannot make more of it.
    for (flow, outcome) in
        [(Flow::Code, "403 flow_not_allowed"), (Flow::Token, "403 flow_not_allowed"), (Flow::Device, "201")]
    {
        let token = token_of_a_device(&provider, "alice");
        assert_eq!(present(&place.ca, &token, flow), outcome, "{flow}");
    }
}

#[test]
fn where_the_entry_has_no_device_grant_nobody_is_asked_and_the_ca_refuses() {
    let provider = NodeProvider::start().unwrap();
    let only_code =
        with_flows(setup(provider.issuer(), "deploy", "127.0.0.1:1"), "jit-ssh-public", &["code"]);
    let ca = Ca::start(&only_code).unwrap();
    let alice = jit_ssh_tests::client::Person::new().unwrap();
    alice.setup(&ca).unwrap();
    for arguments in [&["login", "--device"][..], &["login", "--device", "--issuer", "corp"]] {
        let refused = alice.run(arguments).unwrap();
        assert_ne!(refused.code, Some(0));
        assert!(
            refused.err.contains("the device grant") && refused.err.contains("--paste"),
            "{}",
            refused.err
        );
    }
    assert_eq!(provider.asked("/device/auth").unwrap(), 0, "nothing was asked for");

    // Another client than ours would have asked. Its token is good, and of no use.
    let token = token_of_a_device(&provider, "alice");
    for (flow, outcome) in [
        (Flow::Device, "403 flow_not_allowed"),
        (Flow::Token, "403 flow_not_allowed"),
        (Flow::Code, "401 token_audience"),
    ] {
        assert_eq!(present(&ca, &token, flow), outcome, "{flow}");
    }
    assert_eq!(alice.run(["whoami"]).unwrap().code, Some(5));
    let kinds: Vec<Value> = ca.data().events().unwrap();
    assert!(kinds.iter().all(|item| item["event"]["type"] != "session.opened"), "{kinds:?}");
}

/// What comes of presenting a token with a key of one's own.
pub(super) fn present(ca: &Ca, token: &str, flow: Flow) -> String {
    let id = ca.bundle().unwrap().ca_id;
    let session = Key::new().unwrap();
    let body = OpenSession {
        id_token: token.to_owned(),
        session_key: session.public.to_string(),
        salt: Salt::from_bytes(random()).to_string(),
        flow,
        request: None,
        refresh_token: None,
    };
    let body = serde_json::to_vec(&body).unwrap();
    let call = Signing::new(&id, &session, None).call("POST", "/v1/sessions", body).unwrap();
    send(address(ca), &call).unwrap().outcome()
}

fn token_of_a_device(provider: &NodeProvider, person: &str) -> String {
    let post = |path: &str, form: &[(&str, &str)]| -> Value {
        let form = form.iter().copied().chain([("client_id", "jit-ssh-device")]);
        let answer = ureq::post(format!("{}{path}", provider.issuer())).send_form(form).unwrap();
        serde_json::from_str(&answer.into_body().read_to_string().unwrap()).unwrap()
    };
    let code = post("/device/auth", &[("scope", "openid profile email groups")]);
    browser::approve(code["verification_uri_complete"].as_str().unwrap(), person).unwrap();
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let answer =
        post("/token", &[("grant_type", grant), ("device_code", code["device_code"].as_str().unwrap())]);
    answer["id_token"].as_str().unwrap().to_owned()
}

#[test]
fn a_provider_of_another_make_takes_both_ways_and_the_host_lets_in() {
    let provider = Glewlwyd::start().unwrap();
    let place = Place::new(|login, address| {
        let mut setup = with_flows(setup(&provider.issuer(), login, address), "jit-ssh", &["code", "device"]);
        // It does not say whether it has verified an address.
        setup.issuers[0].lines = "scopes = [\"openid\"]\nflows = [\"code\", \"device\"]".to_owned();
        setup
    });
    let account = place.account();
    let words = [account.as_str(), "--reason", "OPS-7"];
    let alice = place.person();
    alice.login(words, |url| provider.log_in(url, "alice")).unwrap().ok().unwrap();
    let ran = place.ssh(&alice, &["--reason", "OPS-7"], &["echo in"]).ok().unwrap();
    assert_eq!(ran.out, "in\n", "{}", ran.err);
    let device = place.person();
    device.login_by_code(words, |url| provider.approve(url, "alice")).unwrap().ok().unwrap();
    let ran = place.ssh(&device, &["--reason", "OPS-7"], &["echo in again"]).ok().unwrap();
    assert_eq!(ran.out, "in again\n", "{}", ran.err);
    let (by_browser, by_code) = (whoami(&alice), whoami(&device));
    assert_eq!((&by_browser["name"], &by_browser["groups"]), (&"alice".into(), &serde_json::json!(["sre"])));
    assert_eq!((&by_browser["subject"], &by_browser["name"]), (&by_code["subject"], &by_code["name"]));
    let bob = place.person();
    bob.login_by_code(words, |url| provider.approve(url, "bob")).unwrap().code(3).unwrap();
    let flows: Vec<Value> = place.events("session.opened").iter().map(|e| e["flow"].clone()).collect();
    assert_eq!(flows, ["code", "device", "device"]);
}
