//! `docs/EVENTS.md` says of every kind of event what there is in it, and of nothing else: compared with the golden
//! forms and with the source, both ways. `UPDATE_EXPECT=1` writes the examples anew.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure here is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jit_ssh_proto::event::What;
use serde_json::Value;

/// What stands around every kind's own fields.
const COMMON: [&str; 5] = ["v", "time", "actor", "source", "type"];
/// The widest line of an example.
const WIDTH: usize = 118;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/EVENTS.md")).unwrap()
}

/// The golden forms of each kind, by name of the file.
fn golden() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut kinds: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("proto/golden/events")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let kind = parsed(&text)["type"].as_str().unwrap().to_owned();
        kinds.entry(kind).or_default().insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), text);
    }
    kinds
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// Every field of an event: `asked.mode`, `serials[].to`.
fn fields(value: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    let Value::Object(map) = value else { return };
    for (name, value) in map {
        let path = format!("{prefix}{name}");
        fields(value, &format!("{path}."), found);
        for item in value.as_array().into_iter().flatten() {
            fields(item, &format!("{path}[]."), found);
        }
        found.insert(path);
    }
}

/// Field and whether it is always there, of the table in a part of the page.
fn table(part: &str) -> BTreeMap<String, bool> {
    let rows = part.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert!(cells.len() == 5 && !cells[3].is_empty(), "{row}");
        (cells[1].trim_matches('`').to_owned(), cells[2] == "always")
    })
    .collect()
}

/// Field and whether it is always there, of some forms.
fn written<'a>(forms: impl Iterator<Item = &'a String>) -> BTreeMap<String, bool> {
    let forms: Vec<BTreeSet<String>> = forms
        .map(|json| {
            let mut found = BTreeSet::new();
            fields(&parsed(json), "", &mut found);
            found
        })
        .collect();
    let all: BTreeSet<String> = forms.iter().flatten().cloned().collect();
    all.into_iter().map(|field| (field.clone(), forms.iter().all(|form| form.contains(&field)))).collect()
}

fn is_common(field: &str) -> bool {
    COMMON.contains(&field.split('.').next().unwrap())
}

#[test]
fn every_kind_and_field_is_explained_and_nothing_else() {
    let document = document();
    let golden = golden();
    let mut parts = document.split("\n## `");
    let mut common = written(golden.values().flat_map(BTreeMap::values));
    common.retain(|field, _| is_common(field));
    let form = parts.next().unwrap().split("\n## ").find(|part| part.starts_with("The form")).unwrap();
    assert_eq!(table(form), common, "the common fields");
    let mut explained = Vec::new();
    for part in parts {
        let (kind, _) = part.split_once('`').unwrap();
        let mut expected = written(golden.get(kind).unwrap_or_else(|| panic!("no {kind}")).values());
        expected.retain(|field, _| !is_common(field));
        assert_eq!(table(part), expected, "{kind}");
        explained.push(kind);
    }
    assert_eq!(explained, What::KINDS);
}

#[test]
fn no_field_of_the_source_is_missing_from_the_forms() {
    let forms = written(golden().values().flat_map(BTreeMap::values));
    let forms: BTreeSet<&str> = forms.keys().map(|field| field.rsplit('.').next().unwrap()).collect();
    let mut seen = 0;
    for file in ["event.rs", "event/identity.rs", "event/operation.rs"] {
        let source = std::fs::read_to_string(root().join("proto/src").join(file)).unwrap();
        for line in source.lines() {
            let field = line.trim().strip_prefix("pub ").and_then(|rest| rest.split_once(": "));
            let Some((field, _)) = field else { continue };
            // The two that are flattened or renamed.
            if !field.contains(' ') && !matches!(field, "what" | "kind" | "outcome") {
                assert!(forms.contains(field), "{file}: {field}");
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn the_examples_are_the_golden_forms() {
    let mut text = document();
    for (kind, forms) in golden() {
        let shown = forms.iter().filter(|(name, _)| {
            // The fullest of each: without what another shows too.
            !forms.contains_key(&format!("{name}.full")) || *name == "certificate.issued"
        });
        let blocks: Vec<String> =
            shown.map(|(_, json)| format!("```json\n{}\n```\n", laid_out(json))).collect();
        let (begin, end) = (format!("<!-- begin {kind} -->\n"), format!("<!-- end {kind} -->"));
        let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
        let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
        text = format!("{before}{begin}{}{end}{after}", blocks.join("\n"));
    }
    if text != document() {
        if std::env::var_os("UPDATE_EXPECT").is_none() {
            panic!("the examples in docs/EVENTS.md are stale: run this test with UPDATE_EXPECT=1");
        }
        std::fs::write(root().join("docs/EVENTS.md"), text).unwrap();
    }
}

/// Compact JSON with line breaks between its tokens.
fn laid_out(json: &str) -> String {
    let (mut lines, mut line, mut token) = (Vec::new(), String::new(), String::new());
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        token.push(c);
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            quoted = c == '"';
        }
        if !quoted && matches!(c, ',' | '{' | '[') {
            if line.chars().count() + token.chars().count() > WIDTH {
                lines.push(std::mem::take(&mut line));
                line.push(' ');
            }
            line.push_str(&std::mem::take(&mut token));
        }
    }
    if line.chars().count() + token.chars().count() > WIDTH {
        lines.push(std::mem::take(&mut line));
        line.push(' ');
    }
    lines.push(line + &token);
    lines.join("\n")
}
