//! What is in a body: keys, accounts, durations, commands, texts.

use std::process::Command;

use data_encoding::BASE64;
use jit_ssh_proto::Code;
use jit_ssh_tests::api::{Key, proof};
use serde_json::{Value, json};

use super::{Desk, Row, row, set};

#[test]
fn keys_that_are_none_or_not_good_enough() {
    let desk = Desk::new();
    let good = desk.key.public.to_string();
    let (name, blob) = good.split_once(' ').unwrap();
    let certificate = desk.server.send(&desk.access(|_| {})).json::<Value>().unwrap()["certificate"]
        .as_str()
        .unwrap()
        .to_owned();
    let disguised = format!("ssh-ed25519 {}", certificate.split(' ').nth(1).unwrap());
    let rsa_2048 = generated("rsa", "2048");
    let p256 = generated("ecdsa", "256");
    let dsa = format!("ssh-dss {}", BASE64.encode(&dsa_blob()));
    let cases = [
        ("no key", Code::KeyMalformed, String::new()),
        ("words", Code::KeyMalformed, "not a key".to_owned()),
        ("a key without its kind", Code::KeyMalformed, blob.to_owned()),
        ("a key under another kind's name", Code::KeyMalformed, format!("ecdsa-sha2-nistp256 {blob}")),
        ("half a key", Code::KeyMalformed, format!("{name} {}", &blob[..40])),
        ("a key and more bytes", Code::KeyMalformed, format!("{name} {blob}AAAA")),
        ("two keys", Code::KeyMalformed, format!("{good}\n{good}")),
        ("a long line", Code::KeyMalformed, format!("{good} {}", "x".repeat(5000))),
        ("a private key", Code::KeyMalformed, "-----BEGIN OPENSSH PRIVATE KEY-----".to_owned()),
        ("a certificate", Code::KeyIsCertificate, certificate),
        ("a certificate under a key's name", Code::KeyIsCertificate, disguised),
        ("RSA of 2048 bits", Code::KeyTooWeak, rsa_2048),
        ("DSA", Code::KeyAlgorithm, dsa),
        // Good keys that the proof is not by.
        ("another kind of key than the proof's", Code::PossessionInvalid, p256),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (what, code, key) in cases {
        let (says, login_says) = if code == Code::PossessionInvalid { ("proof", "") } else { ("key", "key") };
        rows.push(row(what, code, says, desk.access(set("key", json!(key)))));
        rows.push(row(what, code, says, desk.login(|body| body["request"]["key"] = json!(key))));
        if !login_says.is_empty() {
            let call = desk.login(|body| body["session_key"] = json!(key));
            rows.push(row(what, code, "session_key", call));
        }
    }
    desk.check(rows);
}

#[test]
fn invariant_6_a_key_that_nobody_proved_to_hold_is_not_certified() {
    let desk = Desk::new();
    let (ca, session) = (&desk.site.ca, &desk.session.key);
    let other = Key::new().unwrap();
    let other_ca = jit_ssh_proto::CaId::from_bytes([7; 32]);
    let (id, another_id) = ([1; 16], [2; 16]);
    let possession = |what: &'static str, proof: String| {
        row(what, Code::PossessionInvalid, "proof", desk.access_with(id, set("proof", json!(proof))))
    };
    let earlier = desk.access_with(another_id, |_| {});
    assert_eq!(desk.server.send(&earlier).status, 201);
    let replayed = serde_json::from_slice::<Value>(&earlier.body).unwrap()["proof"].clone();
    let rows = vec![
        possession("no proof", String::new()),
        possession("not base64url", "***".to_owned()),
        possession("not a signature", "AAAA".to_owned()),
        possession("by another key", proof(ca, session, &other, id).unwrap()),
        possession("replayed from another call", replayed.as_str().unwrap().to_owned()),
        possession("for another session", proof(ca, &other, &desk.key, id).unwrap()),
        possession("for another CA", proof(&other_ca, session, &desk.key, id).unwrap()),
        row("the session's own key", Code::PossessionInvalid, "session key", {
            desk.access_with(id, |body| {
                body["key"] = json!(session.public.to_string());
                body["proof"] = json!(proof(ca, session, session, id).unwrap());
            })
        }),
    ];
    desk.check(rows);
}

#[test]
fn accounts_durations_commands_and_texts() {
    let desk = Desk::new();
    let account = |what, code, account: &str| {
        row(what, code, "accounts", desk.access(set("accounts", json!([account]))))
    };
    let duration =
        |what, code, text: &str| row(what, code, "duration", desk.access(set("duration", json!(text))));
    let command = |what, text: &str| {
        row(what, Code::CommandInvalid, "command", {
            desk.access(|body| {
                body["mode"] = json!("exec");
                body["command"] = json!(text);
            })
        })
    };
    let text = |what, field: &'static str, text: &str| {
        row(what, Code::TextInvalid, field, desk.access(set(field, json!(text))))
    };
    let decided = |what, code, says, account: &str| Row {
        events: 1,
        ..row(what, code, says, desk.access(set("accounts", json!([account]))))
    };
    let rows = vec![
        row("no account", Code::AccountInvalid, "accounts", desk.access(set("accounts", json!([])))),
        row("one account twice", Code::AccountInvalid, "accounts", {
            desk.access(set("accounts", json!(["deploy@web-1", "deploy@web-1"])))
        }),
        row("too many accounts", Code::AccountInvalid, "accounts", {
            let accounts: Vec<String> = (0..33).map(|at| format!("deploy@web-{at}")).collect();
            desk.access(set("accounts", json!(accounts)))
        }),
        account("no host", Code::AccountInvalid, "deploy"),
        account("an empty login", Code::AccountInvalid, "@web-1"),
        account("an empty host", Code::AccountInvalid, "deploy@"),
        account("capitals", Code::AccountInvalid, "Deploy@web-1"),
        account("a login with a slash", Code::AccountInvalid, "../root@web-1"),
        account("a login with a comma", Code::AccountInvalid, "deploy,root@web-1"),
        account("a login with a newline", Code::AccountInvalid, "deploy\nroot@web-1"),
        account("a login with NUL", Code::AccountInvalid, "deploy\0@web-1"),
        account("a wildcard", Code::AccountInvalid, "*@web-1"),
        account("a host that is a wildcard", Code::AccountInvalid, "deploy@*"),
        account("two hosts", Code::AccountInvalid, "deploy@web-1@web-2"),
        account("a letter that looks like another", Code::AccountInvalid, "d\u{0435}ploy@web-1"),
        account("a login of 300 letters", Code::AccountInvalid, &format!("{}@web-1", "a".repeat(300))),
        account("a group without a name", Code::AccountInvalid, "deploy@group/"),
        duration("zero", Code::DurationInvalid, "0s"),
        duration("zero days", Code::DurationInvalid, "0d"),
        duration("negative", Code::DurationInvalid, "-5m"),
        duration("no unit", Code::DurationInvalid, "600"),
        duration("a fraction", Code::DurationInvalid, "1.5h"),
        duration("nothing", Code::DurationInvalid, ""),
        duration("words", Code::DurationInvalid, "forever"),
        duration("beyond the maximum", Code::DurationTooLong, "9h"),
        duration("beyond a day", Code::DurationTooLong, "25h"),
        duration("overflow in seconds", Code::DurationTooLong, "99999999999999999999s"),
        duration("overflow in days", Code::DurationTooLong, "18446744073709551615d"),
        command("no command", ""),
        command("spaces", "   "),
        command("a newline", "uptime\nreboot"),
        command("a carriage return", "uptime\rreboot"),
        command("NUL", "uptime\0"),
        command("an escape", "uptime \u{1b}[2J"),
        command("right to left", "rm \u{202e}/ -fr"),
        command("a long one", &"x".repeat(4097)),
        command("another mode's", "internal-sftp"),
        row(
            "exec without a command",
            Code::CommandInvalid,
            "command",
            desk.access(set("mode", json!("exec"))),
        ),
        row(
            "a command in a shell",
            Code::CommandInvalid,
            "command",
            desk.access(set("command", json!("uptime"))),
        ),
        text("a newline in the reason", "reason", "disk full\ninjected"),
        text("NUL in the reason", "reason", "disk\0"),
        text("an escape in the reason", "reason", "\u{1b}]0;title\u{7}"),
        text("right to left in the reason", "reason", "\u{202e}lluf ksid"),
        text("an isolate in the reason", "reason", "\u{2066}x\u{2069}"),
        text("nothing visible in the reason", "reason", "a\u{200b}b"),
        text("a long reason", "reason", &"x".repeat(1001)),
        text("a newline in the ticket", "ticket", "OPS-7\n"),
        row("mode jump", Code::NotAvailable, "jump", desk.access(set("mode", json!("jump")))),
        row("a modifier twice", Code::FieldInvalid, "modifiers", {
            desk.access(set("modifiers", json!(["agent", "agent"])))
        }),
        row("a modifier of sftp", Code::FieldInvalid, "modifiers", {
            desk.access(|body| {
                body["mode"] = json!("sftp");
                body["modifiers"] = json!(["agent"]);
            })
        }),
        row("a short salt", Code::FieldInvalid, "salt", desk.login(|body| body["salt"] = json!("AAAA"))),
        row("a salt with padding", Code::FieldInvalid, "salt", {
            desk.login(|body| body["salt"] = json!(format!("{}=", body["salt"].as_str().unwrap())))
        }),
        // Decisions: recorded, and alike for what is not there and what one has no part in.
        decided("an unknown host", Code::NoAccess, "policy", "deploy@web-9"),
        decided("a login that the host does not offer", Code::NoAccess, "policy", "carol@web-1"),
        decided("a host that one has no part in", Code::NoAccess, "policy", "deploy@db-1"),
        decided("a login that a policy forbids", Code::Forbidden, "root is not for everyday", "root@web-1"),
        Row {
            events: 1,
            ..row("longer than policy allows", Code::DurationDenied, "1h", {
                desk.access(set("duration", json!("2h")))
            })
        },
    ];
    desk.check(rows);
}

#[test]
fn unknown_hosts_and_hosts_one_has_no_part_in_answer_alike() {
    let desk = Desk::new();
    let answer = |account: &str| desk.server.send(&desk.access(set("accounts", json!([account])))).text();
    assert_eq!(answer("deploy@web-9"), answer("deploy@db-1"));
    assert_eq!(answer("deploy@web-9"), answer("nobody@web-1"));
}

fn generated(kind: &str, bits: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-b", bits, "-N", "", "-C", "", "-f"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
}

/// A DSA key's blob: `ssh-dss` and four numbers. Current ssh-keygen makes none any more.
fn dsa_blob() -> Vec<u8> {
    let mut blob = Vec::new();
    let mut number = |size: usize, bytes: &[u8]| {
        let mut padded = vec![0];
        padded.extend(bytes.iter().cycle().take(size));
        blob.extend(u32::try_from(padded.len()).unwrap().to_be_bytes());
        blob.extend(padded);
    };
    number(128, &[0xc5]);
    number(20, &[0xd3]);
    number(128, &[0xa1]);
    number(128, &[0xb7]);
    let mut whole = 7_u32.to_be_bytes().to_vec();
    whole.extend(b"ssh-dss");
    whole.extend(blob);
    whole
}
