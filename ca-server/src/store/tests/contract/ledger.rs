//! The ledger: order, time, and that each event proves itself.

use jit_ssh_proto::Salt;
use jit_ssh_proto::event::{Event, What};

use super::*;

/// Every event is there once, in order, and is what its leaf says.
async fn verified(store: &Store) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for (at, stored) in store.events(0, 1_000_000).await.unwrap().into_iter().enumerate() {
        assert_eq!(stored.index, u64::try_from(at).unwrap());
        let event: Event = serde_json::from_slice(&stored.content.as_ref().unwrap().body).unwrap();
        assert_eq!(event.canonical().unwrap(), stored.content.as_ref().unwrap().body, "not canonical");
        assert_eq!(
            Event::leaf(
                &Salt::from_bytes(stored.content.as_ref().unwrap().salt),
                &stored.content.as_ref().unwrap().body
            ),
            stored.leaf
        );
        assert!(events.last().is_none_or(|last| last.time <= event.time), "time went back at {at}");
        events.push(event);
    }
    events
}

#[tokio::test]
async fn every_kind_of_event_reads_back_as_what_was_done() {
    let home = home();
    let store = home.open().await;
    let refused = Change::RefuseSession(RefuseSession {
        actor: BOB.actor(),
        code: Code::TokenUsed,
        key: user_key(2).fingerprint(),
        replay: hash("token", 1),
        source: "192.0.2.2".to_owned(),
    });
    let changes = vec![policy_loaded(), ALICE.opens(1), refused, ALICE.is_denied(1, 1), ALICE.ends(1)];
    results(&store, 5, changes).await;
    let events = verified(&store).await;
    let kinds: Vec<_> = events.iter().map(|event| event.what.kind()).collect();
    assert_eq!(
        kinds,
        ["policy.loaded", "session.opened", "session.refused", "request.decided", "session.ended"]
    );
    let opened = events.get(1).unwrap();
    assert_eq!((opened.time, &opened.actor), (at(5), &ALICE.actor()));
    assert_eq!(opened.source.as_deref(), Some("192.0.2.1"));
}

/// Of several processes that load one set one says so, and what was in force before is what the ledger has.
#[tokio::test]
async fn a_set_that_is_in_force_is_recorded_once() {
    let home = home();
    let store = home.open().await;
    let first = vec![loads('1', None, true), loads('1', None, false), loads('2', Some('1'), false)];
    assert_eq!(results(&store, 0, first).await, [Ok(0), Ok(0), Ok(1)]);
    // Another process that had the first set in force until now: with the same new one, and with yet another.
    let second =
        vec![loads('2', Some('1'), false), loads('3', Some('1'), false), loads('3', Some('2'), false)];
    assert_eq!(results(&store, 1, second).await, [Ok(1), Ok(2), Ok(2)]);
    // A start is one, whatever was in force; and what was in force once may be again.
    let third = vec![loads('3', None, true), loads('1', Some('3'), false)];
    assert_eq!(results(&store, 2, third).await, [Ok(3), Ok(4)]);
    let told = |event: Event| {
        let What::PolicyLoaded(loaded) = event.what else { panic!("{event:?}") };
        let digit = |digest: &str| digest.chars().next().unwrap();
        (loaded.previous.as_deref().map(digit), digit(&loaded.digest), loaded.changes.len())
    };
    let told: Vec<_> = verified(&store).await.into_iter().map(told).collect();
    // What was not compared with the set before says nothing of the difference.
    let expected =
        [(None, '1', 0), (Some('1'), '2', 1), (Some('2'), '3', 0), (Some('3'), '3', 0), (Some('3'), '1', 1)];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn events_never_hold_a_bearer_token_or_its_hash() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1)]).await;
    let body = store.events(0, 1).await.unwrap().remove(0).content.unwrap().body;
    let text = String::from_utf8(body).unwrap();
    assert!(!text.contains(&data_encoding::HEXLOWER.encode(&hash("bearer", 1))), "{text}");
    assert!(text.contains(&data_encoding::HEXLOWER.encode(&hash("token", 1))), "{text}");
}

#[tokio::test]
async fn salts_are_fresh() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, (0..100).map(|_| policy_loaded()).collect()).await;
    let events = store.events(0, 100).await.unwrap();
    let salts: std::collections::BTreeSet<_> =
        events.iter().map(|event| event.content.as_ref().unwrap().salt).collect();
    let leaves: std::collections::BTreeSet<_> = events.iter().map(|event| event.leaf).collect();
    assert_eq!((salts.len(), leaves.len()), (100, 100));
}

#[tokio::test]
async fn pages_of_events_begin_where_asked() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, (0..5).map(|_| policy_loaded()).collect()).await;
    let page = |from, limit| {
        let store = store.clone();
        async move {
            let page = store.events(from, limit).await.unwrap();
            page.into_iter().map(|event| event.index).collect::<Vec<_>>()
        }
    };
    assert_eq!(page(3, 1).await, [3]);
    assert_eq!(page(3, 10).await, [3, 4]);
    assert!(page(5, 10).await.is_empty());
    assert!(page(u64::MAX, 10).await.is_empty());
}

/// Invariant 12: a backwards clock never extends access, and ledger time never goes back.
#[tokio::test]
async fn a_clock_a_little_behind_is_lifted_and_one_far_behind_is_refused() {
    let home = home();
    let store = home.open().await;
    results(&store, 100, vec![policy_loaded()]).await;
    assert_eq!(store.last_time(), at(100));
    let applied = store.apply(at(40), vec![policy_loaded()]).await.unwrap();
    assert_eq!(applied.into_iter().next().unwrap().unwrap().time, at(100));
    let behind = StoreError::ClockBehind { clock: at(39), ledger: at(100) };
    assert_eq!(store.apply(at(39), vec![policy_loaded()]).await.unwrap_err(), behind);
    assert_eq!(store.apply(Timestamp::default(), vec![ALICE.opens(1)]).await.err().map(|_| ()), Some(()));
    assert_eq!(leaves(&store).await, 2);
    // The ledger remembers across a restart, and a good clock works on.
    store.close().await;
    let store = home.open().await;
    assert_eq!(store.last_time(), at(100));
    assert_eq!(store.apply(at(39), vec![policy_loaded()]).await.unwrap_err(), behind);
    assert_eq!(results(&store, 101, vec![policy_loaded()]).await, [Ok(2)]);
    verified(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_leave_no_gap_and_no_repeat() {
    const TASKS: u64 = 40;
    const EACH: u64 = 12;
    let home = home();
    let store = home.open().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let login: &'static str = Box::leak(format!("user-{task}").into_boxed_str());
                let person = Person { issuer: "corp", sub: login, login };
                let mut leaves = Vec::new();
                for n in 0..EACH {
                    let n = task * EACH + n;
                    // Clocks that differ a little, as between processes.
                    let changes = vec![person.opens(n), person.is_denied(n, n), person.ends(n)];
                    for leaf in results(&store, 20 - task % 20, changes).await {
                        leaves.push(leaf.unwrap());
                    }
                }
                leaves
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        let leaves = task.await.unwrap();
        assert!(leaves.is_sorted(), "one caller's changes are out of order");
        all.extend(leaves);
    }
    all.sort_unstable();
    assert_eq!(all, (0..TASKS * EACH * 3).collect::<Vec<_>>());
    assert_eq!(verified(&store).await.len(), all.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_present_one_token_one_key_wins_and_of_one_call_one_is_made() {
    let home = home();
    let store = home.open().await;
    let tasks: Vec<_> = (1..=32)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut open = ALICE.open(n);
                open.replay = hash("token", 1);
                open.key = user_key(u8::try_from(n).unwrap());
                if n % 2 == 0 {
                    open.call = call("the same");
                }
                results(&store, 0, vec![Change::OpenSession(Box::new(open))]).await.remove(0)
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(code) => assert!(matches!(code, Code::TokenUsed | Code::SignatureReplayed), "{code}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(leaves(&store).await, 1);
}

#[tokio::test]
async fn what_a_caller_who_goes_away_asked_for_is_still_done_whole() {
    let home = home();
    let store = home.open().await;
    {
        // Polled once: the changes wait at the writer, the caller does not.
        let call = store.apply(at(0), vec![ALICE.opens(1), ALICE.is_denied(1, 1)]);
        let mut call = std::pin::pin!(call);
        std::future::poll_fn(|cx| {
            assert!(call.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    store.clone().close().await;
    let error = store.apply(at(0), vec![policy_loaded()]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let store = home.open().await;
    assert_eq!(verified(&store).await.len(), 2);
}
