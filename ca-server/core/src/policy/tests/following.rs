//! Properties of advice: who follows it is answered as it says, and it takes no more questions than are allowed.

use jit_ssh_proto::explanation::{Advice, Answer, NearMiss};
use proptest::prelude::*;

use super::explain::{at, explain};
use super::offers::fido_key;
use super::*;
use crate::policy::{DECISIONS, QUESTIONS};
use crate::request::Otherwise;

const CONDITIONS: [&str; 12] = [
    "true",
    "context.reason != \"\"",
    "context.ticket != \"\"",
    "context.reason != \"\" && context.ticket != \"\"",
    "context.reason != \"\" || context.break_glass",
    "context.duration <= duration(\"1h\")",
    "context.auth has age && context.auth.age < duration(\"1h\")",
    "context.local.hour >= 8 && context.local.hour < 20",
    "context.local.weekday <= 5 && context.local.hour < 12 && context.reason != \"\"",
    "[6, 7].contains(context.local.weekday)",
    "resource.login == \"deploy\"",
    "context.key.type like \"sk-*\"",
];

fn scope() -> impl Strategy<Value = String> {
    (
        prop::sample::select(
            &["principal", "principal in Group::\"sre\"", "principal in Group::\"dev\""][..],
        ),
        prop::sample::select(
            &["\"shell\"", "\"sftp\"", "\"shell\", Action::\"sftp\", Action::\"agent\""][..],
        ),
        prop::sample::select(&["HostGroup::\"prod\"", "HostGroup::\"web\"", "Host::\"db-1\""][..]),
        prop::sample::select(&CONDITIONS[..]),
    )
        .prop_map(|(who, action, place, when)| {
            format!("({who}, action in [Action::{action}], resource in {place}) when {{ {when} }};\n")
        })
}

fn permit() -> impl Strategy<Value = String> {
    (
        prop::sample::select(&["", "@ttl(\"30m\")", "@ttl(\"2h\")", "@ttl(\"8h\")"][..]),
        prop::sample::select(
            &["", "", "@approvals(\"1 of leads\")", "@source(\"pin\")", "@verify", "@break_glass"][..],
        ),
        scope(),
    )
        .prop_map(|(ttl, term, scope)| format!("{ttl} {term} permit {scope}"))
}

fn policies() -> impl Strategy<Value = String> {
    (prop::collection::vec(permit(), 1..5), prop::collection::vec(scope(), 0..2)).prop_map(
        |(permits, forbids)| {
            permits.into_iter().chain(forbids.into_iter().map(|scope| format!("forbid {scope}"))).collect()
        },
    )
}

fn questions() -> impl Strategy<Value = Vec<(String, u64)>> {
    let one = (
        prop::sample::select(&["shell", "sftp", "shell+agent"][..]),
        prop::sample::select(&["deploy@web-1", "www@web-1", "root@db-1", "deploy@web-1,deploy@db-1"][..]),
        prop::sample::select(&["", " for 20m", " for 4h"][..]),
        prop::sample::select(&["", " because x", " ticket y"][..]),
        0_u64..7 * 24,
    );
    let line = one.prop_map(|(mode, accounts, time, more, hours)| {
        (format!("{mode} {accounts}{time}{more}"), NOW + hours * 3600)
    });
    prop::collection::vec(line, 16)
}

/// What a person makes of a request who does as they are told.
struct Followed {
    request: AccessRequest,
    key: UserKey,
    login: u64,
    times: Vec<u64>,
}

fn follow(request: &AccessRequest, near: &NearMiss, now: u64) -> Followed {
    let mut to = Followed { request: request.clone(), key: key(), login: 7200, times: Vec::from([now]) };
    for advice in &near.with {
        let mut otherwise = Otherwise::default();
        match advice {
            Advice::GiveReason => otherwise.reason = Some("what I am about to do".parse().unwrap()),
            Advice::GiveTicket => otherwise.ticket = Some("CHG-1".parse().unwrap()),
            Advice::LoginAgain => to.login = 0,
            Advice::ForAtMost { duration } => otherwise.duration = Some(*duration),
            Advice::Between(window) => {
                to.times = Vec::from([window.from.seconds()]);
                to.times.extend(window.until.map(|until| until.seconds() - 1));
            }
            Advice::UseFidoKey => to.key = fido_key(),
            Advice::BreakGlass => otherwise.break_glass = true,
            Advice::AsLogin { login } => {
                let mut accounts = to.request.accounts().to_vec();
                accounts.iter_mut().for_each(|account| account.login = login.clone());
                otherwise.accounts = Some(accounts);
            }
            Advice::InMode { mode } => otherwise.mode = Some(*mode),
            Advice::Without { modifier } => otherwise.without = [*modifier].into(),
            Advice::WithApproval(_) => {}
            Advice::Unknown => panic!("{near:?}"),
        }
        to.request = to.request.supposing(otherwise);
    }
    to
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..few(40) })]

    #[test]
    fn who_follows_advice_is_answered_as_it_says(policies in policies(), questions in questions()) {
        let Ok(rules) = try_rules(&policies) else { return Err(TestCaseError::reject("can never match")) };
        let who = |now: u64, age: u64| identity(IdentityKind::User, "alice", &["sre"], &json!({ "auth_time": now - age }));
        for (what, now) in questions {
            let explained = explain(&rules, &who(now, 7200), &what, now);
            prop_assert!(explained.questions <= QUESTIONS && explained.decisions <= DECISIONS);
            // The answer is the decision's own.
            let request = ask(&what);
            let decided = outcome(&rules.decide(&who(now, 7200), &request, &key(), &at(now)));
            let same = match explained.told.answer {
                Answer::Allowed => decided.contains(" by ") && explained.told.advice.is_empty(),
                Answer::Pending => decided == "approval_required",
                Answer::Denied => Some(decided.as_str()) == explained.told.code.map(Code::as_str),
            };
            prop_assert!(same, "{decided} {explained:?}");
            for near in &explained.told.advice {
                let Followed { request, key, login, times } = follow(&request, near, now);
                for time in times {
                    let decision = rules.decide(&who(time, login), &request, &key, &at(time));
                    match (&decision, near.terms.approvals.as_slice()) {
                        (Decision::Allowed(allowed), []) => prop_assert_eq!(allowed.duration(), near.terms.duration),
                        (Decision::Denied(denial), [_, ..]) => prop_assert_eq!(denial.code, Code::ApprovalRequired),
                        (Decision::Allowed(_) | Decision::Denied(_), _) => {
                            return Err(TestCaseError::fail(format!("{what} at {time}: {near:?}: {decision:?}\n{policies}")));
                        }
                    }
                }
            }
        }
    }
}
