//! The crash campaign: callers ask for certificates without pause while servers are killed, again and again, at
//! moments that nobody chose. Afterwards the ledger must hold every certificate that anybody ever received, number
//! them without a gap, and each caller must have its certificate or a clear reason why not.
#![expect(clippy::print_stdout, reason = "what a campaign came to is its result")]

mod callers;
mod checks;
mod fleet;

use std::time::Instant;

use jit_ssh_test_postgres::Postgres;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::campaign::fleet::Fleet;
use crate::stand::Site;

/// Who asks at the same time.
const CALLERS: usize = 6;

#[test]
fn killed_at_any_moment_a_server_on_sqlite_loses_nothing_that_it_gave() {
    servers_die("sqlite, 1 server", Fleet::one(Site::new()), 10);
}

#[test]
#[ignore = "long: hundreds of kills"]
fn killed_hundreds_of_times_a_server_on_sqlite_loses_nothing_that_it_gave() {
    servers_die("sqlite, 1 server", Fleet::one(Site::new()), 300);
}

#[test]
fn killed_at_any_moment_a_server_on_postgres_loses_nothing_that_it_gave() {
    let postgres = Postgres::start().unwrap();
    servers_die("postgres, 1 server", Fleet::one(Site::on(&postgres)), 10);
}

#[test]
fn killed_at_any_moment_one_of_three_servers_loses_nothing_and_the_others_go_on() {
    let postgres = Postgres::start().unwrap();
    servers_die("postgres, 3 servers", three(&postgres), 10);
}

#[test]
#[ignore = "long: hundreds of kills"]
fn killed_hundreds_of_times_a_server_on_postgres_loses_nothing_that_it_gave() {
    let postgres = Postgres::start().unwrap();
    servers_die("postgres, 1 server", Fleet::one(Site::on(&postgres)), 300);
}

#[test]
#[ignore = "long: hundreds of kills"]
fn killed_hundreds_of_times_one_of_three_servers_loses_nothing_and_the_others_go_on() {
    let postgres = Postgres::start().unwrap();
    servers_die("postgres, 3 servers", three(&postgres), 300);
}

#[test]
fn killed_at_any_moment_postgres_itself_loses_nothing_that_was_given() {
    postgres_dies(5);
}

#[test]
#[ignore = "long: hundreds of kills"]
fn killed_hundreds_of_times_postgres_itself_loses_nothing_that_was_given() {
    postgres_dies(200);
}

/// Three machines over one database.
fn three(postgres: &Postgres) -> Fleet {
    let site = Site::on(postgres);
    let others = ["second", "third"].map(|name| site.copy(name));
    Fleet::of([site].into_iter().chain(others).collect())
}

/// Kills one server of the fleet, again and again.
fn servers_die(name: &str, fleet: Fleet, kills: usize) {
    run(name, fleet, kills, Fleet::kill_one);
}

/// Kills the database under three servers, which nobody restarts.
fn postgres_dies(kills: usize) {
    // What a process wrote outlives it, flushed or not; unflushed, it recovers faster.
    let mut postgres = Postgres::start_with(&["fsync=off"]).unwrap();
    let fleet = three(&postgres);
    run("postgres itself under 3 servers", fleet, kills, |fleet, random| {
        fleet.wait_for_some(random);
        postgres.kill().unwrap();
        postgres.restart().unwrap();
    });
}

/// Kills something `kills` times under load, and checks what is left.
fn run(name: &str, fleet: Fleet, kills: usize, mut kill: impl FnMut(&Fleet, &mut StdRng)) {
    let seed: u64 = rand::thread_rng().r#gen();
    println!("campaign {name}: seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let began = Instant::now();
    let attempts = callers::ask(&fleet, CALLERS, || {
        for _ in 0..kills {
            kill(&fleet, &mut random);
        }
    });
    let took = began.elapsed();
    // What it left, after one more kill, before anything touches it again.
    fleet.kill_all();
    let counts = checks::check(fleet.site(), &attempts);
    println!("campaign {name}: {kills} kills in {:.1} s, {counts}", took.as_secs_f64());
}
