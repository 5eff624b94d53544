//! What a verification found.

use crate::store::tree::TreeHead;

/// So many findings are kept; more are only counted.
const KEPT: usize = 1000;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where: `leaf 12`, `tile 1/0`, `sessions row ses_…`, `checkpoint FILE`, `ledger`.
    pub at: String,
    /// What is wrong there.
    pub what: String,
}

/// Everything that came out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Size and root of the ledger; none if a leaf is missing and there is no root.
    pub head: Option<TreeHead>,
    /// How many leaves there are.
    pub leaves: u64,
    /// How many events are erased, each with an event that says why.
    pub erased: u64,
    /// How many events are of a type or version that this program does not know; their bytes were checked.
    pub unknown: u64,
    /// How many rows of state were compared with their events.
    pub rows: u64,
    /// What is wrong, in the order in which it was found.
    pub findings: Vec<Finding>,
    /// How much more is wrong.
    pub more: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn find(&mut self, at: impl Into<String>, what: impl Into<String>) {
        if self.findings.len() < KEPT {
            self.findings.push(Finding { at: at.into(), what: what.into() });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}
