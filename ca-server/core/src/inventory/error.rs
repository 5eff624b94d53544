//! What is wrong with an inventory, and where.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::InventorySource;
use crate::position::position;

/// What is wrong with an inventory: where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct InventoryError {
    /// The file.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong there and what to do.
    pub what: String,
}

/// How many errors are told of one inventory: who has more made one mistake many times.
const MAX_ERRORS: usize = 20;

/// Where an entry starts: in which file, and where in it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) file: u32,
    pub(super) offset: u32,
}

impl At {
    /// The file, of those that were read.
    pub(super) fn source(self, sources: &[InventorySource]) -> Option<&InventorySource> {
        usize::try_from(self.file).ok().and_then(|file| sources.get(file))
    }

    /// Where a word of the entry stands in quotes, in bytes; where the entry starts, if it does not.
    pub(super) fn word(self, text: &str, word: &str) -> usize {
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let entry = text.get(start..).unwrap_or_default();
        // Up to where the next one starts.
        let end = entry.match_indices("\n[[").next().map_or(entry.len(), |(end, _)| end);
        let entry = entry.get(..end).unwrap_or(entry);
        let quoted =
            ['"', '\''].iter().filter_map(|quote| entry.find(&format!("{quote}{word}{quote}"))).min();
        start.saturating_add(quoted.unwrap_or_default())
    }
}

/// What was found so far.
pub(super) struct Faults<'a> {
    sources: &'a [InventorySource],
    found: Vec<InventoryError>,
    more: usize,
}

impl<'a> Faults<'a> {
    pub(super) fn new(sources: &'a [InventorySource]) -> Self {
        Self { sources, found: Vec::new(), more: 0 }
    }

    /// Something is wrong with the entry at `at`; best at `word`, if it stands there in quotes.
    pub(super) fn add(&mut self, at: At, word: &str, what: impl FnOnce() -> String) {
        if self.found.len() >= MAX_ERRORS {
            self.more = self.more.saturating_add(1);
            return;
        }
        let (file, text) = self.source(at);
        self.at(file, text, at.word(text, word), what());
    }

    /// Something is wrong at this place of a file.
    pub(super) fn at(&mut self, file: &str, text: &str, offset: usize, what: String) {
        let (line, column) = position(text, offset);
        self.found.push(InventoryError { file: file.to_string(), line, column, what });
    }

    /// `hosts.toml:12`, for the other place of two.
    pub(super) fn line(&self, at: At) -> String {
        let (file, text) = self.source(at);
        let (line, _) = position(text, usize::try_from(at.offset).unwrap_or(usize::MAX));
        format!("{file}:{line}")
    }

    fn source(&self, at: At) -> (&'a str, &'a str) {
        at.source(self.sources).map(|source| (source.file.as_str(), source.text.as_str())).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What was found, by place; nothing is an answer too.
    pub(super) fn finish(mut self) -> Vec<InventoryError> {
        self.found
            .sort_by(|a, b| (&a.file, a.line, a.column, &a.what).cmp(&(&b.file, b.line, b.column, &b.what)));
        if let (Some(last), more @ 1..) = (self.found.last_mut(), self.more) {
            last.what.push_str(&format!(" (and {more} more errors)"));
        }
        self.found
    }
}
