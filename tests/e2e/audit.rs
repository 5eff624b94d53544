//! The ledger as those see it who may audit, and as nobody else does: over HTTP, and with `jit-ssh log`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use jit_ssh_proto::Salt;
use jit_ssh_proto::event::Event;
use jit_ssh_proto::wire::{LogItem, LogPage};
use jit_ssh_tests::api::{Call, Key, Session, Signing, access_body};
use jit_ssh_tests::client::Person;
use jit_ssh_tests::http::{Answer, send_to_the_end};
use jit_ssh_tests::process::{Process, Stream};
use serde_json::{Value, json};

use crate::stand::{POLICY, Server, Site};

const AUDITORS: &str = "@id(\"auditors\") permit (principal in Group::\"auditors\", action == Action::\"audit\", resource);\n\
                        @id(\"all\") @break_glass permit (principal in Group::\"sre\", action, resource);";

/// A CA with auditors.
pub(crate) fn site(more: &str) -> Site {
    let site = Site::new();
    let map = "\"platform-sre\" = [\"sre\"]\n";
    site.write(
        "ca.toml",
        &(site.config().replace(map, &format!("{map}\"audit\" = [\"auditors\"]\n")) + more),
    );
    site.write("policies/20-auditors.cedar", AUDITORS);
    assert!(POLICY.contains("no-root"));
    site
}

/// A session of somebody in the group auditors.
pub(crate) fn auditor(site: &Site, server: &Server) -> Session {
    let key = Key::new().unwrap();
    let body = site.login_body(&site.corp, &key, |nonce| site.corp.claims("grace", &["audit"], nonce));
    server.log_in(&key, &site.sign_login(&key, &body)).0
}

fn get(session: &Session, path: &str) -> Call {
    Call::plain("GET", path).with("authorization", &session.bearer())
}

fn page(server: &Server, session: &Session, query: &str) -> LogPage {
    let answer = server.send(&get(session, &format!("/v1/events?{query}")));
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json().unwrap()
}

/// An item's event, its leaf recomputed.
fn event(item: &LogItem) -> Value {
    let text = item.event.as_ref().unwrap().get();
    let salt: Salt = item.salt.as_ref().unwrap().parse().unwrap();
    assert_eq!(item.leaf, data_encoding::HEXLOWER.encode(&Event::leaf(&salt, text.as_bytes())), "{text}");
    serde_json::from_str(text).unwrap()
}

fn kinds(items: &[LogItem]) -> Vec<String> {
    items.iter().map(|item| event(item)["type"].as_str().unwrap().to_owned()).collect()
}

/// A request of a session: for an account, for a reason.
pub(crate) fn ask(site: &Site, server: &Server, session: &Session, account: &str, reason: &str) -> Answer {
    let signing = Signing::new(&site.ca, &session.key, Some(&session.id));
    let mut body = access_body(&site.ca, &session.key, &Key::new().unwrap(), signing.id).unwrap();
    body.accounts = vec![account.to_owned()];
    body.reason = reason.to_owned();
    let call = signing.call("POST", "/v1/requests", serde_json::to_vec(&body).unwrap()).unwrap();
    server.send(&call.with("authorization", &session.bearer()))
}

/// Alice gets to two hosts and not further, bob gets to one.
fn history(site: &Site, server: &Server) {
    let (alice, bob) = (server.session(site, "alice"), server.session(site, "bob"));
    for (session, account, reason, status) in [
        (&alice, "deploy@web-1", "OPS-7 disk", 201),
        (&alice, "deploy@web-2", "OPS-8", 201),
        (&alice, "root@web-1", "OPS-9", 403),
        (&bob, "deploy@web-1", "=HYPERLINK(1)", 201),
        (&bob, "deploy@db-1", "let me", 403),
    ] {
        assert_eq!(ask(site, server, session, account, reason).status, status, "{account} {reason}");
    }
}

#[test]
fn an_auditor_reads_everything_and_others_learn_nothing() {
    let site = site("");
    let server = site.serve();
    history(&site, &server);
    let (grace, alice) = (auditor(&site, &server), server.session(&site, "alice"));
    let all = page(&server, &grace, "limit=1000");
    assert_eq!(all.items.len(), site.ledger().len());
    for (item, recorded) in all.items.iter().zip(site.ledger()) {
        assert_eq!(event(item), serde_json::to_value(&recorded).unwrap());
    }
    assert!(!all.more && all.next == Some((all.items.len() - 1).to_string()));
    // Whatever the others ask, sensible or not, the answer is one and says nothing of the ledger.
    let before = site.ledger().len();
    let refused: BTreeSet<(u16, String)> =
        ["", "?user=alice", "?user=nobody", "?serial=1", "?wait=30", "?bogus=1", "?after=99999"]
            .into_iter()
            .flat_map(|query| {
                let call = get(&alice, &format!("/v1/events{query}"));
                [call.clone(), call.with("accept", "application/x-ndjson")]
            })
            .map(|call| server.send(&call))
            .map(|answer| (answer.status, answer.text()))
            .collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    let (status, text) = refused.first().unwrap();
    assert!(*status == 403 && text.contains("no_access") && !text.contains("auditors"), "{text}");
    assert_eq!(site.ledger().len(), before, "and nothing is recorded");
    // A permit for everything is none for the ledger; the policy of tomorrow counts tomorrow.
    drop(server);
    site.write("policies/20-auditors.cedar", "permit (principal, action, resource);");
    let server = site.serve();
    assert_eq!(server.send(&get(&grace, "/v1/events")).outcome(), "403 no_access");
}

#[test]
fn filters_pages_and_their_mistakes() {
    let site = site("");
    let server = site.serve();
    history(&site, &server);
    let grace = auditor(&site, &server);
    for (query, expected) in [
        ("type=request.decided", 5),
        ("type=request.decided&user=alice", 3),
        ("type=certificate.issued", 3),
        ("type=certificate.issued&host=web-1", 2),
        ("host=web-1", 5),
        ("host=db-1", 1),
        ("action=shell&user=bob", 3),
        ("policy=no-root", 1),
        ("policy=sre", 3),
        ("serial=2", 1),
        ("grep=ops-7", 1),
        ("grep=nothing", 0),
        ("user=alice&type=session.opened", 1),
        ("since=1&until=2", 0),
    ] {
        let found = page(&server, &grace, query);
        assert_eq!(found.items.len(), expected, "{query}: {:?}", kinds(&found.items));
        assert!(!found.more, "{query}");
    }
    let grant = event(&page(&server, &grace, "serial=2").items[0])["grant"].as_str().unwrap().to_owned();
    let under = kinds(&page(&server, &grace, &format!("grant={grant}")).items);
    assert_eq!(under, ["request.decided", "certificate.issued"]);
    // Page by page, either way, it is the same ledger.
    let whole: Vec<u64> = page(&server, &grace, "").items.iter().map(|item| item.index).collect();
    for (order, cursor) in [("asc", "after"), ("desc", "before")] {
        let (mut found, mut at) = (Vec::new(), String::new());
        loop {
            let part = page(&server, &grace, &format!("order={order}&limit=3{at}"));
            assert!(part.items.len() <= 3);
            found.extend(part.items.iter().map(|item| item.index));
            match part.next.filter(|_| part.more) {
                Some(next) => at = format!("&{cursor}={next}"),
                None => break,
            }
        }
        if order == "desc" {
            found.reverse();
        }
        assert_eq!(found, whole, "{order}");
    }
    for (query, what) in [
        ("usr=alice", "usr is not a filter"),
        ("user=alice&user=bob", "user is there twice"),
        ("limit=0", "limit is not a number from 1 to 1000"),
        ("limit=1001", "limit is not a number from 1 to 1000"),
        ("order=up", "order is not asc or desc"),
        ("order=asc&order=asc", "order is there twice"),
        ("wait=31", "wait is not a number of seconds up to 30"),
        ("wait=1&order=desc", "wait is for order=asc"),
        ("since=yesterday", "since is not a time"),
        ("after=-1", "after is not a cursor"),
        ("host=WEB-1", "host is not the name of a host"),
        ("grep=%1b", "grep is not visible text"),
        ("serial=x", "serial is not a serial"),
    ] {
        let answer = server.send(&get(&grace, &format!("/v1/events?{query}")));
        assert_eq!(answer.outcome(), "400 field_invalid", "{query}");
        assert!(answer.text().contains(what), "{query}: {}", answer.text());
    }
}

#[test]
fn who_waits_is_told_at_once_and_does_not_hold_up_a_stop() {
    let site = site("");
    let server = site.serve();
    let grace = auditor(&site, &server);
    let end = page(&server, &grace, "").next.unwrap();
    let query = format!("user=alice&after={end}&wait=30");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| page(&server, &grace, &query));
        // Others' events do not end the wait.
        server.session(&site, "bob");
        assert!(!waits.is_finished());
        server.session(&site, "alice");
        assert_eq!(kinds(&waits.join().unwrap().items), ["session.opened"]);
    });
    let nothing = page(&server, &grace, "user=alice&after=99&wait=1");
    assert_eq!((nothing.items.len(), nothing.next.as_deref(), nothing.more), (0, Some("99"), false));
    // A stop does not wait for those who wait.
    let address = server.address;
    let call = get(&grace, "/v1/events?after=99&wait=30");
    let waits = std::thread::spawn(move || jit_ssh_tests::http::send(address, &call));
    let said = server.stop();
    assert!(!said.contains("did not end in time"), "{said}");
    // The call either was answered in good order or came too late to be taken.
    if let Ok(answer) = waits.join().unwrap() {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[test]
fn an_export_is_whole_and_recorded() {
    let site = site("");
    let server = site.serve();
    history(&site, &server);
    let grace = auditor(&site, &server);
    let export = |query: &str| {
        let call = get(&grace, &format!("/v1/events{query}"))
            .with("accept", "application/json;q=0.1, application/x-ndjson");
        let answer = send_to_the_end(server.address, &call).unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<LogItem>>()
    };
    let before = site.ledger();
    let all = export("");
    assert_eq!(all.len(), before.len(), "everything up to the moment of asking");
    for (item, recorded) in all.iter().zip(&before) {
        assert_eq!(event(item), serde_json::to_value(recorded).unwrap());
    }
    let narrowed = export("?user=alice&type=certificate.issued&order=desc&limit=1");
    assert_eq!((narrowed.len(), event(&narrowed[0])["serial"].as_u64()), (1, Some(2)));
    let recorded: Vec<Value> = site
        .ledger()
        .iter()
        .map(|event| serde_json::to_value(event).unwrap())
        .filter(|event| event["type"] == "log.exported")
        .collect();
    let filters: Vec<&Value> = recorded.iter().map(|event| &event["filter"]).collect();
    assert_eq!(filters, [&json!({}), &json!({"type": "certificate.issued", "user": "alice"})]);
    assert!(recorded.iter().all(|event| event["actor"]["name"] == "grace" && event["source"] == "127.0.0.1"));
    let waiting = get(&grace, "/v1/events?wait=1").with("accept", "application/x-ndjson");
    assert_eq!(server.send(&waiting).outcome(), "400 field_invalid");
}

#[test]
fn a_session_is_refused_so_often_and_then_not_even_recorded() {
    let site = site("[limits]\nrefused = 3\n");
    let server = site.serve();
    let (alice, bob) = (server.session(&site, "alice"), server.session(&site, "bob"));
    for _ in 0..3 {
        assert_eq!(ask(&site, &server, &alice, "deploy@db-1", "x").status, 403);
    }
    let state = site.state();
    for account in ["deploy@db-1", "deploy@web-1"] {
        let answer = ask(&site, &server, &alice, account, "x");
        assert_eq!(answer.outcome(), "429 too_many_requests");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        let detail = answer.problem().unwrap().detail;
        assert!(detail.contains(": ask again in "), "{detail}");
    }
    assert_eq!(site.state(), state, "nothing of it is kept");
    // Others, and this identity's other sessions, are not touched by it.
    assert_eq!(ask(&site, &server, &bob, "deploy@web-1", "x").status, 201);
    assert_eq!(ask(&site, &server, &server.session(&site, "alice"), "deploy@web-1", "x").status, 201);
}

/// Somebody at a machine of their own with a session that is open.
fn person(server: &Server, site: &Site, session: &Session) -> Person {
    person_at(server.address, server, site, session)
}

/// The same, who knows the server at another address.
pub(crate) fn person_at(address: SocketAddr, server: &Server, site: &Site, session: &Session) -> Person {
    let person = Person::new().unwrap();
    let trust = server.said().lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(line["trust"].as_str()?.to_owned())
    });
    let url = format!("http://{address}");
    person.run(["setup", &url, "--trust", &trust.unwrap()]).unwrap().ok().unwrap();
    let info: Value = server.send(&get(session, "/v1/sessions/current")).json().unwrap();
    let key = session.key.private.to_openssh(ssh_key::LineEnding::LF).unwrap();
    let kept = json!({ "ca_id": site.ca, "info": info, "token": session.token, "key": key.as_str() });
    let folder = person.runtime();
    std::fs::create_dir_all(&folder).unwrap();
    private(&folder, 0o700);
    std::fs::write(folder.join("session.json"), kept.to_string()).unwrap();
    private(&folder.join("session.json"), 0o600);
    person
}

fn private(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn jit_ssh_log_searches_exports_and_reports() {
    let site = site("");
    let server = site.serve();
    history(&site, &server);
    let grace = person(&server, &site, &auditor(&site, &server));
    let log = |arguments: &[&str]| {
        let arguments = std::iter::once("log").chain(arguments.iter().copied());
        grace.run(arguments).unwrap()
    };
    let out = |arguments: &[&str]| log(arguments).ok().unwrap_or_else(|e| panic!("{arguments:?}: {e:#}")).out;
    let table = out(&["--user", "alice", "--host", "web-1"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("LEAF") && lines.len() == 4, "{table}");
    assert!(lines[1].contains("corp/alice") && lines[1].contains("granted by sre (OPS-7 disk)"), "{table}");
    assert!(lines[3].contains("denied, forbidden by no-root (OPS-9)"), "{table}");
    // The newest come last, and fewer of them.
    let two = out(&["--event", "certificate.issued", "--limit", "2"]);
    assert!(two.contains("serial 2") && two.contains("serial 3") && !two.contains("serial 1,"), "{two}");
    // JSON is what is recorded, and all of it.
    let items: Vec<LogItem> =
        out(&["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(items.iter().all(|item| event(item)["v"] == 1));
    assert!(kinds(&items).contains(&"ca.initialised".to_owned()));
    // A spreadsheet calculates nothing.
    let csv = out(&["--csv", "--user", "bob"]);
    assert!(csv.starts_with("leaf,time,event,who,") && csv.contains(",\"'=HYPERLINK(1)\","), "{csv}");
    // Times as people write them.
    assert_eq!(out(&["--since", "1h", "--event", "session.opened", "--json"]).lines().count(), 3);
    assert_eq!(out(&["--until", "2026-01-01", "--json"]), "");
    for (arguments, code) in [
        (&["--since", "yesterday"][..], 2),
        (&["--host", "WEB"], 2),
        (&["--json", "--csv"], 2),
        (&["--limit", "0"], 2),
    ] {
        log(arguments).code(code).unwrap();
    }
    let report = out(&["report", "--since", "1d"]);
    for line in ["corp/alice", "Denied", "forbidden by no-root", "Break-glass\nnone recorded", "user       3"]
    {
        assert!(report.contains(line), "{line}: {report}");
    }
    let report: Value = serde_json::from_str(&out(&["report", "--json"])).unwrap();
    assert_eq!(report["report"]["people"]["corp/alice"]["certificates"], 2);
    assert_eq!(report["report"]["hosts"]["web-1"]["people"], json!(["corp/alice", "corp/bob"]));
    assert_eq!(report["report"]["unused"], json!({}));
    // Who may not is told so, with the exit code for it, and sees nothing.
    let alice = person(&server, &site, &server.session(&site, "alice"));
    for arguments in
        [&["log"][..], &["log", "--json"], &["log", "report"], &["log", "--follow"], &["log", "monitor"]]
    {
        let refused = alice.run(arguments).unwrap().code(3).unwrap();
        assert!(refused.out.is_empty() || refused.out.starts_with("LEAF"), "{arguments:?}: {}", refused.out);
        assert!(refused.err.contains("No policy lets you read the ledger"), "{}", refused.err);
    }
}

#[test]
fn follow_and_monitor_print_what_comes() {
    let site = site("");
    let server = site.serve();
    history(&site, &server);
    let session = auditor(&site, &server);
    let grace = person(&server, &site, &session);
    let follow = grace.start(["log", "--follow", "--user", "alice", "--limit", "1"]).unwrap();
    let json =
        grace.start(["log", "--follow", "--json", "--event", "session.opened", "--limit", "1"]).unwrap();
    let seen = |process: &Process, text: &str| {
        process.line(Stream::Out, text, |line| line.contains(text).then_some(())).unwrap();
    };
    seen(&follow, "denied, forbidden by no-root");
    seen(&json, "session.opened");
    let monitor = grace.start(["log", "monitor", "--policy", "sre", "--host", "web-2"]).unwrap();
    seen(&monitor, "LEAF");
    // What the monitor is to pass over, and what it is to show.
    let alice = server.session(&site, "alice");
    for account in ["deploy@web-1", "alice@web-2", "deploy@web-2"] {
        assert_eq!(ask(&site, &server, &alice, account, "later").status, 201, "{account}");
    }
    seen(&follow, "granted by own (later)");
    seen(&json, "corp");
    seen(&monitor, "serial 6, shell:deploy@web-2");
    for process in [follow, json, monitor] {
        process.terminate().unwrap();
        let output = process.wait().unwrap();
        assert!(!output.err.contains("error"), "{}", output.err);
        let watched = output.err.contains("Watching from event");
        assert!(!watched || output.out.lines().count() == 2, "{}", output.out);
    }
}

#[test]
fn the_operator_narrows_too_and_reads_what_later_versions_wrote() {
    let site = site("");
    let server = site.serve();
    history(&site, &server);
    drop(server);
    // A later version was here, and went.
    let later =
        r#"{"v":1,"time":1795329819,"actor":{"by":"operator"},"type":"lock.placed","on":"\u001b[2Jkey"}"#;
    site.execute(&format!(
        "UPDATE events SET kind = 'lock.placed', body = CAST('{later}' AS BLOB) WHERE leaf = 1"
    ));
    let lines = |arguments: &[&str]| site.log_show(arguments).lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&["--where", "user=bob"]).len(), 4);
    assert_eq!(lines(&["--where", "user=alice", "--where", "host=web-1", "--json"]).len(), 3);
    assert_eq!(lines(&["--where", "until=2026-01-01T00:00:00Z"]), [""; 0]);
    let shown = lines(&["--where", "type=lock.placed"]);
    assert!(shown.len() == 1 && shown[0].contains("operator") && shown[0].contains("key"), "{shown:?}");
    assert!(!shown[0].contains('\u{1b}'), "{shown:?}");
    assert!(lines(&["--where", "type=lock.placed", "--json"])[0].contains("\"on\":"));
    assert_eq!(lines(&["--where", "since=2h", "--where", "type=session.opened"]).len(), 2);
    assert!(
        site.log_show_refused("type=nope").contains("no event is of the type nope: use ca.initialised, ")
    );
    let loaded = lines(&["--where", "type=policy.loaded", "--json"]);
    assert!(!loaded.last().unwrap().contains("previous"), "the first set came after none");
}
