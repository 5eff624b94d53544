//! What an operator does with a whole ledger: backup, restore, move, erase. After each the ledger still verifies.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::issuing::{grant, is_issued};
use super::verify::{busy, verified};
use super::*;
use crate::store::restore::Restore;
use crate::store::verify::{Database, Known, Progress, Verify};

fn quietly() -> Progress {
    Box::new(|_, _| {})
}

async fn backup(home: &Home, file: &Path) -> Result<TreeHead, StoreError> {
    Backup { url: home.url(), ca: ca(), file: file.to_owned() }.run(quietly()).await
}

/// Everything, less what is about the one database.
fn portable(home: &Home) -> String {
    let own = ["Text(\"probe\")", "Text(\"moved\")"];
    content(home)
        .lines()
        .filter(|line| !own.iter().any(|own| line.contains(own)))
        .collect::<Vec<_>>()
        .join("\n")
}

fn at_file(dir: &Home, file: &str) -> Home {
    let url = format!("sqlite:{}", dir.dir.path().join(file).display());
    Home { dir: tempfile::tempdir().unwrap(), url }
}

/// An empty database of this home's engine, and one of the other.
fn empty(home: &Home, other: bool) -> String {
    if home.url.starts_with("sqlite:") == other {
        SERVER.with(|server| server.database().unwrap())
    } else {
        format!("sqlite:{}", home.dir.path().join("another.db").display())
    }
}

async fn is_good(home: &Home) {
    let report = verified(home).await;
    assert_eq!(report.findings, []);
}

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
            moving::mark(conn, &marked).unwrap();
            conn.commit().unwrap();
            moving.undone(&mut copy::Side { conn, place: &from }, &Place::parse(to).unwrap(), failed.clone())
        });
        assert_eq!(said == failed, undone, "{said}");
        assert_eq!(content(&home) == before, undone);
        assert!(undone || said.to_string().contains("run `jit-ssh-ca store resume`"), "{said}");
    }
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

/// The leaf after the busy ledger's last.
const FILLED: u64 = 600;

fn restore(home: &Home, url: &str, file: &Path, known: Option<TreeHead>) -> Restore {
    let known = known.map(|head| Known { from: "the witness".to_owned(), head, reached: false });
    Restore {
        options: Options { url: url.to_owned(), ..home.options() },
        backup: file.to_owned(),
        known: known.into_iter().collect(),
        authorities: vec![("user".parse().unwrap(), true), ("host".parse().unwrap(), false)],
        accept_loss: false,
        replace: false,
        now: at(100),
    }
}

async fn run(restore: Restore) -> Result<RestoredStore, StoreError> {
    restore.verify(quietly()).await?.bring_in(Vec::new(), quietly()).await
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
    let store = home.open().await;
    busy(&store).await;
    let file = home.dir.path().join("x.backup");
    let head = backup(&home, &file).await.unwrap();
    store.close().await;
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

#[tokio::test]
async fn a_restored_ledger_can_be_backed_up_and_restored_again() {
    let home = home();
    let store = home.open().await;
    busy(&store).await;
    let file = home.dir.path().join("1.backup");
    let head = backup(&home, &file).await.unwrap();
    store.close().await;
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
    let store = home.open().await;
    busy(&store).await;
    let file = home.dir.path().join("1.backup");
    let head = backup(&home, &file).await.unwrap();
    store.close().await;
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
