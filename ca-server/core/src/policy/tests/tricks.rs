//! Shell tricks against policies that look at a command: whatever a shell would read otherwise than it is written is no
//! plain command, so that no pattern on `context.command` or `context.argv` ever sees it.

use super::*;

/// Patterns as people write them, the widest first.
const PATTERNS: [&str; 6] = [
    "context has command && context.command like \"*\"",
    "context has command && context.command like \"journalctl *\"",
    "context has command && context.command like \"*journalctl*\"",
    "context has argv",
    "context has argv && context.argv.program == \"journalctl\"",
    "context has argv && context.argv has a1 && context.argv.a1 like \"*\"",
];

/// What somebody adds to `journalctl`.
const TRICKS: [&str; 64] = [
    // Another command after it.
    "journalctl ; id",
    "journalctl -n 5;id",
    "journalctl && id",
    "journalctl || id",
    "journalctl & id",
    "journalctl | sh",
    "journalctl |& sh",
    "journalctl -u x &",
    // In it.
    "journalctl $(id)",
    "journalctl -u $(id)",
    "journalctl `id`",
    "journalctl <(id)",
    "journalctl >(id)",
    "journalctl $((1))",
    "(journalctl)",
    "{ journalctl -n 5; }",
    "! journalctl",
    // Before it.
    "LD_PRELOAD=/tmp/x.so journalctl -n 5",
    "PAGER=/tmp/x journalctl -n 5",
    "A=b journalctl",
    "=journalctl -n 5",
    // Files.
    "journalctl > /etc/passwd",
    "journalctl >> .bashrc",
    "journalctl < /etc/shadow",
    "journalctl 2>&1",
    "journalctl <<< x",
    "journalctl -n 5 >|x",
    // Variables and globs.
    "journalctl $HOME",
    "journalctl ${IFS}-n",
    "$SHELL -c journalctl",
    "journalctl *",
    "journalctl ?",
    "journalctl [a-z]",
    "journalctl {a,b}",
    "journalctl ~",
    "journalctl ~root/.ssh/id_rsa",
    "~/bin/journalctl -n 5",
    "journalctl !!",
    "journalctl ^a^b",
    // Quotes and escapes.
    "journalctl 'a b'",
    "journalctl \"a b\"",
    "journalctl a\\ b",
    "\\journalctl -n 5",
    "journalctl \\",
    "j'ournalct'l -n 5",
    "journalctl $'\\n'id",
    "journalctl # comment",
    "#journalctl -n 5",
    // Blanks that are no single space between words.
    "journalctl  -n 5",
    " journalctl -n 5",
    "journalctl -n 5 ",
    "journalctl\t-n 5",
    "journalctl\u{a0}-n",
    "journalctl\u{2003}-n",
    "journalctl\u{3000}-n",
    "journalctl\u{2028}id",
    // Letters that look like others.
    "journa\u{4cf}ctl -n 5",
    "jo\u{443}rnalctl -n 5",
    "journalctl \u{2013}n 5",
    "journalctl \u{ff0d}n",
    // What is never one line.
    "journalctl\nid",
    "journalctl\rid",
    "journalctl\0id",
    "journalctl \u{202e}di",
];

#[test]
fn no_shell_trick_gets_past_a_pattern_on_the_command() {
    for pattern in PATTERNS {
        let rules = rules(&format!(
            "@id(\"a\") permit (principal, action == Action::\"exec\", resource) when {{ {pattern} }};"
        ));
        // The pattern is one that lets something in.
        assert_eq!(
            outcome(&decide(&rules, &person("alice", &[]), "exec deploy@web-1 run journalctl -n 5")),
            "1h by a",
            "{pattern}"
        );
        for trick in TRICKS {
            let body = AccessRequestBody {
                accounts: Vec::from(["deploy@web-1".to_string()]),
                mode: Mode::Exec,
                modifiers: Vec::new(),
                command: Some(trick.into()),
                duration: None,
                reason: String::new(),
                ticket: String::new(),
                key: String::new(),
                proof: String::new(),
            };
            let limits = RequestLimits { max_duration: Span::from_seconds(86_400), max_accounts: 16 };
            match AccessRequest::parse(&body, &limits) {
                // Refused at the edge: no line at all.
                Err(problem) => assert_eq!(problem.code, Code::CommandInvalid, "{trick:?}"),
                Ok(request) => {
                    let decision = rules.decide(&person("alice", &[]), &request, &key(), &circumstances());
                    assert_eq!(outcome(&decision), "no_access", "{pattern}: {trick:?}");
                }
            }
        }
    }
}

#[test]
fn a_raw_command_is_compared_whole() {
    let rules = rules(
        "@id(\"a\") permit (principal, action == Action::\"exec\", resource)
         when { context has raw_command && context.raw_command == \"grep -c ' 500 ' access.log\" };",
    );
    for (command, expected) in [
        ("grep -c ' 500 ' access.log", "1h by a"),
        ("grep -c ' 500 ' access.log; id", "no_access"),
        ("grep -c  ' 500 ' access.log", "no_access"),
        ("grep -c \" 500 \" access.log", "no_access"),
        ("grep -c 500 access.log", "no_access"),
    ] {
        let decision =
            decide(&rules, &person("alice", &[]), &alloc::format!("exec deploy@web-1 run {command}"));
        assert_eq!(outcome(&decision), expected, "{command}");
    }
}

#[test]
fn words_that_a_shell_takes_as_they_are_can_be_told_apart() {
    let rules = rules(
        "@id(\"a\") permit (principal, action == Action::\"exec\", resource)
         when { context has argv && context.argv.program == \"journalctl\" && context.argv.count == 3 && context.argv has a1 && context.argv.a1 == \"-u\" && context.argv has a2 && [\"nginx\", \"shop\"].contains(context.argv.a2) };",
    );
    for (command, expected) in [
        ("journalctl -u nginx", "1h by a"),
        ("journalctl -u shop", "1h by a"),
        ("journalctl -u sshd", "no_access"),
        ("journalctl -u nginx -f", "no_access"),
        ("journalctl -unginx", "no_access"),
        ("/tmp/journalctl -u nginx", "no_access"),
        ("JOURNALCTL -u nginx", "no_access"),
    ] {
        let decision =
            decide(&rules, &person("alice", &[]), &alloc::format!("exec deploy@web-1 run {command}"));
        assert_eq!(outcome(&decision), expected, "{command}");
    }
}
