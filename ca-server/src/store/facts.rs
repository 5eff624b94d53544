//! What the preconditions of a batch depend on, read inside its transaction: one look-up a table for all of its
//! changes, however many wait.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jit_ssh_proto::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::change::Change;
use super::rows::{call_key, replay_key};
use super::sql::{Part, Query, Texts, select_size};

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
                    wanted.fresh.insert(call_key(&open.call));
                    wanted.replays.insert(replay_key(open.issued, &open.replay));
                    wanted.names.insert(open.name.to_string());
                    wanted.names.extend(open.login.iter().map(ToString::to_string));
                    opened.insert(open.session.to_string());
                }
                Change::EndSession(end) => {
                    wanted.fresh.insert(call_key(&end.call));
                    wanted.sessions.insert(end.session.to_string());
                }
                Change::DecideRequest(decide) => {
                    wanted.fresh.extend(decide.call.iter().map(call_key));
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

// `{}` is where the keys go. The first column says which look-up a row is from, because all are read at once.
const TAKEN: &str = "SELECT 'taken', id FROM call_ids WHERE id IN {} UNION ALL SELECT 'taken', id FROM requests WHERE id IN {}";
const SESSIONS: &str =
    "SELECT 'session', id, issuer, sub, opened, expires, ended, leaf FROM sessions WHERE id IN {}";
const REPLAYS: &str = "SELECT 'replay', id, issuer, sub, opened, expires, ended, leaf, replay \
    FROM sessions \
    WHERE replay IN {}";
const NAMES: &str = "SELECT 'name', name, issuer, sub FROM identities WHERE name IN {}";
const GRANTS: &str = "SELECT 'grant', id, session, grant_id, not_before, not_after \
    FROM requests \
    WHERE grant_id IS NOT NULL AND id IN {}";

/// Begins the transaction: as the one that writes, before anything is read.
const BEGIN: &str = "BEGIN IMMEDIATE";

impl Facts {
    /// Begins a transaction and reads it there.
    pub(super) async fn begin(
        conn: &mut AnyConnection,
        texts: &mut Texts,
        wanted: Wanted,
    ) -> Result<Self, sqlx::Error> {
        let mut facts = Self::default();
        let mut taken = Keys::new(TAKEN, wanted.fresh);
        let mut replays = Keys::new(REPLAYS, wanted.replays);
        let mut sessions = Keys::new(SESSIONS, wanted.sessions);
        let mut names = Keys::new(NAMES, wanted.names);
        let mut grants = Keys::new(GRANTS, wanted.grants);
        let mut begin = Some(Part::Plain(BEGIN));
        loop {
            // One size for all, so that the texts are few.
            let most = [taken.len(), replays.len(), sessions.len(), names.len(), grants.len()];
            let size = select_size(most.into_iter().max().unwrap_or(0));
            let mut parts: Vec<Part> = begin.take().into_iter().collect();
            parts.extend(taken.part(size));
            parts.extend(replays.part(size));
            parts.extend(sessions.part(size));
            parts.extend(names.part(size));
            parts.extend(grants.part(size));
            if parts.is_empty() {
                return Ok(facts);
            }
            let mut query = texts.script(parts);
            query = taken.bind(query, size);
            query = replays.bind(query, size);
            query = sessions.bind(query, size);
            query = names.bind(query, size);
            query = grants.bind(query, size);
            for row in query.fetch_all(&mut *conn).await? {
                facts.add(&row)?;
            }
        }
    }

    fn add(&mut self, row: &AnyRow) -> Result<(), sqlx::Error> {
        match row.try_get::<&str, _>(0)? {
            "taken" => {
                self.taken.insert(row.try_get(1)?);
            }
            "session" => {
                let (id, session) = session(row)?;
                self.sessions.insert(id, session);
            }
            "replay" => {
                let (id, session) = session(row)?;
                self.replays.insert(row.try_get(8)?, id.clone());
                self.sessions.insert(id, session);
            }
            "name" => {
                self.names.insert(row.try_get(1)?, (row.try_get(2)?, row.try_get(3)?));
            }
            "grant" => {
                let grant = GrantFact {
                    session: row.try_get(2)?,
                    grant: row.try_get(3)?,
                    not_before: time(row, 4)?,
                    not_after: time(row, 5)?,
                };
                self.grants.insert(row.try_get(1)?, grant);
            }
            other => return Err(sqlx::Error::Protocol(format!("a row of an unknown look-up {other:?}"))),
        }
        Ok(())
    }
}

/// Keys of one kind that are still to be looked up.
struct Keys<K> {
    select: &'static str,
    left: std::vec::IntoIter<K>,
}

impl<K> Keys<K>
where
    K: for<'t> sqlx::Encode<'t, sqlx::Any> + sqlx::Type<sqlx::Any> + Clone + 'static,
{
    fn new(select: &'static str, keys: BTreeSet<K>) -> Self {
        Self { select, left: keys.into_iter().collect::<Vec<_>>().into_iter() }
    }

    fn len(&self) -> usize {
        self.left.len()
    }

    /// The next look-up, if anything is left.
    fn part(&self, size: usize) -> Option<Part> {
        (self.len() > 0).then_some(Part::Select { select: self.select, keys: size })
    }

    /// Binds its keys.
    fn bind(&mut self, mut query: Query, size: usize) -> Query {
        let mut last = None;
        for _ in 0..size {
            // Repeating a key changes nothing and keeps the texts few.
            match self.left.next().or(last) {
                Some(key) => {
                    query = query.bind(key.clone());
                    last = Some(key);
                }
                None => return query,
            }
        }
        query
    }
}

fn session(row: &AnyRow) -> Result<(String, SessionFact), sqlx::Error> {
    let fact = SessionFact {
        issuer: row.try_get(2)?,
        sub: row.try_get(3)?,
        opened: time(row, 4)?,
        expires: time(row, 5)?,
        ended: row.try_get::<Option<i64>, _>(6)?.is_some(),
        leaf: number(row, 7)?,
    };
    Ok((row.try_get(1)?, fact))
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
