//! Inclusion proofs (RFC 6962, 2.1.1): this leaf is in that checkpoint's tree, at that index.

use alloc::string::String;
use alloc::vec::Vec;

use data_encoding::BASE64;

use super::{Checkpoint, Hash, leaf_hash};

/// No tree is as high: longer proofs are not looked at.
const MAX_PROOF: usize = 64;

/// Why a proof does not show what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InclusionError {
    /// Not hashes in standard base64, or too many.
    #[error("is not a list of SHA-256 hashes in base64")]
    Malformed,
    /// The index is not inside the tree.
    #[error("is for leaf {index} of a tree that has {size}")]
    Outside {
        /// The leaf.
        index: u64,
        /// The leaves of the tree.
        size: u64,
    },
    /// It leads to another root.
    #[error("does not lead from leaf {index} to the root of the tree")]
    OtherRoot {
        /// The leaf.
        index: u64,
    },
}

/// A proof as it crosses the wire: leaf to root, each hash in standard base64.
#[must_use]
pub fn encode_proof(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(|hash| BASE64.encode(hash)).collect()
}

/// Reads a proof.
///
/// # Errors
/// [`InclusionError::Malformed`].
pub fn decode_proof(proof: &[String]) -> Result<Vec<Hash>, InclusionError> {
    if proof.len() > MAX_PROOF {
        return Err(InclusionError::Malformed);
    }
    let hash = |text: &String| BASE64.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    proof.iter().map(|text| hash(text).ok_or(InclusionError::Malformed)).collect()
}

/// Checks that the checkpoint's tree has this leaf (as [`Event::leaf`](crate::event::Event::leaf) gives it) at `index`.
///
/// # Errors
/// When the proof does not show it.
pub fn check_inclusion(
    checkpoint: &Checkpoint,
    index: u64,
    leaf: &Hash,
    proof: &[Hash],
) -> Result<(), InclusionError> {
    if proof.len() > MAX_PROOF {
        return Err(InclusionError::Malformed);
    }
    let size = checkpoint.size();
    if index >= size {
        return Err(InclusionError::Outside { index, size });
    }
    let proof = proof.iter().map(|hash| tlog_tiles::Hash(*hash)).collect();
    let root = tlog_tiles::Hash(*checkpoint.root());
    tlog_tiles::check_record(&proof, size, root, index, tlog_tiles::Hash(leaf_hash(leaf)))
        .map_err(|_| InclusionError::OtherRoot { index })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{checkpoint, key, leaf, leaves, log_key};
    use crate::log::{MAX_SIZE, RootBuilder};
    use alloc::string::ToString;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use ct_merkle::{InclusionProof, RootHash};
    use proptest::prelude::*;
    use sha2::Sha256;

    /// The tree of the second implementation.
    fn other(size: u64) -> MemoryBackedTree<Sha256, Hash> {
        let mut tree = MemoryBackedTree::new();
        leaves(size).into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }

    fn proof(tree: &MemoryBackedTree<Sha256, Hash>, index: u64) -> Vec<Hash> {
        let proof = tree.prove_inclusion(usize::try_from(index).unwrap());
        proof.as_bytes().as_chunks().0.to_vec()
    }

    #[test]
    fn a_second_implementation_agrees_on_roots_and_proofs() {
        for size in [1, 2, 3, 7, 8, 9, 100, 255, 256, 257, 1000] {
            let (tree, ours) = (other(size), checkpoint(&leaves(size)));
            assert_eq!(tree.root().as_bytes().as_slice(), ours.root(), "{size}");
            for index in [0, 1, size / 2, size - 1].into_iter().filter(|i| *i < size) {
                let proof = proof(&tree, index);
                assert_eq!(check_inclusion(&ours, index, &leaf(index), &proof), Ok(()), "{size} {index}");
                let wire = decode_proof(&encode_proof(&proof)).unwrap();
                // And the other way round: what we take, it takes.
                let theirs = InclusionProof::<Sha256>::from_bytes(wire.concat());
                let root = RootHash::<Sha256>::new((*ours.root()).into(), size);
                assert!(root.verify_inclusion(&leaf(index), index, &theirs).is_ok());
            }
        }
        assert_eq!(RootBuilder::default().root(), crate::log::EMPTY_ROOT);
    }

    #[test]
    fn proofs_that_show_nothing() {
        use InclusionError::{Malformed, OtherRoot, Outside};
        let (tree, checkpoint) = (other(11), checkpoint(&leaves(11)));
        let good = proof(&tree, 4);
        let check = |index, number, proof: &[Hash]| check_inclusion(&checkpoint, index, &leaf(number), proof);
        assert_eq!(check(4, 4, &good), Ok(()));
        let mut swapped = good.clone();
        swapped.swap(0, 1);
        let longer = [good.as_slice(), &[[0; 32]]].concat();
        for (index, number, proof, error) in [
            (4, 5, good.as_slice(), OtherRoot { index: 4 }),
            (5, 4, &good, OtherRoot { index: 5 }),
            (4, 4, &good[1..], OtherRoot { index: 4 }),
            (4, 4, &good[..3], OtherRoot { index: 4 }),
            (4, 4, &swapped, OtherRoot { index: 4 }),
            (4, 4, &longer, OtherRoot { index: 4 }),
            (4, 4, &[], OtherRoot { index: 4 }),
            (11, 4, &good, Outside { index: 11, size: 11 }),
            (u64::MAX, 4, &good, Outside { index: u64::MAX, size: 11 }),
            (4, 4, &[[0; 32]; MAX_PROOF + 1], Malformed),
        ] {
            assert_eq!(check(index, number, proof), Err(error));
        }
        let empty = crate::log::testing::checkpoint(&[]);
        assert_eq!(check_inclusion(&empty, 0, &leaf(0), &[]), Err(Outside { index: 0, size: 0 }));
        let huge = Checkpoint::sign(&log_key(), MAX_SIZE, &[1; 32], &key(4)).unwrap();
        for index in [0, MAX_SIZE / 3, MAX_SIZE - 1] {
            let proof = [[0; 32]; 48];
            assert_eq!(check_inclusion(&huge, index, &leaf(0), &proof), Err(OtherRoot { index }));
        }
    }

    #[test]
    fn what_is_no_list_of_hashes() {
        let good = BASE64.encode(&[1; 32]);
        assert_eq!(decode_proof(core::slice::from_ref(&good)), Ok(alloc::vec![[1; 32]]));
        for bad in
            ["", "!", &good[1..], &good.replace('=', ""), &good.replace("E=", "F="), &BASE64.encode(&[1; 31])]
        {
            assert_eq!(decode_proof(&[bad.to_string()]), Err(InclusionError::Malformed), "{bad}");
        }
        assert!(decode_proof(&alloc::vec![good.clone(); MAX_PROOF]).is_ok());
        assert_eq!(decode_proof(&alloc::vec![good; MAX_PROOF + 1]), Err(InclusionError::Malformed));
    }

    proptest! {
        #[test]
        fn no_bit_of_a_proof_can_be_changed(size in 2_u64..300, index: u64, at: prop::sample::Index, bit in 0..8_u32) {
            let index = index % size;
            let mut proof = proof(&other(size), index);
            let bytes = proof.as_flattened_mut();
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            let checked = check_inclusion(&checkpoint(&leaves(size)), index, &leaf(index), &proof);
            prop_assert_eq!(checked, Err(InclusionError::OtherRoot { index }));
        }
    }
}
