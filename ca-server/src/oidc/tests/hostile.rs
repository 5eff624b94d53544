//! The table of hostile tokens, each one fault, each refused with its own code; and what is taken.

use data_encoding::BASE64URL_NOPAD as B64;
use jit_ssh_proto::{Code, Flow};
use serde_json::json;

use super::maker::{CLIENT, Jwt, NONCE, NOW, TestKey, entry, now};
use super::rows::{World, all};
use super::server::Server;
use crate::oidc::{DeviceClient, IssuerConfig, Provider, issuer_of};

#[tokio::test]
async fn invariant_5_every_hostile_token_is_refused_with_its_own_code() {
    let w = World::new().await;
    let rows = all(&w);
    assert!(rows.len() >= 140, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for (name, token, code) in rows {
        match w.provider.verify(&token, Flow::Code, NONCE, now()).await {
            Err(problem) if problem.code == code => {
                assert!(problem.detail.ends_with('.'), "{name}: {}", problem.detail);
            }
            Err(problem) => wrong.push(format!("{name}: {} instead of {code}", problem.code)),
            Ok(_) => wrong.push(format!("{name}: accepted")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_is_accepted() {
    let w = World::new().await;
    let by = |alg: &str, kid: &str, key: &TestKey| Jwt::good(&w.url, alg, kid).sign(key);
    for (name, token) in [
        ("ES256", by("ES256", "es256", &w.es256)),
        ("ES384", by("ES384", "es384", &w.es384)),
        ("EdDSA", by("EdDSA", "ed25519", &w.ed25519)),
        ("RS256", by("RS256", "rsa", &w.rsa)),
        ("PS256", by("PS256", "rsa", &w.rsa)),
        ("EdDSA without kid: one key fits", Jwt::good(&w.url, "EdDSA", "").no_header("kid").sign(&w.ed25519)),
        ("typ absent", w.good().no_header("typ").sign(&w.es256)),
        ("typ jwt", w.header("typ", json!("jwt"))),
        (
            "a thumbprint beside kid",
            w.good().header("x5t", json!("abc")).header("x5t#S256", json!("abc")).sign(&w.es256),
        ),
        ("aud a list of one", w.with("aud", json!([CLIENT]))),
        ("azp ours", w.with("azp", json!(CLIENT))),
        (
            "several aud, all ours, azp ours",
            w.good().claim("aud", json!([CLIENT, CLIENT])).claim("azp", json!(CLIENT)).sign(&w.es256),
        ),
        ("exp just inside", w.with("exp", json!(NOW - 59))),
        ("iat just inside, ahead", w.with("iat", json!(NOW + 60))),
        ("iat just inside, behind", w.with("iat", json!(NOW - 600))),
        ("nbf just inside", w.with("nbf", json!(NOW + 60))),
        ("a profile claim in another form", w.with("updated_at", json!("2024-05-01T10:00:00Z"))),
        ("email_verified as text, for the entry to judge", w.with("email_verified", json!("true"))),
        ("groups as text, for the entry to judge", w.with("groups", json!("sre"))),
        ("groups as an object, for the entry to judge", w.with("groups", json!({"sre": true}))),
    ] {
        let verified = w.provider.verify(&token, Flow::Code, NONCE, now()).await;
        assert!(verified.is_ok(), "{name}: {verified:?}");
    }
}

#[tokio::test]
async fn what_a_token_says_comes_out_as_it_was() {
    let w = World::new().await;
    let token = w.with("email_verified", json!("true"));
    let verified = w.provider.verify(&token, Flow::Code, NONCE, now()).await.unwrap();
    assert_eq!(verified.claims.sub, "248289761001");
    assert_eq!(verified.claims.email_verified, Some(json!("true")), "not made into a bool");
    assert_eq!(verified.claims.username, Some(json!("alice")));
    assert_eq!(verified.claims.groups, Some(json!(["sre"])));
    assert_eq!(verified.claims.methods, ["pwd", "otp"]);
    assert_eq!(verified.claims.auth_time.map(|at| at.seconds()), Some(NOW - 60));
    assert_eq!((verified.issued.seconds(), verified.expires.seconds()), (NOW - 5, NOW + 300));
    assert_eq!(issuer_of(&token).unwrap(), w.url);
}

/// An ECDSA signature (r, s) has a twin (r, n - s) that verifies as well: it must not be a second use.
#[tokio::test]
async fn invariant_5_a_malleated_signature_is_the_same_token() {
    let w = World::new().await;
    let token = w.good().sign(&w.es256);
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = p256_twin(&B64.decode(signature.as_bytes()).unwrap());
    let twin = format!("{input}.{}", B64.encode(&signature));
    assert_ne!(token, twin);
    let first = w.provider.verify(&token, Flow::Code, NONCE, now()).await.unwrap();
    let second = w.provider.verify(&twin, Flow::Code, NONCE, now()).await.unwrap();
    assert_eq!(first.replay, second.replay);
    let other = w.good().claim("jti", json!("2")).sign(&w.es256);
    assert_ne!(first.replay, w.provider.verify(&other, Flow::Code, NONCE, now()).await.unwrap().replay);
}

/// s → n - s for P-256 (SEC 2, 2.4.2), by schoolbook subtraction.
fn p256_twin(signature: &[u8]) -> Vec<u8> {
    let order = data_encoding::HEXUPPER
        .decode(b"FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551")
        .unwrap();
    let (r, s) = signature.split_at(32);
    let mut twin = vec![0; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(order[at]) - i16::from(s[at]) - borrow;
        borrow = i16::from(difference < 0);
        twin[at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    [r, &twin].concat()
}

/// Two issuers may both call a key `shared`: each is looked for among its own issuer's, and neither opens what the other's
/// does, whatever a token says it is from.
#[tokio::test]
async fn invariant_5_a_key_id_that_two_issuers_have_is_two_keys() {
    let (here, there) = (TestKey::p256(), TestKey::p256());
    let (one, other) = (
        Server::with_keys(vec![here.jwk("shared")]).await,
        Server::with_keys(vec![there.jwk("shared")]).await,
    );
    let (ours, theirs) = (Provider::new(entry(&one.url)), Provider::new(entry(&other.url)));
    let token = |says: &Server, by: &TestKey| Jwt::good(&says.url, "ES256", "shared").sign(by);
    for (name, provider, token, expected) in [
        ("its own", &ours, token(&one, &here), None),
        ("the other's own", &theirs, token(&other, &there), None),
        ("the other's", &ours, token(&other, &there), Some(Code::TokenIssuer)),
        ("its own, at the other", &theirs, token(&one, &here), Some(Code::TokenIssuer)),
        ("by the other's key in its name", &ours, token(&one, &there), Some(Code::TokenSignature)),
        ("by its key in the other's name", &theirs, token(&other, &here), Some(Code::TokenSignature)),
    ] {
        let verified = provider.verify(&token, Flow::Code, NONCE, now()).await;
        assert_eq!(verified.err().map(|problem| problem.code), expected, "{name}");
    }
}

/// Whatever single character of a token is changed, it is no longer accepted.
#[tokio::test]
async fn invariant_5_no_character_of_a_token_can_be_changed() {
    let w = World::new().await;
    let token = w.good().sign(&w.es256);
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(w.provider.verify(&changed, Flow::Code, NONCE, now()).await.is_err(), "character {at}");
    }
}

/// A flow without a nonce takes tokens without one, where the entry takes the flow; a nonce that is there is the right
/// one in every flow, or a token of the browser, caught on its way, could be passed off as a device's.
#[tokio::test]
async fn invariant_5_only_flows_without_a_nonce_do_without_and_only_where_the_entry_says_so() {
    let w = World::new().await;
    let with = |flows: &[Flow]| Provider::new(IssuerConfig { flows: flows.to_vec(), ..entry(&w.url) });
    let (code, both, job) = (with(&[Flow::Code]), with(&[Flow::Code, Flow::Device]), with(&[Flow::Token]));
    let ours = w.good().sign(&w.es256);
    let none = w.good().no_claim("nonce").sign(&w.es256);
    let other = w.with("nonce", json!("another"));
    let odd = w.with("nonce", json!(null));
    for (entry, flow, token, expected) in [
        (&code, Flow::Code, &ours, None),
        (&code, Flow::Code, &none, Some(Code::TokenNonceMissing)),
        (&code, Flow::Device, &none, Some(Code::FlowNotAllowed)),
        (&code, Flow::Token, &none, Some(Code::FlowNotAllowed)),
        (&code, Flow::Device, &ours, Some(Code::FlowNotAllowed)),
        (&both, Flow::Code, &none, Some(Code::TokenNonceMissing)),
        (&both, Flow::Device, &none, None),
        (&both, Flow::Device, &ours, None),
        (&both, Flow::Device, &other, Some(Code::TokenNonce)),
        (&both, Flow::Device, &odd, Some(Code::TokenClaims)),
        (&both, Flow::Token, &none, Some(Code::FlowNotAllowed)),
        (&job, Flow::Token, &none, None),
        (&job, Flow::Token, &other, Some(Code::TokenNonce)),
        (&job, Flow::Code, &ours, Some(Code::FlowNotAllowed)),
        (&job, Flow::Device, &none, Some(Code::FlowNotAllowed)),
    ] {
        let verified = entry.verify(token, flow, NONCE, now()).await;
        assert_eq!(verified.err().map(|problem| problem.code), expected, "{flow} {token}");
    }
}

/// Whose token it is says how somebody logged in. A provider that echoes a nonce in the device grant lets whoever starts
/// one have it carry the nonce of their own key: presented as a login by a browser it would be one without limits.
#[tokio::test]
async fn invariant_5_the_flow_is_what_the_token_says_and_not_the_caller() {
    let w = World::new().await;
    let device = DeviceClient { id: "jit-ssh-tv".to_owned(), secret: None };
    let both =
        IssuerConfig { flows: vec![Flow::Code, Flow::Device], device_client: Some(device), ..entry(&w.url) };
    let shared = Provider::new(IssuerConfig { audience: "https://ca.example".to_owned(), ..both.clone() });
    let both = Provider::new(both);
    let of = |aud: serde_json::Value, azp: &str| {
        let good = w.good().claim("aud", aud);
        let good = if azp.is_empty() { good } else { good.claim("azp", json!(azp)) };
        (good.clone().sign(&w.es256), good.no_claim("nonce").sign(&w.es256))
    };
    let (refused, azp) = (Some(Code::FlowNotAllowed), Some(Code::TokenAuthorizedParty));
    let nonce = Some(Code::TokenNonceMissing);
    for (provider, (bound, unbound), [code, device, code_unbound, device_unbound]) in [
        (&both, of(json!(CLIENT), ""), [None, refused, nonce, refused]),
        (&both, of(json!(CLIENT), CLIENT), [None, refused, nonce, refused]),
        (&both, of(json!("jit-ssh-tv"), ""), [refused, None, refused, None]),
        (&both, of(json!(["jit-ssh-tv"]), "jit-ssh-tv"), [refused, None, refused, None]),
        // Of both, and of neither.
        (&both, of(json!([CLIENT, "jit-ssh-tv"]), CLIENT), [refused; 4]),
        (&both, of(json!([CLIENT, "jit-ssh-tv"]), "jit-ssh-tv"), [refused; 4]),
        (&both, of(json!(CLIENT), "jit-ssh-tv"), [refused; 4]),
        (&both, of(json!("other"), ""), [Some(Code::TokenAudience); 4]),
        // An audience that both clients share says nothing; `azp` does.
        (&shared, of(json!("https://ca.example"), ""), [azp; 4]),
        (&shared, of(json!("https://ca.example"), CLIENT), [None, refused, nonce, refused]),
        (&shared, of(json!("https://ca.example"), "jit-ssh-tv"), [refused, None, refused, None]),
        (&shared, of(json!(["https://ca.example", CLIENT]), CLIENT), [None, refused, nonce, refused]),
    ] {
        for (flow, token, expected) in [
            (Flow::Code, &bound, code),
            (Flow::Device, &bound, device),
            (Flow::Code, &unbound, code_unbound),
            (Flow::Device, &unbound, device_unbound),
        ] {
            let verified = provider.verify(token, flow, NONCE, now()).await;
            assert_eq!(verified.err().map(|problem| problem.code), expected, "{flow} {token}");
        }
    }
    // A nonce that is there is the right one in this flow too.
    let other = w.good().claim("aud", json!("jit-ssh-tv")).claim("nonce", json!("another")).sign(&w.es256);
    assert_eq!(both.verify(&other, Flow::Device, NONCE, now()).await.unwrap_err().code, Code::TokenNonce);
}

/// The list of algorithms is the issuer's, not the provider's or the token's.
#[tokio::test]
async fn invariant_5_an_algorithm_that_is_not_on_the_list_is_refused() {
    let w = World::new().await;
    let mut narrow = entry(&w.url);
    narrow.algorithms = vec!["RS256".to_owned()];
    let provider = Provider::new(narrow);
    let refused = provider.verify(&w.good().sign(&w.es256), Flow::Code, NONCE, now()).await.unwrap_err();
    assert_eq!(refused.code, Code::TokenAlgorithm);
    assert!(
        provider
            .verify(&Jwt::good(&w.url, "RS256", "rsa").sign(&w.rsa), Flow::Code, NONCE, now())
            .await
            .is_ok()
    );
}

/// Where the audience is not the client, both may be named, and the client alone is not enough.
#[tokio::test]
async fn invariant_5_an_audience_of_its_own() {
    let w = World::new().await;
    let mut entry = entry(&w.url);
    entry.audience = "https://ca.example".to_owned();
    let provider = Provider::new(entry);
    let both = w.good().claim("aud", json!(["https://ca.example", CLIENT]));
    for (token, expected) in [
        (w.with("aud", json!("https://ca.example")), None),
        (both.clone().claim("azp", json!(CLIENT)).sign(&w.es256), None),
        (both.clone().sign(&w.es256), Some(Code::TokenAuthorizedParty)),
        (both.claim("azp", json!("https://ca.example")).sign(&w.es256), Some(Code::TokenAuthorizedParty)),
        (w.with("aud", json!(CLIENT)), Some(Code::TokenAudience)),
    ] {
        assert_eq!(
            provider.verify(&token, Flow::Code, NONCE, now()).await.err().map(|problem| problem.code),
            expected
        );
    }
}

#[test]
fn no_issuer_is_read_from_what_is_not_a_token() {
    let part = |text: &str| B64.encode(text.as_bytes());
    for (token, code) in [
        (String::new(), Code::TokenMalformed),
        (format!("{}.{}.AAAA", part("{}"), part("[]")), Code::TokenMalformed),
        (format!("{}.{}.AAAA", part("{}"), part("{\"iss\":\"a\",\"iss\":\"b\"}")), Code::TokenMalformed),
        (format!("{}.{}.AAAA", part("{}"), part("{}")), Code::TokenClaims),
        (format!("{}.{}.AAAA", part("{}"), part("{\"iss\":1}")), Code::TokenClaims),
        ("a".repeat(16 * 1024 + 1), Code::TokenMalformed),
    ] {
        assert_eq!(issuer_of(&token).unwrap_err().code, code);
    }
}
