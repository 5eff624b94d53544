//! A ledger that goes on in another database.

use super::*;

#[tokio::test]
async fn a_move_keeps_the_root_and_the_old_database_is_not_gone_on_with() {
    let home = home();
    let store = home.open().await;
    busy(&store).await;
    let head = store.tree_head().await.unwrap();
    store.close().await;
    let before = portable(&home);
    let there = Home { dir: tempfile::tempdir().unwrap(), url: empty(&home, true) };
    let moving = || Move { from: home.options(), to: there.url(), now: at(3) };
    let moved = moving().run(quietly()).await.unwrap();
    assert_eq!(moved.head, head);
    assert_eq!(portable(&home), before, "the old one is left as it was");

    // The new one goes on from what this machine saw.
    let mut options = home.options();
    options.url = there.url();
    let store = Store::open(options).await.unwrap();
    assert_eq!(results(&store, 3, vec![ALICE.opens(9)]).await, [Ok(FILLED + 1)]);
    store.close().await;
    let event = Verify {
        database: Database::Url(there.url()),
        ca: ca(),
        known: vec![Known { from: "before".into(), head, reached: true }],
    };
    assert_eq!(event.run(quietly()).await.unwrap().findings, []);

    // The old one is refused, and so is a second move, and a move into what is not empty.
    for error in [Store::open(home.options()).await.unwrap_err(), moving().run(quietly()).await.unwrap_err()]
    {
        assert!(error.to_string().contains("was moved to"), "{error}");
    }
    let other = at_file(&home, "other.db");
    other.open().await.close().await;
    let error = Move { from: other.options(), ..moving() }.run(quietly()).await.unwrap_err().to_string();
    assert!(error.contains("is not empty") || error.contains("is there already"), "{error}");
    let error = resume(other.options()).await.unwrap_err().to_string();
    assert!(error.contains("was not moved"), "{error}");
}

#[tokio::test]
async fn of_two_databases_of_one_ledger_one_at_most_goes_on() {
    let home = home();
    let store = home.open().await;
    busy(&store).await;
    store.close().await;
    let there = Home { dir: tempfile::tempdir().unwrap(), url: empty(&home, true) };
    let moving = Move { from: home.options(), to: there.url(), now: at(3) };
    let moved = moving.run(quietly()).await.unwrap().head;
    // This machine knows of the move, so no copy of what was before it is taken for the ledger.
    assert_eq!(last_seen(&home.options().seen).unwrap().size, moved.size + 1);
    let on = |home: &Home, seen: &Home| Options { url: home.url(), ..seen.options() };
    let refused = async |options: Options| resume(options).await.unwrap_err().to_string();

    // Back at once: the new one is left.
    assert_eq!(resume(home.options()).await.unwrap(), Place::parse(&home.url()).unwrap().shown());
    assert_eq!(last_seen(&home.options().seen), Some(moved));
    let error = Store::open(on(&there, &there)).await.unwrap_err().to_string();
    assert!(error.contains("was moved to"), "{error}");
    let store = home.open().await;
    assert_eq!(results(&store, 4, vec![ALICE.opens(9)]).await, [Ok(FILLED)]);
    // From there it is no other: the one that has the ledger is in use, and then it has gone on.
    let error = refused(on(&there, &there)).await;
    assert!(error.contains("in use") || error.contains("connections of jit-ssh-ca are open"), "{error}");
    assert!(error.contains("end what uses it"), "{error}");
    assert_eq!(results(&store, 4, vec![policy_loaded()]).await, [Ok(FILLED + 1)]);
    store.close().await;
    let error = refused(on(&there, &there)).await;
    assert!(error.contains("has gone on: it has 602 events of 600"), "{error}");
    let error = refused(on(&there, &home)).await;
    assert!(error.contains("does not go on from the 602 events"), "{error}");
}

#[tokio::test]
async fn a_database_whose_ledger_went_where_nobody_can_look_is_not_gone_on_with() {
    let home = home();
    home.open().await.close().await;
    let there = empty(&home, true);
    Move { from: home.options(), to: there.clone(), now: at(3) }.run(quietly()).await.unwrap();
    match there.strip_prefix("sqlite:") {
        Some(path) => std::fs::write(path, "something else, of some length".repeat(200)).unwrap(),
        None => SERVER.with(|server| {
            let name = there.rsplit('/').next().unwrap();
            server.sql("postgres", &format!("ALTER DATABASE {name} RENAME TO {name}_gone")).unwrap();
        }),
    }
    let error = resume(home.options()).await.unwrap_err().to_string();
    assert!(
        error.contains("not a database of jit-ssh-ca") || error.contains("cannot be looked at"),
        "{error}"
    );
    // A file that was taken away is nowhere.
    if let Some(path) = there.strip_prefix("sqlite:") {
        std::fs::remove_file(path).unwrap();
        resume(home.options()).await.unwrap();
        home.open().await.close().await;
    }
}

#[tokio::test]
async fn a_move_whose_end_fails_leaves_the_old_one_as_it_was_or_says_what_to_do() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![policy_loaded()]).await;
    store.close().await;
    let before = content(&home);
    let failed = StoreError::ReadOnly("the disk is full".to_owned());
    for (to, undone) in [("sqlite:/tmp/nowhere.db", true), ("postgres://u@127.0.0.1:1/x", false)] {
        let moving = Move { from: home.options(), to: to.to_owned(), now: at(0) };
        let said = past(&home, |conn| {
            let from = Place::parse(&home.url()).unwrap();
            let marked = migrate::Moved { head: TreeHead::EMPTY, to: to.to_owned() };
            conn.begin().unwrap();
            crate::store::moving::mark(conn, &marked).unwrap();
            conn.commit().unwrap();
            moving.undone(&mut copy::Side { conn, place: &from }, &Place::parse(to).unwrap(), failed.clone())
        });
        assert_eq!(said == failed, undone, "{said}");
        assert_eq!(content(&home) == before, undone);
        assert!(undone || said.to_string().contains("run `jit-ssh-ca store resume`"), "{said}");
    }
}

#[tokio::test]
async fn who_has_the_database_open_appends_nothing_after_a_move() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![policy_loaded()]).await;
    let to = empty(&home, true);
    let moved = Move { from: home.options(), to, now: at(0) }.run(quietly()).await;
    if home.url.starts_with("sqlite:") {
        let error = moved.unwrap_err().to_string();
        assert!(error.contains("another jit-ssh-ca uses"), "{error}");
        assert_eq!(results(&store, 0, vec![policy_loaded()]).await, [Ok(1)]);
        return;
    }
    moved.unwrap();
    for _ in 0..3 {
        store.apply(at(0), vec![policy_loaded()]).await.unwrap_err();
    }
    let error = store.apply(at(0), vec![policy_loaded()]).await.unwrap_err().to_string();
    assert!(error.contains("was moved to"), "{error}");
    assert_eq!(count(&home, "events"), 1);
}
