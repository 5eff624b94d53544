//! Each precondition, refused: with its own code, alone in its batch, leaving nothing.

use jit_ssh_core::cert::CertError;

use super::*;

#[tokio::test]
async fn a_session_opens_acts_and_ends() {
    let home = home();
    let store = home.open().await;
    let done = results(&store, 0, vec![ALICE.opens(1), ALICE.is_denied(1, 1), ALICE.ends(1)]).await;
    assert_eq!(done, [Ok(0), Ok(1), Ok(2)]);
    let found = store.session_by_token(&session_id(1), &hash("bearer", 1)).await.unwrap().unwrap();
    assert_eq!((found.id, found.ended, found.expires), (session_id(1), true, at(HOURS_8)));
    assert_eq!(found.claims, ALICE.open(1).claims);
    assert_eq!(found.key, user_key(1));
    assert!(store.session_by_token(&session_id(1), &hash("bearer", 2)).await.unwrap().is_none());
}

/// A change that must be refused after `before`.
struct Row {
    what: &'static str,
    before: fn() -> Vec<Change>,
    /// Seconds after `before` that it is tried.
    later: u64,
    tried: fn() -> Change,
    code: Code,
}

const NOBODY: fn() -> Vec<Change> = Vec::new;
const ALICE_IN: fn() -> Vec<Change> = || vec![ALICE.opens(1)];
const ALICE_OUT: fn() -> Vec<Change> = || vec![ALICE.opens(1), ALICE.ends(1)];

const ROWS: &[Row] = &[
    Row {
        what: "opening with a used call id",
        before: ALICE_IN,
        later: 0,
        tried: || open_as(BOB, 2, |open| open.call = call("open-1")),
        code: Code::SignatureReplayed,
    },
    Row {
        what: "ending with a used call id",
        before: ALICE_IN,
        later: 0,
        tried: || {
            Change::EndSession(EndSession {
                call: call("open-1"),
                session: session_id(1),
                actor: ALICE.actor(),
                source: String::new(),
            })
        },
        code: Code::SignatureReplayed,
    },
    Row {
        what: "asking with a used call id",
        before: ALICE_IN,
        later: 0,
        tried: || decide_as(ALICE, 1, |decide| decide.call = Some(call("open-1"))),
        code: Code::SignatureReplayed,
    },
    Row {
        what: "a token that another key used",
        before: ALICE_IN,
        later: 0,
        tried: || open_as(ALICE, 2, stolen),
        code: Code::TokenUsed,
    },
    Row {
        what: "a token that another key used, after that session ended",
        before: ALICE_OUT,
        later: 0,
        tried: || open_as(ALICE, 2, stolen),
        code: Code::TokenUsed,
    },
    Row {
        what: "a token that another key used, after that session expired",
        before: ALICE_IN,
        later: HOURS_8,
        tried: || open_as(ALICE, 2, stolen),
        code: Code::TokenUsed,
    },
    Row {
        what: "the same token from the same key after its session ended",
        before: ALICE_OUT,
        later: 0,
        tried: || open_as(ALICE, 1, |open| open.call = call("again")),
        code: Code::SessionEnded,
    },
    Row {
        what: "the same token from the same key after its session expired",
        before: ALICE_IN,
        later: HOURS_8,
        tried: || open_as(ALICE, 1, |open| open.call = call("again")),
        code: Code::SessionExpired,
    },
    Row {
        what: "a session that is over before it begins",
        before: NOBODY,
        later: 0,
        tried: || open_as(ALICE, 1, |open| open.expires = at(0)),
        code: Code::SessionExpired,
    },
    Row {
        what: "another subject's login",
        before: ALICE_IN,
        later: 0,
        tried: || open_as(Person { sub: "mallory", ..ALICE }, 2, |_| {}),
        code: Code::LoginTaken,
    },
    Row {
        what: "the same subject's login at another issuer",
        before: ALICE_IN,
        later: 0,
        tried: || open_as(Person { issuer: "other", ..ALICE }, 2, |_| {}),
        code: Code::LoginTaken,
    },
    Row {
        what: "another's login as one's name",
        before: ALICE_IN,
        later: 0,
        tried: || {
            open_as(BOB, 2, |open| {
                open.name = "alice".parse().unwrap();
                open.login = None;
            })
        },
        code: Code::LoginTaken,
    },
    Row {
        what: "another's name as one's login",
        before: || {
            vec![open_as(ALICE, 1, |open| {
                open.name = "id-abc".parse().unwrap();
                open.login = None;
            })]
        },
        later: 0,
        tried: || open_as(BOB, 2, |open| open.login = Some("id-abc".parse().unwrap())),
        code: Code::LoginTaken,
    },
    Row {
        what: "a login that its identity no longer uses",
        before: || {
            let renamed = Person { login: "alice-new", ..ALICE };
            vec![ALICE.opens(1), renamed.opens(3), ALICE.ends(1)]
        },
        later: HOURS_8,
        tried: || open_as(Person { login: "alice", ..BOB }, 2, |open| open.expires = at(2 * HOURS_8)),
        code: Code::LoginTaken,
    },
    Row {
        what: "ending a session that never was",
        before: ALICE_IN,
        later: 0,
        tried: || ALICE.ends(9),
        code: Code::NotFound,
    },
    Row {
        what: "ending another's session",
        before: ALICE_IN,
        later: 0,
        tried: || BOB.ends(1),
        code: Code::NotFound,
    },
    Row {
        what: "ending the session of the same subject at another issuer",
        before: ALICE_IN,
        later: 0,
        tried: || Person { issuer: "other", ..ALICE }.ends(1),
        code: Code::NotFound,
    },
    Row {
        what: "ending a session twice",
        before: ALICE_OUT,
        later: 0,
        tried: || {
            Change::EndSession(EndSession {
                call: call("again"),
                session: session_id(1),
                actor: ALICE.actor(),
                source: String::new(),
            })
        },
        code: Code::SessionEnded,
    },
    Row {
        what: "ending a session that expired",
        before: ALICE_IN,
        later: HOURS_8,
        tried: || ALICE.ends(1),
        code: Code::SessionExpired,
    },
    Row {
        what: "asking under a session that never was",
        before: NOBODY,
        later: 0,
        tried: || ALICE.is_denied(1, 1),
        code: Code::NotFound,
    },
    Row {
        what: "asking under another's session",
        before: ALICE_IN,
        later: 0,
        tried: || BOB.is_denied(1, 1),
        code: Code::NotFound,
    },
    Row {
        what: "asking under a session without being anybody",
        before: ALICE_IN,
        later: 0,
        tried: || decide_as(ALICE, 1, |decide| decide.actor = Actor::Ca),
        code: Code::NotFound,
    },
    Row {
        what: "asking under a session that ended",
        before: ALICE_OUT,
        later: 0,
        tried: || ALICE.is_denied(1, 1),
        code: Code::SessionEnded,
    },
    Row {
        what: "asking in the second in which the session expires",
        before: ALICE_IN,
        later: HOURS_8,
        tried: || ALICE.is_denied(1, 1),
        code: Code::SessionExpired,
    },
    Row {
        what: "a request id that is taken",
        before: || vec![ALICE.opens(1), ALICE.is_denied(1, 1)],
        later: 0,
        tried: || decide_as(ALICE, 1, |decide| decide.call = Some(call("again"))),
        code: Code::Internal,
    },
    Row {
        what: "a certificate for a request that never was",
        before: ALICE_IN,
        later: 0,
        tried: || issue_unprepared(ALICE, 1, 1),
        code: Code::NotFound,
    },
    Row {
        what: "a certificate for a request that was denied",
        before: || vec![ALICE.opens(1), ALICE.is_denied(1, 1)],
        later: 0,
        tried: || issue_unprepared(ALICE, 1, 1),
        code: Code::NotFound,
    },
    Row {
        what: "a certificate under a session that never was",
        before: NOBODY,
        later: 0,
        tried: || issue_unprepared(ALICE, 1, 1),
        code: Code::NotFound,
    },
    Row {
        what: "a certificate under another's session",
        before: ALICE_IN,
        later: 0,
        tried: || issue_unprepared(BOB, 1, 1),
        code: Code::NotFound,
    },
    Row {
        what: "a certificate under a session that ended",
        before: ALICE_OUT,
        later: 0,
        tried: || issue_unprepared(ALICE, 1, 1),
        code: Code::SessionEnded,
    },
    Row {
        what: "a certificate under a session that expired",
        before: ALICE_IN,
        later: HOURS_8,
        tried: || issue_unprepared(ALICE, 1, 1),
        code: Code::SessionExpired,
    },
];

/// The token of session 1, by somebody with a key of their own.
fn stolen(open: &mut OpenSession) {
    open.replay = hash("token", 1);
    open.key = user_key(2);
}

fn open_as(person: Person, n: u64, change: impl FnOnce(&mut OpenSession)) -> Change {
    let mut open = person.open(n);
    change(&mut open);
    Change::OpenSession(Box::new(open))
}

fn decide_as(person: Person, session: u64, change: impl FnOnce(&mut DecideRequest)) -> Change {
    let mut decide = person.decide(session, 1);
    change(&mut decide);
    Change::DecideRequest(Box::new(decide))
}

/// An issuance that must not get as far as preparing anything.
fn issue_unprepared(person: Person, session: u64, request: u64) -> Change {
    Change::IssueCertificate(IssueCertificate {
        request: request_id(request),
        session: session_id(session),
        actor: person.actor(),
        source: String::new(),
        authority: "user".parse().unwrap(),
        prepare: Box::new(|_, _, _| Err(CertError::Encoding)),
    })
}

#[tokio::test]
async fn every_precondition_is_refused_with_its_code_and_leaves_nothing() {
    for row in ROWS {
        let home = home();
        let store = home.open().await;
        let before = results(&store, 0, (row.before)()).await;
        assert!(before.iter().all(Result::is_ok), "{}: {before:?}", row.what);
        let kept = content(&home);
        assert_eq!(results(&store, row.later, vec![(row.tried)()]).await, [Err(row.code)], "{}", row.what);
        assert_eq!(content(&home), kept, "{} left something", row.what);
    }
}

#[tokio::test]
async fn a_refused_change_fails_alone_and_sees_the_earlier_ones_of_its_batch() {
    for row in ROWS.iter().filter(|row| row.later == 0) {
        let home = home();
        let store = home.open().await;
        let mut changes = (row.before)();
        let first = changes.len();
        changes.push((row.tried)());
        changes.push(policy_loaded());
        let done = results(&store, 0, changes).await;
        assert_eq!(done.get(first), Some(&Err(row.code)), "{}", row.what);
        // Whatever stands before and after it got the leaves in order, without a gap.
        let kept: Vec<_> = done.into_iter().filter_map(Result::ok).collect();
        assert_eq!(kept, (0..=u64::try_from(first).unwrap()).collect::<Vec<_>>(), "{}", row.what);
        assert_eq!(leaves(&store).await, kept.len());
    }
}

#[tokio::test]
async fn invariant_1_a_login_that_is_refused_asks_for_nothing_even_where_its_session_is_there() {
    let home = home();
    let store = home.open().await;
    let asks = |id| decide_as(ALICE, 1, move |decide| (decide.call, decide.id) = (None, request_id(id)));
    // The same call again; then without an opening at all, where nobody has used up a call.
    for (changes, expected) in [
        (vec![ALICE.opens(1), asks(1)], vec![Ok(0), Ok(1)]),
        (vec![ALICE.opens(1), asks(2)], vec![Err(Code::SignatureReplayed), Err(Code::NotFound)]),
        (vec![asks(3)], vec![Err(Code::NotFound)]),
    ] {
        assert_eq!(results(&store, 0, changes).await, expected);
    }
    assert_eq!(store.events(0, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_call_id_of_a_refused_change_is_not_used_up() {
    let home = home();
    let store = home.open().await;
    let unknown = ALICE.is_denied(1, 1);
    assert_eq!(results(&store, 0, vec![unknown]).await, [Err(Code::NotFound)]);
    assert_eq!(results(&store, 0, vec![ALICE.opens(1), ALICE.is_denied(1, 1)]).await, [Ok(0), Ok(1)]);
}

#[tokio::test]
async fn the_same_token_from_the_same_key_is_the_same_session_with_a_new_bearer_token() {
    let home = home();
    let store = home.open().await;
    let again = |n: u64| {
        open_as(ALICE, 1, |open| {
            open.call = call(&format!("again-{n}"));
            open.token_hash = hash("bearer again", n);
            open.expires = at(2 * HOURS_8);
        })
    };
    // In one batch, in the next one, and after a restart.
    assert_eq!(
        results(&store, 0, vec![policy_loaded(), ALICE.opens(1), again(1)]).await,
        [Ok(0), Ok(1), Ok(1)]
    );
    assert_eq!(results(&store, 60, vec![again(2)]).await, [Ok(1)]);
    store.close().await;
    let store = home.open().await;
    let applied = store.apply(at(120), vec![again(3)]).await.unwrap();
    let outcome = applied.into_iter().next().unwrap().unwrap();
    assert_eq!((outcome.leaf, outcome.time), (1, at(0)));
    for old in [hash("bearer", 1), hash("bearer again", 1), hash("bearer again", 2)] {
        assert!(store.session_by_token(&session_id(1), &old).await.unwrap().is_none());
    }
    let found = store.session_by_token(&session_id(1), &hash("bearer again", 3)).await.unwrap().unwrap();
    assert_eq!((found.id, found.opened, found.expires), (session_id(1), at(0), at(HOURS_8)));
    assert_eq!(leaves(&store).await, 2);
}

#[tokio::test]
async fn a_session_lasts_to_its_last_second_by_the_ledgers_time() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1)]).await;
    assert_eq!(results(&store, HOURS_8 - 1, vec![ALICE.is_denied(1, 1)]).await, [Ok(1)]);
    // Somebody else moves the ledger's time on; a clock that is behind does not bring the session back.
    results(&store, HOURS_8, vec![policy_loaded()]).await;
    assert_eq!(results(&store, HOURS_8 - 30, vec![ALICE.is_denied(1, 2)]).await, [Err(Code::SessionExpired)]);
}
