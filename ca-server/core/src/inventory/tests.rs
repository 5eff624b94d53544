//! What the inventory offers, and what it refuses.

use alloc::format;
use alloc::string::ToString;

use super::address::check as check_address;
use super::*;

fn build(files: &[&str]) -> Result<Inventory, InventoryError> {
    let parsed = files.iter().enumerate().map(|(at, text)| {
        (format!("{at}.toml"), toml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}")))
    });
    Inventory::build(&parsed.collect::<Vec<_>>())
}

#[test]
fn logins_reach_members_through_nested_groups() {
    let inventory = build(&[
        r#"
        host = [
            { name = "web-1", groups = ["web", "eu"], logins = ["backup"], address = "10.0.0.1:2222" },
            { name = "bare" },
            { name = "gate", fronts = ["web-1", "bare"] },
        ]
        "#,
        r#"
        group = [
            { name = "web", groups = ["prod"], logins = ["www"] },
            { name = "eu", groups = ["prod"] },
            { name = "prod", groups = ["all"], logins = ["deploy"] },
            { name = "all", logins = ["audit", "www"] },
        ]
        "#,
    ])
    .unwrap();
    let host = |name: &str| inventory.host(&name.parse().unwrap()).unwrap();
    let logins: Vec<&str> = host("web-1").logins.iter().map(Name::as_str).collect();
    assert_eq!(logins, ["audit", "backup", "deploy", "www"]);
    assert!(host("bare").logins.is_empty());
    assert_eq!(host("gate").fronts.len(), 2);
    assert_eq!((inventory.hosts().count(), inventory.groups().count()), (3, 4));
    for (account, offered) in [
        ("deploy@web-1", true),
        ("backup@web-1", true),
        ("root@web-1", false),
        ("deploy@bare", false),
        ("deploy@nowhere", false),
        ("deploy@group/web", false),
    ] {
        assert_eq!(inventory.account(&account.parse().unwrap()).is_some(), offered, "{account}");
    }
}

#[test]
fn a_host_says_its_style_or_its_groups_do() {
    let inventory = build(&[r#"
        host = [
            { name = "a", groups = ["near"] },
            { name = "b", groups = ["near"], principals = "host" },
            { name = "c", groups = ["near", "devices"] },
            { name = "d", groups = ["plain"] },
        ]
        group = [
            { name = "near", groups = ["far"] },
            { name = "far", principals = "group" },
            { name = "devices", principals = "login" },
            { name = "plain" },
        ]
    "#])
    .unwrap();
    let styles: Vec<PrincipalStyle> = inventory.hosts().map(|h| h.principals).collect();
    assert_eq!(
        styles,
        [PrincipalStyle::Group, PrincipalStyle::Host, PrincipalStyle::Login, PrincipalStyle::Host]
    );
}

#[test]
fn what_is_refused_names_file_and_entry() {
    for (files, expected) in [
        (
            &[r#"host = [{ name = "a" }]"#, r#"host = [{ name = "a" }]"#][..],
            "1.toml: host a: it stands in 0.toml already",
        ),
        (&[r#"host = [{ name = "a" }, { name = "a" }]"#], "0.toml: host a: it stands in 0.toml already"),
        (
            &[r#"group = [{ name = "g" }]"#, r#"group = [{ name = "g" }]"#],
            "1.toml: group g: it stands in 0.toml already",
        ),
        (
            &["", r#"host = [{ name = "a", groups = ["g"] }]"#],
            "1.toml: host a: groups names g, which is no group",
        ),
        (
            &[r#"group = [{ name = "g", groups = ["h"] }]"#],
            "0.toml: group g: groups names h, which is no group",
        ),
        (
            &[r#"group = [{ name = "g" }]
              host = [{ name = "a", groups = ["g", "g"] }]"#],
            "0.toml: host a: groups has g twice",
        ),
        (&[r#"host = [{ name = "a", logins = ["x", "y", "x"] }]"#], "0.toml: host a: logins has x twice"),
        (&[r#"group = [{ name = "g", logins = ["x", "x"] }]"#], "0.toml: group g: logins has x twice"),
        (&[r#"host = [{ name = "a", labels = { "" = "x" } }]"#], "0.toml: host a: labels has the empty name"),
        (&[r#"host = [{ name = "a", fronts = ["b"] }]"#], "0.toml: host a: fronts names b, which is no host"),
        (&[r#"host = [{ name = "a", fronts = ["a"] }]"#], "0.toml: host a: fronts names the host itself"),
        (&[r#"group = [{ name = "g", groups = ["g"] }]"#], "0.toml: groups are in themselves: g -> g:"),
        (
            &[
                r#"group = [{ name = "a", groups = ["b"] }, { name = "b", groups = ["c"] }]"#,
                r#"group = [{ name = "c", groups = ["d", "b"] }, { name = "d" }]"#,
            ],
            "0.toml: groups are in themselves: b -> c -> b:",
        ),
    ] {
        let error = build(files).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
}

#[test]
fn a_diamond_is_no_cycle_and_a_long_chain_no_recursion() {
    let diamond = r#"group = [{ name = "a", groups = ["b", "c"] }, { name = "b", groups = ["d"] },
                              { name = "c", groups = ["d"] }, { name = "d" }]"#;
    assert!(build(&[diamond]).is_ok());
    let entry = |at: usize, groups: Vec<Name>| GroupEntry {
        name: format!("g{at}").parse().unwrap(),
        logins: Vec::new(),
        groups,
        principals: None,
    };
    let group: Vec<GroupEntry> = (0..20_000_usize)
        .map(|at| {
            entry(at, if at == 0 { Vec::new() } else { Vec::from([format!("g{}", at - 1).parse().unwrap()]) })
        })
        .collect();
    assert!(Inventory::build(&[("f".into(), InventoryFile { host: Vec::new(), group })]).is_ok());
}

#[test]
fn addresses() {
    for good in [
        "10.0.0.1",
        "10.0.0.1:22",
        "web-1.example.com",
        "Web_1.example.com:65535",
        "::1",
        "fe80::1",
        "[::1]",
        "[2001:db8::1]:2222",
        "localhost",
    ] {
        assert_eq!(check_address(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        " ",
        ":22",
        "host:",
        "host:0",
        "host:022",
        "host:65536",
        "host:+22",
        "host:22:22",
        "host name",
        "user@host",
        "host/path",
        "[::1",
        "::1]",
        "[::1]22",
        "[::1]:",
        "[10.0.0.1]:22",
        "[host]:22",
        "a..b",
        "-a",
        "a-",
        ".a",
        "a.",
        "h\n",
        "hôte",
        "$(id)",
        "%h",
        "-oProxyCommand=x",
    ] {
        assert!(check_address(bad).is_err(), "{bad:?}");
    }
    let error = build(&[r#"host = [{ name = "a", address = "a b" }]"#]).unwrap_err().to_string();
    assert!(error.starts_with("0.toml: host a: address \"a b\" is not ADDRESS[:PORT]"), "{error}");
}

#[test]
fn what_the_file_itself_cannot_say() {
    for bad in [
        r#"host = [{ name = "A" }]"#,
        r#"host = [{ name = "a", fronts = ["b c"] }]"#,
        r#"host = [{ name = "a", login = ["x"] }]"#,
        r#"host = [{ name = "a", principals = "logins" }]"#,
        r#"host = [{ name = "a", logins = ["*"] }]"#,
        r#"host = [{ }]"#,
        r#"hosts = []"#,
    ] {
        assert!(toml::from_str::<InventoryFile>(bad).is_err(), "{bad}");
    }
}
