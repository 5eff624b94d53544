//! The ledger as a stranger checks it: leaves recomputed from what is stored, the tree and its proofs by an
//! implementation of RFC 6962 that is not ours, checkpoints read by hand from C2SP's note form.

use anyhow::{Context, Result, anyhow, bail, ensure};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{InclusionProof, RootHash};
use data_encoding::BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use jit_ssh_proto::event::Event;
use jit_ssh_proto::{CaId, Salt};
use sha2::{Digest, Sha256};

/// A leaf as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its index, from 0.
    pub index: u64,
    /// The canonical event.
    pub body: Vec<u8>,
    /// Its salt.
    pub salt: Vec<u8>,
    /// SHA-256(salt ‖ body), as stored.
    pub hash: Vec<u8>,
}

impl Leaf {
    /// The event at this place of the ledger, if everything about the leaf is right.
    ///
    /// # Errors
    /// Says what is not.
    pub fn event(&self, place: usize) -> Result<Event> {
        ensure!(usize::try_from(self.index)? == place, "leaf {} stands at {place}", self.index);
        let salt: [u8; 32] =
            self.salt.as_slice().try_into().with_context(|| format!("salt of leaf {place}"))?;
        let hash = Event::leaf(&Salt::from_bytes(salt), &self.body);
        ensure!(hash.as_slice() == self.hash, "leaf {place} has another hash");
        let event: Event = serde_json::from_slice(&self.body).with_context(|| format!("event {place}"))?;
        ensure!(event.canonical()? == self.body, "event {place} is not in canonical form");
        Ok(event)
    }
}

/// The root of each size that a ledger ever had.
#[derive(Debug)]
pub struct Roots(Vec<[u8; 32]>);

impl Roots {
    /// Of these leaves.
    #[must_use]
    pub fn of<'a>(leaves: impl IntoIterator<Item = &'a Leaf>) -> Self {
        let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut roots = vec![tree.root().as_bytes().to_owned().into()];
        for leaf in leaves {
            tree.push(leaf.hash.clone());
            roots.push(tree.root().as_bytes().to_owned().into());
        }
        Self(roots)
    }

    /// The root of the first `size` leaves; none if there are fewer.
    #[must_use]
    pub fn at(&self, size: u64) -> Option<&[u8; 32]> {
        self.0.get(usize::try_from(size).ok()?)
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX).saturating_sub(1)
    }
}

/// A signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many leaves.
    pub size: u64,
    /// The tree's root.
    pub root: [u8; 32],
}

impl Checkpoint {
    /// Reads a note and checks the ledger key's signature.
    ///
    /// # Errors
    /// When it is not a checkpoint of this ledger signed by this key.
    pub fn read(note: &str, ca: &CaId, key: &VerifyingKey) -> Result<Self> {
        let name = format!("jit-ssh/{ca}");
        let (text, signatures) = note.split_once("\n\n").context("a note without signatures")?;
        let mut lines = text.split('\n');
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        ensure!(origin == Some(&name), "the origin is {origin:?}");
        let size = size.context("no size")?.parse()?;
        let root: [u8; 32] =
            base64(root.context("no root")?)?.try_into().ok().context("the root's length")?;
        let text = format!("{text}\n");
        for line in signatures.lines() {
            let Some(rest) = line.strip_prefix(&format!("\u{2014} {name} ")) else { continue };
            let bytes = base64(rest)?;
            let (id, signature) = bytes.split_at_checked(4).context("a short signature")?;
            // C2SP signed-note: the first bytes of SHA-256(name ‖ 0x0A ‖ type ‖ key), type 0x01 being Ed25519.
            let hash = Sha256::new()
                .chain_update(&name)
                .chain_update([b'\n', 1])
                .chain_update(key.as_bytes())
                .finalize();
            ensure!(hash.starts_with(id), "another key's id");
            key.verify_strict(text.as_bytes(), &Signature::from_slice(signature)?)?;
            return Ok(Self { size, root });
        }
        bail!("no signature by {name}")
    }

    /// Checks that the tree has this leaf at this place.
    ///
    /// # Errors
    /// When the proof does not show it.
    pub fn has(&self, index: u64, leaf: &[u8], proof: &[Vec<u8>]) -> Result<()> {
        let root = RootHash::<Sha256>::new(self.root.into(), self.size);
        let proof = InclusionProof::try_from_bytes(proof.concat()).map_err(|e| anyhow!("{e:?}"))?;
        let leaf = leaf.to_vec();
        root.verify_inclusion(&leaf, index, &proof).map_err(|e| anyhow!("leaf {index}: {e:?}"))
    }
}

fn base64(text: &str) -> Result<Vec<u8>> {
    BASE64.decode(text.as_bytes()).map_err(|e| anyhow!("{text:?}: {e}"))
}
