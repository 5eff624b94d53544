//! `policy diff`: what a change gives, takes, or gives on other terms.

use super::{Folder, run};

const BEFORE: &str = r#"
@id("sre") @ttl("1h")
permit (principal in Group::"sre", action in [Action::"shell", Action::"sftp"], resource in HostGroup::"prod")
when { resource.login == "deploy" };
"#;

fn diff(before: &str, after: &str, more: &[&str]) -> (Option<i32>, String) {
    let (old, new) = (Folder::new(before), Folder::new(after));
    let mut words = vec!["policy", "diff", old.path().to_str().unwrap(), new.path().to_str().unwrap()];
    words.extend(more);
    let said = run(&words);
    (said.code, format!("{}{}", said.out, said.err))
}

#[test]
fn what_changes_is_told_in_a_line() {
    for (after, lines) in [
        // Taken away by a forbid.
        (
            format!(
                "{BEFORE}@id(\"no-sftp\") forbid (principal, action == Action::\"sftp\", resource in HostGroup::\"prod\");"
            ),
            &[
                "corp: members of sre: sftp on deploy@web-1, deploy@web-2: allowed for 1h -> denied (by no-sftp)",
            ][..],
        ),
        // No more given.
        (
            BEFORE.replace("Action::\"sftp\"", "Action::\"x11\""),
            &[
                "sftp on deploy@web-1, deploy@web-2: allowed for 1h -> denied (no more by sre)",
                "shell+x11 on deploy@web-1, deploy@web-2: denied -> allowed for 1h (by sre)",
            ],
        ),
        // Other terms.
        (
            BEFORE.replace("1h", "30m"),
            &[
                "corp: members of sre: shell on deploy@web-1, deploy@web-2: allowed for 1h -> allowed for 30m (by sre)",
            ],
        ),
        (
            BEFORE.replace("@ttl(\"1h\")", "@ttl(\"1h\") @approvals(\"1 of leads\")"),
            &["shell on deploy@web-1, deploy@web-2: allowed for 1h -> approval (by sre)"],
        ),
        (
            BEFORE.replace("@ttl(\"1h\")", "@ttl(\"1h\") @source(\"pin\")"),
            &["allowed for 1h -> allowed for 1h from one address (by sre)"],
        ),
        // At some hours only, and only without a reason.
        (
            BEFORE.replace("when { ", "when { context.local.hour < 9 && "),
            &["allowed for 1h -> denied (no more by sre)\n    at 09:30, 12:30"],
        ),
        (
            BEFORE.replace("when { ", "when { context.reason != \"\" && "),
            &["allowed for 1h -> denied (no more by sre)\n    without a reason"],
        ),
        (
            BEFORE.replace("when { ", "when { context.local.weekday <= 5 && "),
            &["allowed for 1h -> denied (no more by sre)\n    Saturday at 03:30, 12:30"],
        ),
        (
            format!(
                "{BEFORE}@id(\"glass\") @break_glass permit (principal in Group::\"leads\", action == Action::\"shell\", resource);"
            ),
            &[
                "corp: members of leads: shell on 5 accounts (alice, deploy, root): denied -> allowed for 30m (by glass)\n    under break-glass\n",
            ],
        ),
        // To everybody.
        (
            format!(
                "{BEFORE}@id(\"all\") @ttl(\"5m\") permit (principal, action == Action::\"exec\", resource) when {{ context has command && context.command == \"uptime\" }};"
            ),
            &[
                "corp: somebody in no group: exec of \"uptime\" on 5 accounts (alice, deploy, root): denied -> allowed for 5m (by all)",
            ],
        ),
    ] {
        let (code, said) = diff(BEFORE, &after, &[]);
        assert_eq!(code, Some(0), "{said}");
        for line in lines {
            assert!(said.contains(line), "{line:?} is missing in\n{said}");
        }
        assert!(said.contains(" questions, for 7 identities)"), "{said}");
    }
    assert_eq!(diff(BEFORE, "", &["--exit-code"]).0, Some(1));
}

#[test]
fn what_does_not_change_is_not_told() {
    for after in [
        BEFORE.to_owned(),
        BEFORE.replace("\"sre\") @ttl", "\"renamed\") @ttl"),
        format!("{BEFORE}forbid (principal, action == Action::\"sudo\", resource);"),
        format!(
            "{BEFORE}@ttl(\"10m\") permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"prod\") when {{ resource.login == \"deploy\" }};"
        ),
    ] {
        let (code, said) = diff(BEFORE, &after, &["--exit-code"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with("nothing changes ("), "{said}");
    }
}

#[test]
fn identities_are_those_of_the_cases_or_of_a_file() {
    let after = BEFORE.replace("1h", "2h");
    let (old, new) = (Folder::new(BEFORE), Folder::new(&after));
    new.write("policies/p.test.toml", "[identity.sam]\nname = \"sam\"\ngroups = [\"sre\"]\n[identity.dan]\nname = \"dan\"\ngroups = [\"dev\"]\n");
    let (old, new) = (old.path().to_str().unwrap(), new.path().to_str().unwrap());
    let said = run(&["policy", "diff", old, new]).ok().unwrap().out;
    assert!(
        said.starts_with("sam: sftp on") && said.contains("for 2 identities") && !said.contains("dan:"),
        "{said}"
    );
    let file = format!("{new}/who.toml");
    std::fs::write(&file, "[identity.zoe]\nname = \"zoe\"\ngroups = [\"sre\", \"dev\"]\n").unwrap();
    let said = run(&["policy", "diff", old, new, "--identities", &file, "--json"]).ok().unwrap().out;
    let first: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["who"], &first["before"], &first["after"]),
        (&"zoe".into(), &"allowed for 1h".into(), &"allowed for 2h".into())
    );
    assert_eq!(first["accounts"], serde_json::json!(["deploy@web-1", "deploy@web-2"]));
    assert!(first["times"].is_null(), "{first}");
}

#[test]
fn hosts_that_come_and_go_show_too() {
    let (old, new) = (Folder::new(BEFORE), Folder::new(BEFORE));
    new.write("inventory/more.toml", "[[host]]\nname = \"web-3\"\ngroups = [\"prod\"]\n");
    let words = ["policy", "diff", old.path().to_str().unwrap(), new.path().to_str().unwrap()];
    let said = run(&words).ok().unwrap().out;
    assert!(said.contains("shell on deploy@web-3: denied -> allowed for 1h (by sre)"), "{said}");
    assert!(!said.contains("web-1"), "{said}");
}

#[test]
fn a_side_that_does_not_load_is_named() {
    let (good, bad) = (Folder::new(BEFORE), Folder::new("permit ("));
    let (good, bad) = (good.path().to_str().unwrap(), bad.path().to_str().unwrap());
    let said = run(&["policy", "diff", good, bad]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains(&format!("{bad} does not load")) && said.err.contains("p.cedar:1:1"),
        "{}",
        said.err
    );
    let said = run(&["policy", "diff", good, &format!("{good}/policies")]);
    assert!(said.err.contains("has no policies/"), "{}", said.err);
}
