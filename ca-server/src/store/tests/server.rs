//! What is only so on a server: several processes over one database, a server that goes and comes back, clocks.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::Clock;

/// A clock that says what it is told.
struct Told(AtomicU64);

impl Clock for Told {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.milliseconds() / 1000)
    }

    fn milliseconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Another process of the same CA: it remembers for itself what it saw.
async fn another(home: &Home, name: &str) -> Store {
    let seen = home.dir.path().join(name);
    Store::open(Options { seen, create: false, ..home.options() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_share_one_ledger_without_gap_or_repeat() {
    const EACH: u64 = 60;
    let home = Home::on_server();
    let stores = [home.open().await, another(&home, "b").await, another(&home, "c").await];
    let tasks: Vec<_> = (0_u64..)
        .zip(&stores)
        .flat_map(|(at, store)| [(at * 2, store.clone()), (at * 2 + 1, store.clone())])
        .map(|(task, store)| {
            tokio::spawn(async move {
                let login: &'static str = Box::leak(format!("user-{task}").into_boxed_str());
                let person = Person { issuer: "corp", sub: login, login };
                let mut leaves = Vec::new();
                for n in (task * EACH)..(task + 1) * EACH {
                    for leaf in results(&store, 0, vec![person.opens(n), person.is_denied(n, n)]).await {
                        leaves.push(leaf.unwrap());
                    }
                }
                assert!(leaves.is_sorted());
                leaves
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (0..6 * EACH * 2).collect::<Vec<_>>());
    // Each sees the same tree, whoever appended last.
    let heads = [
        stores[0].tree_head().await.unwrap(),
        stores[1].tree_head().await.unwrap(),
        stores[2].tree_head().await.unwrap(),
    ];
    assert!(heads.iter().all(|head| *head == heads[0]), "{heads:?}");
    let mut builder = jit_ssh_proto::log::RootBuilder::default();
    let count = heads[0].size;
    stores[0].leaves(0, count).await.unwrap().unwrap().iter().for_each(|leaf| builder.push(leaf));
    assert_eq!(builder.root(), heads[0].root);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_processes_that_load_one_set_at_once_one_says_so() {
    let home = Home::on_server();
    let (one, other) = (home.open().await, another(&home, "b").await);
    results(&one, 0, vec![loads('0', None, true)]).await;
    let mut compared = '0';
    for set in ['1', '2', '3', '4', '5', '6'] {
        let load = |store: Store| {
            tokio::spawn(async move { results(&store, 0, vec![loads(set, Some(compared), false)]).await })
        };
        let tasks = [load(one.clone()), load(other.clone())];
        let mut found = Vec::new();
        for task in tasks {
            found.extend(task.await.unwrap());
        }
        assert_eq!(found[0], found[1], "both come to the same event");
        compared = set;
    }
    assert_eq!(leaves(&one).await, 7);
}

#[tokio::test]
async fn what_one_process_used_up_is_used_up_for_the_other() {
    let home = Home::on_server();
    let (a, b) = (home.open().await, another(&home, "b").await);
    assert_eq!(results(&a, 0, vec![ALICE.opens(1)]).await, [Ok(0)]);
    let mut stolen = BOB.open(1);
    stolen.key = user_key(2);
    stolen.call = call("another");
    let stolen = Change::OpenSession(Box::new(stolen));
    assert_eq!(
        results(&b, 0, vec![stolen, ALICE.opens(1)]).await,
        [Err(Code::TokenUsed), Err(Code::SignatureReplayed)]
    );
    assert_eq!(results(&b, 0, vec![ALICE.ends(1)]).await, [Ok(1)]);
    assert_eq!(results(&a, 0, vec![ALICE.is_denied(1, 1)]).await, [Err(Code::SessionEnded)]);
    assert_eq!(a.last_time(), at(0));
}

#[tokio::test]
async fn a_server_that_goes_is_said_to_be_gone_and_found_again() {
    let mut server = Postgres::start().unwrap();
    let home = Home { dir: tempfile::tempdir().unwrap(), url: server.database().unwrap() };
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1)]).await;
    store.ready().await.unwrap();
    server.kill().unwrap();
    for _ in 0..2 {
        let error = store.apply(at(1), vec![ALICE.is_denied(1, 1)]).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    }
    assert!(store.ready().await.is_err());
    assert!(store.request(&"corp".parse().unwrap(), "alice-sub", &request_id(1)).await.is_err());
    server.restart().unwrap();
    assert_eq!(results(&store, 2, vec![ALICE.is_denied(1, 1)]).await, [Ok(1)]);
    store.ready().await.unwrap();
    assert_eq!(leaves(&store).await, 2);
}

/// Whoever spreads calls over several servers hears of it before a caller does.
#[tokio::test]
async fn readiness_notices_a_ledger_that_went_away_or_went_back_before_anything_is_written() {
    let home = Home::on_server();
    let store = home.open().await;
    results(&store, 0, vec![policy_loaded(), policy_loaded()]).await;
    store.ready().await.unwrap();
    let to = format!("sqlite:{}", home.dir.path().join("new.db").display());
    Move { from: home.options(), to, now: at(0) }.run(Box::new(|_, _| {})).await.unwrap();
    let error = store.ready().await.unwrap_err().to_string();
    assert!(error.contains("was moved to sqlite:/"), "{error}");
    resume(home.options()).await.unwrap();
    store.ready().await.unwrap();
    sql(&home, "DELETE FROM events WHERE leaf = 1");
    let error = store.ready().await.unwrap_err().to_string();
    assert!(error.contains("do not go on from the 2"), "{error}");
    let row = "INSERT INTO events (leaf, time, kind, hash) VALUES (1, 1790000000, 'x', $1)";
    execute(&home, row, &[hash("forged", 1).into()]);
    let error = store.ready().await.unwrap_err().to_string();
    assert!(error.contains("do not go on from the 2"), "{error}");
}

#[tokio::test]
async fn a_server_that_lost_commits_is_refused() {
    let mut server = Postgres::start().unwrap();
    let home = Home { dir: tempfile::tempdir().unwrap(), url: server.database().unwrap() };
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1)]).await;
    server.stop().unwrap();
    let copy = server.copy().unwrap();
    server.restart().unwrap();
    assert_eq!(results(&store, 0, vec![ALICE.is_denied(1, 1)]).await, [Ok(1)]);
    // The standby that takes over had not got the last commit.
    server.stop().unwrap();
    server.put_back(&copy).unwrap();
    server.restart().unwrap();
    let error = store.apply(at(0), vec![ALICE.is_denied(1, 2)]).await.unwrap_err();
    assert!(error.to_string().contains("only 1 of 2 events"), "{error}");
    // Nor by a process that starts now, and not once it has grown again.
    drop(store);
    let error = Store::open(home.options()).await.unwrap_err();
    assert!(error.to_string().contains("only 1 of 2 events"), "{error}");
    let other = another(&home, "b").await;
    results(&other, 0, vec![ALICE.is_denied(1, 3), ALICE.is_denied(1, 4)]).await;
    let error = Store::open(home.options()).await.unwrap_err();
    assert!(error.to_string().contains("another history"), "{error}");
}

#[tokio::test]
async fn a_clock_that_is_not_the_databases_issues_nothing() {
    let home = Home::on_server();
    let real = crate::clock::SystemClock.milliseconds();
    let clock = Arc::new(Told(AtomicU64::new(real)));
    let options = Options { clock: Some(Arc::<Told>::clone(&clock)), ..home.options() };
    let store = Store::open(options).await.unwrap();
    assert_eq!(results(&store, 0, vec![policy_loaded()]).await, [Ok(0)]);
    for off in [real + 3_600_000, real - 3_600_000] {
        clock.0.store(off, Ordering::Relaxed);
        let error = store.apply(at(0), vec![policy_loaded()]).await.unwrap_err();
        assert!(matches!(error, StoreError::ClockOff { off_ms } if off_ms > 3_500_000), "{error}");
        assert!(store.ready().await.is_err());
    }
    clock.0.store(crate::clock::SystemClock.milliseconds(), Ordering::Relaxed);
    assert_eq!(results(&store, 0, vec![policy_loaded()]).await, [Ok(1)]);
}

#[tokio::test]
async fn other_peoples_databases_newer_ones_and_empty_ones_are_refused() {
    let home = Home::on_server();
    let refused = |options: Options| async { Store::open(options).await.unwrap_err().to_string() };
    let text = refused(Options { create: false, ..home.options() }).await;
    assert!(text.contains("is empty: run jit-ssh-ca init"), "{text}");
    home.open().await.close().await;
    let text = refused(Options { ca: CaId::from_bytes([8; 32]), ..home.options() }).await;
    assert!(text.contains("belongs to another CA"), "{text}");
    sql(&home, "UPDATE meta SET value = '99' WHERE name = 'schema'");
    let text = refused(home.options()).await;
    assert!(text.contains("schema 99") && text.contains("later jit-ssh-ca"), "{text}");
    let home = Home::on_server();
    sql(&home, "CREATE TABLE recipes (name text)");
    let text = refused(home.options()).await;
    assert!(text.contains("is not a database of jit-ssh-ca"), "{text}");
    let nowhere = home.url().replace("/test_", "/no_such_");
    let text = refused(Options { url: nowhere, ..home.options() }).await;
    assert!(text.contains("cannot be opened"), "{text}");
}

#[tokio::test]
async fn readers_of_a_server_cannot_write() {
    let home = Home::on_server();
    let store = home.open().await;
    let error = store.read(|conn| conn.execute("DELETE FROM meta", &[])).await.unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[tokio::test]
async fn no_checkpoint_is_made_of_a_ledger_that_does_not_go_on_from_what_was_seen() {
    let home = Home::on_server();
    let store = home.open().await;
    results(&store, 0, vec![policy_loaded(), policy_loaded(), policy_loaded()]).await;
    sql(&home, "DELETE FROM events WHERE leaf = 2");
    let error = store.tree_head().await.unwrap_err();
    assert!(error.to_string().contains("do not go on from the 3"), "{error}");
    // Nor of one that has grown again.
    for leaf in [2, 3] {
        let row = format!("INSERT INTO events (leaf, time, kind, hash) VALUES ({leaf}, 1790000000, 'x', $1)");
        execute(&home, &row, &[hash("forged", leaf).into()]);
    }
    let error = store.tree_head().await.unwrap_err();
    assert!(error.to_string().contains("do not go on from the 3"), "{error}");
}
