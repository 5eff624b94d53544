//! Entities that a policy names, with the place of each: `Type::"id"` outside comments and strings.

use alloc::vec::Vec;

/// One literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Literal<'a> {
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    /// Where it begins, in bytes of the text.
    pub(super) offset: usize,
}

/// Every literal, in order. What has an escape in its id names nothing that we have names for, and is left out.
pub(super) fn literals(text: &str) -> Vec<Literal<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    // The last word, and whether `::` came after it.
    let mut word: Option<(usize, &str)> = None;
    let mut joined = false;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or_default();
        let length = match c {
            '/' if rest.starts_with("//") => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            '"' => {
                let (inside, length) = string(rest);
                if let (Some((offset, kind)), true, false) = (word, joined, inside.contains('\\')) {
                    found.push(Literal { kind, id: inside, offset });
                }
                (word, joined) = (None, false);
                length
            }
            '_' | 'a'..='z' | 'A'..='Z' => {
                let end = rest.find(|c: char| !(c == '_' || c.is_ascii_alphanumeric()));
                let length = end.unwrap_or(rest.len());
                (word, joined) = (Some((at, rest.get(..length).unwrap_or_default())), false);
                length
            }
            ':' if rest.starts_with("::") => {
                joined = true;
                2
            }
            c if c.is_whitespace() => c.len_utf8(),
            c => {
                (word, joined) = (None, false);
                c.len_utf8()
            }
        };
        at = at.saturating_add(length.max(1));
    }
    found
}

/// What stands between the quotes that the text begins with, and how long it is with them.
fn string(text: &str) -> (&str, usize) {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return (text.get(1..at).unwrap_or_default(), at.saturating_add(1)),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    (text.get(1..).unwrap_or_default(), text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_found_where_they_stand_and_nowhere_else() {
        for (text, expected) in [
            ("permit (principal, action, resource);", &[][..]),
            (
                "principal in Group::\"sre\", [Action::\"a\", Host :: \"b\"]",
                &[("Group", "sre", 13), ("Action", "a", 28), ("Host", "b", 41)],
            ),
            ("// Group::\"no\"\nGroup::\"yes\"", &[("Group", "yes", 15)]),
            (r#"@message("Group::\"no\"") forbid"#, &[]),
            (r#"x == "Group::" || User::"a/b""#, &[("User", "a/b", 18)]),
            (r#"Group::"a\"b" Group::"c""#, &[("Group", "c", 14)]),
            ("Group \"a\" : : \"b\"", &[]),
            ("Group::\"open", &[("Group", "open", 0)]),
            ("ä Group::\"b\"", &[("Group", "b", 3)]),
        ] {
            let found: Vec<_> = literals(text).into_iter().map(|l| (l.kind, l.id, l.offset)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
