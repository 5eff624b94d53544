//! Requests are their identity's, and are listed newest first, page by page.

use super::*;

#[tokio::test]
async fn requests_are_their_identitys_and_listed_newest_first() {
    let home = home();
    let store = home.open().await;
    let decisions = (1..=5).map(|n| ALICE.is_denied(1, n));
    let changes = [ALICE.opens(1), BOB.opens(2), BOB.is_denied(2, 9)].into_iter().chain(decisions).collect();
    assert!(results(&store, 0, changes).await.iter().all(Result::is_ok));
    let corp = "corp".parse().unwrap();
    let ids =
        |list: Vec<jit_ssh_proto::wire::RequestInfo>| list.into_iter().map(|r| r.id).collect::<Vec<_>>();
    let page = ids(store.requests(&corp, "alice-sub", None, 2).await.unwrap());
    assert_eq!(page, [request_id(5).to_string(), request_id(4).to_string()]);
    let page = ids(store.requests(&corp, "alice-sub", Some(&request_id(4)), 9).await.unwrap());
    assert_eq!(page, [request_id(3), request_id(2), request_id(1)].map(|id| id.to_string()));
    let one = store.request(&corp, "alice-sub", &request_id(1)).await.unwrap().unwrap();
    assert_eq!((one.accounts, one.reason.as_str()), (vec!["deploy@web-1".to_owned()], "disk full"));
    assert_eq!((one.refused, one.grant, one.time), (Some(Code::NoAccess), None, at(0)));
    for (issuer, sub) in [("corp", "bob-sub"), ("other", "alice-sub")] {
        let issuer = issuer.parse().unwrap();
        assert!(store.request(&issuer, sub, &request_id(1)).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn each_page_goes_on_where_the_last_one_ended() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1), BOB.opens(2)]).await;
    // More than three parts of the index; bob has something in the first and in the last.
    for round in 0..33 {
        let changes = (1..=100).map(|n| {
            let (person, session) = if n == 50 && round % 32 == 0 { (BOB, 2) } else { (ALICE, 1) };
            person.is_denied(session, round * 100 + n)
        });
        assert!(results(&store, round, changes.collect()).await.iter().all(Result::is_ok));
    }
    let corp = "corp".parse().unwrap();
    let bobs = [50, 3250];
    let alices = (1..=3300).filter(|n| !bobs.contains(n));
    for (sub, expected) in
        [("alice-sub", alices.collect::<Vec<u64>>()), ("bob-sub", bobs.to_vec()), ("nobody", Vec::new())]
    {
        for limit in [1, 100, 1000] {
            let (mut found, mut before) = (Vec::new(), None);
            // One by one would take a while.
            while limit > 1 || found.len() < 3 {
                let page = store.requests(&corp, sub, before.as_ref(), limit).await.unwrap();
                let Some(last) = page.last() else { break };
                assert!(page.len() <= usize::try_from(limit).unwrap());
                before = Some(last.id.parse().unwrap());
                found.extend(page.into_iter().map(|request| request.id));
            }
            let newest = expected.iter().rev().map(|n| request_id(*n).to_string());
            let expected: Vec<String> = newest.take(if limit > 1 { usize::MAX } else { 3 }).collect();
            assert!(found == expected, "{sub} by {limit}");
        }
    }
    // Where a page ended is gone by now: the list goes on from the second in which that was asked.
    sql(&home, &format!("DELETE FROM requests WHERE id = '{}'", request_id(150)));
    let page = store.requests(&corp, "alice-sub", Some(&request_id(150)), 3).await.unwrap();
    let ids: Vec<String> = page.into_iter().map(|request| request.id).collect();
    assert_eq!(ids, [100, 99, 98].map(|n| request_id(n).to_string()));
}
