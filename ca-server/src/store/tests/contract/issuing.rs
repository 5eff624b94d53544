//! Certificates: what the append transaction gives them, and when it gives nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use jit_ssh_core::authority::{Authority, CertKind};
use jit_ssh_core::cert::{CertError, Issuance, Prepared};
use jit_ssh_core::grant::{Grant, GrantFacts};
use jit_ssh_core::identity::{IdentityKind, IssuerRules, VerifiedIdentity};
use jit_ssh_core::inventory::{Inventory, InventorySource};
use jit_ssh_core::policy::{Circumstances, Decision, LocalTime, PolicySource, Rules};
use jit_ssh_proto::event::{Event, What};
use jit_ssh_proto::{GrantId, Name, Salt};

use super::*;

/// Everybody may log in as `deploy` on `web-1`, and on `lab`, which has an authority of its own.
static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let text = "[[host]]\nname = \"web-1\"\nlogins = [\"deploy\"]\n\
                [[host]]\nname = \"lab\"\nlogins = [\"deploy\"]\nprincipals = \"login\"\n"
        .to_owned();
    let inventory = Inventory::read(&[InventorySource { file: "hosts.toml".to_owned(), text }]).unwrap();
    let text = "@id(\"all\") permit (principal, action, resource);".to_owned();
    let source = PolicySource { file: "all.cedar".to_owned(), text };
    Rules::load(&[source], inventory, &[0; 32], Span::from_seconds(3600)).unwrap()
});

/// A grant to this person of half an hour, decided `seconds` after the tests begin.
pub(super) fn grant(person: Person, session: u64, request: u64, seconds: u64) -> Grant {
    grant_of("deploy@web-1", person, session, request, seconds)
}

/// The same for the host whose authority is `user-lab`.
fn lab_grant(person: Person, session: u64, request: u64, seconds: u64) -> Grant {
    grant_of("deploy@lab", person, session, request, seconds)
}

fn grant_of(account: &str, person: Person, session: u64, request: u64, seconds: u64) -> Grant {
    let rules = IssuerRules {
        name: person.issuer.parse().unwrap(),
        url: "https://id.example.com".to_owned(),
        kind: IdentityKind::User,
        username: Some("preferred_username".to_owned()),
        groups: None,
        groups_map: BTreeMap::new(),
        tags: BTreeMap::new(),
        allowed_domains: Vec::new(),
        privileged_flows: false,
    };
    let identity = VerifiedIdentity::admit(&rules, &person.open(session).claims).unwrap();
    let source = IpAddr::from([192, 0, 2, 1]);
    let asked = asked(account);
    let circumstances = Circumstances {
        now: at(seconds),
        local: LocalTime { hour: 10, minute: 30, weekday: 7, date: "2026-11-22".to_owned() },
        source_ip: source,
    };
    let allowed = match RULES.decide(&identity, &asked, &user_key(1), &circumstances) {
        Decision::Allowed(allowed) => allowed,
        Decision::Denied(denial) => panic!("{denial:?}"),
    };
    let facts = GrantFacts {
        id: GrantId::from_parts(T0 * 1000, u128::from(request)),
        request: request_id(request),
        session: session_id(session),
        session_ends: at(HOURS_8),
        max: Span::from_seconds(HOURS_8),
        decided: at(seconds),
        source,
    };
    Grant::new(allowed, &facts)
}

pub(super) fn is_granted(person: Person, grant: &Grant, session: u64, request: u64) -> Change {
    let mut decide = person.decide(session, request);
    decide.decided = Decided::Granted(grant.clone());
    Change::DecideRequest(Box::new(decide))
}

fn authority(name: &str) -> Authority {
    Authority::new(name.parse().unwrap(), CertKind::User, user_key(9))
}

/// What issuance does, with the values that the transaction gives.
fn prepare(grant: Grant, by: &str) -> Prepare {
    let authority = authority(by);
    Box::new(move |serial, now, session_ends| {
        let issuance = Issuance {
            key: &user_key(5),
            authority: &authority,
            now,
            session_ends,
            max: Span::from_seconds(HOURS_8),
            nonce: Salt::from_bytes(hash("nonce", serial)),
            serial,
        };
        Prepared::new(&grant, &issuance)
    })
}

fn issue_by(person: Person, session: u64, request: u64, by: &str, prepare: Prepare) -> Change {
    Change::IssueCertificate(IssueCertificate {
        request: request_id(request),
        session: session_id(session),
        actor: person.actor(),
        source: "192.0.2.1".to_owned(),
        authority: by.parse().unwrap(),
        prepare,
    })
}

pub(super) fn is_issued(person: Person, grant: &Grant, session: u64, request: u64) -> Change {
    issue_by(person, session, request, "user", prepare(grant.clone(), "user"))
}

/// The serial of each change, or why there is none.
async fn serials(store: &Store, seconds: u64, changes: Vec<Change>) -> Vec<Result<Option<u64>, Refusal>> {
    let applied = store.apply(at(seconds), changes).await.unwrap();
    applied.into_iter().map(|r| r.map(|o| o.prepared.map(|p| p.record().serial))).collect()
}

/// Every certificate of the ledger, by leaf.
async fn certificates(store: &Store) -> Vec<(Name, u64)> {
    let events = store.events(0, 1_000_000).await.unwrap();
    let read = |event: StoredEvent| match serde_json::from_slice::<Event>(&event.content.unwrap().body)
        .unwrap()
        .what
    {
        What::CertificateIssued(issued) => Some((issued.authority.clone(), issued.serial)),
        What::CaInitialised(_)
        | What::PolicyLoaded(_)
        | What::SessionOpened(_)
        | What::SessionRefused(_)
        | What::SessionEnded(_)
        | What::SessionRevalidated(_)
        | What::IdentityDisabled(_)
        | What::IdentityEnabled(_)
        | What::LoginReleased(_)
        | What::IssuerBound(_)
        | What::RequestDecided(_)
        | What::CertificateRevoked(_)
        | What::KeyUsed(_)
        | What::KeyAdded(_)
        | What::ConfigChanged(_)
        | What::LogExported(_)
        | What::EventErased(_)
        | What::StoreRestored(_)
        | What::StoreMoved(_) => None,
    };
    events.into_iter().filter_map(read).collect()
}

/// Invariant 1, the store's part: what is to be signed is what the ledger holds, durably, before anybody can sign.
#[tokio::test]
async fn one_call_opens_a_session_decides_and_determines_a_certificate() {
    let home = home();
    let store = home.open().await;
    let grant = grant(ALICE, 1, 1, 0);
    let changes = vec![ALICE.opens(1), is_granted(ALICE, &grant, 1, 1), is_issued(ALICE, &grant, 1, 1)];
    let mut applied = store.apply(at(0), changes).await.unwrap();
    let outcome = applied.pop().unwrap().unwrap();
    assert_eq!((outcome.leaf, outcome.time), (2, at(0)));
    let prepared = outcome.prepared.unwrap();
    assert_eq!(prepared.record().serial, 1);
    store.close().await;
    let store = home.open().await;
    let stored = store.events(2, 1).await.unwrap().remove(0);
    let event: Event = serde_json::from_slice(&stored.content.as_ref().unwrap().body).unwrap();
    assert_eq!(event.what, What::CertificateIssued(Box::new(prepared.record().clone())));
    assert_eq!(event.canonical().unwrap(), stored.content.as_ref().unwrap().body);
    assert_eq!(
        Event::leaf(
            &Salt::from_bytes(stored.content.as_ref().unwrap().salt),
            &stored.content.as_ref().unwrap().body
        ),
        stored.leaf
    );
    let corp = "corp".parse().unwrap();
    let request = store.request(&corp, "alice-sub", &request_id(1)).await.unwrap().unwrap();
    assert_eq!((request.grant, request.refused), (Some(grant.id().to_string()), None));
    let index = "SELECT COUNT(*) FROM events WHERE kind = 'certificate.issued' AND time = $1 AND issuer = 'corp' AND sub = 'alice-sub' AND name = 'alice' AND session = $2 AND request IS NULL AND grant_id = $3 AND authority = 'user' AND serial = 1";
    let args = [at(0).into(), session_id(1).to_string().into(), grant.id().to_string().into()];
    let found = past(&home, |conn| conn.select(index, &args).unwrap()[0].number(0).unwrap());
    assert_eq!(found, 1);
    let row = content(&home);
    assert!(row.contains(&prepared.record().tbs_sha256) && row.contains(&user_key(5).fingerprint()), "{row}");
}

#[tokio::test]
async fn serials_count_per_authority_and_survive_a_restart() {
    let home = home();
    let store = home.open().await;
    let grant = grant(ALICE, 1, 1, 0);
    let lab = lab_grant(ALICE, 1, 2, 0);
    let other = || issue_by(ALICE, 1, 2, "user-lab", prepare(lab.clone(), "user-lab"));
    let user = || is_issued(ALICE, &grant, 1, 1);
    let granted = [is_granted(ALICE, &grant, 1, 1), is_granted(ALICE, &lab, 1, 2)];
    let changes = [ALICE.opens(1)].into_iter().chain(granted).chain([user(), other()]).collect();
    assert_eq!(serials(&store, 0, changes).await, [Ok(None), Ok(None), Ok(None), Ok(Some(1)), Ok(Some(1))]);
    assert_eq!(serials(&store, 0, vec![user(), user()]).await, [Ok(Some(2)), Ok(Some(3))]);
    store.close().await;
    let store = home.open().await;
    assert_eq!(serials(&store, 0, vec![other(), user()]).await, [Ok(Some(2)), Ok(Some(4))]);
}

#[tokio::test]
async fn what_cannot_be_prepared_uses_no_serial_and_leaves_nothing() {
    let home = home();
    let store = home.open().await;
    let (first, second) = (grant(ALICE, 1, 1, 0), grant(ALICE, 1, 2, 0));
    let opened = vec![
        ALICE.opens(1),
        is_granted(ALICE, &first, 1, 1),
        is_granted(ALICE, &second, 1, 2),
        is_issued(ALICE, &first, 1, 1),
    ];
    assert_eq!(serials(&store, 0, opened).await.last(), Some(&Ok(Some(1))));
    let before = content(&home);
    let wrong_serial: Prepare = {
        let right = prepare(first.clone(), "user");
        Box::new(move |serial, now, ends| right(serial + 1, now, ends))
    };
    let fails: Prepare = Box::new(|_, _, _| Err(CertError::Encoding));
    for (what, prepare, says) in [
        ("the preparation fails", fails, "cannot be encoded"),
        ("another serial", wrong_serial, "its serial"),
        ("another authority", prepare(lab_grant(ALICE, 1, 1, 0), "user-lab"), "its authority"),
        ("another grant", prepare(second.clone(), "user"), "its grant"),
        ("another session's grant", prepare(grant(ALICE, 3, 1, 0), "user"), "its session"),
    ] {
        let got = serials(&store, 0, vec![issue_by(ALICE, 1, 1, "user", prepare)]).await.remove(0);
        let error = got.unwrap_err();
        assert!(matches!(error, Refusal::Prepare(_)) && error.to_string().contains(says), "{what}: {error}");
        assert_eq!(content(&home), before, "{what} left something");
    }
    assert_eq!(serials(&store, 0, vec![is_issued(ALICE, &first, 1, 1)]).await, [Ok(Some(2))]);
}

#[tokio::test]
async fn invariant_2_the_transaction_refuses_what_outlives_the_recorded_grant_or_the_session() {
    let home = home();
    let store = home.open().await;
    let mut short = ALICE.open(1);
    short.expires = at(900);
    let recorded = grant(ALICE, 1, 1, 100);
    let opened = vec![Change::OpenSession(Box::new(short)), is_granted(ALICE, &recorded, 1, 1)];
    assert!(serials(&store, 50, opened).await.iter().all(Result::is_ok));
    let before = content(&home);
    // Whoever prepares has a longer grant of the same id, or believes in a longer session.
    let believes = |grant: Grant, ends: u64| -> Prepare {
        let right = prepare(grant, "user");
        Box::new(move |serial, now, _| right(serial, now, at(ends)))
    };
    for (what, prepare, says) in [
        ("a session that goes on", believes(recorded.clone(), HOURS_8), "its end"),
        ("a later grant", believes(grant(ALICE, 1, 1, 600), HOURS_8), "its end"),
        ("an earlier grant", prepare(grant(ALICE, 1, 1, 0), "user"), "its start"),
    ] {
        let got = serials(&store, 50, vec![issue_by(ALICE, 1, 1, "user", prepare)]).await.remove(0);
        let error = got.unwrap_err();
        assert!(matches!(error, Refusal::Prepare(_)) && error.to_string().contains(says), "{what}: {error}");
        assert_eq!(content(&home), before, "{what} left something");
    }
    assert_eq!(serials(&store, 50, vec![is_issued(ALICE, &recorded, 1, 1)]).await, [Ok(Some(1))]);
}

#[tokio::test]
async fn a_grant_is_its_sessions_alone_and_ends_on_time_by_the_ledger() {
    let home = home();
    let store = home.open().await;
    let grant = grant(ALICE, 1, 1, 0);
    let opened = vec![ALICE.opens(1), ALICE.opens(2), BOB.opens(3), is_granted(ALICE, &grant, 1, 1)];
    assert!(serials(&store, 0, opened).await.iter().all(Result::is_ok));
    let not_found = Err(Refusal::Precondition(Code::NotFound));
    for (who, session) in [(ALICE, 2), (BOB, 3), (BOB, 1)] {
        let got = serials(&store, 0, vec![is_issued(who, &grant, session, 1)]).await;
        assert_eq!(got, std::slice::from_ref(&not_found), "{} {session}", who.login);
    }
    let end = grant.not_after().seconds() - T0;
    assert_eq!(end, 1800);
    assert_eq!(serials(&store, end - 1, vec![is_issued(ALICE, &grant, 1, 1)]).await, [Ok(Some(1))]);
    let ended = [Err(Refusal::Prepare(CertError::Ended))];
    assert_eq!(serials(&store, end, vec![is_issued(ALICE, &grant, 1, 1)]).await, ended);
    // The store does not leave that to whoever prepares.
    let fails: Prepare = Box::new(|_, _, _| Err(CertError::Encoding));
    assert_eq!(serials(&store, end, vec![issue_by(ALICE, 1, 1, "user", fails)]).await, ended);
    // A clock that is behind the ledger does not bring it back.
    results(&store, end, vec![policy_loaded()]).await;
    assert_eq!(serials(&store, end - 30, vec![is_issued(ALICE, &grant, 1, 1)]).await, ended);
    assert_eq!(certificates(&store).await.len(), 1);
}

#[tokio::test]
async fn a_decision_that_grants_another_request_or_session_is_refused() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, vec![ALICE.opens(1), ALICE.opens(2)]).await;
    let grant = grant(ALICE, 1, 1, 0);
    for change in [is_granted(ALICE, &grant, 1, 2), is_granted(ALICE, &grant, 2, 1)] {
        assert_eq!(results(&store, 0, vec![change]).await, [Err(Code::Internal)]);
    }
    assert_eq!(leaves(&store).await, 2);
}

#[tokio::test]
async fn a_batch_that_fails_below_gives_its_serials_back() {
    let home = home();
    let store = home.open().await;
    let grant = grant(ALICE, 1, 1, 0);
    assert!(
        serials(&store, 0, vec![ALICE.opens(1), is_granted(ALICE, &grant, 1, 1)])
            .await
            .iter()
            .all(Result::is_ok)
    );
    in_the_way(&home);
    let changes = vec![BOB.opens(2), is_issued(ALICE, &grant, 1, 1)];
    assert!(store.apply(at(0), changes).await.is_err());
    sql(&home, "DELETE FROM sessions WHERE id = 'in the way'");
    assert!(certificates(&store).await.is_empty());
    let mut applied = store.apply(at(0), vec![is_issued(ALICE, &grant, 1, 1)]).await.unwrap();
    let outcome = applied.remove(0).unwrap();
    assert_eq!((outcome.leaf, outcome.prepared.unwrap().record().serial), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn serial_order_is_leaf_order_however_many_ask_at_once() {
    const TASKS: u64 = 24;
    const EACH: u64 = 8;
    let home = home();
    let store = home.open().await;
    let tasks: Vec<_> = (1..=TASKS)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let login: &'static str = Box::leak(format!("user-{n}").into_boxed_str());
                let person = Person { issuer: "corp", sub: login, login };
                let (by, grant) = match n % 3 {
                    0 => ("user-lab", lab_grant(person, n, n, 0)),
                    _ => ("user", grant(person, n, n, 0)),
                };
                let mut changes = vec![person.opens(n), is_granted(person, &grant, n, n)];
                for _ in 0..EACH {
                    changes.push(issue_by(person, n, n, by, prepare(grant.clone(), by)));
                    let got = serials(&store, 0, std::mem::take(&mut changes)).await;
                    assert!(matches!(got.last(), Some(Ok(Some(_)))), "{got:?}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let issued = certificates(&store).await;
    for (name, count) in [("user", TASKS * 2 / 3 * EACH), ("user-lab", TASKS / 3 * EACH)] {
        let of_it = issued.iter().filter(|(by, _)| by.as_str() == name).map(|(_, serial)| *serial);
        assert_eq!(of_it.collect::<Vec<_>>(), (1..=count).collect::<Vec<_>>(), "{name}");
    }
}
