//! The servers of a campaign: which of them can be asked, and how one dies.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use jit_ssh_tests::process::{PATIENCE, Process, until};
use rand::Rng;
use rand::rngs::StdRng;

use crate::stand::{Server, Site};

/// One kill in so many comes while the server starts.
const ONE_STARTING_IN: u32 = 6;

pub(super) struct Fleet {
    machines: Vec<Machine>,
    /// Where each can be asked; none while it is dead.
    addresses: Mutex<Vec<Option<SocketAddr>>>,
    news: Condvar,
    over: AtomicBool,
    answers: AtomicUsize,
}

/// A server and the data directory that is its alone.
struct Machine {
    site: Site,
    server: Mutex<Option<Server>>,
}

impl Fleet {
    /// One server.
    pub(super) fn one(site: Site) -> Self {
        Self::of(vec![site])
    }

    /// A server on each of these, which share one database.
    pub(super) fn of(sites: Vec<Site>) -> Self {
        let fleet = Self {
            addresses: Mutex::new(vec![None; sites.len()]),
            machines: sites.into_iter().map(|site| Machine { site, server: Mutex::new(None) }).collect(),
            news: Condvar::new(),
            over: AtomicBool::new(false),
            answers: AtomicUsize::new(0),
        };
        for at in 0..fleet.machines.len() {
            fleet.start(at);
        }
        fleet
    }

    /// The CA that all of them are.
    pub(super) fn site(&self) -> &Site {
        &self.machines[0].site
    }

    /// Where to ask: `wish` if it lives, else another that does. None when the campaign is over.
    pub(super) fn address(&self, wish: usize) -> Option<SocketAddr> {
        let mut addresses = self.addresses.lock().unwrap();
        loop {
            if self.is_over() {
                return None;
            }
            let wish = wish % addresses.len();
            if let Some(address) = addresses[wish].or_else(|| addresses.iter().copied().flatten().next()) {
                return Some(address);
            }
            addresses = self.news.wait_timeout(addresses, PATIENCE).unwrap().0;
        }
    }

    /// Whether callers should stop.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Says that a caller has its certificate.
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for some more answers, and not only until right after one.
    pub(super) fn wait_for_some(&self, random: &mut StdRng) {
        self.wait_for_answers(random.gen_range(1..=30));
        thread::sleep(Duration::from_micros(random.gen_range(0..4000)));
    }

    /// Kills one server, some answers from now, and starts it again.
    pub(super) fn kill_one(&self, random: &mut StdRng) {
        self.wait_for_some(random);
        let at = random.gen_range(0..self.machines.len());
        self.kill(at);
        if random.gen_ratio(1, ONE_STARTING_IN) {
            let starting = Process::start(&mut self.machines[at].site.command()).unwrap();
            thread::sleep(Duration::from_millis(random.gen_range(0..400)));
            drop(starting);
        }
        self.start(at);
    }

    /// Kills them all, for good.
    pub(super) fn kill_all(&self) {
        (0..self.machines.len()).for_each(|at| self.kill(at));
    }

    /// Lets callers have some more answers, then tells them that it is over.
    pub(super) fn end(&self) {
        self.wait_for_answers(10);
        self.give_up();
    }

    /// Tells callers that it is over.
    pub(super) fn give_up(&self) {
        let addresses = self.addresses.lock().unwrap();
        self.over.store(true, Ordering::Relaxed);
        drop(addresses);
        self.news.notify_all();
    }

    fn wait_for_answers(&self, count: usize) {
        let enough = self.answers.load(Ordering::Relaxed) + count;
        until("answers", || Ok((self.answers.load(Ordering::Relaxed) >= enough).then_some(()))).unwrap();
    }

    fn start(&self, at: usize) {
        let machine = &self.machines[at];
        let server = machine.site.serve();
        self.addresses.lock().unwrap()[at] = Some(server.address);
        *machine.server.lock().unwrap() = Some(server);
        self.news.notify_all();
    }

    fn kill(&self, at: usize) {
        self.addresses.lock().unwrap()[at] = None;
        // Dropped, it gets a SIGKILL.
        let server = self.machines[at].server.lock().unwrap().take();
        drop(server);
    }
}
