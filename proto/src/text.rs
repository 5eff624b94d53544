//! Text that people wrote: a reason, a ticket, a comment (invariant 11).

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest [`Text`], in characters.
pub const MAX_TEXT_CHARS: usize = 1000;

/// One line of visible text: no control, bidirectional or format characters, so that what an approver or
/// an auditor reads is what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Text(String);

/// Why a string is not a [`Text`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Longer than [`MAX_TEXT_CHARS`].
    #[error("is longer than 1000 characters")]
    TooLong,
    /// A character that cannot be seen or that changes how others are seen.
    #[error("has the invisible or control character {0:?} at position {1}: remove it")]
    Character(char, usize),
}

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Control characters (Cc), line and paragraph separators (Zl, Zp), format characters (Cf, which hold all
/// bidirectional controls), variation selectors and invisible fillers. Unicode 16, chapters 4.4 and 23.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

impl FromStr for Text {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        for (at, c) in text.chars().enumerate() {
            if at >= MAX_TEXT_CHARS {
                return Err(TextError::TooLong);
            }
            if is_invisible(c) {
                return Err(TextError::Character(c, at));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Text {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_11_text_carries_no_control_bidi_or_format_characters() {
        for bad in [
            "a\nb",
            "a\0",
            "\u{1b}[31m",
            "\u{202e}gro",
            "a\u{200b}b",
            "\u{2066}",
            "\u{feff}x",
            "\u{85}",
            "\u{e0041}",
            // Letters and signs that are blank: a reason of these would look like none.
            "\u{2800}\u{2800}",
            "\u{3164}",
            "\u{ffa0}",
            "\u{1d159}",
        ] {
            assert!(bad.parse::<Text>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(1001).parse::<Text>().is_err());
        assert!("OPS-7: disque plein, 磁盘已满 ☃".parse::<Text>().is_ok());
    }
}
