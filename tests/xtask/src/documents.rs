//! The documents are held against the tree: what they link to and name must be there. (What they say of the protocol
//! is compared with the code in `proto/tests/protocol_document.rs`.)

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::{Arguments, Task, shell, test};

fn root() -> PathBuf {
    shell::root().unwrap()
}

/// Every file below a folder, without what was built.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The text outside fenced blocks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let kept = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// What stands between backquotes, in text without fenced blocks. A span may go over the end of a line.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// A heading's anchor, as forges make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for document in files(&root(), "md") {
        let text = prose(&read(&document));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            let there = target.exists()
                && (fragment.is_empty()
                    || prose(&read(&target)).lines().any(|line| {
                        line.starts_with('#') && anchor(line.trim_start_matches('#').trim()) == fragment
                    }));
            if !there {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn paths_that_are_named_are_there() {
    let mut missing = Vec::new();
    for document in files(&root().join("docs"), "md") {
        let text = prose(&read(&document));
        for word in quoted(&text) {
            let ours = ["ca-server/", "proto/", "client/", "host/", "tests/", "docs/"];
            let plain = !word.contains([' ', '*', '<', '…']);
            if plain && ours.iter().any(|folder| word.starts_with(folder)) && !root().join(word).exists() {
                missing.push(format!("{}: {word}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn tests_that_are_named_are_there() {
    let sources: Vec<String> = files(&root(), "rs").iter().map(|path| read(path)).collect();
    let is_test = |name: &str| {
        let function = format!("fn {name}(");
        sources.iter().any(|source| source.contains(&function))
    };
    let mut missing = Vec::new();
    for name in ["ARCHITECTURE.md", "THREAT_MODEL.md"] {
        let text = prose(&read(&root().join("docs").join(name)));
        // A name with three underscores or more is a test's.
        for word in quoted(&text) {
            let plain = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if plain && word.matches('_').count() >= 3 && !is_test(word) {
                missing.push(format!("{name}: {word}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    let architecture = read(&root().join("docs/ARCHITECTURE.md"));
    for number in 1..=12 {
        assert!(architecture.contains(&format!("\n| {number} | ")), "invariant {number} has no row");
    }
    // And the other way round: a test named after an invariant stands in its row.
    let rows: Vec<&str> = architecture.lines().filter(|line| line.starts_with("| ")).collect();
    for source in &sources {
        for rest in source.split("fn invariant_").skip(1) {
            let Some((name, _)) = rest.split_once('(') else { continue };
            let Some((number, _)) = name.split_once('_') else { continue };
            let row = format!("| {number} | ");
            let named = |line: &&str| line.starts_with(&row) && line.contains(&format!("`invariant_{name}`"));
            assert!(rows.iter().any(named), "invariant_{name} is not in its row");
        }
    }
}

#[test]
fn every_key_of_the_configuration_is_explained() {
    let text = prose(&read(&root().join("docs/CONFIG.md")));
    let words: BTreeSet<&str> = quoted(&text).into_iter().map(|word| word.trim_matches(['[', ']'])).collect();
    let fields = |source: &str, before: &str| -> Vec<String> {
        let source = read(&root().join(source));
        // What comes after the entries is not what is written in a file.
        let source = source.split("pub enum PrincipalStyle").next().unwrap();
        let field = |line: &str| {
            let name = line.trim().strip_prefix(before)?.split_once(':')?.0.to_owned();
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_').then_some(name)
        };
        source.lines().filter_map(field).collect()
    };
    let mut keys = fields("ca-server/src/config/raw.rs", "pub(super) ");
    assert!(keys.len() > 20, "{keys:?}");
    keys.extend(fields("ca-server/core/src/inventory/entry.rs", "pub(super) "));
    let missing: Vec<&String> = keys.iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn examples_of_policies_are_those_that_are_tested() {
    let mut sources = vec![read(&root().join("ca-server/starter/policy.cedar"))];
    sources.extend(files(&root().join("docs/policies"), "cedar").iter().map(|path| read(path)));
    let mut cases = vec![read(&root().join("ca-server/starter/policy.test.toml"))];
    cases.extend(files(&root().join("docs/policies"), "toml").iter().map(|path| read(path)));
    let text = read(&root().join("docs/POLICY.md"));
    let blocks = |tag: &str| -> Vec<&str> {
        text.split(&format!("```{tag}\n")).skip(1).filter_map(|rest| rest.split("```").next()).collect()
    };
    let examples = blocks("cedar");
    assert!(examples.len() >= 3);
    for example in examples {
        let known = sources.iter().any(|source| source.contains(example.trim_end()));
        assert!(known, "this is neither in the starter policy nor in docs/policies:\n{example}");
    }
    // A block of cases may be put together of several parts of a file.
    for part in blocks("toml").iter().flat_map(|block| block.trim_end().split("\n\n")) {
        assert!(cases.iter().any(|case| case.contains(part)), "this is in no file of cases:\n{part}");
    }
}

#[test]
fn every_example_of_policies_is_in_their_list() {
    let list = read(&root().join("docs/policies/README.md"));
    for entry in std::fs::read_dir(root().join("docs/policies")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!path.is_dir() || list.contains(&format!("| [{name}]({name}/policies/")), "{name}");
    }
}

#[test]
fn what_holds_of_policies_is_listed_with_its_test_and_every_such_test_is_listed() {
    let text = read(&root().join("docs/POLICY.md"));
    let folder = root().join("ca-server/core/src/policy/tests");
    let sources: String = files(&folder, "rs").iter().map(|path| read(path)).collect();
    let section = text.split("\n## What holds\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).collect();
    let listed: BTreeSet<&str> =
        rows.iter().filter_map(|row| row.rsplit_once(" | `")?.1.strip_suffix("` |")).collect();
    assert!(listed.len() >= 20, "{listed:?}");
    for test in &listed {
        assert!(sources.contains(&format!("fn {test}(")), "there is no test {test}");
    }
    for rest in sources.split("fn semantics_").skip(1) {
        let test = format!("semantics_{}", rest.split('(').next().unwrap());
        assert!(listed.contains(test.as_str()), "{test} is not in docs/POLICY.md under \"What holds\"");
    }
}

#[test]
fn every_finding_of_policy_check_is_explained() {
    let text = read(&root().join("docs/POLICY.md"));
    let lints = read(&root().join("ca-server/core/src/policy/review/mod.rs"));
    let names = lints.split("fn as_str").nth(1).unwrap().split("fn severity").next().unwrap();
    let names: Vec<&str> = names.split('"').skip(1).step_by(2).collect();
    assert!(names.len() >= 14, "{names:?}");
    for name in names {
        assert!(text.contains(&format!("\n| `{name}` | ")), "{name} has no row in docs/POLICY.md");
    }
}

/// The arguments of every `cargo xtask …` in a block of commands; `tests/e2e/documents.rs` runs all other commands.
fn tasks() -> BTreeSet<String> {
    let documents = files(&root().join("docs"), "md").into_iter();
    let documents = documents.chain(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    let lines = |path: PathBuf| {
        let text = read(&path);
        let tasks = text.lines().filter_map(|line| line.trim().strip_prefix("$ cargo xtask "));
        tasks.map(str::to_owned).collect::<Vec<_>>()
    };
    documents.flat_map(lines).collect()
}

#[test]
fn tasks_are_called_as_the_documents_say_and_the_demo_is_a_part_of_the_tests() {
    let tasks = tasks();
    assert!(tasks.contains("test") && tasks.contains("demo --once"), "{tasks:?}");
    for task in &tasks {
        let taken = Arguments::try_parse_from(["cargo xtask"].into_iter().chain(task.split(' ')));
        match taken.unwrap_or_else(|e| panic!("cargo xtask {task}: {e}")).task {
            // What the documents show of the demo has run before this test.
            Task::Demo(_) => assert_eq!(format!("xtask {task}"), test::DEMO.join(" ")),
            Task::Test(_) | Task::Bench(_) | Task::Fuzz(_) | Task::Tidy => {}
        }
    }
}
