//! `--github`: a job of GitHub Actions asks its runner for a token. The runner is here a server on loopback that answers as
//! GitHub documents it (`ACTIONS_ID_TOKEN_REQUEST_URL`), with tokens that a key of the test signs.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use jit_ssh_tests::api::{Issuer, now, random};
use jit_ssh_tests::ca::{Ca, Data, Setup};
use jit_ssh_tests::client::Person;
use serde_json::{Value, json};

use super::jobs::{in_hex, shown};
use super::whoami;
use crate::login::setup;

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const SECRET: &str = "runners-own-secret-5d1f";

/// A runner. It listens until the test is over.
struct Runner {
    url: String,
    /// What was asked for: paths with their queries.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Runner {
    /// One that answers so, by audience, to whoever knows its secret.
    fn start(answer: impl Fn(&str) -> (u16, Value) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/idtoken/1/2?api-version=2.0", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let calls = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let target =
                    lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
                let knows = format!("authorization: bearer {SECRET}");
                let known =
                    lines.take_while(|line| !line.is_empty()).filter(|line| *line == knows).count() == 1;
                let url = url::Url::parse(&format!("http://runner{target}")).unwrap();
                let audience = url.query_pairs().find(|(name, _)| name == "audience");
                let audience = audience.map(|(_, value)| value.into_owned()).unwrap_or_default();
                let (status, body) = if known { answer(&audience) } else { (401, json!({})) };
                let body = body.to_string();
                calls.lock().unwrap().push(target);
                // Whoever hung up has no answer to get.
                let _gone = write!(
                    stream,
                    "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { url, asked }
    }

    /// One that gives tokens to jobs of this repository.
    fn of(github: &Arc<Issuer>, repository: &'static str) -> Self {
        let github = Arc::clone(github);
        Self::start(move |audience| {
            (200, json!({ "count": 1, "value": token(&github, audience, repository) }))
        })
    }

    /// A machine on which a job of it runs.
    fn job(&self, ca: &Ca, secret: &str) -> Person {
        let job = Person::new().unwrap();
        job.setup(ca).unwrap();
        job.with("ACTIONS_ID_TOKEN_REQUEST_URL", &self.url).with("ACTIONS_ID_TOKEN_REQUEST_TOKEN", secret)
    }
}

/// A token as GitHub documents it.
fn token(github: &Issuer, audience: &str, repository: &str) -> String {
    let now = now();
    let claims = json!({
        "iss": github.url, "aud": audience, "sub": format!("repo:{repository}:environment:production"),
        "repository": repository, "repository_owner": "acme", "environment": "production", "actor": "octocat",
        "ref": "refs/heads/main", "ref_type": "branch", "event_name": "push", "run_id": "7",
        "job_workflow_ref": format!("{repository}/.github/workflows/deploy.yml@refs/heads/main"),
        "iat": now, "nbf": now - 600, "exp": now + 600, "jti": in_hex(random::<8>()),
    });
    github.token(&claims).unwrap()
}

/// A CA with the entry and the policies of docs/CI.md, and GitHub's keys.
fn place() -> (Ca, Arc<Issuer>) {
    let github = Arc::new(Issuer::new(GITHUB, "github").unwrap());
    let entry = shown("toml").into_iter().find(|entry| entry.contains(GITHUB)).unwrap();
    let setup = Setup {
        tables: format!("{entry}jwks_file = \"github.json\"\n"),
        policy: shown("cedar").concat(),
        issuers: Vec::new(),
        ..setup("https://x.example.com", "deploy", "127.0.0.1:1")
    };
    let data = Data::init(&setup).unwrap();
    fs::write(data.dir().join("github.json"), github.jwks()).unwrap();
    (Ca::serve(data, Vec::new()).unwrap(), github)
}

const WORDS: [&str; 5] = ["login", "deploy@web-1", "--github", "--command", "systemctl restart shop"];

fn count(ca: &Ca, kind: &str) -> usize {
    ca.data().events().unwrap().iter().filter(|item| item["event"]["type"] == kind).count()
}

#[test]
fn a_job_asks_its_runner_for_a_token_for_this_ca_and_gets_a_certificate() {
    let (ca, github) = place();
    let runner = Runner::of(&github, "acme/shop");
    let job = runner.job(&ca, SECRET);
    let done = job.run(WORDS).unwrap().ok().unwrap();
    let asked = runner.asked.lock().unwrap().clone();
    assert_eq!(asked, ["/idtoken/1/2?api-version=2.0&audience=https%3A%2F%2Fca.example.com"]);
    for secret in [SECRET, "eyJ"] {
        assert!(!done.err.contains(secret) && !done.out.contains(secret), "{}", done.err);
    }
    assert_eq!((count(&ca, "session.opened"), count(&ca, "certificate.issued")), (1, 1));
    let who = whoami(&job);
    assert_eq!((&who["issuer"], &who["flow"]), (&json!("github"), &json!("token")));
}

#[test]
fn a_job_that_its_runner_gives_nothing_of_use_gets_nothing() {
    let (ca, github) = place();
    let ours = Runner::of(&github, "acme/shop");
    let lies = |status: u16, body: Value| Runner::start(move |_| (status, body.clone()));
    let elsewhere = token(&github, "https://elsewhere.example.com", "acme/shop");
    let stranger = Issuer::new("https://evil.example.com", "github").unwrap();
    let foreign = token(&stranger, "https://ca.example.com", "acme/shop");
    for (what, runner, secret, code, why) in [
        ("another repository", &Runner::of(&github, "mallory/shop"), SECRET, 3, "(no_access)"),
        ("another secret", &ours, "guessed", 1, "status 401"),
        ("no permission", &ours, "", 1, "id-token: write"),
        ("trouble", &lies(500, json!({})), SECRET, 1, "status 500"),
        ("no token", &lies(200, json!({})), SECRET, 1, "not understood"),
        ("words", &lies(200, json!({ "value": "hunter2" })), SECRET, 1, "does not hold a token"),
        ("another audience", &lies(200, json!({ "value": elsewhere })), SECRET, 5, "(token_audience)"),
        ("another issuer", &lies(200, json!({ "value": foreign })), SECRET, 1, "no issuer of workloads"),
    ] {
        let refused = runner.job(&ca, secret).run(WORDS).unwrap();
        assert_eq!(refused.code, Some(code), "{what}: {}", refused.err);
        assert!(refused.err.contains(why), "{what}: {}", refused.err);
        for secret in [SECRET, "hunter2", "eyJ"] {
            assert!(!refused.err.contains(secret), "{what}: {}", refused.err);
        }
    }
    assert_eq!(count(&ca, "certificate.issued"), 0);
}
