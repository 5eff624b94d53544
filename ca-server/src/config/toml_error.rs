//! TOML errors as an operator wants them: where, what, and for an unknown key what was probably meant.

use std::path::Path;

use super::ConfigError;

/// Turns an error of the `toml` crate into ours.
pub(crate) fn explain(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let place = error.span().map_or_else(String::new, |span| place(text, span.start));
    ConfigError::Syntax { path: path.to_path_buf(), place, what: suggest(error.message()) }
}

fn place(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!(":{line}:{column}")
}

/// serde says "unknown field `x`, expected one of `a`, `b`"; we say which of them is closest.
fn suggest(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ") else { return message.trim_end().to_owned() };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let unknown = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let closest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(unknown, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 3);
    match closest {
        Some((_, candidate)) => format!("the key {unknown:?} is not known: did you mean {candidate:?}?"),
        None => format!("the key {unknown:?} is not known here: known are {}", known.join(", ")),
    }
}
