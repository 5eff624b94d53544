//! Entry bundles (C2SP tlog-tiles, "Log Entries"): the leaves of one tile, each with its length before it. Ours are 32
//! bytes each: what is in the events stays with the CA.

use alloc::vec::Vec;

use super::Hash;

/// The big-endian length of a leaf: 32.
const LENGTH: [u8; 2] = [0, 32];

/// A bundle is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not {0} entries of 32 bytes, each with its length before it")]
pub struct EntriesError(pub u16);

/// The bundle of these leaves.
#[must_use]
pub fn encode_entries(leaves: &[Hash]) -> Vec<u8> {
    leaves.iter().flat_map(|leaf| LENGTH.iter().chain(leaf)).copied().collect()
}

/// The leaves of a bundle of this many.
///
/// # Errors
/// When it holds another number, or something else.
pub fn decode_entries(bundle: &[u8], width: u16) -> Result<Vec<Hash>, EntriesError> {
    let error = EntriesError(width);
    let mut leaves = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        let after = rest.strip_prefix(&LENGTH).ok_or(error)?;
        let (leaf, after) = after.split_first_chunk().ok_or(error)?;
        if leaves.len() == usize::from(width) {
            return Err(error);
        }
        leaves.push(*leaf);
        rest = after;
    }
    if leaves.len() == usize::from(width) { Ok(leaves) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::leaves;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_bundle() {
        let good = encode_entries(&leaves(3));
        assert_eq!((good.len(), decode_entries(&good, 3)), (3 * 34, Ok(leaves(3))));
        assert_eq!(decode_entries(&[], 0), Ok(leaves(0)));
        let mut longer = good.clone();
        longer[1] = 33;
        for (bundle, width) in [
            (&good[..], 2),
            (&good, 4),
            (&good, 0),
            (&good[1..], 3),
            (&good[..101], 3),
            (&good[..68], 3),
            (&[], 1),
            (&[0], 0),
            (&longer, 3),
            (&leaves(3).concat(), 3),
        ] {
            assert_eq!(decode_entries(bundle, width), Err(EntriesError(width)));
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_what_is_written(bundle: Vec<u8>, width: u16, leaves: Vec<Hash>) {
            if let Ok(read) = decode_entries(&bundle, width) {
                prop_assert_eq!(encode_entries(&read), bundle);
            }
            let width = u16::try_from(leaves.len()).unwrap();
            prop_assert_eq!(decode_entries(&encode_entries(&leaves), width), Ok(leaves));
        }
    }
}
