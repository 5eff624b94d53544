//! The forms of events never change: `golden/events` holds the canonical bytes of each kind, once with every optional
//! field and once without, and here is what each says. A file that is there is never written anew; `UPDATE_EXPECT=1`
//! writes those that are missing.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure here is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jit_ssh_proto::event::{
    Actor, Asked, CaInitialised, CertificateIssued, CertificateRevoked, ConfigChanged, EVENT_VERSION,
    EndReason, Event, EventErased, IdentityDisabled, IdentityEnabled, IssuerBound, KeyAdded, KeyUsed,
    LogExported, LogFilter, LoginReleased, Members, Outcome, PolicyLoaded, Reading, RequestDecided, Ruled,
    RulesChange, SerialJump, SessionEnded, SessionOpened, SessionRefused, SessionRevalidated, StoreMoved,
    StoreRestored, What,
};
use jit_ssh_proto::{Code, Command, Mode, Modifier, Salt, Span, Text, Timestamp};
use sha2::{Digest, Sha256};

const USER_CA: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFUBVIXwbbKM/Ry/8udQQ1/1ryHc1r4s8EVN9tnYB4Qz";
const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF8uivJ6kQEFPeQaIBWf2duqU/ssXzGxA8eZgo5y4sJF";
const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIHl4yZ7PSL+kTm6Q8hR92Tfh8zyP8lDAOg1aaV+zjzVAc6Rme8YuQQLdFhhFjUpCms663lmShPZ0fX+uCGITZ4=";
const SESSION: &str = "ses_01m80zy0brb16h0tg9vyxfnhr2";
const REQUEST: &str = "req_01m80zy0br0tt9292x4bwrp9jr";
const GRANT: &str = "grt_01m80zy0br34ba5f63vxm8x1js";
const RULES: &str = "2604c414986ef74c369ece68b4de55f6babbf27f09a5577043d311c0787fe219";
const TOKEN: &str = "8a93cb9eff63e8a594970c8f87764b22125fe1089af6d1979e8fc6c666ea3c12";
const SESSION_KEY: &str = "SHA256:BQZ/Q/cmyTFz9EhjUQywqW74gR871AXSmRiwWjSYETo";

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn event(actor: Actor, source: Option<&str>, what: What) -> Event {
    let source = source.map(str::to_owned);
    Event { v: EVENT_VERSION, time: Timestamp::from_seconds(1_795_329_819), actor, source, what }
}

fn by_alice(what: What) -> Event {
    let actor = Actor::Identity { issuer: parse("dev"), sub: "dev-7f3a01".into(), name: parse("alice") };
    event(actor, Some("127.0.0.1"), what)
}

fn by_operator(what: What) -> Event {
    event(Actor::Operator, None, what)
}

fn by_ca(what: What) -> Event {
    event(Actor::Ca, None, what)
}

fn time(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn policy_loaded(previous: Option<&str>) -> What {
    let previous = previous.map(str::to_owned);
    let changes = Vec::new();
    What::PolicyLoaded(PolicyLoaded { digest: RULES.into(), policies: 4, hosts: 1, previous, changes })
}

fn policy_reloaded() -> What {
    let What::PolicyLoaded(loaded) = policy_loaded(Some(TOKEN)) else { unreachable!() };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let changes = vec![
        RulesChange {
            of: Ruled::Policies,
            added: 1,
            removed: 1,
            changed: 1,
            names: names(&["+oncall", "-old.cedar:3", "~sre"]),
        },
        RulesChange {
            of: Ruled::Hosts,
            added: 2,
            removed: 0,
            changed: 0,
            names: names(&["+web-2", "+web-3"]),
        },
        RulesChange { of: Ruled::Groups, added: 0, removed: 0, changed: 1, names: names(&["~web"]) },
        RulesChange { of: Ruled::Guests, added: 0, removed: 1, changed: 0, names: names(&["-corp/eve"]) },
    ];
    What::PolicyLoaded(PolicyLoaded { changes, ..loaded })
}

fn session_opened(login: Option<&str>, email: Option<&str>, claims: Option<&str>) -> What {
    What::SessionOpened(SessionOpened {
        session: parse(SESSION),
        key: SESSION_KEY.into(),
        login: login.map(parse),
        email: email.map(str::to_owned),
        groups: vec![parse("sre"), parse("sre-leads")],
        flow: "code".into(),
        expires: time(1_795_365_819),
        token: TOKEN.into(),
        claims: claims.map(str::to_owned),
        tags: Vec::new(),
        took: Vec::new(),
    })
}

/// A job's first session.
fn provisioned() -> What {
    let What::SessionOpened(opened) = session_opened(Some("alice"), None, Some(RULES)) else {
        unreachable!()
    };
    let tags = [("ref", "refs/heads/main"), ("repository", "acme/web")];
    What::SessionOpened(SessionOpened {
        tags: tags.map(|(tag, value)| (tag.to_owned(), value.to_owned())).to_vec(),
        took: vec![parse("alice")],
        ..opened
    })
}

fn ended(reason: Option<EndReason>) -> What {
    What::SessionEnded(SessionEnded { session: parse(SESSION), reason })
}

fn revalidated(email: Option<&str>, tags: &[(&str, &str)]) -> What {
    What::SessionRevalidated(SessionRevalidated {
        session: parse(SESSION),
        email: email.map(str::to_owned),
        groups: vec![parse("sre")],
        tags: tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect(),
        claims: RULES.into(),
    })
}

fn disabled(name: Option<&str>) -> What {
    What::IdentityDisabled(IdentityDisabled {
        issuer: parse("dev"),
        sub: "dev-7f3a01".into(),
        name: name.map(parse),
        reason: parse("left the company: HR-12"),
    })
}

fn enabled(name: Option<&str>) -> What {
    let (issuer, sub) = (parse("dev"), "dev-7f3a01".into());
    What::IdentityEnabled(IdentityEnabled { issuer, sub, name: name.map(parse) })
}

fn bound(url: &str, previous: Option<&str>) -> What {
    let previous = previous.map(str::to_owned);
    What::IssuerBound(IssuerBound { issuer: parse("dev"), url: url.to_owned(), previous })
}

fn decided(asked: Asked, outcome: Outcome) -> What {
    let (request, session) = (parse(REQUEST), parse(SESSION));
    What::RequestDecided(RequestDecided {
        request,
        session,
        asked,
        policy_digest: RULES.into(),
        members: Vec::new(),
        outcome,
    })
}

/// Every host of a group, and one more.
fn decided_group() -> What {
    let asked = Asked { accounts: vec![parse("deploy@group/web"), parse("deploy@db-1")], ..shell() };
    let mut what = decided(asked, granted());
    if let What::RequestDecided(event) = &mut what {
        let hosts = vec![parse("web-1"), parse("web-2")];
        event.members = vec![Members { account: parse("deploy@group/web"), hosts }];
    }
    what
}

fn shell() -> Asked {
    Asked {
        accounts: vec![parse("deploy@web-1")],
        mode: Mode::Shell,
        modifiers: Vec::new(),
        command: None,
        duration: None,
        reason: Text::default(),
        ticket: Text::default(),
    }
}

fn exec() -> Asked {
    Asked {
        accounts: vec![parse("deploy@web-1"), parse("deploy@web-2")],
        mode: Mode::Exec,
        modifiers: vec![Modifier::Agent, Modifier::X11],
        command: Some(parse::<Command>("systemctl restart \"nginx\"")),
        duration: Some(Span::from_seconds(1800)),
        reason: parse("disk full: été ✓"),
        ticket: parse("OPS-7"),
    }
}

fn granted() -> Outcome {
    Outcome::Granted {
        grant: parse(GRANT),
        policies: vec!["sre-everything".into()],
        not_before: time(1_795_329_759),
        not_after: time(1_795_331_619),
    }
}

fn denied(policies: &[&str]) -> Outcome {
    Outcome::Denied { code: Code::Forbidden, policies: policies.iter().map(ToString::to_string).collect() }
}

/// A certificate with nothing but what it must have, of a development CA.
fn shell_certificate() -> CertificateIssued {
    CertificateIssued {
        grant: parse(GRANT),
        session: parse(SESSION),
        authority: parse("user"),
        authority_key: parse(USER_CA),
        cert_type: 1,
        nonce: parse("jhBfIi-2YNPxmAcNIdViwq_fAAqn4ZO7KfBfLnxo8FY"),
        key: parse(ED25519),
        serial: 1,
        key_id: format!("dev/alice/{GRANT}"),
        principals: vec!["shell:deploy@web-1".into()],
        valid_after: time(1_795_329_759),
        valid_before: time(1_795_331_619),
        critical_options: Vec::new(),
        extensions: vec![("grant@jit-ssh".into(), GRANT.into()), ("permit-pty".into(), String::new())],
        tbs_sha256: "082f585071b458a8da476d365fce07d0643b61414e85ac6f487dd2e3a30c1e3e".into(),
        policy_digest: RULES.into(),
    }
}

/// A certificate with something in every field.
fn exec_certificate() -> CertificateIssued {
    CertificateIssued {
        nonce: Salt::from_bytes([7; 32]),
        key: parse(P256),
        serial: 18_446_744_073_709,
        principals: vec!["exec+agent:deploy@web-1".into(), "exec+agent:deploy@group/web".into()],
        critical_options: vec![
            ("force-command".into(), "systemctl restart \"nginx\"".into()),
            ("source-address".into(), "192.0.2.7/32".into()),
            ("verify-required".into(), String::new()),
        ],
        extensions: vec![
            ("grant@jit-ssh".into(), GRANT.into()),
            ("permit-agent-forwarding".into(), String::new()),
        ],
        tbs_sha256: "0ac6759e66364b54df15a4fb0647c759d72af85d36df608193bcfc77834ab769".into(),
        ..shell_certificate()
    }
}

/// Every filter there is.
fn filter() -> LogFilter {
    LogFilter {
        after: Some(10),
        before: Some(99),
        since: Some(time(1_795_329_000)),
        until: Some(time(1_795_330_000)),
        kind: Some(parse("certificate.issued")),
        user: Some(parse("alice")),
        host: Some(parse("web-1")),
        action: Some(parse("shell")),
        policy: Some(parse("sre-everything")),
        serial: Some(1),
        request: Some(parse(REQUEST)),
        grant: Some(parse(GRANT)),
        session: Some(parse(SESSION)),
        grep: Some(parse("OPS-7")),
    }
}

/// The name of each file, and what it says.
fn forms() -> Vec<(&'static str, Event)> {
    let keys = [("user", USER_CA), ("ledger", ED25519)];
    let keys = keys.map(|(name, line)| (parse(name), line.to_owned())).to_vec();
    let ca_id = parse("GDt9ttbAGSXFiAMyufxBK9DB0giJ5vNk_OlvUjupxvE");
    let export = |filter| What::LogExported(Box::new(LogExported { session: parse(SESSION), filter }));
    let revoked = |key_id: Option<String>, through| {
        What::CertificateRevoked(CertificateRevoked {
            authority: parse("user"),
            serial: 17,
            through,
            key_id,
            reason: parse("issued after the backup that was restored"),
        })
    };
    let config = |before: Option<&str>| {
        let before = before.map(str::to_owned);
        What::ConfigChanged(ConfigChanged { before, after: RULES.into() })
    };
    vec![
        ("ca.initialised", by_operator(What::CaInitialised(CaInitialised { ca_id, keys }))),
        ("policy.loaded", by_ca(policy_loaded(None))),
        ("policy.loaded.full", by_ca(policy_loaded(Some(TOKEN)))),
        ("policy.loaded.changes", by_ca(policy_reloaded())),
        ("session.opened", by_alice(session_opened(None, None, None))),
        ("session.opened.full", by_alice(session_opened(Some("alice"), Some("alice@example.com"), None))),
        ("session.opened.claims", by_alice(session_opened(Some("alice"), None, Some(RULES)))),
        (
            "session.refused",
            by_alice(What::SessionRefused(SessionRefused {
                code: Code::TokenUsed,
                key: SESSION_KEY.into(),
                token: TOKEN.into(),
            })),
        ),
        ("session.opened.provisioned", by_alice(provisioned())),
        ("session.ended", by_alice(ended(None))),
        ("session.ended.full", by_ca(ended(Some(EndReason::ProviderLogout)))),
        ("session.revalidated", by_ca(revalidated(None, &[]))),
        ("session.revalidated.full", by_ca(revalidated(Some("alice@example.com"), &[("team", "db")]))),
        ("identity.disabled", by_operator(disabled(None))),
        ("identity.disabled.full", by_operator(disabled(Some("alice")))),
        ("identity.enabled", by_operator(enabled(None))),
        ("identity.enabled.full", by_operator(enabled(Some("alice")))),
        (
            "login.released",
            by_operator(What::LoginReleased(LoginReleased {
                login: parse("alice"),
                issuer: parse("dev"),
                sub: "dev-7f3a01".into(),
            })),
        ),
        ("issuer.bound", by_ca(bound("https://id.example.com", None))),
        (
            "issuer.bound.full",
            by_operator(bound("https://login.example.com", Some("https://id.example.com"))),
        ),
        ("request.decided.granted", by_alice(decided(shell(), granted()))),
        ("request.decided.granted.full", by_alice(decided(exec(), granted()))),
        ("request.decided.granted.group", by_alice(decided_group())),
        ("request.decided.denied", by_alice(decided(shell(), denied(&[])))),
        ("request.decided.denied.full", by_alice(decided(exec(), denied(&["no-root-on-prod"])))),
        ("certificate.issued", by_alice(What::CertificateIssued(Box::new(shell_certificate())))),
        ("certificate.issued.full", by_alice(What::CertificateIssued(Box::new(exec_certificate())))),
        ("certificate.revoked", by_operator(revoked(None, None))),
        ("certificate.revoked.full", by_operator(revoked(Some(format!("dev/alice/{GRANT}")), None))),
        ("certificate.revoked.range", by_operator(revoked(None, Some(1_048_593)))),
        (
            "key.added",
            by_ca(What::KeyAdded(KeyAdded { name: parse("user-switches"), key: ED25519.to_owned() })),
        ),
        (
            "key.used",
            by_ca(What::KeyUsed(KeyUsed {
                key: parse("trust"),
                purpose: parse("trust-bundle"),
                fingerprint: SESSION_KEY.into(),
                sha256: RULES.into(),
            })),
        ),
        ("config.changed", by_ca(config(None))),
        ("config.changed.full", by_ca(config(Some(TOKEN)))),
        ("log.exported", by_alice(export(LogFilter::default()))),
        ("log.exported.full", by_alice(export(filter()))),
        (
            "event.erased",
            by_operator(What::EventErased(EventErased {
                leaf: 12,
                reason: parse("erasure asked for: OPS-9"),
            })),
        ),
        (
            "store.restored",
            by_operator(What::StoreRestored(StoreRestored {
                leaves: 1_000,
                serials: vec![SerialJump { authority: parse("user"), from: 401, to: 1_000_401 }],
                revoked: 3,
                from: "ca-2026-11-22.backup".into(),
            })),
        ),
        (
            "store.moved",
            by_operator(What::StoreMoved(StoreMoved {
                from: parse("sqlite"),
                to: parse("postgres"),
                leaves: 1_000,
            })),
        ),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/events")
}

#[test]
fn the_canonical_bytes_of_every_form_are_those_of_the_first_day() {
    for (name, event) in forms() {
        let (path, bytes) = (folder().join(format!("{name}.json")), event.canonical().unwrap());
        if !path.exists() && std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &bytes).unwrap();
        }
        let golden = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(String::from_utf8(bytes).unwrap(), String::from_utf8(golden).unwrap(), "{name}");
    }
}

#[test]
fn every_golden_file_is_read_and_written_again_as_it_stands() {
    let named: BTreeSet<String> = forms().iter().map(|(name, _)| format!("{name}.json")).collect();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let golden = std::fs::read(&path).unwrap();
        let Reading::Known(event) = Reading::of(&golden).unwrap() else { panic!("{}", path.display()) };
        assert_eq!(event.canonical().unwrap(), golden, "{}", path.display());
        found.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    assert_eq!(found, named);
}

#[test]
fn every_kind_of_event_has_its_golden_files() {
    let covered: BTreeSet<&str> = forms().iter().map(|(_, event)| event.what.kind()).collect();
    assert_eq!(covered, What::KINDS.into_iter().collect());
    // The error of the reader lists what it knows: no kind can be left out of the list.
    let refused = serde_json::from_str::<What>(r#"{"type":"?"}"#).unwrap_err().to_string();
    let (_, known) = refused.split_once("expected one of ").unwrap();
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    assert_eq!(known, What::KINDS);
}

#[test]
fn the_signed_bytes_are_rebuilt_from_the_event_as_the_document_says() {
    for (name, event) in forms() {
        let What::CertificateIssued(_) = event.what else { continue };
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder().join(format!("{name}.json"))).unwrap()).unwrap();
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(rebuild(&json)));
        assert_eq!(json["tbs_sha256"], digest, "{name}");
    }
}

/// docs/EVENTS.md, "Rebuilding the signed bytes", word by word, from the JSON alone: this is not the CA's own encoder.
fn rebuild(event: &serde_json::Value) -> Vec<u8> {
    let text = |field: &str| event[field].as_str().unwrap().to_owned();
    let number = |field: &str| event[field].as_u64().unwrap();
    let blob = |line: &str| data_encoding::BASE64.decode(line.split(' ').nth(1).unwrap().as_bytes()).unwrap();
    let key = blob(&text("key"));
    let name = text("key").split(' ').next().unwrap().to_owned();
    let mut out = Vec::new();
    string(&mut out, format!("{}-cert-v01@openssh.com", name.trim_end_matches("@openssh.com")).as_bytes());
    string(&mut out, &data_encoding::BASE64URL_NOPAD.decode(text("nonce").as_bytes()).unwrap());
    out.extend_from_slice(&key[4 + name.len()..]);
    out.extend_from_slice(&number("serial").to_be_bytes());
    out.extend_from_slice(&u32::try_from(number("cert_type")).unwrap().to_be_bytes());
    string(&mut out, text("key_id").as_bytes());
    let mut principals = Vec::new();
    for principal in event["principals"].as_array().unwrap() {
        string(&mut principals, principal.as_str().unwrap().as_bytes());
    }
    string(&mut out, &principals);
    out.extend_from_slice(&number("valid_after").to_be_bytes());
    out.extend_from_slice(&number("valid_before").to_be_bytes());
    for options in ["critical_options", "extensions"] {
        let mut all = Vec::new();
        for option in event[options].as_array().unwrap() {
            string(&mut all, option[0].as_str().unwrap().as_bytes());
            let mut value = Vec::new();
            match option[1].as_str().unwrap() {
                "" => {}
                present => string(&mut value, present.as_bytes()),
            }
            string(&mut all, &value);
        }
        string(&mut out, &all);
    }
    string(&mut out, b"");
    string(&mut out, &blob(&text("authority_key")));
    out
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}
