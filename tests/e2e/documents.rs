//! Every command that the documents show is run, in the order in which they show it: what works for this test works
//! for a reader.

mod lines;
mod scene;
mod table;

use lines::Line;
use scene::{Scene, WALK, walk};
use table::How;

/// The documents whose commands a test below runs, all of them and in order.
const SCENES: [&str; 8] = [
    WALK.0,
    "docs/CERTIFICATES.md",
    "docs/CONFIG.md",
    "docs/EVENTS.md",
    "docs/HOSTS.md",
    "docs/OPERATIONS.md",
    "docs/POLICY.md",
    "docs/policies/README.md",
];

#[test]
fn every_command_of_the_documents_is_known_and_every_row_is_shown() {
    let lines = lines::all();
    let unknown: Vec<String> = lines.iter().filter_map(|line| table::how(line).err()).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    let shown: Vec<Vec<&str>> = lines.iter().flat_map(Line::commands).collect();
    for row in table::ROWS {
        assert!(
            shown.iter().any(|words| words.starts_with(row.words)),
            "no document shows `{}` any more: take its row out of tests/e2e/documents/table.rs",
            row.words.join(" ")
        );
    }
    let walk = walk();
    for line in lines.iter().filter(|line| !matches!(table::how(line), Ok(How::Elsewhere(_)))) {
        assert!(
            SCENES.contains(&line.document.as_str()),
            "{line}: no scene runs this document: write one in tests/e2e/documents.rs"
        );
        assert!(
            line.document != WALK.0 || walk.iter().any(|step| step.text == line.text),
            "{line} is not in the walk under {:?}",
            WALK.1
        );
    }
}

/// Runs the lines of a document in which a section has this name.
fn section(scene: &mut Scene, document: &str, name: &str) -> Vec<String> {
    let lines = lines::of(document).into_iter().filter(|line| line.section == name);
    let said: Vec<String> = lines.map(|line| scene.run(&line).out).collect();
    assert!(!said.is_empty(), "{document} has no commands under {name:?}");
    said
}

#[test]
fn the_readme_leads_from_a_bare_machine_to_a_shell_and_to_the_record_of_it() {
    let mut scene = Scene::new();
    let account = format!("{}@web-1", scene.login());
    let in_words = format!("a shell as {} on web-1", scene.login());
    let mut asked = Vec::new();
    for line in walk() {
        let said = scene.run(&line).out;
        let expected: Vec<&str> = match line.commands()[0][..] {
            ["jit-ssh-ca", "init", ..] => vec!["Made a CA", "trust key"],
            ["jit-ssh", "setup", ..] => vec!["Trust key", "corp", "Pinned"],
            ["jit-ssh", "ssh", ..] => vec!["in-42"],
            ["jit-ssh", "ls", ..] => vec![&account, "shell"],
            ["jit-ssh", "explain", ..] => vec!["allowed", "by sre"],
            ["jit-ssh", "status", ..] => vec!["alice", &account],
            ["jit-ssh", "inspect", ..] => vec![&in_words],
            ["jit-ssh-ca", "log", "show", ..] => {
                vec!["session.opened", "OPS-7 disk full", "certificate.issued", "session.ended"]
            }
            _ => vec![],
        };
        for text in expected {
            assert!(said.contains(text), "{line}: {text:?} is missing in\n{said}");
            asked.push(text.to_owned());
        }
    }
    assert!(scene.log().contains("corp/alice/grt_"), "{}", scene.log());
    assert_eq!(scene.certificates(), 0, "the walk ends with a logout");
    // Each of them was in the walk, and so was the host.
    for text in ["Made a CA", "Pinned", "in-42", &in_words] {
        assert!(asked.iter().any(|asked| asked == text), "nothing in the walk says {text:?} any more");
    }
}

#[test]
fn the_configuration_begins_as_its_document_says() {
    let mut scene = Scene::new();
    for line in lines::of("docs/CONFIG.md") {
        scene.run(&line);
    }
}

#[test]
fn a_host_is_set_up_seen_to_hold_and_taken_back_as_its_document_says() {
    let document = "docs/HOSTS.md";
    let mut scene = Scene::after("jit-ssh-ca serve");
    let steps = |words: &str| walk().into_iter().find(|line| line.text.starts_with(words)).unwrap();
    scene.run(&steps("jit-ssh setup"));
    scene.run(&steps("jit-ssh login"));
    let ssh = steps("jit-ssh ssh");
    assert_eq!(scene.attempt(&ssh).code, Some(255), "a host that was not told trusts nobody");

    section(&mut scene, document, "Setting a host up");
    assert!(scene.run(&ssh).out.contains("in-42"));
    let said = section(&mut scene, document, "Seeing that it holds").concat();
    let etc = scene.root().join("etc/ssh/jit-ssh");
    for (keyword, file) in [
        ("trustedusercakeys", "user_ca.pub"),
        ("authorizedprincipalsfile", "principals/%u"),
        ("revokedkeys", "revoked.krl"),
    ] {
        let wanted = format!("{keyword} {}", etc.join(file).display());
        assert!(said.contains(&wanted), "{wanted:?} is missing in\n{said}");
    }
    assert!(said.contains("forcecommand none") && said.contains("allowstreamlocalforwarding no"), "{said}");

    let said = section(&mut scene, document, "Devices that match plain logins").concat();
    assert!(said.contains("user-switches  SHA256:") && said.contains("plain logins"), "{said}");

    section(&mut scene, document, "Taking it back");
    assert_eq!(scene.attempt(&ssh).code, Some(255), "a host that was taken back trusts nobody");
    let run =
        ["Setting a host up", "Seeing that it holds", "Devices that match plain logins", "Taking it back"];
    for line in lines::of(document) {
        assert!(
            run.contains(&line.section.as_str()),
            "{line}: nothing runs the commands of {:?}",
            line.section
        );
    }
}

#[test]
fn a_certificate_looks_as_its_document_says_and_its_grant_is_found_in_the_record() {
    let mut scene = Scene::after("jit-ssh login");
    for line in lines::of("docs/CERTIFICATES.md") {
        let said = scene.run(&line).out;
        let account = format!("{}@web-1", scene.login());
        let expected: &[&str] = match line.commands()[0][0] {
            "ssh-keygen" => {
                &["user certificate", "Key ID: \"corp/alice/grt_", "Critical Options: (none)", "permit-pty"]
            }
            "jit-ssh-ca" => &["request.decided", "certificate.issued", "OPS-7 disk full"],
            other => panic!("say here what {other} has to answer"),
        };
        for text in expected.iter().copied().chain([account.as_str()]) {
            assert!(said.contains(text), "{line}: {text:?} is missing in\n{said}");
        }
    }
}

#[test]
fn the_ledger_is_proven_as_its_document_says() {
    let mut scene = Scene::after("jit-ssh login");
    let said = section(&mut scene, "docs/EVENTS.md", "Proving the ledger");
    assert!(said[0].contains("Entries") && said[0].contains("jit-ssh/"), "{said:?}");
    let json: serde_json::Value = serde_json::from_str(&said[1]).unwrap();
    assert_eq!(json["every_entry"], true, "{json}");
    assert!(said[0].contains(json["key"].as_str().unwrap()), "{said:?}");
}

#[test]
fn the_record_is_backed_up_verified_restored_and_moved_as_its_document_says() {
    let document = "docs/OPERATIONS.md";
    let mut scene = Scene::after("jit-ssh login");
    let said = section(&mut scene, document, "Backup").concat();
    assert!(said.contains("leaves, root") && said.contains("every hash is right"), "{said}");
    let said = section(&mut scene, document, "Witnesses").concat();
    assert!(said.contains("agrees with checkpoint ledger.checkpoint"), "{said}");
    let said = section(&mut scene, document, "Verify").concat();
    assert!(said.contains("agrees with ledger.seen"), "{said}");
    scene.stop();
    let said = section(&mut scene, document, "Restore").concat();
    assert!(said.contains("restored "), "{said}");

    let postgres = jit_ssh_test_postgres::Postgres::start().unwrap();
    for statement in lines::statements(document) {
        postgres.sql("postgres", &statement).unwrap();
    }
    scene.has_database(&postgres.url("jit_ssh_ca").replace("app@", "jit_ssh_ca@"));
    let said = section(&mut scene, document, "Move").concat();
    assert!(said.contains("moved from") && said.contains("agrees with ledger.seen"), "{said}");
    let run = ["Backup", "Witnesses", "Verify", "Restore", "Move", "Erase"];
    for line in lines::of(document) {
        assert!(
            run.contains(&line.section.as_str()),
            "{line}: nothing runs the commands of {:?}",
            line.section
        );
    }
}

#[test]
fn policies_are_checked_tested_changed_and_compared_as_their_document_says() {
    let document = "docs/POLICY.md";
    let mut scene = Scene::after("jit-ssh-ca init");
    let said = section(&mut scene, document, "One rule");
    assert!(said[0].contains(" policies in order: 0 errors, 0 warnings"), "{said:?}");
    assert!(said[1].contains(" 0 failed") && said[1].contains("every policy took part"), "{said:?}");
    assert!(said[2].starts_with("allow 1h by sre-prod"), "{said:?}");
    let said = section(&mut scene, document, "Changing a rule").concat();
    // The login of the documents stands for another one here.
    let shown = "allowed for 1h -> allowed for 30m (by sre-prod)";
    assert!(
        said.contains("sre: shell on deploy@db-1, deploy@web-1, deploy@web-2: ") && said.contains(shown),
        "{said}"
    );
    section(&mut scene, document, "format, schema");
    let written = std::fs::read_to_string(scene.root().join("home/schema.cedarschema")).unwrap();
    let of_init = std::fs::read_to_string(scene.root().join("var/lib/jit-ssh/schema.cedarschema")).unwrap();
    assert_eq!(written, of_init);
    // The last of these is run by the test below.
    let run = ["One rule", "Changing a rule", "format, schema", EXPLAINED];
    for line in lines::of(document) {
        assert!(
            run.contains(&line.section.as_str()),
            "{line}: nothing runs the commands of {:?}",
            line.section
        );
    }
}

/// The section of POLICY.md that is about those who ask.
const EXPLAINED: &str = "Why not, and what would do";

#[test]
fn policy_explains_itself_as_its_document_says() {
    let mut scene = Scene::after("jit-ssh login");
    let said = section(&mut scene, "docs/POLICY.md", EXPLAINED);
    assert!(said[0].contains("allowed") && said[0].contains("by sre"), "{said:?}");
    assert!(said[1].contains("ACCOUNT") && said[1].contains("@web-1"), "{said:?}");
}

#[test]
fn examples_of_policies_are_run_as_their_document_says() {
    let mut scene = Scene::new();
    for line in lines::of("docs/policies/README.md") {
        let said = scene.run(&line).out;
        assert!(
            said.contains("4 policies in order") || said.contains("every policy took part"),
            "{line}: {said}"
        );
    }
}
