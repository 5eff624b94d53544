//! What is refused when policies are loaded, and where the error points.

use super::*;

/// Policies at the scanner's limits, each shaped to make another part of Cedar recurse: the worst that it is ever given.
fn at_the_limits() -> Vec<(&'static str, String)> {
    let permit =
        |when: &str| format!("permit (principal, action == Action::\"shell\", resource) when {{ {when} }};");
    let many = |n: usize, one: &str, join: &str| Vec::from_iter(core::iter::repeat_n(one, n)).join(join);
    let nested = |open: &str, inner: &str, close: &str, n: usize| {
        permit(&format!("{}{inner}{}", open.repeat(n), close.repeat(n)))
    };
    Vec::from([
        ("brackets", nested("(", "true", ")", 23)),
        ("sets", nested("[", "1", "]", 23)),
        ("records", nested("{a: ", "1", "}", 23)),
        ("not in brackets", nested("!(true && ", "true", ")", 23)),
        ("if in brackets", nested("(if true then true else !!true && 1 + 2 == 3 || ", "true", ")", 23)),
        ("and", permit(&many(197, "true", " && "))),
        ("or", permit(&many(390, "principal is User", " || "))),
        ("plus", permit(&format!("{} == 1", many(390, "1", " + ")))),
        ("minus", permit(&format!("{} == 1", many(390, "1", " - ")))),
        ("times", permit(&format!("{} == 1", many(390, "1", " * ")))),
        ("minus signs", permit(&format!("1 == {}1", "-".repeat(390)))),
        ("not", permit(&format!("{}true", "!".repeat(390)))),
        ("equals", permit(&many(390, "1", " == "))),
        ("dots", permit(&format!("context{}", ".a".repeat(390)))),
        ("dots after has", permit(&format!("context has a{}", ".a".repeat(390)))),
        ("indices", permit(&format!("context{}", "[\"a\"]".repeat(390)))),
        ("calls", permit(&format!("context.now{}", ".offset(duration(\"1s\"))".repeat(130)))),
        ("calls of calls", permit(&format!("context{}", "()".repeat(390)))),
        ("else if", permit(&format!("{}true", "if true then true else ".repeat(390)))),
        ("if if", nested("if ", "true", " then true else true", 390)),
        ("then if", nested("if true then ", "true", " else true", 390)),
        (
            "when",
            format!(
                "permit (principal, action == Action::\"shell\", resource) {};",
                "when { true } ".repeat(190)
            ),
        ),
        ("path", permit(&format!("{}\"a\" == principal", "A::".repeat(8)))),
        ("wide set", permit(&format!("principal in [{}]", many(2000, "User::\"corp/x\"", ",")))),
        ("annotations", format!("{} permit (principal, action, resource);", "@title(\"x\") ".repeat(390))),
        ("at signs", "@".repeat(5000) + ";"),
    ])
}

/// Half of what `Rules::load` asks for.
const STACK: usize = 8 << 20;

#[test]
fn nothing_within_the_limits_exhausts_a_stack() {
    for (name, text) in at_the_limits() {
        let load = move || {
            let loaded = try_rules(&text);
            if let Ok(rules) = &loaded {
                // Whatever it says: it must say something, on a stack of ordinary size too.
                let _ = std::thread::scope(|s| {
                    s.spawn(|| outcome(&decide(rules, &person("alice", &["sre"]), "shell deploy@web-1")))
                        .join()
                        .unwrap()
                });
            }
            loaded.err().and_then(|errors| errors.first().map(ToString::to_string))
        };
        let error = std::thread::Builder::new().stack_size(STACK).spawn(load).unwrap().join().unwrap();
        // Not the scanner's own limits: these inputs are to reach Cedar.
        assert!(!error.is_some_and(|e| e.contains("more than")), "{name}");
    }
}

#[test]
fn what_is_refused_and_where() {
    let permit = "permit (principal, action, resource);";
    let mut wrong = Vec::new();
    for (text, line, column, why) in [
        // Not a policy.
        ("permit", 1, 1, "not finished"),
        ("permit (principal, action);", 1, 26, "resource"),
        ("\n  allow (principal, action, resource);", 2, 3, "allow"),
        ("permit (principal == ?principal, action, resource);", 1, 22, "template"),
        ("permit (principal, action, resource) when { \"\\q\" == \"\" };", 1, 45, "escape"),
        (&alloc::format!("{permit}\n{}", "(".repeat(30)), 2, 25, "nested"),
        // Not of the schema: each error stands at its own place.
        ("permit (principal, action == Action::\"ssh\", resource);", 1, 30, "(there are shell, exec, "),
        (
            "permit (principal, action == Action::\"shel\", resource);",
            1,
            30,
            "did you mean `Action::\"shell\"`?",
        ),
        (
            "permit (principal, action == Action::\"aproove\", resource);",
            1,
            30,
            "did you mean `Action::\"approve\"`?",
        ),
        ("permit (principal in Team::\"a\", action, resource);", 1, 22, "Team"),
        (
            "// ok\npermit (principal, action == Action::\"shell\", resource)\nwhen { resource.user == \"x\" };",
            3,
            8,
            "user",
        ),
        (
            "permit (principal, action == Action::\"shell\", resource) when { principal.login == \"x\" };",
            1,
            64,
            "login",
        ),
        (
            "permit (principal, action == Action::\"shell\", resource) when { context.argv.count == 1 };",
            1,
            64,
            "argv",
        ),
        (
            "permit (principal, action == Action::\"exec\", resource) when { context.argv.count == 1 };",
            1,
            63,
            "argv",
        ),
        (
            "permit (principal, action == Action::\"shell\", resource) when { context.auth.age < duration(\"1h\") };",
            1,
            64,
            "age",
        ),
        (
            "permit (principal, action == Action::\"shell\", resource) when { resource.host.getTag(\"env\") == \"prod\" };",
            1,
            64,
            "tag",
        ),
        (
            "permit (principal, action == Action::\"shell\", resource) when { context.local.hour == \"8\" };",
            1,
            64,
            "not compatible",
        ),
        (
            "permit (principal, action == Action::\"shell\", resource) when { context.duration < duration(\"1 hour\") };",
            1,
            83,
            "duration",
        ),
        ("forbid (principal, action, resource) when { resource.login == \"root\" };", 1, 45, "login"),
        // Can never match, so it protects nothing.
        ("forbid (principal, action == Action::\"shell\", resource) when { false };", 1, 57, "impossible"),
        (
            "forbid (principal, action == Action::\"shell\", resource is Request);",
            1,
            1,
            "unable to find an applicable action",
        ),
        (
            "permit (principal, action == Action::\"shell\", resource) when { context.reason == \"\u{202e}x\" };",
            1,
            82,
            "\\u{202e}x\"` contains BIDI",
        ),
        // Annotations.
        ("@ttl(\"1h\")\n @tll(\"1h\") permit (principal, action, resource);", 2, 2, "@tll is not known"),
        ("@ttl(\"1 hour\") permit (principal, action, resource);", 1, 1, "not a duration"),
        ("@ttl(\"0s\") permit (principal, action, resource);", 1, 1, "zero"),
        ("@ttl permit (principal, action, resource);", 1, 1, "not a duration"),
        ("@id(\"No Spaces\") permit (principal, action, resource);", 1, 1, "@id"),
        ("@id(\"p.cedar:1\") permit (principal, action, resource);", 1, 1, "@id"),
        ("@id permit (principal, action, resource);", 1, 1, "@id"),
        ("@message(\"\") forbid (principal, action, resource);", 1, 1, "says nothing"),
        ("@message(\"a\\nb\") forbid (principal, action, resource);", 1, 1, "invisible"),
        ("@approvals(\"sre\") permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@approvals(\"0 of sre\") permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@approvals(\"+1 of sre\") permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@approvals(\"300 of sre\") permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@approvals(\"1 of SRE\") permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@approvals(\"1 of a, 1 of b\") permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@source(\"any\") permit (principal, action, resource);", 1, 1, "pin"),
        ("@verify(\"no\") permit (principal, action, resource);", 1, 1, "takes no value"),
        ("@break_glass(\"false\") permit (principal, action, resource);", 1, 1, "takes no value"),
        ("@ttl(\"1h\") forbid (principal, action, resource);", 1, 1, "only a permit"),
        ("@break_glass forbid (principal, action, resource);", 1, 1, "only a permit"),
        ("@ttl(\"1h\") @ttl(\"2h\") permit (principal, action, resource);", 1, 12, "duplicate"),
        (
            "// first\n\n  @aproval(\"1 of x\") permit (principal, action, resource);",
            3,
            3,
            "did you mean @approvals?",
        ),
        ("@breakglass permit (principal, action, resource);", 1, 1, "did you mean @break_glass?"),
        ("@id(\"a\") @titel(\"x\") permit (principal, action, resource);", 1, 10, "did you mean @title?"),
        ("@owner(\"x\") permit (principal, action, resource);", 1, 1, "use id, title, message, ttl"),
        ("@TTL(\"1h\") permit (principal, action, resource);", 1, 1, "@TTL is not known"),
        ("@ttl(\"1h30m\") permit (principal, action, resource);", 1, 1, "not a duration"),
        ("@ttl(\" 1h\") permit (principal, action, resource);", 1, 1, "not a duration"),
        ("@ttl(\"-1h\") permit (principal, action, resource);", 1, 1, "not a duration"),
        ("@ttl(\"99999999999999999999d\") permit (principal, action, resource);", 1, 1, "@ttl"),
        ("@id(\"\") permit (principal, action, resource);", 1, 1, "@id"),
        ("@id(\"sr\u{435}\") permit (principal, action, resource);", 1, 1, "@id"),
        ("@approvals permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@approvals(\"10 of sre\") permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@approvals(\"1 of  sre\") permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@approvals(\"1 of \") permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@approvals(\"one of sre\") permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@approvals(\"\u{661} of sre\") permit (principal, action, resource);", 1, 1, "N of GROUP"),
        ("@approvals(\"1 of sre\") forbid (principal, action, resource);", 1, 1, "only a permit"),
        ("@source permit (principal, action, resource);", 1, 1, "pin"),
        ("@source(\"Pin\") permit (principal, action, resource);", 1, 1, "pin"),
        ("@source(\"pin\") forbid (principal, action, resource);", 1, 1, "only a permit"),
        ("@verify forbid (principal, action, resource);", 1, 1, "only a permit"),
        ("@notify(\"ops\") forbid (principal, action, resource);", 1, 1, "only a permit"),
        ("@notify permit (principal, action, resource);", 1, 1, "says nothing"),
        ("@title(\" \") permit (principal, action, resource);", 1, 1, "says nothing"),
        ("@title(\"a\u{202e}b\") permit (principal, action, resource);", 1, 1, "invisible"),
        ("@message(\"a\\0b\") forbid (principal, action, resource);", 1, 1, "invisible"),
        // Names.
        (
            "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);",
            2,
            1,
            "p.cedar:1",
        ),
    ] {
        let errors = try_rules(text).expect_err(text);
        let first = &errors[0];
        let fits = (first.line, first.column) == (line, column)
            && first.what.to_lowercase().contains(&why.to_lowercase())
            && !first.what.contains('\n')
            && first.file == "p.cedar";
        if !fits {
            wrong.push(format!("{text}\n  {first}\n  expected {line}:{column} {why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_error_of_every_file_is_told() {
    let source = |file: &str, text: &str| PolicySource { file: file.into(), text: text.into() };
    let sources = [
        source(
            "a.cedar",
            "@ttl(\"x\") permit (principal, action, resource); @x permit (principal, action, resource);",
        ),
        source("b.cedar", "permit (principal, action == Action::\"nope\", resource);"),
        source("c.cedar", "permit ("),
    ];
    let errors = Rules::load(&sources, inventory(), &[0; 32], Span::from_seconds(60)).unwrap_err();
    let files: Vec<&str> = errors.iter().map(|e| e.file.as_str()).collect();
    assert_eq!(files, ["a.cedar", "a.cedar", "b.cedar", "c.cedar"]);
}

#[test]
fn two_files_of_one_name_are_refused() {
    let source =
        PolicySource { file: "a.cedar".into(), text: "permit (principal, action, resource);".into() };
    let errors =
        Rules::load(&[source.clone(), source], inventory(), &[0; 32], Span::from_seconds(60)).unwrap_err();
    assert!(errors[0].what.contains("a.cedar:1"), "{errors:?}");
}

#[test]
fn a_policy_without_an_id_is_named_by_file_and_position() {
    let rules = rules(
        "@id(\"x\") forbid (principal, action, resource) when { context.reason == \"no\" };\n\
         permit (principal, action == Action::\"shell\", resource);",
    );
    assert_eq!(outcome(&decide(&rules, &person("a", &[]), "shell deploy@lab-1")), "1h by p.cedar:2");
}

#[test]
fn the_digest_names_the_set() {
    let load = |sources: &[(&str, &str)], inventory_digest: u8, ttl: u64| {
        let sources: Vec<PolicySource> =
            sources.iter().map(|(f, t)| PolicySource { file: f.to_string(), text: t.to_string() }).collect();
        let rules =
            Rules::load(&sources, inventory(), &[inventory_digest; 32], Span::from_seconds(ttl)).unwrap();
        rules.digest().to_string()
    };
    let first = load(&[("a", "// x"), ("b", "")], 0, 60);
    assert_eq!(first.len(), 64);
    assert_eq!(first, load(&[("b", ""), ("a", "// x")], 0, 60));
    for other in [
        load(&[("a", "// y"), ("b", "")], 0, 60),
        load(&[("a", ""), ("b", "// x")], 0, 60),
        load(&[("a", "// x")], 0, 60),
        load(&[("a", "// x"), ("b", "")], 1, 60),
        load(&[("a", "// x"), ("b", "")], 0, 61),
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn the_documented_examples_load() {
    let rules = rules(
        r#"
        @id("sre-prod") @ttl("1h") @approvals("1 of sre-leads")
        permit (principal in Group::"sre", action in [Action::"shell", Action::"sftp"], resource in HostGroup::"prod")
        when { resource.login == "deploy" && context.reason != "" && context.local.hour >= 8 && context.local.hour < 20 };

        @id("no-root-on-cardholder") @message("root on the cardholder hosts is break-glass only")
        forbid (principal, action, resource in HostGroup::"cardholder")
        when { resource.login == "root" } unless { context.break_glass };

        @title("approving, for later") permit (principal in Group::"sre-leads", action == Action::"approve", resource);
        permit (principal, action == Action::"sudo", resource in HostGroup::"lab");
        "#,
    );
    assert_eq!(rules.len(), 4);
    let decision = decide(&rules, &person("alice", &["sre"]), "shell deploy@web-1 because OPS-7");
    assert_eq!(outcome(&decision), "approval_required");
}

#[test]
fn rules_are_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&rules(""));
}
