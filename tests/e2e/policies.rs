//! `jit-ssh-ca policy …`, as those use it who write policies and the CI jobs that look at each change.

mod cases;
mod differences;
mod mistakes;

use std::fs;
use std::path::{Path, PathBuf};

use jit_ssh_tests::process::{self, Output};

/// A folder like a data directory, with as much in it as policies need.
struct Folder {
    place: tempfile::TempDir,
}

/// What most of these tests write policies about.
const INVENTORY: &str = r#"
[[group]]
name = "prod"
logins = ["deploy", "root"]
[[group]]
name = "lab"
logins = ["alice"]
[[host]]
name = "web-1"
groups = ["prod"]
[[host]]
name = "web-2"
groups = ["prod"]
[[host]]
name = "lab-1"
groups = ["lab"]
"#;

const CONFIG: &str = r#"
timezone = "Europe/Paris"
[[issuer]]
name = "corp"
url = "https://login.example.com"
client_id = "jit-ssh"
username = "preferred_username"
groups = "groups"
[issuer.groups_map]
"sre" = ["sre"]
"dev" = ["dev"]
"leads" = ["leads"]
"#;

impl Folder {
    fn new(policies: &str) -> Self {
        let folder = Self { place: tempfile::tempdir().unwrap() };
        folder.write("policies/p.cedar", policies);
        folder.write("inventory/hosts.toml", INVENTORY);
        folder.write("ca.toml", CONFIG);
        folder
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn write(&self, below: &str, text: &str) {
        let path = self.path().join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn policy(&self, command: &str, more: &[&str]) -> Output {
        let mut words = vec!["policy", command, self.path().to_str().unwrap()];
        words.extend(more);
        run(&words)
    }
}

/// `jit-ssh-ca` with these words.
fn run(words: &[&str]) -> Output {
    let mut command = process::command(&process::program("jit-ssh-ca").unwrap());
    process::run(command.args(words)).unwrap()
}

/// Every folder of examples.
fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/policies");
    let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 9, "{folders:?}");
    folders
}

#[test]
fn every_example_is_in_order_tested_and_laid_out() {
    for folder in examples() {
        let dir = folder.to_str().unwrap();
        let said = run(&["policy", "check", "--deny-warnings", dir]).ok().unwrap().out;
        assert!(said.contains("in order: 0 errors, 0 warnings"), "{dir}: {said}");
        let said = run(&["policy", "test", "--deny-untested", dir]).ok().unwrap().out;
        assert!(said.contains("0 failed") && said.contains("every policy took part"), "{dir}: {said}");
        run(&["policy", "format", "--check", dir]).ok().unwrap();
        // What is asked of both is answered by both alike.
        let said = run(&["policy", "diff", "--exit-code", dir, dir]).ok().unwrap().out;
        assert!(said.starts_with("nothing changes ("), "{dir}: {said}");
    }
}

#[test]
fn what_init_writes_is_in_order_and_tested() {
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("ca-server/starter");
    let read = |name: &str| fs::read_to_string(starter.join(name)).unwrap();
    let folder = Folder::new("");
    folder.write("policies/p.cedar", &read("policy.cedar"));
    folder.write("policies/p.test.toml", &read("policy.test.toml"));
    folder.write("inventory/hosts.toml", &read("inventory.toml"));
    fs::remove_file(folder.path().join("ca.toml")).unwrap();
    folder.policy("check", &["--deny-warnings"]).ok().unwrap();
    folder.policy("test", &["--deny-untested"]).ok().unwrap();
}

#[test]
fn folders_of_a_checkout_are_named_one_by_one() {
    let folder = Folder::new(
        "permit (principal in Group::\"sre\", action == Action::\"shell\", resource in HostGroup::\"prod\");",
    );
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (policies, inventory, config) = (at("policies"), at("inventory"), at("ca.toml"));
    let words = ["policy", "check", "--policies", &policies, "--inventory", &inventory, "--config", &config];
    assert!(run(&words).ok().unwrap().out.contains("1 policy in order"));
    // Without the inventory nothing that the policy names is there.
    let said = run(&["policy", "check", "--deny-warnings", "--policies", &policies]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.contains("warning[unknown-name]: the inventory has no group of hosts \"prod\""),
        "{}",
        said.out
    );
    for (words, says) in [
        (&["policy", "check"][..], "<DIR>"),
        (&["policy", "check", &at(""), "--policies", &policies], "cannot be used with"),
        (&["policy", "check", "--policies", "/not/there"], "no such folder"),
        (&["policy", "check", &at("nowhere")], "no such folder"),
    ] {
        let said = run(words);
        assert_ne!(said.code, Some(0), "{words:?}");
        assert!(format!("{}{}", said.out, said.err).contains(says), "{words:?}: {said:?}");
    }
}

#[test]
fn the_schema_is_versioned_and_written_for_editors() {
    let printed = run(&["policy", "schema"]).ok().unwrap().out;
    assert!(printed.starts_with("// The schema of jit-ssh policies, version 1."), "{printed}");
    for name in ["entity User", "entity HostGroup", "action exec", "raw_command"] {
        assert!(printed.contains(name), "{name}");
    }
    let folder = Folder::new("");
    let file = folder.path().join("schema.cedarschema");
    run(&["policy", "schema", "--write", file.to_str().unwrap()]).ok().unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap().trim_end(), printed.trim_end());
    // Beside the policies it is no policy.
    folder.write("policies/schema.cedarschema", &printed);
    folder.policy("check", &[]).ok().unwrap();
}

#[test]
fn format_lays_out_all_or_nothing_and_changes_no_meaning() {
    let untidy =
        "// first\n@id(\"a\")permit(principal,action==Action::\"shell\",resource)when{context.reason!=\"\"};";
    let folder = Folder::new(untidy);
    folder.write("policies/q.cedar", "permit (");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    // One of them is wrong: neither is touched.
    let said = folder.policy("format", &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("no file was changed") && said.err.contains("q.cedar:1:8"), "{}", said.err);
    assert_eq!(read("policies/p.cedar"), untidy);
    fs::remove_file(folder.path().join("policies/q.cedar")).unwrap();
    let said = folder.policy("format", &["--check"]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("p.cedar") && said.err.contains("1 file laid out otherwise"), "{said:?}");
    assert_eq!(read("policies/p.cedar"), untidy);
    folder.policy("format", &[]).ok().unwrap();
    let tidy = "// first\n@id(\"a\")\npermit (\n    principal,\n    action == Action::\"shell\",\n    resource\n)\nwhen { context.reason != \"\" };\n";
    assert_eq!(read("policies/p.cedar"), tidy);
    assert_eq!(folder.policy("format", &["--check"]).ok().unwrap().out, "");
}
