//! `jit-ssh-ca issuer check`: an entry held against a certified provider (panva's), by the operator and by somebody who
//! looks at a token of their own.

use jit_ssh_tests::browser;
use jit_ssh_tests::ca::{self, Data, Setup};
use jit_ssh_tests::client;
use jit_ssh_tests::process::{self, Output, Process, Stream};
use jit_ssh_tests::provider::NodeProvider;
use serde_json::Value;

fn data(url: &str, lines: &str) -> Data {
    let mut corp = ca::Issuer::new("corp", url, &["sre"]);
    corp.lines = format!(
        "scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\nallowed_domains = [\"example.com\"]\n{lines}"
    );
    Data::init(&Setup { issuers: vec![corp], ..Setup::default() }).unwrap()
}

fn check(data: &Data, arguments: &[&str]) -> Output {
    process::run(data.command().unwrap().args(["issuer", "check", "corp"]).arg(data.dir()).args(arguments))
        .unwrap()
}

/// What is bad.
fn bad(said: &Value) -> Vec<&str> {
    let findings = said["findings"].as_array().unwrap();
    findings.iter().filter(|f| f["grade"] == "bad").map(|f| f["what"].as_str().unwrap()).collect()
}

#[test]
fn an_entry_that_fits_and_entries_that_do_not() {
    let provider = NodeProvider::start().unwrap();
    let fits = data(provider.issuer(), "");
    let output = check(&fits, &[]).ok().unwrap();
    for word in [
        "ok    discovery",
        "ok    keys",
        "ok    clock",
        "ok    pkce",
        "ok    redirect",
        "127.0.0.1:PORT",
        "ok    client",
    ] {
        assert!(output.out.contains(word), "{word}: {}", output.out);
    }
    assert!(!output.out.contains("BAD"), "{}", output.out);
    let json = check(&fits, &["--json"]).ok().unwrap().json().unwrap();
    assert_eq!((bad(&json), &json["token"]), (vec![], &Value::Null));

    for (from, to, expected) in [
        ("client_id = \"jit-ssh\"", "client_id = \"somebody-else\"", vec!["redirect"]),
        ("allowed_domains", "algorithms = [\"ES384\"]\nallowed_domains", vec!["keys", "algorithms"]),
        ("username = \"preferred_username\"", "username = \"email\"", vec!["entry"]),
        // openid is asked for in any case, by the client too.
        ("scopes = [\"openid\", ", "scopes = [", vec![]),
        // A client for browsers that may do the device grant too.
        ("client_id = \"jit-ssh\"", "client_id = \"jit-ssh-device\"", vec!["redirect", "client"]),
        (
            "client_id = \"jit-ssh\"",
            "flows = [\"code\", \"device\"]\nclient_id = \"jit-ssh\"\ndevice_client_id = \"jit-ssh-public\"",
            vec!["device"],
        ),
    ] {
        let path = fits.dir().join("ca.toml");
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, before.replacen(from, to, 1)).unwrap();
        let output = check(&fits, &["--json"]).code(i32::from(!expected.is_empty())).unwrap();
        assert_eq!(bad(&output.json().unwrap()), expected, "{to}");
        std::fs::write(&path, before).unwrap();
    }
    for (arguments, says) in [
        (vec!["issuer", "check", "crop"], "it has corp"),
        (vec!["issuer", "check", "corp", "--token-file", "-"], "use --login"),
    ] {
        let mut command = fits.command().unwrap();
        let output = process::run(command.args(arguments).arg(fits.dir())).unwrap().code(1).unwrap();
        assert!(output.err.contains(says), "{}", output.err);
    }
    provider.away().unwrap();
    let output = check(&fits, &[]).code(1).unwrap();
    assert!(output.out.contains("BAD   discovery") && output.out.contains("503"), "{}", output.out);
}

#[test]
fn a_token_of_ones_own_is_shown_with_what_becomes_of_it() {
    let provider = NodeProvider::start().unwrap();
    for (person, lines, exit, says) in [
        ("alice", "", 0, vec!["\"groups\"", "\"sre\"", "name    corp/alice", "groups  sre"]),
        ("eve", "", 1, vec!["\"email_verified\": false", "nobody:", "email_not_verified"]),
    ] {
        let data = data(provider.issuer(), lines);
        let before = data.events().unwrap().len();
        let mut command = data.command().unwrap();
        command.args(["issuer", "check", "corp", "--login"]).arg(data.dir());
        let checking = Process::start(&mut command).unwrap();
        let address = checking.line(Stream::Err, "the address to open", client::address).unwrap();
        browser::log_in(&address, person).unwrap();
        let output = checking.wait().unwrap().code(exit).unwrap();
        for word in says {
            assert!(output.out.contains(word), "{person}: {word}: {}", output.out);
        }
        assert_eq!(data.events().unwrap().len(), before, "a check was recorded");
    }
}

#[test]
fn where_people_have_no_browser_the_check_logs_in_without_one() {
    let provider = NodeProvider::start().unwrap();
    let mut corp = ca::Issuer::new("corp", provider.issuer(), &["sre"]);
    corp.client = "jit-ssh-device".to_owned();
    // openid is asked for in any case.
    corp.lines = "flows = [\"device\"]\nscopes = [\"profile\", \"email\", \"groups\"]".to_owned();
    let data = Data::init(&Setup { issuers: vec![corp], ..Setup::default() }).unwrap();
    let mut command = data.command().unwrap();
    command.args(["issuer", "check", "corp", "--login"]).arg(data.dir());
    let checking = Process::start(&mut command).unwrap();
    let page =
        |line: &str| line.split_whitespace().find(|word| word.contains("user_code=")).map(str::to_owned);
    let address = checking.line(Stream::Err, "the address with the code", page).unwrap();
    browser::approve(&address, "alice").unwrap();
    let output = checking.wait().unwrap().ok().unwrap();
    for word in ["ok    device", "gives codes to client", "name    corp/alice", "groups  sre"] {
        assert!(output.out.contains(word), "{word}: {}", output.out);
    }
    assert!(!output.out.contains("redirect"), "{}", output.out);
}
