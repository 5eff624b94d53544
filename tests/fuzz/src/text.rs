//! The small texts that decide much: commands, names, accounts, principals.

use jit_ssh_proto::{Account, Command, Name, Principal, Text};

/// What a command is made of if policy may look into it.
fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_./:@%+=,- ".contains(c)
}

/// A command that policy calls plain means to a shell what it means to policy.
pub(crate) fn command(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(command) = text.parse::<Command>() else { return };
    assert_eq!(command.as_str(), text, "a command that was changed");
    assert!(!text.contains(['\n', '\r', '\0']), "a line break in a command");
    if let Some(words) = command.plain() {
        assert!(text.chars().all(plain), "{text:?} is not plain");
        assert_eq!(words.words().join(" "), text, "words that are not the command");
    }
}

/// What is read is written the same, and nothing that has another meaning is read.
pub(crate) fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let alphabet = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.as_str(), text);
        assert!(!text.is_empty() && text.chars().all(alphabet) && !text.starts_with(['.', '-']), "{text:?}");
    }
    if let Ok(account) = text.parse::<Account>() {
        assert_eq!(account.to_string(), text);
    }
    if let Ok(principal) = text.parse::<Principal>() {
        assert_eq!(principal.to_string(), text);
    }
    if let Ok(read) = text.parse::<Text>() {
        assert_eq!(read.as_str(), text);
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
