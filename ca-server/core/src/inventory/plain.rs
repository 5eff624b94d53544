//! Large inventories are written by programs, one `key = value` a line. Such files are read line by line: what TOML says
//! of each line is asked of the TOML reader once for all hosts that say the same, and a million hosts say few different
//! things. Whatever is not that plain, and whatever is wrong, is read the long way.

use alloc::string::String;
use alloc::vec::Vec;

/// One entry of a file, with its header and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) offset: usize,
    pub(super) text: &'a str,
    pub(super) is_host: bool,
}

/// What stands in a plain `[[host]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plain<'a> {
    pub(super) name: &'a str,
    pub(super) address: Option<&'a str>,
}

/// The entries of a file in which every line that looks like the header of one is one; none if that is not sure.
pub(super) fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    // A string of several lines may have lines that look like anything.
    if text.contains("\"\"\"") || text.contains("'''") {
        return None;
    }
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let (mut offset, mut start): (usize, Option<(usize, bool)>) = (0, None);
    for line in text.split_inclusive('\n') {
        let header = match line.trim() {
            "[[host]]" => Some(true),
            "[[group]]" | "[[guest]]" => Some(false),
            other => {
                if start.is_none() && !other.is_empty() && !other.starts_with('#') {
                    return None;
                }
                None
            }
        };
        if let Some(is_host) = header {
            if let Some((start, is_host)) = start {
                pieces.push(Piece { offset: start, text: text.get(start..offset)?, is_host });
            }
            start = Some((offset, is_host));
        }
        offset = offset.checked_add(line.len())?;
    }
    if let Some((start, is_host)) = start {
        pieces.push(Piece { offset: start, text: text.get(start..)?, is_host });
    }
    Some(pieces)
}

/// What a host says that is its own; all its other lines are added to `rest`. None if the entry is not plain.
pub(super) fn host<'a>(piece: Piece<'a>, rest: &mut String) -> Option<Plain<'a>> {
    rest.clear();
    let (mut name, mut address) = (None, None);
    for line in piece.text.lines().skip(1) {
        let line = line.trim();
        // Every other line is whole, so that this one is no part of anything.
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=')?;
        let value = value.trim_start();
        match key.trim_end() {
            "name" if name.is_none() => name = Some(word(value)?),
            "address" if address.is_none() => address = Some(word(value)?),
            "groups" | "logins" | "fronts" if is_whole(value, '[', ']') => add(rest, line),
            "labels" if is_whole(value, '{', '}') => add(rest, line),
            "principals" => {
                word(value)?;
                add(rest, line);
            }
            _ => return None,
        }
    }
    Some(Plain { name: name?, address })
}

fn add(rest: &mut String, line: &str) {
    rest.push_str(line);
    rest.push('\n');
}

/// The text of a string of plain characters in double quotes.
fn word(value: &str) -> Option<&str> {
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\').then_some(text)
}

/// Whether a list or table ends on its line. What could go on over lines has a comma or a bracket at the end of one, or a
/// comment after it; and a line that goes on with a known key after neither is no TOML at all, as a whole or in parts.
fn is_whole(value: &str, open: char, close: char) -> bool {
    value.starts_with(open) && value.ends_with(close) && !value.contains('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Option<Vec<(Option<Plain<'_>>, String)>> {
        let mut rest = String::new();
        Some(pieces(text)?.into_iter().map(|piece| (host(piece, &mut rest), rest.clone())).collect())
    }

    #[test]
    fn a_plain_file_is_read_by_its_lines() {
        let text = "# made by a program\n\n[[host]]\nname = \"a\"\ngroups=[\"x\"]\n  labels = { a = \"b\" }\n# note\n\
                    address = \"10.0.0.1:22\"\n[[host]]\r\nname = \"b\"\r\n";
        let found = hosts(text).unwrap();
        let (a, b) = (Plain { name: "a", address: Some("10.0.0.1:22") }, Plain { name: "b", address: None });
        assert_eq!(found[0], (Some(a), "groups=[\"x\"]\nlabels = { a = \"b\" }\n".into()));
        assert_eq!(found[1], (Some(b), String::new()));
        let pieces = pieces(text).unwrap();
        assert!(pieces.iter().all(|piece| text[piece.offset..].starts_with("[[host]]")));
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_toml_reader() {
        for text in [
            "host = []\n[[host]]\nname = \"a\"",
            "x\n[[host]]",
            "[[host]]\nname = \"\"\"a\n[[host]]\n\"\"\"",
            "[[host]]\nx = '''",
        ] {
            assert!(pieces(text).is_none(), "{text}");
        }
        for lines in [
            "",
            "name = 'a'",
            "name = \"a\" # b",
            "name = \"a\\u0062\"",
            "name = \"a\"\nname = \"b\"",
            "name = \"a\"\ngroups = [\n\"x\"]",
            "name = \"a\"\ngroups = [\"x\"] # ]",
            "name = \"a\"\nlabels = {\nname = \"b\" }",
            "name = \"a\"\n[host.labels]\nname = \"b\"",
            "name = \"a\"\nlabels.name = \"b\"",
            "\"name\" = \"a\"",
            "name = \"a\"\nlogin = [\"x\"]",
            "name = \"a\"\ngroups = \"x\"",
            "name = \"a\"\nprincipals = [\"x\"]",
        ] {
            let text = alloc::format!("[[host]]\n{lines}\n");
            assert_eq!(hosts(&text).unwrap()[0].0, None, "{lines}");
        }
    }
}
