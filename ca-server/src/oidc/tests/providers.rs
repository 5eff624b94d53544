//! Providers that rotate keys, lie, hang or are away.

use std::sync::Arc;
use std::time::Duration;

use jit_ssh_proto::{Code, Flow};
use serde_json::json;

use super::maker::{Jwt, NONCE, TestKey, entry, now};
use super::server::{Says, Server, discovery};
use crate::oidc::Provider;
use crate::oidc::provider::Timing;
use crate::outgoing::Patience;

/// Quick background attempts; the real patience and limit on fetches that tokens cause.
fn quick() -> Timing {
    Timing {
        back_off: Duration::from_millis(10),
        max_back_off: Duration::from_millis(20),
        refresh: Duration::from_millis(20),
        ..Timing::default()
    }
}

/// Little patience, for those that hang.
pub(crate) fn impatient() -> Timing {
    let limit = Duration::from_millis(200);
    Timing { patience: Patience { connect: limit, total: limit }, ..quick() }
}

/// Background work that ends with the test.
struct Background(tokio::task::JoinHandle<()>);

impl Background {
    fn of(provider: &Arc<Provider>) -> Self {
        let provider = Arc::clone(provider);
        Self(tokio::spawn(async move { provider.refresh().await }))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn code(provider: &Provider, token: &str) -> Option<Code> {
    provider.verify(token, Flow::Code, NONCE, now()).await.err().map(|problem| problem.code)
}

/// Asks until the answer is `wanted`; the test runner's own limit ends a wait in vain.
async fn until(provider: &Provider, token: &str, wanted: Option<Code>) {
    while code(provider, token).await != wanted {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn rotated_keys_are_followed_without_a_restart() {
    let (old, new) = (TestKey::p256(), TestKey::p256());
    let server = Server::with_keys(vec![old.jwk("2025")]).await;
    let provider = Provider::new(entry(&server.url));
    let old_token = Jwt::good(&server.url, "ES256", "2025").sign(&old);
    assert_eq!(code(&provider, &old_token).await, None);
    // The first fetch was for a token, so the next for one has to wait its minute; the background does not.
    server.publishes(&[new.jwk("2026")]);
    let new_token = Jwt::good(&server.url, "ES256", "2026").sign(&new);
    assert_eq!(code(&provider, &new_token).await, Some(Code::TokenKey));
    assert_eq!(code(&provider, &old_token).await, None);

    let provider = Arc::new(Provider::with_timing(entry(&server.url), quick()));
    let _background = Background::of(&provider);
    until(&provider, &new_token, None).await;
    assert_eq!(code(&provider, &old_token).await, Some(Code::TokenKey), "a key that was withdrawn is gone");
}

#[tokio::test]
async fn an_unknown_key_is_looked_up_at_once_the_first_time() {
    let (old, new) = (TestKey::p256(), TestKey::p256());
    let server = Server::with_keys(vec![old.jwk("2025")]).await;
    let provider = Arc::new(Provider::new(entry(&server.url)));
    let _background = Background::of(&provider);
    while server.asked().1 == 0 {
        tokio::task::yield_now().await;
    }
    server.publishes(&[old.jwk("2025"), new.jwk("2026")]);
    assert_eq!(code(&provider, &Jwt::good(&server.url, "ES256", "2026").sign(&new)).await, None);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_fetch() {
    let (known, stranger) = (TestKey::p256(), TestKey::p256());
    let server = Server::with_keys(vec![known.jwk("known")]).await;
    let provider = Arc::new(Provider::new(entry(&server.url)));
    let token = Jwt::good(&server.url, "ES256", "known").sign(&known);
    assert_eq!(code(&provider, &token).await, None);
    let before = server.asked();
    let flood: Vec<_> = (0..200)
        .map(|n| {
            let provider = Arc::clone(&provider);
            let token = Jwt::good(&server.url, "ES256", &format!("guess-{n}")).sign(&stranger);
            tokio::spawn(async move { code(&provider, &token).await })
        })
        .collect();
    for task in flood {
        assert_eq!(task.await.unwrap(), Some(Code::TokenKey));
    }
    let after = server.asked();
    assert!(after.0 - before.0 + after.1 - before.1 <= 1, "{before:?} → {after:?}");
    assert_eq!(code(&provider, &token).await, None, "what is known goes on working");
}

/// Who sends nonsense and hangs up does not take the minute's one fetch from who comes after.
#[tokio::test]
async fn a_fetch_goes_on_when_its_caller_hangs_up() {
    let (known, stranger, next) = (TestKey::p256(), TestKey::p256(), TestKey::p256());
    let server = Server::with_keys(vec![known.jwk("known")]).await;
    let provider = Arc::new(Provider::new(entry(&server.url)));
    let _background = Background::of(&provider);
    while code(&provider, &Jwt::good(&server.url, "ES256", "known").sign(&known)).await.is_some() {
        tokio::task::yield_now().await;
    }
    let before = server.asked().1;
    server.publishes(&[next.jwk("next")]);
    let nonsense = Jwt::good(&server.url, "ES256", "guess").sign(&stranger);
    let caller = tokio::spawn({
        let provider = Arc::clone(&provider);
        async move { code(&provider, &nonsense).await }
    });
    while server.asked().1 == before {
        tokio::task::yield_now().await;
    }
    caller.abort();
    until(&provider, &Jwt::good(&server.url, "ES256", "next").sign(&next), None).await;
    assert_eq!(server.asked().1, before + 1);
}

#[tokio::test]
async fn nothing_is_asked_before_somebody_needs_it() {
    let key = TestKey::p256();
    let server = Server::with_keys(vec![key.jwk("k")]).await;
    let provider = Provider::new(entry(&server.url));
    let hopeless = Jwt::good(&server.url, "ES256", "k").claim("exp", json!(0)).sign(&key);
    assert_eq!(code(&provider, &hopeless).await, Some(Code::TokenExpired));
    assert_eq!(server.asked(), (0, 0));
}

#[tokio::test]
async fn invariant_5_a_provider_that_lies_is_not_believed() {
    let key = TestKey::p256();
    let server = Server::with_keys(vec![key.jwk("k")]).await;
    let url = server.url.clone();
    let good_keys = Says::Json(json!({"keys": [key.jwk("k")]}));
    let good = Says::Json(discovery(&url));
    let with = |name: &str, value: serde_json::Value| {
        let mut changed = discovery(&url);
        changed[name] = value;
        Says::Json(changed)
    };
    let huge = vec![b' '; 300 * 1024];
    let small = TestKey::small_rsa().jwk("k");
    let (invalid, away) = (Code::ProviderInvalid, Code::ProviderUnreachable);
    for (name, discovery, keys, expected) in [
        ("names another issuer", with("issuer", json!("https://id.example")), good_keys.clone(), invalid),
        ("names itself with a slash", with("issuer", json!(format!("{url}/"))), good_keys.clone(), invalid),
        ("names no issuer", with("issuer", json!(null)), good_keys.clone(), invalid),
        ("has no keys' address", with("jwks_uri", json!(null)), good_keys.clone(), invalid),
        (
            "keeps its keys elsewhere over http",
            with("jwks_uri", json!("http://id.example/keys")),
            good_keys.clone(),
            invalid,
        ),
        (
            "keeps its keys in a file",
            with("jwks_uri", json!("file:///etc/passwd")),
            good_keys.clone(),
            invalid,
        ),
        ("is not a discovery document", Says::Json(json!([1])), good_keys.clone(), invalid),
        (
            "has the issuer twice",
            Says::Typed(
                "application/json",
                format!("{{\"issuer\":\"{url}\",\"issuer\":\"{url}\",\"jwks_uri\":\"{url}/jwks\"}}").into(),
            ),
            good_keys.clone(),
            invalid,
        ),
        ("redirects", Says::Redirect(format!("{url}/jwks")), good_keys.clone(), invalid),
        ("is a web page", Says::Typed("text/html", b"<h1>Sign in</h1>".to_vec()), good_keys.clone(), invalid),
        ("is endless", Says::Typed("application/json", huge.clone()), good_keys.clone(), invalid),
        ("is not there", Says::Status(404), good_keys.clone(), invalid),
        ("is broken", Says::Status(500), good_keys.clone(), away),
        ("is busy", Says::Status(429), good_keys.clone(), away),
        ("hangs", Says::Hangs, good_keys.clone(), away),
        ("stops in the middle", Says::Stops, good_keys.clone(), away),
        ("drips without end", Says::Drips, good_keys.clone(), away),
        ("keys redirect", good.clone(), Says::Redirect(format!("{url}/elsewhere")), invalid),
        (
            "keys are a web page",
            good.clone(),
            Says::Typed("text/html; charset=utf-8", b"<h1>".to_vec()),
            invalid,
        ),
        ("keys are endless", good.clone(), Says::Typed("application/json", huge), invalid),
        ("keys are no key set", good.clone(), Says::Json(json!({"keys": {}})), invalid),
        ("no keys", good.clone(), Says::Json(json!({"keys": []})), invalid),
        ("no key is large enough", good.clone(), Says::Json(json!({"keys": [small]})), invalid),
        ("keys are broken", good.clone(), Says::Status(503), away),
        ("keys hang", good.clone(), Says::Hangs, away),
        ("keys stop in the middle", good.clone(), Says::Stops, away),
        ("keys drip without end", good.clone(), Says::Drips, away),
    ] {
        let never = |says: &Says| matches!(says, Says::Hangs | Says::Stops | Says::Drips);
        let hangs = never(&discovery) || never(&keys);
        server.says_discovery(discovery);
        server.says_keys(keys);
        let provider = Provider::with_timing(entry(&url), if hangs { impatient() } else { quick() });
        let token = Jwt::good(&url, "ES256", "k").sign(&key);
        let problem = provider.verify(&token, Flow::Code, NONCE, now()).await.unwrap_err();
        assert_eq!(problem.code, expected, "{name}: {}", problem.detail);
        assert!(problem.detail.contains("corp"), "which provider: {}", problem.detail);
        assert!(problem.detail.contains("since 2027-01-15T"), "since when: {}", problem.detail);
    }
    // And the same provider behaving is believed, under other names of JSON too.
    server.says_discovery(good);
    for kind in ["application/json", "application/jwk-set+json", "text/plain", "application/octet-stream"] {
        server.says_keys(Says::Typed(kind, json!({"keys": [key.jwk("k")]}).to_string().into()));
        let provider = Provider::with_timing(entry(&url), quick());
        assert_eq!(code(&provider, &Jwt::good(&url, "ES256", "k").sign(&key)).await, None, "{kind}");
    }
}

#[tokio::test]
async fn keys_are_kept_while_the_provider_is_away_and_it_may_come_back() {
    let (key, next) = (TestKey::p256(), TestKey::p256());
    let server = Server::with_keys(vec![key.jwk("k")]).await;
    let token = Jwt::good(&server.url, "ES256", "k").sign(&key);
    let next_token = Jwt::good(&server.url, "ES256", "next").sign(&next);

    // Away from the start: said so, with its name, and no login.
    server.says_discovery(Says::Status(503));
    let provider = Arc::new(Provider::with_timing(entry(&server.url), quick()));
    assert_eq!(code(&provider, &token).await, Some(Code::ProviderUnreachable));

    // Back, without anybody restarting anything.
    server.says_discovery(Says::Json(discovery(&server.url)));
    let _background = Background::of(&provider);
    until(&provider, &token, None).await;

    // Away again: who has a token by a known key still gets in; others hear what is wrong.
    server.says_discovery(Says::Status(503));
    server.says_keys(Says::Status(503));
    until(&provider, &next_token, Some(Code::ProviderUnreachable)).await;
    assert_eq!(code(&provider, &token).await, None);

    // Back with a new key.
    server.says_discovery(Says::Json(discovery(&server.url)));
    server.publishes(&[next.jwk("next")]);
    until(&provider, &next_token, None).await;
}

#[tokio::test]
async fn a_provider_that_nobody_answers_for_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let key = TestKey::p256();
    let provider = Provider::with_timing(entry(&url), quick());
    assert_eq!(
        code(&provider, &Jwt::good(&url, "ES256", "k").sign(&key)).await,
        Some(Code::ProviderUnreachable)
    );
}

/// The https client is made without a process-wide TLS provider; nothing answers TLS here.
#[tokio::test]
async fn an_https_provider_that_does_not_speak_tls_is_unreachable() {
    let key = TestKey::p256();
    let server = Server::with_keys(vec![key.jwk("k")]).await;
    let url = server.url.replace("http://", "https://");
    let provider = Provider::with_timing(entry(&url), quick());
    assert_eq!(
        code(&provider, &Jwt::good(&url, "ES256", "k").sign(&key)).await,
        Some(Code::ProviderUnreachable)
    );
    assert_eq!(server.asked(), (0, 0));
}

#[tokio::test]
async fn plain_http_is_for_loopback_only() {
    let key = TestKey::p256();
    let url = "http://id.example";
    let provider = Provider::with_timing(entry(url), quick());
    assert_eq!(code(&provider, &Jwt::good(url, "ES256", "k").sign(&key)).await, Some(Code::ProviderInvalid));
}

#[tokio::test]
async fn keys_from_a_file() {
    let key = TestKey::p256();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let url = "https://id.example";
    let mut config = entry(url);
    config.jwks_file = Some(path.clone());
    let token = Jwt::good(url, "ES256", "k").sign(&key);
    let missing = Provider::with_timing(config.clone(), quick());
    let refused = missing.verify(&token, Flow::Code, NONCE, now()).await.unwrap_err();
    assert_eq!(refused.code, Code::ProviderInvalid);
    assert!(refused.detail.contains("no usable keys of the issuer corp since"), "{}", refused.detail);
    assert!(refused.detail.contains("in the file"), "{}", refused.detail);
    std::fs::write(&path, json!({"keys": [key.jwk("k")]}).to_string()).unwrap();
    assert_eq!(code(&Provider::with_timing(config, quick()), &token).await, None);
}
