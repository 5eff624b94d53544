//! Splits a policy file into its statements before Cedar sees any of it, and refuses what would exhaust the stack of
//! Cedar's recursive parser. Knows the lexical rules of Cedar (strings, comments, brackets) and no grammar.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::CharIndices;

/// The largest policy file, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// The deepest nesting of brackets in one policy. Cedar's debug build takes 40 on a 2 MiB stack.
pub(super) const MAX_DEPTH: usize = 24;
/// The most operators and brackets (`&&`, `.`, `!`, `==`, `(`, `if`, `when` …) in one policy: chains of them become
/// deep trees.
pub(super) const MAX_OPERATORS: usize = 400;
/// The most `::` in one name.
pub(super) const MAX_PATH: usize = 8;

/// One policy of a file: from its first annotation to its `;`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    /// Where it starts in the file, in bytes.
    pub(super) start: usize,
    /// Its text.
    pub(super) text: &'a str,
    /// Name and place in the file of each `@annotation`.
    pub(super) annotations: Vec<(&'a str, usize)>,
    /// Where `permit` or `forbid` stands in the file; where the statement starts if it has neither.
    pub(super) effect: usize,
    /// Where its first `when` or `unless` stands.
    pub(super) condition: Option<usize>,
}

/// What is wrong, and where in the file, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) what: String,
}

impl Fault {
    fn new(offset: usize, what: impl ToString) -> Self {
        Self { offset, what: what.to_string() }
    }
}

/// The statements of a file, in order.
///
/// # Errors
/// The first place that is too large, too deep, or not finished.
pub(super) fn split(text: &str) -> Result<Vec<Statement<'_>>, Fault> {
    if text.len() > MAX_FILE_BYTES {
        return Err(Fault::new(
            0,
            format!("the file has more than {MAX_FILE_BYTES} bytes: split it into several files"),
        ));
    }
    let mut scanner = Scanner { text, chars: text.char_indices().peekable() };
    let mut statements = Vec::new();
    while let Some(statement) = scanner.statement()? {
        statements.push(statement);
    }
    Ok(statements)
}

/// What limits apply to while one statement is read.
#[derive(Default)]
struct Counts {
    /// Where each bracket stands that is not closed yet.
    open: Vec<(usize, char)>,
    operators: usize,
    path: usize,
}

struct Scanner<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl<'a> Scanner<'a> {
    /// Reads up to the next `;`; none if only space and comments are left.
    fn statement(&mut self) -> Result<Option<Statement<'a>>, Fault> {
        let mut start = None;
        let mut counts = Counts::default();
        let mut annotations = Vec::new();
        let (mut effect, mut condition) = (None, None);
        // The last that was read, so that what is missing is missed where it is missing.
        let mut last = 0;
        while let Some((at, c)) = self.chars.next() {
            if c.is_whitespace() {
                continue;
            }
            if c == '/' && self.follows('/') {
                self.comment();
                continue;
            }
            if c == '/' && self.follows('*') {
                return Err(Fault::new(
                    at,
                    "there are no /* */ comments here: begin each line of it with //",
                ));
            }
            let start = *start.get_or_insert(at);
            let outside = counts.open.is_empty();
            match c {
                ';' => {
                    let end = at.saturating_add(1);
                    let text = self.text.get(start..end).unwrap_or_default();
                    let effect = effect.unwrap_or(start);
                    return Ok(Some(Statement { start, text, annotations, effect, condition }));
                }
                '"' => self.string(at)?,
                '@' if effect.is_some() && outside => return Err(unfinished(last)),
                '@' => {
                    annotations.push((self.peek_word(), at));
                    self.rest_of_word(at);
                }
                '_' | 'a'..='z' | 'A'..='Z' => {
                    let word = self.word(at);
                    if matches!(word, "if" | "when" | "unless") {
                        counts.operator(at)?;
                    }
                    match word {
                        "permit" | "forbid" if outside && effect.is_some() => return Err(unfinished(last)),
                        "permit" | "forbid" if outside => effect = Some(at),
                        "when" | "unless" if outside => condition = condition.or(Some(at)),
                        _ => {}
                    }
                }
                _ => self.punctuation(at, c, &mut counts)?,
            }
            last = at;
            if !(c == ':' || c == '_' || c.is_ascii_alphanumeric()) {
                counts.path = 0;
            }
        }
        match (start, counts.open.last()) {
            (None, _) => Ok(None),
            (Some(_), Some((at, c))) => Err(Fault::new(*at, format!("this {c:?} is never closed"))),
            (Some(_), None) => Err(unfinished(last)),
        }
    }

    fn punctuation(&mut self, at: usize, c: char, counts: &mut Counts) -> Result<(), Fault> {
        match c {
            '(' | '[' | '{' => {
                // A chain of indices or calls nests as much as one of operators.
                counts.operator(at)?;
                counts.open.push((at, c));
                if counts.open.len() > MAX_DEPTH {
                    return Err(Fault::new(
                        at,
                        format!(
                            "brackets are nested more than {MAX_DEPTH} deep: write it as several policies"
                        ),
                    ));
                }
            }
            ')' | ']' | '}' => drop(counts.open.pop()),
            ':' if self.follows(':') => {
                self.chars.next();
                counts.path = counts.path.saturating_add(1);
                if counts.path > MAX_PATH {
                    return Err(Fault::new(at, format!("a name has more than {MAX_PATH} parts")));
                }
            }
            '&' | '|' | '=' => {
                // `&&`, `||` and `==` are one operator each.
                if self.follows(c) {
                    self.chars.next();
                }
                counts.operator(at)?;
            }
            '.' | '!' | '<' | '>' | '+' | '-' | '*' | '/' | '%' => counts.operator(at)?,
            _ => {}
        }
        Ok(())
    }

    fn follows(&mut self, wanted: char) -> bool {
        self.chars.peek().is_some_and(|(_, c)| *c == wanted)
    }

    /// Cedar ends a comment at a carriage return too.
    fn comment(&mut self) {
        while self.chars.next_if(|(_, c)| !matches!(c, '\n' | '\r')).is_some() {}
    }

    fn string(&mut self, at: usize) -> Result<(), Fault> {
        loop {
            match self.chars.next() {
                Some((_, '"')) => return Ok(()),
                Some((_, '\\')) => {
                    self.chars.next();
                }
                Some(_) => {}
                None => return Err(Fault::new(at, "this string is not finished: end it with '\"'")),
            }
        }
    }

    /// The rest of a word that started at `start`.
    fn word(&mut self, start: usize) -> &'a str {
        let end = self.rest_of_word(start);
        self.text.get(start..end).unwrap_or_default()
    }

    /// Where a word ends that started at `start`.
    fn rest_of_word(&mut self, start: usize) -> usize {
        let mut end = start.saturating_add(1);
        while let Some((at, _)) = self.chars.next_if(|(_, c)| *c == '_' || c.is_ascii_alphanumeric()) {
            end = at.saturating_add(1);
        }
        end
    }

    /// The word that comes next, left where it is.
    fn peek_word(&mut self) -> &'a str {
        let Some((at, _)) = self.chars.peek() else { return "" };
        let rest = self.text.get(*at..).unwrap_or_default();
        let end = rest.find(|c: char| !(c == '_' || c.is_ascii_alphanumeric())).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }
}

/// A policy without its `;`, after what stands here.
fn unfinished(at: usize) -> Fault {
    Fault::new(at, "this policy is not finished: write ';' after it")
}

impl Counts {
    fn operator(&mut self, at: usize) -> Result<(), Fault> {
        self.operators = self.operators.saturating_add(1);
        if self.operators > MAX_OPERATORS {
            return Err(Fault::new(
                at,
                format!("a policy has more than {MAX_OPERATORS} operators: write it as several policies"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        split(source).unwrap().into_iter().map(|s| s.text).collect()
    }

    #[test]
    fn statements_end_at_semicolons_outside_strings_and_comments() {
        assert_eq!(texts(""), [""; 0]);
        assert_eq!(texts(" // only a comment; really"), [""; 0]);
        assert_eq!(texts("a;b;"), ["a;", "b;"]);
        assert_eq!(texts("a \";\" ; // x; y\n b;"), ["a \";\" ;", "b;"]);
        assert_eq!(texts(r#"a "\";" ;b "\\";"#), [r#"a "\";" ;"#, r#"b "\\";"#]);
        // A carriage return ends a comment for Cedar: what follows is code, here too.
        assert_eq!(texts("// x\ra;"), ["a;"]);
        assert_eq!(texts("a // \"\n;"), ["a // \"\n;"]);
    }

    #[test]
    fn effect_and_condition_are_found_where_they_stand() {
        for (text, effect, condition) in [
            ("permit (x);", 0, None),
            (" @id(\"permit\") // forbid\n forbid (x) unless { when } when { y };", 26, Some(37)),
            ("@forbid(\"x\") permit (x);", 13, None),
            ("x;", 0, None),
        ] {
            let found = split(text).unwrap();
            assert_eq!((found[0].effect, found[0].condition), (effect, condition), "{text}");
        }
    }

    #[test]
    fn annotations_are_found_where_they_stand() {
        let found = split("@id(\"a@b\")\n @ttl(\"1h\") permit;").unwrap();
        assert_eq!(found[0].annotations, [("id", 0), ("ttl", 12)]);
    }

    #[test]
    fn what_is_refused() {
        for (source, at, why) in [
            ("permit", 0, "not finished"),
            ("a; permit (principal) // here\n", 20, "write ';' after it"),
            // It is missed where it is missing, not where that shows.
            ("permit (x)\nwhen { y }\n// next\n@id(\"b\") permit (x);", 20, "write ';' after it"),
            ("permit (x)\nforbid (x);", 9, "write ';' after it"),
            ("permit (x) when { [y", 18, "'[' is never closed"),
            ("permit (x", 7, "'(' is never closed"),
            ("a; /* x */ b;", 3, "begin each line of it with //"),
            ("a; \"x", 3, "string is not finished"),
            ("a; \"x\\\"", 3, "string is not finished"),
            (&"(".repeat(25), 24, "nested"),
            (&"[{(".repeat(9), 24, "nested"),
            (&"!".repeat(401), 400, "operators"),
            (&"&&".repeat(401), 800, "operators"),
            (&"if ".repeat(401), 1200, "operators"),
            (&"a.".repeat(401), 801, "operators"),
            (&"A::".repeat(9), 25, "parts"),
            (&"x".repeat(MAX_FILE_BYTES + 1), 0, "bytes"),
        ] {
            let fault = split(source).unwrap_err();
            assert_eq!(fault.offset, at, "{why}: {fault:?}");
            assert!(fault.what.contains(why), "{fault:?}");
        }
    }

    #[test]
    fn counts_start_anew_with_each_policy() {
        let one = alloc::format!("{}{};", "!".repeat(300), "(".repeat(20));
        assert_eq!(split(&one.repeat(5)).unwrap().len(), 5);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        /// The oracle is Cedar's own parser: it finds the policies that we find.
        #[test]
        fn cedar_sees_the_same_statements(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..8)) {
            let text = pieces.concat();
            let ours = split(&text).ok().and_then(|found| {
                found.iter().map(|s| cedar_policy::Policy::parse(None, s.text).ok()).collect::<Option<Vec<_>>>()
            });
            match (ours, text.parse::<cedar_policy::PolicySet>()) {
                (Some(ours), Ok(theirs)) => prop_assert_eq!(ours.len(), theirs.policies().count()),
                (None, Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{text}\n{ours:?}\n{theirs:?}"),
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}|[;\"\\\\/@(){}\\r\\n a]{0,40}") {
            if let Ok(found) = split(&text) {
                for statement in found {
                    prop_assert!(statement.text.ends_with(';') && text[statement.start..].starts_with(statement.text));
                }
            }
        }
    }

    /// What a scanner may take for something else.
    const PIECES: [&str; 14] = [
        "permit (principal, action, resource);",
        "forbid (principal, action, resource) when { context.reason like \"*;*\" };\n",
        "@message(\"; // \\\" \\\\\")",
        "@id(\"x\")",
        "// a comment; with \"\n",
        "// ends at a return;\r",
        "// not ended ",
        "\n",
        "\u{a0}",
        ";",
        "\"",
        "/* no comment; */",
        "{",
        "@",
    ];
}
