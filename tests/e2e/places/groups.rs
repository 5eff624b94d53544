//! Groups of hosts, by the names of their hosts and by their own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use jit_ssh_host::files::{Wanted, install};
use jit_ssh_proto::event::{Members, Outcome, RequestDecided, What};
use jit_ssh_proto::wire::Issued;
use jit_ssh_proto::{Code, Mode};
use jit_ssh_tests::api::Key;
use jit_ssh_tests::certificates::Identity;
use jit_ssh_tests::sshd::{Sshd, SshdFolder};
use serde_json::json;

use super::{ask, issue, site};
use crate::stand::Site;

const SHELL: (Mode, Option<&str>) = (Mode::Shell, None);

const INVENTORY: &str = r#"
[[group]]
name = "web"
logins = ["LOGIN"]
groups = ["prod"]
principals = "group"
[[group]]
name = "prod"
[[group]]
name = "db"
logins = ["LOGIN"]
groups = ["prod"]
[[group]]
name = "closed"
logins = ["LOGIN"]
[[host]]
name = "web-1"
groups = ["web"]
address = "10.0.0.1"
[[host]]
name = "web-2"
groups = ["web"]
address = "10.0.0.2:2222"
[[host]]
name = "db-1"
groups = ["db"]
[[host]]
name = "db-2"
groups = ["db"]
[[host]]
name = "vault-1"
groups = ["closed"]
"#;

/// A host of this name in these groups that trusts a CA's main authority.
fn host(site: &Site, name: &str, groups: &[&str]) -> Sshd {
    let place = SshdFolder::new().unwrap();
    let etc = place.path().join("etc");
    fs::create_dir(&etc).unwrap();
    fs::set_permissions(&etc, Permissions::from_mode(0o755)).unwrap();
    let authority = ssh_key::PublicKey::read_openssh_file(&site.dir.join("keys/user.pub")).unwrap();
    let wanted = Wanted {
        folder: etc.clone(),
        name: name.parse().unwrap(),
        groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        logins: vec![place.login().parse().unwrap()],
        fronts: Vec::new(),
        authorities: vec![jit_ssh_proto::UserKey::new(&authority).unwrap()],
        prune: false,
    };
    install(&wanted).unwrap();
    place.start(&format!("Include {}/sshd_config.d/*.conf", etc.display())).unwrap()
}

fn login() -> String {
    SshdFolder::new().unwrap().login().to_owned()
}

fn lets_in(sshd: &Sshd, identity: &Identity) -> bool {
    let attempt = sshd.ssh(identity, &[], "echo in-$((40 + 2))").unwrap();
    let accepted = attempt.accepted();
    assert_eq!(accepted, attempt.out.contains("in-42"), "{} {}", attempt.out, attempt.log);
    assert_eq!(
        !accepted,
        attempt.log.contains("does not contain an authorized principal"),
        "{}",
        attempt.log
    );
    accepted
}

/// The decision about a request, as the ledger has it.
fn decision(site: &Site, request: &str) -> RequestDecided {
    let decided = site.ledger().into_iter().find_map(|event| {
        let What::RequestDecided(decided) = event.what else { return None };
        (decided.request.to_string() == request).then_some(decided)
    });
    decided.unwrap()
}

#[test]
fn a_certificate_by_host_names_lets_in_to_these_hosts_and_to_no_other() {
    let login = login();
    let site = site(&login, INVENTORY, "");
    let server = site.serve();
    let session = server.session(&site, "alice");
    let (web, db) = (host(&site, "web-1", &["web", "prod"]), host(&site, "db-1", &["db", "prod"]));
    let folder = web.place().path();
    let account = |place: &str| format!("{login}@{place}");
    for (accounts, in_web, in_db) in [
        (&["web-1"][..], true, false),
        (&["group/web"], true, false),
        (&["group/db"], false, true),
        (&["web-2", "db-2"], false, false),
        (&["web-1", "db-1"], true, true),
        (&["group/prod"], true, true),
    ] {
        let accounts: Vec<String> = accounts.iter().map(|place| account(place)).collect();
        let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
        let identity = issue(&site, &server, &session, folder, &accounts);
        assert_eq!(lets_in(&web, &identity), in_web, "{accounts:?} on web-1");
        assert_eq!(lets_in(&db, &identity), in_db, "{accounts:?} on db-1");
    }
}

#[test]
fn a_certificate_by_a_groups_name_lets_in_to_its_members_and_to_no_host_outside() {
    let login = login();
    let site = site(&login, INVENTORY, "host_principals = 1");
    let server = site.serve();
    let session = server.session(&site, "alice");
    let (web, db) = (host(&site, "web-1", &["web", "prod"]), host(&site, "db-1", &["db", "prod"]));
    let by_group = issue(&site, &server, &session, web.place().path(), &[&format!("{login}@group/web")]);
    let text = fs::read_to_string(&by_group.certificate).unwrap();
    let certificate = ssh_key::Certificate::from_openssh(&text).unwrap();
    assert_eq!(certificate.valid_principals(), [format!("shell:{login}@group/web")]);
    assert!(lets_in(&web, &by_group) && !lets_in(&db, &by_group));
    // A member whose files lack the group's lines is a host like any other.
    assert!(!lets_in(&host(&site, "web-2", &[]), &by_group));
}

#[test]
fn what_was_decided_about_a_group_stands_in_the_ledger_and_in_the_reply() {
    let login = login();
    let account = |place: &str| format!("{login}@{place}");
    for (limits, principals) in [
        ("", vec![account("db-1"), account("web-1"), account("web-2")]),
        ("host_principals = 2", vec![account("group/web"), account("db-1")]),
    ] {
        let site = site(&login, INVENTORY, limits);
        let server = site.serve();
        let session = server.session(&site, "alice");
        let (key, accounts) = (Key::new().unwrap(), [account("db-1"), account("group/web")]);
        let issued: Issued =
            ask(&site, &server, &session, &key, &[&accounts[0], &accounts[1]], SHELL).unwrap();
        assert_eq!(json!(issued.members), json!({ accounts[1].as_str(): ["web-1", "web-2"] }));
        assert_eq!(json!(issued.addresses), json!({ "web-1": "10.0.0.1", "web-2": "10.0.0.2:2222" }));
        let recorded = site.certificates().pop().unwrap();
        let principals: Vec<String> = principals.iter().map(|account| format!("shell:{account}")).collect();
        assert_eq!(recorded.principals, principals);
        let decided = decision(&site, &issued.request);
        let asked: Vec<String> = decided.asked.accounts.iter().map(ToString::to_string).collect();
        assert_eq!(asked, accounts);
        let hosts = vec!["web-1".parse().unwrap(), "web-2".parse().unwrap()];
        assert_eq!(decided.members, [Members { account: accounts[1].parse().unwrap(), hosts }]);
        assert!(matches!(decided.outcome, Outcome::Granted { .. }));
        // Whoever looks for a member finds the decision about its group.
        let shown = site.log_show(&["--where", "host=web-2"]);
        assert!(shown.contains(&issued.request), "{shown}");
        assert!(server.stop().contains("certificate issued"));
        site.verify().ok().unwrap();
    }
}

#[test]
fn refusals_say_what_to_ask_for_and_tell_nothing_to_those_who_have_no_part() {
    let login = login();
    let site = site(&login, INVENTORY, "host_principals = 1\ngroup_members = 3");
    let server = site.serve();
    let session = server.session(&site, "alice");
    let before = site.state();
    let mut unknown = Vec::new();
    for (places, code, said) in [
        (&["group/unknown"][..], Code::NoAccess, ""),
        (&["group/web-1"], Code::NoAccess, ""),
        (&["web"], Code::NoAccess, ""),
        (&["group/web", "group/unknown"], Code::NoAccess, ""),
        (&["group/db"], Code::TooManyHosts, "group/db"),
        (&["web-1", "web-2"], Code::TooManyHosts, "ask for 1 at a time"),
        (&["group/prod"], Code::TooManyHosts, "more than 3 hosts"),
        (&["group/closed"], Code::Forbidden, "not-yours"),
    ] {
        let accounts: Vec<String> = places.iter().map(|place| format!("{login}@{place}")).collect();
        let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
        let refused = ask(&site, &server, &session, &Key::new().unwrap(), &accounts, SHELL).unwrap_err();
        assert_eq!(refused.code, code, "{places:?}: {}", refused.detail);
        assert!(refused.detail.contains(said), "{places:?}: {}", refused.detail);
        if code == Code::NoAccess {
            unknown.push(refused.detail);
        }
    }
    unknown.dedup();
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert_eq!(site.state()["certificates"], before["certificates"]);
}
