//! The development provider, asked the way a client asks it; and its tokens against the CA's own verifier.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use http_body_util::BodyExt;
use jit_ssh_core::identity::{Flow, IdentityKind, IssuerRules};
use tower::ServiceExt;

use super::*;
use crate::oidc::{IssuerConfig, Provider as Verifier};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "http://127.0.0.1:41234/callback";
const ISSUER: &str = "http://127.0.0.1:1";

#[derive(Clone)]
struct TestClock(Arc<AtomicU64>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }
}

struct Browser {
    router: Router,
    clock: TestClock,
}

struct Answer {
    status: u16,
    location: Option<Url>,
    policy: String,
    body: String,
}

impl Browser {
    fn new() -> Self {
        let clock = TestClock(Arc::new(AtomicU64::new(1_800_000_000)));
        Self { router: router(ISSUER, clock.clone()).unwrap(), clock }
    }

    fn later(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn send(&self, method: &str, path: &str, host: &str, body: String) -> Answer {
        let request =
            Request::builder().method(method).uri(path).header(HOST, host).body(Body::from(body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let text = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let location = text("location").map(|location| Url::parse(&location).unwrap());
        let (status, policy) =
            (response.status().as_u16(), text("content-security-policy").unwrap_or_default());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, location, policy, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "127.0.0.1:1", String::new()).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send("POST", path, "127.0.0.1:1", encode(fields)).await
    }

    /// Up to the page; gives its ticket.
    async fn ticket(&self) -> String {
        let page = self.get(&format!("/authorize?{}", encode(&good()))).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let (_, rest) = page.body.split_once("name=\"ticket\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// Up to the code.
    async fn code(&self, person: &str) -> String {
        let ticket = self.ticket().await;
        let answer = self.post("/authorize", &[("ticket", &ticket), ("person", person)]).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        query(&answer, "code").unwrap()
    }
}

fn encode(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn query(answer: &Answer, name: &str) -> Option<String> {
    let location = answer.location.as_ref()?;
    location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn good() -> Vec<(&'static str, &'static str)> {
    vec![
        ("response_type", "code"),
        ("client_id", "jit-ssh"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid profile email groups"),
        ("state", "st&te"),
        ("nonce", "n-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

fn changed(name: &str, value: Option<&'static str>) -> String {
    let fields: Vec<_> = good()
        .into_iter()
        .filter_map(
            |(field, old)| if field == name { value.map(|new| (field, new)) } else { Some((field, old)) },
        )
        .collect();
    encode(&fields)
}

fn redemption(code: &str) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "authorization_code".to_owned()),
        ("client_id", "jit-ssh".to_owned()),
        ("redirect_uri", CALLBACK.to_owned()),
        ("code", code.to_owned()),
        ("code_verifier", VERIFIER.to_owned()),
    ]
}

async fn redeem(browser: &Browser, fields: &[(&'static str, String)]) -> (u16, Value) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = browser.post("/token", &fields).await;
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

#[tokio::test]
async fn a_code_goes_nowhere_but_to_loopback() {
    let browser = Browser::new();
    for bad in [
        "https://evil.example/callback",
        "http://evil.example:80/callback",
        "http://127.0.0.1.evil.example:80/callback",
        "http://localhost:80/callback",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:1/other",
        "http://127.0.0.1:1/callback/",
        "http://127.0.0.1:1/callback?x=1",
        "http://127.0.0.1:1/callback#x",
        "http://a@127.0.0.1:1/callback",
        "http://127.1:1/callback",
        "http://0.0.0.0:1/callback",
        "http://[::]:1/callback",
        "https://127.0.0.1:1/callback",
        "javascript:alert(1)",
        "",
    ] {
        let answer = browser.get(&format!("/authorize?{}", changed("redirect_uri", Some(bad)))).await;
        assert_eq!((answer.status, answer.location.is_none()), (400, true), "{bad}");
    }
    for wrong in
        [changed("redirect_uri", None), changed("client_id", Some("other")), changed("client_id", None)]
    {
        let answer = browser.get(&format!("/authorize?{wrong}")).await;
        assert_eq!((answer.status, answer.location.is_none()), (400, true), "{wrong}");
    }
    let twice = format!("{}&client_id=jit-ssh", encode(&good()));
    assert_eq!(browser.get(&format!("/authorize?{twice}")).await.status, 400);
    let v6 = changed("redirect_uri", Some("http://[::1]:41234/callback"));
    assert_eq!(browser.get(&format!("/authorize?{v6}")).await.status, 200);
}

#[tokio::test]
async fn a_request_without_code_openid_or_pkce_goes_back_with_an_error() {
    let browser = Browser::new();
    for (name, value, error) in [
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", None, "unsupported_response_type"),
        ("scope", Some("profile"), "invalid_scope"),
        ("scope", None, "invalid_scope"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
    ] {
        let answer = browser.get(&format!("/authorize?{}", changed(name, value))).await;
        assert_eq!(answer.status, 303, "{name}");
        assert_eq!(query(&answer, "error").as_deref(), Some(error), "{name}");
        assert_eq!(query(&answer, "state").as_deref(), Some("st&te"));
        assert_eq!(query(&answer, "code"), None);
    }
}

#[tokio::test]
async fn the_page_has_a_button_for_each_person_and_no_script() {
    let browser = Browser::new();
    let page = browser.get(&format!("/authorize?{}", encode(&good()))).await;
    for person in PEOPLE {
        assert!(page.body.contains(&format!("name=\"person\" value=\"{}\"", person.login)));
    }
    assert!(!page.body.contains("<script"));
    assert!(page.policy.starts_with("default-src 'none'; style-src 'sha256-"), "{}", page.policy);
    assert!(page.policy.contains("form-action 'self' http://127.0.0.1:41234;"), "{}", page.policy);
    assert!(page.policy.contains("frame-ancestors 'none'"), "{}", page.policy);
}

#[tokio::test]
async fn a_page_and_a_code_are_good_once_and_for_a_while() {
    let browser = Browser::new();
    let ticket = browser.ticket().await;
    let pick = [("ticket", ticket.as_str()), ("person", "alice")];
    assert_eq!(browser.post("/authorize", &[("ticket", &ticket), ("person", "mallory")]).await.status, 400);
    assert_eq!(browser.post("/authorize", &[("person", "alice")]).await.status, 400);
    assert_eq!(browser.post("/authorize", &pick).await.status, 303);
    assert_eq!(browser.post("/authorize", &pick).await.status, 400, "a page twice");

    let old = browser.ticket().await;
    browser.later(600);
    assert_eq!(browser.post("/authorize", &[("ticket", &old), ("person", "alice")]).await.status, 400);

    let code = browser.code("alice").await;
    assert_eq!(redeem(&browser, &redemption(&code)).await.0, 200);
    assert_eq!(redeem(&browser, &redemption(&code)).await.1["error"], "invalid_grant", "a code twice");

    let late = browser.code("alice").await;
    browser.later(60);
    assert_eq!(
        redeem(&browser, &redemption(&late)).await.1["error"],
        "invalid_grant",
        "a code after a minute"
    );
}

#[tokio::test]
async fn a_code_is_lost_to_who_does_not_know_the_verifier() {
    let browser = Browser::new();
    for (name, value, error) in [
        ("code_verifier", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "invalid_grant"),
        ("code_verifier", "", "invalid_grant"),
        ("code_verifier", "short", "invalid_grant"),
        ("redirect_uri", "http://127.0.0.1:41235/callback", "invalid_grant"),
        ("client_id", "other", "invalid_client"),
        ("grant_type", "client_credentials", "unsupported_grant_type"),
        ("code", "guessed", "invalid_grant"),
    ] {
        let code = browser.code("bob").await;
        let mut fields = redemption(&code);
        for field in &mut fields {
            if field.0 == name {
                value.clone_into(&mut field.1);
            }
        }
        let (status, body) = redeem(&browser, &fields).await;
        assert_eq!((status, body["error"].as_str()), (400, Some(error)), "{name} = {value}");
        assert!(body.get("id_token").is_none());
        if error == "invalid_grant" && name != "code" {
            assert_eq!(redeem(&browser, &redemption(&code)).await.0, 400, "{name}: one try only");
        }
    }
}

#[tokio::test]
async fn another_name_for_this_machine_is_not_answered() {
    let browser = Browser::new();
    for host in ["evil.example", "evil.example:1", "localhost:1", "127.0.0.1", "127.0.0.1:2"] {
        let path = format!("/authorize?{}", encode(&good()));
        assert_eq!(browser.send("GET", &path, host, String::new()).await.status, 421, "{host}");
    }
}

/// The whole way over a socket: discovery and keys are fetched by the CA's verifier, which takes the token.
#[tokio::test]
async fn the_ca_takes_its_tokens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let clock = TestClock(Arc::new(AtomicU64::new(1_800_000_000)));
    let router = router(&url, clock.clone()).unwrap();
    let served = router.clone();
    let task = tokio::spawn(async move { axum::serve(listener, served).await.unwrap() });
    let authority = url.strip_prefix("http://").unwrap().to_owned();
    let browser = Browser { router, clock };
    let page =
        browser.send("GET", &format!("/authorize?{}", encode(&good())), &authority, String::new()).await;
    let (_, rest) = page.body.split_once("name=\"ticket\" value=\"").unwrap();
    let picked = encode(&[("ticket", rest.split_once('"').unwrap().0), ("person", "alice")]);
    let answer = browser.send("POST", "/authorize", &authority, picked).await;
    let code = query(&answer, "code").unwrap();
    assert_eq!(query(&answer, "iss").as_deref(), Some(url.as_str()));
    let fields = redemption(&code);
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let redeemed = browser.send("POST", "/token", &authority, encode(&fields)).await;
    let redeemed: Value = serde_json::from_str(&redeemed.body).unwrap();

    let verifier = Verifier::new(IssuerConfig {
        rules: IssuerRules {
            name: "dev".parse().unwrap(),
            url: url.clone(),
            kind: IdentityKind::User,
            username: Some("preferred_username".to_owned()),
            groups: Some("groups".to_owned()),
            groups_map: [].into(),
            tags: Default::default(),
            allowed_domains: Vec::new(),
            privileged_flows: false,
        },
        url,
        client_id: CLIENT_ID.to_owned(),
        device_client: None,
        client_secret: None,
        audience: CLIENT_ID.to_owned(),
        flows: vec![Flow::Code],
        algorithms: vec!["ES256".to_owned()],
        scopes: Vec::new(),
        max_token_age: Span::from_seconds(600),
        jwks_file: None,
        revalidate: None,
        redirect_port: None,
    });
    let token = redeemed["id_token"].as_str().unwrap();
    let verified = verifier.verify(token, Flow::Code, "n-1", browser.clock.now()).await.unwrap();
    assert_eq!(verified.claims.sub, "dev-7f3a01");
    assert_eq!(verified.claims.username, Some(json!("alice")));
    assert_eq!(verified.claims.email_verified, Some(json!(true)));
    assert_eq!(verified.claims.groups, Some(json!(["sre", "sre-leads"])));
    assert_eq!(verified.claims.auth_time, Some(browser.clock.now()));
    task.abort();
}

#[tokio::test]
async fn it_serves_loopback_only() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let clock = TestClock(Arc::new(AtomicU64::new(1)));
    assert!(serve(listener, clock).await.is_err());
}
