//! What was found in files, for people and for programs.

use std::fmt;
use std::path::{Path, PathBuf};

use jit_ssh_core::inventory::{InventoryError, InventorySource};
use jit_ssh_core::policy::{Finding, Lint, PolicyError, PolicySource, Severity};
use serde_json::{Value, json};

use super::files::{Files, Set};
use crate::config::{ConfigError, shown};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// The set does not load.
    Error,
    /// Most likely a mistake.
    Warning,
    /// Good to know.
    Note,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) level: Level,
    /// Stable: programs may rely on it.
    pub(super) code: &'static str,
    file: Option<PathBuf>,
    place: Option<(usize, usize)>,
    message: String,
    help: Option<String>,
    /// The place, for people.
    shown: String,
}

impl Level {
    fn of(lint: Lint) -> Self {
        match lint.severity() {
            Severity::Warning => Self::Warning,
            Severity::Note => Self::Note,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Found {
    pub(super) fn error(code: &'static str, file: &Path, message: &str) -> Self {
        let file = Some(file.to_path_buf());
        let (message, shown) = (message.to_owned(), String::new());
        Self { level: Level::Error, code, file, place: None, message, help: None, shown }
    }

    /// An error of `ca.toml`, or of reading.
    pub(super) fn config(error: &ConfigError) -> Self {
        match error {
            ConfigError::Read { path, source } => {
                Self::error("config", path, &format!("cannot be read: {source}"))
            }
            ConfigError::Unfit { path, what } => Self::error("config", path, what),
            ConfigError::Syntax { path, place, what, shown } => {
                let mut numbers = place.split(':').filter_map(|part| part.parse().ok());
                let place = numbers.next().zip(numbers.next());
                Self { place, shown: shown.clone(), ..Self::error("config", path, what) }
            }
            ConfigError::Value { path, place, key, what } => {
                let mut numbers = place.split(':').filter_map(|part| part.parse().ok());
                let place = numbers.next().zip(numbers.next());
                Self { place, ..Self::error("config", path, &format!("{key} {what}")) }
            }
            ConfigError::Rules(what) => Self { file: None, ..Self::error("config", Path::new(""), what) },
        }
    }

    pub(super) fn inventory(folder: &Path, error: &InventoryError, sources: &[InventorySource]) -> Self {
        let place = Some((error.line, error.column));
        let source = sources.iter().find(|source| source.file == error.file);
        let shown = source.map(|source| shown(&source.text, error.line, error.column)).unwrap_or_default();
        Self { place, shown, ..Self::error("inventory", &folder.join(&error.file), &error.what) }
    }

    pub(super) fn policy(folder: &Path, error: &PolicyError, sources: &[PolicySource]) -> Self {
        let place = Some((error.line, error.column));
        let shown = shown_in(sources, &error.file, error.line, error.column);
        Self { place, shown, ..Self::error("policy", &folder.join(&error.file), &error.what) }
    }

    /// Something that `check` found, in a policy or in the inventory.
    pub(super) fn finding(finding: &Finding, files: &Files, set: &Set) -> Self {
        let (file, place, shown) = match &finding.place {
            Some((file, line, column)) => {
                let inventory = set.inventory.iter().find(|source| source.file == *file);
                let (folder, shown) = match (inventory, &files.inventory) {
                    (Some(source), Some(folder)) => (folder, shown(&source.text, *line, *column)),
                    (Some(_), None) | (None, _) => {
                        (&files.policies, shown_in(&set.sources, file, *line, *column))
                    }
                };
                (Some(folder.join(file)), Some((*line, *column)), shown)
            }
            None => (None, None, String::new()),
        };
        let help = Some(finding.help.clone());
        Self {
            level: Level::of(finding.lint),
            code: finding.lint.as_str(),
            file,
            place,
            message: finding.message.clone(),
            help,
            shown,
        }
    }

    /// A file that nobody reads.
    pub(super) fn ignored(file: &Path) -> Self {
        let help = "remove it, or let its name begin with a dot; policies are *.cedar, their cases *.test.toml, the \
                    inventory *.toml";
        let code = Lint::IgnoredFile.as_str();
        Self {
            level: Level::of(Lint::IgnoredFile),
            help: Some(help.to_owned()),
            ..Self::error(code, file, "this file is not read")
        }
    }

    pub(super) fn as_json(&self) -> Value {
        json!({
            "severity": self.level.as_str(),
            "code": self.code,
            "file": self.file.as_ref().map(|file| file.display().to_string()),
            "line": self.place.map(|(line, _)| line),
            "column": self.place.map(|(_, column)| column),
            "message": self.message,
            "help": self.help,
        })
    }
}

fn shown_in(sources: &[PolicySource], file: &str, line: usize, column: usize) -> String {
    let source = sources.iter().find(|source| source.file == file);
    source.map(|source| shown(&source.text, line, column)).unwrap_or_default()
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some((line, column)) = self.place {
                write!(f, ":{line}:{column}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}[{}]: {}{}", self.level.as_str(), self.code, self.message, self.shown)?;
        match &self.help {
            Some(help) => write!(f, "\n    = {help}"),
            None => Ok(()),
        }
    }
}

/// `1 error`, `2 errors`, `3 policies`
pub(super) fn count(number: usize, what: &str) -> String {
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {what}s"),
    }
}
