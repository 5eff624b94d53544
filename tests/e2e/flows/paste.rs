//! Pasting the address: over a real `ssh -t`, on a machine that has no browser and to which none can come back.

use std::io::Write;

use jit_ssh_tests::browser::Browser;
use jit_ssh_tests::client::address;
use jit_ssh_tests::process::{Process, Stream};
use jit_ssh_tests::provider::NodeProvider;

use super::{NONE, Place, whoami};
use crate::login::{options, setup};

#[test]
fn a_login_inside_a_session_over_ssh_is_finished_by_pasting_what_the_browser_could_not_open() {
    let provider = NodeProvider::start().unwrap();
    let place = Place::new(|login, address| setup(provider.issuer(), login, address));
    let alice = place.person();
    alice.login(NONE, |url| jit_ssh_tests::browser::log_in(url, "alice")).unwrap().ok().unwrap();
    // What is kept on the machine at the other end is somebody else's folder here.
    let far = place.person();
    let account = place.account();
    let mut words: Vec<String> =
        ["ssh", account.as_str(), "--reason", "OPS-7", "--", "-tt"].map(str::to_owned).to_vec();
    words.extend(options(&place.sshd));
    words.push(format!(
        "HOME={0} JIT_SSH_CONFIG_DIR={1} JIT_SSH_RUNTIME_DIR={2} {3} login --paste",
        far.home().display(),
        far.configuration().display(),
        far.runtime().display(),
        jit_ssh_tests::process::program("jit-ssh").unwrap().display()
    ));
    let (session, mut keyboard) = Process::start_typing(&mut alice.command(words).unwrap()).unwrap();
    // The terminal at the other end is one stream.
    let page = session.line(Stream::Out, "an address to open", address).unwrap();
    session.line(Stream::Out, "what to do", |line| line.contains("paste it").then_some(())).unwrap();
    let mut browser = Browser::new();
    let callback = browser.redirected(&page, "alice").unwrap();
    let mut paste = |text: &str| keyboard.write_all(format!("{text}\r").as_bytes()).unwrap();
    let told = |what: &str| {
        session.line(Stream::Out, what, |line| line.contains(what).then_some(())).unwrap();
    };
    // Not this login's, in several ways; each is told, and the wait goes on.
    paste(&page);
    told("another address than the one this login ends at");
    paste(&callback.as_str().replace("state=", "state=x"));
    told("belongs to another login");
    paste(&callback.as_str().replace("iss=", "iss=x"));
    told("comes from another identity provider");
    paste("nonsense");
    told("not a whole address");
    paste(callback.as_str());
    told("Logged in as alice (corp)");
    let said = session.wait().unwrap().ok().unwrap();
    let code = callback.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    assert!(
        !said.out.contains(&code) && !said.out.contains("nonsense"),
        "it shows what was pasted: {}",
        said.out
    );
    assert_eq!(whoami(&far)["name"], "alice");
    assert_eq!(place.events("session.opened").len(), 2);
}

#[test]
fn who_is_on_another_machine_is_told_how_to_log_in_and_no_browser_is_started_there() {
    let provider = NodeProvider::start().unwrap();
    let place = Place::new(|login, address| setup(provider.issuer(), login, address));
    let far = place.person().with("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22");
    // Not --no-browser: it is the connection that says so.
    let login = far.start(["login"]).unwrap();
    let page = login.line(Stream::Err, "an address to open", address).unwrap();
    jit_ssh_tests::browser::log_in(&page, "alice").unwrap();
    let said = login.wait().unwrap().ok().unwrap().err;
    assert!(
        said.contains("over ssh") && said.contains("--paste.") && !said.contains("browser could be"),
        "{said}"
    );

    // A paste from something that is no terminal, which ends too early.
    let ended = far.run(["login", "--paste"]).unwrap().code(1).unwrap();
    assert!(ended.err.contains("standard input ended"), "{}", ended.err);
    let for_ssh = far.run(["ssh", "deploy@web-1", "--paste"]).unwrap().code(2).unwrap();
    assert!(for_ssh.err.contains("standard input is for ssh"), "{}", for_ssh.err);
}
