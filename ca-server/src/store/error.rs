//! What went wrong below, said so that an operator knows what to do. Callers of the API never see these texts.

use super::StoreError;
use super::engine::{EngineError, Trouble};

/// Names the trouble and the next step. `place` is the database as the operator knows it, and `hint` what to do if it is
/// not one of ours.
pub(super) fn explain(place: &str, hint: &str, error: &EngineError) -> StoreError {
    match error.trouble {
        Trouble::Full => StoreError::ReadOnly(format!("the disk of {place} is full: make room there")),
        Trouble::ReadOnly => StoreError::ReadOnly(format!(
            "{place} or its directory is read-only for this user: check its owner, mode and mount ({error})"
        )),
        Trouble::Busy => {
            StoreError::Unavailable(format!("another program holds {place} locked: end it and try again"))
        }
        Trouble::Io => {
            StoreError::Unavailable(format!("reading or writing {place} failed: check the disk ({error})"))
        }
        Trouble::CannotOpen => StoreError::Unavailable(format!(
            "{place} cannot be opened: check that it exists and who may use it ({error})"
        )),
        Trouble::Damaged => {
            StoreError::Unusable(format!("{place} is damaged: restore it from a backup ({error})"))
        }
        Trouble::NotOurs => StoreError::Unusable(format!("{place} is not a database of jit-ssh-ca: {hint}")),
        Trouble::Down => StoreError::Unavailable(format!(
            "{place} does not answer: check that its server runs and can be reached ({error})"
        )),
        Trouble::Other => StoreError::Unavailable(format!("{place}: {error}")),
    }
}
