//! What token endpoints answer when they are asked about a session, and what that does to it: only a clear no ends it.

use jit_ssh_core::identity::Flow;
use serde_json::{Value, json};

use super::*;
use crate::oidc::IssuerConfig;
use crate::oidc::tests::maker::{Jwt, NONCE, NOW, TestKey, entry, now};
use crate::oidc::tests::providers::impatient;
use crate::oidc::tests::server::{Says, Server, discovery};

/// What comes of it, in a form that can be compared.
#[derive(Debug, PartialEq, Eq)]
enum Is {
    /// As it was.
    Same,
    /// With these groups.
    Now(Vec<String>),
    Over(Doubt),
    /// With this in the log.
    Trouble(&'static str),
}

struct Asked {
    server: Server,
    key: TestKey,
    provider: Provider,
    before: Claims,
}

impl Asked {
    async fn new() -> Self {
        let key = TestKey::p256();
        let server = Server::with_keys(vec![key.jwk("k")]).await;
        let mut document = discovery(&server.url);
        document["token_endpoint"] = json!(format!("{}/token", server.url));
        server.says_discovery(Says::Json(document));
        let mut config = entry(&server.url);
        config.rules.allowed_domains = vec!["example.com".to_owned()];
        let provider = Provider::with_timing(config, impatient());
        let token = Jwt::good(&server.url, "ES256", "k").sign(&key);
        let before = provider.verify(&token, Flow::Code, NONCE, now()).await.unwrap().claims;
        Self { server, key, provider, before }
    }

    /// An ID token that comes again: one of this session, changed.
    fn token(&self, change: impl FnOnce(Jwt) -> Jwt) -> String {
        change(Jwt::good(&self.server.url, "ES256", "k").no_claim("nonce")).sign(&self.key)
    }

    async fn ask(&self, says: Says) -> (Is, Option<String>) {
        self.server.says_token(says);
        let Standing { verdict, token } = ask(&self.provider, &self.before, "refresh-1", now()).await;
        let is = match verdict {
            Ok(None) => Is::Same,
            Ok(Some(changed)) => Is::Now(changed.groups.iter().map(ToString::to_string).collect()),
            Err(Doubt::Trouble(why)) => {
                let known = [
                    "answered 5",
                    "answered 4",
                    "answered 3",
                    "did not answer with tokens",
                    "JSON",
                    "256 KiB",
                    "refused with",
                    "in time",
                    "cannot be believed",
                    "no token endpoint",
                    "own network",
                    "plain http",
                    "another issuer",
                ];
                let found = known.into_iter().find(|known| why.contains(known));
                Is::Trouble(found.unwrap_or_else(|| panic!("{why}")))
            }
            Err(doubt @ (Doubt::Refused | Doubt::Another(_))) => Is::Over(doubt),
        };
        (is, token.map(|token| token.to_string()))
    }
}

fn with(id_token: &str) -> Says {
    Says::Json(
        json!({ "access_token": "a", "token_type": "Bearer", "refresh_token": "refresh-2", "id_token": id_token }),
    )
}

#[tokio::test]
async fn only_a_clear_no_of_the_token_endpoint_ends_a_session() {
    let asked = Asked::new().await;
    let url = &asked.server.url;
    let typed = |kind: &'static str, body: &str| Says::Typed(kind, body.as_bytes().to_vec());
    let no = |status: u16, error: Value| Says::Refusal(status, json!({ "error": error }));
    let yes = json!({ "access_token": "a", "token_type": "Bearer" });
    for (name, says, is) in [
        ("yes", Says::Json(yes.clone()), Is::Same),
        ("yes, as text", typed("text/plain", &yes.to_string()), Is::Same),
        // The one clear no (RFC 6749, 5.2).
        ("no", no(400, json!("invalid_grant")), Is::Over(Doubt::Refused)),
        ("no, with 401", no(401, json!("invalid_grant")), Is::Over(Doubt::Refused)),
        ("no, in a page", typed("text/html", "{\"error\":\"invalid_grant\"}"), Is::Trouble("JSON")),
        (
            "no, and yes",
            Says::Json(json!({ "error": "invalid_grant" })),
            Is::Trouble("did not answer with tokens"),
        ),
        ("no, and trouble", no(503, json!("invalid_grant")), Is::Trouble("answered 5")),
        ("no, in another way", no(400, json!("INVALID_GRANT")), Is::Trouble("refused with")),
        ("no, as a list", no(400, json!(["invalid_grant"])), Is::Trouble("answered 4")),
        ("no, twice", Says::Refusal(400, json!([{ "error": "invalid_grant" }])), Is::Trouble("answered 4")),
        // That the client may not ask says nothing of the person.
        ("another client's", no(401, json!("invalid_client")), Is::Trouble("refused with")),
        ("not for this client", no(400, json!("unauthorized_client")), Is::Trouble("refused with")),
        ("not understood", no(400, json!("invalid_request")), Is::Trouble("refused with")),
        ("not now", no(400, json!("temporarily_unavailable")), Is::Trouble("refused with")),
        ("the operator's error", no(400, json!("invalid_scope")), Is::Trouble("refused with")),
        ("broken", Says::Status(500), Is::Trouble("answered 5")),
        ("away", Says::Status(503), Is::Trouble("answered 5")),
        ("busy", Says::Status(429), Is::Trouble("answered 4")),
        ("not there", Says::Status(404), Is::Trouble("answered 4")),
        ("closed", Says::Status(403), Is::Trouble("answered 4")),
        ("hangs", Says::Hangs, Is::Trouble("in time")),
        ("stops in the middle", Says::Stops, Is::Trouble("in time")),
        ("drips without end", Says::Drips, Is::Trouble("in time")),
        ("redirects", Says::Redirect(format!("{url}/jwks")), Is::Trouble("answered 3")),
        ("redirects away", Says::Redirect("https://evil.example/".to_owned()), Is::Trouble("answered 3")),
        ("endless", Says::Typed("application/json", vec![b' '; 300 << 10]), Is::Trouble("256 KiB")),
        ("a page", typed("text/html; charset=utf-8", "<h1>Sign in</h1>"), Is::Trouble("JSON")),
        (
            "a page that says JSON",
            typed("application/json", "<h1>"),
            Is::Trouble("did not answer with tokens"),
        ),
        ("nothing", typed("application/json", ""), Is::Trouble("did not answer with tokens")),
        ("an empty object", Says::Json(json!({})), Is::Trouble("did not answer with tokens")),
        ("a list", Says::Json(json!([yes.clone()])), Is::Trouble("did not answer with tokens")),
        (
            "a token that is none",
            Says::Json(json!({ "access_token": 1 })),
            Is::Trouble("did not answer with tokens"),
        ),
        (
            "an ID token that is none",
            Says::Json(json!({ "access_token": "a", "id_token": {} })),
            Is::Trouble("did not answer with tokens"),
        ),
        (
            "two tokens",
            typed("application/json", "{\"access_token\":\"a\",\"access_token\":\"b\"}"),
            Is::Trouble("did not answer with tokens"),
        ),
    ] {
        assert_eq!(asked.ask(says).await, (is, None), "{name}");
    }
    // It was asked with the token, as the public client that it is, and nowhere else.
    let forms = asked.server.forms();
    assert!(forms.len() >= 30);
    for (path, authorization, form) in forms {
        assert_eq!((path.as_str(), authorization.as_str()), ("/token", ""));
        assert_eq!(form, "grant_type=refresh_token&refresh_token=refresh-1&client_id=jit-ssh");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_nowhere_to_be_asked_is_not_asked() {
    let asked = Asked::new().await;
    let url = asked.server.url.clone();
    for (name, change, is) in [
        ("none", ("token_endpoint", json!(null)), Is::Trouble("no token endpoint")),
        ("over http", ("token_endpoint", json!("http://192.0.2.1/token")), Is::Trouble("plain http")),
        ("another issuer's", ("issuer", json!("https://id.example")), Is::Trouble("another issuer")),
    ] {
        let mut document = discovery(&url);
        document["token_endpoint"] = json!(format!("{url}/token"));
        document[change.0] = change.1;
        asked.server.says_discovery(Says::Json(document));
        assert_eq!(asked.ask(with("x")).await, (is, None), "{name}");
    }
    assert_eq!(asked.server.forms(), []);
}

/// Invariant 4: what the provider says now is of the same person, or the session is over. What it cannot have said is
/// trouble, and its next refresh token counts all the same.
#[tokio::test]
async fn invariant_4_a_session_goes_on_with_its_own_identity_and_no_other() {
    let asked = Asked::new().await;
    let over = |code| Is::Over(Doubt::Another(code));
    let doubted = || Is::Trouble("cannot be believed");
    let claim = |name: &str, value: Value| asked.token(|jwt| jwt.claim(name, value));
    let gone = |name: &str| asked.token(|jwt| jwt.no_claim(name));
    let mut wrong = Vec::new();
    let stranger = TestKey::p256();
    let elsewhere = Jwt::good("https://id.example", "ES256", "k");
    for (name, token, is) in [
        ("the same", asked.token(|jwt| jwt), Is::Same),
        (
            "the same, with the nonce of the login",
            asked.token(|jwt| jwt.claim("nonce", json!(NONCE))),
            Is::Same,
        ),
        // Refreshing proves nothing anew.
        ("a login that seems fresh", claim("auth_time", json!(NOW)), Is::Same),
        ("other methods", claim("amr", json!(["hwk"])), Is::Same),
        ("another level", claim("acr", json!("gold")), Is::Same),
        ("another session there", claim("sid", json!("s-2")), Is::Same),
        ("no groups any more", claim("groups", json!([])), Is::Now(vec![])),
        ("groups left out", gone("groups"), Is::Now(vec![])),
        ("groups that are not mapped", claim("groups", json!(["admins"])), Is::Now(vec![])),
        ("another subject", claim("sub", json!("248289761002")), over(Code::TokenSubject)),
        ("the subject in another case", claim("sub", json!("248289761001 ")), over(Code::TokenSubject)),
        ("no subject", gone("sub"), over(Code::TokenSubject)),
        ("another login", claim("preferred_username", json!("root")), over(Code::LoginTaken)),
        ("no login", gone("preferred_username"), over(Code::LoginTaken)),
        ("an address elsewhere", claim("email", json!("alice@evil.example")), over(Code::DomainNotAllowed)),
        (
            "an address that is not verified",
            claim("email_verified", json!(false)),
            over(Code::EmailNotVerified),
        ),
        ("no address", gone("email"), over(Code::EmailNotVerified)),
        (
            "groups elsewhere",
            asked.token(|jwt| jwt.no_claim("groups").claim("_claim_names", json!({ "groups": "src1" }))),
            over(Code::TokenGroupsElsewhere),
        ),
        ("groups that are none", claim("groups", json!({ "sre": true })), over(Code::TokenClaims)),
        // What is not the provider's, or not for us, or not of now.
        ("another issuer's", elsewhere.clone().sign(&asked.key), doubted()),
        ("another issuer's, by its key", elsewhere.sign(&stranger), doubted()),
        ("by another key", Jwt::good(&asked.server.url, "ES256", "k").sign(&stranger), doubted()),
        (
            "another subject, by another key",
            { Jwt::good(&asked.server.url, "ES256", "k").claim("sub", json!("x")).sign(&stranger) },
            doubted(),
        ),
        ("by a key that nobody knows", asked.token(|jwt| jwt.header("kid", json!("z"))), doubted()),
        ("unsigned", asked.token(|jwt| jwt.header("alg", json!("none"))), doubted()),
        ("a logout token", asked.token(|jwt| jwt.header("typ", json!("logout+jwt"))), doubted()),
        ("another client's", claim("aud", json!("other")), doubted()),
        ("old", claim("iat", json!(NOW - 601)), doubted()),
        ("over", claim("exp", json!(NOW - 60)), doubted()),
        ("of the future", claim("iat", json!(NOW + 61)), doubted()),
        ("words", "yes".to_owned(), doubted()),
        ("huge", "a".repeat(32 << 10), doubted()),
    ] {
        let (found, next) = asked.ask(with(&token)).await;
        assert_eq!(next.as_deref(), Some("refresh-2"), "{name}");
        if found != is {
            wrong.push(format!("{name}: {found:?}, not {is:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_refresh_token_that_is_none_does_not_replace_the_one_there_is() {
    let asked = Asked::new().await;
    for next in [json!(""), json!("a\nb"), json!("é"), json!("x".repeat((16 << 10) + 1)), json!(null)] {
        let says = Says::Json(json!({ "access_token": "a", "refresh_token": next.clone() }));
        assert_eq!(asked.ask(says).await, (Is::Same, None), "{next}");
    }
}

/// A secret goes into HTTP Basic, form-encoded, unless the provider takes it in the body only; a token is given back in
/// the same way, where there is a place for it (RFC 7009).
#[tokio::test]
async fn a_refresh_token_is_given_back_where_the_provider_takes_it() {
    let asked = Asked::new().await;
    let url = asked.server.url.clone();
    let secret = Some("s:e cret".to_owned());
    let with_secret =
        || Provider::with_timing(IssuerConfig { client_secret: secret.clone(), ..entry(&url) }, impatient());
    let public = Provider::with_timing(entry(&url), impatient());
    let document = |more: &[(&str, Value)]| {
        let mut document = discovery(&url);
        document["token_endpoint"] = json!(format!("{url}/token"));
        more.iter().for_each(|(name, value)| document[name] = value.clone());
        Says::Json(document)
    };
    let there = ("revocation_endpoint", json!(format!("{url}/revoke")));
    asked.server.says_discovery(document(&[]));
    assert_eq!(public.give_back("t", Flow::Code).await, Ok(false));
    assert_eq!(asked.server.forms(), []);
    let form = "token=t%26x&token_type_hint=refresh_token";
    let basic = format!("Basic {}", data_encoding::BASE64.encode(b"jit-ssh:s%3Ae+cret"));
    let posted = json!(["client_secret_post"]);
    asked.server.says_token(Says::Status(200));
    for (provider, more, authorization, sent) in [
        (&public, vec![there.clone()], "", format!("{form}&client_id=jit-ssh")),
        (&with_secret(), vec![there.clone()], basic.as_str(), form.to_owned()),
        (
            &with_secret(),
            vec![there.clone(), ("token_endpoint_auth_methods_supported", posted.clone())],
            "",
            format!("{form}&client_id=jit-ssh&client_secret=s%3Ae+cret"),
        ),
        (
            &with_secret(),
            vec![
                there.clone(),
                ("token_endpoint_auth_methods_supported", posted),
                ("revocation_endpoint_auth_methods_supported", json!(["client_secret_basic"])),
            ],
            basic.as_str(),
            form.to_owned(),
        ),
    ] {
        asked.server.says_discovery(document(&more));
        assert_eq!(provider.give_back("t&x", Flow::Code).await, Ok(true));
        assert_eq!(asked.server.forms(), [("/revoke".to_owned(), authorization.to_owned(), sent)]);
    }
    // Trouble is said, and never more than that.
    for (says, why) in [
        (Says::Status(503), "answered 503"),
        (Says::Redirect("https://evil.example/".to_owned()), "answered 302"),
        (Says::Refusal(400, json!({ "error": "unsupported_token_type" })), "answered 400"),
        (Says::Hangs, "did not answer in time"),
    ] {
        asked.server.says_token(says);
        let said = public.give_back("secret-token", Flow::Code).await.unwrap_err();
        assert!(said.contains(why) && !said.contains("secret-token"), "{said}");
    }
    asked.server.says_discovery(document(&[("revocation_endpoint", json!("http://192.0.2.1/revoke"))]));
    assert!(public.give_back("t", Flow::Code).await.unwrap_err().contains("plain http"));
}
