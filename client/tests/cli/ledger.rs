//! The ledger of the fake CA: real leaves, proofs and tiles under real signatures, and the lies that a test wants.

use jit_ssh_proto::event::{Actor, CertificateIssued, Event, What};
use jit_ssh_proto::log::{
    Checkpoint, Hash, LogKey, RootBuilder, Tile, TileKind, encode_entries, encode_proof, leaf_hash,
};
use jit_ssh_proto::wire::Receipt;
use jit_ssh_proto::{GrantId, Salt, SessionId, Timestamp, UserKey};
use sha2::{Digest, Sha256};
use ssh_key::Certificate;

use super::fake::{CA, key};

pub(crate) struct Ledger {
    pub(crate) leaves: Vec<Hash>,
    /// Published in place of the present checkpoint: the one of this many of the leaves.
    pub(crate) published: Option<usize>,
    /// The number of the key that signs.
    pub(crate) signer: u8,
    /// Signature lines of others.
    pub(crate) cosignatures: &'static str,
    /// When the witness cosigned, if it did.
    pub(crate) witnessed: Option<u64>,
    pub(crate) change_event: fn(&mut CertificateIssued),
    pub(crate) change_receipt: fn(&mut Receipt, &mut u64),
    /// Whether receipts are given at all.
    pub(crate) receipts: bool,
    /// Has the last word on each file but the checkpoint.
    pub(crate) change_file: fn(&str, Vec<u8>) -> Option<Vec<u8>>,
}

impl Ledger {
    /// With so many events before anybody looked that there are tiles above tiles.
    pub(crate) fn new() -> Self {
        let mut ledger = Self {
            leaves: vec![],
            published: None,
            signer: 4,
            cosignatures: "",
            witnessed: None,
            change_event: |_| {},
            change_receipt: |_, _| {},
            receipts: true,
            change_file: |_, contents| Some(contents),
        };
        ledger.grow(300);
        ledger
    }

    /// Adds leaves that nobody is told of.
    pub(crate) fn grow(&mut self, by: usize) {
        let end = self.leaves.len() + by;
        self.leaves
            .extend((self.leaves.len()..end).map(|n| -> Hash { Sha256::digest(n.to_be_bytes()).into() }));
    }

    /// The signed checkpoint of the first `size` leaves.
    pub(crate) fn checkpoint(&self, size: usize) -> String {
        let mut builder = RootBuilder::default();
        self.leaves[..size].iter().for_each(|leaf| builder.push(leaf));
        let signer = key(self.signer);
        let log = LogKey::new(&CA, &signer.public_key().to_openssh().unwrap()).unwrap();
        let checkpoint = Checkpoint::sign(&log, builder.size(), &builder.root(), &signer).unwrap();
        let witness = self.witnessed.map(|time| cosignature(checkpoint.note(), time)).unwrap_or_default();
        format!("{}{}{witness}", checkpoint.note(), self.cosignatures)
    }

    /// Records a certificate before it is given away.
    pub(crate) fn record(&mut self, certificate: &Certificate, grant: GrantId) -> (u64, Option<Receipt>) {
        let salt = Salt::from_bytes([9; 32]);
        let mut issued = issued(certificate, grant);
        (self.change_event)(&mut issued);
        let event = Event {
            v: 1,
            time: Timestamp::from_seconds(certificate.valid_after()),
            actor: Actor::Ca,
            source: None,
            what: What::CertificateIssued(Box::new(issued)),
        };
        let canonical = event.canonical().unwrap();
        let mut index = u64::try_from(self.leaves.len()).unwrap();
        self.leaves.push(Event::leaf(&salt, &canonical));
        let mut receipt = Receipt {
            event: String::from_utf8(canonical).unwrap(),
            salt: salt.to_string(),
            proof: encode_proof(&path(self.leaves.len() - 1, &self.leaves)),
            checkpoint: self.checkpoint(self.leaves.len()),
        };
        (self.change_receipt)(&mut receipt, &mut index);
        (index, self.receipts.then_some(receipt))
    }

    /// A published file, by its path below `/log/`.
    pub(crate) fn file(&self, path: &str) -> Option<Vec<u8>> {
        if path == "checkpoint" {
            return Some(self.checkpoint(self.published.unwrap_or(self.leaves.len())).into_bytes());
        }
        let tile: Tile = path.parse().unwrap();
        let first = usize::try_from(tile.first()).unwrap();
        let range = first..first + usize::from(tile.width());
        let contents = match tile.kind() {
            TileKind::Entries => encode_entries(self.leaves.get(range)?),
            TileKind::Hashes(level) => {
                let run = 1 << (8 * usize::from(level));
                let row: Vec<Hash> = self.leaves.chunks_exact(run).map(root).collect();
                row.get(range)?.concat()
            }
        };
        (self.change_file)(path, contents)
    }
}

/// RFC 6962, 2.1, as it stands there.
fn root(leaves: &[Hash]) -> Hash {
    if let [leaf] = leaves {
        return leaf_hash(leaf);
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    Sha256::new().chain_update([1]).chain_update(root(left)).chain_update(root(right)).finalize().into()
}

/// RFC 6962, 2.1.1.
fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let half = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(half);
    let (mut path, other) =
        if index < half { (path(index, left), root(right)) } else { (path(index - half, right), root(left)) };
    path.push(other);
    path
}

fn issued(certificate: &Certificate, grant: GrantId) -> CertificateIssued {
    let user_key = |data: &ssh_key::public::KeyData| UserKey::new(&data.clone().into()).unwrap();
    let options = |options: &ssh_key::certificate::OptionsMap| {
        options.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let bytes = certificate.to_bytes().unwrap();
    // An Ed25519 signature: its length, its name with a length, 64 bytes with a length.
    let tbs = &bytes[..bytes.len() - (4 + 4 + 11 + 4 + 64)];
    CertificateIssued {
        grant,
        session: SessionId::from_parts(1, 1),
        authority: "user".parse().unwrap(),
        authority_key: user_key(certificate.signature_key()),
        cert_type: if certificate.cert_type().is_user() { 1 } else { 2 },
        nonce: Salt::from_bytes([1; 32]),
        key: user_key(certificate.public_key()),
        serial: certificate.serial(),
        key_id: certificate.key_id().into(),
        principals: certificate.valid_principals().to_vec(),
        valid_after: Timestamp::from_seconds(certificate.valid_after()),
        valid_before: Timestamp::from_seconds(certificate.valid_before()),
        critical_options: options(certificate.critical_options()),
        extensions: options(certificate.extensions()),
        tbs_sha256: data_encoding::HEXLOWER.encode(&Sha256::digest(tbs)),
        policy_digest: "00".repeat(32),
    }
}

const WITNESS: u8 = 50;

fn witness_id(bytes: &[u8]) -> [u8; 4] {
    let hash = Sha256::new().chain_update("w.example/1\n").chain_update(bytes).finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn witness_bytes() -> Vec<u8> {
    let key = key(WITNESS);
    [&[4], key.public_key().key_data().ed25519().unwrap().0.as_slice()].concat()
}

/// The witness's key as C2SP tools write it.
pub(crate) fn witness() -> String {
    let bytes = witness_bytes();
    let id = data_encoding::HEXLOWER.encode(&witness_id(&bytes));
    format!("w.example/1+{id}+{}", data_encoding::BASE64.encode(&bytes))
}

/// C2SP tlog-cosignature: the witness's line under a note.
fn cosignature(note: &str, time: u64) -> String {
    let text = note.split_once("\n\n").unwrap().0;
    let message = format!("cosignature/v1\ntime {time}\n{text}\n");
    let signature = signature::Signer::<ssh_key::Signature>::sign(&key(WITNESS), message.as_bytes());
    let id = witness_id(&witness_bytes());
    let bytes = [id.as_slice(), &time.to_be_bytes(), signature.as_bytes()].concat();
    format!("— w.example/1 {}\n", data_encoding::BASE64.encode(&bytes))
}
