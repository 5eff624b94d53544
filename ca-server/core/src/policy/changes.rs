//! What one set of rules has that another has not.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cedar_policy::PolicyId;
use jit_ssh_proto::event::{Ruled, RulesChange};

use super::Rules;
use super::annotations::Rule;
use super::conditions::Condition;
use crate::inventory::difference;

/// What each policy says, by id.
fn said(rules: &Rules) -> BTreeMap<&PolicyId, (&Condition, Option<&Rule>)> {
    let compiled = &rules.compiled;
    compiled
        .conditions
        .all()
        .map(|condition| (condition.id(), (condition, compiled.rules.get(condition.id()))))
        .collect()
}

impl Rules {
    /// What differs from an earlier set, for each kind that differs. Spaces and comments are no difference.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> Vec<RulesChange> {
        let policies =
            difference(Ruled::Policies, said(old).into_iter(), said(self).into_iter(), |was, is| was == is);
        let inventory = self.inventory.changes_since(&old.inventory);
        policies.into_iter().chain(inventory).collect()
    }
}
