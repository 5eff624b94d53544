//! TOML errors as an operator wants them: where, what, and for an unknown key what was probably meant.

use std::path::Path;

use jit_ssh_core::position::{closest, of_key};

use super::{ConfigError, caret};

/// Turns an error of the `toml` crate into ours. The line itself is not shown: it may hold the password of a database.
pub(crate) fn explain(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    explain_after(path, text, 0, error)
}

/// The same for a text that was read with so many bytes before it.
pub(super) fn explain_after(path: &Path, text: &str, before: usize, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map(|span| span.start.saturating_sub(before));
    let place = offset.map(|offset| position(text, offset));
    let place = place.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
    let key = offset.and_then(|offset| key_before(text, offset));
    let wrong = key.and_then(|key| wrong_type(key, error.message()));
    let what = wrong.unwrap_or_else(|| {
        let what = suggest(error.message());
        offset.map_or(what.clone(), |offset| of_key(text, offset, &what))
    });
    let shown = String::new();
    ConfigError::Syntax { path: path.to_path_buf(), place, what, shown }
}

/// The same with the line shown, for files that hold no secrets.
pub(crate) fn explain_shown(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let explained = explain(path, text, error);
    let (ConfigError::Syntax { path, place, what, shown: _ }, Some(span)) = (&explained, error.span()) else {
        return explained;
    };
    let (line, column) = position(text, span.start);
    let shown = caret::shown(text, line, column);
    ConfigError::Syntax { path: path.clone(), place: place.clone(), what: what.clone(), shown }
}

/// Line and column, both counted from 1, the column in characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The key whose value begins at this place.
fn key_before(text: &str, at: usize) -> Option<&str> {
    let (before, _) = text.get(..at)?.rsplit_once('=')?;
    let key = before.rsplit('\n').next()?.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '"');
    (!key.is_empty() && key.chars().all(plain)).then_some(key)
}

/// serde says "invalid type: string "x", expected a sequence", of no key; we say which, and what to write.
fn wrong_type(key: &str, message: &str) -> Option<String> {
    let (found, expected) = message.strip_prefix("invalid type: ")?.trim_end().split_once(", expected ")?;
    let found = match found.split([' ', '`']).next().unwrap_or_default() {
        "string" => "a text",
        "integer" => "a whole number",
        "floating" => "a number",
        "boolean" => "true or false",
        "sequence" => "a list",
        "map" => "a table",
        other => other,
    };
    let expected = match expected {
        "a sequence" => format!("a list: write {key} = [\"…\"]"),
        "a string" | "path string" => format!("a text: write {key} = \"…\""),
        "a boolean" => format!("true or false: write {key} = true"),
        "a map" => format!("a table: write {key} = {{ … }}"),
        "u32" | "u64" | "usize" => format!("a whole number: write {key} = 10"),
        other => other.to_owned(),
    };
    Some(format!("{key} is {found} and has to be {expected}"))
}

/// serde says "unknown field `x`, expected one of `a`, `b`"; we say which of them is closest.
fn suggest(message: &str) -> String {
    if let Some(key) = message.strip_prefix("missing field ").map(|rest| rest.trim_end().trim_matches('`')) {
        return format!("the key {key:?} is missing: write it here");
    }
    let Some(rest) = message.strip_prefix("unknown field ") else { return message.trim_end().to_owned() };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let unknown = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    match closest(unknown, known.iter().copied()) {
        Some(candidate) => format!("the key {unknown:?} is not known: did you mean {candidate:?}?"),
        None => format!("the key {unknown:?} is not known here: known are {}", known.join(", ")),
    }
}
