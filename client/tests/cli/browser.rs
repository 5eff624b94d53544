//! The browser that `login` opens by itself, and what it is given: nothing that is of use to whoever reads it in the list
//! of processes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;

use super::*;

/// A browser that writes down the address that it gets.
struct Script {
    browser: PathBuf,
    opened: PathBuf,
}

impl Script {
    fn new(machine: &Machine) -> Self {
        let browser = machine.folder.path().join("browser");
        let opened = machine.folder.path().join("opened");
        // Written beside and moved, so that what is seen is whole.
        let script =
            format!("#!/bin/sh\nprintf %s \"$1\" > '{0}.part' && mv '{0}.part' '{0}'\n", opened.display());
        fs::write(&browser, script).unwrap();
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
        Self { browser, opened }
    }

    /// A login that has opened its browser, and the address that was given to it.
    fn login(&self, machine: &Machine) -> (Child, String) {
        let child = machine.command(&["login"]).env("BROWSER", &self.browser).spawn().unwrap();
        wait_for("the browser", || self.opened.exists());
        let url = fs::read_to_string(&self.opened).unwrap();
        fs::remove_file(&self.opened).unwrap();
        (child, url)
    }
}

fn get(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    let address = format!("127.0.0.1:{}", url.port().unwrap());
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "GET {} HTTP/1.1\r\nHost: {address}\r\n\r\n", &url[url::Position::BeforePath..]).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// Where a start page leads to, and the cookie that it gives.
fn sent_on(page: &str) -> (String, String) {
    assert!(page.starts_with("HTTP/1.1 303"), "{page}");
    let header = |name: &str| page.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let cookie = header("set-cookie: ");
    (header("location: "), cookie.split(';').next().unwrap().to_owned())
}

#[test]
fn the_browser_is_opened_unless_it_shall_not_be() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    let script = Script::new(&machine);
    let (child, url) = script.login(&machine);
    let (url, cookie) = sent_on(&get(&url));
    assert!(url.contains("/op/authorize?") && url.contains("code_challenge_method=S256"), "{url}");
    assert!(fake.browse_with(&url, &format!("Cookie: {cookie}\r\n")).starts_with("HTTP/1.1 200"));
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));

    let mut login = machine.command(&["login", "--no-browser"]);
    let mut child = login.env("BROWSER", &script.browser).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    for line in lines {
        if line.contains("/op/authorize?") {
            fake.browse(line.trim());
        }
    }
    assert!(child.wait().unwrap().success() && !script.opened.exists());
}

/// Somebody else on this machine reads the address in the list of processes and would have us log in as them.
#[test]
fn invariant_11_what_the_browser_is_given_is_of_no_use_to_who_reads_it() {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    let script = Script::new(&machine);
    let refused = |child: Child| {
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && said.contains("somebody else opened the page"), "{said}");
        assert!(said.contains("--no-browser"), "{said}");
    };
    // They come second: the browser was there.
    let (child, url) = script.login(&machine);
    for secret in ["/op/authorize", "state=", "nonce=", "code_challenge"] {
        assert!(!url.contains(secret), "{url}");
    }
    sent_on(&get(&url));
    assert!(get(&url).starts_with("HTTP/1.1 403"));
    refused(child);
    // They come first, and are seen when the browser comes.
    let (child, url) = script.login(&machine);
    sent_on(&get(&url));
    assert!(get(&url).contains("by somebody else on this machine"));
    refused(child);
    // They have the state from elsewhere, and not the cookie.
    for cookie in ["", "Cookie: jit-ssh-1=guess\r\n"] {
        let (child, url) = script.login(&machine);
        let (to, _) = sent_on(&get(&url));
        assert!(fake.browse_with(&to, cookie).starts_with("HTTP/1.1 403"));
        refused(child);
    }
    assert_eq!(machine.run(&["whoami"]).code, 5);
}
