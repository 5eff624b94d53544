//! The commands that the documents show: every line that begins with `$ ` in a fenced block tagged `console`.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// A command as a reader types it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The document, from the root of the tree.
    pub(super) document: String,
    /// The number of its first line there.
    pub(super) number: usize,
    /// The last heading before it.
    pub(super) section: String,
    /// The command, its continuations joined.
    pub(super) text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: `{}`", self.document, self.number, self.text)
    }
}

impl Line {
    /// The simple commands in it, without what is set for them: `A=b x 1 && y | z` has `x 1`, `y` and `z`.
    pub(super) fn commands(&self) -> Vec<Vec<&str>> {
        let words = words(&self.text);
        let simple = words.split(|word| matches!(*word, "&&" | "||" | "|" | ";"));
        simple.map(|words| words.iter().copied().skip_while(|word| is_assignment(word)).collect()).collect()
    }
}

/// The words of a line; what stands in quotes is one word or a part of one.
fn words(text: &str) -> Vec<&str> {
    let mut quote = None;
    let ends = |c: char| {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None | Some(_), _) => {}
        }
        quote.is_none() && c == ' '
    };
    text.split(ends).filter(|word| !word.is_empty()).collect()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    })
}

/// The root of the tree.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every command of README.md, CONTRIBUTING.md and everything below docs/, in the order of the names of the documents.
pub(super) fn all() -> Vec<Line> {
    let mut documents = vec!["CONTRIBUTING.md".to_owned(), "README.md".to_owned()];
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push(name);
            } else if name.ends_with(".md") {
                documents.push(name);
            }
        }
    }
    documents.sort();
    documents.iter().flat_map(|document| of(document)).collect()
}

/// Every command of one document, in its order.
pub(super) fn of(document: &str) -> Vec<Line> {
    find(document, &fs::read_to_string(root().join(document)).unwrap())
}

/// The statements of the `sql` blocks of a document.
pub(super) fn statements(document: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let blocks = text.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let statements = blocks.flat_map(|block| block.split(';')).map(str::trim);
    statements.filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

fn find(document: &str, text: &str) -> Vec<Line> {
    let (mut found, mut section, mut fence): (Vec<Line>, _, Option<bool>) = (Vec::new(), "", None);
    let mut goes_on = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(tag) = line.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(tag == "console") };
            goes_on = false;
            continue;
        }
        match fence {
            None => {
                section =
                    line.strip_prefix('#').map_or(section, |title| title.trim_start_matches('#').trim());
            }
            Some(false) => {}
            Some(true) => {
                let more = match line.strip_prefix("$ ") {
                    Some(command) => {
                        let [document, section] = [document, section].map(str::to_owned);
                        found.push(Line { document, number: at + 1, section, text: String::new() });
                        command
                    }
                    None if goes_on => line,
                    None => continue,
                };
                goes_on = more.ends_with('\\');
                let command = &mut found.last_mut().unwrap().text;
                command.push_str(more.trim_end_matches('\\'));
            }
        }
    }
    found
}

#[test]
fn commands_are_found_where_they_are_shown_and_nowhere_else() {
    let text = "# One\n$ prose\n```\n$ untagged\n```\n## Two\n1. x\n\n   ```console\n   $ A=b c 'd | e' \\\n      --f && g | h\n   said\n   ```\n\
                ```json\n$ no\n```\n";
    let found = find("x.md", text);
    assert_eq!(found.len(), 1, "{found:?}");
    let line = &found[0];
    assert_eq!((line.number, line.section.as_str()), (10, "Two"));
    assert_eq!(line.text, "A=b c 'd | e' --f && g | h");
    assert_eq!(line.commands(), [vec!["c", "'d | e'", "--f"], vec!["g"], vec!["h"]]);
}
