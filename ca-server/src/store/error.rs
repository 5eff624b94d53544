//! What went wrong below, said so that an operator knows what to do. Callers of the API never see these texts.

use super::StoreError;

/// Names the trouble and the next step. `place` is the database as the operator knows it.
pub(super) fn explain(place: &str, error: &sqlx::Error) -> StoreError {
    match error.as_database_error().and_then(sqlite_code) {
        // https://www.sqlite.org/rescode.html; extended codes carry the primary one in their low byte.
        Some(13) => StoreError::ReadOnly(format!("the disk of {place} is full: make room there")),
        Some(3 | 8 | 23) => StoreError::ReadOnly(format!(
            "{place} or its directory is read-only for this user: check its owner, mode and mount ({error})"
        )),
        Some(5 | 6) => {
            StoreError::Unavailable(format!("another program holds {place} locked: end it and try again"))
        }
        Some(10) => {
            StoreError::Unavailable(format!("reading or writing {place} failed: check the disk ({error})"))
        }
        Some(14) => StoreError::Unavailable(format!(
            "{place} cannot be opened: check that it exists and who may read it ({error})"
        )),
        Some(11) => StoreError::Unusable(format!("{place} is damaged: restore it from a backup ({error})")),
        Some(26) => {
            StoreError::Unusable(format!("{place} is not a database of jit-ssh-ca: check [store] url"))
        }
        Some(_) | None => StoreError::Unavailable(format!("{place}: {error}")),
    }
}

/// SQLite's primary result code.
fn sqlite_code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}
