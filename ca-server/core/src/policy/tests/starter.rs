//! The starter policy and inventory that `init` writes say in comments what they do: this is whether they do it.

use super::*;

fn starter(more: &str) -> Rules {
    let inventory = inventory_of(include_str!("../../../../starter/inventory.toml"));
    let source = PolicySource {
        file: "policy.cedar".into(),
        text: include_str!("../../../../starter/policy.cedar").into(),
    };
    let more = PolicySource { file: "more.cedar".into(), text: more.into() };
    Rules::load(&[source, more], inventory, &[0; 32], Span::from_seconds(3600)).unwrap()
}

#[test]
fn it_decides_as_its_comments_say() {
    let rules = starter("");
    let (sre, dev, contractor) = (&["sre"][..], &["dev"][..], &["contractors"][..]);
    for (groups, weekday, hour, what, expected) in [
        (sre, 1, 8, "shell deploy@web-1 because OPS-7", "1h by sre-prod"),
        (sre, 5, 19, "exec deploy@db-1 because OPS-7 run ls; id", "1h by sre-prod"),
        (sre, 5, 20, "shell deploy@web-1 because OPS-7", "approval_required"),
        (sre, 6, 12, "shell deploy@web-1 because OPS-7", "approval_required"),
        (sre, 1, 12, "shell deploy@web-1", "no_access"),
        (sre, 1, 12, "shell deploy@web-1 for 2h because OPS-7", "duration_denied"),
        (sre, 1, 12, "shell+agent deploy@web-1 because OPS-7", "no_access"),
        (sre, 1, 12, "shell postgres@db-1 because OPS-7", "no_access"),
        (sre, 1, 12, "shell alice@staging-1 because OPS-7", "no_access"),
        (dev, 7, 3, "shell alice@staging-1", "8h by dev-staging"),
        (dev, 7, 3, "shell+agent+forward alice@staging-1 for 1h", "1h by dev-staging"),
        (dev, 7, 3, "shell+x11 alice@staging-1", "no_access"),
        (dev, 7, 3, "shell bob@staging-1", "no_access"),
        (dev, 7, 3, "exec deploy@web-1 run df -h", "10m by dev-prod-look"),
        (dev, 7, 3, "exec deploy@web-1 run df -h; id", "no_access"),
        (dev, 7, 3, "exec deploy@web-1 run df  -h", "no_access"),
        (dev, 7, 3, "exec deploy@web-1 run df -h /", "no_access"),
        (dev, 7, 3, "shell deploy@web-1", "no_access"),
        (contractor, 1, 12, "sftp www-data@web-1", "no_access"),
        (contractor, 1, 12, "sftp www-data@web-1 ticket OPS-7", "15m pin by contractor-upload"),
        (contractor, 1, 12, "sftp www-data@web-1 for 1h ticket OPS-7", "duration_denied"),
        (contractor, 1, 12, "shell www-data@web-1 ticket OPS-7", "no_access"),
        (&[], 1, 12, "shell deploy@web-1 because OPS-7", "no_access"),
        // Who has a part in the host is told what forbids it, and nobody else.
        (sre, 1, 12, "shell root@web-1 because OPS-7", "forbidden"),
        (contractor, 1, 12, "shell root@web-2", "no_access"),
        (&[], 1, 12, "shell root@web-1", "no_access"),
    ] {
        let mut at = circumstances();
        (at.local.weekday, at.local.hour) = (weekday, hour);
        let decision = rules.decide(&person("alice", groups), &ask(what), &key(), &at);
        assert_eq!(outcome(&decision), expected, "{groups:?} {what}");
    }
}

#[test]
fn its_forbids_hold_whatever_is_permitted_later() {
    let rules = starter("permit (principal, action, resource is Account);");
    for (groups, what, expected) in [
        (
            &["sre"][..],
            "shell root@web-1",
            "Forbidden: shell on root@web-1: root on production is not for daily work",
        ),
        (&["sre"], "exec root@db-1 run id", "Forbidden: exec on root@db-1: root on production"),
        (
            &["sre", "contractors"],
            "shell deploy@db-1",
            "Forbidden: shell on deploy@db-1: hosts with card data",
        ),
    ] {
        let denial = denied(decide(&rules, &person("alice", groups), what));
        assert_eq!(denial.code, Code::Forbidden);
        assert!(denial.detail.starts_with(expected), "{}", denial.detail);
    }
    for (groups, what) in [(&["sre"][..], "shell deploy@db-1"), (&["contractors"], "shell deploy@web-1")] {
        assert_eq!(outcome(&decide(&rules, &person("alice", groups), what)), "1h by more.cedar:1", "{what}");
    }
}

/// Who may do what with the starter set: change the set, look at the difference, and let `UPDATE_EXPECT=1` write it.
#[test]
fn the_whole_matrix() {
    let rules = starter("");
    let modes = ["shell", "shell+agent", "sftp", "forward", "exec"];
    let mut table = String::from("# Those without a row have no access at all.\n");
    for groups in [&["sre"][..], &["dev"], &["contractors"], &["sre", "contractors"], &["sre-leads"], &[]] {
        for (when, weekday, hour) in [("Monday 10h", 1, 10), ("Sunday 3h", 7, 3)] {
            for host in rules.inventory().hosts() {
                for login in host.logins() {
                    let answers = modes.map(|mode| {
                        let command = if mode == "exec" { " run uptime" } else { "" };
                        let what =
                            format!("{mode} {login}@{} because OPS-7 ticket OPS-7{command}", host.name());
                        let mut at = circumstances();
                        (at.local.weekday, at.local.hour) = (weekday, hour);
                        outcome(&rules.decide(&person("alice", groups), &ask(&what), &key(), &at))
                    });
                    if answers.iter().any(|answer| answer != "no_access") {
                        let answers: Vec<String> = modes
                            .iter()
                            .zip(answers)
                            .map(|(mode, answer)| format!("    {mode}: {answer}\n"))
                            .collect();
                        table += &format!(
                            "{} {when} {login}@{}\n{}",
                            groups.join("+"),
                            host.name(),
                            answers.concat()
                        );
                    }
                }
            }
        }
    }
    expect_test::expect_file!["golden/starter.txt"].assert_eq(&table);
}

#[test]
fn the_development_policy_shows_one_answer_of_each_kind() {
    let inventory = inventory_of(
        "[[group]]\nname = \"dev\"\nlogins = [\"root\"]\n[[host]]\nname = \"web-1\"\ngroups = [\"dev\"]\n",
    );
    let source = PolicySource {
        file: "dev-policy.cedar".into(),
        text: include_str!("../../../../starter/dev-policy.cedar").into(),
    };
    let rules = Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(3600)).unwrap();
    let may = |rules: &Rules, groups: &[&str]| {
        rules.may(&person("grace", groups), crate::policy::Verb::Audit, &key(), &circumstances())
    };
    for (groups, given) in [(&["auditors"][..], true), (&["sre", "dev", "contractors", "sre-leads"], false)] {
        for rules in [&rules, &starter("")] {
            assert_eq!(matches!(may(rules, groups), crate::policy::Leave::Given(_)), given, "{groups:?}");
        }
    }
    for (groups, what, expected) in [
        (&["sre"][..], "shell+agent root@web-1", "1h by sre-everything"),
        (&["sre"], "shell root@web-1 for 2h", "duration_denied"),
        (&["dev"], "shell root@web-1 because OPS-7", "15m by dev-with-reason"),
        (&["dev"], "shell root@web-1", "no_access"),
        (&["dev"], "sftp root@web-1 because OPS-7", "no_access"),
        (&["contractors"], "exec root@web-1 run uptime -p", "10m by contractors-exec"),
        (&["contractors"], "exec root@web-1 run id", "forbidden"),
        (&["contractors"], "exec root@web-1 run uptime; id", "forbidden"),
        (&["contractors"], "shell root@web-1", "no_access"),
        (&[], "shell root@web-1 because OPS-7", "no_access"),
    ] {
        let decision = rules.decide(&person("alice", groups), &ask(what), &key(), &circumstances());
        let outcome = outcome(&decision);
        assert!(outcome.starts_with(expected), "{groups:?} {what}: {outcome}");
    }
}
