//! Tests of the store from outside, and what they share: a store in a place of its own and changes to make.
//!
//! What is under `contract` holds on both engines and runs on both.

mod crash;
mod disk;
mod opening;
mod plans;
mod server;

#[expect(clippy::duplicate_mod, reason = "one contract, on both engines")]
#[path = "contract"]
mod on_sqlite {
    use super::*;

    fn home() -> Home {
        Home::new()
    }

    mod grouping;
    mod identities;
    mod issuing;
    mod ledger;
    mod operations;
    mod preconditions;
    mod requests;
    mod search;
    mod sizes;
    mod tree;
    mod verify;
}

#[expect(clippy::duplicate_mod, reason = "one contract, on both engines")]
#[path = "contract"]
mod on_postgres {
    use super::*;

    fn home() -> Home {
        Home::on_server()
    }

    mod grouping;
    mod identities;
    mod issuing;
    mod ledger;
    mod operations;
    mod preconditions;
    mod requests;
    mod search;
    mod sizes;
    mod tree;
    mod verify;
}

use jit_ssh_core::identity::{Claims, Flow, Picked};
use jit_ssh_core::request::{AccessRequest, RequestLimits};
use jit_ssh_proto::event::{Actor, PolicyLoaded, Ruled, RulesChange};
use jit_ssh_proto::wire::AccessRequestBody;
use jit_ssh_proto::{CaId, Code, Mode, RequestId, SessionId, Span, Timestamp, UserKey};
use jit_ssh_test_postgres::Postgres;
use ssh_key::PublicKey;
use ssh_key::private::Ed25519Keypair;
use ssh_key::public::KeyData;

use super::engine::{Conn, Value};
use super::*;

/// When the tests happen.
const T0: u64 = 1_790_000_000;
/// How long their sessions last.
const HOURS_8: u64 = 8 * 3600;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(T0 + seconds)
}

fn ca() -> CaId {
    CaId::from_bytes([7; 32])
}

thread_local! {
    /// The server of this test. It ends with the test's thread.
    static SERVER: Arc<Postgres> = Arc::new(Postgres::start().unwrap());
}

/// A directory, with a database there or on a server.
struct Home {
    dir: tempfile::TempDir,
    url: String,
}

impl Home {
    /// With a SQLite file.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("ca.db").display());
        Self { dir, url }
    }

    /// With a database of its own on a PostgreSQL server.
    fn on_server() -> Self {
        let url = SERVER.with(|server| server.database().unwrap());
        Self { dir: tempfile::tempdir().unwrap(), url }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("ca.db")
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    /// Of this CA, made if it is not there; with no clock to compare, because the tests' time is their own.
    fn options(&self) -> Options {
        let seen = self.dir.path().join("ledger.seen");
        Options { url: self.url(), ca: ca(), create: true, seen, clock: None, keep: KEEP }
    }

    async fn open(&self) -> Store {
        Store::open(self.options()).await.unwrap()
    }
}

fn session_id(n: u64) -> SessionId {
    OpenSession::session_of(at(0), &hash("token", n))
}

fn request_id(n: u64) -> RequestId {
    RequestId::from_parts(T0 * 1000 + n, 1)
}

fn user_key(n: u8) -> UserKey {
    UserKey::new(&PublicKey::from(KeyData::Ed25519(Ed25519Keypair::from_seed(&[n; 32]).public))).unwrap()
}

fn call(id: &str) -> CallId {
    CallId { id: id.to_owned(), signed: at(0) }
}

fn hash(label: &str, n: u64) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(format!("{label} {n}")).into()
}

/// Somebody who logs in.
#[derive(Clone, Copy)]
struct Person {
    issuer: &'static str,
    sub: &'static str,
    login: &'static str,
}

const ALICE: Person = Person { issuer: "corp", sub: "alice-sub", login: "alice" };
const BOB: Person = Person { issuer: "corp", sub: "bob-sub", login: "bob" };

impl Person {
    fn actor(self) -> Actor {
        Actor::Identity {
            issuer: self.issuer.parse().unwrap(),
            sub: self.sub.to_owned(),
            name: self.login.parse().unwrap(),
        }
    }

    /// Session number `n`, opened with token number `n`.
    fn open(self, n: u64) -> OpenSession {
        OpenSession {
            call: call(&format!("open-{n}")),
            token_hash: hash("bearer", n),
            issuer: self.issuer.parse().unwrap(),
            claims: Claims {
                sub: self.sub.to_owned(),
                picked: Picked {
                    issuer: "https://id.example.com".to_owned(),
                    username: Some("preferred_username".to_owned()),
                    groups: None,
                    tags: [].into(),
                },
                flow: Flow::Code,
                auth_time: Some(at(0)),
                methods: vec!["pwd".to_owned()],
                level: None,
                email: None,
                email_verified: None,
                username: Some(self.login.into()),
                groups: None,
                tags: [].into(),
                sid: None,
            },
            name: self.login.parse().unwrap(),
            login: Some(self.login.parse().unwrap()),
            email: None,
            groups: vec!["sre".parse().unwrap()],
            flow: Flow::Code,
            key: user_key(1),
            expires: at(HOURS_8),
            replay: hash("token", n),
            issued: at(0),
            replay_until: at(600),
            source: "192.0.2.1".to_owned(),
            refresh: None,
        }
    }

    fn opens(self, n: u64) -> Change {
        Change::OpenSession(Box::new(self.open(n)))
    }

    fn ends(self, n: u64) -> Change {
        Change::EndSession(EndSession {
            call: call(&format!("end-{n}")),
            session: session_id(n),
            actor: self.actor(),
            source: "192.0.2.1".to_owned(),
        })
    }

    /// A refused request number `n` under session number `session`.
    fn decide(self, session: u64, n: u64) -> DecideRequest {
        DecideRequest {
            call: Some(call(&format!("decide-{n}"))),
            session: session_id(session),
            actor: self.actor(),
            source: "192.0.2.1".to_owned(),
            id: request_id(n),
            asked: asked("deploy@web-1"),
            policy_digest: "00".repeat(32),
            decided: Decided::Denied { code: Code::NoAccess, policies: Vec::new() },
        }
    }

    fn is_denied(self, session: u64, n: u64) -> Change {
        Change::DecideRequest(Box::new(self.decide(session, n)))
    }
}

fn asked(account: &str) -> AccessRequest {
    let body = AccessRequestBody {
        accounts: vec![account.to_owned()],
        mode: Mode::Shell,
        modifiers: Vec::new(),
        command: None,
        duration: Some("30m".to_owned()),
        reason: "disk full".to_owned(),
        ticket: "OPS-7".to_owned(),
        key: String::new(),
        proof: String::new(),
    };
    let limits = RequestLimits { max_duration: Span::from_seconds(HOURS_8), max_accounts: 8 };
    AccessRequest::parse(&body, &limits).unwrap()
}

fn policy_loaded() -> Change {
    Change::Record(RecordEvent {
        actor: Actor::Ca,
        what: jit_ssh_proto::event::What::PolicyLoaded(PolicyLoaded {
            previous: None,
            changes: Vec::new(),
            digest: "00".repeat(32),
            policies: 1,
            hosts: 2,
        }),
    })
}

/// Each change's code, or its leaf.
async fn results(store: &Store, seconds: u64, changes: Vec<Change>) -> Vec<Result<u64, Code>> {
    let applied = store.apply(at(seconds), changes).await.unwrap();
    applied
        .into_iter()
        .map(|result| match result {
            Ok(outcome) => Ok(outcome.leaf),
            Err(Refusal::Precondition(code)) => Err(code),
            Err(Refusal::Prepare(error)) => panic!("{error}"),
            Err(Refusal::NotErasable(error)) => panic!("{error}"),
        })
        .collect()
}

/// The set that this digit stands for comes into force, compared with another one.
fn loads(set: char, compared: Option<char>, always: bool) -> Change {
    let digest = |set: char| set.to_string().repeat(64);
    let change = RulesChange { of: Ruled::Hosts, added: 1, removed: 0, changed: 0, names: Vec::new() };
    let loaded = PolicyLoaded {
        previous: compared.map(digest),
        changes: compared.map(|_| change).into_iter().collect(),
        digest: digest(set),
        policies: 1,
        hosts: 2,
    };
    Change::LoadRules(LoadRules { loaded, always })
}

/// How many events there are.
async fn leaves(store: &Store) -> usize {
    store.events(0, 1_000_000).await.unwrap().len()
}

/// Does something past the store, where it may block.
fn past<T: Send>(home: &Home, work: impl FnOnce(&mut dyn Conn) -> T + Send) -> T {
    let place = Place::parse(&home.url()).unwrap();
    std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            let mut conn = place.writer().unwrap();
            let done = work(conn.as_mut());
            conn.close();
            done
        });
        done.join().unwrap()
    })
}

/// Runs one statement past the store.
fn sql(home: &Home, statement: &str) {
    execute(home, statement, &[]);
}

/// The same with arguments.
fn execute(home: &Home, statement: &str, args: &[Value]) {
    past(home, |conn| conn.execute(statement, args).unwrap());
}

/// A row where the next session would go: only the database itself sees that.
fn in_the_way(home: &Home) {
    let row = "INSERT INTO sessions \
        (leaf, id, token_hash, replay, issuer, sub, claims, session_key, opened, expires, keep_until) \
        SELECT COUNT(*), 'in the way', $1, $1, 'corp', 'nobody', '', '', 0, 0, 9000000000 FROM events";
    execute(home, row, &[hash("nothing", 0).into()]);
}

/// How many rows a table has.
fn count(home: &Home, table: &str) -> u64 {
    past(home, |conn| {
        conn.select(&format!("SELECT COUNT(*) FROM {table}"), &[]).unwrap()[0].number(0).unwrap()
    })
}

/// The tables and what their rows are ordered by.
const TABLES: &[(&str, &str)] = &[
    ("meta", "name"),
    ("events", "leaf"),
    ("tiles", "level, idx"),
    ("serials", "authority"),
    ("identities", "name"),
    ("call_ids", "id"),
    ("sessions", "leaf"),
    ("requests", "id"),
    ("certificates", "authority, serial"),
    ("disabled", "id"),
    ("issuers", "name"),
    ("revalidations", "session"),
];

/// Everything that every table holds.
fn content(home: &Home) -> String {
    past(home, |conn| {
        let mut all = String::new();
        for (table, order) in TABLES {
            for row in conn.select(&format!("SELECT * FROM {table} ORDER BY {order}"), &[]).unwrap() {
                all.push_str(&format!("{table}: {row:?}\n"));
            }
        }
        all
    })
}
