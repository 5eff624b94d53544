//! What the inventory offers, and what it refuses.

use alloc::format;
use alloc::string::ToString;

use super::address::check as check_address;
use super::*;

pub(super) fn read(files: &[&str]) -> Result<Inventory, Vec<InventoryError>> {
    let source =
        |(at, text): (usize, &&str)| InventorySource { file: format!("{at}.toml"), text: text.to_string() };
    Inventory::read(&files.iter().enumerate().map(source).collect::<Vec<_>>())
}

/// What is wrong, one line each.
fn refused(files: &[&str]) -> Vec<String> {
    read(files).map(|_| ()).unwrap_err().iter().map(ToString::to_string).collect()
}

fn host<'a>(inventory: &'a Inventory, name: &str) -> Host<'a> {
    inventory.host(&name.parse().unwrap()).unwrap()
}

fn names<'a>(of: impl IntoIterator<Item = &'a Name>) -> String {
    of.into_iter().map(Name::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn logins_reach_members_through_nested_groups() {
    let inventory = read(&[
        r#"
        host = [
            { name = "web-1", groups = ["web", "eu"], logins = ["backup"], address = "10.0.0.1:2222" },
            { name = "bare" },
            { name = "gate", fronts = ["web-1", "bare"], labels = { z = "1", a = "2" }, address = "gate.example.com" },
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
    let web = host(&inventory, "web-1");
    assert_eq!(names(web.logins()), "audit backup deploy www");
    assert_eq!((names(web.groups()), names(web.all_groups())), ("eu web".into(), "all eu prod web".into()));
    assert_eq!((web.address(), host(&inventory, "bare").address()), (Some("10.0.0.1:2222"), None));
    assert!(host(&inventory, "bare").logins().is_empty());
    let gate = host(&inventory, "gate");
    assert_eq!((gate.address(), names(gate.fronts())), (Some("gate.example.com"), "bare web-1".into()));
    assert_eq!(gate.labels().collect::<Vec<_>>(), [("a", "2"), ("z", "1")]);
    assert_eq!((inventory.len(), inventory.hosts().count(), inventory.groups().count()), (3, 3, 4));
    assert_eq!(names(inventory.hosts().map(Host::name)), "bare gate web-1");
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
fn members_are_those_of_nested_groups_too_each_once_and_by_name() {
    let inventory = read(&[r#"
        host = [
            { name = "d", groups = ["web", "eu"] },
            { name = "b", groups = ["web"] },
            { name = "c", groups = ["eu"], logins = ["x"] },
            { name = "a", groups = ["prod"] },
            { name = "e", groups = ["web"] },
            { name = "f" },
        ]
        group = [{ name = "web", groups = ["prod"] }, { name = "eu", groups = ["prod"] }, { name = "prod" }, { name = "empty" }]
    "#])
    .unwrap();
    for (group, expected) in
        [("prod", "a b c d e"), ("web", "b d e"), ("eu", "c d"), ("empty", ""), ("none", "")]
    {
        let members = inventory.members(&group.parse().unwrap());
        assert_eq!(members.len(), expected.split_whitespace().count(), "{group}");
        assert_eq!(names(members.map(Host::name)), expected, "{group}");
    }
}

#[test]
fn a_host_says_its_style_or_its_groups_do() {
    let inventory = read(&[r#"
        host = [
            { name = "a", groups = ["near"] },
            { name = "b", groups = ["near"], principals = "host" },
            { name = "c", groups = ["near", "devices"] },
            { name = "d", groups = ["plain"] },
            { name = "e", groups = ["near", "plain"], principals = "group" },
            { name = "f", groups = ["near"], principals = "login" },
            { name = "g", groups = ["switches"] },
            { name = "h", groups = ["devices", "others"], principals = "login" },
        ]
        group = [
            { name = "near", groups = ["far"] },
            { name = "far", principals = "group" },
            { name = "devices", principals = "login" },
            { name = "switches", groups = ["devices"] },
            { name = "others", principals = "login" },
            { name = "plain" },
        ]
    "#])
    .unwrap();
    for (name, style, groups, authority) in [
        ("a", PrincipalStyle::Group, "far", None),
        ("b", PrincipalStyle::Host, "", None),
        ("c", PrincipalStyle::Login, "", Some("devices")),
        ("d", PrincipalStyle::Host, "", None),
        ("e", PrincipalStyle::Group, "far near plain", None),
        ("f", PrincipalStyle::Login, "", Some("f")),
        ("g", PrincipalStyle::Login, "", Some("devices")),
        ("h", PrincipalStyle::Login, "", Some("h")),
    ] {
        let host = host(&inventory, name);
        assert_eq!((host.principals(), names(host.group_principals()).as_str()), (style, groups), "{name}");
        assert_eq!(host.authority().map(Name::as_str), authority, "{name}");
    }
    assert_eq!(inventory.principals_of_group(&"far".parse().unwrap()), Some(PrincipalStyle::Group));
    assert_eq!(inventory.principals_of_group(&"near".parse().unwrap()), None);
}

/// Whole files, and what is said of them: `FILE:LINE:COLUMN: …` and how it begins.
#[test]
fn what_is_refused_names_its_place_and_what_to_do() {
    let cases: &[(&[&str], &str)] = &[
        // Names that stand twice.
        (
            &["[[host]]\nname = \"a\"\n", "\n\n[[host]]\nname = \"a\"\n"],
            "1.toml:4:8: host a: it stands in 0.toml:1 already: keep one",
        ),
        (
            &[r#"host = [{ name = "a" }, { name = "a" }]"#],
            "0.toml:1:34: host a: it stands in 0.toml:1 already",
        ),
        (
            &["[[group]]\nname = \"g\"", "[[group]]\nname = \"h\"\n[[group]]\nname = \"g\""],
            "1.toml:4:8: group g: it stands in 0.toml:1 already",
        ),
        (
            &["[[host]]\nname = \"a\"\nlogins = [\"x\", \"y\", \"x\"]"],
            "0.toml:3:11: host a: logins has x twice",
        ),
        (&["[[group]]\nname = \"g\"\nlogins = ['x', 'x']"], "0.toml:3:11: group g: logins has x twice"),
        (
            &["[[group]]\nname = \"g\"\n[[host]]\nname = \"a\"\ngroups = [\"g\", \"g\"]"],
            "0.toml:5:11: host a: groups has g twice",
        ),
        // Names that are nowhere.
        (
            &["[[group]]\nname = \"web\"", "[[host]]\nname = \"a\"\ngroups = [\n  \"wbe\"\n]"],
            "1.toml:4:3: host a: groups names wbe, which is no group here: did you mean web?",
        ),
        (
            &["[[host]]\nname = \"a\"\ngroups = [\"g\"]"],
            "0.toml:3:11: host a: groups names g, which is no group here: add a [[group]] or correct the name",
        ),
        (
            &["[[group]]\nname = \"g\"\ngroups = [\"h2\"]\n[[group]]\nname = \"h22\""],
            "0.toml:3:11: group g: groups names h2, which is no group here: did you mean h22?",
        ),
        (
            &["[[host]]\nname = \"a\"\nfronts = [\"web-1\"]\n[[host]]\nname = \"web-2\""],
            "0.toml:3:11: host a: fronts names web-1, which is no host here: did you mean web-2?",
        ),
        (&["[[host]]\nname = \"a\"\nfronts = [\"a\"]"], "0.toml:2:8: host a: fronts names the host itself"),
        (
            &[r#"host = [{ name = "a", labels = { "" = "x" } }]"#],
            "0.toml:1:34: host a: labels has the empty name",
        ),
        // Circles.
        (
            &["[[group]]\nname = \"g\"\ngroups = [\"g\"]"],
            "0.toml:2:8: groups are in themselves: g -> g: remove",
        ),
        (
            &[
                "[[group]]\nname = \"a\"\ngroups = [\"b\"]\n[[group]]\nname = \"b\"\ngroups = [\"c\"]",
                "[[group]]\nname = \"c\"\ngroups = [\"d\", \"b\"]\n[[group]]\nname = \"d\"",
            ],
            "0.toml:6:11: groups are in themselves: b -> c -> b:",
        ),
        // Contradictions about principals.
        (
            &["[[host]]\nname = \"a\"\nprincipals = \"group\""],
            "0.toml:3:14: host a: principals says \"group\", but it is in none: name its groups or remove",
        ),
        (
            &[r#"
group = [{ name = "acme", principals = "login" }, { name = "cisco", principals = "login" }]
[[host]]
name = "sw-1"
groups = ["acme", "cisco"]
"#],
            "0.toml:4:8: host sw-1: the groups acme and cisco both say principals = \"login\"",
        ),
        (
            &[r#"
group = [{ name = "acme", principals = "login", groups = ["cisco"] }, { name = "cisco", principals = "login" }]
host = [{ name = "sw-1", groups = ["acme"] }]
"#],
            "0.toml:3:18: host sw-1: the groups acme and cisco both say principals = \"login\"",
        ),
        (
            &[r#"
group = [{ name = "sw", principals = "login" }]
host = [{ name = "a", groups = ["sw"] }, { name = "sw", principals = "login" }]
"#],
            "0.toml:3:51: host sw: it and the group sw both say principals = \"login\" and would share the authority \
             user-sw: rename",
        ),
        // What the file itself does not say well.
        (
            &["[[host]]\nname = \"a\"\nlogin = [\"x\"]"],
            "0.toml:3:1: the key \"login\" is not known: did you mean \"logins\"?",
        ),
        (&["[[host]]\nname = \"A\"\n"], "0.toml:2:8: name has 'A' at position 0"),
        (&["[[host]]\nname = \"a\n"], "0.toml:2:10: "),
        (
            &["[[host]]\nname = \"a\"\naddress = \"a b\""],
            "0.toml:3:11: host a: address \"a b\" is not ADDRESS[:PORT]",
        ),
    ];
    for (files, expected) in cases {
        let errors = refused(files);
        assert!(errors[0].starts_with(expected), "{errors:#?}\n{expected}");
        assert_eq!(errors.len(), 1, "{errors:#?}");
    }
}

#[test]
fn every_error_is_told_up_to_twenty() {
    let host = |at: usize| format!("[[host]]\nname = \"h{at}\"\ngroups = [\"g{at}\"]\n");
    let errors = refused(&[&(0..3).map(host).collect::<String>()]);
    assert_eq!(errors.len(), 3, "{errors:?}");
    let errors = refused(&[&(0..300).map(host).collect::<String>()]);
    assert_eq!(errors.len(), 20);
    assert!(errors[19].ends_with("(and 280 more errors)"), "{}", errors[19]);
}

#[test]
fn a_diamond_is_no_circle_and_a_long_chain_no_recursion() {
    let diamond = r#"group = [{ name = "a", groups = ["b", "c"] }, { name = "b", groups = ["d"] },
                              { name = "c", groups = ["d"] }, { name = "d" }]"#;
    assert!(read(&[diamond]).is_ok());
    let chain = |length: usize, last: &str| {
        let group = |at: usize| {
            let parent = if at + 1 == length { last.to_string() } else { format!("g{}", at + 1) };
            format!(
                "[[group]]\nname = \"g{at}\"\ngroups = [{}]\n",
                if parent.is_empty() { parent } else { format!("{parent:?}") }
            )
        };
        (0..length).map(group).collect::<String>()
    };
    assert!(read(&[&chain(1000, "")]).is_ok());
    let host = "[[host]]\nname = \"h\"\ngroups = [\"g0\"]\n";
    assert!(read(&[&chain(1000, ""), host]).is_ok());
    let errors = refused(&[&chain(1001, ""), host]);
    assert_eq!(
        errors,
        ["1.toml:2:8: host h: it is in more than 1000 groups, those of its groups included: nest them less"]
    );
    assert!(refused(&[&chain(5000, "")])[0].contains("it is in more than 1000 groups"));
    let around = &refused(&[&chain(20_000, "g0")])[0];
    assert!(around.contains("groups are in themselves: g0 -> g1 -> g2") && around.len() < 200, "{around}");
}

#[test]
fn guests() {
    let good = r#"
        guest = [
            { issuer = "corp", name = "eve", sponsor = "corp/alice", until = "2026-12-31", groups = ["audit"] },
            { issuer = "partner", name = "eve", sponsor = "corp/alice", until = "2026-12-31" },
            { issuer = "corp", email = "Bob@Example.com", sponsor = "corp/alice", until = "2024-02-29" },
        ]
    "#;
    let inventory = read(&[good]).unwrap();
    let told: Vec<String> = inventory
        .guests()
        .map(|g| {
            format!("{}/{} {} {} [{}]", g.issuer(), g.person(), g.sponsor(), g.until(), names(g.groups()))
        })
        .collect();
    assert_eq!(
        told,
        [
            "corp/eve corp/alice 2026-12-31 [audit]",
            "corp/bob@example.com corp/alice 2024-02-29 []",
            "partner/eve corp/alice 2026-12-31 []",
        ]
    );
    let guest = inventory.guests().next().unwrap();
    for (today, ended) in
        [("2026-12-30", false), ("2026-12-31", false), ("2027-01-01", true), ("2026-11-99", false)]
    {
        assert_eq!(guest.ended(today), ended, "{today}");
    }
    for (entry, expected) in [
        (r#"name = "eve", sponsor = "corp/alice""#, "1:10: missing field `until`"),
        (r#"name = "eve", until = "2026-12-31""#, "1:10: missing field `sponsor`"),
        (r#"sponsor = "corp/alice", until = "2026-12-31""#, "1:10: guest: has neither name nor email"),
        (
            r#"name = "eve", email = "eve@x.example", sponsor = "corp/alice", until = "2026-12-31""#,
            "1:36: guest eve: has both name and email",
        ),
        (
            r#"email = "eve", sponsor = "corp/alice", until = "2026-12-31""#,
            "1:37: guest: email \"eve\" is no e-mail",
        ),
        (
            r#"email = "a@b@c", sponsor = "corp/alice", until = "2026-12-31""#,
            "1:37: guest: email \"a@b@c\" is no",
        ),
        (
            r#"name = "eve", sponsor = "alice", until = "2026-12-31""#,
            "1:53: guest eve: sponsor \"alice\" is not ISSUER/NAME",
        ),
        (
            r#"name = "eve", sponsor = "corp/Al", until = "2026-12-31""#,
            "1:53: guest eve: sponsor \"corp/Al\" is not",
        ),
        (
            r#"name = "eve", sponsor = "corp/eve", until = "2026-12-31""#,
            "1:53: guest eve: nobody is their own sponsor",
        ),
        (
            r#"name = "eve", sponsor = "corp/alice", until = "2026-02-30""#,
            "1:75: guest eve: until \"2026-02-30\" is no day",
        ),
        (
            r#"name = "eve", sponsor = "corp/alice", until = "soon""#,
            "1:75: guest eve: until \"soon\" is no day",
        ),
        (
            r#"name = "eve", sponsor = "corp/alice", until = "2026-12-31", groups = ["a", "a"]"#,
            "1:99: guest eve: groups has a twice",
        ),
        (
            r#"name = "eve", sponser = "corp/alice", until = "2026-12-31""#,
            "1:43: the key \"sponser\" is not known: did you mean \"sponsor\"?",
        ),
    ] {
        let errors = refused(&[&format!(r#"guest = [{{ issuer = "corp", {entry} }}]"#)]);
        assert!(
            errors.len() == 1 && errors[0].starts_with(&format!("0.toml:{expected}")),
            "{errors:?}\n{expected}"
        );
    }
    let twice = "[[guest]]\nissuer = \"corp\"\nemail = \"E@x.example\"\nsponsor = \"corp/alice\"\nuntil = \"2026-12-31\"\n";
    assert_eq!(
        refused(&[twice, &twice.replace('E', "e")]),
        ["1.toml:3:9: guest e@x.example: stands in 0.toml:1 already: keep one of the two"]
    );
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
        r#"host = [{ name = 1 }]"#,
        r#"host = [{ name = "a", groups = "web" }]"#,
        r#"guest = [{ issuer = "corp", name = "eve", sponsor = "corp/a", until = 2026-12-31 }]"#,
    ] {
        let errors = refused(&[bad]);
        assert!(errors.len() == 1 && errors[0].starts_with("0.toml:1:"), "{errors:?}");
    }
}

/// However a file is written, it says the same: by lines, by entries, or as a whole.
#[test]
fn plain_files_and_odd_ones_say_the_same() {
    let plain = "[[group]]\nname = \"web\"\nlogins = [\"www\"]\n[[host]]\nname = \"a\"\ngroups = [\"web\"]\nlabels = { env = \"prod\" }\n\
                 address = \"10.0.0.1\"\n[[host]]\nname = \"b\"\nlogins = [\"x\"]\nprincipals = \"login\"\n\
                 [[guest]]\nissuer = \"corp\"\nname = \"eve\"\nsponsor = \"corp/al\"\nuntil = \"2026-12-31\"\n";
    let lists = r#"
        group = [{ name = "web", logins = ["www"] }]
        host = [{ name = "b", logins = ["x"], principals = "login" }, { name = "a", groups = ["web"], labels.env = "prod", address = "10.0.0.1" }]
        guest = [{ issuer = "corp", name = "eve", sponsor = "corp/al", until = "2026-12-31" }]
    "#;
    let tables = plain.replace(
        "labels = { env = \"prod\" }\naddress = \"10.0.0.1\"",
        "address = '10.0.0.1'\n[host.labels]\nenv = \"prod\"",
    );
    let lines = plain.replace("[\"www\"]", "[ # who\n  \"www\",\n]").replace("\"x\"", "\"\"\"x\"\"\"");
    let comments = plain.replace("\"]\n", "\"] # \"[[host]]\"\n");
    let read = |text: &str| read(&[text]).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let (first, others) = (read(plain), [lists, &tables, &lines, &comments]);
    assert_eq!(host(&first, "a").labels().collect::<Vec<_>>(), [("env", "prod")]);
    for other in others {
        assert_ne!(other, plain);
        assert_eq!(read(other).changes_since(&first), [], "{other}");
    }
    // Places are right in each.
    for (text, expected) in [
        (
            plain.replace("[\"x\"]", "[\"x\", \"x\"]"),
            "0.toml:11:11: host b: logins has x twice: name it once",
        ),
        (
            tables.replace("[\"x\"]", "[\"x\", \"x\"]"),
            "0.toml:12:11: host b: logins has x twice: name it once",
        ),
        (plain.replace("[\"x\"]", "[\"x\", X]"), "0.toml:11:16: "),
        (
            plain.replace("[[host]]\nname = \"a\"", "[[host]]\nnome = \"a\""),
            "0.toml:5:1: the key \"nome\" is not known: did you mean \"name\"?",
        ),
    ] {
        let errors = refused(&[&text]);
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{errors:?}\n{expected}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 256, failure_persistence: None, ..Default::default() })]

    /// Lines of all sorts in any order: reading them the short way is reading them, or refusing them, the long way.
    #[test]
    fn the_short_way_is_the_long_way(lines in proptest::collection::vec(proptest::sample::select(&LINES[..]), 0..14)) {
        let text = lines.join("\n");
        // What is not a comment before everything makes a file that is read as a whole.
        let (short, long) = (read(&[&text]), read(&[&format!("guest = []\n{text}")]));
        match (short, long) {
            (Ok(short), Ok(long)) => proptest::prop_assert_eq!(short.changes_since(&long), []),
            // A second `guest` is no mistake of the text.
            (_, Err(_)) if text.contains("guest") => {}
            (Err(_), Err(_)) => {}
            (short, long) => proptest::prop_assert!(false, "{text}\n{short:?}\n{long:?}"),
        }
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,60}|([\\[\\]{}=\",#'\\\\\n a-c]|\\[\\[host\\]\\]\n|name = \"a\"\n){0,40}") {
        if let Err(errors) = read(&[&text, &text]) {
            for error in errors {
                let (line, column) = (error.line, error.column);
                proptest::prop_assert!(line >= 1 && column >= 1 && line <= text.lines().count() + 1, "{error}");
                proptest::prop_assert!(!error.what.contains('\n') && !error.what.is_empty(), "{error}");
            }
        }
    }
}

/// Lines that are whole entries' parts, or are not, or are half of something.
const LINES: [&str; 26] = [
    "[[host]]",
    "[[host]]",
    "[[host]]\nname = \"a\"",
    "[[host]]\nname = \"b\"",
    "[[group]]\nname = \"g\"",
    "[[guest]]",
    "name = \"c\"",
    "name = \"d\"",
    "groups = [\"g\"]",
    "groups = [\"g\"",
    "]",
    "groups = [",
    "logins = [\"x\"], # y",
    "logins = [\"x\"]",
    "labels = { a = \"b\" }",
    "labels = { a = \"b\", # }",
    "labels = {",
    "fronts = [] }",
    "}",
    "[host.labels]",
    "name = \"\"\"",
    "\"\"\"",
    "address = \"10.0.0.1\"",
    "principals = \"host\"",
    "# [[host]]",
    "\tname\t=\t\"e\"",
];
