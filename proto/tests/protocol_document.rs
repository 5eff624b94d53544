//! `docs/PROTOCOL.md` says what the code does: its generated sections are compared with the code. `UPDATE_EXPECT=1`
//! writes the sections anew.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

use std::path::{Path, PathBuf};

use jit_ssh_proto::{Blame, CaId, Code, Salt, SessionId, SignedRequest, Timestamp, UserKey, oidc_nonce};
use ssh_key::PrivateKey;
use ssh_key::private::Ed25519Keypair;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/PROTOCOL.md")).unwrap()
}

/// Compares a section between its two marks with what it should be, or replaces it.
fn section(name: &str, expected: &str) {
    let text = document();
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let start = text.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
    let length = text[start..].find(&end).unwrap_or_else(|| panic!("no {end}"));
    let found = &text[start..start + length];
    if found == expected {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let updated = format!("{}{expected}{}", &text[..start], &text[start + length..]);
        std::fs::write(root().join("docs/PROTOCOL.md"), updated).unwrap();
        return;
    }
    panic!(
        "docs/PROTOCOL.md, section {name}, is stale: run this test with UPDATE_EXPECT=1. It should be\n{expected}"
    );
}

#[test]
fn the_sections_are_what_the_code_says() {
    // One test for all of them: each may write the file.
    section("codes", &codes());
    section("routes", &routes());
    section("example", &example());
    #[cfg(feature = "log")]
    section("ledger", &ledger());
}

fn codes() -> String {
    let mut table = String::from("| code | status | whose move | title |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let blame = match code.blame() {
            Blame::Caller => "caller",
            Blame::Login => "log in again",
            Blame::Denied => "denied",
            Blame::Provider => "provider",
            Blame::Server => "CA",
        };
        table.push_str(&format!("| `{code}` | {} | {blame} | {} |\n", code.status(), code.title()));
    }
    table
}

/// The table that the server compares with its own routes.
fn routes() -> String {
    let listed = std::fs::read_to_string(root().join("ca-server/src/http/authorisation.txt")).unwrap();
    let mut table = String::from("| route | caller |\n|---|---|\n");
    for line in listed.lines() {
        let (route, caller) = line.rsplit_once(' ').unwrap();
        table.push_str(&format!("| `{route}` | {caller} |\n"));
    }
    table
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

fn example() -> String {
    let (ca, salt) = (CaId::from_bytes([1; 32]), Salt::from_bytes([2; 32]));
    let session_key = key(3);
    let public = UserKey::new(session_key.public_key()).unwrap();
    let session: SessionId = "ses_01kazdkav00000000000000000".parse().unwrap();
    let call =
        SignedRequest { ca: &ca, method: "POST", path: "/v1/requests", session: Some(&session), body: b"{}" };
    let signature = call.sign(&session_key, Timestamp::from_seconds(1_795_327_543), [4; 16]).unwrap();
    assert!(call.verify(session_key.public_key(), &signature).is_ok());
    format!(
        "```text\nCA id        {ca}\nsalt         {salt}\nsession key  {public}\nOIDC nonce   {}\n\n\
         POST /v1/requests   session {session}   body {{}}\nJit-Ssh-Signature: {signature}\n```\n",
        oidc_nonce(&ca, &salt, &public)
    )
}

/// A log of three entries, from the event of one of them to the checkpoint, as a reader checks it.
#[cfg(feature = "log")]
fn ledger() -> String {
    use jit_ssh_proto::event::Event;
    use jit_ssh_proto::log::{
        Checkpoint, LogKey, RootBuilder, check_inclusion, encode_entries, encode_proof, leaf_hash,
    };
    let (ca, salt, key) = (CaId::from_bytes([1; 32]), Salt::from_bytes([2; 32]), key(5));
    let log = LogKey::new(&ca, &key.public_key().to_openssh().unwrap()).unwrap();
    let event = concat!(
        r#"{"v":1,"time":1795329819,"actor":{"by":"ca"},"type":"session.ended","#,
        r#""session":"ses_01kazdkav00000000000000000"}"#
    );
    let canonical = serde_json::from_str::<Event>(event).unwrap().canonical().unwrap();
    assert_eq!(canonical, event.as_bytes());
    let leaves = [[0; 32], Event::leaf(&salt, &canonical), [0xff; 32]];
    let mut builder = RootBuilder::default();
    leaves.iter().for_each(|leaf| builder.push(leaf));
    let checkpoint = Checkpoint::sign(&log, 3, &builder.root(), &key).unwrap();
    let proof = [leaf_hash(&leaves[0]), leaf_hash(&leaves[2])];
    assert_eq!(check_inclusion(&checkpoint, 1, &leaves[1], &proof), Ok(()));
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    format!(
        "```text\nvkey         {}\nevent        {event}\nentry 1      {}\nits hash     {}\nproof        {}\n\
         bundle       {}…\n\n{}```\n",
        log.vkey(),
        hex(&leaves[1]),
        hex(&leaf_hash(&leaves[1])),
        encode_proof(&proof).join("\n             "),
        &hex(&encode_entries(&leaves))[..80],
        checkpoint.note(),
    )
}
