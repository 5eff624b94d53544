//! Who may do what, where and when, under policies that use the whole vocabulary: identity × action × account × hour →
//! decision, terms, policies. Change something, look at the difference, and let `UPDATE_EXPECT=1` write it.

use super::explain::at;
use super::offers::fido_key;
use super::*;

fn set() -> Rules {
    let inventory = inventory_of(include_str!("matrix/inventory.toml"));
    let source =
        PolicySource { file: "matrix.cedar".into(), text: include_str!("matrix/policies.cedar").into() };
    Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(1800)).unwrap_or_else(|errors| {
        panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// A row's caller: what they are called here, who they are, and their key.
struct Caller {
    called: &'static str,
    who: VerifiedIdentity,
    key: UserKey,
}

fn callers() -> Vec<Caller> {
    let person = |called, groups: &[&str], more: &Value, key| Caller {
        called,
        who: identity(IdentityKind::User, "alice", groups, more),
        key,
    };
    let fresh = json!({ "auth_time": NOW - 300, "amr": ["hwk", "pin"], "acr": "2" });
    let job = IssuerRules {
        tags: [("ref".to_string(), "ref".parse().unwrap())].into(),
        ..issuer_rules("ci", IdentityKind::Workload)
    };
    let workload = |called, branch: &str| {
        let payload = json!({ "sub": branch, "ref": branch });
        let claims = Claims::from_payload(&job, Flow::Code, payload.as_object().unwrap()).unwrap();
        Caller { called, who: VerifiedIdentity::admit(&job, &claims).unwrap(), key: key() }
    };
    Vec::from([
        person("nobody", &[], &json!({}), key()),
        person("sre", &["sre"], &json!({}), key()),
        person("sre, fresh, FIDO", &["sre"], &fresh, fido_key()),
        person("dev", &["dev"], &json!({}), key()),
        person("dev+contractor", &["dev", "contractors"], &json!({}), key()),
        person("lead", &["leads"], &fresh, key()),
        workload("job on main", "refs/heads/main"),
        workload("job on a branch", "refs/heads/x"),
    ])
}

/// What is asked for, with `{}` for the account.
const ACTIONS: [&str; 10] = [
    "shell {}",
    "shell {} because OPS-7",
    "shell {} for 4h because OPS-7 ticket CHG-1",
    "shell+agent {} because OPS-7",
    "shell+forward+x11 {} because OPS-7",
    "sftp {} because OPS-7",
    "forward {}",
    "exec {} run uptime",
    "exec {} run uptime; id",
    "glass shell {} because OPS-7",
];

/// Moments, by the clock of Paris: Monday morning, Monday night, Sunday; and the same two moments of the day in UTC, 06:30
/// and 18:30, on the Friday before and the Monday after summer time ends there (2026-10-25).
const TIMES: [(&str, u64); 7] = [
    ("Mon 10h", NOW + 86_400),
    ("Mon 22h", NOW + 86_400 + 12 * 3600),
    ("Sun 10h", NOW),
    ("Fri 08:30 summer", 1_792_737_000),
    ("Mon 07:30 winter", 1_792_996_200),
    ("Fri 20:30 summer", 1_792_780_200),
    ("Mon 19:30 winter", 1_793_039_400),
];

fn answer(rules: &Rules, caller: &Caller, what: &str, (_, now): (&str, u64)) -> String {
    let (glass, what) = what.strip_prefix("glass ").map_or((false, what), |rest| (true, rest));
    let at = at(now);
    // Who logs in does so as long before as ever.
    let who = match caller.who.auth_time() {
        Some(_) => &caller.who.supposing_login(Timestamp::from_seconds(now - 300)),
        None => &caller.who,
    };
    let request = ask(what).under_break_glass(glass);
    let decision = rules.decide(who, &request, &caller.key, &at);
    match &decision {
        Decision::Denied(denial) if !denial.policies.is_empty() => {
            format!("{} by {}", denial.code, denial.policies.join(","))
        }
        Decision::Allowed(_) | Decision::Denied(_) => outcome(&decision),
    }
}

fn table(rules: &Rules) -> String {
    let mut table = String::from(
        "# Identity x action x account x hour. What has no line is no_access; \"always\" is at each of the hours.\n",
    );
    for caller in callers() {
        table += &format!("\n== {}\n", caller.called);
        let mut rows = 0;
        for host in rules.inventory().hosts() {
            for login in host.logins() {
                let account = format!("{login}@{}", host.name());
                for action in ACTIONS {
                    let answers =
                        TIMES.map(|time| answer(rules, &caller, &action.replace("{}", &account), time));
                    let action = action.replace(" {}", "");
                    if answers.iter().all(|answer| *answer == answers[0]) {
                        if answers[0] != "no_access" {
                            table += &format!("{account} | {action} | always | {}\n", answers[0]);
                            rows += 1;
                        }
                        continue;
                    }
                    for ((time, _), answer) in TIMES.iter().zip(&answers) {
                        table += &format!("{account} | {action} | {time} | {answer}\n");
                        rows += 1;
                    }
                }
            }
        }
        if rows == 0 {
            table += "(nothing)\n";
        }
    }
    table
}

#[test]
fn the_golden_matrix() {
    expect_test::expect_file!["matrix/expected.txt"].assert_eq(&table(&set()));
}

#[test]
fn the_times_of_the_matrix_are_what_they_are_called() {
    for (called, now) in TIMES {
        let local = at(now).local;
        let day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][usize::from(local.weekday) - 1];
        let hour = format!("{day} {:02}", local.hour);
        assert!(called.starts_with(&hour), "{called}: {hour}");
    }
}

/// Every policy of the set decides something somewhere: a matrix that one of them has no part in shows nothing of it.
#[test]
fn every_policy_of_the_matrix_shows() {
    let rules = set();
    let table = table(&rules);
    let shown = |id: &str| {
        table.lines().any(|line| {
            line.rsplit_once(" by ").is_some_and(|(_, ids)| ids.split(',').any(|shown| shown == id))
        })
    };
    // The verbs are not logins; they are in `verbs`.
    let hidden: Vec<&str> = rules.ids().filter(|id| !shown(id) && *id != "auditors").collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}
