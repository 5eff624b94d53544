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
            &[
                "shell on deploy@web-1, deploy@web-2: allowed for 1h -> approval by 1 of leads for 1h (by sre)",
            ],
        ),
        (
            BEFORE.replace("@ttl(\"1h\")", "@ttl(\"1h\") @source(\"pin\")"),
            &["allowed for 1h -> allowed for 1h from one address (by sre)"],
        ),
        // At some hours only, and only without a reason.
        (
            BEFORE.replace("when { ", "when { context.local.hour < 9 && "),
            &["allowed for 1h -> denied (no more by sre)\n    at 12:30"],
        ),
        (
            BEFORE.replace("when { ", "when { context.reason != \"\" && "),
            &["allowed for 1h -> denied (no more by sre)\n    without a reason"],
        ),
        (
            BEFORE.replace("when { ", "when { context.local.weekday <= 5 && "),
            &["allowed for 1h -> denied (no more by sre)\n    on Saturday and Sunday\n"],
        ),
        (
            BEFORE.replace("when { ", "when { context.local.hour < 9 && context.local.weekday <= 5 && "),
            &[
                "allowed for 1h -> denied (no more by sre)\n    Monday to Friday at 12:30; Saturday and Sunday at 03:30, 12:30",
            ],
        ),
        // Only what is looked at is spoken of.
        (
            BEFORE.replace("when { ", "when { context.ticket != \"\" && "),
            &["allowed for 1h -> denied (no more by sre)\n    without a ticket\n"],
        ),
        (
            format!(
                "{BEFORE}@id(\"calm\") forbid (principal in Group::\"sre\", action, resource is Account) when {{ context.ticket == \"\" }};"
            ),
            &["allowed for 1h -> denied (by calm)\n    without a ticket\n"],
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
        assert!(said.contains(" questions, for ") && !said.contains("policy "), "{said}");
    }
    assert_eq!(diff(BEFORE, "", &["--exit-code"]).0, Some(1));
}

#[test]
fn nothing_changes_where_nothing_says_anything_else() {
    for after in [BEFORE.to_owned(), format!("// said anew{}", BEFORE.replace("permit (", "permit(\n"))] {
        let (code, said) = diff(BEFORE, &after, &["--exit-code"]);
        assert_eq!((code, said.trim_end()), (Some(0), "nothing changes (0 questions, for 2 identities)"));
    }
    for (after, says) in [
        (
            BEFORE.replace("\"sre\") @ttl", "\"other\") @ttl"),
            "policy sre is now called other, and says the same\nno answer changes (",
        ),
        (
            BEFORE.replace("@ttl", "@title(\"x\") @ttl"),
            "policy sre: only what people are told of it changed\nno answer changes (",
        ),
    ] {
        let (code, said) = diff(BEFORE, &after, &["--exit-code"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with(says), "{said}");
    }
}

/// What no case is about and no identity stands for is found all the same.
#[test]
fn what_policies_name_is_asked_for() {
    const SCOPE: &str = "action == Action::\"shell\", resource in HostGroup::\"prod\")";
    let rest = |when: &str| {
        format!(
            "{BEFORE}@id(\"new\") @ttl(\"2h\") permit (principal in Group::\"dev\", {SCOPE} when {{ resource.login == \"deploy\" && {when} }};"
        )
    };
    for (before, after, lines) in [
        // An address, a range made smaller, a length, a key, a login, a day, a moment.
        (
            rest("context.source_ip.isInRange(ip(\"10.0.0.0/8\"))"),
            rest("context.source_ip.isInRange(ip(\"10.0.0.0/16\"))"),
            "members of dev: shell on deploy@web-1, deploy@web-2: allowed for 2h -> denied (no more by new)\n    from 10.255.255.255\n",
        ),
        (
            rest("context.duration <= duration(\"1h\")"),
            rest("context.duration <= duration(\"2h\")"),
            "members of dev: shell on deploy@web-1, deploy@web-2: denied -> allowed for 2h (by new)\n",
        ),
        (
            rest("context.key.type like \"sk-*\""),
            rest("context.key.type == \"x\""),
            "\n    with a key sk-ssh-ed25519@openssh.com",
        ),
        (
            rest("context.auth has age && context.auth.age < duration(\"15m\")"),
            rest("context.auth has age && context.auth.age <= duration(\"15m\")"),
            "denied -> allowed for 2h (by new)\n    15m after a login",
        ),
        (
            rest("context.auth.methods.contains(\"otp\")"),
            rest("context.auth.methods.contains(\"pwd\")"),
            "\n    logged in by otp",
        ),
        (rest("context.local.weekday == 1"), rest("context.local.weekday == 2"), "\n    on Tuesday"),
        (
            rest("context.now < datetime(\"2026-12-01\")"),
            rest("context.now <= datetime(\"2026-12-01\")"),
            "\n    at 2026-12-01T00:00:00Z",
        ),
        (
            rest("context.ticket like \"CHG-*\""),
            rest("context.ticket like \"INC-*\""),
            "with the ticket \"INC-x\"",
        ),
        // Somebody by name, somebody in two groups, a verb of the CA.
        (
            BEFORE.to_owned(),
            format!("{BEFORE}@id(\"new\") permit (principal == User::\"corp/ann\", {SCOPE};"),
            "corp/ann: shell on deploy@web-1, deploy@web-2, root@web-1, root@web-2: denied -> allowed for 30m (by new)",
        ),
        (
            BEFORE.to_owned(),
            format!(
                "{BEFORE}@id(\"new\") forbid (principal in Group::\"dev\", action, resource is Account);"
            ),
            "corp: members of dev and sre: shell on deploy@web-1, deploy@web-2: allowed for 1h -> denied (by new)",
        ),
        (
            rest("principal in Group::\"sre\""),
            rest("!(principal in Group::\"sre\")"),
            "corp: members of dev: shell on deploy@web-1, deploy@web-2: denied -> allowed for 2h (by new)",
        ),
        (
            BEFORE.to_owned(),
            format!(
                "{BEFORE}@id(\"new\") permit (principal in Group::\"leads\", action == Action::\"audit\", resource);"
            ),
            "corp: members of leads: audit: denied -> allowed (by new)",
        ),
        // Another demand of approval, and a longer offer behind a shorter one.
        (
            BEFORE.replace("@ttl", "@approvals(\"1 of leads\") @ttl"),
            BEFORE.replace("@ttl", "@approvals(\"2 of leads\") @ttl"),
            "approval by 1 of leads for 1h -> approval by 2 of leads for 1h (by sre)",
        ),
        (
            BEFORE.to_owned(),
            format!(
                "{BEFORE}@id(\"new\") @ttl(\"4h\") @approvals(\"1 of leads\") permit (principal in Group::\"sre\", {SCOPE} when {{ resource.login == \"deploy\" }};"
            ),
            "denied -> approval by 1 of leads for 4h (by new)\n    for 4h",
        ),
    ] {
        let (old, new) = (Folder::new(&before), Folder::new(&after));
        for folder in [&old, &new] {
            // Somebody else is written down.
            folder.write("policies/p.test.toml", "[identity.sam]\nname = \"sam\"\ngroups = [\"sre\"]\n");
        }
        let said = run(&["policy", "diff", old.path().to_str().unwrap(), new.path().to_str().unwrap()]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.out.contains(lines), "{lines:?} is missing in\n{}", said.out);
        assert!(!said.out.contains("policy "), "{}", said.out);
    }
}

#[test]
fn what_no_question_shows_is_told_by_name() {
    let sudo = format!("{BEFORE}@id(\"new\") forbid (principal, action == Action::\"sudo\", resource);");
    let less = format!(
        "{BEFORE}@id(\"new\") @ttl(\"10m\") permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"prod\") when {{ resource.login == \"deploy\" }};"
    );
    let flow = BEFORE.replace("when { ", "when { context.auth.flow != \"refresh\" && ");
    let nobody = format!(
        "{BEFORE}@id(\"new\") permit (principal in Group::\"ops\", action == Action::\"shell\", resource);"
    );
    for (before, after, line) in [
        (BEFORE, &sudo, "policy new is new, and nobody and nothing that was asked for is in its scope: add"),
        (BEFORE, &less, "policy new is new, and no question asked tells the two apart: add a case"),
        (&less, &BEFORE.to_owned(), "policy new is gone, and no question asked"),
        (BEFORE, &flow, "policy sre changed, and no question asked tells the two apart"),
        (BEFORE, &nobody, "policy new is new, and nobody and nothing"),
    ] {
        let (code, said) = diff(before, after, &[]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(line), "{line:?} is missing in\n{said}");
        assert!(
            said.contains("no answer changes, but 1 policy changed that no question asked shows ("),
            "{said}"
        );
        assert!(!said.contains("nothing changes"), "{said}");
        let (code, said) = diff(before, after, &["--exit-code", "--json"]);
        assert_eq!(code, Some(1), "{said}");
        let one: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
        assert!(one["policy"] == "new" || one["policy"] == "sre", "{said}");
        assert!(one["told"] == "no" || one["told"] == "unasked", "{said}");
    }
}

/// Who comes in, and in which groups, is for issuers and guests to say: no question asks for it, and it is told.
#[test]
fn changes_to_issuers_and_guests_are_told_one_by_one() {
    const GUESTS: &str = "[[guest]]\nissuer = \"corp\"\nname = \"eve\"\nsponsor = \"corp/alice\"\nuntil = \"2026-12-31\"\ngroups = [\"dev\"]\n";
    let domains = |list: &str| {
        super::CONFIG
            .replace("groups = \"groups\"", &format!("groups = \"groups\"\nallowed_domains = {list}"))
    };
    let config = domains("[\"example.com\", \"example.org\"]");
    let same = || (config.clone(), GUESTS.to_owned());
    let more = format!("{GUESTS}{}", GUESTS.replace("eve", "ned"));
    for (config, guests, lines) in [
        (
            config.replace("\"dev\" = [\"dev\"]", "\"dev\" = [\"dev\", \"sre\"]"),
            same().1,
            "issuer corp: groups_map: added \"dev\" = sre\n",
        ),
        (
            config.replace("\"leads\" = [\"leads\"]\n", ""),
            same().1,
            "issuer corp: groups_map: removed \"leads\" = leads\n",
        ),
        (domains("[\"example.com\"]"), same().1, "issuer corp: allowed_domains: removed example.org\n"),
        (
            domains("[]"),
            same().1,
            "issuer corp: allowed_domains: removed example.com\nissuer corp: allowed_domains: removed example.org\nissuer corp: allowed_domains: added any address\n",
        ),
        (
            config.replace("preferred_username", "email"),
            same().1,
            "issuer corp: username: preferred_username -> email\n",
        ),
        (same().0, GUESTS.replace("2026", "2027"), "guest corp/eve: until: 2026-12-31 -> 2027-12-31\n"),
        (same().0, GUESTS.replace("[\"dev\"]", "[\"dev\", \"sre\"]"), "guest corp/eve: groups: added sre\n"),
        (
            same().0,
            more,
            "guest corp/ned: sponsor: added corp/alice\nguest corp/ned: until: added 2026-12-31\nguest corp/ned: groups: added dev\n",
        ),
        (
            same().0,
            "# none\n".to_owned(),
            "guest corp/eve: sponsor: removed corp/alice\nguest corp/eve: until: removed 2026-12-31\nguest corp/eve: groups: removed dev\n",
        ),
    ] {
        let (old, new) = (Folder::new(BEFORE), Folder::new(BEFORE));
        for (folder, config, guests) in [(&old, &same().0, GUESTS), (&new, &config, guests.as_str())] {
            folder.write("ca.toml", config);
            folder.write("inventory/guests.toml", guests);
        }
        let words = ["policy", "diff", old.path().to_str().unwrap(), new.path().to_str().unwrap()];
        let said = run(&words).ok().unwrap().out;
        let changes = match lines.lines().count() {
            1 => "1 change to issuers and guests (".to_owned(),
            several => format!("{several} changes to issuers and guests ("),
        };
        assert!(said.contains(lines) && said.contains(&changes), "{lines:?} is missing in\n{said}");
        let failed = run(&[&words[..], &["--exit-code"]].concat());
        assert!(failed.code == Some(1) && failed.err.contains(&changes), "{failed:?}");
        let json = run(&[&words[..], &["--json"]].concat()).ok().unwrap().out;
        let found: Vec<serde_json::Value> =
            json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found = found.iter().filter(|one| one["entry"].is_string()).count();
        assert_eq!(found, lines.lines().count(), "{json}");
    }
    // Their order, and what a comment says, is none.
    let (old, new) = (Folder::new(BEFORE), Folder::new(BEFORE));
    old.write("ca.toml", &domains("[\"example.com\", \"example.org\"]"));
    new.write("ca.toml", &domains("[\"example.org\", \"example.com\"] # both"));
    let words = ["policy", "diff", old.path().to_str().unwrap(), new.path().to_str().unwrap(), "--exit-code"];
    assert!(run(&words).ok().unwrap().out.starts_with("nothing changes ("));
}

/// A case says what nothing else would have asked.
#[test]
fn cases_are_asked_too() {
    let after = BEFORE.replace("when { ", "when { context.auth.flow != \"token\" && ");
    let (old, new) = (Folder::new(BEFORE), Folder::new(&after));
    new.write("policies/p.test.toml", "[[case]]\nname = \"a token\"\nwho = { name = \"sam\", groups = [\"sre\"], flow = \"token\" }\naccount = \"deploy@web-1\"\nexpect = \"deny\"\n");
    let said = run(&["policy", "diff", old.path().to_str().unwrap(), new.path().to_str().unwrap()])
        .ok()
        .unwrap()
        .out;
    assert!(
        said.starts_with("case \"a token\": shell on deploy@web-1: allowed for 1h -> denied (no more by sre)\n1 difference ("),
        "{said}"
    );
}

#[test]
fn who_cannot_be_asked_for_is_told() {
    let (old, new) = (Folder::new(BEFORE), Folder::new(BEFORE));
    new.write(
        "policies/p.test.toml",
        "[identity.eve]\nname = \"eve\"\nissuer = \"crop\"\n[identity.sam]\nname = \"sam\"\n",
    );
    new.write("ca.toml", &format!("{}\n[limits]\nttl = \"10m\"\n", super::CONFIG));
    let said = run(&["policy", "diff", old.path().to_str().unwrap(), new.path().to_str().unwrap()])
        .ok()
        .unwrap()
        .out;
    assert!(said.contains("nobody was asked for as eve: who asks is of the issuer \"crop\""), "{said}");
    assert!(said.contains("for 1 identity)") && !said.contains("nothing changes"), "{said}");
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
    let first = said.lines().find(|line| line.contains("zoe")).unwrap();
    let first: serde_json::Value = serde_json::from_str(first).unwrap();
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
        said.err.contains(&format!("{bad} does not load"))
            && said.err.contains("p.cedar:1:8: error[policy]: this '(' is never closed"),
        "{}",
        said.err
    );
    let said = run(&["policy", "diff", good, &format!("{good}/policies")]);
    assert!(said.err.contains("has no policies/"), "{}", said.err);
}
