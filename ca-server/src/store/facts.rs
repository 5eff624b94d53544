//! What the preconditions of a batch depend on, read inside its transaction: one look-up a table for all of its
//! changes, however many wait.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jit_ssh_proto::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::change::Change;
use super::sql::Texts;

/// A session, as far as preconditions go.
#[derive(Clone, Debug)]
pub(super) struct SessionFact {
    pub(super) issuer: String,
    pub(super) sub: String,
    pub(super) opened: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) ended: bool,
    pub(super) leaf: u64,
}

/// A granted request, as far as preconditions go.
#[derive(Clone, Debug)]
pub(super) struct GrantFact {
    pub(super) session: String,
    pub(super) grant: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// What was found. Changes that pass add to it, so that later ones see them.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Ids that may not come again: of calls that were made and of requests that were decided. One set for both,
    /// read at once: request ids are ours and random, so a call that bears one is rightly refused.
    pub(super) taken: HashSet<String>,
    /// By id.
    pub(super) sessions: HashMap<String, SessionFact>,
    /// Replay key → the session it opened.
    pub(super) replays: HashMap<Vec<u8>, String>,
    /// Name → issuer and `sub` of the identity whose it is.
    pub(super) names: HashMap<String, (String, String)>,
    /// Request → its grant.
    pub(super) grants: HashMap<String, GrantFact>,
}

/// What has to be looked up. Ordered, so that the same batch asks the same.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    fresh: BTreeSet<String>,
    sessions: BTreeSet<String>,
    replays: BTreeSet<Vec<u8>>,
    names: BTreeSet<String>,
    grants: BTreeSet<String>,
}

impl Wanted {
    /// What these changes need. Apart from the reading, because a change must not be borrowed while that waits.
    pub(super) fn of<'a>(changes: impl Iterator<Item = &'a Change>) -> Self {
        let mut wanted = Self::default();
        // What this batch itself makes is not in the tables yet.
        let mut opened = BTreeSet::new();
        for change in changes {
            match change {
                Change::Record(_) | Change::RefuseSession(_) => {}
                Change::OpenSession(open) => {
                    wanted.fresh.insert(open.call.id.clone());
                    wanted.replays.insert(open.replay.to_vec());
                    wanted.names.insert(open.name.to_string());
                    wanted.names.extend(open.login.iter().map(ToString::to_string));
                    opened.insert(open.session.to_string());
                }
                Change::EndSession(end) => {
                    wanted.fresh.insert(end.call.id.clone());
                    wanted.sessions.insert(end.session.to_string());
                }
                Change::DecideRequest(decide) => {
                    wanted.fresh.extend(decide.call.iter().map(|call| call.id.clone()));
                    wanted.sessions.insert(decide.session.to_string());
                    wanted.fresh.insert(decide.id.to_string());
                }
                Change::IssueCertificate(issue) => {
                    wanted.sessions.insert(issue.session.to_string());
                    wanted.grants.insert(issue.request.to_string());
                }
            }
        }
        // A session opened here is found by its token, if it is there at all; a request decided here is not there.
        wanted.sessions.retain(|id| !opened.contains(id));
        wanted.grants.retain(|id| !wanted.fresh.contains(id));
        wanted
    }
}

// `{}` is where the keys go.
const TAKEN: &str = "SELECT id FROM call_ids WHERE id IN {} UNION ALL SELECT id FROM requests WHERE id IN {}";
const SESSIONS: &str = "SELECT id, issuer, sub, opened, expires, ended, leaf FROM sessions WHERE id IN {}";
const REPLAYS: &str =
    "SELECT id, issuer, sub, opened, expires, ended, leaf, replay FROM sessions WHERE replay IN {}";
const NAMES: &str = "SELECT name, issuer, sub FROM identities WHERE name IN {}";
const GRANTS: &str = "SELECT id, session, grant_id, not_before, not_after \
    FROM requests \
    WHERE grant_id IS NOT NULL AND id IN {}";

impl Facts {
    /// Reads it, inside the transaction that `conn` is in.
    pub(super) async fn read(
        conn: &mut AnyConnection,
        texts: &mut Texts,
        wanted: Wanted,
    ) -> Result<Self, sqlx::Error> {
        let mut facts = Self::default();
        for row in texts.select(conn, TAKEN, &list(wanted.fresh)).await? {
            facts.taken.insert(row.try_get(0)?);
        }
        for row in texts.select(conn, REPLAYS, &list(wanted.replays)).await? {
            let (id, session) = session(&row)?;
            facts.replays.insert(row.try_get(7)?, id.clone());
            facts.sessions.insert(id, session);
        }
        for row in texts.select(conn, SESSIONS, &list(wanted.sessions)).await? {
            let (id, session) = session(&row)?;
            facts.sessions.insert(id, session);
        }
        for row in texts.select(conn, NAMES, &list(wanted.names)).await? {
            facts.names.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
        }
        for row in texts.select(conn, GRANTS, &list(wanted.grants)).await? {
            let grant = GrantFact {
                session: row.try_get(1)?,
                grant: row.try_get(2)?,
                not_before: time(&row, 3)?,
                not_after: time(&row, 4)?,
            };
            facts.grants.insert(row.try_get(0)?, grant);
        }
        Ok(facts)
    }
}

fn list<K>(keys: BTreeSet<K>) -> Vec<K> {
    keys.into_iter().collect()
}

fn session(row: &AnyRow) -> Result<(String, SessionFact), sqlx::Error> {
    let fact = SessionFact {
        issuer: row.try_get(1)?,
        sub: row.try_get(2)?,
        opened: time(row, 3)?,
        expires: time(row, 4)?,
        ended: row.try_get::<Option<i64>, _>(5)?.is_some(),
        leaf: number(row, 6)?,
    };
    Ok((row.try_get(0)?, fact))
}

/// A time in a row.
pub(super) fn time(row: &AnyRow, at: usize) -> Result<Timestamp, sqlx::Error> {
    number(row, at).map(Timestamp::from_seconds)
}

/// A number that is never negative, in a row.
pub(super) fn number(row: &AnyRow, at: usize) -> Result<u64, sqlx::Error> {
    u64::try_from(row.try_get::<i64, _>(at)?)
        .map_err(|e| sqlx::Error::ColumnDecode { index: at.to_string(), source: e.into() })
}

/// Where the ledger ends and which serials come next.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// The index of the next leaf.
    pub(super) next_leaf: u64,
    /// The time of the last event.
    pub(super) time: Timestamp,
    /// Authority → its next serial; 1 if it is not there.
    pub(super) serials: BTreeMap<String, u64>,
}

impl Head {
    /// Reads it: at the start and after every transaction that failed.
    pub(super) async fn read(conn: &mut AnyConnection) -> Result<Self, sqlx::Error> {
        let mut head = Self::default();
        let last = sqlx::query("SELECT leaf, time FROM events ORDER BY leaf DESC LIMIT 1");
        if let Some(row) = last.fetch_optional(&mut *conn).await? {
            head.next_leaf = number(&row, 0)?.saturating_add(1);
            head.time = time(&row, 1)?;
        }
        for row in sqlx::query("SELECT authority, next FROM serials").fetch_all(&mut *conn).await? {
            head.serials.insert(row.try_get(0)?, number(&row, 1)?);
        }
        Ok(head)
    }
}
