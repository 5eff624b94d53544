//! Trouble with a SQLite file.

use std::fs;
use std::os::unix::fs::symlink;

use jit_ssh_proto::Code;

use super::*;

#[test]
fn a_file_that_goes_away_and_comes_back() {
    let mut station = Station::new(Site::new());
    station.is_issued();
    let (here, away) = (station.site.dir.join("ca.db"), station.site.dir.join("away.db"));
    fs::rename(&here, &away).unwrap();
    station.is_refused(Code::StoreUnavailable, "is gone: put it back");
    // Another file in its place, a copy even, is not it: what is written there would not be in the one that comes back.
    fs::copy(&away, &here).unwrap();
    station.is_refused(Code::StoreUnavailable, "was replaced while it was in use");
    fs::rename(&away, &here).unwrap();
    station.comes_back();
    station.nothing_is_lost(0);
}

#[test]
fn two_servers_never_share_a_file_whatever_it_is_called() {
    let mut station = Station::new(Site::new());
    station.is_issued();
    let second = station.site.copy("second");
    for file in ["ca.db", "ca.db-wal", "ca.db-shm"] {
        let _absent = fs::remove_file(second.dir.join(file));
    }
    symlink(station.site.dir.join("ca.db"), second.dir.join("ca.db")).unwrap();
    let said = second.refuses_to_serve();
    assert!(last_line(&said).contains("another jit-ssh-ca uses"), "{said}");
    second.write(
        "ca.toml",
        &second.config().replacen(
            "[[issuer]]",
            &format!("[store]\nurl = \"sqlite:{}\"\n[[issuer]]", station.site.dir.join("ca.db").display()),
            1,
        ),
    );
    let said = second.refuses_to_serve();
    assert!(last_line(&said).contains("another jit-ssh-ca uses"), "{said}");
    // The first one does not mind.
    station.is_issued();
    station.nothing_is_lost(0);
}

#[test]
fn an_older_copy_and_another_history_are_not_gone_on_with() {
    let mut station = Station::new(Site::new());
    station.is_issued();
    let Station { site, server, session, mut received } = station;
    server.stop();
    let older = site.copy("older");
    let went_on = |site: Site, times: usize| {
        let server = site.serve();
        let session = session.clone();
        let mut station = Station { site, server, session, received: Vec::new() };
        (0..times).for_each(|_| station.is_issued());
        let Station { site, server, received, .. } = station;
        server.stop();
        (site, received)
    };
    let (site, more) = went_on(site, 2);
    received.extend(more);
    let newer = fs::read(site.dir.join("ca.db")).unwrap();

    fs::copy(older.dir.join("ca.db"), site.dir.join("ca.db")).unwrap();
    let said = site.refuses_to_serve();
    let line = last_line(&said);
    assert!(line.contains("an older copy put in its place") && line.contains("restore"), "{said}");

    // The copy went on by itself, further than the other: as long as it is elsewhere, that is its own business.
    let (older, _) = went_on(older, 3);
    fs::copy(older.dir.join("ca.db"), site.dir.join("ca.db")).unwrap();
    let said = site.refuses_to_serve();
    let line = last_line(&said);
    assert!(line.contains("another history") && line.contains("restore"), "{said}");

    fs::write(site.dir.join("ca.db"), newer).unwrap();
    let server = site.serve();
    let mut station = Station { site, server, session, received };
    station.is_issued();
    station.nothing_is_lost(0);
}

#[test]
fn a_schema_of_a_later_version_is_not_touched() {
    let site = Site::new();
    let before = site.query("SELECT COUNT(*) FROM events");
    site.execute("UPDATE meta SET value = '99' WHERE name = 'schema'");
    let said = site.refuses_to_serve();
    let line = last_line(&said);
    assert!(line.contains("has schema 99") && line.contains("use the later jit-ssh-ca"), "{said}");
    assert_eq!(site.query("SELECT COUNT(*) FROM events"), before);
}
