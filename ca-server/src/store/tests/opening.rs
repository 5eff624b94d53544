//! Which databases are opened, and which are refused with a sentence that says what to do.

use super::*;

/// The sentence that refuses.
async fn refusal(url: &str, ca: &CaId, create: bool) -> String {
    let seen = tempfile::tempdir().unwrap();
    let options = Options {
        url: url.to_owned(),
        ca: *ca,
        create,
        seen: seen.path().join("seen"),
        clock: None,
        keep: KEEP,
    };
    Store::open(options).await.unwrap_err().to_string()
}

#[tokio::test]
async fn state_serials_and_order_survive_being_closed() {
    let home = Home::new();
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1)]).await;
    store.close().await;
    let store = Store::open(Options { create: false, ..home.options() }).await.unwrap();
    assert_eq!(results(&store, 1, vec![ALICE.is_denied(1, 1)]).await, [Ok(1)]);
    store.ready().await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_made_unless_told() {
    let home = Home::new();
    let text = refusal(&home.url(), &ca(), false).await;
    assert!(text.contains("does not exist") && text.contains("jit-ssh-ca init"), "{text}");
    assert!(!home.path().exists());
    let text = Store::open_read_only(&home.url(), &ca()).await.unwrap_err().to_string();
    assert!(text.contains("does not exist"), "{text}");
}

#[tokio::test]
async fn urls_that_name_no_file_are_refused() {
    for (url, says) in [
        ("mysql://localhost/ca", "\"mysql\""),
        ("postgres://localhost:port/ca", "is no URL"),
        ("ca.db", "sqlite:PATH"),
        ("sqlite:", "names no file"),
        ("sqlite::memory:", "names no file"),
        ("sqlite:ca.db?mode=ro", "names no file"),
        ("sqlite:/no/such/directory/ca.db", "the directory of /no/such/directory/ca.db"),
    ] {
        let text = refusal(url, &ca(), true).await;
        assert!(text.contains(says), "{url}: {text}");
    }
}

#[tokio::test]
async fn a_path_may_hold_anything_that_a_path_may() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a b%41&ü..");
    std::fs::create_dir(&folder).unwrap();
    let url = format!("sqlite:{}", folder.join("c+a;db").display());
    let seen = dir.path().join("seen");
    Store::open(Options { url, ca: ca(), create: true, seen, clock: None, keep: KEEP })
        .await
        .unwrap()
        .close()
        .await;
    assert!(folder.join("c+a;db").is_file());
}

#[tokio::test]
async fn the_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let store = home.open().await;
    results(&store, 0, vec![policy_loaded()]).await;
    for name in ["ca.db", "ca.db-wal", "ca.db.lock"] {
        let mode = home.path().with_file_name(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[tokio::test]
async fn another_cas_database_is_refused() {
    let home = Home::new();
    home.open().await.close().await;
    let other = CaId::from_bytes([8; 32]);
    for text in [
        refusal(&home.url(), &other, true).await,
        Store::open_read_only(&home.url(), &other).await.unwrap_err().to_string(),
    ] {
        assert!(text.contains("another CA"), "{text}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let home = Home::new();
    home.open().await.close().await;
    sql(&home, "UPDATE meta SET value = '99' WHERE name = 'schema'");
    let before = content(&home);
    for text in [
        refusal(&home.url(), &ca(), true).await,
        Store::open_read_only(&home.url(), &ca()).await.unwrap_err().to_string(),
    ] {
        assert!(text.contains("schema 99") && text.contains("later jit-ssh-ca"), "{text}");
    }
    assert_eq!(content(&home), before);
}

#[tokio::test]
async fn somebody_elses_file_is_refused() {
    let home = Home::new();
    std::fs::write(home.path(), "this is a letter, long enough to have the header of a database ".repeat(20))
        .unwrap();
    let text = refusal(&home.url(), &ca(), true).await;
    assert!(text.contains("is not a database of jit-ssh-ca"), "{text}");

    let home = Home::new();
    std::fs::write(home.path(), "").unwrap();
    sql(&home, "CREATE TABLE recipes (name TEXT)");
    let text = refusal(&home.url(), &ca(), true).await;
    assert!(text.contains("is not a database of jit-ssh-ca"), "{text}");
}

#[tokio::test]
async fn an_empty_file_is_filled_only_when_told_to_create() {
    let home = Home::new();
    std::fs::write(home.path(), "").unwrap();
    let text = refusal(&home.url(), &ca(), false).await;
    assert!(text.contains("is empty"), "{text}");
    let store = home.open().await;
    assert_eq!(results(&store, 0, vec![policy_loaded()]).await, [Ok(0)]);
}

#[tokio::test]
async fn a_second_server_is_refused_and_told_which_file_says_so() {
    let home = Home::new();
    let store = home.open().await;
    let link = home.path().with_file_name("link.db");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    for url in [home.url(), format!("sqlite:{}", link.display())] {
        let text = refusal(&url, &ca(), false).await;
        assert!(text.contains("another jit-ssh-ca") && text.contains("ca.db.lock"), "{text}");
    }
    // The first one is not disturbed, and when it is gone the file that stays behind stops nobody.
    assert_eq!(results(&store, 0, vec![policy_loaded()]).await, [Ok(0)]);
    store.close().await;
    assert!(home.path().with_file_name("ca.db.lock").exists());
    home.open().await;
}

#[tokio::test]
async fn readers_need_no_lock_and_write_nothing() {
    let home = Home::new();
    let store = home.open().await;
    results(&store, 7, vec![ALICE.opens(1)]).await;
    let reader = Store::open_read_only(&home.url(), &ca()).await.unwrap();
    assert_eq!(leaves(&reader).await, 1);
    assert_eq!(reader.last_time(), at(7));
    results(&store, 8, vec![policy_loaded()]).await;
    assert_eq!(leaves(&reader).await, 2, "a reader sees what is added");
    let error = reader.apply(at(9), vec![policy_loaded()]).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
    store.close().await;
    // Without a server too.
    reader.close().await;
    let reader = Store::open_read_only(&home.url(), &ca()).await.unwrap();
    assert_eq!(leaves(&reader).await, 2);
    reader.ready().await.unwrap();
}

#[tokio::test]
async fn the_writer_flushes_at_every_commit_and_readers_cannot_write() {
    let home = Home::new();
    let store = home.open().await;
    let mut writer = store.shared.place.writer().unwrap();
    for (pragma, expected) in
        [("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1), ("PRAGMA busy_timeout", 5000)]
    {
        assert_eq!(writer.select(pragma, &[]).unwrap()[0].number(0), Ok(expected), "{pragma}");
    }
    assert_eq!(writer.select("PRAGMA journal_mode", &[]).unwrap()[0].text(0), Ok("wal"));
    // Built as `.cargo/config.toml` says: nothing loads code into the process that has the keys.
    let built = writer.select("PRAGMA compile_options", &[]).unwrap();
    for option in ["OMIT_LOAD_EXTENSION", "DEFAULT_MEMSTATUS=0", "DQS=0"] {
        assert!(built.iter().any(|row| row.text(0) == Ok(option)), "{option}");
    }
    let error = store.read(|conn| conn.execute("DELETE FROM meta", &[])).await.unwrap_err();
    assert!(error.to_string().contains("readonly"), "{error}");
}
