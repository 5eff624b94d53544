//! An entry as an auditor is shown it (`GET /v1/events`, exports): whether what is shown is what was hashed. That the
//! leaf is in the tree, at this index, is for [`Tree::holds`](super::Tree::holds) to show.

use super::Hash;
use crate::Salt;
use crate::event::Event;
use crate::wire::LogItem;

/// Why an item is not what its leaf says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogItemError {
    /// The leaf is not a hash.
    #[error("has a leaf that is not 64 lower-case hex digits")]
    Leaf,
    /// The salt is none.
    #[error("has a salt that is not 32 bytes in unpadded base64url")]
    Salt,
    /// Salt or event without the other, or with the word that both were erased.
    #[error("is neither an event with its salt nor erased")]
    Shape,
    /// Salt and event hash to something else.
    #[error("is not what was recorded: its event and salt do not make its leaf")]
    OtherEvent,
}

impl LogItem {
    /// The leaf, once salt and event, if they are there, have been shown to make it.
    ///
    /// # Errors
    /// Says what is wrong, to follow "the entry".
    pub fn verified_leaf(&self) -> Result<Hash, LogItemError> {
        let leaf = data_encoding::HEXLOWER.decode(self.leaf.as_bytes()).ok();
        let leaf: Hash = leaf.and_then(|bytes| bytes.try_into().ok()).ok_or(LogItemError::Leaf)?;
        match (&self.event, &self.salt, self.erased) {
            (Some(event), Some(salt), false) => {
                let salt: Salt = salt.parse().map_err(|_| LogItemError::Salt)?;
                let made = Event::leaf(&salt, event.get().as_bytes());
                if made == leaf { Ok(leaf) } else { Err(LogItemError::OtherEvent) }
            }
            (None, None, true) => Ok(leaf),
            (_, _, _) => Err(LogItemError::Shape),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use proptest::prelude::*;

    const EVENT: &str = r#"{"v":1,"time":7,"actor":{"by":"ca"},"type":"x"}"#;

    fn item(json: &str) -> LogItem {
        serde_json::from_str(json).unwrap()
    }

    fn shown(salt: &str, event: &str) -> String {
        let leaf = Event::leaf(&Salt::from_bytes([3; 32]), EVENT.as_bytes());
        let leaf = data_encoding::HEXLOWER.encode(&leaf);
        format!(r#"{{"index":4,"leaf":"{leaf}","salt":"{salt}","event":{event}}}"#)
    }

    #[test]
    fn an_item_is_what_was_hashed_or_says_that_it_was_erased() {
        use LogItemError::{Leaf, OtherEvent, Salt as BadSalt, Shape};
        let salt = format!("{}", Salt::from_bytes([3; 32]));
        let good = shown(&salt, EVENT);
        let leaf = item(&good).leaf;
        assert_eq!(
            item(&good).verified_leaf(),
            Ok(Event::leaf(&Salt::from_bytes([3; 32]), EVENT.as_bytes()))
        );
        let only = |rest: &str| format!(r#"{{"index":4,"leaf":"{leaf}"{rest}}}"#);
        assert!(item(&only(r#","erased":true"#)).verified_leaf().is_ok());
        for (json, error) in [
            (shown(&salt, &EVENT.replace('7', "8")), OtherEvent),
            // The same to a reader of JSON, and not what was hashed.
            (shown(&salt, &EVENT.replace(':', ": ")), OtherEvent),
            (shown(&format!("{}", Salt::from_bytes([4; 32])), EVENT), OtherEvent),
            (shown(&format!("{salt}="), EVENT), BadSalt),
            (shown("", EVENT), BadSalt),
            (good.replace(&leaf, &leaf.to_ascii_uppercase()), Leaf),
            (good.replace(&leaf, &leaf[2..]), Leaf),
            (good.replace(&leaf, ""), Leaf),
            (only(""), Shape),
            (only(r#","erased":false"#), Shape),
            (only(&format!(r#","salt":"{salt}""#)), Shape),
            (only(&format!(r#","event":{EVENT}"#)), Shape),
            (only(&format!(r#","salt":"{salt}","erased":true"#)), Shape),
            (good.replace("}}", r#"},"erased":true}"#), Shape),
        ] {
            let good_shape = item(&json);
            assert_eq!(good_shape.verified_leaf(), Err(error), "{json}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(leaf in "\\PC{0,70}", salt in prop::option::of("\\PC{0,50}"), erased: bool) {
            let item = LogItem { index: 0, leaf, salt, event: None, erased };
            prop_assert!(item.verified_leaf().is_err() || erased);
        }
    }
}
