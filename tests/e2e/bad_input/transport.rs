//! Bodies as they arrive: too large, too slow, not JSON, not this JSON; and places that are not there.

use jit_ssh_proto::Code;
use jit_ssh_tests::api::Call;
use jit_ssh_tests::http::send_raw;
use serde_json::json;

use super::{Desk, problem, row, set};

#[test]
fn bodies_that_are_not_understood() {
    let desk = Desk::new();
    let good = String::from_utf8(desk.access(|_| {}).body).unwrap();
    let typed = |content_type: &str| {
        desk.bytes(good.as_bytes()).without("content-type").with("content-type", content_type)
    };
    let malformed = |what, call| row(what, Code::BodyMalformed, "openapi.json", call);
    let without =
        |field: &'static str| desk.access(move |body| drop(body.as_object_mut().unwrap().remove(field)));
    desk.check(vec![
        row("no content type", Code::BodyNotJson, "application/json", {
            desk.bytes(good.as_bytes()).without("content-type")
        }),
        row("a form", Code::BodyNotJson, "application/json", typed("application/x-www-form-urlencoded")),
        row("text", Code::BodyNotJson, "application/json", typed("text/plain")),
        row("almost JSON", Code::BodyNotJson, "application/json", typed("application/jsonp")),
        malformed("nothing", desk.bytes(b"")),
        malformed("not JSON", desk.bytes(b"accounts=deploy")),
        malformed("half of it", desk.bytes(&good.as_bytes()[..good.len() / 2])),
        malformed("two of it", desk.bytes(format!("{good}{good}").as_bytes())),
        malformed("not UTF-8", desk.bytes(b"{\"reason\": \"\xff\xfe\"}")),
        malformed("a list", desk.bytes(format!("[{good}]").as_bytes())),
        malformed("deep", desk.bytes("[".repeat(60_000).as_bytes())),
        malformed(
            "deep in a field",
            desk.bytes(format!("{{\"accounts\": {}", "[".repeat(60_000)).as_bytes()),
        ),
        malformed("an unknown field", desk.access(set("acounts", json!([])))),
        malformed("an unknown field of a login", desk.login(|body| body["extra"] = json!(1))),
        malformed(
            "an unknown field of a first request",
            desk.login(|body| body["request"]["extra"] = json!(1)),
        ),
        malformed("a field twice", {
            desk.bytes(good.replacen('{', "{\"reason\": \"other\", ", 1).as_bytes())
        }),
        malformed("without accounts", without("accounts")),
        malformed("without a key", without("key")),
        malformed("without a mode", without("mode")),
        malformed("an unknown mode", desk.access(set("mode", json!("root")))),
        malformed("an unknown modifier", desk.access(set("modifiers", json!(["sudo"])))),
        malformed("a number for a duration", desk.access(set("duration", json!(600)))),
        malformed("text for accounts", desk.access(set("accounts", json!("deploy@web-1")))),
        row("larger than is taken", Code::BodyTooLarge, "bytes", desk.bytes(&vec![b' '; (64 << 10) + 1])),
        row("no such place", Code::NotFound, "openapi.json", Call::plain("GET", "/v1/nothing")),
        row("a place with a slash after it", Code::NotFound, "openapi.json", Call::plain("GET", "/healthz/")),
        row("no such method", Code::MethodNotAllowed, "openapi.json", Call::plain("PUT", "/v1/requests")),
    ]);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for_for_long() {
    let desk = Desk::new();
    let before = desk.site.state();
    let head = "POST /v1/requests HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    // The answer comes while the connection is still open: the server does not wait for the rest.
    let answer = send_raw(desk.server.address, head.as_bytes()).unwrap();
    let problem = problem("slow", &answer);
    assert_eq!(problem.code, Code::BodyTooSlow);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(desk.site.state(), before);
}

#[test]
fn bodies_whose_length_is_not_said_or_said_twice() {
    let desk = Desk::new();
    let before = desk.site.state();
    let head = "POST /v1/requests HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    // In pieces, more of them than are taken.
    let piece = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    let pieces = format!("{head}transfer-encoding: chunked\r\n\r\n{}", piece.repeat(17));
    let answer = send_raw(desk.server.address, pieces.as_bytes()).unwrap();
    assert_eq!(problem("pieces", &answer).code, Code::BodyTooLarge);
    // What two readers could take for two different bodies is taken for none.
    for twice in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n\r\n{    }",
        "content-length: -1\r\n\r\n{}",
    ] {
        let answer = send_raw(desk.server.address, format!("{head}{twice}").as_bytes());
        assert!(
            answer.as_ref().map_or(true, |answer| (400..500).contains(&answer.status)),
            "{twice:?}: {answer:?}"
        );
    }
    assert_eq!(desk.site.state(), before);
    desk.check(Vec::new());
}
