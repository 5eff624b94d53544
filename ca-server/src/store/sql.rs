//! Statement texts for many rows at once. Placeholders are numbered by hand, because that is the one form that
//! both engines take; the sizes are few, so that every text stays prepared.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Any, AnyConnection, AssertSqlSafe};

use super::rows::Row;

/// A query with its arguments.
pub(super) type Query = sqlx::query::Query<'static, Any, AnyArguments>;

/// How many rows an INSERT may have; largest first. Together with the look-ups this stays below the hundred
/// statements that a connection keeps prepared.
const INSERT_SIZES: [usize; 8] = [64, 32, 16, 8, 4, 3, 2, 1];

/// How many values a look-up may have.
const SELECT_SIZES: [usize; 4] = [1, 4, 16, 64];

/// Texts that were made before.
#[derive(Default)]
pub(super) struct Texts(HashMap<(&'static str, usize), Arc<str>>);

impl Texts {
    /// Inserts all rows of one kind, in order.
    pub(super) async fn insert<R: Row>(
        &mut self,
        conn: &mut AnyConnection,
        rows: Vec<R>,
    ) -> Result<(), sqlx::Error> {
        let mut left = rows.len();
        let mut rows = rows.into_iter();
        while left > 0 {
            let size = INSERT_SIZES.into_iter().find(|size| *size <= left).unwrap_or(1);
            let text = self.0.entry((R::INSERT, size)).or_insert_with(|| values(R::INSERT, size, R::COLUMNS));
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
            for row in rows.by_ref().take(size) {
                query = row.bind(query);
            }
            query.execute(&mut *conn).await?;
            left = left.saturating_sub(size);
        }
        Ok(())
    }

    /// Looks up every row whose key is one of `keys`, which go where `select` has `{}`.
    pub(super) async fn select<K>(
        &mut self,
        conn: &mut AnyConnection,
        select: &'static str,
        keys: &[K],
    ) -> Result<Vec<AnyRow>, sqlx::Error>
    where
        K: for<'t> sqlx::Encode<'t, Any> + sqlx::Type<Any> + Clone,
    {
        let mut found = Vec::new();
        for keys in keys.chunks(64) {
            let Some(last) = keys.last() else { continue };
            let size = SELECT_SIZES.into_iter().find(|size| *size >= keys.len()).unwrap_or(64);
            let text = self.0.entry((select, size)).or_insert_with(|| in_list(select, size));
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(text)));
            // Repeating a key changes nothing and keeps the texts few.
            for key in keys.iter().chain(std::iter::repeat(last)).take(size) {
                query = query.bind(key.clone());
            }
            found.extend(query.fetch_all(&mut *conn).await?);
        }
        Ok(found)
    }
}

/// `INSERT … VALUES ($1, $2), ($3, $4)`
fn values(insert: &str, rows: usize, columns: usize) -> Arc<str> {
    let mut text = format!("{insert} VALUES ");
    for at in 0..rows.saturating_mul(columns) {
        let before = match at.checked_rem(columns) {
            Some(0) if at == 0 => "(",
            Some(0) => "), (",
            Some(_) | None => ", ",
        };
        // Writing to a String does not fail.
        let _infallible = write!(text, "{before}${}", at.saturating_add(1));
    }
    text.push(')');
    text.into()
}

/// `SELECT … IN ($1, $2)`
fn in_list(select: &str, keys: usize) -> Arc<str> {
    let places: Vec<String> = (1..=keys).map(|at| format!("${at}")).collect();
    select.replace("{}", &format!("({})", places.join(", "))).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(&*values("INSERT INTO t (a, b)", 2, 2), "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)");
        assert_eq!(&*values("INSERT INTO t (a)", 1, 1), "INSERT INTO t (a) VALUES ($1)");
        assert_eq!(&*in_list("a IN {}", 3), "a IN ($1, $2, $3)");
        assert_eq!(&*in_list("a IN {} OR b IN {}", 1), "a IN ($1) OR b IN ($1)");
    }
}
