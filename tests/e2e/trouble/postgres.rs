//! Trouble with a PostgreSQL server.

use jit_ssh_test_postgres::Postgres;

use super::*;

fn station(postgres: &Postgres) -> Station {
    Station::new(Site::on(postgres))
}

/// Ends the connections that the CA has.
fn hang_up(station: &Station) {
    station.site.query(
        "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'jit-ssh-ca'",
    );
}

#[test]
fn a_server_that_stops_or_dies_and_comes_back() {
    let mut postgres = Postgres::start().unwrap();
    let mut station = station(&postgres);
    station.is_issued();
    for kill in [false, true] {
        if kill {
            postgres.kill().unwrap();
        } else {
            postgres.stop().unwrap();
        }
        station.is_refused(Code::StoreUnavailable, "does not answer");
        station.is_refused(Code::StoreUnavailable, "does not answer");
        postgres.restart().unwrap();
        station.comes_back();
    }
    station.nothing_is_lost(0);
    // It said so each time, and in good order it ends.
    let said = station.server.stop();
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn connections_that_break_are_made_again() {
    let postgres = Postgres::start().unwrap();
    let mut station = station(&postgres);
    for _ in 0..3 {
        station.is_issued();
        hang_up(&station);
        station.comes_back();
    }
    station.nothing_is_lost(0);
}

#[test]
fn a_server_that_hangs_is_given_up_on_in_time_and_taken_up_again() {
    let postgres = Postgres::start().unwrap();
    let mut station = station(&postgres);
    station.is_issued();
    postgres.pause().unwrap();
    let refused = station.ask();
    postgres.resume().unwrap();
    is_refused(&refused, Code::StoreUnavailable);
    station.comes_back();
    // What hung may still have been written once the server went on; its answer nobody had.
    let more = station.site.certificates().len() - station.received.len();
    assert!(more <= 1, "{more}");
    station.nothing_is_lost(more);
}

/// How many sessions of CA processes are as a condition on `pg_stat_activity` says.
fn sessions(site: &Site, condition: &str) -> i64 {
    let text = format!(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'jit-ssh-ca' AND {condition}"
    );
    site.query(&text)[0].int(0).unwrap()
}

#[test]
fn a_process_that_is_frozen_with_the_append_lock_in_hand_gives_it_back_and_doubles_nothing() {
    let postgres = Postgres::start().unwrap();
    let mut first = station(&postgres);
    first.is_issued();
    let second = first.site.copy("second");
    let mut second = Station::new(second);
    let call = first.session.access(&first.site.ca, &Key::new().unwrap()).unwrap();
    let database = first.site.database();
    let answer = std::thread::scope(|scope| {
        // In its transaction it has to wait for somebody who holds the table.
        scope.spawn(|| database.execute("BEGIN; LOCK TABLE events IN EXCLUSIVE MODE; SELECT pg_sleep(600)"));
        let holds = "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE%' AND wait_event = 'PgSleep'";
        until("the lock", || Ok((first.site.query(holds)[0].int(0)? == 1).then_some(()))).unwrap();
        let asks = scope.spawn(|| jit_ssh_tests::http::send(first.server.address, &call).unwrap());
        let waits = "wait_event_type = 'Lock' AND query LIKE 'INSERT INTO events%'";
        until("the append", || Ok((sessions(&first.site, waits) == 1).then_some(()))).unwrap();
        first.server.pause();
        first.site.query(
            "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE%'",
        );
        let idle = "state = 'idle in transaction'";
        until("the frozen transaction", || Ok((sessions(&first.site, idle) == 1).then_some(()))).unwrap();
        // The others are told to try again, and get on once the database has taken the lock away.
        second.comes_back();
        assert_eq!(sessions(&first.site, idle), 0);
        first.server.resume();
        asks.join().unwrap()
    });
    // Nothing of it was kept, so the very same call is good.
    is_refused(&answer, Code::StoreUnavailable);
    until("a certificate", || {
        let answer = first.server.send(&call);
        if answer.status != 201 {
            Station::refusal(&answer);
            return Ok(None);
        }
        first.received.push(answer.json()?);
        Ok(Some(()))
    })
    .unwrap();
    assert_eq!(first.server.send(&call).outcome(), "409 signature_replayed");
    first.comes_back();
    first.received.append(&mut second.received);
    first.nothing_is_lost(0);
}

#[test]
fn a_fail_over_that_lost_commits_is_refused_while_it_runs_and_when_it_starts() {
    let mut postgres = Postgres::start().unwrap();
    let mut station = station(&postgres);
    station.is_issued();
    postgres.stop().unwrap();
    let older = postgres.copy().unwrap();
    postgres.restart().unwrap();
    station.comes_back();
    station.is_issued();
    postgres.stop().unwrap();
    let newer = postgres.copy().unwrap();

    postgres.put_back(&older).unwrap();
    postgres.restart().unwrap();
    station.is_refused(Code::StoreUnavailable, "an older copy put in its place");
    let Station { site, server, session, received } = station;
    let before = site.state();
    server.stop();
    let said = site.refuses_to_serve();
    let line = last_line(&said);
    assert!(line.contains("an older copy put in its place") && line.contains("jit-ssh-ca restore"), "{said}");
    assert_eq!(site.state(), before, "what was refused was written to");

    postgres.stop().unwrap();
    postgres.put_back(&newer).unwrap();
    postgres.restart().unwrap();
    let server = site.serve();
    let mut station = Station { site, server, session, received };
    station.is_issued();
    station.nothing_is_lost(0);
}

#[test]
fn a_fail_over_after_which_another_server_went_on_is_refused_by_who_saw_more() {
    let mut postgres = Postgres::start().unwrap();
    let mut first = station(&postgres);
    let second = first.site.copy("second");
    postgres.stop().unwrap();
    let older = postgres.copy().unwrap();
    postgres.restart().unwrap();
    first.comes_back();
    postgres.stop().unwrap();
    postgres.put_back(&older).unwrap();
    postgres.restart().unwrap();
    // The second saw nothing of what was lost: to it this is how things stand, and it goes on past the first's end.
    let server = second.serve();
    let mut second = Station { site: second, server, session: first.session.clone(), received: Vec::new() };
    (0..3).for_each(|_| second.is_issued());
    first.is_refused(Code::StoreUnavailable, "another history");
    assert!(last_line(&first.site.refuses_to_serve()).contains("another history"));
    second.is_issued();
    second.nothing_is_lost(0);
}

#[test]
fn a_clock_that_is_off_the_databases_issues_nothing() {
    let postgres = Postgres::start().unwrap();
    let mut station = station(&postgres);
    station.is_issued();
    // A database whose clock a test can set: ours comes before the real one for whoever connects from now on.
    let database = station.site.database();
    let clock = |offset: &str| {
        let body = format!("SELECT pg_catalog.clock_timestamp() + interval '{offset}'");
        let text = format!(
            "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ {body} $$"
        );
        database.execute(&text).unwrap();
    };
    clock("0 s");
    let name = &station.site.query("SELECT current_database()")[0];
    database
        .execute(&format!("ALTER DATABASE {} SET search_path = public, pg_catalog", name.text(0).unwrap()))
        .unwrap();
    hang_up(&station);
    station.comes_back();
    for (offset, off) in [("4 s", false), ("6 s", true), ("-4 s", false), ("-6 s", true), ("1 hour", true)] {
        clock(offset);
        if off {
            station.is_refused(Code::ClockOff, "off the database's");
        } else {
            station.comes_back();
        }
    }
    // The first to be refused as it starts; the clock put right, both work.
    let second = station.site.copy("second");
    let said = second.refuses_to_serve();
    assert!(last_line(&said).contains("set both by NTP"), "{said}");
    clock("0 s");
    station.comes_back();
    second.serve().stop();
    station.nothing_is_lost(0);
}

#[test]
fn a_database_that_cannot_be_written_says_so_until_it_can() {
    let postgres = Postgres::start().unwrap();
    let mut station = station(&postgres);
    station.is_issued();
    let database = station.site.database();
    // A full disk as PostgreSQL reports it, whichever table it would write.
    database
        .execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$; \
             CREATE TRIGGER full_disk BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION full_disk(); \
             CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON meta FOR EACH STATEMENT EXECUTE FUNCTION full_disk()",
        )
        .unwrap();
    station.is_refused(Code::StoreReadOnly, "is full: make room there");
    database.execute("DROP TRIGGER full_disk ON events; DROP TRIGGER full_disk ON meta").unwrap();
    station.comes_back();
    // A server that became a standby.
    let name = station.site.query("SELECT current_database()")[0].text(0).unwrap().to_owned();
    database.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).unwrap();
    hang_up(&station);
    station.is_refused(Code::StoreReadOnly, "read-only");
    let undo = format!(
        "SET default_transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only"
    );
    postgres.sql("postgres", &undo).unwrap();
    hang_up(&station);
    station.comes_back();
    station.nothing_is_lost(0);
}

#[test]
fn a_schema_of_a_later_version_and_another_cas_database_are_not_touched() {
    let postgres = Postgres::start().unwrap();
    let site = Site::on(&postgres);
    let before = site.state();
    for (name, value, says) in [
        ("schema", "99", ["has schema 99", "use the later jit-ssh-ca"]),
        ("ca_id", "somebody-elses", ["belongs to another CA", "check [store] url"]),
    ] {
        let saved = site.query(&format!("SELECT value FROM meta WHERE name = '{name}'"))[0].clone();
        site.execute(&format!("UPDATE meta SET value = '{value}' WHERE name = '{name}'"));
        let said = site.refuses_to_serve();
        assert!(says.iter().all(|words| last_line(&said).contains(words)), "{said}");
        assert_eq!(site.state(), before, "{name}");
        site.execute(&format!("UPDATE meta SET value = '{}' WHERE name = '{name}'", saved.text(0).unwrap()));
    }
    site.serve().stop();
}

#[test]
fn a_database_that_is_not_there_is_named_without_its_password() {
    let mut postgres = Postgres::start().unwrap();
    let site = Site::on(&postgres);
    let secret = site.config().replace("postgres://app@", "postgres://app:a-password-of-the-database@");
    assert_ne!(secret, site.config());
    site.write("ca.toml", &secret);
    site.serve().stop();
    postgres.stop().unwrap();
    let said = site.refuses_to_serve();
    let line = last_line(&said);
    assert!(line.contains("does not answer: check that its server runs"), "{said}");
    assert!(line.contains("postgres://app@127.0.0.1") && !said.contains("a-password"), "{said}");
}

#[test]
fn of_three_servers_each_sees_what_the_others_did() {
    let postgres = Postgres::start().unwrap();
    let first = station(&postgres);
    let servers = ["second", "third"].map(|name| first.site.copy(name).serve());
    let servers: Vec<&Server> = [&first.server].into_iter().chain(&servers).collect();
    // A session of one is a session of all, a call that one took is taken, and what one ended is over everywhere.
    let mut serials = Vec::new();
    for turn in 0..9 {
        let call = first.session.access(&first.site.ca, &Key::new().unwrap()).unwrap();
        let issued: Issued = servers[turn % 3].send(&call).json().unwrap();
        serials.push(issued.serial);
        assert_eq!(servers[(turn + 1) % 3].send(&call).outcome(), "409 signature_replayed");
    }
    assert_eq!(serials, (1..=9).collect::<Vec<_>>());
    let end = first.session.call(&first.site.ca, "DELETE", "/v1/sessions/current", Vec::new()).unwrap();
    assert!(servers[1].send(&end).status < 300);
    for server in servers {
        let call = first.session.access(&first.site.ca, &Key::new().unwrap()).unwrap();
        assert_eq!(server.send(&call).outcome(), "401 session_ended");
    }
}
