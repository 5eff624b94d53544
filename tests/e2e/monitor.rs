//! `jit-ssh log monitor` against a CA that lies, and against one that comes and goes. The machine that watches trusts
//! nothing but the ledger key, and the lies here are told by somebody who has it.

mod liar;

use std::fs;
use std::path::Path;

use data_encoding::HEXLOWER;
use ed25519_dalek::VerifyingKey;
use jit_ssh_proto::Salt;
use jit_ssh_proto::event::Event;
use jit_ssh_proto::wire::LogItem;
use jit_ssh_tests::api::{Call, Session};
use jit_ssh_tests::client::Person;
use jit_ssh_tests::ledger::Checkpoint;
use jit_ssh_tests::process::{Process, Stream, until};
use serde_json::value::RawValue;

use crate::audit::{ask, auditor, person_at, site};
use crate::monitor::liar::{Liar, about_events};
use crate::stand::{Server, Site};

/// A CA with a past, and copies of it: they have its keys, and each goes on by itself.
struct Scene {
    site: Site,
    grace: Session,
    alice: Session,
}

impl Scene {
    fn new() -> Self {
        let site = site("");
        let server = site.serve();
        let (grace, alice) = (auditor(&site, &server), server.session(&site, "alice"));
        for n in 0..3 {
            certificate(&site, &server, &alice, &format!("OPS-{n}"));
        }
        server.stop();
        Self { site, grace, alice }
    }

    fn certificate(&self, server: &Server, reason: &str) {
        certificate(&self.site, server, &self.alice, reason);
    }
}

fn certificate(site: &Site, server: &Server, session: &Session, reason: &str) {
    let answer = ask(site, server, session, "deploy@web-1", reason);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn seen(process: &Process, text: &str) {
    process.line(Stream::Out, text, |line| line.contains(text).then_some(())).unwrap();
}

fn says(process: &Process, text: &str) {
    process.line(Stream::Err, text, |line| line.contains(text).then_some(())).unwrap();
}

/// What a monitor keeps as evidence: which entries, and the sizes of the checkpoints, each signed by the CA.
#[derive(Debug, Default, PartialEq, Eq)]
struct Evidence {
    checkpoints: Vec<u64>,
    entries: Vec<u64>,
}

fn evidence(site: &Site, person: &Person) -> Evidence {
    let key = fs::read_to_string(site.dir.join("keys/ledger.pub")).unwrap();
    let key = ssh_key::PublicKey::from_openssh(&key).unwrap();
    let key = VerifyingKey::from_bytes(&key.key_data().ed25519().unwrap().0).unwrap();
    let folder = person.configuration().join("ledger").join(site.ca.to_string()).join("evidence");
    let mut evidence = Evidence::default();
    let Ok(files) = fs::read_dir(&folder) else { return evidence };
    for file in files.map(|file| file.unwrap().path()) {
        let text = fs::read_to_string(&file).unwrap();
        if named(&file).starts_with("checkpoint-") {
            evidence.checkpoints.push(Checkpoint::read(&text, &site.ca, &key).unwrap().size);
        } else {
            let item: LogItem = serde_json::from_str(&text).unwrap();
            assert_eq!(named(&file), format!("entry-{}.json", item.index));
            evidence.entries.push(item.index);
        }
    }
    evidence.checkpoints.sort_unstable();
    evidence.entries.sort_unstable();
    evidence
}

fn named(file: &Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}

fn size(server: &Server) -> u64 {
    let note = server.send(&Call::plain("GET", "/log/checkpoint")).text();
    note.lines().nth(1).unwrap().parse().unwrap()
}

/// The first certificate of a site.
fn first_certificate(site: &Site) -> u64 {
    let kinds = site.ledger().into_iter().map(|event| event.what.kind());
    (0..).zip(kinds).find(|(_, kind)| *kind == "certificate.issued").unwrap().0
}

/// The CA shows the machine that watches another ledger than before, signed with the right key.
#[test]
fn a_ca_that_forks_or_shrinks_its_history_is_called_out_by_the_monitor() {
    let scene = Scene::new();
    // How many certificates each of two histories has that went on from one.
    for (n, (shown, other)) in [(1, 1), (1, 3), (3, 1)].into_iter().enumerate() {
        let sites = ["shown", "other"].map(|name| scene.site.copy(&format!("{name}-{n}")));
        let servers = [sites[0].serve(), sites[1].serve()];
        let liar = Liar::before(servers[0].address);
        let watcher = person_at(liar.address, &servers[0], &sites[0], &scene.grace);
        let monitor = watcher.start(["log", "monitor"]).unwrap();
        seen(&monitor, "LEAF");
        for n in 0..shown {
            scene.certificate(&servers[0], &format!("shown-{n}"));
            seen(&monitor, &format!("serial {}", 4 + n));
        }
        for n in 0..other {
            scene.certificate(&servers[1], &format!("other-{n}"));
        }
        let sizes = [size(&servers[0]), size(&servers[1])];
        liar.turns_to(servers[1].address);
        let ended = monitor.wait().unwrap().code(1).unwrap();
        let what = match sizes[0].cmp(&sizes[1]) {
            std::cmp::Ordering::Equal => {
                format!("two checkpoints of {} entries have different roots", sizes[0])
            }
            std::cmp::Ordering::Less => format!("the first {} entries are not those", sizes[0]),
            std::cmp::Ordering::Greater => {
                format!("it had {} entries and now has {}", sizes[0], sizes[1])
            }
        };
        assert!(ended.err.contains("THE LEDGER WAS TAMPERED WITH"), "{}", ended.err);
        assert!(ended.err.contains(&what), "{what}: {}", ended.err);
        assert!(!ended.out.contains("other-"), "{}", ended.out);
        let mut checkpoints = sizes.to_vec();
        checkpoints.sort_unstable();
        assert_eq!(evidence(&sites[0], &watcher), Evidence { checkpoints, entries: vec![] }, "{what}");
    }
}

/// A lie that a CA tells somebody who watches from before its first certificate on.
struct Case {
    what: &'static str,
    /// Told about this event.
    lie: fn(&Liar, u64),
    says: fn(u64) -> String,
    /// Whether the event is kept, or the one after it, besides the checkpoint.
    keeps: fn(u64) -> Option<u64>,
}

/// Says something else in an event.
fn altered(item: &LogItem, fits: bool) -> LogItem {
    let text = item.event.as_ref().unwrap().get().replacen("deploy@web-1", "deploy@web-2", 1);
    let salt: Salt = item.salt.as_ref().unwrap().parse().unwrap();
    let leaf = HEXLOWER.encode(&Event::leaf(&salt, text.as_bytes()));
    let leaf = if fits { leaf } else { item.leaf.clone() };
    LogItem { leaf, event: Some(RawValue::from_string(text).unwrap()), ..item.clone() }
}

fn change(liar: &Liar, index: u64, change: impl Fn(&LogItem) -> LogItem + Send + 'static) {
    liar.tells(about_events(move |items| {
        items.iter_mut().filter(|item| item.index == index).for_each(|item| *item = change(item));
    }));
}

const CASES: &[Case] = &[
    Case {
        what: "an event that is not what its leaf is of",
        lie: |liar, index| change(liar, index, |item| altered(item, false)),
        says: |index| format!("ENTRY {index} IS NOT WHAT THE LEDGER HOLDS"),
        keeps: Some,
    },
    Case {
        what: "an event with a leaf of its own",
        lie: |liar, index| change(liar, index, |item| altered(item, true)),
        says: |index| format!("entry {index} is another one than was shown"),
        keeps: Some,
    },
    Case {
        what: "an event that is said to be erased",
        lie: |liar, index| {
            change(liar, index, |item| LogItem { event: None, salt: None, erased: true, ..item.clone() });
        },
        says: |index| format!("the CA says that event {index} was erased"),
        keeps: Some,
    },
    Case {
        what: "an event left out",
        lie: |liar, index| liar.tells(about_events(move |items| items.retain(|item| item.index != index))),
        says: |index| format!("the CA left out event {index} and went on with {}", index + 1),
        keeps: |index| Some(index + 1),
    },
    Case {
        what: "an event told twice in place of the next",
        lie: |liar, index| {
            liar.tells(about_events(move |items| {
                if let Some(at) = items.iter().position(|item| item.index == index) {
                    items[at] = items[at - 1].clone();
                }
            }));
        },
        says: |index| format!("the CA left out event {index} and went on with {}", index - 1),
        keeps: |index| Some(index - 1),
    },
    Case {
        what: "an event held back, with all that come after it",
        lie: |liar, index| liar.tells(about_events(move |items| items.retain(|item| item.index < index))),
        says: |index| format!("the CA does not tell event {index} of a tree of"),
        keeps: |_| None,
    },
    Case {
        what: "a beginning that comes later than what was asked for",
        lie: |liar, index| {
            liar.tells(move |path, answer| {
                if path.contains("since=") {
                    about_events(move |items| items[0].index = index + 1)(path, answer);
                }
            });
        },
        says: |index| format!("event {index} was left out of those since"),
        keeps: |_| None,
    },
    Case {
        what: "a tile of another tree",
        lie: |liar, _| {
            liar.tells(|path, answer| {
                if path.starts_with("/log/tile/") && answer.status == 200 {
                    answer.body[0] ^= 1;
                }
            });
        },
        says: |_| "is not a tile of the checkpoint's tree".to_owned(),
        keeps: |_| None,
    },
];

#[test]
fn a_ca_that_lies_about_its_events_is_called_out_by_the_monitor() {
    let scene = Scene::new();
    let site = &scene.site;
    let server = site.serve();
    let index = first_certificate(site);
    for Case { what, lie, says, keeps } in CASES {
        let liar = Liar::before(server.address);
        let watcher = person_at(liar.address, &server, site, &scene.grace);
        lie(&liar, index);
        let ended = watcher.start(["log", "monitor", "--since", "1h"]).unwrap().wait().unwrap();
        assert_eq!(ended.code, Some(1), "{what}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains(&says(index)), "{what}: {:?} not in {}", says(index), ended.err);
        let entries = keeps(index).into_iter().collect();
        let checkpoints = vec![size(&server)];
        assert_eq!(evidence(site, &watcher), Evidence { checkpoints, entries }, "{what}: {}", ended.err);
        // Nothing was shown of what was not proven.
        let unproven = |line: &&str| line.contains("serial 1,") || line.contains("web-2");
        assert_eq!(ended.out.lines().find(unproven), None, "{what}: {}", ended.out);
    }
}

#[test]
fn a_ca_that_signs_no_tree_of_what_it_tells_is_called_out_by_the_monitor() {
    let scene = Scene::new();
    let server = scene.site.serve();
    let liar = Liar::before(server.address);
    let watcher = person_at(liar.address, &server, &scene.site, &scene.grace);
    let monitor = watcher.start(["log", "monitor"]).unwrap();
    seen(&monitor, "LEAF");
    // Whoever compares checkpoints only ever sees this one.
    let old = server.send(&Call::plain("GET", "/log/checkpoint")).body;
    let next = size(&server);
    liar.tells(move |path, answer| {
        if path == "/log/checkpoint" {
            answer.body.clone_from(&old);
        }
    });
    scene.certificate(&server, "unseen");
    let ended = monitor.wait().unwrap().code(1).unwrap();
    assert!(ended.err.contains("signs no tree that holds it"), "{}", ended.err);
    let kept = evidence(&scene.site, &watcher);
    assert_eq!(kept.checkpoints, [next]);
    assert!(kept.entries.len() == 1 && kept.entries[0] >= next, "{kept:?}");
}

#[test]
fn what_the_ledger_says_was_erased_is_shown_and_is_no_lie() {
    let scene = Scene::new();
    let server = scene.site.serve();
    assert_eq!(ask(&scene.site, &server, &scene.alice, "root@web-1", "hunter2").status, 403);
    let denied = size(&server) - 1;
    server.stop();
    scene.site.erase(denied);
    let server = scene.site.serve();
    let watcher = person_at(server.address, &server, &scene.site, &scene.grace);
    let monitor = watcher.start(["log", "monitor", "--since", "1h"]).unwrap();
    seen(&monitor, "the event was erased; its leaf stays");
    scene.certificate(&server, "later");
    seen(&monitor, "serial 4");
    monitor.terminate().unwrap();
    assert_eq!(evidence(&scene.site, &watcher), Evidence::default());
}

#[test]
fn follow_and_monitor_outlive_a_server_that_is_killed_and_comes_back() {
    let scene = Scene::new();
    let server = scene.site.serve();
    let address = server.address;
    // It comes back where it was.
    let config = fs::read_to_string(scene.site.dir.join("ca.toml")).unwrap();
    scene.site.write("ca.toml", &config.replacen("127.0.0.1:0", &address.to_string(), 1));
    let watcher = person_at(address, &server, &scene.site, &scene.grace);
    let follow = watcher.start(["log", "--follow", "--event", "certificate.issued", "--limit", "1"]).unwrap();
    let monitor = watcher.start(["log", "monitor"]).unwrap();
    seen(&follow, "serial 3");
    seen(&monitor, "LEAF");
    scene.certificate(&server, "before");
    let watching = [follow, monitor];
    watching.iter().for_each(|process| seen(process, "serial 4"));
    let mut server = server;
    for n in 5..7 {
        // By process id, in the middle of whatever it does.
        drop(server);
        watching.iter().for_each(|process| says(process, "trying again"));
        server = until("the port", || {
            Ok(Server::start(&mut scene.site.command()).ok().filter(|server| server.address == address))
        })
        .unwrap();
        scene.certificate(&server, "after");
        watching.iter().for_each(|process| seen(process, &format!("serial {n}")));
    }
    for process in watching {
        process.terminate().unwrap();
        let output = process.wait().unwrap();
        // Each certificate once, in order.
        let serials: Vec<_> =
            output.out.lines().filter_map(|line| line.split("serial ").nth(1)?.split(',').next()).collect();
        let serials: Vec<u64> = serials.into_iter().map(|serial| serial.parse().unwrap()).collect();
        assert!([&[3, 4, 5, 6][..], &[4, 5, 6]].contains(&serials.as_slice()), "{}", output.out);
    }
    assert_eq!(evidence(&scene.site, &watcher), Evidence::default());
}
