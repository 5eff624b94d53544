//! Disks that are full, files that cannot be written: a clear error, nothing kept, and back to work by itself.

use super::*;

impl Home {
    /// A store in which every new writing connection first runs what it is told.
    async fn open_with_trouble(&self) -> (Store, impl Fn(Option<&'static str>)) {
        let store = self.open().await;
        let trouble = Arc::clone(&store.shared.place.trouble);
        (store, move |statement| *trouble.lock().unwrap() = statement)
    }
}

/// Makes the writer let go of its connection, as any failed transaction does.
async fn fail_once(home: &Home, store: &Store, n: u64) {
    in_the_way(home);
    let error = store.apply(at(0), vec![ALICE.opens(n)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    sql(home, "DELETE FROM sessions WHERE id = 'in the way'");
}

#[tokio::test]
async fn an_error_below_keeps_nothing_of_the_batch_and_the_next_one_works() {
    let home = Home::new();
    let store = home.open().await;
    results(&store, 0, vec![policy_loaded()]).await;
    let before = content(&home);
    fail_once(&home, &store, 1).await;
    assert_eq!(content(&home), before);
    assert_eq!(results(&store, 0, vec![ALICE.opens(1), BOB.opens(2)]).await, [Ok(1), Ok(2)]);
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_and_recovers_when_there_is_room() {
    let home = Home::new();
    let (store, trouble) = home.open_with_trouble().await;
    results(&store, 0, vec![ALICE.opens(1)]).await;
    // No page more than there are now.
    trouble(Some("PRAGMA max_page_count = 1"));
    fail_once(&home, &store, 50).await;
    let mut kept = 1;
    let error = loop {
        let before = content(&home);
        match store.apply(at(0), (0..20).map(|_| policy_loaded()).collect()).await {
            Ok(_) => kept += 20,
            Err(error) => {
                assert_eq!(content(&home), before);
                break error;
            }
        }
    };
    assert!(matches!(&error, StoreError::ReadOnly(text) if text.contains("is full")), "{error}");
    assert_eq!(leaves(&store).await, kept);
    let error = store.ready().await.unwrap_err();
    assert!(matches!(&error, StoreError::ReadOnly(text) if text.contains("is full")), "{error}");
    // Reads go on.
    assert!(store.session_by_token(&session_id(1), &hash("bearer", 1)).await.unwrap().is_some());
    // Room again: no restart is needed, nothing was lost, no leaf was skipped.
    trouble(None);
    store.ready().await.unwrap();
    let next = u64::try_from(kept).unwrap();
    assert_eq!(results(&store, 0, vec![ALICE.is_denied(1, 1)]).await, [Ok(next)]);
    assert_eq!(leaves(&store).await, kept + 1);
}

#[tokio::test]
async fn a_database_that_turns_read_only_says_so_until_it_is_not() {
    let home = Home::new();
    let (store, trouble) = home.open_with_trouble().await;
    store.ready().await.unwrap();
    trouble(Some("PRAGMA query_only = ON"));
    fail_once(&home, &store, 1).await;
    let error = store.apply(at(0), vec![policy_loaded()]).await.unwrap_err();
    assert!(matches!(&error, StoreError::ReadOnly(text) if text.contains("read-only")), "{error}");
    let error = store.ready().await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
    trouble(None);
    store.ready().await.unwrap();
    assert_eq!(results(&store, 0, vec![policy_loaded()]).await, [Ok(0)]);
}

#[tokio::test]
async fn a_database_that_is_moved_away_takes_no_more_records_until_it_is_back() {
    let home = Home::new();
    let store = home.open().await;
    results(&store, 0, vec![policy_loaded()]).await;
    let away = home.path().with_file_name("away.db");
    std::fs::rename(home.path(), &away).unwrap();
    let error = store.apply(at(0), vec![policy_loaded()]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("is gone")), "{error}");
    assert!(store.ready().await.is_err());
    // Another file in its place is not it.
    std::fs::copy(&away, home.path()).unwrap();
    let error = store.apply(at(0), vec![policy_loaded()]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unusable(text) if text.contains("was replaced")), "{error}");
    assert!(store.ready().await.is_err());
    std::fs::rename(&away, home.path()).unwrap();
    store.ready().await.unwrap();
    assert_eq!(results(&store, 0, vec![policy_loaded()]).await, [Ok(1)]);
}

#[tokio::test]
async fn a_ledger_that_was_cut_short_while_in_use_takes_no_more() {
    let home = Home::new();
    let store = home.open().await;
    results(&store, 0, vec![policy_loaded(), policy_loaded(), policy_loaded()]).await;
    // The writer looks when it connects again.
    fail_once(&home, &store, 1).await;
    sql(&home, "DELETE FROM events WHERE leaf > 0");
    let error = store.apply(at(0), vec![policy_loaded()]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unusable(text) if text.contains("only 1 of 3 events")), "{error}");
    assert!(store.ready().await.is_err());
}

#[tokio::test]
async fn a_database_that_another_program_holds_is_said_to_be_locked_and_works_afterwards() {
    let home = Home::new();
    let (store, trouble) = home.open_with_trouble().await;
    trouble(Some("PRAGMA busy_timeout = 0"));
    fail_once(&home, &store, 1).await;
    let mut other = Place::parse(&home.url()).unwrap().writer().unwrap();
    other.begin().unwrap();
    let error = store.apply(at(0), vec![policy_loaded()]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("locked")), "{error}");
    other.rollback().unwrap();
    other.close();
    assert_eq!(results(&store, 0, vec![policy_loaded()]).await, [Ok(0)]);
}

#[tokio::test]
async fn a_damaged_database_is_called_damaged() {
    let home = Home::new();
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1)]).await;
    store.close().await;
    let mut bytes = std::fs::read(home.path()).unwrap();
    bytes[4096..].fill(0xa5);
    std::fs::write(home.path(), bytes).unwrap();
    let error = Store::open(home.options()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unusable(text) if text.contains("damaged")), "{error}");
}

#[tokio::test]
async fn what_need_not_be_remembered_is_forgotten_and_the_rest_is_not() {
    let home = Home::new();
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1), ALICE.is_denied(1, 1)]).await;
    // A minute on, the calls are still remembered; past their time they need not be.
    results(&store, 100, vec![policy_loaded()]).await;
    assert_eq!(count(&home, "call_ids"), 2);
    results(&store, 200, vec![policy_loaded()]).await;
    assert_eq!(count(&home, "call_ids"), 0);
    // The token is remembered for a day longer than its session lasts.
    results(&store, HOURS_8 + 23 * 3600, vec![policy_loaded()]).await;
    assert_eq!(count(&home, "sessions"), 1);
    results(&store, HOURS_8 + 25 * 3600, vec![policy_loaded()]).await;
    assert_eq!(count(&home, "sessions"), 0);
    // Whose the login is stays, and so does the ledger.
    assert_eq!(count(&home, "identities"), 1);
    assert_eq!(leaves(&store).await, 6);
}
