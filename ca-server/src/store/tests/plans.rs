//! How SQLite goes about a search: by an index, where there is one for it.

use jit_ssh_proto::event::LogFilter;

use super::*;

#[tokio::test]
async fn the_indexes_are_used() {
    let home = Home::new();
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1)]).await;
    for (pairs, index) in [
        ("user=alice", "events_by_name"),
        ("serial=1", "events_by_serial"),
        ("type=policy.loaded", "events_by_kind"),
        ("type=policy.loaded&user=alice", "events_by_kind"),
    ] {
        let mut filter = LogFilter::default();
        pairs.split('&').for_each(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            filter.set(name, value).unwrap();
        });
        let (text, args) = search::query(&filter, true);
        let plan = past(&home, |conn| conn.select(&format!("EXPLAIN QUERY PLAN {text}"), &args).unwrap());
        let said: Vec<&str> = plan.iter().map(|step| step.text(3).unwrap()).collect();
        // What is in parts is looked for in each, and put in order at last; nothing else is gone through.
        let whole = |step: &&&str| {
            step.starts_with("SCAN") && !step.contains("CONSTANT ROW") && **step != "SCAN parts"
        };
        assert!(
            said.iter().any(|step| step.starts_with("SEARCH events USING INDEX") && step.contains(index)),
            "{pairs}: {said:?}"
        );
        assert_eq!(said.iter().find(whole), None, "{pairs}: {said:?}");
    }
}
