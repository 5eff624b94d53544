//! Workloads: the tokens that a platform gives to its jobs.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use jit_ssh_tests::ca::Setup;
use jit_ssh_tests::client::Person;
use jit_ssh_tests::process::{Process, until};
use jit_ssh_tests::provider::NodeProvider;
use serde_json::Value;

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
    let entry = |login: &str, address: &str| Setup {
        policy: POLICY.to_owned(),
        tables: format!(
            "[[issuer]]\nname = \"ci\"\nkind = \"workload\"\nurl = {:?}\naudience = \"{AUDIENCE}\"\nusername = \"sub\"\n\
             tags = {{ ref = \"ref\", repository = \"repository\" }}\n",
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

    // Nothing of a token is kept on the machine that used it.
    for path in walk(next.home()) {
        let text = fs::read(&path).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(&token), "{} has the token", path.display());
    }
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
