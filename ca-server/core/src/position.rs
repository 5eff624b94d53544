//! Where something stands in a text, and which of some words was probably meant: for messages to whoever wrote it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Line and column, both counted from 1, the column in characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
    (line, column)
}

/// One visible line, whatever the text has in it.
pub(crate) fn one_line(text: &str) -> String {
    let escape = |c: char| if c.is_ascii_graphic() { String::from(c) } else { c.escape_debug().to_string() };
    text.split_whitespace().map(|word| word.chars().map(escape).collect()).collect::<Vec<String>>().join(" ")
}

/// The word that `word` was probably meant to be, if one of them is near enough: at most three characters differ, and
/// fewer than half.
#[must_use]
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const MOST: usize = 3;
    known
        .into_iter()
        // Names are short, and most differ in length already.
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * MOST)
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= MOST && 2 * *distance < word.len().max(candidate.len()))
        .min()
        .map(|(_, candidate)| candidate)
}

/// What a TOML reader says of a value, with the key that it belongs to: `name has 'W' at position 0`. The value is where
/// the reader says, in bytes; what is not said of a value stays as it is.
#[must_use]
pub fn of_key(text: &str, offset: usize, message: &str) -> String {
    let of_a_value = ["has ", "is ", "invalid type", "invalid value", "invalid length", "unknown variant"];
    let key = key_before(text, offset).filter(|_| of_a_value.iter().any(|start| message.starts_with(start)));
    match key {
        None => message.into(),
        Some(key) if message.starts_with("has ") || message.starts_with("is ") => format!("{key} {message}"),
        Some(key) => format!("{key}: {message}"),
    }
}

/// The key of the value that stands here, alone or in a list.
fn key_before(text: &str, offset: usize) -> Option<&str> {
    let before = text.get(..offset)?;
    let before = before.get(..before.rfind('=')?)?.trim_end();
    let start = before
        .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
        .map_or(0, |at| at.saturating_add(1));
    before.get(start..).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_lines_and_characters() {
        assert_eq!(position("äb\nc", 0), (1, 1));
        assert_eq!(position("äb\nc", 2), (1, 2));
        assert_eq!(position("äb\nc", 4), (2, 1));
        assert_eq!(position("a", 99), (1, 2));
        // Inside a character is nowhere: the end.
        assert_eq!(position("ä", 1), (1, 2));
    }

    #[test]
    fn values_are_told_with_their_key() {
        for (text, value, message, expected) in [
            ("[[host]]\nname = \"A\"", "\"A\"", "has 'A'", "name has 'A'"),
            ("logins = [\"a\", \"B\"]", "\"B\"", "has 'B'", "logins has 'B'"),
            ("who = { name = 7 }", "7", "invalid type: integer", "name: invalid type: integer"),
            ("x = 1\ny = z", "z", "key with no value", "key with no value"),
            ("[[case]]", "[[", "missing field `name`", "missing field `name`"),
            ("A", "A", "has 'A'", "has 'A'"),
            ("= A", "A", "has 'A'", "has 'A'"),
        ] {
            assert_eq!(of_key(text, text.find(value).unwrap(), message), expected, "{text}");
        }
        assert_eq!(of_key("a = 1", 99, "is x"), "is x");
    }

    #[test]
    fn what_was_probably_meant() {
        for (word, expected) in [
            ("wbe", Some("web")),
            ("webs", Some("web")),
            ("we", Some("web")),
            ("produktion", Some("production")),
            ("ab", None),
            ("", None),
            ("something-else", None),
        ] {
            assert_eq!(closest(word, ["db", "production", "web"]), expected, "{word}");
        }
        assert_eq!(closest("x", []), None);
        // The nearest, then the first of the alphabet.
        assert_eq!(closest("web-3", ["web-2", "web-1", "web-33"]), Some("web-1"));
    }
}
