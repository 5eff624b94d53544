//! The policies and inventory in force: taken once for each call, changed as a whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use jit_ssh_core::policy::Rules;

use super::Service;

/// A set that can be exchanged while it is used. Whoever took one keeps it until they are done, so that a decision, its
/// record and what is told of it come from one set.
#[derive(Debug)]
pub struct InForce {
    rules: RwLock<Arc<Rules>>,
    /// Whether what is on disk was refused since.
    outdated: AtomicBool,
}

impl InForce {
    /// Puts the first set in force.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules: RwLock::new(Arc::new(rules)), outdated: AtomicBool::new(false) }
    }

    /// The set in force. The lock is held for as long as it takes to count one more holder.
    #[must_use]
    pub fn get(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another set in force and hands back the one before, which calls under way may still hold.
    pub(crate) fn put(&self, rules: Arc<Rules>) -> Arc<Rules> {
        let mut held = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut held, rules)
    }

    /// Says whether what is on disk is something else than what is in force, because it does not load.
    pub(crate) fn set_outdated(&self, outdated: bool) {
        self.outdated.store(outdated, Ordering::Relaxed);
    }
}

impl Service {
    /// The policies and inventory in force: take them once for each call.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.get()
    }

    /// Whether policies and inventory on disk do not load, so that others are in force.
    #[must_use]
    pub fn rules_are_outdated(&self) -> bool {
        self.rules.outdated.load(Ordering::Relaxed)
    }
}
