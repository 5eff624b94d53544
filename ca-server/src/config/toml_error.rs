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
    let what = suggest(error.message());
    let (what, shown) = (offset.map_or(what.clone(), |offset| of_key(text, offset, &what)), String::new());
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

/// serde says "unknown field `x`, expected one of `a`, `b`"; we say which of them is closest.
fn suggest(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ") else { return message.trim_end().to_owned() };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let unknown = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    match closest(unknown, known.iter().copied()) {
        Some(candidate) => format!("the key {unknown:?} is not known: did you mean {candidate:?}?"),
        None => format!("the key {unknown:?} is not known here: known are {}", known.join(", ")),
    }
}
