//! Searching the ledger: it finds exactly what fits, in either order, whatever the size of a page; and no call looks
//! at everything.

use jit_ssh_proto::event::LogFilter;

use super::*;

fn filter(pairs: &str) -> LogFilter {
    let mut filter = LogFilter::default();
    for (name, value) in pairs.split('&').filter_map(|pair| pair.split_once('=')) {
        filter.set(name, value).unwrap();
    }
    filter
}

/// Ten seconds apart: alice's denied requests, some of bob's, the rules loaded now and then.
async fn ledger(store: &Store, rounds: u64) {
    results(store, 0, vec![ALICE.opens(1), BOB.opens(2)]).await;
    for round in 0..rounds {
        let mut changes = vec![policy_loaded()];
        changes.extend((0..100).map(|n| {
            let (person, session) = if n == 50 { (BOB, 2) } else { (ALICE, 1) };
            person.is_denied(session, round * 100 + n + 1)
        }));
        results(store, 10 * round, changes).await;
    }
}

/// Every page of a search: the leaves found, and how many calls it took.
async fn all(store: &Store, filter: &LogFilter, newest_first: bool, limit: usize) -> (Vec<u64>, usize) {
    let mut search = Search { filter: filter.clone(), newest_first, limit };
    let (mut leaves, mut calls) = (Vec::new(), 0);
    loop {
        let found = store.search(search.clone()).await.unwrap();
        calls += 1;
        assert!(found.events.len() <= limit);
        leaves.extend(found.events.iter().map(|event| event.index));
        if !found.more {
            return (leaves, calls);
        }
        let slot = if newest_first { &mut search.filter.before } else { &mut search.filter.after };
        assert_ne!(*slot, found.next, "no call stands still");
        *slot = found.next;
    }
}

#[tokio::test]
async fn a_search_finds_exactly_what_fits() {
    let home = home();
    let store = home.open().await;
    ledger(&store, 12).await;
    // What was erased: found by who looks for everything.
    sql(
        &home,
        "UPDATE events SET body = NULL, salt = NULL, name = NULL, session = NULL, request = NULL WHERE leaf = 30",
    );
    let events = store.events(0, 10_000).await.unwrap();
    let time = |seconds| at(seconds).seconds();
    for pairs in [
        "",
        "user=alice",
        "user=bob",
        "user=nobody",
        "type=policy.loaded",
        "type=request.decided",
        "type=request.decided&user=bob",
        "type=policy.loaded&user=bob",
        "type=lock.placed",
        "serial=1",
        &format!("session={}", session_id(2)),
        &format!("request={}", request_id(151)),
        &format!("request={}&user=bob", request_id(151)),
        "grant=grt_01m80zy0br34ba5f63vxm8x1js",
        "host=web-1",
        "host=web-2",
        "action=shell&user=bob",
        "grep=ops-7",
        "grep=nothing of the kind",
        "after=100&before=200",
        "after=100&before=101",
        "after=99999",
        "before=0",
        &format!("since={}", time(50)),
        &format!("until={}", time(50)),
        &format!("since={}&until={}&user=bob", time(50), time(70)),
        &format!("since={}", time(99_999)),
        &format!("until={}", time(0)),
    ] {
        let filter = filter(pairs);
        let expected: Vec<u64> = events
            .iter()
            .filter(|event| match &event.content {
                Some(content) => filter.fits(event.index, &serde_json::from_slice(&content.body).unwrap()),
                None => filter.fits_erased(event.index),
            })
            .map(|event| event.index)
            .collect();
        let backwards: Vec<u64> = expected.iter().rev().copied().collect();
        for limit in [7, 100, 5000] {
            assert_eq!(all(&store, &filter, false, limit).await.0, expected, "{pairs} by {limit}");
            assert_eq!(all(&store, &filter, true, limit).await.0, backwards, "{pairs} backwards by {limit}");
        }
    }
    assert_eq!(all(&store, &filter("user=bob"), false, 100).await.0.len(), 13, "there is something to find");
}

#[tokio::test]
async fn what_comes_later_comes_after_the_last_cursor() {
    let home = home();
    let store = home.open().await;
    let ask = |after: Option<u64>, pairs: &str| {
        let filter = LogFilter { after, ..filter(pairs) };
        store.search(Search { filter, newest_first: false, limit: 100 })
    };
    // An empty ledger gives none to go on from, and says so.
    let found = ask(None, "").await.unwrap();
    assert!((found.events.is_empty(), found.next, found.more) == (true, None, false));
    results(&store, 0, vec![ALICE.opens(1), BOB.opens(2)]).await;
    let found = ask(None, "user=bob").await.unwrap();
    assert_eq!((found.events.len(), found.next, found.more), (1, Some(1), false));
    // Others' events move the cursor on, and nothing is found twice.
    results(&store, 1, vec![ALICE.is_denied(1, 1)]).await;
    let found = ask(Some(1), "user=bob").await.unwrap();
    assert_eq!((found.events.len(), found.next, found.more), (0, Some(2), false));
    results(&store, 2, vec![BOB.is_denied(2, 2)]).await;
    let found = ask(Some(2), "user=bob").await.unwrap();
    assert_eq!((found.events.len(), found.next, found.more), (1, Some(3), false));
    // A cursor of another ledger, or from before a restore, stays where it is.
    let found = ask(Some(70), "user=bob").await.unwrap();
    assert_eq!((found.events.len(), found.next, found.more), (0, Some(70), false));
}

#[tokio::test]
async fn no_call_looks_at_the_whole_of_a_long_ledger() {
    let home = home();
    let store = home.open().await;
    ledger(&store, 90).await;
    for (pairs, calls) in [
        // Read and parsed, leaf by leaf.
        ("grep=nothing of the kind", 3),
        ("user=alice&grep=nothing of the kind", 3),
        // Found by an index, or passed by unread.
        ("user=bob", 1),
        ("type=policy.loaded", 1),
        ("user=bob&type=policy.loaded", 1),
        ("serial=7", 1),
        ("grant=grt_01m80zy0br34ba5f63vxm8x1js", 1),
    ] {
        for newest_first in [false, true] {
            assert_eq!(all(&store, &filter(pairs), newest_first, 1000).await.1, calls, "{pairs}");
        }
    }
}

#[tokio::test]
async fn an_export_is_recorded_for_a_session_that_is_there() {
    let home = home();
    let store = home.open().await;
    let export = |person: Person, session| {
        Change::ExportLog(ExportLog {
            session: session_id(session),
            actor: person.actor(),
            source: "192.0.2.1".to_owned(),
            filter: filter("user=bob&grep=OPS-7"),
        })
    };
    let changes = vec![
        ALICE.opens(1),
        export(ALICE, 1),
        export(BOB, 1),
        export(ALICE, 2),
        ALICE.ends(1),
        export(ALICE, 1),
    ];
    let came = results(&store, 0, changes).await;
    assert_eq!(came[1], Ok(1));
    assert!(came[2].is_err() && came[3].is_err() && came[5] == Err(Code::SessionEnded), "{came:?}");
    assert_eq!(leaves(&store).await, 3);
    let recorded = store.events(1, 1).await.unwrap().remove(0).content.unwrap().body;
    let said: serde_json::Value = serde_json::from_slice(&recorded).unwrap();
    assert_eq!(said["filter"], serde_json::json!({"user": "bob", "grep": "OPS-7"}));
    assert_eq!(said["actor"]["name"], "alice");
}

/// Whoever waits for an event is woken by it, and by nothing else.
#[tokio::test]
async fn who_waits_for_the_ledger_to_grow_is_told_when_it_does() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![policy_loaded(), policy_loaded()]).await;
    store.grown(1).await.unwrap();
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move {
            store.grown(2).await.unwrap();
            store.tree_head().await.unwrap().size
        })
    };
    // What changes nothing wakes nobody.
    assert_eq!(results(&store, 0, vec![ALICE.ends(1)]).await.len(), 1);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    // On a server it may be another process that appends.
    let other = if home.url.starts_with("sqlite:") {
        store.clone()
    } else {
        let seen = home.dir.path().join("other.seen");
        Store::open(Options { seen, ..home.options() }).await.unwrap()
    };
    results(&other, 0, vec![policy_loaded()]).await;
    assert_eq!(waiting.await.unwrap(), 3);
}

/// Anybody may ask for tiles, as often as they like: who logs in does not wait for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_on_what_is_public_holds_up_nobody_else() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1)]).await;
    let (open, gate) = tokio::sync::watch::channel(false);
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (store, gate) = (store.clone(), gate.clone());
        flood.spawn(async move {
            // Slow reads, for as long as the test wants.
            let slow = move |conn: &mut dyn Conn| {
                while !*gate.borrow() {
                    std::thread::yield_now();
                }
                conn.select("SELECT value FROM meta WHERE name = 'schema'", &[]).map(drop)
            };
            store.read_public(slow).await
        });
    }
    let head = tokio::spawn({
        let store = store.clone();
        async move { store.tree_head().await.unwrap() }
    });
    // A log-in looks up sessions and appends; neither waits.
    assert!(store.session_by_token(&session_id(1), &hash("no such token", 1)).await.unwrap().is_none());
    assert_eq!(results(&store, 0, vec![BOB.opens(2)]).await, [Ok(1)]);
    store.ready().await.unwrap();
    assert!(!head.is_finished() && flood.try_join_next().is_none());
    open.send_replace(true);
    while let Some(done) = flood.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(head.await.unwrap().size, 2);
}
