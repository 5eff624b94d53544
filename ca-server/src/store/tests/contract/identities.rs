//! Who may log in, whose a name is, and sessions that somebody else than their owner ends or changes.

use jit_ssh_proto::event::{EndReason, Event, What};
use serde_json::json;

use super::verify::verified;
use super::*;
use crate::store::{
    Answer, BindIssuer, Changed, ClaimRevalidation, DisableIdentity, EnableIdentity, LogOut, Refresh,
    ReleaseLogin, Revalidated,
};

/// A session whose provider is asked about it after 15 minutes.
pub(super) fn asked_about(person: Person, n: u64) -> Change {
    let mut open = person.open(n);
    open.refresh = Some(Refresh { token: b"sealed".to_vec(), due: at(900) });
    open.claims.sid = Some(format!("sid-{n}"));
    Change::OpenSession(Box::new(open))
}

pub(super) fn disables(issuer: &str, sub: &str) -> Change {
    Change::DisableIdentity(DisableIdentity {
        actor: Actor::Operator,
        issuer: issuer.parse().unwrap(),
        sub: sub.to_owned(),
        name: None,
        reason: "left".parse().unwrap(),
    })
}

fn enables(issuer: &str, sub: &str) -> Change {
    Change::EnableIdentity(EnableIdentity {
        actor: Actor::Operator,
        issuer: issuer.parse().unwrap(),
        sub: sub.to_owned(),
        name: None,
    })
}

fn releases(login: &str) -> Change {
    Change::ReleaseLogin(ReleaseLogin { actor: Actor::Operator, login: login.parse().unwrap() })
}

pub(super) fn binds(issuer: &str, url: &str) -> Change {
    bind(issuer, url, false)
}

fn bind(issuer: &str, url: &str, moves: bool) -> Change {
    let (issuer, url) = (issuer.parse().unwrap(), url.to_owned());
    Change::BindIssuer(BindIssuer { actor: Actor::Ca, issuer, url, moves })
}

fn logs_out(jti: &str, issuer: &str, sub: Option<&str>, sid: Option<&str>) -> Change {
    Change::LogOut(LogOut {
        token: call(&format!("logout.{jti}")),
        issuer: issuer.parse().unwrap(),
        sub: sub.map(str::to_owned),
        sid: sid.map(str::to_owned),
        source: "192.0.2.9".to_owned(),
    })
}

fn claims(n: u64, holder: &str, until: u64) -> Change {
    let (session, holder) = (session_id(n), holder.to_owned());
    Change::ClaimRevalidation(ClaimRevalidation { session, holder, until: at(until) })
}

fn answers(n: u64, holder: &str, answer: Answer) -> Change {
    Change::Revalidated(Revalidated { session: session_id(n), holder: holder.to_owned(), answer })
}

fn stands(due: u64) -> Answer {
    Answer::Stands { token: None, due: at(due), changed: None }
}

fn again(person: Person, n: u64) -> Change {
    let mut open = person.open(n);
    open.call = call(&format!("again-{n}"));
    Change::OpenSession(Box::new(open))
}

async fn is_ended(store: &Store, n: u64) -> bool {
    store.session_by_token(&session_id(n), &hash("bearer", n)).await.unwrap().unwrap().ended
}

/// What became of each session number, in the order of the ledger.
async fn ends(store: &Store) -> Vec<(SessionId, Actor, Option<EndReason>)> {
    let events = store.events(0, 1_000_000).await.unwrap();
    let read = |event: StoredEvent| {
        let event: Event = serde_json::from_slice(&event.content.unwrap().body).unwrap();
        let What::SessionEnded(ended) = event.what else { return None };
        Some((ended.session, event.actor, ended.reason))
    };
    events.into_iter().filter_map(read).collect()
}

async fn is_good(home: &Home) {
    let report = verified(home).await;
    assert_eq!(report.findings, []);
}

const OTHER_ALICE: Person = Person { issuer: "other", sub: "alice-sub", login: "alice2" };

#[tokio::test]
async fn a_disabled_identity_has_no_session_and_opens_none_until_it_is_enabled() {
    let home = home();
    let store = home.open().await;
    let opened = vec![
        ALICE.opens(1),
        ALICE.opens(2),
        BOB.opens(3),
        OTHER_ALICE.opens(4),
        ALICE.opens(5),
        ALICE.ends(5),
    ];
    results(&store, 0, opened).await.into_iter().for_each(|result| assert!(result.is_ok()));

    let outcome =
        store.apply(at(1), vec![disables("corp", "alice-sub")]).await.unwrap().pop().unwrap().unwrap();
    let mut both = [session_id(1), session_id(2)];
    both.sort();
    assert_eq!((outcome.leaf, outcome.ended), (6, both.to_vec()));
    let told = ends(&store).await;
    assert_eq!(told.len(), 3);
    for (session, actor, reason) in &told[1..] {
        assert!(both.contains(session));
        assert_eq!((actor, reason), (&Actor::Operator, &Some(EndReason::IdentityDisabled)));
    }
    for (n, ended) in [(1, true), (2, true), (3, false), (4, false), (5, true)] {
        assert_eq!(is_ended(&store, n).await, ended, "session {n}");
    }
    // Neither anew, nor by the token of before, nor for anything that was open.
    let tried = vec![
        ALICE.opens(6),
        again(ALICE, 1),
        ALICE.is_denied(2, 1),
        disables("corp", "alice-sub"),
        enables("corp", "bob-sub"),
    ];
    assert_eq!(
        results(&store, 2, tried).await,
        [
            Err(Code::IdentityDisabled),
            Err(Code::IdentityDisabled),
            Err(Code::SessionEnded),
            Err(Code::IdentityDisabled),
            Err(Code::NotFound)
        ]
    );
    is_good(&home).await;
    // Enabled, they log in again; what ended stays ended.
    let tried =
        vec![enables("corp", "alice-sub"), ALICE.opens(6), again(ALICE, 1), enables("corp", "alice-sub")];
    assert_eq!(
        results(&store, 3, tried).await,
        [Ok(9), Ok(10), Err(Code::SessionEnded), Err(Code::NotFound)]
    );
    is_good(&home).await;
}

#[tokio::test]
async fn what_happens_in_one_batch_is_seen_in_it() {
    let home = home();
    let store = home.open().await;
    let batch = vec![
        ALICE.opens(1),
        disables("corp", "alice-sub"),
        ALICE.opens(2),
        ALICE.is_denied(1, 1),
        enables("corp", "alice-sub"),
        ALICE.opens(3),
        disables("corp", "alice-sub"),
    ];
    assert_eq!(
        results(&store, 0, batch).await,
        [Ok(0), Ok(1), Err(Code::IdentityDisabled), Err(Code::SessionEnded), Ok(3), Ok(4), Ok(5)]
    );
    assert!(is_ended(&store, 1).await && is_ended(&store, 3).await);
    is_good(&home).await;
    // A name changes hands in one batch.
    let batch = vec![BOB.opens(4), releases("bob"), ALICE_AS_BOB.opens(5), BOB.opens(6)];
    let done = results(&store, 1, batch).await;
    assert_eq!(done[2..], [Ok(10), Err(Code::LoginTaken)]);
    is_good(&home).await;
}

const ALICE_AS_BOB: Person = Person { issuer: "corp", sub: "another", login: "bob" };

#[tokio::test]
async fn a_released_login_is_whoevers_comes_first_and_its_holder_is_out() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![BOB.opens(1), ALICE.opens(2)]).await;
    assert_eq!(results(&store, 0, vec![ALICE_AS_BOB.opens(3)]).await, [Err(Code::LoginTaken)]);
    let outcome = store.apply(at(1), vec![releases("bob")]).await.unwrap().pop().unwrap().unwrap();
    assert_eq!(outcome.ended, [session_id(1)]);
    assert!(is_ended(&store, 1).await && !is_ended(&store, 2).await);
    is_good(&home).await;
    let tried = vec![releases("bob"), BOB.is_denied(1, 1), ALICE_AS_BOB.opens(3), BOB.opens(4)];
    assert_eq!(
        results(&store, 2, tried).await,
        [Err(Code::NotFound), Err(Code::SessionEnded), Ok(4), Err(Code::LoginTaken)]
    );
    is_good(&home).await;
    // And back again.
    assert_eq!(results(&store, 3, vec![releases("bob"), BOB.opens(5)]).await, [Ok(5), Ok(7)]);
    is_good(&home).await;
    let named = store.identity_named(&"bob".parse().unwrap()).await.unwrap();
    assert_eq!(named, Some(("corp".to_owned(), "bob-sub".to_owned())));
}

#[tokio::test]
async fn what_is_changed_past_the_ca_about_released_names_is_found() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![BOB.opens(1), releases("bob"), ALICE_AS_BOB.opens(3)]).await;
    is_good(&home).await;
    store.close().await;
    sql(&home, "UPDATE identities SET sub = 'bob-sub', leaf = 0 WHERE name = 'bob'");
    let found = verified(&home).await.findings;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|finding| finding.what.contains("after which it was released")), "{found:?}");
    sql(&home, "DELETE FROM identities WHERE name = 'bob'");
    assert!(verified(&home).await.findings[0].what.contains("is missing"));
}

#[tokio::test]
async fn the_name_of_an_issuer_stands_for_one_url_until_the_operator_says_otherwise() {
    let home = home();
    let store = home.open().await;
    let (here, there) = ("https://id.example.com", "https://evil.example.com");
    let elsewhere = |n: u64| {
        let mut open = ALICE.open(n);
        open.claims.picked.issuer = there.to_owned();
        Change::OpenSession(Box::new(open))
    };
    let tried = vec![
        binds("corp", here),
        binds("corp", here),
        binds("corp", there),
        ALICE.opens(1),
        elsewhere(2),
        bind("corp", there, true),
        elsewhere(2),
        ALICE.opens(3),
    ];
    assert_eq!(
        results(&store, 0, tried).await,
        [
            Ok(0),
            Ok(0),
            Err(Code::IssuerMoved),
            Ok(1),
            Err(Code::IssuerMoved),
            Ok(2),
            Ok(4),
            Err(Code::IssuerMoved)
        ]
    );
    assert_eq!(store.issuers().await.unwrap(), [("corp".to_owned(), there.to_owned())]);
    assert_eq!(leaves(&store).await, 5);
    is_good(&home).await;
}

/// Whoever came by the old URL logs in again, so that no session, and nothing that its provider is asked with, goes on
/// under a name that stands for another.
#[tokio::test]
async fn invariant_4_sessions_end_when_their_issuer_moves_and_no_others() {
    let home = home();
    let store = home.open().await;
    let (here, there) = ("https://id.example.com", "https://new.example.com");
    let opened = vec![
        binds("corp", here),
        asked_about(ALICE, 1),
        BOB.opens(2),
        OTHER_ALICE.opens(3),
        BOB.opens(4),
        BOB.ends(4),
    ];
    results(&store, 0, opened).await.into_iter().for_each(|result| assert!(result.is_ok()));
    assert_eq!(count(&home, "revalidations"), 1);
    // What is said again changes nothing.
    let same = store.apply(at(1), vec![bind("corp", here, true)]).await.unwrap().pop().unwrap().unwrap();
    assert_eq!(same.ended, []);
    let moved = store.apply(at(2), vec![bind("corp", there, true)]).await.unwrap().pop().unwrap().unwrap();
    let mut both = [session_id(1), session_id(2)];
    both.sort();
    assert_eq!(moved.ended, both);
    for (n, ended) in [(1, true), (2, true), (3, false), (4, true)] {
        assert_eq!(is_ended(&store, n).await, ended, "session {n}");
    }
    for (session, _, reason) in &ends(&store).await[1..] {
        assert!(both.contains(session) && *reason == Some(EndReason::IssuerMoved), "{session}: {reason:?}");
    }
    assert_eq!(count(&home, "revalidations"), 0);
    assert_eq!(results(&store, 3, vec![ALICE.is_denied(1, 1)]).await, [Err(Code::SessionEnded)]);
    is_good(&home).await;
}

/// Sessions 1 and 2 are Alice's of the provider's sessions sid-1 and sid-2, 3 is Alice's of none that is known, 4 is
/// Bob's of sid-1 (providers do not promise that these are unlike), 5 that of somebody else at another issuer.
#[tokio::test]
async fn a_provider_logs_out_whom_it_means_and_nobody_else() {
    for (what, sub, sid, issuer, ended) in [
        ("a person", Some("alice-sub"), None, "corp", vec![1, 2, 3]),
        ("a session of a person", Some("alice-sub"), Some("sid-1"), "corp", vec![1, 3]),
        ("a session", None, Some("sid-1"), "corp", vec![1, 4]),
        ("a session that nobody has", None, Some("sid-9"), "corp", vec![]),
        ("a session of a person who has another", Some("bob-sub"), Some("sid-9"), "corp", vec![]),
        ("nobody", None, None, "corp", vec![]),
        ("somebody who is not here", Some("carol-sub"), None, "corp", vec![]),
        ("a person of another issuer", Some("alice-sub"), None, "other", vec![5]),
        ("a session of another issuer", None, Some("sid-1"), "other", vec![5]),
    ] {
        let home = Home::new();
        let store = home.open().await;
        let mut others = OTHER_ALICE.open(5);
        others.claims.sid = Some("sid-1".to_owned());
        let mut bobs = BOB.open(4);
        bobs.claims.sid = Some("sid-1".to_owned());
        let opened = vec![
            asked_about(ALICE, 1),
            asked_about(ALICE, 2),
            ALICE.opens(3),
            Change::OpenSession(Box::new(bobs)),
            Change::OpenSession(Box::new(others)),
        ];
        results(&store, 0, opened).await.into_iter().for_each(|result| assert!(result.is_ok()));
        let outcome =
            store.apply(at(1), vec![logs_out("j1", issuer, sub, sid)]).await.unwrap().pop().unwrap().unwrap();
        for n in 1..=5 {
            assert_eq!(is_ended(&store, n).await, ended.contains(&n), "{what}: session {n}");
        }
        assert_eq!(outcome.ended.len(), ended.len(), "{what}");
        for (_, actor, reason) in ends(&store).await {
            assert_eq!((actor, reason), (Actor::Ca, Some(EndReason::ProviderLogout)), "{what}");
        }
        // Once, whatever it did.
        let replayed = results(&store, 2, vec![logs_out("j1", issuer, sub, sid)]).await;
        assert_eq!(replayed, [Err(Code::SignatureReplayed)], "{what}");
        is_good(&home).await;
    }
}

#[tokio::test]
async fn sessions_that_a_provider_ended_do_nothing_more() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![asked_about(ALICE, 1)]).await;
    let batch = vec![
        logs_out("j1", "corp", Some("alice-sub"), None),
        ALICE.is_denied(1, 1),
        ALICE.ends(1),
        again(ALICE, 1),
    ];
    let done = results(&store, 1, batch).await;
    assert_eq!(done[1..], [Err(Code::SessionEnded), Err(Code::SessionEnded), Err(Code::SessionEnded)]);
    // Who logs in again is in again.
    assert!(results(&store, 2, vec![ALICE.opens(2)]).await[0].is_ok());
    assert_eq!(count(&home, "revalidations"), 0);
    is_good(&home).await;
}

#[tokio::test]
async fn of_several_processes_one_asks_about_a_session_when_it_is_due() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![asked_about(ALICE, 1), BOB.opens(2)]).await;
    // Not yet; never about a session without a token, or one that is not there.
    assert_eq!(store.due_revalidations(at(899), 10).await.unwrap().len(), 0);
    let early = vec![claims(1, "a", 999), claims(2, "a", 999), claims(9, "a", 999)];
    assert_eq!(results(&store, 899, early).await, [Err(Code::NotFound); 3]);
    let due = store.due_revalidations(at(900), 10).await.unwrap();
    assert_eq!(
        (due.len(), due[0].session, due[0].token.as_slice()),
        (1, session_id(1), b"sealed".as_slice())
    );
    assert_eq!((due[0].issuer.as_str(), &due[0].claims.sub), ("corp", &ALICE.sub.to_owned()));
    // One of them, and the other not while it has it.
    assert_eq!(
        results(&store, 900, vec![claims(1, "a", 960), claims(1, "b", 960), claims(1, "a", 990)]).await,
        [Ok(0), Err(Code::NotFound), Err(Code::NotFound)]
    );
    assert_eq!(store.due_revalidations(at(900), 10).await.unwrap().len(), 0);
    assert_eq!(results(&store, 901, vec![answers(1, "b", stands(1800))]).await, [Err(Code::NotFound)]);
    // One that never answered loses it; what it says later is too late.
    assert_eq!(
        results(&store, 960, vec![claims(1, "b", 1020), answers(1, "a", stands(1800))]).await,
        [Ok(0), Err(Code::NotFound)]
    );
    let next = Answer::Stands { token: Some(b"next".to_vec()), due: at(1800), changed: None };
    assert_eq!(
        results(&store, 961, vec![answers(1, "b", next), answers(1, "b", stands(1))]).await,
        [Ok(0), Err(Code::NotFound)]
    );
    assert_eq!(store.due_revalidations(at(1799), 10).await.unwrap().len(), 0);
    let due = store.due_revalidations(at(1800), 10).await.unwrap();
    assert_eq!(due[0].token, b"next");
    // Trouble leaves all as it is, and nothing of this is an event.
    let done = vec![claims(1, "a", 1860), answers(1, "a", Answer::Trouble { due: at(1860) })];
    assert_eq!(results(&store, 1800, done).await, [Ok(0), Ok(0)]);
    assert_eq!(leaves(&store).await, 2);
    is_good(&home).await;
}

#[tokio::test]
async fn what_a_provider_says_now_counts_from_now_on() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![asked_about(ALICE, 1), claims(1, "a", 60)]).await;
    results(&store, 900, vec![claims(1, "a", 960)]).await;
    let mut now = ALICE.open(1).claims;
    now.sid = Some("sid-1".to_owned());
    now.groups = Some(json!(["dev"]));
    now.tags = [("team".to_owned(), "db".to_owned())].into();
    let changed = Changed { claims: now.clone(), email: None, groups: vec!["dev".parse().unwrap()] };
    let answer = Answer::Stands { token: None, due: at(1800), changed: Some(Box::new(changed)) };
    assert_eq!(results(&store, 901, vec![answers(1, "a", answer)]).await, [Ok(1)]);
    let found = store.session_by_token(&session_id(1), &hash("bearer", 1)).await.unwrap().unwrap();
    assert_eq!(found.claims, now);
    is_good(&home).await;
    store.close().await;
    // The claims of before are not those of the last event.
    sql(&home, "UPDATE sessions SET claims = '{}'");
    let found = verified(&home).await.findings;
    assert!(found.iter().any(|finding| finding.what.contains("its column claims is not")), "{found:?}");
}

#[tokio::test]
async fn what_a_provider_no_longer_stands_by_ends() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![asked_about(ALICE, 1), asked_about(ALICE, 2)]).await;
    let ended = vec![claims(1, "a", 960), answers(1, "a", Answer::Over(EndReason::ProviderRefused))];
    assert_eq!(results(&store, 900, ended).await, [Ok(0), Ok(2)]);
    assert!(is_ended(&store, 1).await && !is_ended(&store, 2).await);
    assert_eq!(ends(&store).await, [(session_id(1), Actor::Ca, Some(EndReason::ProviderRefused))]);
    // One that ended in the meantime is not asked about, nor one that is over.
    let owner = vec![claims(2, "a", 960), ALICE.ends(2), answers(2, "a", stands(1800))];
    assert_eq!(results(&store, 901, owner).await, [Ok(1), Ok(3), Err(Code::SessionEnded)]);
    assert_eq!(count(&home, "revalidations"), 0);
    results(&store, 902, vec![asked_about(BOB, 3)]).await;
    assert_eq!(store.due_revalidations(at(HOURS_8), 10).await.unwrap().len(), 0);
    assert_eq!(
        results(&store, HOURS_8, vec![claims(3, "a", HOURS_8 + 60)]).await,
        [Err(Code::SessionExpired)]
    );
    is_good(&home).await;
}

#[tokio::test]
async fn the_same_token_again_may_bring_another_refresh_token() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![asked_about(ALICE, 1)]).await;
    let mut open = ALICE.open(1);
    open.call = call("again");
    open.refresh = Some(Refresh { token: b"other".to_vec(), due: at(600) });
    assert_eq!(results(&store, 1, vec![Change::OpenSession(Box::new(open))]).await, [Ok(0)]);
    let due = store.due_revalidations(at(600), 10).await.unwrap();
    assert_eq!((due.len(), due[0].token.as_slice()), (1, b"other".as_slice()));
}

#[tokio::test]
async fn what_an_operator_is_shown() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1), ALICE.opens(2), BOB.opens(3)]).await;
    results(&store, 1, vec![disables("corp", "bob-sub"), disables("ci", "repo:acme/web")]).await;
    let shown = |known: &KnownName| {
        let reason = known.disabled.as_ref().map(|(reason, since)| (reason.clone(), *since));
        (known.name.clone(), known.sub.clone(), known.leaf, known.sessions, reason)
    };
    let names: Vec<_> = store.names(at(1)).await.unwrap().iter().map(shown).collect();
    assert_eq!(
        names,
        [
            ("alice".to_owned(), "alice-sub".to_owned(), 0, 2, None),
            ("bob".to_owned(), "bob-sub".to_owned(), 2, 0, Some(("left".to_owned(), at(1))))
        ]
    );
    let nameless = store.disabled_without_name().await.unwrap();
    assert_eq!(nameless, [("ci/repo:acme/web".to_owned(), "left".to_owned(), at(1))]);
    let live = store.live_sessions("corp", "alice-sub", at(1)).await.unwrap();
    assert_eq!(live.iter().map(|live| live.id).collect::<Vec<_>>(), [session_id(1), session_id(2)]);
    assert!(store.live_sessions("corp", "alice-sub", at(HOURS_8)).await.unwrap().is_empty());
}
