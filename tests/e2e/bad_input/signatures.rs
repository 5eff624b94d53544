//! Calls that are not signed, not by the session, not for this very call, or not the first time; and bearers.

use jit_ssh_proto::{CaId, Code, SIGNATURE_HEADER};
use jit_ssh_tests::api::{Call, Key, Session, Signing, now};
use serde_json::json;

use super::{Desk, Row, row, set};

/// A call with another signature than its own.
fn resigned(call: Call, header: &str) -> Call {
    call.without(SIGNATURE_HEADER).with(SIGNATURE_HEADER, header)
}

fn signature(call: &Call) -> String {
    call.headers.iter().find(|(name, _)| name == SIGNATURE_HEADER).unwrap().1.clone()
}

#[test]
fn invariant_6_a_call_is_signed_by_its_session_for_this_very_call_once() {
    let desk = Desk::new();
    let other_ca = CaId::from_bytes([7; 32]);
    let stranger = Key::new().unwrap();
    let neighbour = desk.server.session(&desk.site, "bob");
    let good = desk.access(|_| {});
    let signed = |signing: &Signing<'_>| desk.signed(signing, &good.body);
    let header = |method: &str, path: &str, body: &[u8]| desk.signing().header(method, path, body).unwrap();
    let parts: Vec<String> = signature(&good).split('.').map(str::to_owned).collect();
    let put = |at: usize, text: &str| {
        let mut parts = parts.clone();
        parts[at] = text.to_owned();
        resigned(good.clone(), &parts.join("."))
    };
    let missing = |what, call| row(what, Code::SignatureMissing, "Jit-Ssh-Signature", call);
    let malformed = |what, call| row(what, Code::SignatureMalformed, "Jit-Ssh-Signature", call);
    let invalid = |what, call| row(what, Code::SignatureInvalid, "session key", call);
    let stale =
        |what, time| row(what, Code::SignatureStale, "clock", signed(&Signing { time, ..desk.signing() }));
    let other_body = desk.access(set("reason", json!("another reason"))).body;

    let used = desk.access(|_| {});
    assert_eq!(desk.server.send(&used).status, 201);
    let used_id = Signing {
        id: data_encoding::BASE64URL_NOPAD
            .decode(signature(&used).split('.').nth(2).unwrap().as_bytes())
            .unwrap()
            .try_into()
            .unwrap(),
        ..desk.signing()
    };
    let rows = vec![
        missing("no signature", good.clone().without(SIGNATURE_HEADER)),
        missing("two signatures", good.clone().with(SIGNATURE_HEADER, &signature(&good))),
        malformed("nothing in it", resigned(good.clone(), "x")),
        malformed("another version", put(0, "v2")),
        malformed("a time that is none", put(1, "soon")),
        malformed("a time with a sign", put(1, &format!("+{}", parts[1]))),
        malformed("a time with zeros before it", put(1, &format!("0{}", parts[1]))),
        malformed("a short id", put(2, "AAAA")),
        malformed("an id with other letters", put(2, &"!".repeat(22))),
        malformed("an envelope that is not base64url", put(3, "***")),
        malformed("a fifth part", resigned(good.clone(), &format!("{}.x", signature(&good)))),
        invalid("an envelope that is none", put(3, "AAAA")),
        invalid("another time than was signed", put(1, &(now() + 1).to_string())),
        invalid("another id than was signed", put(2, "AAAAAAAAAAAAAAAAAAAAAA")),
        stale("two minutes old", now() - 120),
        stale("two minutes early", now() + 120),
        stale("from 1970", 0),
        stale("from the end of time", u64::MAX / 2 - 1),
        invalid("for another path", resigned(good.clone(), &header("POST", "/v1/sessions", &good.body))),
        invalid(
            "for a path with a query",
            resigned(good.clone(), &header("POST", "/v1/requests?x=1", &good.body)),
        ),
        invalid("for another method", resigned(good.clone(), &header("DELETE", "/v1/requests", &good.body))),
        invalid("for another body", resigned(good.clone(), &header("POST", "/v1/requests", &other_body))),
        invalid("for no body", resigned(good.clone(), &header("POST", "/v1/requests", b""))),
        invalid("for another CA", signed(&Signing { ca: &other_ca, ..desk.signing() })),
        invalid("for another session", signed(&Signing { session: Some(&neighbour.id), ..desk.signing() })),
        invalid("for no session", signed(&Signing { session: None, ..desk.signing() })),
        invalid("by another key", signed(&Signing { key: &stranger, ..desk.signing() })),
        invalid("by another session's key", signed(&Signing { key: &neighbour.key, ..desk.signing() })),
        row("made before", Code::SignatureReplayed, "new one", used),
        row("another call with a used id", Code::SignatureReplayed, "new one", {
            let body = desk.access_with(used_id.id, set("reason", json!("another reason"))).body;
            desk.signed(&used_id, &body)
        }),
    ];
    desk.check(rows);
}

/// Whoever's own signature does not hold is told nothing of what is asked: neither that it is wrong nor where.
#[test]
fn a_signature_that_does_not_hold_is_told_before_what_is_wrong_with_what_is_asked() {
    let desk = Desk::new();
    // By the right key and well formed, over all but the last byte of the body.
    let altered = |call: &Call| Call { body: [&call.body[..], b" "].concat(), ..call.clone() };
    let mut rows = Vec::new();
    for (field, value, code) in [
        ("key", json!("not a key"), Code::KeyMalformed),
        ("proof", json!("AAAA"), Code::PossessionInvalid),
        ("proof", json!("***"), Code::PossessionInvalid),
        ("duration", json!("0m"), Code::DurationInvalid),
    ] {
        let asked = desk.access(set(field, value.clone()));
        rows.push(row("altered", Code::SignatureInvalid, "session key", altered(&asked)));
        rows.push(row("as it was signed", code, field, asked));
        let login = desk.login(|body| body["request"][field] = value);
        rows.push(row("an altered login", Code::SignatureInvalid, "session key", altered(&login)));
        rows.push(row("a login as it was signed", code, field, login));
    }
    desk.check(rows);
}

#[test]
fn a_login_is_signed_by_the_key_that_it_brings() {
    let desk = Desk::new();
    let good = desk.login(|_| {});
    let stranger = Key::new().unwrap();
    let by = |key: &Key, path: &str| {
        Signing::new(&desk.site.ca, key, None).header("POST", path, &good.body).unwrap()
    };
    let rows = vec![
        row(
            "no signature",
            Code::SignatureMissing,
            "Jit-Ssh-Signature",
            good.clone().without(SIGNATURE_HEADER),
        ),
        row("by another key", Code::SignatureInvalid, "session key", {
            resigned(good.clone(), &by(&stranger, "/v1/sessions"))
        }),
        row("a request's signature", Code::SignatureInvalid, "session key", {
            let header = desk.signing().header("POST", "/v1/sessions", &good.body).unwrap();
            resigned(good.clone(), &header)
        }),
        row("another key in the body", Code::SignatureInvalid, "session key", {
            let body = String::from_utf8(good.body.clone()).unwrap();
            let own = serde_json::from_str::<serde_json::Value>(&body).unwrap()["session_key"].clone();
            let body = body.replace(own.as_str().unwrap(), &stranger.public.to_string());
            Call { body: body.into_bytes(), ..good.clone() }
        }),
    ];
    desk.check(rows);
    assert_eq!(desk.server.send(&good).status, 201);
    desk.check(vec![row("the same login again", Code::SignatureReplayed, "new one", good)]);
}

#[test]
fn a_bearer_is_one_token_of_a_live_session() {
    let desk = Desk::new();
    let good = desk.access(|_| {});
    let neighbour = desk.server.session(&desk.site, "bob");
    let token = desk.session.token.clone();
    let flipped = format!("{}{}", &token[..token.len() - 1], if token.ends_with('A') { "B" } else { "A" });
    let with = |value: &str| good.clone().without("authorization").with("authorization", value);
    let not = |what, call| row(what, Code::NotLoggedIn, "jit-ssh login", call);
    let rows = vec![
        not("none", good.clone().without("authorization")),
        not("two", good.clone().with("authorization", &desk.session.bearer())),
        not("two, one of them rubbish", good.clone().with("authorization", "Bearer x")),
        not("empty", with("Bearer ")),
        not("without its kind", with(&token)),
        not("basic", with(&format!("Basic {token}"))),
        not("in lower case", with(&format!("bearer {token}"))),
        not("with a space", with(&format!("Bearer  {token}"))),
        not("unknown", with("Bearer jss_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
        not("with one letter changed", with(&format!("Bearer {flipped}"))),
        not("the session's id", with(&format!("Bearer {}", desk.session.id))),
        not("of 8 KiB", with(&format!("Bearer jss_{}", "A".repeat(8192)))),
        row("another session's", Code::SignatureInvalid, "session key", with(&neighbour.bearer())),
    ];
    desk.check(rows);

    let end = |session: &Session| {
        session.call(&desk.site.ca, "DELETE", "/v1/sessions/current", Vec::new()).unwrap()
    };
    assert_eq!(desk.server.send(&end(&neighbour)).status, 204);
    let late = |what, call| -> Row { row(what, Code::SessionEnded, "jit-ssh login", call) };
    desk.check(vec![
        late("ended: a request", neighbour.access(&desk.site.ca, &desk.key).unwrap()),
        late("ended: its end", end(&neighbour)),
        late("ended: a look", {
            Call::plain("GET", "/v1/sessions/current").with("authorization", &neighbour.bearer())
        }),
    ]);
}
