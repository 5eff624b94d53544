//! Statement texts for many rows at once, and scripts: several statements in one call of the driver, because a call
//! costs more than most of what it asks for. Placeholders are numbered by hand, through a whole script: the one form
//! that both engines take. The sizes are few, so that the texts stay prepared.
//!
//! SQLite runs a script as it stands. An engine that takes one statement a call gets the parts of the script one by
//! one: each part's arguments follow those of the part before.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use sqlx::any::AnyArguments;
use sqlx::{Any, AssertSqlSafe};

/// A query with its arguments.
pub(super) type Query = sqlx::query::Query<'static, Any, AnyArguments>;

/// How many rows an INSERT may have; largest first. A login brings three events and one of everything else, so there
/// is three times each of the smaller sizes.
const INSERT_SIZES: [usize; 9] = [48, 24, 16, 12, 8, 6, 4, 2, 1];

/// How many values a look-up may have, smallest first.
const SELECT_SIZES: [usize; 4] = [1, 4, 16, 64];

/// How many texts are remembered; about as many as a connection keeps prepared.
const REMEMBERED: usize = 256;

/// The size of the next INSERT where `left` rows are left; 0 for none.
pub(super) fn insert_size(left: usize) -> usize {
    INSERT_SIZES.into_iter().find(|size| *size <= left).unwrap_or(0)
}

/// The size of the next look-up where `left` values are left; 0 for none. It may be more than are left.
pub(super) fn select_size(left: usize) -> usize {
    if left == 0 { 0 } else { SELECT_SIZES.into_iter().find(|size| *size >= left).unwrap_or(64) }
}

/// One statement of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// A statement without arguments.
    Plain(&'static str),
    /// `INSERT INTO …`, how many rows of how many columns, and what follows the rows.
    Insert { insert: &'static str, rows: usize, columns: usize, after: &'static str },
    /// A look-up of so many keys, which go wherever it has `{}`.
    Select { select: &'static str, keys: usize },
}

/// Texts that were made before.
#[derive(Default)]
pub(super) struct Texts(HashMap<Vec<Part>, Arc<str>>);

impl Texts {
    /// A script of these parts, to be bound in their order.
    pub(super) fn script(&mut self, parts: Vec<Part>) -> Query {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        let text = self.0.entry(parts).or_insert_with_key(|parts| text(parts));
        sqlx::query(AssertSqlSafe(Arc::clone(text)))
    }
}

fn text(parts: &[Part]) -> Arc<str> {
    let mut text = String::new();
    let mut next = 1_usize;
    for part in parts {
        if !text.is_empty() {
            text.push_str("; ");
        }
        match *part {
            Part::Plain(statement) => text.push_str(statement),
            Part::Insert { insert, rows, columns, after } => {
                text.push_str(&values(insert, rows, columns, next));
                text.push_str(after);
                next = next.saturating_add(rows.saturating_mul(columns));
            }
            Part::Select { select, keys } => {
                text.push_str(&in_list(select, keys, next));
                next = next.saturating_add(keys);
            }
        }
    }
    text.into()
}

/// `INSERT … VALUES ($1, $2), ($3, $4)`
fn values(insert: &str, rows: usize, columns: usize, first: usize) -> String {
    let mut text = format!("{insert} VALUES ");
    for at in 0..rows.saturating_mul(columns) {
        let before = match at.checked_rem(columns) {
            Some(0) if at == 0 => "(",
            Some(0) => "), (",
            Some(_) | None => ", ",
        };
        // Writing to a String does not fail.
        let _infallible = write!(text, "{before}${}", first.saturating_add(at));
    }
    text.push(')');
    text
}

/// `SELECT … IN ($1, $2)`
fn in_list(select: &str, keys: usize, first: usize) -> String {
    let places: Vec<String> = (0..keys).map(|at| format!("${}", first.saturating_add(at))).collect();
    select.replace("{}", &format!("({})", places.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(values("INSERT INTO t (a, b)", 2, 2, 1), "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)");
        assert_eq!(values("INSERT INTO t (a)", 1, 1, 7), "INSERT INTO t (a) VALUES ($7)");
        assert_eq!(in_list("a IN {}", 3, 1), "a IN ($1, $2, $3)");
        assert_eq!(in_list("a IN {} OR b IN {}", 1, 4), "a IN ($4) OR b IN ($4)");
        let script = [
            Part::Plain("BEGIN"),
            Part::Select { select: "SELECT a FROM t WHERE b IN {}", keys: 2 },
            Part::Insert {
                insert: "INSERT INTO t (a, b)",
                rows: 1,
                columns: 2,
                after: " ON CONFLICT DO NOTHING",
            },
        ];
        assert_eq!(
            &*text(&script),
            "BEGIN; SELECT a FROM t WHERE b IN ($1, $2); INSERT INTO t (a, b) VALUES ($3, $4) ON CONFLICT DO NOTHING"
        );
    }

    #[test]
    fn sizes_come_to_what_there_is() {
        for count in 0..300_usize {
            let mut left = count;
            while left > 0 {
                let size = insert_size(left);
                assert!(size > 0 && size <= left);
                left -= size;
            }
            assert!(select_size(count) >= count.min(64));
        }
        assert_eq!((insert_size(0), select_size(0)), (0, 0));
    }
}
