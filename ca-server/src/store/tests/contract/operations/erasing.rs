//! Bodies of events that are erased.

use super::*;

fn erases(leaf: u64) -> Change {
    Change::EraseEvent(EraseEvent { leaf, reason: "OPS-9: a password in a reason".parse().unwrap() })
}

async fn erase(store: &Store, seconds: u64, leaf: u64) -> Result<u64, Refusal> {
    store.apply(at(seconds), vec![erases(leaf)]).await.unwrap().remove(0).map(|outcome| outcome.leaf)
}

#[tokio::test]
async fn an_erased_event_is_gone_and_the_ledger_still_proves_itself() {
    let home = home();
    let store = home.open().await;
    busy(&store).await;
    let proof = |of| {
        let store = store.clone();
        async move { store.prove(5, of).await.unwrap().unwrap() }
    };
    let (head, before) = (store.tree_head().await.unwrap(), proof(600).await);
    let leaf = store.events(5, 1).await.unwrap().remove(0).leaf;
    // A request that was refused: its reason stands in the event, and in a row.
    assert_eq!(erase(&store, 10, 5).await, Ok(FILLED));
    let erased = store.events(5, 1).await.unwrap().remove(0);
    assert!(erased.content.is_none() && erased.leaf == leaf);
    assert_eq!(proof(600).await, before);
    let said =
        past(&home, |conn| format!("{:?}", conn.select("SELECT * FROM events WHERE leaf = 5", &[]).unwrap()));
    assert!(!said.contains("bob") && !said.contains("_01"), "{said}");
    assert_eq!(count(&home, "requests"), 1);
    is_good(&home).await;
    let known = Known { from: "before".to_owned(), head, reached: true };
    let report = Verify { database: Database::Url(home.url()), ca: ca(), known: vec![known] }
        .run(quietly())
        .await
        .unwrap();
    assert_eq!((report.findings.len(), report.erased), (0, 1));
    // And after a restart, and in a backup.
    store.close().await;
    let store = home.open().await;
    let file = home.dir.path().join("x.backup");
    backup(&home, &file).await.unwrap();
    is_good(&at_file(&home, "x.backup")).await;
    assert_eq!(results(&store, 11, vec![BOB.opens(7)]).await, [Ok(FILLED + 1)]);
    is_good(&home).await;
    if home.url.starts_with("sqlite:") {
        store.close().await;
        let bytes = std::fs::read(home.path()).unwrap();
        let reason = format!("\"{}\"", request_id(2));
        assert!(!bytes.windows(reason.len()).any(|window| window == reason.as_bytes()), "its bytes are left");
    }
}

#[tokio::test]
async fn what_something_stands_on_is_not_erased() {
    let home = home();
    let store = home.open().await;
    busy(&store).await;
    let until = |what, seconds, leaf| {
        Err(Refusal::NotErasable(NotErasable::Lasts { leaf, what, until: at(seconds) }))
    };
    let kind =
        |leaf, kind: &str| Err(Refusal::NotErasable(NotErasable::Kind { leaf, kind: kind.to_owned() }));
    for (leaf, seconds, expected) in [
        (0, 10, Err(Refusal::NotErasable(NotErasable::Session(0)))),
        (1, 10, until("the grant", 1800, 1)),
        (2, 1799, until("the certificate", 1800, 2)),
        (9, 1799, kind(9, "policy.loaded")),
        (9999, 1799, Err(Refusal::NotErasable(NotErasable::NoSuchEvent(9999)))),
        (2, 1800, Ok(600)),
        (1, 1800, Ok(601)),
        (2, 1800, Err(Refusal::NotErasable(NotErasable::Already(2)))),
        (600, 1800, kind(600, "event.erased")),
        (6, 1800, Err(Refusal::NotErasable(NotErasable::Session(6)))),
        // A day after the session's end its row goes, with the next thing that is recorded.
        (3, 120_000, Ok(602)),
        (6, 120_100, Ok(603)),
        (0, 120_100, Ok(604)),
    ] {
        assert_eq!(erase(&store, seconds, leaf).await, expected, "{leaf} {seconds}");
    }
    // Twice in one batch is once.
    let both = store.apply(at(120_100), vec![erases(5), erases(5)]).await.unwrap();
    assert!(both[0].is_ok() && both[1].is_err(), "{both:?}");
    is_good(&home).await;
}
