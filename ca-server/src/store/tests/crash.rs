//! A crash inside the append, just before its commit: the process is really killed, and nothing of it is there.

use std::process::Command;

use super::*;

const URL: &str = "JIT_SSH_TEST_STORE";
const SEEN: &str = "JIT_SSH_TEST_SEEN";

/// Run by the test below in a process of its own, never by itself.
#[tokio::test]
async fn the_process_that_is_killed() {
    let Ok(url) = std::env::var(URL) else { return };
    let seen = std::env::var(SEEN).unwrap().into();
    let options = Options { url, ca: ca(), create: false, seen, clock: None, keep: KEEP };
    let store = Store::open(options).await.unwrap();
    let _never = store.apply(at(1), vec![ALICE.is_denied(1, 1), BOB.opens(2)]).await;
    panic!("the crash point was passed");
}

#[tokio::test]
async fn a_crash_before_the_commit_leaves_nothing_of_the_batch() {
    let home = Home::new();
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1)]).await;
    store.close().await;
    let before = content(&home);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::crash::the_process_that_is_killed", "--nocapture"])
        .env(URL, home.url())
        .env(SEEN, home.options().seen)
        .env("JIT_SSH_CRASH_AT", "in-append")
        .output()
        .unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&child.status);
    assert_eq!(signal, Some(6), "{}", String::from_utf8_lossy(&child.stderr));
    assert_eq!(content(&home), before);
    // The lock died with the process; the next leaf is the one that was never written.
    let store = home.open().await;
    assert_eq!(results(&store, 1, vec![ALICE.is_denied(1, 1), BOB.opens(2)]).await, [Ok(1), Ok(2)]);
}
