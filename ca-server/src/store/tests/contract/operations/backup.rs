//! Backups and other copies of a whole ledger.

use super::*;

#[tokio::test]
async fn a_copy_has_every_column_that_the_schema_has() {
    let home = home();
    let store = home.open().await;
    busy(&store).await;
    for (table, columns) in copy::columns() {
        let row = past(&home, |conn| conn.select(&format!("SELECT * FROM {table} LIMIT 1"), &[]).unwrap());
        if let Some(row) = row.first() {
            assert_eq!(row.0.len(), columns.len(), "{table}");
        }
    }
    store.close().await;
}

#[tokio::test]
async fn a_backup_is_whole_and_one_file_and_the_server_goes_on() {
    let home = home();
    let store = home.open().await;
    busy(&store).await;
    let head = store.tree_head().await.unwrap();
    let file = home.dir.path().join("x.backup");
    assert_eq!(backup(&home, &file).await.unwrap(), head);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = at_file(&home, "x.backup");
    let before = portable(&home);
    // The server goes on, and the backup stays as it is, with nothing beside it.
    results(&store, 2, vec![policy_loaded()]).await;
    let report = Verify { database: Database::File(file.clone()), ca: ca(), known: Vec::new() }
        .run(quietly())
        .await
        .unwrap();
    assert!(report.is_good() && report.head == Some(head), "{report:?}");
    let names = std::fs::read_dir(home.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let beside: Vec<_> = names.filter(|name| name.to_str().unwrap().contains("x.backup")).collect();
    assert_eq!(beside, ["x.backup"]);
    assert_eq!(portable(&copy), before);
    let error = backup(&home, &file).await.unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
    let error = backup(&home, &home.dir.path().join("no/x.backup")).await.unwrap_err().to_string();
    assert!(error.contains("no/x.backup cannot be opened"), "{error}");
}

#[tokio::test]
async fn a_copy_may_take_longer_than_a_frozen_process_may_hold_the_lock() {
    let home = home();
    home.open().await.close().await;
    let to = Home { dir: tempfile::tempdir().unwrap(), url: empty(&home, true) };
    let limit = |conn: &mut dyn Conn| match conn.shared() {
        true => {
            let text = "SELECT current_setting('idle_in_transaction_session_timeout')";
            conn.select(text, &[]).unwrap()[0].text(0).unwrap().to_owned()
        }
        false => "0".to_owned(),
    };
    past(&home, |from| {
        let places = [&home, &to].map(|home| Place::parse(&home.url()).unwrap());
        places[1].ensure(true).unwrap();
        let mut there = places[1].writer().unwrap();
        from.begin().unwrap();
        there.begin().unwrap();
        let [from_place, to_place] = &places;
        let mut sides = [
            copy::Side { conn: from, place: from_place },
            copy::Side { conn: there.as_mut(), place: to_place },
        ];
        let [from, to] = &mut sides;
        copy::copy(from, to, &mut quietly()).unwrap();
        for side in [from, to] {
            assert_eq!(limit(side.conn), "0", "however long the other's flush takes");
            side.conn.commit().unwrap();
            assert!(!side.conn.shared() || limit(side.conn) == "10s");
        }
    });
}

#[tokio::test]
async fn a_file_that_is_no_backup_is_named_and_a_name_may_hold_anything() {
    let home = home();
    let store = home.open().await;
    busy(&store).await;
    let head = store.tree_head().await.unwrap();
    let odd = home.dir.path().join("2026:11:22 a?b#c.backup");
    assert_eq!(backup(&home, &odd).await.unwrap(), head);
    store.close().await;
    for (name, content, says) in [
        ("empty", "", "empty is empty: give"),
        ("garbage", &"garbage ".repeat(1000)[..], "garbage is not a database of jit-ssh-ca: give"),
        ("short", "x", "short is empty: give"),
    ] {
        let file = home.dir.path().join(name);
        std::fs::write(&file, content).unwrap();
        let error = run(restore(&home, &empty(&home, false), &file, None)).await.unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("[store]"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), content.as_bytes());
    }
    let none = home.dir.path().join("none");
    let error = run(restore(&home, &empty(&home, false), &none, None)).await.unwrap_err().to_string();
    assert!(error.contains("none does not exist: give") && !error.contains("[store]"), "{error}");
    assert!(!none.exists());
    if let Some(file) = home.url.strip_prefix("sqlite:") {
        // As often as somebody wants, within one second.
        for n in 1..4 {
            let again = Restore { replace: true, accept_loss: true, ..restore(&home, &home.url, &odd, None) };
            let aside = run(again).await.unwrap().aside.unwrap();
            let ending = if n == 1 { String::new() } else { format!("-{n}") };
            assert_eq!(aside, PathBuf::from(format!("{file}.replaced-{}{ending}", at(100).seconds())));
        }
        is_good(&home).await;
    }
}

/// Cut off or refused in the middle, nothing is left that could be taken for a ledger.
#[tokio::test]
async fn a_copy_of_a_damaged_ledger_leaves_nothing_behind() {
    let home = home();
    let store = home.open().await;
    busy(&store).await;
    store.close().await;
    sql(&home, "UPDATE tiles SET hash = (SELECT hash FROM events WHERE leaf = 1) WHERE idx = 0");
    let file = home.dir.path().join("x.backup");
    let error = backup(&home, &file).await.unwrap_err().to_string();
    assert!(error.contains("the tree of") && error.contains("is damaged"), "{error}");
    let to = empty(&home, true);
    std::fs::remove_file(&home.options().seen).unwrap();
    let error = Move { from: home.options(), to: to.clone(), now: at(3) }.run(quietly()).await.unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    let left = std::fs::read_dir(home.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.contains("x.backup") || name == "another.db"), "{left:?}");
    if to.starts_with("postgres") {
        let there = Home { dir: tempfile::tempdir().unwrap(), url: to };
        assert_eq!(past(&there, |conn| conn.tables().unwrap()), [""; 0]);
    }
    // And the old one is not marked.
    sql(&home, "DELETE FROM tiles");
    let error = Store::open(home.options()).await.unwrap_err().to_string();
    assert!(error.contains("tree is missing"), "{error}");
    sql(&home, "DELETE FROM events WHERE leaf = 3");
    let error = backup(&home, &file).await.unwrap_err().to_string();
    assert!(error.contains("leaf 3 is missing"), "{error}");
}
