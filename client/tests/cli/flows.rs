//! Ways to log in besides the browser, at a provider that misbehaves on command.

use std::io::Write;

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_proto::IssuerEntry;
use serde_json::json;

use super::*;

fn device() -> Value {
    json!({
        "device_code": "dc", "user_code": "WDJB-MJHT", "verification_uri": "http://127.0.0.1:9/device",
        "expires_in": 600, "interval": 0,
    })
}

fn token(payload: &Value) -> String {
    format!("e30.{}.c2ln", BASE64URL_NOPAD.encode(payload.to_string().as_bytes()))
}

fn given(payload: &Value) -> Value {
    json!({ "access_token": "a", "token_type": "Bearer", "id_token": token(payload) })
}

#[test]
fn a_code_is_asked_for_until_it_was_typed_in_and_how_it_ends_is_said() {
    let (fake, machine) = (Fake::start(), Machine::new());
    fake.set(|s| s.device = Some(device()));
    machine.set_up(&fake);
    let pending = || json!({ "error": "authorization_pending" });
    fake.set(|s| s.polled = vec![pending(), pending(), given(&json!({ "sub": "1" }))]);
    let ended = machine.run(&["login", "--device"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(
        ended.err.contains("\n  http://127.0.0.1:9/device\n") && ended.err.contains("\n  WDJB-MJHT\n"),
        "{}",
        ended.err
    );
    assert_eq!((fake.count("POST /op/token"), fake.count("POST /v1/sessions")), (3, 1));
    for (answer, why) in [
        (json!({ "error": "access_denied" }), "somebody declined it in the browser"),
        (json!({ "error": "expired_token" }), "nobody logged in at corp within 10 minutes"),
        (
            json!({ "error": "invalid_grant", "error_description": "no\u{1b}[2J" }),
            "(invalid_grant: no\\u{1b}[2J)",
        ),
        (json!({ "error": 7 }), "not understood"),
        (json!({ "access_token": "a", "token_type": "Bearer" }), "sent no ID token"),
        (given(&json!({ "nonce": "another" })), "nonce of another login"),
        (given(&json!([])), "not a signed JWT"),
    ] {
        fake.set(|s| s.polled = vec![answer]);
        let ended = machine.run(&["login", "--device"]);
        assert!(ended.code == 1 && ended.err.contains(why), "{why}: {}", ended.err);
    }
    assert_eq!(fake.count("POST /v1/sessions"), 1);
}

#[test]
fn a_device_endpoint_that_lies_is_not_asked_again() {
    let (fake, machine) = (Fake::start(), Machine::new());
    fake.set(|s| s.device = Some(device()));
    machine.set_up(&fake);
    for (name, lie, why) in [
        ("verification_uri", json!("http://op.example.com/device"), "plain http to another machine"),
        ("verification_uri", json!("javascript:alert(1)"), "not an https address"),
        ("verification_uri", json!("x"), "not understood"),
        ("verification_uri_complete", json!("file:///etc/passwd"), "not an https address"),
        ("user_code", json!("A\u{1b}]8;;https://evil\u{7}B"), "nobody can type"),
        ("user_code", json!("\n\n\n\n\n"), "nobody can type"),
        ("interval", json!(86_400), "only every 86400 s"),
        ("interval", json!("5"), "not understood"),
        ("expires_in", json!(-1), "not understood"),
        ("device_code", json!(null), "not understood"),
    ] {
        fake.set(|s| {
            let mut answer = device();
            answer[name] = lie.clone();
            s.device = Some(answer);
        });
        let ended = machine.run(&["login", "--device"]);
        assert!(ended.code == 1 && ended.err.contains(why), "{name} {lie}: {}", ended.err);
        assert!(!ended.err.contains('\u{1b}'), "{}", ended.err);
    }
    // What is over at once is over at once.
    fake.set(|s| {
        s.device.as_mut().unwrap()["device_code"] = json!("dc");
        s.device.as_mut().unwrap()["expires_in"] = json!(0);
        s.polled = vec![json!({ "error": "authorization_pending" }); 5];
    });
    let ended = machine.run(&["login", "--device"]);
    assert!(ended.code == 1 && ended.err.contains("nobody logged in"), "{}", ended.err);
    assert_eq!(fake.count("POST /v1/sessions"), 0);
    // Nor where there is none.
    fake.set(|s| s.device = None);
    let ended = machine.run(&["login", "--device"]);
    assert!(ended.code == 1 && ended.err.contains("takes the device grant"), "{}", ended.err);
}

#[test]
fn what_is_pasted_is_read_as_the_callback_is_and_never_shown() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    let mut command = machine.command(&["login", "--paste"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let page = lines.find(|line| line.contains("/op/authorize?")).unwrap();
    let page = url::Url::parse(page.trim()).unwrap();
    let asked = |name: &str| page.query_pairs().find(|(n, _)| n == name).unwrap().1.into_owned();
    let (redirect, state) = (asked("redirect_uri"), asked("state"));
    fake.set(|s| drop(s.pkce.insert("secret-code".into(), (asked("code_challenge"), asked("nonce")))));
    let mut seen = String::new();
    for (pasted, told) in [
        (format!("{redirect}?code=secret-code&state=guess"), "belongs to another login"),
        (format!("{redirect}?code=secret-code&state={state}&state={state}"), "twice"),
        (format!("{redirect}?code=secret-code&state={state}&iss=https://evil"), "another identity provider"),
        (format!("http://127.0.0.1:1/callback?code=secret-code&state={state}"), "another address"),
        ("secret-code".to_owned(), "not a whole address"),
    ] {
        writeln!(input, "{pasted}").unwrap();
        let line = lines.find(|line| line.contains("Paste the address")).unwrap();
        assert!(line.contains(told), "{told}: {line}");
        seen.push_str(&line);
    }
    writeln!(input, "{redirect}?code=secret-code&state={state}").unwrap();
    seen.extend(lines);
    let ended = child.wait().unwrap();
    assert!(ended.success() && seen.contains("Logged in as ada"), "{seen}");
    assert!(!seen.contains("secret-code") && !seen.contains(&state), "{seen}");
}

#[test]
fn a_provider_that_knows_one_port_gets_that_one_or_the_login_says_why_not() {
    let (fake, machine) = (Fake::start(), Machine::new());
    let theirs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = theirs.local_addr().unwrap().port();
    fake.set(|s| s.redirect_port = Some(port));
    machine.set_up(&fake);
    // Another program has it: no login is begun at the provider, which would send the browser there.
    let refused = machine.run(&["login", "--no-browser"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(!refused.err.contains("/op/authorize?"), "{}", refused.err);
    for said in [&format!("127.0.0.1:{port}"), "corp", "end the program", "--paste"] {
        assert!(refused.err.contains(said), "{said}: {}", refused.err);
    }
    // What is pasted needs no port.
    let mut command = machine.command(&["login", "--paste"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let page = lines.find(|line| line.contains("/op/authorize?")).unwrap();
    let page = url::Url::parse(page.trim()).unwrap();
    let asked = |name: &str| page.query_pairs().find(|(n, _)| n == name).unwrap().1.into_owned();
    let redirect = format!("http://127.0.0.1:{port}/callback");
    assert_eq!(asked("redirect_uri"), redirect);
    fake.set(|s| drop(s.pkce.insert("c".into(), (asked("code_challenge"), asked("nonce")))));
    writeln!(input, "{redirect}?code=c&state={}", asked("state")).unwrap();
    let rest: String = lines.collect();
    assert!(child.wait().unwrap().success() && rest.contains("Logged in as ada"), "{rest}");
    assert!(theirs.set_nonblocking(true).is_ok() && theirs.accept().is_err(), "the other program was asked");
    // Free again, it is where the browser comes back to.
    drop(theirs);
    machine.run(&["logout"]);
    let ended = machine.browse(&fake, &["login"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(
        ended.err.contains(&format!("redirect_uri=http%3A%2F%2F127.0.0.1%3A{port}%2Fcallback")),
        "{}",
        ended.err
    );
}

#[test]
fn a_denial_for_want_of_a_fresh_login_is_followed_by_one_and_no_more() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    let stale = || -> Problem {
        let advice = json!([{ "with": [{ "do": "login_again" }], "terms": { "duration": "30m" } }]);
        Problem::new(Code::NoAccess, "Not with a login this old.")
            .advising(serde_json::from_value(advice).unwrap())
    };
    assert_eq!(machine.browse(&fake, &["login"]).code, 0);
    fake.set(|s| s.refuse = vec![stale()]);
    let ended = machine.browse(&fake, &["login", "deploy@web-1"]);
    assert!(ended.code == 0 && ended.err.contains("logging in again, once"), "{}", ended.err);
    assert!(ended.err.contains("prompt=login") && ended.err.contains("max_age=0"), "{}", ended.err);
    assert!(ended.err.contains("corp does not say when you logged in there"), "{}", ended.err);
    // However often the CA says it.
    fake.set(|s| s.refuse = vec![stale(), stale(), stale()]);
    let ended = machine.browse(&fake, &["ssh", "deploy@web-2"]);
    assert!(ended.code == 3 && ended.err.contains("Not with a login this old (no_access)"), "{}", ended.err);
    assert_eq!(fake.state.lock().unwrap().refuse.len(), 1);
    // Another reason to say no is none to log in.
    fake.set(|s| s.refuse = vec![Problem::new(Code::NoAccess, "No.")]);
    assert_eq!(machine.run(&["login", "deploy@web-3", "--no-browser"]).code, 3);
}

fn ci() -> IssuerEntry {
    IssuerEntry {
        name: "ci".into(),
        url: "https://ci.example.com".into(),
        client_id: "https://ca.example.com".into(),
        client_secret: None,
        device_client_id: None,
        device_client_secret: None,
        audience: None,
        kind: "workload".into(),
        flows: vec!["token".into()],
        scopes: vec![],
        revalidate: false,
        redirect_port: None,
    }
}

#[test]
fn a_workloads_token_keeps_its_key_when_an_answer_is_lost_and_ssh_does_not_get_it() {
    let (fake, machine) = (Fake::start(), Machine::new());
    fake.set(|s| s.issuers = vec![ci()]);
    machine.set_up(&fake);
    let token = |n: u64| {
        token(&json!({ "iss": "https://ci.example.com", "sub": "job", "exp": 4_000_000_000_u64, "n": n }))
    };
    let run = |token: &str, args: &[&str]| {
        let output = machine.command(args).env("CI_TOKEN", token).env("OTHER", "kept").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    };
    let by_token = ["login", "--token-env", "CI_TOKEN"];
    fake.set(|s| s.lose_reply = true);
    let lost = run(&token(1), &by_token);
    assert!(lost.code != 0 && !lost.err.contains(&token(1)), "{}", lost.err);
    assert_eq!(run(&token(1), &by_token).code, 0);
    assert_eq!(run(&token(2), &by_token).code, 0);
    let presented = fake.state.lock().unwrap().presented.clone();
    assert_eq!(
        (presented.len(), presented[0] == presented[1], presented[1] == presented[2]),
        (3, true, false)
    );

    let ssh = machine.folder.path().join("ssh");
    fs::write(&ssh, "#!/bin/sh\nprintf '%s %s\\n' \"${CI_TOKEN-gone}\" \"${OTHER-gone}\"\n").unwrap();
    let connected = run(&token(2), &["ssh", "deploy@web-1", "--token-env", "CI_TOKEN"]);
    assert_eq!((connected.code, connected.out.as_str()), (0, "gone kept\n"), "{}", connected.err);
    // Logging out leaves no key of a token behind.
    assert_eq!(machine.run(&["logout"]).code, 0);
    for entry in fs::read_dir(machine.folder.path().join("runtime")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("token-") {
            let left = fs::read_to_string(&path).unwrap();
            assert!(left.contains("\"ended\":true") && !left.contains("PRIVATE"), "{left}");
        }
    }
}
