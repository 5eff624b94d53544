//! The tree: roots and proofs are held against a second implementation of RFC 6962, in memory and from the database.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{InclusionProof, RootHash};
use jit_ssh_proto::log::{RootBuilder, leaf_hash};
use sha2::Sha256;

use super::super::engine::{Insert, Kind};
use super::super::tree::Tree;
use super::*;

const LEAVES: Insert = Insert {
    table: "events",
    columns: &[("leaf", Kind::Int), ("time", Kind::Int), ("kind", Kind::Text), ("hash", Kind::Bytes)],
    after: "",
};
const TILES: Insert = Insert {
    table: "tiles",
    columns: &[("level", Kind::Int), ("idx", Kind::Int), ("hash", Kind::Bytes)],
    after: "",
};

/// A number of leaves, straight into the tables.
fn fill(home: &Home, count: u64) {
    let (mut tree, mut tiles, mut cells) = (Tree::default(), Vec::new(), Vec::new());
    for n in 0..count {
        let leaf = hash("leaf", n);
        tree.push(&leaf, &mut tiles);
        cells.extend([Value::from(n), Value::from(at(0)), Value::from("test"), Value::from(leaf)]);
    }
    past(home, |conn| {
        conn.begin().unwrap();
        conn.insert(&LEAVES, cells).unwrap();
        let cells = tiles.iter().flat_map(|t| [t.level.into(), t.index.into(), t.hash.into()]).collect();
        conn.insert(&TILES, cells).unwrap();
        conn.commit().unwrap();
    });
}

/// Whether the second implementation takes this.
fn takes(head: &TreeHead, leaf: u64, proof: &[NodeHash]) -> bool {
    let proof = InclusionProof::<Sha256>::from_bytes(proof.concat());
    let root = RootHash::<Sha256>::new(head.root.into(), head.size);
    root.verify_inclusion(&hash("leaf", leaf), leaf, &proof).is_ok()
}

#[tokio::test]
async fn every_size_has_the_root_and_the_proofs_of_a_second_implementation() {
    let mut reference = MemoryBackedTree::<Sha256, [u8; 32]>::new();
    let (mut tree, mut tiles) = (Tree::default(), Vec::new());
    assert_eq!(tree.head().unwrap(), TreeHead::EMPTY);
    for n in 0..1100 {
        reference.push(hash("leaf", n));
        tree.push(&hash("leaf", n), &mut tiles);
        let head = tree.head().unwrap();
        assert_eq!((head.size, head.root.as_slice()), (n + 1, reference.root().as_bytes().as_slice()));
        for leaf in [n, n.saturating_sub(1), n.saturating_sub(259)] {
            assert!(takes(&head, leaf, &tree.prove(leaf).unwrap()), "{leaf} of {}", head.size);
            assert!(!takes(&head, leaf + 1, &tree.prove(leaf).unwrap()));
        }
    }
    assert_eq!(tiles.len(), 4);
}

#[tokio::test]
async fn a_long_ledger_is_opened_by_its_edge_and_any_leaf_is_proved_from_the_tables() {
    // Past a complete tile of the second level.
    const SIZE: u64 = 65_536 + 700;
    let home = home();
    home.open().await.close().await;
    fill(&home, SIZE);
    let mut builder = RootBuilder::default();
    (0..SIZE).for_each(|n| builder.push(&hash("leaf", n)));
    let store = home.open().await;
    let head = store.tree_head().await.unwrap();
    assert_eq!(head, TreeHead { size: SIZE, root: builder.root() });
    for leaf in [0, 1, 255, 256, 65_535, 65_536, 66_100, SIZE - 1] {
        let proof = store.prove(leaf, SIZE).await.unwrap().unwrap();
        assert!(takes(&head, leaf, &proof), "{leaf}");
    }
    // Of every size that it had.
    for size in [1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 66_048] {
        let mut builder = RootBuilder::default();
        (0..size).for_each(|n| builder.push(&hash("leaf", n)));
        let then = TreeHead { size, root: builder.root() };
        let proof = store.prove(size / 2, size).await.unwrap().unwrap();
        assert!(takes(&then, size / 2, &proof), "{size}");
    }
    assert_eq!(store.prove(SIZE, SIZE).await.unwrap(), None);
    assert_eq!(store.prove(0, SIZE + 1).await.unwrap(), None);
    // What is appended now goes on from there.
    let outcome = results(&store, 0, vec![policy_loaded()]).await;
    assert_eq!(outcome, [Ok(SIZE)]);
    let next = store.tree_head().await.unwrap();
    builder.push(&store.leaves(SIZE, 1).await.unwrap().unwrap()[0]);
    assert_eq!((next.size, next.root), (SIZE + 1, builder.root()));
    // Tiles are there as far as the ledger goes, and no further.
    let level_1 = store.tree_hashes(1, 0, 256).await.unwrap().unwrap();
    assert_eq!(store.tree_hashes(2, 0, 1).await.unwrap().unwrap().len(), 1);
    assert_eq!(level_1.len(), 256);
    assert_eq!(store.tree_hashes(0, 5, 1).await.unwrap(), Some(vec![leaf_hash(&hash("leaf", 5))]));
    for (level, first, count) in [(0, SIZE, 2), (1, 258, 1), (2, 1, 1), (3, 0, 1), (0, u64::MAX, 1)] {
        assert_eq!(store.tree_hashes(level, first, count).await.unwrap(), None, "{level} {first} {count}");
    }
    assert_eq!(store.leaves(SIZE, 2).await.unwrap(), None);
}

#[tokio::test]
async fn a_database_that_is_older_or_other_than_what_was_seen_is_refused() {
    let home = home();
    let store = home.open().await;
    results(&store, 0, (0..300).map(|_| policy_loaded()).collect()).await;
    store.close().await;
    let opened = |home: &Home| Store::open(home.options());
    // An older one.
    sql(&home, "DELETE FROM events WHERE leaf >= 299");
    let error = opened(&home).await.unwrap_err().to_string();
    assert!(error.contains("only 299 of 300 events") && error.contains("restore"), "{error}");
    // Another one of that length.
    let row = "INSERT INTO events (leaf, time, kind, hash) VALUES (299, 1790000000, 'x', $1)";
    execute(&home, row, &[hash("forged", 1).into()]);
    let error = opened(&home).await.unwrap_err().to_string();
    assert!(error.contains("another history than the 300 events"), "{error}");
    // A longer one does not hide it.
    let row = "INSERT INTO events (leaf, time, kind, hash) VALUES (300, 1790000000, 'x', $1)";
    execute(&home, row, &[hash("forged", 2).into()]);
    let error = opened(&home).await.unwrap_err().to_string();
    assert!(error.contains("another history than the 300 events"), "{error}");
}

#[tokio::test]
async fn a_certificate_comes_with_its_event_and_a_proof() {
    let home = home();
    let store = home.open().await;
    let grant = issuing::grant(ALICE, 1, 1, 0);
    results(&store, 0, (0..600).map(|_| policy_loaded()).collect()).await;
    let changes = vec![
        ALICE.opens(1),
        issuing::is_granted(ALICE, &grant, 1, 1),
        issuing::is_issued(ALICE, &grant, 1, 1),
        issuing::is_issued(ALICE, &grant, 1, 1),
    ];
    let applied = store.apply(at(0), changes).await.unwrap();
    let head = store.tree_head().await.unwrap();
    let mut proved = 0;
    for outcome in applied.into_iter().map(Result::unwrap) {
        let Some(recorded) = outcome.recorded else { continue };
        let salt = jit_ssh_proto::Salt::from_bytes(recorded.salt);
        let leaf = jit_ssh_proto::event::Event::leaf(&salt, &recorded.event);
        let proof = InclusionProof::<Sha256>::from_bytes(recorded.proof.concat());
        let root = RootHash::<Sha256>::new(recorded.head.root.into(), recorded.head.size);
        root.verify_inclusion(&leaf, outcome.leaf, &proof).unwrap();
        assert_eq!(recorded.head, head);
        proved += 1;
    }
    assert_eq!(proved, 2);
}
