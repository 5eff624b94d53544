//! What is wrong is shown where it is: file, line and column, the line itself, carets under the word, and what to do.

use std::fs;

use super::Folder;
use crate::stand::Site;

/// A forbid must not vanish by the name of its file.
#[test]
fn files_that_are_not_read_are_refused_or_told() {
    let folder = Folder::new("permit (principal in Group::\"sre\", action == Action::\"shell\", resource);");
    folder.policy("check", &["--deny-warnings"]).ok().unwrap();
    folder.write("policies/10.CEDAR", "forbid (principal, action, resource);");
    for command in ["check", "test", "explain --who x --account a@b", "format"] {
        let mut words = command.split(' ');
        let said = folder.policy(words.next().unwrap(), &words.collect::<Vec<_>>());
        let what = "10.CEDAR: error[config]: it looks like a *.cedar file, and by this name it is not read";
        let what = if command == "format" { what.replace(" error[config]:", "") } else { what.to_owned() };
        assert_eq!(said.code, Some(1), "{command}: {said:?}");
        assert!(format!("{}{}", said.out, said.err).contains(&what), "{command}: {said:?}");
    }
    fs::remove_file(folder.path().join("policies/10.CEDAR")).unwrap();
    for name in ["policies/10.cedar.bak", "policies/10.tests.toml", "inventory/hosts.csv"] {
        folder.write(name, "");
        let said = folder.policy("check", &["--deny-warnings"]);
        let line =
            format!("{name}: warning[ignored-file]: this file is not read\n    = remove it, or let its name");
        assert!(said.code == Some(1) && said.out.contains(&line), "{name}: {said:?}");
        folder.policy("check", &["--deny-warnings", "--allow", "ignored-file"]).ok().unwrap();
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    folder.policy("check", &["--deny-warnings"]).ok().unwrap();
}

#[test]
fn each_mistake_is_shown_with_carets() {
    for (policies, expected) in [
        (
            "@id(\"a\")\n@tll(\"1h\")\npermit (principal, action, resource);",
            "p.cedar:2:1: error[policy]: @tll is not known: did you mean @ttl?\n  2 | @tll(\"1h\")\n    | ^^^^\n",
        ),
        (
            "permit (principal, action == Action::\"shel\", resource);",
            "p.cedar:1:30: error[policy]: for policy `p.cedar:1`, unrecognized action `Action::\"shel\"` (did you mean `Action::\"shell\"`?)\n  1 | permit (principal, action == Action::\"shel\", resource);\n    |                              ^^^^^^^^^^^^^^\n",
        ),
        (
            "@ttl(\"soon\") permit (principal, action, resource);",
            "p.cedar:1:1: error[policy]: @ttl \"soon\" is not a duration",
        ),
        (
            "permit (principal, action, resource)",
            "p.cedar:1:36: error[policy]: this policy is not finished: write ';' after it\n  1 | permit",
        ),
        // The `;` is missed where it is missing; a policy as a whole is shown at what makes it wrong.
        (
            "@id(\"a\")\npermit (principal, action, resource)\nwhen { context.reason == \"\" }\n\n@id(\"b\")\npermit (principal, action, resource);",
            "p.cedar:3:29: error[policy]: this policy is not finished: write ';' after it\n  3 | when { context.reason == \"\" }\n    |                             ^\n",
        ),
        (
            "@id(\"a\")\npermit (principal, action, resource is Account)\nwhen { resource.login == \"x\" && false };",
            "p.cedar:3:1: error[policy]: for policy `a`, policy is impossible: the policy expression evaluates to false for all valid requests\n  3 | when { resource.login == \"x\" && false };\n    | ^^^^\n",
        ),
        (
            "@id(\"a\")\npermit (principal, action == Action::\"shell\", resource is Host);",
            "p.cedar:2:1: error[policy]: for policy `a`, unable to find an applicable action",
        ),
        (
            "@id(\"a\") permit (principal, action, resource);\n@title(\"x\") @id(\"a\") permit (principal, action, resource);",
            "p.cedar:2:13: error[policy]: the id a is already that of the policy at p.cedar:1: give it another",
        ),
        (
            "forbid (principal, action, resource) when { resource.login == \"root\" };",
            "p.cedar:1:45: error[policy]: for policy `p.cedar:1`, attribute `login` on entity type `Request` not found (a policy without an action is about the CA's own verbs too: write `resource is Account` in place of `resource`)",
        ),
        (
            "/* old\nstyle */",
            "p.cedar:1:1: error[policy]: there are no /* */ comments here: begin each line of it with //",
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"prodd\");",
            "p.cedar:1:75: warning[unknown-name]: the inventory has no group of hosts \"prodd\"\n  1 | permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"prodd\");\n    |                                                                           ^^^^^^^^^^^^^^^^^^\n    = did you mean HostGroup::\"prod\"?\n",
        ),
    ] {
        let folder = Folder::new(policies);
        let said = folder.policy("check", &["--deny-warnings"]);
        assert_eq!(said.code, Some(1), "{policies}");
        let expected = format!("{}/policies/{expected}", folder.path().display());
        assert!(said.out.contains(&expected), "expected\n{expected}\ngot\n{}", said.out);
    }
}

#[test]
fn a_bad_value_is_told_with_its_key() {
    for (inventory, expected) in [
        ("[[host]]\nname = \"Web 9\"\n", "more.toml:2:8: error[inventory]: name has 'W' at position 0"),
        (
            "[[host]]\nname = \"x\"\nlogins = [\"ok\", \"Not ok\"]\n",
            "more.toml:3:10: error[inventory]: logins has 'N' at position 0",
        ),
        ("[[host]]\nname = 7\n", "more.toml:2:8: error[inventory]: name: invalid type: integer"),
    ] {
        let folder = Folder::new("");
        folder.write("inventory/more.toml", inventory);
        let said = folder.policy("check", &[]);
        assert!(said.out.contains(expected), "{expected}\n{}", said.out);
    }
    let folder = Folder::new("");
    folder.write("policies/p.test.toml", "[[case]]\nname = \"a\"\nwho = \"b\"\naccount = \"deploy@web-1\"\nexpect = \"deny\"\nbreak_glass = \"yes\"\n");
    let said = folder.policy("test", &[]);
    assert!(
        said.err.contains("p.test.toml:6:15: break_glass is a text and has to be true or false"),
        "{}",
        said.err
    );
}

#[test]
fn every_file_is_looked_through_at_once() {
    let folder = Folder::new("@tll permit (principal, action, resource);");
    folder.write(
        "policies/q.cedar",
        "permit (principal, action == Action::\"x\", resource);\n@id permit (principal, action, resource);",
    );
    folder.write("inventory/hosts.toml", "[[hots]]\nname = \"web-1\"\n");
    let said = folder.policy("check", &[]);
    assert_eq!(said.code, Some(1));
    for place in ["hosts.toml:1:3: ", "p.cedar:1:1: ", "q.cedar:1:30: ", "q.cedar:2:1: "] {
        assert!(said.out.contains(place), "{place} is missing in\n{}", said.out);
    }
    assert!(said.out.contains("did you mean \"host\"?"), "{}", said.out);
    assert!(
        said.err.contains("4 errors, 0 warnings, 0 notes: a CA with these files does not start"),
        "{}",
        said.err
    );
}

#[test]
fn programs_get_one_object_a_finding() {
    let folder = Folder::new(
        "permit (principal in Group::\"sree\", action == Action::\"sftp\", resource in HostGroup::\"prod\");",
    );
    let said = folder.policy("check", &["--json"]).ok().unwrap();
    let found: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let short: Vec<String> = found
        .iter()
        .map(|f| {
            format!(
                "{} {} {}:{}",
                f["severity"].as_str().unwrap(),
                f["code"].as_str().unwrap(),
                f["line"],
                f["column"]
            )
        })
        .collect();
    assert_eq!(short, ["note worth-a-shell 1:1", "warning unmapped-group 1:22"]);
    for one in &found {
        let file = one["file"].as_str().unwrap();
        assert!(fs::metadata(file).is_ok(), "{file}");
        assert!(!one["message"].as_str().unwrap().is_empty() && !one["help"].as_str().unwrap().is_empty());
        assert_eq!(one.as_object().unwrap().len(), 7, "{one}");
    }
    let folder = Folder::new("permit (");
    let said = folder.policy("check", &["--json"]);
    assert_eq!(said.code, Some(1));
    let one: serde_json::Value = serde_json::from_str(said.out.trim()).unwrap();
    assert_eq!(
        (&one["severity"], &one["code"], &one["line"]),
        (&"error".into(), &"policy".into(), &1.into())
    );
}

#[test]
fn what_is_allowed_to_be_is_left_out() {
    let folder = Folder::new(
        "permit (principal in Group::\"sree\", action == Action::\"shell\", resource in HostGroup::\"prod\");",
    );
    assert_eq!(folder.policy("check", &["--deny-warnings"]).code, Some(1));
    folder.policy("check", &[]).ok().unwrap();
    folder.policy("check", &["--deny-warnings", "--allow", "unmapped-group"]).ok().unwrap();
    let said = folder.policy("check", &["--allow", "everything"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("unmapped-group"), "{}", said.err);
}

#[test]
fn serve_shows_the_place_as_well() {
    let site = Site::new();
    site.write("policies/20-bad.cedar", "@id(\"x\")\n@tll(\"1h\") permit (principal, action, resource);");
    let said = site.refuses_to_serve();
    let expected = "policies/20-bad.cedar:2:1: @tll is not known: did you mean @ttl?\n  2 | @tll(\"1h\") permit (principal, action, resource);\n    | ^^^^\n";
    assert!(said.contains(expected), "{said}");
    site.write("policies/20-bad.cedar", "");
    site.write("inventory/more.toml", "[[host]]\nname = \"x\"\nlogin = [\"a\"]\n");
    let said = site.refuses_to_serve();
    assert!(
        said.contains(
            "inventory/more.toml:3:1: the key \"login\" is not known: did you mean \"logins\"?\n  3 | login"
        ),
        "{said}"
    );
}
