//! A backup that is gone on with: what was given since is revoked, and nothing is given twice.

use std::path::PathBuf;

use super::*;

/// A busy ledger that was backed up and closed: the backup, and how far it goes.
async fn backed_up(home: &Home) -> (PathBuf, TreeHead) {
    let store = home.open().await;
    busy(&store).await;
    let file = home.dir.path().join("x.backup");
    let head = backup(home, &file).await.unwrap();
    store.close().await;
    (file, head)
}

/// Issue 3, point 8: no serial is given twice, nothing that was refused is taken again.
#[tokio::test]
async fn what_was_lost_after_the_backup_stays_refused() {
    let home = home();
    let store = home.open().await;
    busy(&store).await;
    let file = home.dir.path().join("x.backup");
    let then = backup(&home, &file).await.unwrap();
    // What will be lost: a certificate, the end of a session, a login.
    let grant = grant(ALICE, 1, 1, 0);
    results(&store, 5, vec![is_issued(ALICE, &grant, 1, 1), ALICE.ends(1), BOB.opens(3)]).await;
    let now = store.tree_head().await.unwrap();
    store.close().await;

    let to = empty(&home, false);
    let error = run(restore(&home, &to, &file, Some(now))).await.unwrap_err().to_string();
    assert!(error.contains("the witness knows of 603: what the last 3 say would be lost"), "{error}");
    let error = run(restore(&home, &to, &file, None)).await.unwrap_err().to_string();
    assert!(error.contains("--checkpoint"), "{error}");
    let mut other = then;
    other.root[0] ^= 1;
    let error = run(restore(&home, &to, &file, Some(other))).await.unwrap_err().to_string();
    assert!(error.contains("the witness: another history"), "{error}");
    let accepted = Restore { accept_loss: true, ..restore(&home, &to, &file, Some(now)) };
    let restored = run(accepted).await.unwrap();
    assert_eq!((restored.backup, restored.lost, restored.aside), (then, 3, None));

    let there = Home { dir: home.dir, url: to };
    is_good(&there).await;
    assert_eq!(count(&there, "events"), FILLED + 2);
    let row = |sql: &'static str| past(&there, |conn| format!("{:?}", conn.select(sql, &[]).unwrap()));
    assert!(!row("SELECT revoked FROM certificates").contains("Null"));
    assert!(!row("SELECT ended FROM sessions").contains("Null"));
    // Of the time of the restore: far past what the backup and the loss account for.
    let next = |from: u64| {
        let by_time = at(100).seconds() << 20;
        assert!(by_time > from + (1 << 20) + 3);
        by_time
    };
    let serials = past(&there, |conn| {
        conn.select("SELECT authority, next FROM serials ORDER BY authority", &[]).unwrap()
    });
    let serials: Vec<_> =
        serials.iter().map(|row| (row.text(0).unwrap().to_owned(), row.number(1).unwrap())).collect();
    assert_eq!(serials, [("host".to_owned(), next(1)), ("user".to_owned(), next(3))]);

    let store = there.open().await;
    let body = |leaf| {
        let store = store.clone();
        async move {
            String::from_utf8(store.events(leaf, 1).await.unwrap().remove(0).content.unwrap().body).unwrap()
        }
    };
    let range = format!("\"authority\":\"user\",\"serial\":1,\"through\":{}", next(3) - 1);
    assert!(body(FILLED + 1).await.contains(&range), "{}", body(FILLED + 1).await);
    // A certificate under a session of before, its grant still running.
    let again = results(&store, 101, vec![is_issued(ALICE, &grant, 1, 1)]).await;
    assert_eq!(again, [Err(Code::SessionEnded)]);
    // The token of the lost session; a call that was signed before; each up to a minute after, by a clock that is ahead.
    let open = |n: u64, signed: u64, issued: u64| {
        let mut open = BOB.open(n);
        open.call = CallId { id: format!("again-{n}"), signed: at(signed) };
        open.issued = at(issued);
        Change::OpenSession(Box::new(open))
    };
    let now = 300;
    for (signed, issued, expected) in [
        (300, 0, Err(Code::TokenUsed)),
        (300, 160, Err(Code::TokenUsed)),
        (160, 161, Err(Code::SignatureReplayed)),
        (161, 161, Ok(FILLED + 2)),
    ] {
        assert_eq!(
            results(&store, now, vec![open(3, signed, issued)]).await,
            [expected],
            "{signed} {issued}"
        );
    }
    store.close().await;
    // And so it is after a restart.
    let store = there.open().await;
    assert_eq!(results(&store, now, vec![open(4, 300, 160)]).await, [Err(Code::TokenUsed)]);
    store.close().await;
    is_good(&there).await;
}

#[tokio::test]
async fn a_restore_touches_nothing_that_is_there_unless_told_to() {
    let home = home();
    let (file, head) = backed_up(&home).await;
    let before = content(&home);
    let error = run(restore(&home, &home.url(), &file, Some(head))).await.unwrap_err().to_string();
    assert!(error.contains("--replace") || error.contains("is not empty"), "{error}");
    assert_eq!(content(&home), before);
    let replace = || Restore { replace: true, ..restore(&home, &home.url(), &file, Some(head)) };
    if home.url.starts_with("postgres") {
        let error = run(replace()).await.unwrap_err().to_string();
        assert!(error.contains("is on a server"), "{error}");
        assert_eq!(content(&home), before);
        return;
    }
    let aside = run(replace()).await.unwrap().aside.unwrap();
    let aside = at_file(&home, aside.file_name().unwrap().to_str().unwrap());
    assert_eq!(content(&aside), before);
    is_good(&home).await;
    home.open().await.close().await;
    // A damaged backup is not brought in.
    let bad = at_file(&home, "x.backup");
    sql(&bad, "UPDATE sessions SET ended = NULL");
    let error = run(replace()).await.unwrap_err().to_string();
    assert!(error.contains("does not verify"), "{error}");
}

#[tokio::test]
async fn a_restored_ledger_can_be_backed_up_and_restored_again() {
    let home = home();
    let (file, head) = backed_up(&home).await;
    let to = empty(&home, false);
    run(restore(&home, &to, &file, Some(head))).await.unwrap();
    let there = Home { dir: home.dir, url: to };
    let store = there.open().await;
    let mut open = ALICE.open(9);
    open.call = CallId { id: "open-9".to_owned(), signed: at(400) };
    open.issued = at(400);
    let session = open.session();
    let opened = results(&store, 400, vec![Change::OpenSession(Box::new(open))]).await;
    assert_eq!(opened, [Ok(FILLED + 2)]);
    assert_ne!(session, session_id(9));
    let file = there.dir.path().join("2.backup");
    let head = backup(&there, &file).await.unwrap();
    store.close().await;
    let to = format!("sqlite:{}", there.dir.path().join("third.db").display());
    let again = Restore { now: at(500), ..restore(&there, &to, &file, Some(head)) };
    run(again).await.unwrap();
    is_good(&Home { dir: there.dir, url: to }).await;
}

/// Where a backup is restored again and again, each life gives other serials, and those of the lives before are revoked,
/// even where nothing here remembers them.
#[tokio::test]
async fn the_same_backup_restored_twice_gives_no_serial_twice() {
    let home = home();
    let (file, head) = backed_up(&home).await;
    let mut began = Vec::new();
    for now in [200, 300] {
        let to = format!("sqlite:{}", home.dir.path().join(format!("life-{now}.db")).display());
        // What one life saw is gone when the next begins.
        std::fs::remove_file(&home.options().seen).unwrap();
        run(Restore { now: at(now), ..restore(&home, &to, &file, Some(head)) }).await.unwrap();
        let place = Place::parse(&to).unwrap();
        let text = "SELECT next FROM serials WHERE authority = 'user'";
        let mut conn = place.reader().unwrap();
        began.push(conn.select(text, &[]).unwrap()[0].number(0).unwrap());
        conn.close();
    }
    assert!(began[1] - began[0] >= 100 << 20, "{began:?}");
}
