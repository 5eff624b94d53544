//! What is found, one row a case: policies, then each finding as `line:column lint`, and a part of its message and help.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jit_ssh_proto::Span;

use super::*;
use crate::identity::IdentityKind;
use crate::inventory::InventorySource;

const INVENTORY: &str = r#"
    [[group]]
    name = "prod"
    logins = ["deploy", "root"]
    [[group]]
    name = "web"
    groups = ["prod"]
    [[group]]
    name = "lab"
    logins = ["alice"]
    [[host]]
    name = "web-1"
    groups = ["web"]
    labels = { env = "prod" }
    [[host]]
    name = "lab-1"
    groups = ["lab"]
"#;

fn issuer(name: &str, kind: IdentityKind, groups: &[&str]) -> IssuerRules {
    let map = groups.iter().map(|g| (format!("their-{g}"), Vec::from([g.parse().unwrap()])));
    let mut rules = crate::policy::tests::issuer_rules(name, kind);
    rules.groups_map = map.collect::<BTreeMap<_, _>>();
    rules.tags = [("ref".to_string(), "ref".parse().unwrap())].into();
    rules
}

fn issuers() -> Vec<IssuerRules> {
    Vec::from([
        issuer("corp", IdentityKind::User, &["sre", "sre-leads", "dev"]),
        issuer("ci", IdentityKind::Workload, &["deployers"]),
    ])
}

fn found_with(policies: &str, inventory: &str, issuers: Option<&[IssuerRules]>) -> Vec<Finding> {
    let hosts = InventorySource { file: "hosts.toml".into(), text: inventory.into() };
    let files = [hosts];
    let inventory = Inventory::read(&files).unwrap();
    let source = PolicySource { file: "p.cedar".into(), text: policies.into() };
    // Nothing here is an error: those are told first, and by others.
    crate::policy::Rules::load(
        core::slice::from_ref(&source),
        inventory.clone(),
        &[0; 32],
        Span::from_seconds(1800),
    )
    .unwrap_or_else(|e| panic!("{policies}\n{e:?}"));
    let around = Surroundings {
        issuers,
        inventory: &files,
        max_duration: Span::from_seconds(8 * 3600),
        default_ttl: Span::from_seconds(1800),
        today: Some("2026-11-22"),
    };
    review(&[source], &inventory, &around)
}

fn found(policies: &str) -> Vec<Finding> {
    found_with(policies, INVENTORY, Some(&issuers()))
}

fn short(finding: &Finding) -> String {
    let place = finding.place.as_ref().map_or(String::new(), |(_, line, column)| format!("{line}:{column} "));
    format!("{place}{}", finding.lint.as_str())
}

#[test]
fn what_is_found_and_where() {
    let mut wrong = Vec::new();
    for (policies, expected) in [
        // Nothing to say of what is in order.
        (
            r#"permit (principal in Group::"sre", action == Action::"shell", resource in HostGroup::"prod")
               when { resource.login == "deploy" && resource.host.hasTag("env") };"#,
            &[][..],
        ),
        // Names.
        (
            r#"permit (principal in Group::"sre", action == Action::"shell", resource in HostGroup::"prd");"#,
            &[("1:75 unknown-name", "no group of hosts \"prd\"", "did you mean HostGroup::\"prod\"?")],
        ),
        (
            r#"permit (principal in Group::"sre", action == Action::"shell", resource in Host::"db-9");"#,
            &[("1:75 unknown-name", "no host \"db-9\"", "add a [[host]]")],
        ),
        (
            r#"permit (principal in Group::"sre", action == Action::"shell", resource == Account::"dploy@web-1");"#,
            &[("1:75 unknown-name", "\"web-1\" offers no login \"dploy\"", "logins")],
        ),
        (
            r#"permit (principal in Group::"sre", action == Action::"shell", resource == Account::"deploy@web-2");"#,
            &[("1:75 unknown-name", "no host \"web-2\"", "did you mean the host \"web-1\"?")],
        ),
        (
            r#"permit (principal == User::"crp/ann", action == Action::"shell", resource);"#,
            &[("1:22 unknown-name", "no issuer is called \"crp\"", "did you mean the issuer \"corp\"?")],
        ),
        (
            r#"permit (principal == User::"ann", action == Action::"shell", resource);"#,
            &[("1:22 unknown-name", "this names nobody", "User::\"ISSUER/NAME\"")],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource)\nwhen { resource.login == \"rot\" };",
            &[("2:26 unknown-name", "offers the login \"rot\"", "did you mean \"root\"?")],
        ),
        (
            "forbid (principal, action, resource is Account)\nwhen { [\"root\", \"admin\"].contains(resource.login) };",
            &[("2:17 unknown-name", "offers the login \"admin\"", "logins")],
        ),
        (
            "forbid (principal, action, resource is Account)\nwhen { resource.host.hasTag(\"evn\") && resource.host.getTag(\"evn\") == \"prod\" };",
            &[
                ("2:29 unknown-name", "has the label \"evn\"", "did you mean \"env\"?"),
                ("2:60 unknown-name", "has the label \"evn\"", ""),
            ],
        ),
        (
            "forbid (principal, action, resource is Account) when { resource.host.name == \"web-2\" };",
            &[("1:78 unknown-name", "no host \"web-2\"", "did you mean \"web-1\"?")],
        ),
        (
            "forbid (principal, action, resource is Account) when { context.auth.issuer == \"corpp\" };",
            &[("1:79 unknown-name", "no issuer is called \"corpp\"", "did you mean \"corp\"?")],
        ),
        (
            "permit (principal, action == Action::\"shell\", resource) when { principal.hasTag(\"reff\") && principal.hasTag(\"ref\") && principal.getTag(\"ref\") == \"x\" };",
            &[("1:81 unknown-name", "no issuer takes a claim as the tag \"reff\"", "did you mean \"ref\"?")],
        ),
        // People.
        (
            "// Group::\"x\"\npermit (principal in Group::\"sree\", action == Action::\"shell\", resource);",
            &[("2:22 unmapped-group", "nobody is in \"sree\"", "did you mean Group::\"sre\"?")],
        ),
        (
            "@approvals(\"1 of leads\")\npermit (principal in Group::\"sre\", action == Action::\"shell\", resource);",
            &[("1:1 unmapped-approvers", "maps anybody to leads", "groups_map")],
        ),
        (
            "@approvals(\"1 of sre-leads\")\npermit (principal in Group::\"sre\", action == Action::\"shell\", resource);",
            &[],
        ),
        (
            "@id(\"a\")\n@approvals(\"1 of deployers\")\npermit (principal in Group::\"sre\", action == Action::\"shell\", resource);",
            &[("2:1 second-identity", "ci is an issuer of workloads, which never approve", "groups_map")],
        ),
        // Scopes.
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource);\nforbid (principal, action == Action::\"shell\", resource);",
            &[("1:1 shadowed", "p.cedar:2 forbids everything", "condition")],
        ),
        (
            "@id(\"permit\") permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"web\");\nforbid (principal in Group::\"sre\", action in [Action::\"shell\", Action::\"exec\"], resource in HostGroup::\"prod\");",
            &[("1:15 shadowed", "p.cedar:2 forbids", "")],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource == Account::\"root@web-1\");\nforbid (principal is User, action, resource in Host::\"web-1\");",
            &[],
        ),
        (
            "permit (principal is User, action == Action::\"shell\", resource == Account::\"root@web-1\");\nforbid (principal is User, action, resource in Host::\"web-1\");",
            &[("1:1 shadowed", "p.cedar:2 forbids", "")],
        ),
        // A condition, another group, fewer actions or other hosts leave something.
        (
            "permit (principal in Group::\"sre\", action in [Action::\"shell\", Action::\"exec\"], resource in HostGroup::\"prod\");\n\
             forbid (principal, action, resource is Account) when { context.reason == \"\" };\n\
             forbid (principal in Group::\"dev\", action, resource is Account);\n\
             forbid (principal, action == Action::\"shell\", resource is Account);\n\
             forbid (principal, action, resource in HostGroup::\"web\");",
            &[],
        ),
        // Actions.
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"prod\");\nforbid (principal, action == Action::\"sftp\", resource in HostGroup::\"web\");",
            &[(
                "2:1 lesser-forbidden",
                "p.cedar:1 permits shell to whom this forbids sftp: a shell moves any file",
                "forbid shell too",
            )],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"prod\");\n\
             forbid (principal, action == Action::\"sftp\", resource in HostGroup::\"lab\");\n\
             forbid (principal in Group::\"dev\", action == Action::\"exec\", resource);\n\
             forbid (principal, action in [Action::\"shell\", Action::\"exec\"], resource) when { context.reason == \"\" };",
            &[],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"exec\", resource);",
            &[("1:1 worth-a-shell", "exec of any command is a shell", "context.command")],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"exec\", resource) when { context has command && [\"uptime\"].contains(context.command) };",
            &[],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"sftp\", resource);",
            &[("1:1 worth-a-shell", "start-up files", "home")],
        ),
        (
            "permit (principal in Group::\"sre\", action in [Action::\"shell\", Action::\"audit\"], resource);",
            &[("1:1 mixed-verbs", "in one", "policy of their own")],
        ),
        // Conditions.
        (
            "permit (principal in Group::\"sre\", action == Action::\"exec\", resource)\nwhen { context has command && context.command like \"journalctl *\" };",
            &[("2:31 open-like", "every argument", "list the whole commands")],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource)\nwhen { resource.host.name like \"web-*\" };",
            &[("2:8 open-like", "today's and tomorrow's", "label")],
        ),
        // What only takes away, or ends in something, is in order.
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource)\nwhen { principal has email && principal.email like \"*@example.com\" } unless { context.reason like \"test*\" };\n\
             forbid (principal, action, resource is Account) when { resource.host.name like \"web-*\" };",
            &[],
        ),
        (
            "forbid (principal, action == Action::\"shell\", resource) unless { resource.host.name like \"web-*\" };",
            &[("1:66 open-like", "begins like this", "")],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource) when { context.ticket like \"CHG-*\" };",
            &[],
        ),
        // No pattern holds shell text in, on whichever side.
        (
            "permit (principal in Group::\"sre\", action == Action::\"exec\", resource)\nwhen { context has raw_command && context.raw_command like \"ls -*l\" };",
            &[("2:35 open-like", "text that a shell reads", "context.command")],
        ),
        (
            "forbid (principal, action == Action::\"exec\", resource)\nwhen { context has raw_command && context.raw_command like \"*reboot*\" };",
            &[
                ("2:35 open-like", "text that a shell reads", "context.command"),
                ("2:35 evadable-forbid", "and so does a shell", "forbid all others"),
            ],
        ),
        // A `*` before the end.
        (
            "permit (principal in Group::\"sre\", action == Action::\"exec\", resource)\nwhen { context has command && context.command like \"systemctl * nginx\" };",
            &[("2:31 open-like", "every word through in place of the `*`", "list the whole commands")],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource) when { principal.hasTag(\"ref\") && principal.getTag(\"ref\") like \"*/main\" };",
            &[("1:107 open-like", "whatever ends like this", "compare the whole text")],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource) when { principal has email && principal.email like \"ann*@example.com\" };",
            &[("1:103 open-like", "whatever ends like this", "")],
        ),
        // A list of what may not be run.
        (
            "permit (principal in Group::\"sre\", action == Action::\"exec\", resource) when { context has command && context.command == \"uptime\" };\n\
             forbid (principal, action == Action::\"exec\", resource) when { context has command && [\"reboot\"].contains(context.command) };\n\
             forbid (principal, action == Action::\"exec\", resource) when { context has argv && context.argv.program == \"halt\" };",
            &[
                (
                    "2:86 evadable-forbid",
                    "quotes, a path or another program",
                    "permit the commands that may be run",
                ),
                ("3:83 evadable-forbid", "", ""),
            ],
        ),
        // Of what may be, and of all that is no plain command.
        (
            "forbid (principal, action == Action::\"exec\", resource) unless { context has command && [\"uptime\"].contains(context.command) };\n\
             forbid (principal, action == Action::\"exec\", resource) when { context has raw_command };",
            &[],
        ),
        // A forbid that names in its condition what it leaves alone.
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"prod\");\n\
             forbid (principal, action, resource in HostGroup::\"prod\") unless { action == Action::\"shell\" };",
            &[("2:1 lesser-forbidden", "permits shell to whom this forbids", "forbid shell too")],
        ),
        (
            "permit (principal in Group::\"sre\", action, resource) when { [Action::\"exec\"].contains(action) };",
            &[("1:1 worth-a-shell", "exec of any command is a shell", "")],
        ),
        // What always holds is no condition.
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource);\nforbid (principal, action == Action::\"shell\", resource) when { true };",
            &[("1:1 shadowed", "p.cedar:2 forbids everything", "condition")],
        ),
        // Logins that others offer.
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"prod\")\nwhen { [\"deploy\", \"alice\"].contains(resource.login) };",
            &[(
                "2:19 unknown-name",
                "no host of the group prod offers the login \"alice\"",
                "logins of the group",
            )],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in Host::\"lab-1\") when { resource.login == \"root\" };",
            &[("1:115 unknown-name", "the host lab-1 does not offer the login \"root\"", "")],
        ),
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource == Account::\"deploy@web-1\") when { resource.login == \"root\" };",
            &[("1:125 unknown-name", "deploy@web-1 is not of the login", "")],
        ),
        // What is kept out need not be there, nor what is forbidden.
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"lab\") unless { resource.login == \"root\" };\n\
             forbid (principal, action, resource in HostGroup::\"lab\") when { resource.login == \"root\" };",
            &[],
        ),
        // The clock.
        (
            "permit (principal in Group::\"sre\", action == Action::\"shell\", resource) when { context.local.hour >= 25 };",
            &[("1:102 out-of-range", "hour goes from 0 to 23: this never holds", "correct")],
        ),
        (
            "forbid (principal, action, resource) when { [0, 6].contains(context.local.weekday) || context.local.minute > 60 || context.local.weekday < 1 };",
            &[
                ("1:46 out-of-range", "weekday goes from 1 to 7: this never holds", "Sunday is 7"),
                ("1:110 out-of-range", "minute goes from 0 to 59: this never holds", ""),
                ("1:140 out-of-range", "never holds", ""),
            ],
        ),
        (
            "forbid (principal, action, resource) when { context.local.hour == 24 || context.local.hour <= 30 || 99 < context.local.hour };",
            &[
                ("1:67 out-of-range", "never holds", "midnight is 0"),
                ("1:95 out-of-range", "always holds", "correct"),
                ("1:101 out-of-range", "never holds", ""),
            ],
        ),
        (
            "forbid (principal, action, resource is Account) when { context.local.hour >= 0 && context.local.hour < 24 && context.local.weekday <= 7 && context.local.minute <= 59 };",
            &[],
        ),
        (
            "@ttl(\"9h\") permit (principal in Group::\"sre\", action == Action::\"shell\", resource);",
            &[("1:1 ttl-above-maximum", "nothing lasts longer than 8h", "limits.duration")],
        ),
    ] {
        let findings = found(policies);
        let fits = findings.len() == expected.len()
            && findings.iter().zip(expected).all(|(finding, (place, message, help))| {
                short(finding) == *place && finding.message.contains(message) && finding.help.contains(help)
            });
        if !fits {
            let got: Vec<String> =
                findings.iter().map(|f| format!("  {}: {} / {}", short(f), f.message, f.help)).collect();
            wrong.push(format!("{policies}\n{}\n  expected {expected:?}", got.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_person_at_two_issuers() {
    let leads = "@approvals(\"1 of leads\") permit (principal in Group::\"sre\", action == Action::\"shell\", resource);";
    let anybody = "@approvals(\"1 of leads\") permit (principal, action == Action::\"shell\", resource);";
    let corp = issuer("corp", IdentityKind::User, &["sre", "leads"]);
    for (policies, others, expected) in [
        (leads, &[][..], 0),
        // Another issuer maps the approvers' group, or the askers'.
        (leads, &[issuer("partner", IdentityKind::User, &["leads"])], 1),
        (leads, &[issuer("partner", IdentityKind::User, &["sre"])], 1),
        (leads, &[issuer("partner", IdentityKind::User, &["dev"])], 0),
        // Partners ask and our leads approve: that is how it is meant.
        (
            "@approvals(\"1 of leads\") permit (principal in Group::\"dev\", action == Action::\"shell\", resource);",
            &[issuer("partner", IdentityKind::User, &["dev"])],
            0,
        ),
        (anybody, &[issuer("partner", IdentityKind::User, &["dev"])], 1),
        // Jobs ask, people approve: that is what approvals are for.
        (anybody, &[issuer("ci", IdentityKind::Workload, &[])], 0),
        (leads, &[issuer("ci", IdentityKind::Workload, &["leads"])], 1),
    ] {
        let issuers: Vec<IssuerRules> =
            core::iter::once(corp.clone()).chain(others.iter().cloned()).collect();
        let findings = found_with(policies, INVENTORY, Some(&issuers));
        let second = findings.iter().filter(|f| f.lint == Lint::SecondIdentity).count();
        assert_eq!(second, expected, "{policies} {:?}", others.first().map(|i| &i.name));
    }
}

#[test]
fn kinds_that_nobody_is_of() {
    let people = [issuer("corp", IdentityKind::User, &["sre"])];
    for (policies, expected) in [
        ("permit (principal is Workload, action == Action::\"shell\", resource);", "1:1 unreachable"),
        (
            "permit (principal is Workload in Group::\"sre\", action == Action::\"shell\", resource);",
            "1:1 unreachable",
        ),
        (
            "permit (principal == Workload::\"corp/x\", action == Action::\"shell\", resource);",
            "1:1 unreachable",
        ),
        ("permit (principal is User, action == Action::\"shell\", resource);", ""),
    ] {
        let findings = found_with(policies, INVENTORY, Some(&people));
        assert_eq!(findings.iter().map(short).collect::<Vec<_>>().join(" "), expected, "{policies}");
    }
}

#[test]
fn guests_are_people_too() {
    let guest = |group: &str, until: &str| {
        format!(
            "{INVENTORY}\n[[guest]]\nissuer = \"acme\"\nname = \"gina\"\nsponsor = \"corp/ann\"\nuntil = \"{until}\"\ngroups = [\"{group}\"]\n"
        )
    };
    let issuers =
        [issuer("corp", IdentityKind::User, &["sre", "leads"]), issuer("acme", IdentityKind::User, &[])];
    let found = |policies: &str, inventory: &str| -> Vec<String> {
        let findings = found_with(policies, inventory, Some(&issuers));
        findings.iter().map(|f| format!("{}: {}", short(f), f.message)).collect()
    };
    let contractors = "permit (principal in Group::\"contractors\", action == Action::\"shell\", resource);";
    assert_eq!(found(contractors, &guest("contractors", "2026-11-22")), [""; 0]);
    assert_eq!(
        found(contractors, &guest("contractors", "2026-11-21")),
        ["guest-ended: acme/gina was a guest until 2026-11-21: they get nothing"]
    );
    let leads = "@approvals(\"1 of leads\") permit (principal in Group::\"sre\", action == Action::\"shell\", resource);";
    let both = found(leads, &guest("leads", "2026-12-31"));
    assert!(
        both[0].starts_with("1:1 second-identity: who has an identity at corp and one in leads at acme"),
        "{both:?}"
    );
}

#[test]
fn guests_and_sponsors_are_of_issuers_that_there_are() {
    let guest = |issuer: &str, sponsor: &str| {
        format!(
            "{INVENTORY}[[guest]]\nissuer = \"{issuer}\"\nname = \"gina\"\nsponsor = \"{sponsor}\"\nuntil = \"2026-12-31\"\n"
        )
    };
    let text = "permit (principal, action == Action::\"shell\", resource);";
    let line = INVENTORY.lines().count() + 1;
    let (own, sponsors) = (line + 1, line + 3);
    for (issuer, sponsor, expected) in [
        ("corp", "corp/ann", Vec::new()),
        (
            "crop",
            "corp/ann",
            Vec::from([format!(
                "hosts.toml:{own}:10 no issuer is called \"crop\": gina can never be a guest; did you mean the issuer \"corp\"?"
            )]),
        ),
        (
            "corp",
            "nowhere/ann",
            Vec::from([format!(
                "hosts.toml:{sponsors}:11 no issuer is called \"nowhere\": nobody answers for the guest gina; add an [[issuer]], or correct the name"
            )]),
        ),
        (
            "acme",
            "acme/ann",
            Vec::from([
                format!(
                    "hosts.toml:{own}:10 no issuer is called \"acme\": gina can never be a guest; add an [[issuer]], or correct the name"
                ),
                format!(
                    "hosts.toml:{sponsors}:11 no issuer is called \"acme\": nobody answers for the guest gina; add an [[issuer]], or correct the name"
                ),
            ]),
        ),
    ] {
        let findings = found_with(text, &guest(issuer, sponsor), Some(&issuers()));
        let told: Vec<String> = findings
            .iter()
            .map(|f| {
                let (file, line, column) = f.place.clone().unwrap();
                assert_eq!(f.lint, Lint::UnknownName, "{f:?}");
                format!("{file}:{line}:{column} {}; {}", f.message, f.help)
            })
            .collect();
        assert_eq!(told, expected, "{issuer} {sponsor}");
        // Without ca.toml nothing is known of issuers.
        assert_eq!(found_with(text, &guest(issuer, sponsor), None), [], "{issuer} {sponsor}");
    }
}

#[test]
fn what_is_known_of_the_inventory() {
    let empty = "[[group]]\nname = \"prod\"\nlogins = [\"deploy\"]\n[[group]]\nname = \"lab\"\n[[host]]\nname = \"a\"\ngroups = [\"lab\"]\nlogins = [\"x\"]\n\
                 [[host]]\nname = \"switch-1\"\nprincipals = \"login\"\n[[host]]\nname = \"switch-2\"\nprincipals = \"login\"\n";
    let text = "permit (principal, action == Action::\"shell\", resource in HostGroup::\"prod\");";
    let findings = found_with(text, empty, None);
    let shown: Vec<String> = findings.iter().map(|f| format!("{}: {}", short(f), f.message)).collect();
    assert_eq!(
        shown,
        [
            "1:1 unreachable: nothing matches this: no host is in prod",
            "empty-host-group: no host is in the group prod",
            "login-style: switch-1 and 1 more takes plain logins: its key alone says which host a certificate is for",
        ]
    );
    let findings = found_with("permit (principal, action == Action::\"shell\", resource);", "", None);
    assert_eq!(findings.iter().map(short).collect::<Vec<_>>(), ["1:1 unreachable"]);
}

#[test]
fn what_is_not_known_is_not_complained_about() {
    let text = "@approvals(\"1 of x\") permit (principal in Group::\"y\", action == Action::\"shell\", resource) when { principal.issuer == \"z\" };";
    assert_eq!(found_with(text, INVENTORY, None), []);
}

#[test]
fn each_sort_has_a_name_of_its_own() {
    let mut names: Vec<&str> = Lint::ALL.iter().map(|lint| lint.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Lint::ALL.len());
}
