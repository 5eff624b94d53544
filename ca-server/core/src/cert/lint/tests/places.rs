//! What the lints say of places: groups of hosts, several hosts, and devices that match plain logins.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use jit_ssh_proto::{Mode, Modifier, Modifiers, Name};

use super::super::super::tests::fixture::{Parts, account, name, public};
use super::{bent, flag};
use crate::authority::{Authority, CertKind};
use crate::places::{Places, Reach};

/// `deploy@group/web`, which came to these hosts, and `deploy@db-1`.
fn group(hosts: &[&str], by_group: bool, most: usize) -> Parts {
    let hosts = hosts.iter().copied().map(name).collect();
    let reaches = vec![
        Reach { account: account("deploy@group/web"), hosts, by_group },
        Reach::host(name("deploy"), name("db-1")),
    ];
    Parts { places: Places::new(reaches, None, most).unwrap(), ..Parts::shell() }
}

/// The logins of a group of devices.
pub(super) fn device(mode: Mode, modifiers: Modifiers) -> Parts {
    let parts = Parts::new(mode, modifiers);
    let authority = Authority::new(name("user-switches"), CertKind::User, public(&parts.signer));
    let reaches = vec![
        Reach::host(name("admin"), name("switch-1")),
        Reach::host(name("audit"), name("switch-2")),
        Reach::host(name("admin"), name("switch-3")),
    ];
    let switches: Name = name("switches");
    Parts { places: Places::new(reaches, Some(&switches), 1).unwrap(), authority, ..parts }
}

fn principals(parts: &Parts, list: &[&str]) -> Vec<String> {
    bent(parts, |r| r.principals = list.iter().map(|p| String::from(*p)).collect())
}

/// (what is wrong, the lint that must find it, all that were found)
pub(super) fn bent_places() -> Vec<(&'static str, &'static str, Vec<String>)> {
    let (few, many) = (group(&["web-1", "web-2"], true, 3), group(&["web-1", "web-2", "web-3"], true, 2));
    let silent = group(&["web-1", "web-2"], false, 3);
    let empty = Parts {
        places: Places::new(
            vec![Reach { account: account("deploy@group/web"), hosts: Vec::new(), by_group: true }],
            None,
            1,
        )
        .unwrap(),
        ..Parts::shell()
    };
    let switches = device(Mode::Shell, Modifiers::NONE);
    let (by_group, db) = ("shell:deploy@group/web", "shell:deploy@db-1");
    let (web_1, web_2) = ("shell:deploy@web-1", "shell:deploy@web-2");
    vec![
        ("a group that nobody is in", "grant-accounts", principals(&empty, &[by_group])),
        ("a group whose members do not answer to it", "grant-accounts", principals(&silent, &[by_group, db])),
        ("another group", "grant-accounts", principals(&many, &[by_group, db, "shell:deploy@group/prod"])),
        (
            "another login of the group",
            "grant-accounts",
            principals(&many, &[by_group, db, "shell:root@group/web"]),
        ),
        (
            "a host outside the group",
            "grant-accounts",
            principals(&few, &[web_1, web_2, db, "shell:deploy@web-9"]),
        ),
        ("a group in place of another host", "grant-accounts", principals(&many, &[by_group, by_group])),
        ("a member is missing", "grant-accounts", principals(&few, &[web_1, db])),
        ("a host is missing", "grant-accounts", principals(&many, &[by_group])),
        ("the group is missing", "grant-accounts", principals(&many, &[db])),
        ("a plain login for a host", "plain-logins", principals(&few, &[web_1, web_2, db, "deploy"])),
        ("nothing but a plain login", "plain-logins", principals(&few, &["deploy"])),
        ("a place for a device", "plain-logins", principals(&switches, &["admin", "shell:audit@switch-2"])),
        ("nothing that is a name for a device", "plain-logins", principals(&switches, &["admin", "Audit"])),
        ("no login for a device", "principals", principals(&switches, &[])),
        ("a login twice for a device", "principals", principals(&switches, &["admin", "audit", "audit"])),
        ("another login for a device", "grant-accounts", principals(&switches, &["admin", "audit", "root"])),
        ("one login too few for a device", "grant-accounts", principals(&switches, &["admin"])),
        (
            "forwarding for a device",
            "plain-logins",
            bent(&switches, |r| r.extensions.insert(1, flag("permit-port-forwarding"))),
        ),
        (
            "a command for a shell on a device",
            "critical-options",
            bent(&switches, |r| r.critical_options = vec![("force-command".into(), "id".into())]),
        ),
        (
            "a command on a device without its restriction",
            "critical-options",
            bent(&device(Mode::Exec, Modifiers::NONE), |r| r.critical_options.clear()),
        ),
        (
            "a device's logins under the main authority",
            "grant-accounts",
            bent(&Parts { authority: Parts::shell().authority, ..switches.clone() }, |_| {}),
        ),
        (
            "a device's logins under another device's authority",
            "grant-accounts",
            bent(
                &Parts {
                    authority: Authority::new(name("user-routers"), CertKind::User, public(&switches.signer)),
                    ..switches.clone()
                },
                |_| {},
            ),
        ),
        (
            "places under a device's authority",
            "plain-logins",
            bent(&Parts { authority: switches.authority.clone(), ..few.clone() }, |_| {}),
        ),
        (
            "an authority that is neither",
            "grant-accounts",
            bent(
                &Parts {
                    authority: Authority::new(name("users"), CertKind::User, public(&switches.signer)),
                    places: Places::as_written(vec![account("deploy@web-1")], name("users")),
                    ..Parts::shell()
                },
                |_| {},
            ),
        ),
    ]
}

#[test]
fn what_is_right_about_places_has_no_findings() {
    let agent = Modifiers::NONE.with(Modifier::Agent);
    for parts in [
        group(&["web-1", "web-2"], true, 3),
        group(&["web-1", "web-2"], false, 3),
        group(&["web-1", "web-2", "web-3"], true, 2),
        device(Mode::Shell, Modifiers::NONE),
        device(Mode::Exec, agent),
        device(Mode::Sftp, Modifiers::NONE),
    ] {
        let found = bent(&parts, |_| {});
        assert!(found.is_empty(), "{:?}: {found:?}", parts.places);
    }
    // Both names of a member are no more than what was decided.
    let both = ["shell:deploy@group/web", "shell:deploy@web-1", "shell:deploy@db-1"];
    assert!(principals(&group(&["web-1", "web-2", "web-3"], true, 2), &both).is_empty());
}

/// The profile makes it and the lint stops it: whoever decides must not come this far.
#[test]
fn nothing_that_forwards_is_signed_for_a_device() {
    let forward = Modifiers::NONE.with(Modifier::Forward);
    for (mode, modifiers) in [
        (Mode::Forward, Modifiers::NONE),
        (Mode::Jump, Modifiers::NONE),
        (Mode::Shell, forward),
        (Mode::Exec, forward),
    ] {
        assert_eq!(device(mode, modifiers).refused_by(), "plain-logins", "{mode}");
    }
}
