//! A place in a file, shown: the line, and carets under what is meant. One way for every error that has a place.

/// The most of a line that is shown.
const WIDTH: usize = 110;

/// The line of the text, and carets under the word at the column; both counted from 1, the column in characters. Empty
/// if there is no such line.
pub(crate) fn shown(text: &str, line: usize, column: usize) -> String {
    let Some(source) = line.checked_sub(1).and_then(|at| text.lines().nth(at)) else { return String::new() };
    let chars: Vec<char> = source.chars().map(visible).collect();
    let at = column.saturating_sub(1).min(chars.len());
    let rest = chars.get(at..).unwrap_or_default();
    let width = word(rest).clamp(1, WIDTH / 2);
    // A long line is shown around the place.
    let from = (at + width).saturating_sub(WIDTH).min(at);
    let part: String = chars.iter().skip(from).take(WIDTH).collect();
    let margin = line.to_string();
    format!(
        "\n  {margin} | {}\n  {} | {}{}",
        part.trim_end(),
        " ".repeat(margin.len()),
        " ".repeat(at - from),
        "^".repeat(width)
    )
}

/// As wide as the character, and nothing that a terminal obeys.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '·',
        c if c.is_control() => '·',
        c => c,
    }
}

/// How much of the text is one word: `@annotation`, `Type::"id"`, a string, a name, or one character.
fn word(text: &[char]) -> usize {
    let name = |from: usize| {
        let part = text.get(from..).unwrap_or_default();
        from + part.iter().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).count()
    };
    let string = |from: usize| {
        let mut escaped = false;
        let inside = text.get(from + 1..).unwrap_or_default();
        let end = inside.iter().position(|c| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        end.map_or(text.len(), |end| from + end + 2)
    };
    match text.first() {
        Some('@') => name(1),
        Some('"') => string(0),
        Some(c) if c.is_alphanumeric() || *c == '_' => {
            let end = name(0);
            match text.get(end..) {
                Some([':', ':', '"', ..]) => string(end + 2),
                Some(_) | None => end,
            }
        }
        Some(_) | None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_underlined() {
        for (text, line, column, expected) in [
            ("a\n@tll(\"1h\") permit", 2, 1, "\n  2 | @tll(\"1h\") permit\n    | ^^^^"),
            ("in Group::\"sre\", x", 1, 4, "\n  1 | in Group::\"sre\", x\n    |    ^^^^^^^^^^^^"),
            ("\tx == \"a\\\"b\"", 1, 7, "\n  1 |  x == \"a\\\"b\"\n    |       ^^^^^^"),
            ("x \"open", 1, 3, "\n  1 | x \"open\n    |   ^^^^^"),
            ("x", 1, 9, "\n  1 | x\n    |  ^"),
            ("(", 1, 1, "\n  1 | (\n    | ^"),
            ("groups = [\"a\"]", 1, 1, "\n  1 | groups = [\"a\"]\n    | ^^^^^^"),
            ("é@x", 1, 2, "\n  1 | é@x\n    |  ^^"),
            ("", 1, 1, ""),
            ("x", 2, 1, ""),
            ("x", 0, 1, ""),
        ] {
            assert_eq!(shown(text, line, column), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_obeys_nobody_and_is_bounded() {
        let hostile = "\u{1b}[31m\u{202e}x\u{0}";
        let said = shown(hostile, 1, 1);
        assert!(!said.contains(['\u{1b}', '\u{202e}', '\0']), "{said:?}");
        let long = format!("{}here{}", "x ".repeat(5000), " y".repeat(5000));
        let said = shown(&long, 1, 10_001);
        assert!(said.contains("here") && said.len() < 400, "{said}");
        let (line, carets) = said.trim_start_matches('\n').split_once('\n').unwrap();
        assert_eq!(line.find("here"), carets.find("^^^^"), "{said}");
        assert!(shown(&"\"".repeat(100_000), 1, 1).len() < 400);
    }
}
