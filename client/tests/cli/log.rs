//! What proves the ledger to this machine, against a CA that lies: receipts, forks, shrunken and rewritten trees.

use super::ledger::Ledger;
use super::*;

impl Machine {
    fn ledger(&self) -> PathBuf {
        self.folder.path().join("config/ledger").join(fake::CA.to_string())
    }

    /// The sizes of the remembered checkpoints.
    fn remembered(&self) -> Vec<u64> {
        let entries = fs::read_dir(self.ledger()).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut sizes: Vec<u64> = names.filter_map(|name| name.split_once('-')?.0.parse().ok()).collect();
        sizes.sort_unstable();
        sizes
    }

    fn evidence(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.ledger().join("evidence"));
        let mut files: Vec<PathBuf> =
            entries.map(|entries| entries.map(|e| e.unwrap().path()).collect()).unwrap_or_default();
        files.sort();
        assert!(files.iter().all(|f| private(f)));
        files
    }
}

/// A machine that is logged in.
fn logged_in() -> (Fake, Machine) {
    let (fake, machine) = (Fake::start(), Machine::new());
    machine.set_up(&fake);
    assert_eq!(machine.browse(&fake, &["login"]).code, 0);
    (fake, machine)
}

type Lie = fn(&mut Ledger);

#[test]
fn a_certificate_that_its_proof_does_not_hold_for_is_thrown_away() {
    let table: &[(Lie, &str)] = &[
        (|l| l.change_receipt = |r, _| r.proof[0] = r.proof[1].clone(), "does not lead from leaf 300"),
        (|l| l.change_receipt = |r, _| drop(r.proof.pop()), "does not lead from leaf 300"),
        (|l| l.change_receipt = |_, index| *index -= 1, "does not lead from leaf 299"),
        (|l| l.change_receipt = |_, index| *index += 1, "for leaf 301 of a tree that has 301"),
        (|l| l.change_receipt = |r, _| r.salt = "A".repeat(43), "does not lead from leaf"),
        (
            |l| l.change_receipt = |r, _| r.event = r.event.replace("deploy", "nobody"),
            "does not lead from leaf",
        ),
        (|l| l.change_receipt = |r, _| r.checkpoint.clear(), "is not a signed checkpoint"),
        (
            |l| l.change_receipt = |r, _| r.checkpoint = r.checkpoint.replace("\n30", "\n31"),
            "does not verify",
        ),
        (|l| l.signer = 5, "not signed by the ledger key"),
        (|l| l.receipts = false, "it came without a receipt"),
        (|l| l.change_event = |e| e.serial += 1, "the recorded serial"),
        (|l| l.change_event = |e| e.principals = vec!["shell:root@web-1".into()], "the recorded principals"),
        (|l| l.change_event = |e| e.tbs_sha256 = "00".repeat(32), "the recorded tbs_sha256"),
    ];
    let (fake, machine) = logged_in();
    for (at, (lie, why)) in table.iter().enumerate() {
        fake.set(|s| {
            s.ledger = Ledger::new();
            lie(&mut s.ledger);
        });
        let before = machine.evidence();
        let ended = machine.run(&["login", "deploy@web-1"]);
        assert!(ended.code == 1 && ended.err.contains(why), "{at} {why}: {}", ended.err);
        assert_eq!((machine.held(), machine.remembered()), (vec![], vec![]), "{why}");
        // The answer is kept, and named.
        let kept: Vec<PathBuf> = machine.evidence().into_iter().filter(|f| !before.contains(f)).collect();
        let [file] = kept.as_slice() else { panic!("{why}: {kept:?}") };
        let answer: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let named = ended.err.contains(file.to_str().unwrap());
        assert!(answer["certificate"].is_string() && named, "{}", ended.err);
    }
    fake.set(|s| s.ledger = Ledger::new());
    assert_eq!(machine.run(&["login", "deploy@web-1"]).code, 0);
    assert_eq!((machine.held().len(), machine.remembered()), (3, vec![301]));
}

#[test]
fn a_ledger_key_that_was_replaced_is_fetched() {
    let (fake, machine) = logged_in();
    let before = fake.count("GET /.well-known/jit-ssh");
    fake.set(|s| (s.ledger.signer, s.ledger_key) = (6, 6));
    assert_eq!(machine.run(&["login", "deploy@web-1"]).code, 0);
    assert_eq!(fake.count("GET /.well-known/jit-ssh"), before + 1);
}

#[test]
fn two_histories_are_found_when_a_certificate_comes() {
    let (fake, machine) = logged_in();
    assert_eq!(machine.run(&["login", "deploy@web-1"]).code, 0);
    fake.set(|s| {
        s.ledger.leaves.truncate(300);
        s.ledger.leaves[0] = [0; 32];
    });
    let ended = machine.run(&["login", "deploy@web-1"]);
    assert!(ended.code == 1 && ended.err.contains("two checkpoints of 301 entries"), "{}", ended.err);
    let evidence = machine.evidence();
    assert_eq!(evidence.len(), 2);
    for file in &evidence {
        assert!(ended.err.contains(file.to_str().unwrap()), "{}", ended.err);
        assert!(fs::read_to_string(file).unwrap().starts_with(&format!("jit-ssh/{}\n301\n", fake::CA)));
    }
    // The first certificate is still held: it was proven. Nothing was forgotten.
    assert_eq!((machine.held().len(), machine.remembered()), (3, vec![301]));
}

#[test]
fn verify_proves_one_history_from_all_that_was_shown() {
    let (fake, machine) = logged_in();
    let first = machine.run(&["log", "verify"]);
    assert!(
        first.code == 0 && first.err.contains("Nothing of this ledger had been seen before"),
        "{}",
        first.err
    );
    assert!(first.out.contains("Entries") && first.out.contains("300"), "{}", first.out);
    // Receipts are remembered until they are proven.
    for _ in 0..3 {
        assert_eq!(machine.run(&["login", "deploy@web-1"]).code, 0);
    }
    fake.set(|s| s.ledger.grow(700));
    assert_eq!(machine.remembered(), [300, 301, 302, 303]);
    assert!(fs::read_dir(machine.ledger()).unwrap().all(|e| private(&e.unwrap().path())));
    let json = machine.json(&["log", "verify", "--json", "--full"]);
    assert_eq!((&json["size"], &json["every_entry"]), (&1003.into(), &true.into()));
    let from: Vec<u64> =
        json["proven_from"].as_array().unwrap().iter().map(|c| c["size"].as_u64().unwrap()).collect();
    assert_eq!(from, [300, 301, 302, 303]);
    assert_eq!(machine.remembered(), [1003]);
    assert!(json["key"].as_str().unwrap().starts_with(&format!("jit-ssh/{}+", fake::CA)));
    let since = &json["verified_since"];
    assert_eq!(&machine.json(&["log", "verify", "--json"])["verified_since"], since);
    assert_eq!(machine.evidence(), Vec::<PathBuf>::new());
}

#[test]
fn every_tampering_is_found_and_both_checkpoints_are_kept() {
    let table: &[(Lie, &str, usize)] = &[
        // Leaves changed, with and without growth since.
        (|l| l.leaves[0][0] ^= 1, "two checkpoints of 301 entries have different roots", 2),
        (|l| l.leaves[300][31] ^= 1, "two checkpoints of 301 entries have different roots", 2),
        (
            |l| {
                l.leaves[17][0] ^= 1;
                l.grow(1000);
            },
            "the first 301 entries are not those",
            2,
        ),
        (
            |l| {
                l.leaves.swap(5, 6);
                l.grow(1);
            },
            "the first 301 entries are not those",
            2,
        ),
        (|l| _ = l.leaves.remove(9), "it had 301 entries and now has 300", 2),
        // A tail cut off, and another grown in its place.
        (|l| l.leaves.truncate(299), "it had 301 entries and now has 299", 2),
        (|l| l.leaves.clear(), "it had 301 entries and now has 0", 2),
        (
            |l| {
                l.leaves.truncate(280);
                l.grow(100);
            },
            "the first 301 entries are not those",
            2,
        ),
        // An older checkpoint, of another history.
        (
            |l| {
                l.published = Some(100);
                l.leaves[3][3] ^= 1;
            },
            "it had 301 entries and now has 100",
            2,
        ),
        // Tiles that are not those of the checkpoint, or are not there.
        (
            |l| {
                l.change_file = |_, mut tile| {
                    tile[7] ^= 1;
                    Some(tile)
                }
            },
            "is not a tile of the checkpoint's tree",
            1,
        ),
        (
            |l| l.change_file = |_, tile| tile.get(1..).map(<[u8]>::to_vec),
            "is not a tile of the checkpoint's tree",
            1,
        ),
        (|l| l.change_file = |_, _| None, "does not serve /log/tile/0/001.p/45", 0),
        (|l| l.signer = 5, "is not signed by the ledger key", 0),
        (|l| l.cosignatures = "junk\n", "is not a signed checkpoint", 0),
    ];
    let (fake, machine) = logged_in();
    assert_eq!(machine.run(&["login", "deploy@web-1"]).code, 0);
    let honest = fake.state.lock().unwrap().ledger.leaves.clone();
    for (lie, why, kept) in table {
        fake.set(|s| lie(&mut s.ledger));
        // Neither forgotten nor replaced: it is said again.
        for _ in 0..2 {
            let ended = machine.run(&["log", "verify"]);
            assert!(
                ended.code == 1 && ended.err.contains(why) && ended.out.is_empty(),
                "{why}: {}",
                ended.err
            );
            let evidence = machine.evidence();
            assert_eq!(evidence.len(), *kept, "{why}: {evidence:?}");
            assert!(evidence.iter().all(|f| ended.err.contains(f.to_str().unwrap())), "{}", ended.err);
            assert_eq!(machine.remembered(), [301]);
        }
        let _ = fs::remove_dir_all(machine.ledger().join("evidence"));
        fake.set(|s| s.ledger = Ledger { leaves: honest.clone(), ..Ledger::new() });
        assert_eq!(machine.run(&["log", "verify"]).code, 0, "{why}");
    }
}

#[test]
fn entries_that_do_not_make_the_root_are_found_by_reading_all() {
    let (fake, machine) = logged_in();
    fake.set(|s| {
        s.ledger.change_file = |path, mut contents| {
            if path == "tile/entries/000" {
                contents[40] ^= 1;
            }
            Some(contents)
        };
    });
    assert_eq!(machine.run(&["log", "verify"]).code, 0);
    let full = machine.run(&["log", "verify", "--full"]);
    assert!(full.code == 1 && full.err.contains("do not make the root"), "{}", full.err);
    assert_eq!(machine.evidence().len(), 1);
    fake.set(|s| s.ledger.change_file = |path, contents| (!path.contains("entries")).then_some(contents));
    let gone = machine.run(&["log", "verify", "--full"]);
    assert!(gone.code == 1 && gone.err.contains("does not serve /log/tile/entries/000"), "{}", gone.err);
}

#[test]
fn an_export_is_held_against_the_ledger() {
    let (fake, machine) = logged_in();
    let item = |index: usize, text: &str| {
        let salt = [3; 32];
        let leaf = jit_ssh_proto::event::Event::leaf(&jit_ssh_proto::Salt::from_bytes(salt), text.as_bytes());
        fake.set(|s| s.ledger.leaves[index] = leaf);
        let (leaf, salt) =
            (data_encoding::HEXLOWER.encode(&leaf), data_encoding::BASE64URL_NOPAD.encode(&salt));
        format!(r#"{{"index":{index},"leaf":"{leaf}","salt":"{salt}","event":{text}}}"#)
    };
    let (first, second) = (item(7, r#"{"v":1,"type":"a"}"#), item(299, r#"{"v":9,"type":"b"}"#));
    let leaf = data_encoding::HEXLOWER.encode(&fake.state.lock().unwrap().ledger.leaves[20]);
    let erased = format!(r#"{{"index":20,"leaf":"{leaf}","erased":true}}"#);
    let file = machine.folder.path().join("export");
    let verify = |lines: &[&str]| {
        fs::write(&file, lines.concat()).unwrap();
        machine.run(&["log", "verify", "--json", "--events", file.to_str().unwrap()])
    };
    let good = verify(&[&first, "\n", &erased, "\n", &second]);
    assert_eq!(good.code, 0, "{}", good.err);
    assert_eq!(serde_json::from_str::<Value>(&good.out).unwrap()["exported_entries"], 3);
    assert_eq!(serde_json::from_str::<Value>(&verify(&[]).out).unwrap()["exported_entries"], 0);
    for (lines, why) in [
        (&[first.replace("\"a\"", "\"c\"").as_str()][..], "its event and salt do not make its leaf"),
        (&[&first, "\n", &first.replace(":7,", ":8,")], "entry 8 is another one than was shown"),
        (&[&first.replace(":7,", ":300,")], "entry 300 is beyond the checkpoint's 300"),
        (&[&first.replace(":7,", ":18446744073709551615,")], "beyond the checkpoint's 300"),
        (&[&erased.replace(":20,", ":21,")], "entry 21 is another one"),
        (&[&erased.replace("true", "false")], "neither an event with its salt nor erased"),
        (&[&first, "\n", "x\n"], "line 2 of the export is not an entry"),
        (&[&first, "\n", "\n"], "line 2 of the export is not an entry"),
        (&[&first, &first], "line 1 of the export is not an entry"),
    ] {
        let ended = verify(lines);
        assert!(ended.code == 1 && ended.err.contains(why) && ended.out.is_empty(), "{why}: {}", ended.err);
    }
    let names = machine.evidence().into_iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned());
    let expected = [
        "entry-18446744073709551615.json",
        "entry-20.json",
        "entry-21.json",
        "entry-300.json",
        "entry-7.json",
        "entry-8.json",
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    let nowhere = machine.run(&["log", "verify", "--events", "/nowhere"]);
    assert!(nowhere.code == 1 && nowhere.err.contains("cannot read /nowhere"), "{}", nowhere.err);
}

#[test]
fn a_server_that_lags_behind_and_one_that_keeps_no_parts_are_fine() {
    let (fake, machine) = logged_in();
    assert_eq!(machine.run(&["login", "deploy@web-1"]).code, 0);
    fake.set(|s| {
        s.ledger.published = Some(299);
        // The log has grown since, and the parts of tiles that are whole by now are gone.
        s.ledger.grow(300);
        s.ledger.change_file = |path, contents| (!path.ends_with("/001.p/45")).then_some(contents);
    });
    let json = machine.json(&["log", "verify", "--json", "--full"]);
    assert_eq!((&json["size"], machine.remembered()), (&301.into(), vec![301]));
}

#[test]
fn cosignatures_are_shown_as_text_that_a_terminal_does_not_obey() {
    let (fake, machine) = logged_in();
    fake.set(|s| s.ledger.cosignatures = "— witness\u{9b}31m AAAAAWdvb2Q=\n");
    let ended = machine.run(&["log", "verify"]);
    let shown = ended.out.contains("witness\\u{9b}31m+00000001 (not verified)");
    assert!(ended.code == 0 && shown && !ended.out.contains('\u{9b}'), "{} {}", ended.out, ended.err);
    assert_eq!(machine.json(&["log", "verify", "--json"])["cosignatures"][0]["key_id"], "00000001");
}

#[test]
fn a_witness_that_is_named_must_have_cosigned() {
    let (fake, machine) = logged_in();
    let witness = ledger::witness();
    let verify = || machine.run(&["log", "verify", "--json", "--witness", &witness]);
    let missing = verify();
    assert!(
        missing.code == 1 && missing.err.contains("no valid cosignature of w.example/1"),
        "{}",
        missing.err
    );
    fake.set(|s| s.ledger.witnessed = Some(1_790_000_000));
    let seen = verify();
    assert_eq!(seen.code, 0, "{}", seen.err);
    let json: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(json["cosignatures"][0]["verified"], 1_790_000_000, "{json}");
    // Without its key it is a line like any other.
    assert!(machine.json(&["log", "verify", "--json"])["cosignatures"][0]["verified"].is_null());
    assert_eq!(machine.run(&["log", "verify", "--witness", "w.example/1"]).code, 2);
}

#[test]
fn certificates_are_taken_only_so_long_without_the_history_being_proven() {
    let (fake, machine) = logged_in();
    assert_eq!(machine.run(&["login", "deploy@web-1"]).code, 0);
    // As many as are taken on their receipts alone, one of them of another history.
    let remember = |size: usize, note: &str| {
        let root = data_encoding::BASE64.decode(note.lines().nth(2).unwrap().as_bytes()).unwrap();
        let name = format!("{size:015}-{}.note", data_encoding::HEXLOWER.encode(&root));
        let file = machine.ledger().join(name);
        fs::write(&file, note).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    };
    for size in 237..299 {
        remember(size, &fake.state.lock().unwrap().ledger.checkpoint(size));
    }
    let mut other = Ledger::new();
    other.leaves[9] = [9; 32];
    let other = remember(299, &other.checkpoint(299));
    assert_eq!((machine.remembered().len(), fake.count("GET /log/checkpoint")), (64, 0));
    let held = machine.held();
    let ended = machine.run(&["login", "deploy@web-1"]);
    assert!(ended.code == 1 && ended.err.contains("the first 299 entries are not those"), "{}", ended.err);
    assert_eq!((machine.held(), machine.remembered().len()), (held, 65));
    // Were it not for that one, all is proven by the way.
    fs::remove_file(&other).unwrap();
    assert_eq!(machine.run(&["login", "deploy@web-1"]).code, 0);
    assert_eq!(machine.remembered(), [303]);
}

#[test]
fn a_remembered_checkpoint_that_was_changed_is_not_passed_over() {
    let (fake, machine) = logged_in();
    assert_eq!(machine.run(&["log", "verify"]).code, 0);
    let file = fs::read_dir(machine.ledger())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "note"));
    let file = file.unwrap();
    let good = fs::read_to_string(&file).unwrap();
    let elsewhere = fake.state.lock().unwrap().ledger.checkpoint(299);
    for bad in [String::new(), good.replace("300", "301"), elsewhere] {
        fs::write(&file, bad).unwrap();
        for args in [&["log", "verify"][..], &["login", "deploy@web-1"]] {
            let ended = machine.run(args);
            assert!(ended.code == 1 && ended.err.contains(file.to_str().unwrap()), "{args:?}: {}", ended.err);
        }
    }
    fs::write(&file, good).unwrap();
    assert_eq!(machine.run(&["log", "verify"]).code, 0);
}
