//! Witnesses: others who saw the log and cosigned its checkpoints (C2SP tlog-cosignature), so that it cannot be shown
//! one way to some and another way to others without them.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use data_encoding::BASE64;
use signed_note::{Note, StandardVerifier, Verifier, is_key_name_valid};

use super::checkpoint::signature_lines;
use super::{Checkpoint, key};
use crate::Timestamp;

/// The type of a timestamped Ed25519 cosignature (C2SP tlog-cosignature).
const COSIGNATURE: u8 = 0x04;

/// The longest vkey that is read, in bytes.
const MAX_VKEY: usize = 512;

/// The key of a witness, as C2SP tools write it: `NAME+ID+BASE64`.
#[derive(Clone)]
pub struct WitnessKey {
    vkey: String,
    name: String,
    id: u32,
    verifier: StandardVerifier,
}

/// Why a text is not a witness's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a witness's key: give a vkey of type 4, NAME+ID+BASE64, as its operator publishes it")]
pub struct WitnessKeyError;

impl WitnessKey {
    /// The witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id in signature lines.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// When the witness cosigned this checkpoint: the latest time, if it did so more than once. None if it did not.
    #[must_use]
    pub fn cosigned(&self, checkpoint: &Checkpoint) -> Option<Timestamp> {
        let note = Note::from_bytes(checkpoint.note().as_bytes()).ok()?;
        let lines = signature_lines(&note, checkpoint.note()).ok()?;
        let own = lines.iter().filter(|line| line.name() == self.name && line.id() == self.id);
        own.filter_map(|line| {
            let (time, signature) = line.signature().split_first_chunk()?;
            let time = u64::from_be_bytes(*time);
            let mut message = alloc::format!("cosignature/v1\ntime {time}\n").into_bytes();
            message.extend_from_slice(note.text());
            self.verifier.verify(&message, signature).then(|| Timestamp::from_seconds(time))
        })
        .max()
    }
}

impl FromStr for WitnessKey {
    type Err = WitnessKeyError;

    fn from_str(vkey: &str) -> Result<Self, WitnessKeyError> {
        if vkey.len() > MAX_VKEY {
            return Err(WitnessKeyError);
        }
        let (name, rest) = vkey.split_once('+').ok_or(WitnessKeyError)?;
        let (_, encoded) = rest.split_once('+').ok_or(WitnessKeyError)?;
        let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| WitnessKeyError)?;
        let Some((&COSIGNATURE, public)) = bytes.split_first() else { return Err(WitnessKeyError) };
        let id = signed_note::key_id(name, &bytes);
        // There is one way to write it.
        if !is_key_name_valid(name) || alloc::format!("{name}+{id:08x}+{encoded}") != vkey {
            return Err(WitnessKeyError);
        }
        // The crate knows plain Ed25519 only: the same key under that type verifies what we put together.
        let mut plain = Vec::from([key::ED25519]);
        plain.extend_from_slice(public);
        let plain_id = signed_note::key_id(name, &plain);
        let plain = alloc::format!("{name}+{plain_id:08x}+{}", BASE64.encode_display(&plain));
        let verifier = StandardVerifier::new(&plain).map_err(|_| WitnessKeyError)?;
        Ok(Self { vkey: vkey.to_owned(), name: name.to_owned(), id, verifier })
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.vkey)
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WitnessKey").field(&self.vkey).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{checkpoint, leaves, log_key};
    use alloc::format;
    use ed25519_dalek::{Signer, SigningKey};
    use proptest::prelude::*;

    const NAME: &str = "witness.example/w1";

    fn signer(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    fn vkey(name: &str, kind: u8, number: u8) -> String {
        let bytes = [&[kind], signer(number).verifying_key().as_bytes().as_slice()].concat();
        format!("{name}+{:08x}+{}", signed_note::key_id(name, &bytes), BASE64.encode(&bytes))
    }

    /// A witness's line under a checkpoint's text.
    fn line(text: &str, time: u64, number: u8) -> String {
        let key: WitnessKey = vkey(NAME, 4, number).parse().unwrap();
        let signature = signer(number).sign(format!("cosignature/v1\ntime {time}\n{text}").as_bytes());
        let bytes = [key.id().to_be_bytes().as_slice(), &time.to_be_bytes(), &signature.to_bytes()].concat();
        format!("— {NAME} {}\n", BASE64.encode(&bytes))
    }

    fn cosigned(lines: &str) -> Option<u64> {
        let note = format!("{}{lines}", checkpoint(&leaves(5)).note());
        let read = Checkpoint::verify(&log_key(), &note).unwrap();
        let key: WitnessKey = vkey(NAME, 4, 9).parse().unwrap();
        key.cosigned(&read).map(Timestamp::seconds)
    }

    #[test]
    fn only_the_witnesss_own_signature_over_this_checkpoint_counts() {
        let made = checkpoint(&leaves(5));
        let text = format!("{}\n", made.note().split_once("\n\n").unwrap().0);
        let good = line(&text, 1_790_000_000, 9);
        assert_eq!(cosigned(&good), Some(1_790_000_000));
        assert_eq!(cosigned(""), None);
        // The latest of several, whoever else signed.
        let others = [good.as_str(), &line(&text, 1_790_000_060, 9), &line(&text, u64::MAX, 8)].concat();
        assert_eq!(cosigned(&others), Some(1_790_000_060));
        assert_eq!(cosigned(&line(&text.replace("\n5\n", "\n6\n"), 1_790_000_000, 9)), None);
        assert_eq!(cosigned(&line(&text, 1_790_000_000, 8)), None);
        // A plain signature over the note by the same key, without a time.
        let key: WitnessKey = vkey(NAME, 4, 9).parse().unwrap();
        let plain = signer(9).sign(text.as_bytes()).to_bytes();
        let plain = BASE64.encode(&[key.id().to_be_bytes().as_slice(), &plain].concat());
        assert_eq!(cosigned(&format!("— {NAME} {plain}\n")), None);
        // Another time than the one that was signed.
        let mut bytes = BASE64.decode(good.trim_end().rsplit_once(' ').unwrap().1.as_bytes()).unwrap();
        bytes[11] ^= 1;
        assert_eq!(cosigned(&format!("— {NAME} {}\n", BASE64.encode(&bytes))), None);
    }

    #[test]
    fn what_is_no_witnesss_key() {
        let good = vkey(NAME, 4, 9);
        let key: WitnessKey = good.parse().unwrap();
        assert_eq!((format!("{key}"), key.name()), (good.clone(), NAME));
        let (name_and_id, encoded) = good.rsplit_once('+').unwrap();
        for bad in [
            String::new(),
            "x".into(),
            "+".repeat(3),
            vkey(NAME, 1, 9),
            vkey("", 4, 9),
            vkey("a b", 4, 9),
            good.replacen("w1", "w2", 1),
            format!("{name_and_id}+{}", &encoded[..40]),
            format!("{name_and_id}0+{encoded}"),
            format!("{good}\n"),
            good.to_ascii_uppercase(),
            "x".repeat(MAX_VKEY + 1),
        ] {
            assert_eq!(bad.parse::<WitnessKey>().err(), Some(WitnessKeyError), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,80}", rest: Vec<u8>) {
            let _ = text.parse::<WitnessKey>();
            let key: WitnessKey = vkey(NAME, 4, 9).parse().unwrap();
            let bytes = [key.id().to_be_bytes().as_slice(), &[0], &rest].concat();
            prop_assert_eq!(cosigned(&format!("— {NAME} {}\n", BASE64.encode(&bytes))), None);
        }
    }
}
