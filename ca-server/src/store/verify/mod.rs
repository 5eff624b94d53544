//! The offline verifier: whether a database says what its ledger says, without trusting either. One snapshot, read in
//! pages, in memory that does not grow with the ledger; nothing is written.
//!
//! What cannot be told from events is not claimed: bearer tokens (their hashes are replaced at every login) and the ids
//! of signed calls, which are kept for three minutes. Nor refresh tokens and when they are used next.

mod events;
mod identities;
mod report;
mod state;

use std::path::PathBuf;

use jit_ssh_core::cert::HARD_MAX;
use jit_ssh_proto::{CaId, Span};

pub use report::{Finding, Report};
pub(super) use state::floor_of;

use super::engine::{Conn, EngineError, Row, Value};
use super::place::Place;
use super::tree::{TreeHead, last_leaf};
use super::{StoreError, blocking, migrate};

/// How many rows are read at a time.
const PAGE: u64 = 1024;

/// No CA lets ended requests and certificates go sooner, nor sessions sooner than this after their end: what is
/// missing earlier was taken out.
const KEPT_AT_LEAST: Span = HARD_MAX;

/// A size and root that somebody knows the ledger to have had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where from, for messages.
    pub from: String,
    /// What is known.
    pub head: TreeHead,
    /// Whether the ledger must have come that far; a backup need not.
    pub reached: bool,
}

/// A database that is named for one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// As in `[store] url`.
    Url(String),
    /// A SQLite file, such as a backup.
    File(PathBuf),
}

/// What to verify, and against what.
#[derive(Clone, Debug)]
pub struct Verify {
    /// The database.
    pub database: Database,
    /// Whose it must be.
    pub ca: CaId,
    /// What the ledger must agree with.
    pub known: Vec<Known>,
}

/// Told how many of how many leaves were read.
pub type Progress = Box<dyn FnMut(u64, u64) + Send>;

impl Verify {
    /// Reads the database, beside a server or without one, and says everything that is wrong with it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn run(self, progress: Progress) -> Result<Report, StoreError> {
        let place = match &self.database {
            Database::Url(url) => Place::parse(url)?,
            Database::File(path) => Place::file_at(path)?,
        };
        blocking(move || {
            place.ensure(false)?;
            let mut conn = place.reader()?;
            let verified = self.over(conn.as_mut(), &place, progress);
            conn.close();
            verified
        })
        .await
    }

    fn over(&self, conn: &mut dyn Conn, place: &Place, progress: Progress) -> Result<Report, StoreError> {
        conn.begin_read().map_err(|e| place.explain(&e))?;
        migrate::check(conn, place, &self.ca)?;
        let report = Pass::over(conn, self, progress).map_err(|e| place.explain(&e))?;
        conn.rollback().map_err(|e| place.explain(&e))?;
        Ok(report)
    }
}

/// What the events have told so far.
struct Pass<'a> {
    conn: &'a mut dyn Conn,
    report: Report,
    told: events::Told,
}

impl<'a> Pass<'a> {
    fn over(conn: &'a mut dyn Conn, verify: &Verify, mut progress: Progress) -> Result<Report, EngineError> {
        let (size, now) = match last_leaf(conn)? {
            Some(row) => (row.number(0)?.saturating_add(1), row.time(1)?),
            None => (0, jit_ssh_proto::Timestamp::default()),
        };
        let mut pass = Self { conn, report: Report::default(), told: events::Told::new(verify.ca, now) };
        pass.events(size, verify, &mut progress)?;
        pass.state()?;
        Ok(pass.report)
    }

    /// Whether what ended then must still be in its table.
    fn must_be_there(&self, ended: jit_ssh_proto::Timestamp) -> bool {
        ended.plus(KEPT_AT_LEAST) >= self.told.now
    }
}

/// A value as a message shows it.
fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(Value::Int(number)) => number.to_string(),
        Some(Value::Text(text)) => format!("{:?}", text.as_ref()),
        Some(Value::Bytes(bytes)) => data_encoding::HEXLOWER.encode(bytes),
    }
}

/// Compares columns of a row, from column `first` on, with what they should say.
fn differences(row: &Row, first: usize, wanted: &[(&'static str, Value)], says: &str) -> Vec<String> {
    let found = row.0.get(first..).unwrap_or_default();
    let compare = |(at, (column, wanted)): (usize, &(&'static str, Value))| {
        let found = found.get(at);
        (found != Some(wanted))
            .then(|| format!("its column {column} says {}, but {says} {}", shown(found), shown(Some(wanted))))
    };
    wanted.iter().enumerate().filter_map(compare).collect()
}
