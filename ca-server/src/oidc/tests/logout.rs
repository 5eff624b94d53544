//! The table of hostile logout tokens, each one fault, each refused with its own code; and what is taken. Neither an ID
//! token nor a logout token is ever the other.

use data_encoding::BASE64URL_NOPAD as B64;
use jit_ssh_proto::{Code, Flow};
use serde_json::{Value, json};

use super::maker::{CLIENT, Jwt, NONCE, NOW, TestKey, entry, now};
use super::rows::World;
use crate::oidc::{IssuerConfig, Provider};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A logout token that is accepted.
fn good(w: &World) -> Jwt {
    let mut token = Jwt::good(&w.url, "ES256", "es256").header("typ", json!("logout+jwt"));
    for claim in ["nonce", "email", "email_verified", "preferred_username", "groups", "amr", "auth_time"] {
        token = token.no_claim(claim);
    }
    token.claim("jti", json!("a-jti")).claim("exp", json!(NOW + 120)).claim("events", json!({ EVENT: {} }))
}

fn with(w: &World, name: &str, value: Value) -> String {
    good(w).claim(name, value).sign(&w.es256)
}

fn without(w: &World, name: &str) -> String {
    good(w).no_claim(name).sign(&w.es256)
}

fn headed(w: &World, name: &str, value: Value) -> String {
    good(w).header(name, value).sign(&w.es256)
}

type Row = (&'static str, String, Code);

fn shapes(w: &World) -> Vec<Row> {
    let token = good(w).sign(&w.es256);
    let (input, signature) = token.rsplit_once('.').unwrap();
    vec![
        ("nothing", String::new(), Code::TokenMalformed),
        ("two parts", input.to_owned(), Code::TokenMalformed),
        ("five parts", format!("{token}.a.b"), Code::TokenMalformed),
        ("too large", "a".repeat(16 * 1024 + 1), Code::TokenMalformed),
        ("padding", format!("{token}="), Code::TokenMalformed),
        (
            "a claim twice",
            good(w).edit_payload(|text| text.replacen('{', "{\"sub\":\"x\",", 1)).sign(&w.es256),
            Code::TokenMalformed,
        ),
        ("an unsigned one", format!("{input}."), Code::TokenUnsigned),
        ("alg none", headed(w, "alg", json!("none")), Code::TokenUnsigned),
        ("alg HS256", headed(w, "alg", json!("HS256")), Code::TokenAlgorithm),
        ("alg RS1", headed(w, "alg", json!("RS1")), Code::TokenAlgorithm),
        ("an embedded key", headed(w, "jwk", w.es256.jwk("es256")), Code::TokenHeader),
        ("crit", headed(w, "crit", json!(["exp"])), Code::TokenHeader),
        ("typ at+jwt", headed(w, "typ", json!("at+jwt")), Code::TokenHeader),
        ("typ secevent+jwt", headed(w, "typ", json!("secevent+jwt")), Code::TokenHeader),
        ("an unknown kid", headed(w, "kid", json!("nobody")), Code::TokenKey),
        ("another kid", headed(w, "kid", json!("ed25519")), Code::TokenKey),
        ("a stranger's signature", good(w).sign(&w.stranger), Code::TokenSignature),
        (
            "another token's signature",
            {
                let (other, _) = with(w, "sub", json!("mallory"))
                    .rsplit_once('.')
                    .map(|(a, b)| (a.to_owned(), b.to_owned()))
                    .unwrap();
                format!("{other}.{signature}")
            },
            Code::TokenSignature,
        ),
        ("a signature of zeros", format!("{input}.{}", B64.encode(&[0; 64])), Code::TokenSignature),
    ]
}

fn claims(w: &World) -> Vec<Row> {
    vec![
        ("another issuer", with(w, "iss", json!("https://id.example")), Code::TokenIssuer),
        ("an issuer with a slash", with(w, "iss", json!(format!("{}/", w.url))), Code::TokenIssuer),
        ("no issuer", without(w, "iss"), Code::TokenClaims),
        ("another client", with(w, "aud", json!("other")), Code::TokenAudience),
        ("us and another client", with(w, "aud", json!([CLIENT, "other"])), Code::TokenAudience),
        ("nobody", with(w, "aud", json!([])), Code::TokenAudience),
        ("aud a number", with(w, "aud", json!(7)), Code::TokenClaims),
        ("no aud", without(w, "aud"), Code::TokenClaims),
        ("issued to another client", with(w, "azp", json!("other")), Code::TokenAuthorizedParty),
        ("no iat", without(w, "iat"), Code::TokenClaims),
        ("iat as text", with(w, "iat", json!(NOW.to_string())), Code::TokenClaims),
        ("iat a fraction", with(w, "iat", json!(1.5)), Code::TokenClaims),
        ("issued too long ago", with(w, "iat", json!(NOW - 121)), Code::TokenTooOld),
        ("issued in the future", with(w, "iat", json!(NOW + 61)), Code::TokenFromTheFuture),
        ("expired", with(w, "exp", json!(NOW - 60)), Code::TokenExpired),
        ("no exp, as drafts had it", without(w, "exp"), Code::TokenClaims),
        ("exp null", with(w, "exp", json!(null)), Code::TokenClaims),
        ("exp negative", with(w, "exp", json!(-1)), Code::TokenClaims),
        ("not valid yet", with(w, "nbf", json!(NOW + 61)), Code::TokenNotYetValid),
        ("a nonce", with(w, "nonce", json!(NONCE)), Code::TokenNonce),
        ("a nonce that is null", with(w, "nonce", json!(null)), Code::TokenNonce),
        ("no events", without(w, "events"), Code::TokenClaims),
        ("events empty", with(w, "events", json!({})), Code::TokenClaims),
        ("events a list", with(w, "events", json!([EVENT])), Code::TokenClaims),
        ("events text", with(w, "events", json!(EVENT)), Code::TokenClaims),
        (
            "another event",
            with(
                w,
                "events",
                json!({ "https://schemas.openid.net/secevent/risc/event-type/account-purged": {} }),
            ),
            Code::TokenClaims,
        ),
        ("the event null", with(w, "events", json!({ EVENT: null })), Code::TokenClaims),
        ("the event true", with(w, "events", json!({ EVENT: true })), Code::TokenClaims),
        ("no jti", without(w, "jti"), Code::TokenClaims),
        ("an empty jti", with(w, "jti", json!("")), Code::TokenClaims),
        ("a jti that is a number", with(w, "jti", json!(1)), Code::TokenClaims),
        ("a long jti", with(w, "jti", json!("a".repeat(256))), Code::TokenClaims),
        ("neither sub nor sid", without(w, "sub"), Code::TokenSubject),
        ("an empty sub", with(w, "sub", json!("")), Code::TokenSubject),
        (
            "an empty sub beside a sid",
            good(w).claim("sub", json!("")).claim("sid", json!("s")).sign(&w.es256),
            Code::TokenSubject,
        ),
        (
            "a sub that is null beside a sid",
            good(w).claim("sub", json!(null)).claim("sid", json!("s")).sign(&w.es256),
            Code::TokenSubject,
        ),
        ("a sub of control characters", with(w, "sub", json!("a\u{0}b")), Code::TokenSubject),
        ("an empty sid", with(w, "sid", json!("")), Code::TokenClaims),
        ("a sid that is a list", with(w, "sid", json!(["s"])), Code::TokenClaims),
        // An ID token is none, whatever it says of its type.
        ("an ID token", Jwt::good(&w.url, "ES256", "es256").sign(&w.es256), Code::TokenNonce),
        (
            "an ID token of a device",
            Jwt::good(&w.url, "ES256", "es256").no_claim("nonce").sign(&w.es256),
            Code::TokenClaims,
        ),
        (
            "an ID token that says it is one",
            Jwt::good(&w.url, "ES256", "es256")
                .no_claim("nonce")
                .header("typ", json!("logout+jwt"))
                .sign(&w.es256),
            Code::TokenClaims,
        ),
    ]
}

#[tokio::test]
async fn invariant_5_every_hostile_logout_token_is_refused_with_its_own_code() {
    let w = World::new().await;
    let rows = [shapes(&w), claims(&w)].concat();
    assert!(rows.len() >= 55, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for (name, token, code) in rows {
        match w.provider.verify_logout(&token, now()).await {
            Err(problem) if problem.code == code => {}
            Err(problem) => wrong.push(format!("{name}: {} instead of {code}", problem.code)),
            Ok(_) => wrong.push(format!("{name}: accepted")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn which_logout_tokens_are_taken() {
    let w = World::new().await;
    let by = |alg: &str, kid: &str, key: &TestKey| {
        good(&w).header("alg", json!(alg)).header("kid", json!(kid)).sign(key)
    };
    for (name, token, sub, sid) in [
        ("as the specification has it", good(&w).sign(&w.es256), true, false),
        ("RS256", by("RS256", "rsa", &w.rsa), true, false),
        ("EdDSA", by("EdDSA", "ed25519", &w.ed25519), true, false),
        ("typ JWT", headed(&w, "typ", json!("JWT")), true, false),
        ("typ in capitals", headed(&w, "typ", json!("LOGOUT+JWT")), true, false),
        ("no typ", good(&w).no_header("typ").sign(&w.es256), true, false),
        ("aud a list of one", with(&w, "aud", json!([CLIENT])), true, false),
        ("a session", good(&w).no_claim("sub").claim("sid", json!("s-1")).sign(&w.es256), false, true),
        ("a session of a person", with(&w, "sid", json!("s-1")), true, true),
        ("something in the event", with(&w, "events", json!({ EVENT: { "reason": "left" } })), true, false),
        ("another event beside it", with(&w, "events", json!({ EVENT: {}, "urn:x": {} })), true, false),
        ("iat just inside, behind", with(&w, "iat", json!(NOW - 120)), true, false),
        ("iat just inside, ahead", with(&w, "iat", json!(NOW + 60)), true, false),
    ] {
        let said = w.provider.verify_logout(&token, now()).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((said.sub.is_some(), said.sid.is_some()), (sub, sid), "{name}");
    }
}

/// The use of a `jti` is remembered, however the token around it was signed.
#[tokio::test]
async fn a_logout_token_is_known_by_its_issuer_and_jti() {
    let w = World::new().await;
    let id = async |token: String| w.provider.verify_logout(&token, now()).await.unwrap().id;
    let first = id(good(&w).sign(&w.es256)).await;
    assert_eq!(id(with(&w, "iat", json!(NOW - 1))).await, first);
    assert_ne!(id(with(&w, "jti", json!("another"))).await, first);
}

/// Where the audience of ID tokens is not the client, a logout token may be for either, and for nobody else.
#[tokio::test]
async fn a_logout_token_is_for_the_client() {
    let w = World::new().await;
    let device = crate::oidc::DeviceClient { id: "jit-ssh-tv".to_owned(), secret: None };
    let provider = Provider::new(IssuerConfig {
        audience: "https://ca.example".to_owned(),
        device_client: Some(device),
        ..entry(&w.url)
    });
    for (aud, taken) in [
        (json!(CLIENT), true),
        (json!("https://ca.example"), true),
        (json!("jit-ssh-tv"), true),
        (json!("other"), false),
    ] {
        let verified = provider.verify_logout(&with(&w, "aud", aud.clone()), now()).await;
        assert_eq!(verified.is_ok(), taken, "{aud}");
    }
}

/// A logout token opens no session, not even where no nonce is asked for and the provider does not type its tokens.
#[tokio::test]
async fn invariant_5_a_logout_token_is_no_id_token() {
    let w = World::new().await;
    let flows = vec![Flow::Code, Flow::Device];
    let device = Provider::new(IssuerConfig { flows, ..entry(&w.url) });
    for (token, code) in [
        (good(&w).sign(&w.es256), Code::TokenHeader),
        (headed(&w, "typ", json!("JWT")), Code::TokenClaims),
        (good(&w).no_header("typ").sign(&w.es256), Code::TokenClaims),
        (good(&w).no_header("typ").claim("events", json!(null)).sign(&w.es256), Code::TokenClaims),
    ] {
        let opened = device.verify(&token, Flow::Device, NONCE, now()).await;
        assert_eq!(opened.unwrap_err().code, code);
        assert_eq!(device.verify_again(&token, Flow::Code, now()).await.unwrap_err().code, code);
    }
}
