//! Invariants 2, 3 and 8: what a certificate says, and who signed it, read from what the client got.

use jit_ssh_proto::event::{Outcome, RequestDecided, What};
use jit_ssh_proto::wire::Issued;
use jit_ssh_proto::{SignedBundle, Timestamp, UserKey};
use jit_ssh_tests::api::{Call, Key, Session, Signing, access_body, now};
use serde_json::{Value, json};
use ssh_key::Certificate;
use ssh_key::certificate::CertType;

use crate::stand::{PASSPHRASE, Server, Site};

/// Asks for access with something changed.
fn ask(
    site: &Site,
    server: &Server,
    session: &Session,
    key: &Key,
    change: impl FnOnce(&mut Value),
) -> (Issued, Certificate) {
    let signing = Signing::new(&site.ca, &session.key, Some(&session.id));
    let body = access_body(&site.ca, &session.key, key, signing.id).unwrap();
    let mut body = serde_json::to_value(body).unwrap();
    change(&mut body);
    let call = signing.call("POST", "/v1/requests", body.to_string().into_bytes()).unwrap();
    let answer = server.send(&call.with("authorization", &session.bearer()));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let issued: Issued = answer.json().unwrap();
    let certificate = issued.certificate.parse().unwrap();
    (issued, certificate)
}

#[test]
fn invariant_2_a_certificate_ends_with_the_earliest_of_request_policy_maximum_and_session() {
    let site = Site::new();
    // A session of 40 minutes, a maximum of 2 hours; policy `sre` gives an hour, `own` half an hour.
    let limits = "[limits]\nsession = \"40m\"\nduration = \"2h\"\nttl = \"30m\"\n[[issuer]]";
    site.write("ca.toml", &site.config().replacen("[[issuer]]", limits, 1));
    let server = site.serve();
    let session = server.session(&site, "alice");
    let key = Key::new().unwrap();
    for (what, account, duration, minutes) in [
        ("what was asked", "deploy@web-1", json!("10m"), 10),
        ("what policy gives, if nothing was asked", "alice@web-1", Value::Null, 30),
        ("the session's end, if that is sooner", "deploy@web-1", json!("50m"), 40),
        ("the session's end, if policy gives more", "deploy@web-1", Value::Null, 40),
    ] {
        let before = now();
        let (issued, certificate) = ask(&site, &server, &session, &key, |body| {
            body["accounts"] = json!([account]);
            body["duration"] = duration;
        });
        let after = now();
        let end = certificate.valid_before();
        // The session began before the first of these calls, by a little.
        let window = (before + minutes * 60).saturating_sub(60)..=after + minutes * 60;
        assert!(window.contains(&end), "{what}: {end} in {window:?}");
        assert_eq!(Timestamp::from_seconds(end), issued.valid_before, "{what}");
        // A minute for clocks that are behind, and not more.
        assert!(certificate.valid_after() <= after && certificate.valid_after() + 61 >= before, "{what}");
        assert!(end > certificate.valid_after() && end - certificate.valid_after() <= 24 * 3600, "{what}");
        assert!(!certificate.valid_principals().is_empty(), "{what}");
    }
}

#[test]
fn invariant_3_a_certificate_says_what_the_recorded_decision_allows_and_nothing_else() {
    let site = Site::new();
    let server = site.serve();
    let session = server.session(&site, "alice");
    let key = Key::new().unwrap();
    let no_options: Vec<(String, String)> = Vec::new();
    let option = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for (change, principals, options, extensions) in [
        (json!({}), vec!["shell:deploy@web-1"], no_options.clone(), vec!["permit-pty"]),
        (
            json!({ "accounts": ["deploy@web-1", "deploy@web-2"] }),
            vec!["shell:deploy@web-1", "shell:deploy@web-2"],
            no_options,
            vec!["permit-pty"],
        ),
        (
            json!({ "mode": "sftp" }),
            vec!["sftp:deploy@web-1"],
            option("force-command", "internal-sftp"),
            vec![],
        ),
        (
            json!({ "mode": "exec", "command": "systemctl status nginx" }),
            vec!["exec:deploy@web-1"],
            option("force-command", "systemctl status nginx"),
            vec![],
        ),
    ] {
        let (issued, certificate) = ask(&site, &server, &session, &key, |body| {
            for (field, value) in change.as_object().unwrap() {
                body[field] = value.clone();
            }
        });
        assert_eq!(certificate.valid_principals(), principals, "{change}");
        let found: Vec<(String, String)> = certificate
            .critical_options()
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        assert_eq!(found, options, "{change}");
        let found: Vec<&str> = certificate
            .extensions()
            .keys()
            .map(String::as_str)
            .filter(|name| *name != "grant@jit-ssh")
            .collect();
        assert_eq!(found, extensions, "{change}");
        assert_eq!(certificate.key_id(), format!("corp/alice/{}", issued.grant), "{change}");
        assert_eq!(certificate.public_key(), key.public.key_data(), "{change}");

        // The decision that is recorded is this one's.
        let decided = decision(&site, &issued.request);
        let Outcome::Granted { grant, not_before, not_after, policies } = decided.outcome else {
            panic!("{change}")
        };
        assert_eq!((grant.to_string(), &policies), (issued.grant, &issued.policies), "{change}");
        assert!(not_before.seconds() <= certificate.valid_after(), "{change}");
        assert!(not_after.seconds() >= certificate.valid_before(), "{change}");
        let accounts: Vec<String> = decided
            .asked
            .accounts
            .iter()
            .map(|account| format!("{}:{account}", decided.asked.mode))
            .collect();
        assert_eq!(accounts, principals, "{change}");
        let recorded = site.certificates().into_iter().find(|event| event.serial == issued.serial).unwrap();
        assert_eq!(recorded.principals, principals, "{change}");
        assert_eq!(recorded.policy_digest, decided.policy_digest, "{change}");
    }
}

fn decision(site: &Site, request: &str) -> RequestDecided {
    let decided = site.ledger().into_iter().find_map(|event| match event.what {
        What::RequestDecided(decided) if decided.request.to_string() == request => Some(decided),
        What::CaInitialised(_)
        | What::PolicyLoaded(_)
        | What::SessionOpened(_)
        | What::SessionRefused(_)
        | What::SessionEnded(_)
        | What::SessionRevalidated(_)
        | What::IdentityDisabled(_)
        | What::IdentityEnabled(_)
        | What::LoginReleased(_)
        | What::IssuerBound(_)
        | What::RequestDecided(_)
        | What::CertificateIssued(_)
        | What::CertificateRevoked(_)
        | What::KeyUsed(_)
        | What::KeyAdded(_)
        | What::ConfigChanged(_)
        | What::LogExported(_)
        | What::EventErased(_)
        | What::StoreRestored(_)
        | What::StoreMoved(_) => None,
    });
    decided.unwrap()
}

#[test]
fn invariant_3_one_account_that_is_not_allowed_denies_all_of_them() {
    let site = Site::new();
    let server = site.serve();
    let session = server.session(&site, "alice");
    let key = Key::new().unwrap();
    let before = site.state();
    for other in ["root@web-1", "deploy@db-1", "carol@web-1"] {
        let signing = Signing::new(&site.ca, &session.key, Some(&session.id));
        let mut body = access_body(&site.ca, &session.key, &key, signing.id).unwrap();
        body.accounts.push(other.to_owned());
        let call = signing.call("POST", "/v1/requests", serde_json::to_vec(&body).unwrap()).unwrap();
        let answer = server.send(&call.with("authorization", &session.bearer()));
        assert_eq!(answer.status, 403, "{other}: {}", answer.text());
    }
    assert_eq!(site.state()["certificates"], before["certificates"]);
}

#[test]
fn invariant_8_user_certificates_are_signed_by_the_user_authority_and_by_no_other_key() {
    let site = Site::new();
    let server = site.serve();
    let bundle: SignedBundle = server.send(&Call::plain("GET", "/.well-known/jit-ssh")).json().unwrap();
    let read = |name: &str| {
        let path = site.dir.join("keys").join(name).with_extension("pub");
        ssh_key::PublicKey::read_openssh_file(&path).unwrap()
    };
    let trust = read("trust").fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let bundle = bundle.open(&trust).unwrap();
    let session = server.session(&site, "alice");
    let (_, certificate) = ask(&site, &server, &session, &Key::new().unwrap(), |_| {});
    assert_eq!(certificate.cert_type(), CertType::User);
    assert_eq!(certificate.signature_key(), read("user").key_data());
    for other in ["host", "trust", "ledger"] {
        assert_ne!(certificate.signature_key(), read(other).key_data(), "{other}");
    }
    // What clients and hosts are told to trust is these two, and neither trust nor ledger key is among them.
    let authorities: Vec<(&str, &str)> =
        bundle.authorities.iter().map(|entry| (entry.kind.as_str(), entry.key.as_str())).collect();
    let line = |name: &str| {
        let key = read(name);
        ssh_key::PublicKey::from(key.key_data().clone()).to_openssh().unwrap()
    };
    assert_eq!(authorities, [("user", line("user").as_str()), ("host", line("host").as_str())]);
}

#[test]
fn invariant_8_the_authority_certifies_anything_but_itself() {
    // Its private half, as whoever has the passphrase holds it.
    let site = Site::new();
    let server = site.serve();
    let session = server.session(&site, "alice");
    let private = ssh_key::PrivateKey::read_openssh_file(&site.dir.join("keys/user")).unwrap();
    let private = private.decrypt(PASSPHRASE).unwrap();
    let public = UserKey::new(private.public_key()).unwrap();
    let before = site.state();
    let answer = server.send(&session.access(&site.ca, &Key { private, public }).unwrap());
    assert_ne!(answer.status, 201, "{}", answer.text());
    assert_eq!(site.state()["certificates"], before["certificates"]);
    assert_eq!(site.state()["serials"], before["serials"]);
}
