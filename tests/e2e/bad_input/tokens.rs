//! ID tokens over the whole path. The table of hostile tokens is beside the verifier; here are those that must leave
//! nothing behind, and those that only the whole CA can judge.

use jit_ssh_proto::{CaId, Code, Salt, oidc_nonce, wire::OpenSession};
use jit_ssh_tests::api::{Call, Issuer, Key, login_body, now};
use serde_json::{Value, json};

use super::{Desk, row};

/// A login whose claims were changed.
fn login(desk: &Desk, issuer: &Issuer, change: impl FnOnce(&mut Value)) -> Call {
    let session = Key::new().unwrap();
    let body = desk.site.login_body(issuer, &session, |nonce| {
        let mut claims = issuer.claims("alice", &["platform-sre"], nonce);
        change(&mut claims);
        claims
    });
    desk.site.sign_login(&session, &body)
}

#[test]
fn tokens_that_open_nothing() {
    let desk = Desk::new();
    let corp = &desk.site.corp;
    let claim = |name: &'static str, value: Value| login(&desk, corp, move |claims| claims[name] = value);
    let gone = |name: &'static str| {
        login(&desk, corp, move |claims| drop(claims.as_object_mut().unwrap().remove(name)))
    };
    let impostor = Issuer::new(&corp.url, "corp-1").unwrap();
    let unknown_key = Issuer::new(&corp.url, "corp-2").unwrap();
    let foreign = Issuer::new("https://elsewhere.example.com", "corp-1").unwrap();
    let raw = |token: &str| {
        let session = Key::new().unwrap();
        let body = desk.site.login_body(corp, &session, |nonce| corp.claims("alice", &[], nonce));
        desk.site.sign_login(&session, &OpenSession { id_token: token.to_owned(), ..body })
    };
    let for_another_ca = {
        let (session, other) = (Key::new().unwrap(), CaId::from_bytes([7; 32]));
        let claims = |nonce: &str| corp.claims("alice", &[], nonce);
        desk.site.sign_login(&session, &login_body(&other, corp, &session, claims, None).unwrap())
    };
    let for_another_key = {
        let (session, other) = (Key::new().unwrap(), Key::new().unwrap());
        let salt = Salt::from_bytes([3; 32]);
        let mut body = desk.site.login_body(corp, &session, |_| {
            corp.claims("alice", &[], &oidc_nonce(&desk.site.ca, &salt, &other.public))
        });
        body.salt = salt.to_string();
        desk.site.sign_login(&session, &body)
    };
    let next = "token";
    desk.check(vec![
        row("expired", Code::TokenExpired, next, claim("exp", json!(now() - 120))),
        row("issued long ago", Code::TokenTooOld, next, claim("iat", json!(now() - 7200))),
        row("issued in the future", Code::TokenFromTheFuture, "clock", claim("iat", json!(now() + 600))),
        row("not valid yet", Code::TokenNotYetValid, "clock", claim("nbf", json!(now() + 600))),
        row("for another client", Code::TokenAudience, next, claim("aud", json!("other"))),
        row("by another issuer", Code::TokenIssuer, "identity provider", login(&desk, &foreign, |_| {})),
        row("by another key of that name", Code::TokenSignature, next, login(&desk, &impostor, |_| {})),
        row("by a key that nobody knows", Code::TokenKey, "", login(&desk, &unknown_key, |_| {})),
        row("for another CA", Code::TokenNonce, next, for_another_ca),
        row("for another key", Code::TokenNonce, next, for_another_key),
        row("without a nonce", Code::TokenNonceMissing, "nonce", gone("nonce")),
        row("without a subject", Code::TokenSubject, "sub", claim("sub", json!(""))),
        row("without an address", Code::EmailNotVerified, "e-mail", gone("email")),
        row("address not verified", Code::EmailNotVerified, "e-mail", claim("email_verified", json!(false))),
        row(
            "address verified as text",
            Code::EmailNotVerified,
            "e-mail",
            claim("email_verified", json!("true")),
        ),
        row("verification missing", Code::EmailNotVerified, "e-mail", gone("email_verified")),
        row(
            "address elsewhere",
            Code::DomainNotAllowed,
            "account",
            claim("email", json!("a@evil-example.com")),
        ),
        row(
            "address below the domain",
            Code::DomainNotAllowed,
            "account",
            claim("email", json!("a@x.example.com")),
        ),
        row("nothing", Code::TokenMalformed, "", raw("")),
        row("words", Code::TokenMalformed, "", raw("not a token")),
        row("three dots", Code::TokenMalformed, "", raw("a.b.c.d")),
        row("not signed", Code::TokenUnsigned, "", {
            let part = |value: Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
            let claims = corp.claims("alice", &[], "n");
            raw(&format!("{}.{}.", part(json!({ "alg": "none" })), part(claims)))
        }),
    ]);
}

#[test]
fn invariant_5_a_token_is_used_once_and_the_same_key_gets_the_same_session() {
    let desk = Desk::new();
    let (ca, corp) = (&desk.site.ca, &desk.site.corp);
    let key = Key::new().unwrap();
    let body = desk.site.login_body(corp, &key, |nonce| corp.claims("alice", &["platform-sre"], nonce));
    let first = desk.server.log_in(&key, &desk.site.sign_login(&key, &body)).1;
    let sessions = desk.site.state()["sessions"];

    // The same token from the same key: the same session, under a new bearer token that replaces the first.
    let (session, again) = desk.server.log_in(&key, &desk.site.sign_login(&key, &body));
    assert_eq!(first.session, again.session);
    assert_ne!(first.token, again.token);
    assert_eq!(desk.site.state()["sessions"], sessions);
    let look = |token: &str| {
        let call =
            Call::plain("GET", "/v1/sessions/current").with("authorization", &format!("Bearer {token}"));
        desk.server.send(&call).outcome()
    };
    assert_eq!(look(&first.token), "401 not_logged_in");
    assert_eq!(look(&again.token), "200");

    // From another key its nonce is another's.
    let thief = Key::new().unwrap();
    let stolen = OpenSession { session_key: thief.public.to_string(), ..body.clone() };
    let before = desk.site.state();
    assert_eq!(desk.server.send(&desk.site.sign_login(&thief, &stolen)).outcome(), "401 token_nonce");
    assert_eq!(desk.site.state(), before);

    // Once its session has ended, it opens none.
    let end = session.call(ca, "DELETE", "/v1/sessions/current", Vec::new()).unwrap();
    assert_eq!(desk.server.send(&end).status, 204);
    let before = desk.site.state();
    assert_eq!(desk.server.send(&desk.site.sign_login(&key, &body)).outcome(), "401 session_ended");
    // That is recorded, and it is all that was.
    let mut after = desk.site.state();
    *after.get_mut("events").unwrap() -= 1;
    assert_eq!(after, before);
}
