//! The server that other tests stand on does what they believe of it.

use super::*;

fn everybody(server: &Postgres) -> Vec<Pid> {
    let mut all = server.children().unwrap();
    all.push(server.pid().unwrap());
    all
}

#[test]
fn databases_are_empty_and_apart_and_commits_are_flushed() {
    let server = Postgres::start().unwrap();
    let (one, two) = (server.database().unwrap(), server.database().unwrap());
    server.sql(&one, "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1), (2)").unwrap();
    assert_eq!(server.sql(&one, "SELECT a, a + 1 FROM t ORDER BY a").unwrap(), "1|2\n2|3");
    let rows = psql::rows(&one, r"SELECT a, E'x|\n', NULL, '', '\xab'::bytea FROM t ORDER BY a").unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(rows[1], [text("2"), text("x|\n"), None, text(""), text(r"\xab")]);
    assert_eq!(rows.len(), 2);
    assert!(psql::rows(&one, "SELECT a FROM t WHERE a > 2").unwrap().is_empty());
    let error = server.sql(&two, "SELECT a FROM t").unwrap_err().to_string();
    assert!(error.contains("\"t\" does not exist"), "{error}");
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(server.sql("postgres", &format!("SHOW {setting}")).unwrap(), "on", "{setting}");
    }
    assert_eq!(server.sql("postgres", "SHOW listen_addresses").unwrap(), "127.0.0.1");
}

#[test]
fn what_was_committed_is_there_after_a_stop_and_after_a_kill() {
    let mut server = Postgres::start().unwrap();
    let url = server.database().unwrap();
    server.sql(&url, "CREATE TABLE t (a BIGINT)").unwrap();
    for (n, kill) in [(1, true), (2, false), (3, true)] {
        server.sql(&url, &format!("INSERT INTO t VALUES ({n})")).unwrap();
        if kill {
            server.kill().unwrap();
        } else {
            server.stop().unwrap();
        }
        assert!(server.sql(&url, "SELECT 1").is_err(), "it runs on");
        server.restart().unwrap();
        assert_eq!(server.sql(&url, "SELECT MAX(a), COUNT(*) FROM t").unwrap(), format!("{n}|{n}"));
    }
    assert!(server.log().contains("was not properly shut down"), "{}", server.log());
}

#[test]
fn a_paused_server_says_nothing_until_it_goes_on() {
    let server = Postgres::start().unwrap();
    let url = server.database().unwrap();
    server.pause().unwrap();
    let all = everybody(&server);
    let still = |pid: &Pid| matches!(state(*pid), None | Some('T' | 'Z'));
    assert!(all.iter().all(still) && state(server.pid().unwrap()) == Some('T'), "something of it runs");
    let asked = thread::scope(|scope| {
        let asked = scope.spawn(|| server.sql(&url, "SELECT 7"));
        let resumed = server.resume();
        (asked.join().unwrap(), resumed)
    });
    assert_eq!((asked.0.unwrap().as_str(), asked.1.unwrap()), ("7", ()));
}

#[test]
fn an_older_copy_put_back_is_the_older_state() {
    let mut server = Postgres::start().unwrap();
    let url = server.database().unwrap();
    server.sql(&url, "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)").unwrap();
    assert!(server.copy().is_err(), "a copy of a running server is none");
    server.stop().unwrap();
    let copy = server.copy().unwrap();
    server.restart().unwrap();
    server.sql(&url, "INSERT INTO t VALUES (2)").unwrap();
    server.stop().unwrap();
    server.put_back(&copy).unwrap();
    server.restart().unwrap();
    assert_eq!(server.sql(&url, "SELECT COUNT(*) FROM t").unwrap(), "1");
}

#[test]
fn a_server_that_is_dropped_ends_with_everybody_in_it_even_when_it_is_paused() {
    for paused in [false, true] {
        let server = Postgres::start().unwrap();
        let all = everybody(&server);
        assert!(all.iter().all(|pid| state(*pid).is_some()) && all.len() > 3, "{all:?}");
        let folder = server.folder.path().to_path_buf();
        if paused {
            server.pause().unwrap();
        }
        drop(server);
        until("the end of all", || Ok(all.iter().all(|pid| state(*pid).is_none()))).unwrap();
        assert!(!folder.exists());
    }
}
