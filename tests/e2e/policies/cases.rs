//! `policy test` and `policy explain`: what cases say, what comes of them, and what is wrong with a case itself.

use super::Folder;

const POLICIES: &str = r#"
@id("sre-shell") @ttl("1h")
permit (principal in Group::"sre", action in [Action::"shell", Action::"agent"], resource in HostGroup::"prod")
when { resource.login == "deploy" && context.local.hour >= 8 && context.local.hour < 20 };
@id("sre-night") @ttl("30m") @approvals("1 of leads")
permit (principal in Group::"sre", action == Action::"shell", resource in HostGroup::"prod")
when { resource.login == "deploy" };
@id("fido-root") @ttl("10m") @verify @source("pin")
permit (principal in Group::"sre", action == Action::"shell", resource in HostGroup::"prod")
when { resource.login == "root" };
@id("glass") @break_glass
permit (principal in Group::"leads", action == Action::"shell", resource in HostGroup::"prod")
when { context.starts_in == duration("0s") };
@id("no-dev") @message("developers have staging")
forbid (principal in Group::"dev", action, resource in HostGroup::"prod");
@id("readers")
permit (principal in Group::"leads", action == Action::"audit", resource);
"#;

const IDENTITIES: &str = r#"
[identity.sam]
name = "sam"
groups = ["sre"]
[identity.lea]
as = "sam"
name = "lea"
groups = ["leads"]
"#;

/// The case in a file of its own, after the identities.
fn tested(case: &str) -> (Option<i32>, String) {
    let folder = Folder::new(POLICIES);
    folder.write("policies/p.test.toml", &format!("{IDENTITIES}[[case]]\nname = \"it\"\n{case}\n"));
    let said = folder.policy("test", &[]);
    (said.code, format!("{}{}", said.out, said.err))
}

#[test]
fn cases_that_pass() {
    for case in [
        "who = \"sam\"\naccount = \"deploy@web-1\"\nexpect = \"allow\"\nttl = \"60m\"\npolicy = \"sre-shell\"",
        "who = \"sam\"\nlogin = \"deploy\"\nhosts = [\"web-1\", \"web-2\"]\nexpect = \"allow\"",
        "who = \"sam\"\naccounts = [\"deploy@web-1\", \"deploy@web-2\"]\nwith = [\"agent\"]\nexpect = \"allow\"",
        "who = \"sam\"\naccount = \"deploy@web-1\"\nmode = \"shell\"\nfor = \"15m\"\nexpect = \"allow\"\nttl = \"15m\"",
        // Every host of a group.
        "who = \"sam\"\naccount = \"deploy@group/prod\"\nexpect = \"allow\"\nttl = \"1h\"",
        "who = \"sam\"\nlogin = \"deploy\"\nhost = \"group/prod\"\nat = \"2026-11-22T03:00\"\nexpect = \"approval\"",
        // The zone is Europe/Paris.
        "who = \"sam\"\naccount = \"deploy@web-1\"\nat = \"2026-11-22T08:00\"\nexpect = \"allow\"",
        "who = \"sam\"\naccount = \"deploy@web-1\"\nat = \"2026-11-22T07:00Z\"\nexpect = \"allow\"",
        "who = \"sam\"\naccount = \"deploy@web-1\"\nat = \"2026-11-22T08:00-05:00\"\nexpect = \"allow\"",
        "who = \"sam\"\naccount = \"deploy@web-1\"\nat = \"2026-11-22T07:59\"\nexpect = \"approval\"\nmessage = \"1 of leads\"\npolicy = [\"sre-night\"]\ncode = \"approval_required\"",
        "who = \"sam\"\naccount = \"root@web-1\"\nkey = \"sk-ssh-ed25519@openssh.com\"\nexpect = \"allow\"\npinned = true\nverify = true",
        "who = \"sam\"\naccount = \"root@web-1\"\nexpect = \"deny\"\ncode = \"no_access\"",
        "who = \"lea\"\naccount = \"root@web-1\"\nbreak_glass = true\nexpect = \"allow\"\npolicy = \"glass\"",
        "who = \"lea\"\naccount = \"root@web-1\"\nbreak_glass = true\nstarts_in = \"2h\"\nexpect = \"deny\"",
        "who = { as = \"sam\", groups = [\"sre\", \"dev\"] }\naccount = \"deploy@web-1\"\nexpect = \"deny\"\ncode = \"forbidden\"\npolicy = \"no-dev\"\nmessage = \"developers have staging\"",
        "who = { issuer = \"corp\", name = \"x\" }\naccount = \"deploy@web-1\"\nexpect = \"deny\"",
        "who = \"lea\"\naction = \"audit\"\nexpect = \"allow\"\npolicy = \"readers\"",
        "who = \"sam\"\naction = \"audit\"\nexpect = \"deny\"",
        // A name that nothing has, if that is what the case is about.
        "who = \"sam\"\naccount = \"deploy@nowhere\"\nexpect = \"deny\"\ncode = \"no_access\"",
        "who = { issuer = \"corp\", claims = { preferred_username = \"sam\", groups = [\"sre\", \"other\"] } }\naccount = \"deploy@web-1\"\nexpect = \"allow\"",
        "who = { issuer = \"corp\", claims = { preferred_username = \"sam\", groups = [\"SRE\"] } }\naccount = \"deploy@web-1\"\nexpect = \"deny\"",
    ] {
        let (code, said) = tested(case);
        assert_eq!(code, Some(0), "{case}\n{said}");
        assert!(said.contains("1 case: 1 passed, 0 failed"), "{said}");
    }
}

#[test]
fn cases_that_fail_say_what_was_expected_and_what_came() {
    for (case, lines) in [
        (
            "who = \"sam\"\naccount = \"deploy@web-1\"\nexpect = \"deny\"",
            &["FAIL  it", "p.test.toml:9: allow 1h by sre-shell", "- expect = deny", "+ expect = allow"][..],
        ),
        (
            "who = \"sam\"\naccount = \"deploy@web-1\"\nexpect = \"allow\"\nttl = \"2h\"\npolicy = \"glass\"",
            &["- ttl = 2h", "+ ttl = 1h", "- policy = glass", "+ policy = sre-shell"],
        ),
        (
            "who = { as = \"sam\", groups = [\"sre\", \"dev\"] }\naccount = \"deploy@web-1\"\nexpect = \"deny\"\ncode = \"no_access\"\nmessage = \"ask your lead\"",
            &[
                "- code = no_access",
                "+ code = forbidden",
                "- message = … ask your lead …",
                "they read: Forbidden: shell on deploy@web-1: developers have staging",
            ],
        ),
        (
            "who = \"sam\"\naccount = \"root@web-1\"\nkey = \"sk-ssh-ed25519@openssh.com\"\nexpect = \"allow\"\npinned = false\nverify = false",
            &["- pinned = false", "+ pinned = true", "- verify = false", "+ verify = true"],
        ),
    ] {
        let (code, said) = tested(case);
        assert_eq!(code, Some(1), "{case}\n{said}");
        for line in lines {
            assert!(said.contains(line), "{line:?} is missing in\n{said}");
        }
        assert!(said.contains("jit-ssh-ca: 1 of 1 case failed"), "{said}");
    }
}

#[test]
fn a_case_that_is_wrong_fails_whatever_it_expects() {
    let good = "who = \"sam\"\naccount = \"deploy@web-1\"\nexpect = \"deny\"";
    for (case, says) in [
        // Not of the form.
        (
            good.replace("who", "whom"),
            "p.test.toml:11:1: the key \"whom\" is not known: did you mean \"who\"?",
        ),
        (good.replace("\"deny\"", "\"refuse\""), "unknown variant `refuse`"),
        (good.replace("expect = \"deny\"", ""), "the key \"expect\" is missing"),
        (
            good.replace("\"sam\"", "{ name = \"x\", group = [\"sre\"] }"),
            "the key \"group\" is not known: did you mean \"groups\"?",
        ),
        (good.replace("\"sam\"", "7"), "the name of an [identity]"),
        (format!("{good}\nwith = [\"agnet\"]"), "unknown variant `agnet`"),
        // Names that nothing has.
        (good.replace("sam", "sma"), "there is no [identity.sma]: did you mean \"sam\"?"),
        (good.replace("\"sam\"", "{ as = \"nobody\" }"), "there is no [identity.nobody]: add one"),
        (
            good.replace("web-1", "web-9"),
            "the inventory has no host \"web-9\": did you mean \"web-1\"? (say code = \"no_access\"",
        ),
        (good.replace("web-1", "group/prd"), "the inventory has no group \"prd\": did you mean \"prod\"?"),
        (good.replace("deploy@", "dploy@"), "web-1 offers no login \"dploy\": did you mean \"deploy\"?"),
        (
            good.replace("\"sam\"", "{ name = \"x\", groups = [\"sree\"] }"),
            "is in \"sree\", to which corp maps nobody: did you mean \"sre\"?",
        ),
        (
            good.replace("\"sam\"", "{ name = \"x\", issuer = \"crop\" }"),
            "is of the issuer \"crop\", which ca.toml does not have: it has corp",
        ),
        (good.replace("\"sam\"", "{ name = \"X Y\" }"), "has the name \"X Y\""),
        (good.replace("\"sam\"", "{ groups = [\"sre\"] }"), "has no name"),
        (
            good.replace("\"sam\"", "{ name = \"x\", tags = { ref = \"y\" } }"),
            "has the tag \"ref\", which corp does not take",
        ),
        (
            good.replace("\"sam\"", "{ name = \"x\", claims = { sub = \"y\" } }"),
            "has claims and name: claims say it all",
        ),
        (
            good.replace("\"sam\"", "{ claims = { sub = \"y\", groups = 7 } }"),
            "would not be let in: The claim \"groups\"",
        ),
        // Values.
        (format!("{good}\naction = \"shel\""), "action \"shel\" is not known: did you mean \"shell\"?"),
        (format!("{good}\nat = \"tomorrow\""), "at \"tomorrow\" is no time"),
        (format!("{good}\nat = \"2026-03-29T02:30\""), "comes twice or never on that day"),
        (format!("{good}\nsource = \"here\""), "source \"here\" is no address"),
        (format!("{good}\nkey = \"rsa\""), "key \"rsa\" is not known"),
        (format!("{good}\nfor = \"9h\""), "duration is beyond the maximum of 8h"),
        (format!("{good}\nttl = \"long\""), "ttl is not a duration"),
        (format!("{good}\ncode = \"forbiden\""), "code \"forbiden\" is none: did you mean \"forbidden\"?"),
        (format!("{good}\ncommand = \"ls\""), "only mode exec runs one"),
        (format!("{good}\nhost = \"web-1\""), "say where in one way"),
        (format!("{good}\naction = \"audit\""), "audit is asked of the CA itself: name no account"),
        (good.replace("account = \"deploy@web-1\"", ""), "name an account"),
    ] {
        let (code, said) = tested(&case);
        assert_eq!(code, Some(1), "{case}\n{said}");
        assert!(said.contains(says), "{says:?} is missing in\n{said}");
    }
}

#[test]
fn it_says_which_policies_no_case_is_about() {
    let folder = Folder::new(POLICIES);
    assert!(folder.policy("test", &[]).err.contains("there are no cases: write some into"));
    folder.write(
        "policies/p.test.toml",
        &format!("{IDENTITIES}[[case]]\nname = \"by day\"\nwho = \"sam\"\naccount = \"deploy@web-1\"\nexpect = \"allow\"\n[[case]]\nname = \"by night\"\nwho = \"sam\"\naccount = \"deploy@web-1\"\nat = \"2026-11-22T03:00\"\nexpect = \"approval\"\n"),
    );
    let said = folder.policy("test", &[]).ok().unwrap().out;
    assert!(
        said.contains("2 of 6 policies took part in a case; untested: fido-root, glass, no-dev, readers"),
        "{said}"
    );
    let said = folder.policy("test", &["--deny-untested"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("no case is about fido-root, glass, no-dev, readers"), "{}", said.err);
    let said = folder.policy("test", &["--only", "night"]).ok().unwrap().out;
    assert!(
        said.contains("ok    by night: approval (approval_required) by sre-night")
            && !said.contains("by day"),
        "{said}"
    );
}

#[test]
fn programs_get_one_object_a_case_and_one_about_all() {
    let folder = Folder::new(POLICIES);
    folder.write(
        "policies/p.test.toml",
        &format!("{IDENTITIES}[[case]]\nname = \"a\"\nwho = \"sam\"\naccount = \"deploy@web-1\"\nexpect = \"allow\"\n[[case]]\nname = \"b\"\nwho = \"sam\"\naccount = \"deploy@web-1\"\nexpect = \"deny\"\n"),
    );
    let said = folder.policy("test", &["--json"]);
    assert_eq!(said.code, Some(1));
    let lines: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{}", said.out);
    assert_eq!(
        (&lines[0]["name"], &lines[0]["passed"], &lines[0]["line"]),
        (&"a".into(), &true.into(), &9.into())
    );
    assert_eq!(lines[0]["got"]["ttl"], "1h");
    assert_eq!(lines[1]["wrong"][0]["expected"], "deny");
    assert_eq!((&lines[2]["cases"], &lines[2]["failed"]), (&2.into(), &1.into()));
}

#[test]
fn one_question_is_explained() {
    let folder = Folder::new(POLICIES);
    folder.write("policies/p.test.toml", IDENTITIES);
    for (words, code, says) in [
        (&["--who", "sam", "--account", "deploy@web-1"][..], 0, "allow 1h by sre-shell"),
        (
            &["--who", "sam", "--account", "deploy@web-1", "--at", "2026-11-22T03:00"],
            4,
            "approval (approval_required) by sre-night\nthey read: ",
        ),
        (
            &["--name", "x", "--group", "dev", "--group", "sre", "--account", "deploy@web-1"],
            3,
            "developers have staging",
        ),
        (
            &["--who", "sam", "--account", "root@web-1", "--key", "sk-ssh-ed25519@openssh.com"],
            0,
            "with a PIN",
        ),
        (
            &["--who", "lea", "--account", "root@web-1", "--break-glass", "--json"],
            0,
            "\"policies\":[\"glass\"]",
        ),
        (&["--who", "lea", "--action", "audit"], 0, "allow by readers"),
        (&["--who", "sam", "--action", "audit"], 3, "deny (no_access)"),
        (
            &["--who", "sam", "--account", "deploy@wbe-1"],
            3,
            "the inventory has no host \"wbe-1\": did you mean \"web-1\"?",
        ),
        (
            &["--who", "sam", "--account", "rot@web-1"],
            3,
            "web-1 offers no login \"rot\": did you mean \"root\"?",
        ),
        (
            &["--who", "sam", "--account", "deploy@group/zzzzzz"],
            3,
            "the inventory has no group \"zzzzzz\": correct it",
        ),
        (
            &["--who", "sam", "--account", "deploy@wbe-1", "--json"],
            3,
            "\"unknown\":[\"the inventory has no host",
        ),
    ] {
        let said = folder.policy("explain", words);
        assert_eq!((said.code, said.err.as_str()), (Some(code), ""), "{words:?}");
        assert!(said.out.contains(says), "{words:?}: {}", said.out);
    }
    for (words, says) in [
        (&["--who", "sma", "--account", "deploy@web-1"][..], "did you mean \"sam\"?"),
        (&["--account", "deploy@web-1"], "--who"),
        (&["--who", "sam"], "name an account"),
        (&["--who", "sam", "--account", "deploy"], "LOGIN@HOST"),
    ] {
        let said = folder.policy("explain", words);
        assert!(matches!(said.code, Some(1 | 2)), "{words:?}: {:?}", said.code);
        assert!(said.err.contains(says), "{words:?}: {}", said.err);
    }
}

#[test]
fn without_issuers_it_says_that_groups_were_held_against_nothing() {
    let folder = Folder::new(POLICIES);
    let case = "[[case]]\nname = \"a\"\nwho = { issuer = \"corp\", name = \"x\", groups = [\"nonsense\"] }\naccount = \"deploy@web-1\"\nexpect = \"deny\"\n";
    folder.write("policies/p.test.toml", case);
    assert_eq!(folder.policy("test", &[]).code, Some(1));
    std::fs::remove_file(folder.path().join("ca.toml")).unwrap();
    let said = folder.policy("test", &[]).ok().unwrap().out;
    assert!(
        said.contains("no [[issuer]] is known, so nothing says that anybody can be in these groups"),
        "{said}"
    );
    let said = folder.policy("test", &["--json"]).ok().unwrap().out;
    assert!(said.contains("\"groups_checked\":false"), "{said}");
}
