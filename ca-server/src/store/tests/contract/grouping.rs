//! Grouping changes nothing: a run of changes in one transaction comes to what it comes to one by one.

use proptest::prelude::*;

use super::*;

/// A change out of a world so small that most of them collide.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open { person: usize, session: u64, token: u64, call: u64, bearer: u64 },
    End { person: usize, session: u64, call: u64 },
    Decide { person: usize, session: u64, request: u64, call: u64 },
    Record,
}

const PEOPLE: [Person; 3] = [ALICE, BOB, Person { issuer: "other", ..ALICE }];

fn step() -> impl Strategy<Value = Step> {
    let (person, few, call) = (0..PEOPLE.len(), 1..4_u64, 0..12_u64);
    prop_oneof![
        3 => (person.clone(), few.clone(), few.clone(), call.clone()).prop_map(|(person, session, token, call)| {
            // Bearer tokens are random: no two are ever the same.
            let bearer = call * 100 + token * 10 + session;
            Step::Open { person, session, token, call, bearer }
        }),
        1 => (person.clone(), few.clone(), call.clone())
            .prop_map(|(person, session, call)| Step::End { person, session, call }),
        3 => (person, few.clone(), few, call)
            .prop_map(|(person, session, request, call)| Step::Decide { person, session, request, call }),
        1 => Just(Step::Record),
    ]
}

fn name(call_id: u64) -> CallId {
    call(&format!("call-{call_id}"))
}

fn change(step: Step, at: usize) -> Change {
    match step {
        Step::Open { person, session, token, call, bearer } => {
            // Who has another key for a token is somebody else.
            let mut open = PEOPLE[person].open(token);
            open.key = user_key(u8::try_from(session).unwrap());
            open.call = name(call);
            open.token_hash = hash("bearer", bearer * 1000 + u64::try_from(at).unwrap());
            Change::OpenSession(Box::new(open))
        }
        Step::End { person, session, call } => Change::EndSession(EndSession {
            call: name(call),
            session: session_id(session),
            actor: PEOPLE[person].actor(),
            source: String::new(),
        }),
        Step::Decide { person, session, request, call } => {
            let mut decide = PEOPLE[person].decide(session, request);
            decide.call = Some(name(call));
            Change::DecideRequest(Box::new(decide))
        }
        Step::Record => policy_loaded(),
    }
}

/// Results and state when so many changes go into each call.
async fn run(steps: &[Step], together: usize) -> (Vec<Result<u64, Code>>, String) {
    let home = home();
    let store = home.open().await;
    let mut done = Vec::new();
    let changes: Vec<_> = steps.iter().enumerate().collect();
    for some in changes.chunks(together) {
        let some = some.iter().map(|(at, step)| change(**step, *at)).collect();
        done.extend(results(&store, 0, some).await);
    }
    store.close().await;
    // Salts differ from run to run, and hashes with them.
    sql(&home, "UPDATE events SET salt = '', hash = ''");
    (done, content(&home))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn one_by_one_by_threes_and_all_at_once_are_the_same(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let alone = runtime.block_on(run(&steps, 1));
        prop_assert_eq!(&runtime.block_on(run(&steps, 3)), &alone);
        prop_assert_eq!(&runtime.block_on(run(&steps, steps.len())), &alone);
    }
}
