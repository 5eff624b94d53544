//! `jit-ssh-ca serve` as a process: it comes up, says who it is, goes down well, and two never share one data folder.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use jit_ssh_tests::ca::{Ca, Data, Setup};
use jit_ssh_tests::process;

#[test]
fn a_new_ca_serves_a_bundle_signed_by_the_key_that_init_made() {
    let ca = Ca::start(&Setup::default()).unwrap();
    let bundle = ca.bundle().unwrap();
    assert_eq!(bundle.url.trim_end_matches('/'), ca.url());
    let authorities: Vec<_> = bundle.authorities.iter().map(|a| (a.name.as_str(), a.kind.as_str())).collect();
    assert!(authorities.contains(&("user", "user")), "{authorities:?}");
    let other = ca.signed_bundle().unwrap().open("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert!(other.is_err(), "a bundle opens for the pinned key only");
}

#[test]
fn init_never_overwrites() {
    let data = Data::init(&Setup::default()).unwrap();
    let before = fs::read_to_string(data.dir().join("ca.toml")).unwrap();
    let again = process::run(data.command().unwrap().arg("init").arg(data.dir())).unwrap();
    let again = again.code(1).unwrap();
    assert!(again.err.contains("not empty"), "{}", again.err);
    assert_eq!(fs::read_to_string(data.dir().join("ca.toml")).unwrap(), before);
}

#[test]
fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() {
    let ca = Ca::start(&Setup::default()).unwrap();
    let second = ca.data().serve(&[]).unwrap().wait().unwrap();
    let second = second.code(1).unwrap();
    assert!(second.err.lines().last().is_some_and(|line| line.starts_with("jit-ssh-ca: ")), "{}", second.err);
    assert!(ca.bundle().is_ok(), "the first one still serves");
}

#[test]
fn asked_to_end_it_ends_well_and_what_it_recorded_is_there() {
    let ca = Ca::start(&Setup::default()).unwrap();
    let (data, status) = ca.stop().unwrap();
    assert!(status.success(), "{status}");
    let events = data.events().unwrap();
    assert!(!events.is_empty());
    let ca = Ca::serve(data, Vec::new()).unwrap();
    let after = ca.data().events().unwrap();
    assert_eq!(after[..events.len()], events[..], "a restart rewrites nothing");
}

#[test]
fn killed_it_comes_up_again_with_the_same_identity() {
    let ca = Ca::start(&Setup::default()).unwrap();
    let before = ca.bundle().unwrap();
    let ca = Ca::serve(ca.kill().unwrap(), Vec::new()).unwrap();
    let after = ca.bundle().unwrap();
    assert_eq!((before.ca_id, before.authorities), (after.ca_id, after.authorities));
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let data = Data::init(&Setup::default()).unwrap();
    for (passphrase, said) in [("wrong", "passphrase"), ("", "empty")] {
        fs::write(data.passphrase(), passphrase).unwrap();
        let refused = data.serve(&[]).unwrap().wait().unwrap().code(1).unwrap();
        assert!(refused.err.contains(said), "{passphrase:?}: {}", refused.err);
        assert!(!refused.err.contains("wrong\n"), "a passphrase is never repeated");
    }
}

#[test]
fn without_a_passphrase_and_a_terminal_it_says_where_to_put_one() {
    let data = Data::init(&Setup::default()).unwrap();
    let mut command = process::command(&process::program("jit-ssh-ca").unwrap());
    let refused = process::run(command.arg("serve").arg(data.dir())).unwrap().code(1).unwrap();
    assert!(refused.err.contains("JIT_SSH_PASSPHRASE_FILE"), "{}", refused.err);
}

#[test]
fn dev_stays_on_this_machine() {
    for flag in ["--listen", "--idp-listen"] {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let folder = tempfile::tempdir().unwrap();
            let mut command = process::command(&process::program("jit-ssh-ca").unwrap());
            command.args(["dev", flag, address]).env("TMPDIR", folder.path()).stdin(Stdio::null());
            let ended = command.output().unwrap();
            let said = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(1), "{flag} {address}: {said}");
            assert!(said.contains(flag) && said.contains("is not loopback"), "{said}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{flag} {address}");
        }
    }
}

#[test]
fn what_dev_made_is_thrown_away_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = process::command(&process::program("jit-ssh-ca").unwrap());
    command.args(["dev", "--json"]).env("TMPDIR", folder.path());
    let mut dev = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(dev.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let there = fs::exists(format!("{}/ca.toml", ready["dir"].as_str().unwrap())).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&dev), rustix::process::Signal::TERM)
        .unwrap();
    assert!(dev.wait().unwrap().success() && there, "{line}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "its folder is left behind");
}
