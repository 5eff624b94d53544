//! `explain` and `ls` against a CA that says what the test wants: what is shown, what is escaped, how they end.

use super::*;

/// A machine that is logged in.
fn logged_in() -> (Fake, Machine) {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    assert_eq!(machine.browse(&fake, &["login"]).code, 0);
    (fake, machine)
}

#[test]
fn what_the_ca_explains_is_shown_and_nothing_in_it_is_obeyed() {
    let (fake, machine) = logged_in();
    let denied = r#"{"answer":"denied","code":"no_access","detail":"Not\u001b[2J so.","advice":[
        {"with":[{"do":"give_ticket"}],"terms":{"duration":"1h"}},
        {"with":[{"do":"between","from":1,"words":"at\u001b[1m dawn"}],"terms":{"duration":"1h","approvals":[{"count":2,"group":"leads"}]}},
        {"with":[{"do":"use_fido_key"}],"terms":{"duration":"1h"}},
        {"with":[{"do":"sing","song":"any"}],"terms":{"duration":"1h"}}]}"#;
    fake.set(|s| drop(s.answers.insert("POST /v1/explain".into(), denied.into())));
    let ended = machine.run(&["explain", "deploy@web-1", "--reason", "it's me", "--with", "agent"]);
    assert_eq!((ended.code, ended.err.as_str()), (3, ""));
    for text in [
        "Not\\u{1b}[2J so.",
        "allowed with a ticket:\n    jit-ssh login deploy@web-1 --with agent --reason 'it'\\''s me' --ticket '…'\n",
        "possible at\\u{1b}[1m dawn (which cannot be asked for yet).\n",
        "allowed with a FIDO key.\n",
        "in a way that a later jit-ssh can name.\n",
    ] {
        assert!(ended.out.contains(text), "{text:?} is missing in\n{}", ended.out);
    }
    assert!(!ended.out.contains('\u{1b}'));

    for (answer, code) in [("allowed", 0), ("pending", 4), ("denied", 3)] {
        let text = format!(
            r#"{{"answer":"{answer}","detail":"So.","terms":{{"duration":"1h","pin_source":true,"verify":true}},"pairs":[
                {{"account":"deploy@web-1","action":"shell","policy":"p\u001b","terms":{{"duration":"1h"}}}}]}}"#
        );
        fake.set(|s| drop(s.answers.insert("POST /v1/explain".into(), text)));
        let ended = machine.run(&["explain", "deploy@web-1"]);
        assert_eq!((ended.code, ended.err.as_str()), (code, ""), "{answer}");
        assert!(ended.out.contains("by p\\u{1b}") && ended.out.contains("PIN"), "{}", ended.out);
        let json = machine.run(&["explain", "deploy@web-1", "--json"]);
        let value: Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!((json.code, &value["answer"]), (code, &answer.into()));
        assert_eq!(value["command"].as_str().is_some(), answer == "allowed");
    }
    // What is no question is not asked.
    let asked = fake.count("POST /v1/explain");
    for args in [&["explain"][..], &["explain", "web-1"], &["explain", "deploy@web-1", "--mode", "exec"]] {
        assert_eq!(machine.run(args).code, 2, "{args:?}");
    }
    assert_eq!(fake.count("POST /v1/explain"), asked);
}

#[test]
fn a_refusal_has_its_command_on_a_line_of_its_own() {
    let (fake, machine) = logged_in();
    let near = r#"{"with":[{"do":"give_reason"}],"terms":{"duration":"1h"}}"#;
    let problem =
        Problem::new(Code::NoAccess, "Not so. It would be allowed with a reason. Run: jit-ssh login x")
            .advising(vec![serde_json::from_str(near).unwrap()]);
    fake.set(|s| s.refuse = vec![problem]);
    let ended = machine.run(&["login", "deploy@web-1"]);
    assert_eq!(ended.code, 3);
    assert_eq!(
        ended.err,
        "error: Not so. It would be allowed with a reason (no_access)\nRun: jit-ssh login x\n"
    );
}

#[test]
fn accounts_are_gone_through_page_by_page() {
    let (fake, machine) = logged_in();
    let item = |account: &str, needs: &str| {
        format!(
            r#"{{"account":"{account}","modes":[{{"mode":"shell","terms":{{"duration":"1h"}},"needs":[{needs}]}},
            {{"mode":"exec","command":"df -h","terms":{{"duration":"10m","verify":true}}}},
            {{"mode":"sftp","terms":{{"duration":"1h"}},"needs":[{needs}],"refused":"not_available"}}]}}"#
        )
    };
    let page = |items: &[String], next: &str| format!(r#"{{"items":[{}]{next}}}"#, items.join(","));
    fake.set(|s| {
        let first = page(&[item("a@web-1", r#"{"do":"give_reason"}"#)], r#","next":"a@web-1""#);
        // Empty, and not the last.
        let second = page(&[], r#","next":"a@web-8""#);
        let third = page(&[item("a@web-9", ""), item("b@web-9", "")], "");
        s.answers.insert("GET /v1/accounts?host=web".into(), first);
        s.answers.insert("GET /v1/accounts?host=web&cursor=a%40web-1".into(), second);
        s.answers.insert("GET /v1/accounts?host=web&cursor=a%40web-8".into(), third);
    });
    let ended = machine.run(&["ls", "a@web"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let expected = "\
ACCOUNT  MODES         AT MOST  NEEDS
a@web-1  shell         1h       a reason
a@web-1  exec \"df -h\"  10m      its PIN at each use
a@web-1  sftp          1h       a reason (not available yet: ask the CA's operator)
a@web-9  shell         1h
a@web-9  exec \"df -h\"  10m      its PIN at each use
a@web-9  sftp          1h       (not available yet: ask the CA's operator)
";
    assert_eq!(ended.out, expected);
    let few = machine.run(&["ls", "web", "--limit", "1", "--json"]);
    let value: Value = serde_json::from_str(&few.out).unwrap();
    assert_eq!((value["accounts"].as_array().unwrap().len(), &value["more"]), (1, &true.into()));
    assert!(few.err.contains("--limit"), "{}", few.err);

    // A CA that never comes to an end is given up on.
    fake.set(|s| {
        let round = page(&[], r#","next":"a@x""#);
        s.answers.insert("GET /v1/accounts?host=x".into(), round.clone());
        s.answers.insert("GET /v1/accounts?host=x&cursor=a%40x".into(), round);
    });
    let ended = machine.run(&["ls", "x"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("again and again"), "{}", ended.err);
}
