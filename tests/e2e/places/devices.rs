//! `principals = "login"`: plain logins, signed by an authority of their own, which is all that says where they are good.

use std::fs;

use jit_ssh_proto::event::What;
use jit_ssh_proto::explanation::{Answer, Explanation};
use jit_ssh_proto::wire::{Page, ReachableAccount, ReachableMode};
use jit_ssh_proto::{Code, Mode};
use jit_ssh_tests::api::{Call, Key, Session};
use jit_ssh_tests::certificates::Identity;
use jit_ssh_tests::process;
use jit_ssh_tests::sshd::{Sshd, SshdFolder};

use serde_json::json;

use super::{ask, issue, issue_for, site};
use crate::stand::{PASSPHRASE, Server, Site};

const SHELL: (Mode, Option<&str>) = (Mode::Shell, None);

const INVENTORY: &str = r#"
[[group]]
name = "switches"
logins = ["LOGIN", "nobody"]
principals = "login"
[[group]]
name = "web"
logins = ["LOGIN"]
[[host]]
name = "switch-1"
groups = ["switches"]
[[host]]
name = "switch-2"
groups = ["switches"]
[[host]]
name = "router-1"
logins = ["LOGIN"]
principals = "login"
[[host]]
name = "web-1"
groups = ["web"]
"#;

fn key_add(site: &Site, name: &str, passphrase: &std::path::Path) -> process::Output {
    let program = process::program("jit-ssh-ca").unwrap();
    let mut command = process::command(&program);
    command.args(["key", "add", name]).arg(&site.dir).env("JIT_SSH_PASSPHRASE_FILE", passphrase);
    process::run(&mut command).unwrap()
}

fn key_list(site: &Site) -> String {
    let program = process::program("jit-ssh-ca").unwrap();
    process::run(process::command(&program).args(["key", "list"]).arg(&site.dir)).unwrap().ok().unwrap().out
}

/// A CA that has the key of the switches and not that of the router.
fn with_key(login: &str) -> Site {
    let site = site(login, INVENTORY, "");
    key_add(&site, "user-switches", &site.passphrase).ok().unwrap();
    site
}

fn public(site: &Site, name: &str) -> String {
    fs::read_to_string(site.dir.join(format!("keys/{name}.pub"))).unwrap()
}

/// A device: it trusts this key and knows nothing of files of ours.
fn device(key: &str) -> Sshd {
    let place = SshdFolder::new().unwrap();
    let trusted = place.write("ca.pub", key).unwrap();
    place.start(&format!("TrustedUserCAKeys {}", trusted.display())).unwrap()
}

fn login() -> String {
    SshdFolder::new().unwrap().login().to_owned()
}

/// What a shell on an account would come to.
fn explain(server: &Server, session: &Session, account: &str) -> Explanation {
    let body = json!({ "accounts": [account], "mode": "shell" });
    let call = Call { body: serde_json::to_vec(&body).unwrap(), ..Call::plain("POST", "/v1/explain") };
    let call = call.with("content-type", "application/json").with("authorization", &session.bearer());
    server.send(&call).json().unwrap()
}

/// What an account is listed for.
fn modes(server: &Server, session: &Session, account: &str) -> Vec<ReachableMode> {
    let call = Call::plain("GET", "/v1/accounts").with("authorization", &session.bearer());
    let page: Page<ReachableAccount> = server.send(&call).json().unwrap();
    page.items.into_iter().filter(|item| item.account == account).flat_map(|item| item.modes).collect()
}

fn lets_in(sshd: &Sshd, identity: &Identity) -> bool {
    sshd.ssh(identity, &[], "true").unwrap().accepted()
}

#[test]
fn a_device_lets_in_plain_logins_of_its_own_authority_and_nothing_else() {
    let login = login();
    let site = with_key(&login);
    let server = site.serve();
    let session = server.session(&site, "alice");
    let (switch, main) = (device(&public(&site, "user-switches")), device(&public(&site, "user")));
    let folder = switch.place().path();
    let account = |place: &str| format!("{login}@{place}");

    let plain = issue(&site, &server, &session, folder, &[&account("switch-1")]);
    let text = fs::read_to_string(&plain.certificate).unwrap();
    let certificate = ssh_key::Certificate::from_openssh(&text).unwrap();
    assert_eq!(certificate.valid_principals(), std::slice::from_ref(&login));
    let attempt = switch.ssh(&plain, &[], "echo in-$((40 + 2))").unwrap();
    assert!(attempt.accepted() && attempt.out.contains("in-42"), "{}", attempt.log);
    assert!(attempt.log.contains("corp/alice/grt_"), "{}", attempt.log);
    // All devices of the group are one place: the key that they trust is what says where.
    let whole = issue(&site, &server, &session, folder, &[&account("group/switches")]);
    assert!(lets_in(&switch, &whole));
    // What the main authority signs is not for devices, and what theirs signs is for nobody else.
    let place = issue(&site, &server, &session, folder, &[&account("web-1")]);
    assert!(!lets_in(&switch, &place), "the main authority's certificate on a device");
    assert!(!lets_in(&main, &plain), "a device's certificate on a host of the main authority");
    // A host that was told to trust the main authority and given no files lets nobody in.
    assert!(!lets_in(&main, &place), "a place is no login");
    // Another login of the same device.
    let other = issue(&site, &server, &session, folder, &["nobody@switch-1"]);
    let refused = switch.ssh(&other, &[], "true").unwrap();
    assert!(
        !refused.accepted() && refused.log.contains("does not contain an authorized principal")
            || refused.log.contains("name is not a listed principal"),
        "{}",
        refused.log
    );
}

#[test]
fn what_a_device_is_asked_to_do_the_certificate_alone_restricts() {
    let login = login();
    let site = with_key(&login);
    let server = site.serve();
    let session = server.session(&site, "alice");
    let switch = device(&public(&site, "user-switches"));
    let (folder, account) = (switch.place().path(), format!("{login}@switch-1"));
    let exec = (Mode::Exec, Some("echo on-$((40 + 2))"));
    let exec = issue_for(&site, &server, &session, folder, &[&account], exec);
    let attempt = switch.ssh(&exec, &[], "echo off").unwrap();
    assert!(attempt.out.contains("on-42") && !attempt.out.contains("off"), "{}", attempt.out);
    let sftp = issue_for(&site, &server, &session, folder, &[&account], (Mode::Sftp, None));
    let attempt = switch.ssh(&sftp, &[], "echo off").unwrap();
    assert!(attempt.accepted() && !attempt.out.contains("off"), "{}", attempt.out);
    assert_eq!(switch.sftp(&sftp, "pwd\n").unwrap().code, Some(0));
    // A shell without the right to forward has none, on a device too.
    let shell = issue(&site, &server, &session, folder, &[&account]);
    let target = format!("127.0.0.1:{}", switch.reachable());
    let tunnel = switch.ssh(&shell, &["-W", &target], "").unwrap();
    assert!(tunnel.err.contains("administratively prohibited"), "{}", tunnel.err);

    let key = Key::new().unwrap();
    let refused = ask(&site, &server, &session, &key, &[&account], (Mode::Forward, None)).unwrap_err();
    assert_eq!(refused.code, Code::NotAvailable, "{}", refused.detail);
}

#[test]
fn devices_and_hosts_are_asked_for_separately_and_each_authority_counts_its_own_serials() {
    let login = login();
    let site = with_key(&login);
    let server = site.serve();
    let session = server.session(&site, "alice");
    let account = |place: &str| format!("{login}@{place}");
    let key = Key::new().unwrap();
    let issued = |accounts: &[&str]| ask(&site, &server, &session, &key, accounts, SHELL);
    let refused = issued(&[&account("web-1"), &account("switch-1")]).unwrap_err();
    assert_eq!(refused.code, Code::AskSeparately, "{}", refused.detail);
    for (place, serial) in
        [("web-1", 1), ("switch-1", 1), ("switch-2", 2), ("web-1", 2), ("group/switches", 3)]
    {
        assert_eq!(issued(&[&account(place)]).unwrap().serial, serial, "{place}");
    }
    let by: Vec<String> =
        site.certificates().iter().map(|c| format!("{} {}", c.authority, c.serial)).collect();
    assert_eq!(by, ["user 1", "user-switches 1", "user-switches 2", "user 2", "user-switches 3"]);
    server.stop();
    site.verify().ok().unwrap();
}

#[test]
fn without_its_key_nothing_is_issued_for_a_device_and_the_log_says_what_to_do() {
    let login = login();
    let site = with_key(&login);
    let server = site.serve();
    server.logs("jit-ssh-ca key add user-router-1");
    assert!(!server.said().contains("key add user-switches"), "{}", server.said());
    let session = server.session(&site, "alice");
    let account = format!("{login}@router-1");
    let before = site.state();
    let refused = ask(&site, &server, &session, &Key::new().unwrap(), &[&account], SHELL).unwrap_err();
    assert_eq!(refused.code, Code::NotAvailable, "{}", refused.detail);
    assert!(!refused.detail.contains("router-1"), "{}", refused.detail);
    assert_eq!(site.state()["certificates"], before["certificates"]);
    // Who only asks is told the same, and a list of accounts does not promise it.
    let explained = explain(&server, &session, &account);
    assert_eq!((explained.answer, explained.code), (Answer::Denied, Some(Code::NotAvailable)));
    assert_eq!(explained.detail, refused.detail);
    assert!(explained.advice.is_empty(), "{explained:?}");
    for (host, code) in [("router-1", Some(Code::NotAvailable)), ("switch-1", None), ("web-1", None)] {
        let modes = modes(&server, &session, &format!("{login}@{host}"));
        assert!(!modes.is_empty() && modes.iter().all(|mode| mode.refused == code), "{host} {modes:?}");
        let forwards = modes.iter().any(|mode| mode.mode == Mode::Forward);
        assert_eq!(forwards, host == "web-1", "{host}: nothing could hold a device to it");
    }
    // A set that is loaded while it runs knows what there is no key for, too.
    site.write("policies/20-more.cedar", "// More.\n");
    server.logs("policies and inventory loaded");
    let again = ask(&site, &server, &session, &Key::new().unwrap(), &[&account], SHELL).unwrap_err();
    assert_eq!(again.code, Code::NotAvailable, "{}", again.detail);
    server.stop();
    // With the key it works, and the ledger knows since when.
    key_add(&site, "user-router-1", &site.passphrase).ok().unwrap();
    let server = site.serve();
    let session = server.session(&site, "alice");
    assert_eq!(explain(&server, &session, &account).answer, Answer::Allowed);
    ask(&site, &server, &session, &Key::new().unwrap(), &[&account], SHELL).unwrap();
    server.stop();
    site.serve().stop();
    let added: Vec<String> = site
        .ledger()
        .into_iter()
        .filter_map(|event| {
            let What::KeyAdded(added) = event.what else { return None };
            Some(added.name.to_string())
        })
        .collect();
    assert_eq!(added, ["user-switches", "user-router-1"]);
}

#[test]
fn clients_are_told_every_authority_and_what_it_signs() {
    let site = with_key("deploy");
    let server = site.serve();
    let bundle: jit_ssh_proto::SignedBundle =
        server.send(&Call::plain("GET", "/.well-known/jit-ssh")).json().unwrap();
    let bundle = bundle.open(&bundle.trust_fingerprint().unwrap()).unwrap();
    let found: Vec<(&str, &str)> =
        bundle.authorities.iter().map(|entry| (entry.name.as_str(), entry.kind.as_str())).collect();
    assert_eq!(found, [("user", "user"), ("host", "host"), ("user-switches", "user")]);
    let listed = key_list(&site);
    let key = ssh_key::PublicKey::from_openssh(&public(&site, "user-switches")).unwrap();
    let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let row = listed.lines().find(|line| line.starts_with("user-switches ")).unwrap();
    assert!(row.contains(&fingerprint) && row.contains("plain logins"), "{listed}");
}

#[test]
fn keys_that_are_not_made() {
    let site = with_key("deploy");
    let sealed = fs::read_to_string(site.dir.join("keys/user-switches")).unwrap();
    let other = site.dir.join("other");
    fs::write(&other, "another passphrase").unwrap();
    for (name, passphrase, said) in [
        ("user-switches", &site.passphrase, "exists already"),
        ("user", &site.passphrase, "write user-NAME"),
        ("user-", &site.passphrase, "write user-NAME"),
        ("host", &site.passphrase, "write user-NAME"),
        ("trust", &site.passphrase, "write user-NAME"),
        ("switches", &site.passphrase, "write user-NAME"),
        ("user-x.pub", &site.passphrase, "write user-NAME"),
        ("user-routers", &other, "does not open with this passphrase"),
    ] {
        let refused = key_add(&site, name, passphrase).code(1).unwrap();
        assert!(refused.err.contains(said), "{name}: {}", refused.err);
    }
    for name in ["user-../x", "user-a/b", "User-x", ""] {
        key_add(&site, name, &site.passphrase).code(2).unwrap();
    }
    assert_eq!(fs::read_to_string(site.dir.join("keys/user-switches")).unwrap(), sealed);
    assert!(!site.dir.join("keys/user-routers").exists());
    assert!(sealed.contains("OPENSSH PRIVATE KEY") && !sealed.contains(PASSPHRASE));
}

/// Two names for one key: what is signed for the devices would be good where the main authority is trusted.
#[test]
fn invariant_8_no_two_authorities_share_a_key() {
    let site = with_key("deploy");
    for half in ["user", "user.pub"] {
        let copy = half.replace("user", "user-copy");
        fs::copy(site.dir.join("keys").join(half), site.dir.join("keys").join(copy)).unwrap();
    }
    let said = site.refuses_to_serve();
    assert!(said.contains("are one key") && said.contains("user-copy"), "{said}");
}
