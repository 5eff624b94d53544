//! Each precondition, refused: with its own code, alone in its batch, leaving nothing.

use super::*;

#[tokio::test]
async fn a_session_opens_acts_and_ends() {
    let home = Home::new();
    let store = home.open().await;
    let done = results(&store, 0, vec![ALICE.opens(1), ALICE.is_denied(1, 1), ALICE.ends(1)]).await;
    assert_eq!(done, [Ok(0), Ok(1), Ok(2)]);
    let found = store.session_by_token(&hash("bearer", 1)).await.unwrap().unwrap();
    assert_eq!((found.id, found.ended, found.expires), (session_id(1), true, at(HOURS_8)));
    assert_eq!(found.claims, ALICE.open(1).claims);
    assert_eq!(found.key, user_key(1));
    assert!(store.session_by_token(&hash("bearer", 2)).await.unwrap().is_none());
}
