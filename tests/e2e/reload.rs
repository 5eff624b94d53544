//! Policies and inventory follow their files while the CA runs: all or nothing, recorded, and no call fails for it.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use jit_ssh_proto::event::{PolicyLoaded, Ruled, What};
use jit_ssh_tests::api::{Call, Key, Session};

use crate::stand::{POLICY, Server, Site};

const LOADED: &str = "policies and inventory loaded";
const LOCKED: &str =
    "@id(\"locked\") @message(\"not today\")\nforbid (principal, action, resource in HostGroup::\"web\");\n";

fn outcome(site: &Site, server: &Server, session: &Session) -> String {
    server.send(&session.access(&site.ca, &Key::new().unwrap()).unwrap()).outcome()
}

fn ready(server: &Server) -> (u16, String) {
    let answer = server.send(&Call::plain("GET", "/readyz"));
    (answer.status, answer.text())
}

/// What was recorded of sets in force, in order.
fn loads(site: &Site) -> Vec<PolicyLoaded> {
    let loaded = |what| if let What::PolicyLoaded(loaded) = what { Some(loaded) } else { None };
    site.ledger().into_iter().filter_map(|event| loaded(event.what)).collect()
}

#[test]
fn changed_files_decide_anew_under_load_and_are_recorded() {
    let site = Site::new();
    let server = site.serve();
    let (alice, bob) = (server.session(&site, "alice"), server.session(&site, "bob"));
    assert_eq!(outcome(&site, &server, &alice), "201");
    let refused = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Somebody asks all the while, and is answered all the while: yes until the change, then no.
        let asking = scope.spawn(|| {
            let mut answers = Vec::new();
            while !refused.load(Ordering::Relaxed) {
                let answer = outcome(&site, &server, &bob);
                refused.store(answer != "201", Ordering::Relaxed);
                answers.push(answer);
            }
            answers
        });
        site.write("policies/99-locked.cedar", LOCKED);
        server.logs(LOADED);
        let answers = asking.join().unwrap();
        let (last, before) = answers.split_last().unwrap();
        assert_eq!(last, "403 forbidden");
        assert!(before.iter().all(|answer| answer == "201"), "{answers:?}");
    });
    assert_eq!(outcome(&site, &server, &alice), "403 forbidden");
    let [.., first, second] = &loads(&site)[..] else { panic!() };
    assert_eq!(second.previous.as_ref(), Some(&first.digest));
    assert_eq!((first.policies, second.policies, second.hosts), (3, 4, 3));
    let [change] = &second.changes[..] else { panic!("{second:?}") };
    assert_eq!(
        (change.of, change.added, change.names.as_slice()),
        (Ruled::Policies, 1, &["+locked".to_owned()][..])
    );
    // What an operator reads of it: from which set to which, and what is new.
    let shown = site.log_show(&["--where", "type=policy.loaded"]);
    let line = shown.lines().last().unwrap();
    let digests =
        format!("digest {:.16}… → {:.16}…; policies +1 -0 ~0 (+locked)", first.digest, second.digest);
    assert!(line.ends_with(&digests), "{shown}");
    // Every decision names the set that made it.
    let decided = |digest: &str| {
        let of =
            |what| if let What::RequestDecided(decided) = what { Some(decided.policy_digest) } else { None };
        site.ledger().into_iter().filter_map(|event| of(event.what)).filter(|d| d == digest).count()
    };
    assert!(decided(&first.digest) >= 1 && decided(&second.digest) >= 2);
    server.stop();
}

#[test]
fn what_does_not_load_changes_nothing_and_says_where_it_is_wrong() {
    let site = Site::new();
    let server = site.serve();
    let session = server.session(&site, "alice");
    let before = loads(&site);
    site.write(
        "policies/99-locked.cedar",
        &format!("{LOCKED}@ttl(\"soon\")\npermit (principal, action, resource);\n"),
    );
    server.logs("policies/99-locked.cedar:3:1: @ttl");
    assert_eq!(outcome(&site, &server, &session), "201");
    let (status, text) = ready(&server);
    assert!(status == 200 && text.starts_with("ready\n") && text.contains("do not load"), "{text}");
    assert!(!text.contains("cedar"), "where it is wrong is not for everybody: {text}");
    // Another mistake is said too, in the inventory with its place.
    site.write("inventory/more.toml", "[[host]]\nname = \"web-3\"\ngroups = [\"wbe\"]\n");
    server.logs(
        "inventory/more.toml:3:11: host web-3: groups names wbe, which is no group here: did you mean web?",
    );
    assert_eq!(outcome(&site, &server, &session), "201");
    // Both are mended: what was in force still is, and nothing is recorded of it.
    fs::remove_file(site.dir.join("inventory/more.toml")).unwrap();
    fs::remove_file(site.dir.join("policies/99-locked.cedar")).unwrap();
    server.logs("policies and inventory are those in force");
    assert_eq!(ready(&server), (200, "ready\n".to_owned()));
    assert_eq!(outcome(&site, &server, &session), "201");
    assert_eq!(loads(&site), before);
    // Comments alone are a set of another digest, in which nothing is another.
    let text = fs::read_to_string(site.dir.join("policies/10-starter.cedar")).unwrap();
    site.write("policies/10-starter.cedar", &format!("// A remark.\n{text}"));
    server.logs("only spaces and comments, or names of files");
    let said = server.stop();
    let times = said.matches("policies/99-locked.cedar:3:1: @ttl").count();
    assert_eq!(times, 2, "it is said once alone and once with the other mistake: {said}");
}

/// A mount that is gone, a script that moved too much: what was in force stays, and a start is refused.
#[test]
fn a_folder_that_is_away_or_empty_locks_nobody_out() {
    let site = Site::new();
    let server = site.serve();
    let session = server.session(&site, "alice");
    let before = loads(&site);
    for (folder, kind) in [("policies", "*.cedar"), ("inventory", "*.toml")] {
        let (there, away) = (site.dir.join(folder), site.dir.join("away"));
        let shown = there.display().to_string();
        let gone = format!("{shown}: there is no such folder: put it back");
        let empty = format!("{shown}: there is no {kind} file in it: put them back");
        let below = format!("{shown}/team: it is a folder, and files in folders are not read");
        fs::rename(&there, &away).unwrap();
        server.logs(&format!("those from before stay in force: {gone}"));
        assert_eq!(outcome(&site, &server, &session), "201");
        assert!(site.copy(&format!("{folder}-gone")).refuses_to_serve().contains("there is no such folder"));
        fs::create_dir(&there).unwrap();
        server.logs(&format!("those from before stay in force: {empty}"));
        assert_eq!(outcome(&site, &server, &session), "201");
        assert!(
            site.copy(&format!("{folder}-empty")).refuses_to_serve().contains("file in it: put them back")
        );
        fs::remove_dir(&there).unwrap();
        fs::rename(&away, &there).unwrap();
        server.logs("nothing changed: policies and inventory are those in force");
        fs::create_dir(there.join("team")).unwrap();
        server.logs(&format!("those from before stay in force: {below}"));
        assert_eq!(outcome(&site, &server, &session), "201");
        fs::remove_dir(there.join("team")).unwrap();
        server.logs("nothing changed: policies and inventory are those in force");
    }
    assert_eq!(loads(&site), before);
    // Nobody is locked out by accident, but they can be: by a set that says so.
    fs::remove_file(site.dir.join("policies/10-starter.cedar")).unwrap();
    site.write("policies/10-closed.cedar", "// Nobody is allowed anything.\n");
    server.logs(LOADED);
    assert_eq!(outcome(&site, &server, &session), "403 no_access");
    server.stop();
}

#[test]
fn a_hangup_loads_at_once_and_ends_nothing() {
    let site = Site::new();
    let server = site.serve();
    let session = server.session(&site, "alice");
    // Whoever asks is answered, each time, also where there is nothing new to say.
    for _ in 0..2 {
        server.hang_up();
        server.logs("SIGHUP: loading policies and inventory");
        server.logs("nothing changed: policies and inventory are those in force");
    }
    site.write("policies/99-locked.cedar", "permit (");
    for _ in 0..2 {
        server.hang_up();
        server.logs("SIGHUP: loading policies and inventory");
        server.logs("policies/99-locked.cedar:1:");
    }
    site.write("policies/99-locked.cedar", LOCKED);
    server.hang_up();
    server.logs(LOADED);
    assert_eq!(outcome(&site, &server, &session), "403 forbidden");
    // What counts only from the next start on says so.
    site.write("ca.toml", &format!("{}\n# a comment\n", site.config()));
    server.logs("ca.toml changed: it counts from the next start on");
    server.stop();
}

/// Files mounted from a configuration map are links to links, and one of these is exchanged for all files at once.
#[test]
fn a_mounted_configuration_map_is_followed() {
    let site = Site::new();
    let folder = site.dir.join("policies");
    let map = |version: &str, more: &str| {
        fs::create_dir(folder.join(version)).unwrap();
        fs::write(folder.join(version).join("10-starter.cedar"), format!("{POLICY}{more}")).unwrap();
        symlink(version, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    map("..2026_11_22_1", "");
    fs::remove_file(folder.join("10-starter.cedar")).unwrap();
    symlink("..data/10-starter.cedar", folder.join("10-starter.cedar")).unwrap();
    let server = site.serve();
    let session = server.session(&site, "alice");
    assert_eq!(outcome(&site, &server, &session), "201");
    map("..2026_11_22_2", LOCKED);
    server.logs(LOADED);
    assert_eq!(outcome(&site, &server, &session), "403 forbidden");
    server.stop();
}
