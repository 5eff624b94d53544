//! Workloads: the tokens that a platform gives to its jobs.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use jit_ssh_proto::Flow;
use jit_ssh_tests::api::Issuer;
use jit_ssh_tests::ca::{Ca, Data, Setup};
use jit_ssh_tests::client::Person;
use jit_ssh_tests::process::{Process, until};
use jit_ssh_tests::provider::NodeProvider;
use serde_json::Value;

use super::device::present;
use super::{Place, whoami};
use crate::login::setup;

const AUDIENCE: &str = "https://ca.example.com";
/// What the jobs may do: one command, from the main branch only.
const POLICY: &str = r#"
@id("deploy") @ttl("10m")
permit (principal is Workload, action == Action::"exec", resource in HostGroup::"web")
when {
  principal.hasTag("ref") && principal.getTag("ref") == "refs/heads/main" &&
  context has command && context.command == "echo deployed"
};
"#;

/// A CA for the jobs of `provider`, beside people who come from the same place.
fn place(provider: &NodeProvider) -> Place {
    place_with(provider, "")
}

/// The same with more tables in `ca.toml`.
fn place_with(provider: &NodeProvider, tables: &str) -> Place {
    let entry = |login: &str, address: &str| Setup {
        policy: POLICY.to_owned(),
        tables: format!(
            "[[issuer]]\nname = \"ci\"\nkind = \"workload\"\nurl = {:?}\naudience = \"{AUDIENCE}\"\nusername = \"sub\"\n\
             tags = {{ ref = \"ref\", repository = \"repository\" }}\n{tables}",
            provider.issuer()
        ),
        issuers: Vec::new(),
        ..setup(provider.issuer(), login, address)
    };
    Place::new(entry)
}

fn session(person: &Person, arguments: &[&str]) -> Value {
    let login = person.run(["login", "--json"].iter().chain(arguments)).unwrap().ok().unwrap();
    login.json().unwrap()["session"].clone()
}

#[test]
fn a_job_runs_its_command_and_nothing_else_and_its_token_is_good_for_one_key() {
    let provider = NodeProvider::start().unwrap();
    let place = place(&provider);
    let token = provider.job_token("deploy", AUDIENCE).unwrap();
    let job = place.person().with("CI_TOKEN", &token);
    let by_token = ["--token-env", "CI_TOKEN"];
    let exec = |command: &str| -> Vec<String> {
        by_token.iter().chain(&["--command"]).map(ToString::to_string).chain([command.to_owned()]).collect()
    };
    let run = |job: &Person, command: &str| {
        let exec = exec(command);
        place.ssh(job, &exec.iter().map(String::as_str).collect::<Vec<_>>(), &[])
    };
    let ran = run(&job, "echo deployed").ok().unwrap();
    assert_eq!(ran.out, "deployed\n", "{}", ran.err);
    for (what, said) in [("it", &ran), ("its denial", &run(&job, "echo something else").code(3).unwrap())] {
        assert!(!said.err.contains(&token) && !said.out.contains(&token), "{what} shows the token");
    }
    let who = whoami(&job);
    assert_eq!((&who["name"], &who["issuer"]), (&"deploy".into(), &"ci".into()));

    // The next step of the job: the same token, the same key, the same session.
    let first = who["id"].clone();
    assert_eq!(session(&job, &by_token)["id"], first);
    assert_eq!(session(&job, &by_token)["id"], first);
    assert_eq!(place.events("session.opened").len(), 1);
    assert_eq!(place.events("session.opened")[0]["flow"], "token");

    // Whoever else got hold of the token has another key, and comes too late.
    let thief = place.person().with("STOLEN", &token);
    let refused = thief.run(["login", "--token-env", "STOLEN"]).unwrap().code(5).unwrap();
    assert!(refused.err.contains("(token_used)") && !refused.err.contains(&token), "{}", refused.err);
    assert_eq!(place.events("session.refused").len(), 1);

    // Another job has another token and other rights; a new token of the same job is a new session.
    let nightly = place.person().with("CI_TOKEN", &provider.job_token("nightly", AUDIENCE).unwrap());
    let denied = run(&nightly, "echo deployed").code(3).unwrap();
    assert!(denied.err.contains("(no_access)"), "{}", denied.err);
    assert_eq!(whoami(&nightly)["name"], "nightly");
    let next = job.with("CI_TOKEN", &provider.job_token("deploy", AUDIENCE).unwrap());
    assert_ne!(session(&next, &by_token)["id"], first);
    assert_eq!(run(&next, "echo deployed").ok().unwrap().out, "deployed\n");

    // A job that logs out has used up its token, and hears so.
    next.run(["logout"]).unwrap().ok().unwrap();
    for _ in 0..2 {
        let over = next.run(["login", "--token-env", "CI_TOKEN"]).unwrap().code(5).unwrap();
        assert!(over.err.contains("jit-ssh logout has ended the session of this token"), "{}", over.err);
        assert!(over.err.contains("have the platform give a new one"), "{}", over.err);
    }

    // Nothing of a token is kept on the machine that used it.
    for path in walk(next.home()) {
        let text = fs::read(&path).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(&token), "{} has the token", path.display());
    }
}

/// The ledger keeps every event for ever: whoever holds one token cannot make it grow as fast as they make keys.
#[test]
fn refused_logins_are_all_answered_and_so_many_are_recorded() {
    let provider = NodeProvider::start().unwrap();
    let place = place_with(&provider, "[limits]\nrefused = 3\n");
    let open = |job: &str| {
        let token = provider.job_token(job, AUDIENCE).unwrap();
        assert_eq!(present(&place.ca, &token, Flow::Token), "201", "{job}");
        token
    };
    let refused = |token: &str, times: usize| {
        for _ in 0..times {
            assert_eq!(present(&place.ca, token, Flow::Token), "401 token_used");
        }
    };
    refused(&open("deploy"), 12);
    assert_eq!(place.events("session.refused").len(), 3);
    // Another token of the same identity is no new allowance, and it still opens its session.
    refused(&open("deploy"), 2);
    assert_eq!(place.events("session.refused").len(), 3);
    // Others have their own.
    refused(&open("nightly"), 2);
    assert_eq!(place.events("session.refused").len(), 5);
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn tokens_for_others_and_tokens_that_are_none_open_nothing() {
    let provider = NodeProvider::start().unwrap();
    let place = place(&provider);
    let elsewhere = provider.job_token("deploy", "https://another.example.com").unwrap();
    let job = place.person();
    for (token, code, why) in [
        (elsewhere.as_str(), 5, "(token_audience)"),
        ("e30.eyJpc3MiOiJodHRwczovL2V2aWwifQ.c2ln", 1, "from https://evil, which is no issuer of workloads"),
        ("e30.e30.c2ln", 1, "no issuer at all"),
        ("hunter2", 1, "does not hold a token"),
        ("", 1, "does not hold a token"),
    ] {
        let job = Person::new().unwrap().with("CI_TOKEN", token);
        job.setup(&place.ca).unwrap();
        let refused = job.run(["login", "--token-env", "CI_TOKEN"]).unwrap();
        assert_eq!(refused.code, Some(code), "{}", refused.err);
        assert!(refused.err.contains(why), "{why}: {}", refused.err);
        assert!(token.is_empty() || !refused.err.contains(token), "{}", refused.err);
    }
    let unset = job.run(["login", "--token-env", "CI_TOKEN"]).unwrap().code(1).unwrap();
    assert!(unset.err.contains("CI_TOKEN is not set"), "{}", unset.err);
    // People do not log in where jobs do.
    let person = job.run(["login", "--no-browser"]).unwrap().code(1).unwrap();
    assert!(person.err.contains("no identity provider of this CA takes the browser"), "{}", person.err);
    assert!(place.events("session.opened").is_empty());
}

#[test]
fn a_projected_token_is_read_anew_and_nothing_is_opened_with_it_after_its_end() {
    let provider = NodeProvider::start().unwrap();
    let place = place(&provider);
    let job = place.person();
    // As Kubernetes does it: the file is a link, and what it leads to is replaced.
    let (data, file) = (job.home().join("..data"), job.home().join("token"));
    let project = |job: &str| fs::write(&data, provider.job_token(job, AUDIENCE).unwrap()).unwrap();
    symlink(&data, &file).unwrap();
    let file = file.to_str().unwrap().to_owned();
    project("deploy");
    let first = session(&job, &["--token-file", &file])["id"].clone();
    assert_eq!(session(&job, &["--token-file", &file])["id"], first);
    project("deploy");
    let second = session(&job, &["--token-file", &file])["id"].clone();
    assert_ne!(second, first);
    // The same by the environment, and by standard input.
    let job = job.with("JIT_SSH_TOKEN_FILE", &file);
    assert_eq!(session(&job, &[])["id"], second);
    let mut command = job.command(["login", "--json", "--token-file", "-"]).unwrap();
    let (process, mut input) = Process::start_typing(&mut command).unwrap();
    input.write_all(&fs::read(&data).unwrap()).unwrap();
    drop(input);
    assert_eq!(process.wait().unwrap().ok().unwrap().json().unwrap()["session"]["id"], second);

    provider.brief().unwrap();
    project("deploy");
    let brief = session(&job, &[]);
    let expires = brief["expires"].as_u64().unwrap();
    until("the end of the token", || Ok((jit_ssh_tests::api::now() > expires).then_some(()))).unwrap();
    job.run(["whoami"]).unwrap().code(5).unwrap();
    let late = job.run(["login"]).unwrap().code(5).unwrap();
    assert!(late.err.contains("(session_expired)"), "the same key, the same token, too late: {}", late.err);
    let other = place.person().run(["login", "--token-file", &file]).unwrap().code(5).unwrap();
    assert!(other.err.contains("(token_used)"), "another key, and too late: {}", other.err);
}

/// The blocks of docs/CI.md with this tag, one for each platform.
pub(super) fn shown(tag: &str) -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CI.md");
    let text = fs::read_to_string(path).unwrap();
    let fence = format!("```{tag}\n");
    let blocks = text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(str::to_owned).collect()
}

#[test]
fn the_entries_and_policies_of_the_document_let_in_the_jobs_that_they_are_for() {
    let (entries, policies) = (shown("toml"), shown("cedar"));
    assert_eq!((entries.len(), policies.len()), (3, 3));
    // Keys of our own, from files: these platforms are not asked in a test.
    let platforms: Vec<(String, Issuer)> = entries
        .iter()
        .map(|entry| {
            let entry: toml::Table = entry.parse().unwrap();
            let issuer = entry["issuer"][0].as_table().unwrap();
            let name = issuer["name"].as_str().unwrap().to_owned();
            (name.clone(), Issuer::new(issuer["url"].as_str().unwrap(), &name).unwrap())
        })
        .collect();
    let mut tables = String::new();
    for (entry, (name, _)) in entries.iter().zip(&platforms) {
        let file = format!("jwks_file = \"{name}.json\"\n");
        tables.push_str(&if entry.contains(&file) { entry.clone() } else { format!("{entry}{file}") });
    }
    let setup = Setup {
        tables,
        policy: policies.concat(),
        issuers: Vec::new(),
        ..setup("https://x.example.com", "deploy", "127.0.0.1:1")
    };
    let data = Data::init(&setup).unwrap();
    for (name, issuer) in &platforms {
        fs::write(data.dir().join(format!("{name}.json")), issuer.jwks()).unwrap();
    }
    let ca = Ca::serve(data, Vec::new()).unwrap();

    // The shapes are the platforms' own, as they publish them.
    let claims = |platform: &str, more: Value| {
        let now = jit_ssh_tests::api::now();
        let mut claims = match platform {
            "github" => serde_json::json!({
                "sub": "repo:acme/shop:environment:production", "aud": AUDIENCE, "environment": "production",
                "ref": "refs/heads/main", "repository": "acme/shop", "repository_owner": "acme", "run_id": "7",
                "actor": "octocat", "event_name": "push", "ref_type": "branch", "nbf": now - 600,
                "job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
            }),
            "gitlab" => serde_json::json!({
                "sub": "project_path:acme/shop:ref_type:branch:ref:main", "aud": AUDIENCE, "project_path": "acme/shop",
                "namespace_path": "acme", "project_id": "20", "user_login": "ada", "pipeline_source": "push", "job_id": "7",
                "ref": "main", "ref_type": "branch", "ref_protected": "true", "environment": "production", "nbf": now - 5,
            }),
            "k8s" => serde_json::json!({
                "sub": "system:serviceaccount:backup:collector", "aud": [AUDIENCE], "nbf": now,
                "kubernetes.io": { "namespace": "backup", "pod": { "name": "collector-x", "uid": "1" },
                    "serviceaccount": { "name": "collector", "uid": "2" } },
            }),
            other => panic!("say here what a token of {other} looks like"),
        };
        claims["iat"] = now.into();
        claims["exp"] = (now + 600).into();
        // Every token is another one.
        claims["jti"] = in_hex(jit_ssh_tests::api::random::<8>()).into();
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let command = "systemctl restart shop";
    let nothing = || serde_json::json!({});
    for (platform, more, command, code) in [
        ("github", nothing(), command, 0),
        ("gitlab", nothing(), command, 0),
        ("k8s", nothing(), command, 0),
        ("github", nothing(), "systemctl stop shop", 3),
        ("github", serde_json::json!({ "repository": "mallory/shop" }), command, 3),
        ("github", serde_json::json!({ "environment": null }), command, 3),
        ("gitlab", serde_json::json!({ "ref_protected": "false" }), command, 3),
        ("gitlab", serde_json::json!({ "ref": "feature" }), command, 3),
        ("k8s", serde_json::json!({ "kubernetes.io": { "namespace": "backup" } }), command, 3),
        ("k8s", serde_json::json!({ "aud": ["https://kubernetes.default.svc"] }), command, 5),
        ("k8s", serde_json::json!({ "aud": [AUDIENCE, "https://kubernetes.default.svc"] }), command, 5),
    ] {
        let (_, issuer) = platforms.iter().find(|(name, _)| name == platform).unwrap();
        let mut claims = claims(platform, more);
        claims["iss"] = issuer.url.clone().into();
        let job = Person::new().unwrap().with("TOKEN", &issuer.token(&claims).unwrap());
        job.setup(&ca).unwrap();
        let words = ["login", "deploy@web-1", "--token-env", "TOKEN", "--command", command];
        let ended = job.run(words).unwrap();
        assert_eq!(ended.code, Some(code), "{platform} {claims}: {}", ended.err);
    }
}

pub(super) fn in_hex(bytes: [u8; 8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
