//! Why not, and what would do: over HTTP and with `jit-ssh`, and what neither ever tells.

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_tests::api::{Call, Key, Session, Signing, access_body};
use jit_ssh_tests::browser;
use jit_ssh_tests::ca::{self, Ca, Setup};
use jit_ssh_tests::client::Person;
use jit_ssh_tests::http::Answer;
use jit_ssh_tests::provider::NodeProvider;
use serde_json::{Value, json};

use crate::stand::{Server, Site};

const POLICY: &str = r#"
@id("web") @ttl("15m")
permit (principal in Group::"sre", action in [Action::"shell", Action::"agent"], resource in Host::"web-1")
when { ["deploy", "root"].contains(resource.login) && context.reason != "" };
@id("asks") @ttl("1h") @approvals("1 of leads")
permit (principal in Group::"sre", action == Action::"sftp", resource in Host::"web-1")
when { resource.login == "deploy" };
@id("glass") @ttl("20m") @break_glass
permit (principal in Group::"sre", action == Action::"forward", resource in Host::"web-1")
when { resource.login == "deploy" };
@id("others") permit (principal in Group::"dba", action, resource is Account);
@id("no-root") @message("root is not for everyday")
forbid (principal, action, resource in HostGroup::"web") when { resource.login == "root" };
"#;

/// A CA with that policy, and a session of somebody in sre.
fn stand() -> (Site, Server, Session) {
    let site = Site::new();
    site.write("policies/10-starter.cedar", POLICY);
    let server = site.serve();
    let alice = server.session(&site, "alice");
    (site, server, alice)
}

fn explain(server: &Server, session: &Session, body: &Value) -> Answer {
    let call = Call { body: serde_json::to_vec(body).unwrap(), ..Call::plain("POST", "/v1/explain") };
    server.send(&call.with("content-type", "application/json").with("authorization", &session.bearer()))
}

fn told(server: &Server, session: &Session, body: &Value) -> Value {
    let answer = explain(server, session, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().unwrap()
}

/// `POST /v1/requests` for ten minutes on an account, with more or less in its body.
fn request(site: &Site, server: &Server, session: &Session, account: &str, more: &Value) -> Answer {
    let key = Key::new().unwrap();
    let signing = Signing::new(&site.ca, &session.key, Some(&session.id));
    let body = access_body(&site.ca, &session.key, &key, signing.id).unwrap();
    let mut body = serde_json::to_value(&body).unwrap();
    body["accounts"] = json!([account]);
    body.as_object_mut().unwrap().remove("reason");
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let call = signing.call("POST", "/v1/requests", serde_json::to_vec(&body).unwrap()).unwrap();
    server.send(&call.with("authorization", &session.bearer()))
}

#[test]
fn who_follows_the_advice_of_a_refusal_is_let_in() {
    let (site, server, alice) = stand();
    // Refused, with what would change that: in words, as a command, and for programs.
    let refused = request(&site, &server, &alice, "deploy@web-1", &json!({ "duration": "1h" }));
    let problem: Value = refused.json().unwrap();
    assert_eq!((refused.status, &problem["code"]), (403, &json!("no_access")));
    assert_eq!(
        problem["detail"],
        "No policy gives you this as you ask for it. It would be allowed with a reason and for at most 15m. \
         Run: jit-ssh login deploy@web-1 --for 15m --reason '…'"
    );
    let advice = json!([{ "with": [{ "do": "give_reason" }, { "do": "for_at_most", "duration": "15m" }], "terms": { "duration": "15m" } }]);
    assert_eq!(problem["advice"], advice);
    // The same without asking.
    let asked = json!({ "accounts": ["deploy@web-1"], "mode": "shell", "duration": "1h" });
    let before = site.state();
    let denied = told(&server, &alice, &asked);
    assert_eq!((&denied["answer"], &denied["advice"]), (&json!("denied"), &advice), "{denied}");
    let mut followed = asked;
    followed["reason"] = json!("OPS-7");
    followed["duration"] = json!("15m");
    let allowed = told(&server, &alice, &followed);
    assert_eq!(
        allowed,
        json!({
            "answer": "allowed", "detail": "Policy allows this, for 15m.", "terms": { "duration": "15m" },
            "pairs": [{ "account": "deploy@web-1", "action": "shell", "policy": "web", "terms": { "duration": "15m" } }],
        })
    );
    assert_eq!(site.state(), before, "nothing of an explanation is recorded");
    let granted =
        request(&site, &server, &alice, "deploy@web-1", &json!({ "duration": "15m", "reason": "OPS-7" }));
    assert_eq!(granted.status, 201, "{}", granted.text());
}

#[test]
fn each_kind_of_answer() {
    let (_site, server, alice) = stand();
    let approval = json!([{ "count": 1, "group": "leads" }]);
    let asked = json!({ "accounts": ["deploy@web-1"], "mode": "sftp" });
    let pending = told(&server, &alice, &asked);
    assert_eq!((&pending["answer"], &pending["code"]), (&json!("pending"), &json!("approval_required")));
    assert_eq!(pending["terms"], json!({ "duration": "1h", "approvals": approval }));
    // A forbid is told with its message.
    let forbidden =
        told(&server, &alice, &json!({ "accounts": ["root@web-1"], "mode": "shell", "reason": "x" }));
    assert_eq!((&forbidden["answer"], &forbidden["code"]), (&json!("denied"), &json!("forbidden")));
    assert!(forbidden["detail"].as_str().unwrap().contains("root is not for everyday"), "{forbidden}");
    // What is no request is no question either.
    for (body, outcome) in [
        (json!({ "accounts": [], "mode": "shell" }), "400 account_invalid"),
        (json!({ "accounts": ["deploy@web-1"], "mode": "exec" }), "400 command_invalid"),
        (json!({ "accounts": ["deploy@web-1"], "mode": "shell", "duration": "0s" }), "400 duration_invalid"),
        (
            json!({ "accounts": ["deploy@web-1"], "mode": "shell", "starts_in": "soon" }),
            "400 duration_invalid",
        ),
        (
            json!({ "accounts": ["deploy@web-1"], "mode": "shell", "starts_in": "9999d" }),
            "400 duration_too_long",
        ),
        (json!({ "accounts": ["deploy@web-1"], "mode": "shell", "reason": "\u{202e}" }), "400 text_invalid"),
        (json!({ "accounts": ["deploy@web-1"], "mode": "shell", "key": "x" }), "400 body_malformed"),
    ] {
        assert_eq!(explain(&server, &alice, &body).outcome(), outcome, "{body}");
    }
}

#[test]
fn nothing_tells_an_unknown_account_from_one_without_a_part() {
    let (site, server, alice) = stand();
    let of = |account: &str| {
        let body = json!({ "accounts": [account], "mode": "shell" });
        let explained = explain(&server, &alice, &body);
        let refused = request(&site, &server, &alice, account, &json!({}));
        (explained.status, explained.text(), refused.status, refused.text())
    };
    let unknown = of("deploy@nowhere");
    assert!(unknown.1.contains("no_access") && !unknown.1.contains("advice"), "{unknown:?}");
    // There, and for others only; a login that is not; a group of hosts.
    for account in [
        "deploy@db-1",
        "deploy@web-2",
        "alice@web-2",
        "nobody@web-1",
        "deploy@group/db",
        "deploy@group/web",
        "deploy@group/no",
    ] {
        assert_eq!(of(account), unknown, "{account}");
    }
}

#[test]
fn nobody_goes_through_the_inventory_by_asking() {
    let (_site, server, alice) = stand();
    let ask = |account: &str| {
        explain(&server, &alice, &json!({ "accounts": [account], "mode": "shell", "reason": "x" }))
    };
    // `limits.refused` is 30 unless it is configured.
    for n in 0..30 {
        assert_eq!(ask(&format!("deploy@host-{n}")).status, 200);
    }
    assert_eq!(ask("deploy@host-31").outcome(), "429 too_many_requests");
}

#[test]
fn the_accounts_that_one_may_get_to() {
    let (site, server, alice) = stand();
    let list = |session: &Session, query: &str| {
        let call = Call::plain("GET", &format!("/v1/accounts{query}"));
        server.send(&call.with("authorization", &session.bearer()))
    };
    let whole: Value = list(&alice, "").json().unwrap();
    assert_eq!(
        whole,
        json!({ "items": [{
            "account": "deploy@web-1",
            "modes": [
                { "mode": "shell", "modifiers": ["agent"], "terms": { "duration": "15m" }, "needs": [{ "do": "give_reason" }] },
                { "mode": "sftp", "terms": { "duration": "1h", "approvals": [{ "count": 1, "group": "leads" }] }, "refused": "approval_required" },
            ],
        }] })
    );
    for (query, found) in [("?host=web", 1), ("?host=web-1", 1), ("?host=db", 0), ("?limit=1", 1)] {
        let page: Value = list(&alice, query).json().unwrap();
        assert_eq!(page["items"].as_array().unwrap().len(), found, "{query}");
    }
    for query in [
        "?cursor=x",
        "?cursor=root@web-1",
        "?cursor=a@group/b",
        "?host=WEB",
        "?limit=0",
        "?limit=201",
        "?hosts=web",
        "?host=a&host=b",
    ] {
        assert_eq!(list(&alice, query).outcome(), "400 field_invalid", "{query}");
    }
    // A cursor may stand at an account that one has no part in: it can be read by nobody, and used in its session alone.
    let page: Value = list(&alice, "?limit=1").json().unwrap();
    let cursor = page["next"].as_str().unwrap();
    let plain = BASE64URL_NOPAD.decode(cursor.as_bytes()).unwrap();
    assert!(!plain.windows(3).any(|part| part == b"web") && !cursor.contains("web"), "{cursor}");
    let rest = format!("?cursor={cursor}");
    assert_eq!(list(&alice, &rest).json::<Value>().unwrap(), json!({ "items": [] }));
    // Who is in no group of these sees nothing.
    let key = Key::new().unwrap();
    let body = site.login_body(&site.corp, &key, |nonce| site.corp.claims("erin", &["nobodies"], nonce));
    let (erin, _) = server.log_in(&key, &site.sign_login(&key, &body));
    assert_eq!(list(&erin, "").json::<Value>().unwrap(), json!({ "items": [] }));
    assert_eq!(list(&erin, &rest).outcome(), "400 field_invalid");
}

#[test]
fn a_person_asks_why_not_and_what_there_is() {
    let provider = NodeProvider::start().unwrap();
    let mut corp = ca::Issuer::new("corp", provider.issuer(), &["sre"]);
    corp.lines = "scopes = [\"openid\", \"profile\", \"email\", \"groups\"]".to_owned();
    let ca = Ca::start(&Setup {
        issuers: vec![corp],
        policy: POLICY.to_owned(),
        inventory: "[[group]]\nname = \"web\"\nlogins = [\"deploy\", \"root\"]\n\
                    [[host]]\nname = \"web-1\"\ngroups = [\"web\"]\naddress = \"192.0.2.11\"\n"
            .to_owned(),
        ..Setup::default()
    })
    .unwrap();
    let alice = Person::new().unwrap();
    alice.setup(&ca).unwrap();
    alice.run(["explain", "deploy@web-1"]).unwrap().code(5).unwrap();
    let nothing: [&str; 0] = [];
    alice.login(nothing, |url| browser::log_in(url, "alice")).unwrap().ok().unwrap();

    // Denied, and what would do, with its own exit code and nothing on stderr.
    let denied =
        alice.run(["explain", "deploy@web-1", "--action", "shell", "--for", "1h"]).unwrap().code(3).unwrap();
    assert_eq!(denied.err, "");
    for text in [
        "denied",
        "It would be allowed with a reason and for at most 15m:\n    jit-ssh login deploy@web-1 --for 15m --reason '…'\n",
    ] {
        assert!(denied.out.contains(text), "{}", denied.out);
    }
    let json = alice
        .run(["explain", "deploy@web-1", "--for", "1h", "--json"])
        .unwrap()
        .code(3)
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(json["advice"][0]["command"], "jit-ssh login deploy@web-1 --for 15m --reason '…'", "{json}");
    assert_eq!(json["advice"][0]["with"][0], json!({ "do": "give_reason" }));
    // What it says is followed, and holds.
    let follow = ["login", "deploy@web-1", "--for", "15m", "--reason", "OPS-7"];
    let explained = alice.run(["explain"].iter().chain(&follow[1..])).unwrap().ok().unwrap();
    for text in [
        "allowed",
        "15m",
        "shell on deploy@web-1 by web",
        "jit-ssh login deploy@web-1 --for 15m --reason 'OPS-7'",
    ] {
        assert!(explained.out.contains(text), "{}", explained.out);
    }
    alice.run(follow).unwrap().ok().unwrap();
    let pending = alice.run(["explain", "deploy@web-1", "--mode", "sftp"]).unwrap().code(4).unwrap();
    for text in ["needs approval, which cannot be asked for yet", "1 approval of leads"] {
        assert!(pending.out.contains(text), "{}", pending.out);
    }
    // No command is told that would be refused.
    assert!(!pending.out.contains("jit-ssh login"), "{}", pending.out);
    let json = alice.run(["explain", "deploy@web-1", "--mode", "sftp", "--json"]).unwrap().code(4).unwrap();
    let json = json.json().unwrap();
    assert_eq!((&json["answer"], &json["command"]), (&json!("pending"), &Value::Null), "{json}");
    // Nor for break-glass, which cannot be asked for: where it is asked about, and where it is a way out.
    let forward = ["explain", "deploy@web-1", "--mode", "forward"];
    let way = alice.run(forward).unwrap().code(3).unwrap();
    let words = "It would be allowed under break-glass (which cannot be asked for yet).";
    assert!(way.out.contains(words) && !way.out.contains("jit-ssh login"), "{}", way.out);
    let glass = alice.run(forward.iter().chain(&["--break-glass"])).unwrap().ok().unwrap();
    let words = "allowed under break-glass, which cannot be asked for yet";
    assert!(glass.out.contains(words) && !glass.out.contains("jit-ssh login"), "{}", glass.out);
    let json = alice.run(forward.iter().chain(&["--break-glass", "--json"])).unwrap().ok().unwrap();
    let json = json.json().unwrap();
    assert_eq!((&json["answer"], &json["command"]), (&json!("allowed"), &Value::Null), "{json}");
    let way = alice.run(forward.iter().chain(&["--break-glass", "--for", "1h"])).unwrap().code(3).unwrap();
    let words = "It would be allowed for at most 20m (which cannot be asked for yet).";
    assert!(way.out.contains(words) && !way.out.contains("jit-ssh login"), "{}", way.out);
    let refused = alice.run(["login", "deploy@web-1", "--mode", "forward"]).unwrap().code(3).unwrap();
    assert!(
        refused.err.contains("which cannot be asked for yet") && !refused.err.contains("Run:"),
        "{}",
        refused.err
    );

    let listed = alice.run(["ls"]).unwrap().ok().unwrap().out;
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect())
        .collect();
    assert_eq!(
        rows,
        [
            ["ACCOUNT", "MODES", "AT MOST", "NEEDS"],
            ["deploy@web-1", "shell+agent", "15m", "a reason"],
            ["deploy@web-1", "sftp", "1h", "1 approval of leads (which cannot be asked for yet)"],
        ]
    );
    let json = alice.run(["ls", "w*-1", "--json"]).unwrap().ok().unwrap().json().unwrap();
    assert_eq!(
        (&json["accounts"][0]["address"], &json["more"]),
        (&json!("192.0.2.11"), &json!(false)),
        "{json}"
    );
    let refused = &json["accounts"][0]["modes"][1]["refused"];
    assert_eq!(refused, &json!("approval_required"), "{json}");
    let none = alice.run(["ls", "root@"]).unwrap().ok().unwrap();
    assert!(none.out.is_empty() && none.err.contains("jit-ssh explain"), "{}", none.err);
}
