//! What a certificate costs on disk, as docs/OPERATIONS.md says it: each under a request of its own, twenty a session.
//! `cargo nextest run -p jit-ssh-ca --run-ignored only --no-capture sizes` prints the figures.

use super::issuing::{grant, is_granted, is_issued};
use super::*;

const CERTIFICATES: u64 = 8000;
const EACH_SESSION: u64 = 20;

/// What the database takes, in bytes.
fn size(home: &Home) -> u64 {
    let text = if home.url.starts_with("sqlite:") {
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    } else {
        "SELECT (SUM(pg_total_relation_size(c.oid)))::bigint FROM pg_class c \
         WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace"
    };
    past(home, |conn| conn.select(text, &[]).unwrap()[0].number(0).unwrap())
}

#[tokio::test]
#[ignore = "measures, and says nothing about right or wrong"]
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
async fn what_a_certificate_costs() {
    let home = home();
    let store = home.open().await;
    let before = size(&home);
    for n in 0..CERTIFICATES {
        let session = n / EACH_SESSION;
        let mut changes = Vec::new();
        if n.is_multiple_of(EACH_SESSION) {
            changes.push(ALICE.opens(session));
        }
        let grant = grant(ALICE, session, n, 0);
        changes.extend([is_granted(ALICE, &grant, session, n), is_issued(ALICE, &grant, session, n)]);
        results(&store, 0, changes).await.into_iter().for_each(|result| assert!(result.is_ok()));
    }
    store.close().await;
    let vacuum = if home.url.starts_with("sqlite:") { "VACUUM" } else { "VACUUM FULL" };
    let whole = size(&home) - before;
    for table in ["sessions", "requests", "certificates", "call_ids"] {
        sql(&home, &format!("DELETE FROM {table}"));
    }
    sql(&home, vacuum);
    let ledger = size(&home).saturating_sub(before);
    println!(
        "{}: {} B a certificate, {} B of them for ever",
        home.url.split(':').next().unwrap(),
        whole / CERTIFICATES,
        ledger / CERTIFICATES
    );
}
