//! How SQLite goes about what is looked for: by an index, where there is one for it.

use jit_ssh_proto::event::LogFilter;

use super::*;

/// The steps of a query.
fn plan(home: &Home, text: &str, args: &[Value]) -> Vec<String> {
    let steps = past(home, |conn| conn.select(&format!("EXPLAIN QUERY PLAN {text}"), args).unwrap());
    steps.iter().map(|step| step.text(3).unwrap().to_owned()).collect()
}

/// The index is used, and no table is gone through: what is in parts is looked for in each.
fn looks(plan: &[String], table: &str, index: &str) {
    let by_index = |step: &String| {
        step.starts_with(&format!("SEARCH {table} USING INDEX")) && step.contains(&format!("{index} "))
    };
    let through =
        |step: &&String| step.starts_with("SCAN") && !step.contains("CONSTANT ROW") && *step != "SCAN parts";
    assert!(plan.iter().any(by_index), "{index}: {plan:?}");
    assert_eq!(plan.iter().find(through), None, "{index}: {plan:?}");
}

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
        looks(&plan(&home, &text, &args), "events", index);
    }
    let (issuer, sub) = (Value::from("corp"), Value::from("alice-sub"));
    let whose = [issuer.clone(), sub.clone()];
    looks(&plan(&home, facts::LIVE_BY_SUB, &whose), "sessions", "sessions_by_identity");
    looks(&plan(&home, facts::LIVE_BY_SID, &whose), "sessions", "sessions_by_sid");
    let live = [issuer.clone(), sub.clone(), at(0).into()];
    looks(&plan(&home, people::LIVE, &live), "sessions", "sessions_by_identity");
    let asked = [Value::from(0), Value::from(100), issuer, sub, Value::from(10)];
    looks(&plan(&home, requests::REQUESTS, &asked), "requests", "requests_by_identity");
    let oldest = plan(&home, requests::OLDEST_PART, &[]);
    assert_eq!(oldest, ["SCAN requests USING COVERING INDEX requests_by_identity"], "its first entry");
}
