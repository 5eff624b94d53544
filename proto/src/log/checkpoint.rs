//! A checkpoint: how many leaves the log has and the root over them, signed. The form is C2SP tlog-checkpoint inside a
//! C2SP signed note. There is one text for each value: whatever is accepted here is what its signer wrote.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use signed_note::{Note, Signature};
use ssh_key::SigningKey;

use super::{EMPTY_ROOT, Hash, LogKey, MAX_SIZE};

/// No signed note that is read is longer, in bytes: room for a hundred cosignatures.
pub const MAX_NOTE: usize = 64 * 1024;

/// A checkpoint that the log's own key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    size: u64,
    root: Hash,
    note: String,
    cosignatures: Vec<Cosignature>,
}

/// A signature line by a key that is not the log's: a witness's. It was not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The name of the key, as the line says. It can be any text: escape it before showing it.
    pub name: String,
    /// The key's id.
    pub key_id: u32,
}

/// Why a text is not a checkpoint of this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Longer than [`MAX_NOTE`].
    #[error("is longer than any checkpoint")]
    TooLong,
    /// Not a checkpoint in a signed note, or not in its one form.
    #[error("is not a signed checkpoint")]
    Malformed,
    /// Of another log.
    #[error("is of the log {found:?}, not of {expected:?}")]
    OtherOrigin {
        /// The origin it has.
        found: String,
        /// The origin it should have.
        expected: String,
    },
    /// Beyond [`MAX_SIZE`].
    #[error("claims {0} entries, more than any ledger has")]
    Size(u64),
    /// No leaves, and a root that is not [`EMPTY_ROOT`].
    #[error("claims a root for a tree without entries")]
    EmptyRoot,
    /// No signature by the ledger key.
    #[error("is not signed by the ledger key")]
    Unsigned,
    /// A signature line in the ledger key's name that does not verify, or several.
    #[error("has a signature in the ledger key's name that does not verify")]
    Signature,
}

impl Checkpoint {
    /// Reads a signed note and verifies it. Signature lines of other keys are kept and count for nothing.
    ///
    /// # Errors
    /// Says what is wrong, to follow "the checkpoint".
    pub fn verify(key: &LogKey, note: &str) -> Result<Self, CheckpointError> {
        if note.len() > MAX_NOTE {
            return Err(CheckpointError::TooLong);
        }
        // 1. The form, which is the only one.
        let parsed = Note::from_bytes(note.as_bytes()).map_err(|_| CheckpointError::Malformed)?;
        let body =
            tlog_tiles::Checkpoint::from_bytes(parsed.text()).map_err(|_| CheckpointError::Malformed)?;
        let lines = signature_lines(&parsed, note)?;
        if body.to_bytes() != parsed.text() {
            return Err(CheckpointError::Malformed);
        }
        // 2. Of this log.
        if body.origin() != key.origin() {
            return Err(CheckpointError::OtherOrigin {
                found: body.origin().to_owned(),
                expected: key.origin().to_owned(),
            });
        }
        // 3. By its key, once. A second line in its name would be a second text for the same checkpoint.
        let (own, others): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|line| line.name() == key.origin() && line.id() == key.id());
        match own.as_slice() {
            [] => return Err(CheckpointError::Unsigned),
            [line] if key.verifies(parsed.text(), line.signature()) => {}
            _ => return Err(CheckpointError::Signature),
        }
        // 4. Of a size that can be.
        if body.size() > MAX_SIZE {
            return Err(CheckpointError::Size(body.size()));
        }
        if body.size() == 0 && body.hash().0 != EMPTY_ROOT {
            return Err(CheckpointError::EmptyRoot);
        }
        let cosignatures = others
            .iter()
            .map(|line| Cosignature { name: line.name().to_owned(), key_id: line.id() })
            .collect();
        Ok(Self { size: body.size(), root: body.hash().0, note: note.to_owned(), cosignatures })
    }

    /// Signs size and root with the ledger key, and verifies what came out.
    ///
    /// # Errors
    /// When the signer is not the key's, cannot sign, or the values cannot be a checkpoint's.
    pub fn sign(
        key: &LogKey,
        size: u64,
        root: &Hash,
        signer: &impl SigningKey,
    ) -> Result<Self, CheckpointError> {
        let body = tlog_tiles::Checkpoint::new(key.origin(), size, tlog_tiles::Hash(*root), "")
            .map_err(|_| CheckpointError::Malformed)?;
        let text = body.to_bytes();
        let signature = signer.try_sign(&text).map_err(|_| CheckpointError::Unsigned)?;
        let line = Signature::new(key.origin().to_owned(), key.id(), signature.as_bytes().to_vec())
            .map_err(|_| CheckpointError::Malformed)?;
        let note = Note::new(&text, &[line]).map_err(|_| CheckpointError::Malformed)?;
        let note = String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Malformed)?;
        Self::verify(key, &note)
    }

    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    #[must_use]
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The root in standard base64, as it stands in the note.
    #[must_use]
    pub fn root_text(&self) -> String {
        data_encoding::BASE64.encode(&self.root)
    }

    /// The signed note, as it came: with its cosignatures, which others may want to verify.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    /// Who else signed, unverified.
    #[must_use]
    pub fn cosignatures(&self) -> &[Cosignature] {
        &self.cosignatures
    }

    /// Whether the two cannot both be of one honest log: as many leaves, and another root.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        self.size == other.size && self.root != other.root
    }
}

/// The signature lines of a note, if they are written as they would be written again.
pub(super) fn signature_lines(parsed: &Note, note: &str) -> Result<Vec<Signature>, CheckpointError> {
    if parsed.to_bytes() != note.as_bytes() {
        return Err(CheckpointError::Malformed);
    }
    let (_, lines) = note.rsplit_once("\n\n").ok_or(CheckpointError::Malformed)?;
    lines
        .lines()
        .map(|line| Signature::from_bytes(line.as_bytes()).map_err(|_| CheckpointError::Malformed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CaId;
    use crate::log::testing::{CA, checkpoint, key, leaves, log_key};
    use crate::log::{MAX_SIZE, RootBuilder};
    use alloc::format;
    use proptest::prelude::*;

    /// A note of this text with a signature by this key in this name.
    fn signed(text: &str, name: &str, number: u8) -> String {
        let line = key(number).public_key().to_openssh().unwrap();
        let id = LogKey::new(&CA, &line).unwrap().id();
        let signature = signature::Signer::sign(&key(number), text.as_bytes());
        let line = Signature::new(name.into(), id, signature.as_bytes().to_vec()).unwrap();
        String::from_utf8(Note::new(text.as_bytes(), &[line]).unwrap().to_bytes()).unwrap()
    }

    fn text(size: &str, root: &str) -> String {
        format!("{}\n{size}\n{root}\n", log_key().origin())
    }

    const ROOT: &str = "TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=";

    #[test]
    fn what_is_signed_is_read_back() {
        let made = checkpoint(&leaves(5));
        let read = Checkpoint::verify(&log_key(), made.note()).unwrap();
        assert_eq!((read.size(), &read), (5, &made));
        assert_eq!(made.note().lines().nth(2).unwrap(), made.root_text());
        let empty = checkpoint(&[]);
        assert_eq!((empty.size(), empty.root()), (0, &EMPTY_ROOT));
        // Only the ledger key makes the ledger's checkpoints.
        assert_eq!(Checkpoint::sign(&log_key(), 5, made.root(), &key(5)), Err(CheckpointError::Signature));
        assert!(Checkpoint::sign(&log_key(), MAX_SIZE, made.root(), &key(4)).is_ok());
        assert_eq!(
            Checkpoint::sign(&log_key(), MAX_SIZE + 1, made.root(), &key(4)),
            Err(CheckpointError::Size(MAX_SIZE + 1))
        );
    }

    #[test]
    fn checkpoints_that_are_refused() {
        use CheckpointError::{EmptyRoot, Malformed, Signature, Size, TooLong, Unsigned};
        let key = log_key();
        let name = key.origin();
        let good = signed(&text("5", ROOT), name, 4);
        assert!(Checkpoint::verify(&key, &good).is_ok());
        let line = good.lines().last().unwrap();
        let other = super::super::origin(&CaId::from_bytes([8; 32]));
        let elsewhere = CheckpointError::OtherOrigin { found: other.clone(), expected: name.into() };
        let own = |size: &str, root: &str| signed(&text(size, root), name, 4);
        for (note, error) in [
            (String::new(), Malformed),
            (text("5", ROOT), Malformed),
            (text("5", ROOT) + "\n", Malformed),
            (good.trim_end().into(), Malformed),
            (good.replace('\n', "\r\n"), Malformed),
            (format!("{good}\n"), Malformed),
            (format!("\n{good}"), Malformed),
            (good.replace("— ", "- "), Malformed),
            (format!("{good}— witness !\n"), Malformed),
            (format!("{good}— witness AAAA\n"), Malformed),
            // The tree, in another writing than the one.
            (own("05", ROOT), Malformed),
            (own("+5", ROOT), Malformed),
            (own("-1", ROOT), Malformed),
            (own("", ROOT), Malformed),
            (own("18446744073709551616", ROOT), Malformed),
            (own("5", &ROOT.replace("b0=", "b1=")), Malformed),
            (own("5", &ROOT.replace('=', "")), Malformed),
            (own("5", "AAAA"), Malformed),
            (own("5", ""), Malformed),
            (signed(&format!("{name}\n5\n"), name, 4), Malformed),
            // Sizes that cannot be.
            (own("18446744073709551615", ROOT), Size(u64::MAX)),
            (own("281474976710657", ROOT), Size(MAX_SIZE + 1)),
            (own("0", ROOT), EmptyRoot),
            // Another log's, whoever signed it.
            (signed(&format!("{other}\n5\n{ROOT}\n"), &other, 4), elsewhere.clone()),
            (signed(&format!("{other}\n5\n{ROOT}\n"), name, 4), elsewhere),
            // Not signed, or not by the ledger key, or not over this.
            (signed(&text("5", ROOT), "witness", 4), Unsigned),
            (signed(&text("5", ROOT), name, 5), Unsigned),
            (good.replace("\n5\n", "\n6\n"), Signature),
            (good.replace(line, &line.replace("AAA", "AAB")).replace("\n5\n", "\n7\n"), Signature),
            (format!("{good}{line}\n"), Signature),
            (format!("{good}{}", "x".repeat(MAX_NOTE)), TooLong),
        ] {
            assert_eq!(Checkpoint::verify(&key, &note), Err(error), "{note:?}");
        }
    }

    #[test]
    fn cosignatures_are_passed_through_and_count_for_nothing() {
        let made = checkpoint(&leaves(3));
        let witness = signed(&text("5", ROOT), "witness.example/w1", 9);
        let line = witness.lines().last().unwrap();
        for note in
            [format!("{}{line}\n", made.note()), made.note().replace("\n\n", &format!("\n\n{line}\n"))]
        {
            let read = Checkpoint::verify(&log_key(), &note).unwrap();
            assert_eq!((read.size(), read.root(), read.note()), (3, made.root(), note.as_str()));
            let names: Vec<&str> = read.cosignatures().iter().map(|c| c.name.as_str()).collect();
            assert_eq!(names, ["witness.example/w1"]);
        }
        // Lines that the log's own key may add to its text, some day, are kept too.
        let more = signed(&format!("{}later\n", text("5", ROOT)), log_key().origin(), 4);
        assert_eq!(Checkpoint::verify(&log_key(), &more).unwrap().note(), more);
    }

    #[test]
    fn two_roots_for_one_size_contradict() {
        let sign = |size, root| Checkpoint::sign(&log_key(), size, &root, &key(4)).unwrap();
        assert!(sign(5, [1; 32]).contradicts(&sign(5, [2; 32])));
        assert!(!sign(5, [1; 32]).contradicts(&sign(5, [1; 32])));
        assert!(!sign(5, [1; 32]).contradicts(&sign(6, [2; 32])));
    }

    proptest! {
        #[test]
        fn any_size_and_root_have_one_text(size in 1..=MAX_SIZE, root: Hash) {
            let made = Checkpoint::sign(&log_key(), size, &root, &key(4)).unwrap();
            let read = Checkpoint::verify(&log_key(), made.note()).unwrap();
            prop_assert_eq!((read.size(), *read.root()), (size, root));
        }

        /// No other text than the signed one says anything: not what is signed, and not with another signature.
        #[test]
        fn no_byte_can_be_changed(at: prop::sample::Index, byte: u8, insert: bool) {
            let note = checkpoint(&leaves(7)).note().to_owned();
            let mut bytes = note.clone().into_bytes();
            let at = at.index(bytes.len());
            if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
            if let Ok(text) = core::str::from_utf8(&bytes) && text != note {
                prop_assert!(Checkpoint::verify(&log_key(), text).is_err(), "{text:?}");
            }
        }

        #[test]
        fn nothing_panics(text in "\\PC*", size: u64) {
            let _ = Checkpoint::verify(&log_key(), &text);
            let note = signed(&format!("{}\n{size}\n{ROOT}\n{text}\n", log_key().origin()), log_key().origin(), 4);
            if let Ok(read) = Checkpoint::verify(&log_key(), &note) {
                prop_assert_eq!((read.size(), read.note()), (size, note.as_str()));
            }
        }

        #[test]
        fn a_root_builder_counts(size in 0_u64..40) {
            let mut builder = RootBuilder::default();
            leaves(size).iter().for_each(|leaf| builder.push(leaf));
            prop_assert_eq!(builder.size(), size);
        }
    }
}
