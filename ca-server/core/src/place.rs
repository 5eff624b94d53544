//! Where something stands in a text, and which of some words was probably meant: for messages to whoever wrote it.

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
