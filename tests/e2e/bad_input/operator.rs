//! What an operator gets wrong, and what happens to the machine below: said in one line with the next step, and never
//! half done.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use jit_ssh_proto::Code;
use jit_ssh_tests::api::{Call, Key};
use jit_ssh_tests::process;

use super::{Desk, problem};
use crate::stand::{PASSPHRASE, Server, Site};

/// What an operator reads: the last line, without the log and without the place that is shown below it.
fn last_line(said: &str) -> &str {
    let is_shown = |line: &&str| line.starts_with("  ") && line.contains(" | ");
    let line = said.lines().rev().find(|line| !is_shown(line)).unwrap_or_default();
    assert!(line.starts_with("jit-ssh-ca: "), "{said}");
    assert!(!said.contains(PASSPHRASE) && !said.contains("panicked"), "{said}");
    line
}

#[test]
fn a_wrong_configuration_is_refused_with_the_key_and_what_to_write() {
    let site = Site::new();
    let good = site.config();
    let (listen, first_issuer) = ("listen = \"127.0.0.1:0\"", "url = \"https://corp.example.com\"");
    for (from, to, says) in [
        (listen, "listne = \"127.0.0.1:0\"", vec!["ca.toml:1:1", "\"listne\"", "did you mean \"listen\"?"]),
        ("client_id", "client_idd", vec!["\"client_idd\"", "did you mean \"client_id\"?"]),
        ("allowed_domains", "alowed_domains", vec!["did you mean \"allowed_domains\"?"]),
        ("[[issuer]]", "[limits]\nsesion = \"8h\"\n[[issuer]]", vec!["did you mean \"session\"?"]),
        (listen, "listen = \"0.0.0.0:0\"", vec!["listen", "tls", "trusted_proxies"]),
        (listen, "listen = \"everywhere\"", vec!["ca.toml:1:10"]),
        (first_issuer, "url = \"http://corp.example.com\"", vec!["issuer corp: url", "use https"]),
        (first_issuer, "url = \"ftp://corp.example.com\"", vec!["issuer corp: url", "use https"]),
        (first_issuer, "url = \"https://partner.example.com\"", vec!["partner", "must be its own"]),
        ("[\"ES256\"]", "[\"none\"]", vec!["algorithms", "\"none\"", "choose from"]),
        ("[\"ES256\"]", "[\"HS256\"]", vec!["algorithms", "\"HS256\"", "choose from"]),
        ("[\"ES256\"]", "[\"ES256\"]\ntags = { \"a b\" = \"ref\" }", vec!["tags", "\"a b\"", "letters"]),
        ("[\"ES256\"]", "[\"ES256\"]\ntags = { ref = \"/a~2\" }", vec!["tags", "\"/a~2\"", "JSON pointer"]),
        ("[[issuer]]", "[limits]\nduration = \"25h\"\n[[issuer]]", vec!["limits.duration", "1d"]),
        ("[[issuer]]", "[limits]\nduration = \"-1h\"\n[[issuer]]", vec!["limits.duration", "90s"]),
        ("[[issuer]]", "timezone = \"Mars/Olympus\"\n[[issuer]]", vec!["timezone", "Europe/Paris"]),
        ("[[issuer]]", "[store]\nurl = \"mysql:x\"\n[[issuer]]", vec!["store.url", "sqlite:PATH"]),
        (
            "[[issuer]]",
            "[tls]\ncert = \"no.pem\"\nkey = \"no.key\"\n[[issuer]]",
            vec!["no.pem", "cannot be read"],
        ),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{to}");
        site.write("ca.toml", &bad);
        let said = site.refuses_to_serve();
        let line = last_line(&said);
        for word in says {
            assert!(line.contains(word), "{to}: {word:?} in {line}");
        }
    }
    fs::remove_file(site.dir.join("ca.toml")).unwrap();
    assert!(last_line(&site.refuses_to_serve()).contains("ca.toml: cannot be read"));
}

#[test]
fn what_stands_in_the_way_of_a_start_is_named() {
    let site = Site::new();
    let before = site.state();

    fs::write(&site.passphrase, "another one\n").unwrap();
    let said = site.refuses_to_serve();
    assert!(last_line(&said).contains("passphrase"), "{said}");
    fs::write(&site.passphrase, "").unwrap();
    assert!(last_line(&site.refuses_to_serve()).contains("passphrase is empty"));
    fs::remove_file(&site.passphrase).unwrap();
    assert!(last_line(&site.refuses_to_serve()).contains("cannot be read"));
    fs::write(&site.passphrase, PASSPHRASE).unwrap();
    assert_eq!(site.state(), before, "a start that failed before the store left something");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("listen = \"{}\"", taken.local_addr().unwrap());
    site.write("ca.toml", &site.config().replace("listen = \"127.0.0.1:0\"", &listen));
    let said = site.refuses_to_serve();
    assert!(last_line(&said).contains("stop what uses it"), "{said}");
    site.write("ca.toml", &site.config());

    let server = site.serve();
    let said = site.refuses_to_serve();
    assert!(last_line(&said).contains("another jit-ssh-ca uses"), "{said}");
    // The first one does not mind.
    server.session(&site, "alice");
    server.stop();
}

#[test]
fn what_is_wrong_with_the_flags_of_init_is_said_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ca");
    for (flag, value, says) in [
        ("--url", "ca.example.com", "is not a URL"),
        ("--url", "ftp://ca.example.com", "has the scheme ftp"),
        ("--url", "http://ca.example.com", "https"),
        ("--url", "https://ca.example.com\"\nlisten = \"0.0.0.0:1", "--url"),
        ("--listen", "0.0.0.0:8443", "begin on loopback"),
        ("--listen", "8443", "--listen"),
    ] {
        let mut command = process::command(&process::program("jit-ssh-ca").unwrap());
        // No passphrase anywhere: what is said must be about the flag.
        let ended = command.arg("init").arg(&dir).args([flag, value]).env_remove("JIT_SSH_PASSPHRASE_FILE");
        let ended = ended.stdin(std::process::Stdio::null()).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && said.contains(says), "{flag} {value}: {said}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{flag} {value}");
    }
}

#[test]
fn output_that_nobody_can_take_is_no_panic() {
    for arguments in [&["completions", "bash"][..], &["completions", "zsh"]] {
        for (to, code) in [("/dev/full", Some(1)), ("/dev/null", Some(0))] {
            let out = fs::File::options().write(true).open(to).unwrap();
            let mut command = process::command(&process::program("jit-ssh-ca").unwrap());
            let ended = command.args(arguments).stdout(out).spawn().unwrap().wait_with_output().unwrap();
            assert_eq!(ended.status.code(), code, "{arguments:?} to {to}");
        }
    }
}

/// Runs a server in a mount namespace of its own after `prepare`, or says why that cannot be done here.
#[expect(clippy::print_stderr, reason = "whoever reads the test run should know what was not tested")]
fn serve_in_namespace(site: &Site, prepare: &str) -> Option<Result<Server, String>> {
    let possible = Command::new("unshare").args(["-rm", "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: `unshare -rm` is not allowed here, so no disk can be made read-only or full");
        return None;
    }
    let mut command = process::command(Path::new("unshare"));
    let script = format!("set -e; {prepare}; exec \"$@\"");
    command
        .args(["-rm", "sh", "-c", &script, "sh"])
        .arg(process::program("jit-ssh-ca").unwrap())
        .env("DIR", &site.dir);
    site.arguments(&mut command);
    Some(Server::start(&mut command).map_err(|ended| ended.err))
}

#[test]
fn a_read_only_disk_is_named_at_the_start() {
    let site = Site::new();
    let prepare = "mount --bind \"$DIR\" \"$DIR\"; mount -o remount,bind,ro \"$DIR\"";
    let Some(outcome) = serve_in_namespace(&site, prepare) else { return };
    let said = outcome.err().unwrap();
    let line = last_line(&said);
    assert!(line.contains("ca.db") && line.contains("ead-only"), "{said}");
    // What is read only can be read.
    assert!(site.log_show(&[]).contains("ca.initialised"));
}

#[test]
fn invariant_1_a_full_disk_issues_nothing_and_is_gone_when_there_is_room_again() {
    let site = Site::new();
    // A disk of 4 MB over the data directory, with what was in it.
    let prepare = "cp -a \"$DIR\" \"$DIR.copy\"; mount -t tmpfs -o size=4m tmpfs \"$DIR\"; cp -a \"$DIR.copy/.\" \"$DIR\"";
    let Some(outcome) = serve_in_namespace(&site, prepare) else { return };
    let server = outcome.unwrap_or_else(|said| panic!("{said}"));
    // The same folder as the server sees it.
    let seen = format!("/proc/{}/root{}", server.pid(), site.dir.display());
    let desk = {
        let site = site.seen_at(seen.clone().into());
        let session = server.session(&site, "alice");
        Desk { site, server, session, key: Key::new().unwrap() }
    };
    assert_eq!(desk.server.send(&desk.access(|_| {})).status, 201);

    let before = desk.site.state();
    let mut issued = 0;
    let refused = loop {
        assert!(issued < 50, "the disk does not fill: {before:?} {:?}", desk.site.state());
        fill(&seen);
        let answer = desk.server.send(&desk.access(|_| {}));
        if answer.status != 201 {
            break answer;
        }
        // It fitted into the write-ahead log that was there.
        issued += 1;
    };
    assert_eq!(problem("full disk", &refused).code, Code::StoreReadOnly);
    assert_eq!(desk.site.state()["certificates"] - before["certificates"], issued);
    assert_eq!(desk.site.state()["serials"] - before["serials"], issued);
    // Reading goes on; what is wrong is in the log, not in the answer.
    let look = Call::plain("GET", "/v1/sessions/current").with("authorization", &desk.session.bearer());
    assert_eq!(desk.server.send(&look).status, 200);
    desk.server.logs("is full: make room there");

    for filler in fillers(&seen) {
        fs::remove_file(filler).unwrap();
    }
    assert_eq!(desk.server.send(&Call::plain("GET", "/readyz")).status, 200);
    assert_eq!(desk.server.send(&desk.access(|_| {})).status, 201);
    // Serials went on without a gap, and every leaf recomputes.
    let serials: Vec<u64> = desk.site.certificates().iter().map(|issued| issued.serial).collect();
    assert_eq!(serials, (1..=u64::try_from(serials.len()).unwrap()).collect::<Vec<_>>());
}

fn fillers(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "filler")).collect()
}

/// Writes smaller and smaller files until not one page is left.
fn fill(folder: &str) {
    let mut size = 4 << 20;
    let mut count = fillers(folder).len();
    while size > 0 {
        let path = Path::new(folder).join(format!("{count}.filler"));
        if fs::write(&path, vec![b'x'; size]).is_err() {
            size /= 2;
        }
        count += 1;
    }
}
