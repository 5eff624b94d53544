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
        let said = plan[0].text(3).unwrap();
        assert!(said.contains(index) && plan.len() == 1, "{pairs}: {plan:?}");
    }
}
