//! The one exact command of an `exec` certificate.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::is_invisible;

/// A command line, handed to the account's shell by sshd. One line, no control characters, no NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Command(String);

/// Why a string is not a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Nothing, or only spaces.
    #[error("is empty: say which command is to run")]
    Empty,
    /// More than 4096 bytes.
    #[error("is longer than 4096 bytes: put it into a script on the host")]
    TooLong,
    /// A newline, a NUL or anything else that cannot be seen.
    #[error("has the control or invisible character {0:?} at position {1}: a command is one visible line")]
    Character(char, usize),
}

impl Command {
    /// The longest command, in bytes.
    pub const MAX_BYTES: usize = 4096;

    /// The command line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The words, if the command is *plain*: words of `[A-Za-z0-9_./:@%+=,-]` with single spaces between, so
    /// that no shell gives any part of it another meaning (DESIGN 5).
    #[must_use]
    pub fn plain(&self) -> Option<PlainCommand<'_>> {
        let words: Vec<&str> = self.0.split(' ').collect();
        let plain = |word: &&str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./:@%+=,-".contains(&b))
        };
        // `A=b cmd` sets a variable: its first word is not the program.
        let program_is_first = words.first().is_some_and(|w| !w.contains('='));
        (program_is_first && words.iter().all(plain)).then_some(PlainCommand { words })
    }
}

/// A command that means the same to every shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainCommand<'a> {
    words: Vec<&'a str>,
}

impl<'a> PlainCommand<'a> {
    /// The program and its arguments; never empty.
    #[must_use]
    pub fn words(&self) -> &[&'a str] {
        &self.words
    }
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        if text.len() > Self::MAX_BYTES {
            return Err(CommandError::TooLong);
        }
        if let Some((at, c)) = text.chars().enumerate().find(|(_, c)| is_invisible(*c)) {
            return Err(CommandError::Character(c, at));
        }
        if text.trim().is_empty() {
            return Err(CommandError::Empty);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Command {
    type Error = CommandError;

    fn try_from(text: String) -> Result<Self, CommandError> {
        text.parse()
    }
}

impl From<Command> for String {
    fn from(command: Command) -> Self {
        command.0
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_command() {
        for bad in ["", " ", "a\nb", "a\0b", "a\rb", "a\u{202e}b", "a\tb"] {
            assert!(bad.parse::<Command>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(4097).parse::<Command>().is_err());
    }

    #[test]
    fn what_is_not_plain() {
        for tricky in [
            "ls;id", "ls $(id)", "ls `id`", "ls | sh", "ls > x", "ls  -l", "ls -l ", " ls", "ls 'a'", "ls ~",
            "ls *", "A=b ls", "ls #x", "ls \\x", "ls {a,b}", "ls !x", "ls [a]", "ls ?", "é",
        ] {
            assert_eq!(tricky.parse::<Command>().unwrap().plain(), None, "{tricky:?}");
        }
        let command: Command = "/usr/bin/systemctl restart nginx.service".parse().unwrap();
        assert_eq!(command.plain().unwrap().words(), ["/usr/bin/systemctl", "restart", "nginx.service"]);
    }
}
