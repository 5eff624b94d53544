//! What the preconditions of a batch depend on, read inside its transaction: one look-up a table for all of its
//! changes, however many wait.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jit_ssh_proto::Timestamp;
use jit_ssh_proto::event::{Event, What};

mod identity;

#[cfg(test)]
pub(super) use identity::{LIVE_BY_SID, LIVE_BY_SUB};
pub(super) use identity::{RevalidationFact, identity_key};

use identity::WantedIdentities;

use super::change::Change;
use super::engine::{Conn, EngineError, Kind, Lookup, Row, Value, first};
use super::rows::call_key;
use super::tree::last_leaf;

/// A session, as far as preconditions go.
#[derive(Clone, Debug)]
pub(super) struct SessionFact {
    pub(super) issuer: String,
    pub(super) sub: String,
    pub(super) opened: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) ended: bool,
    pub(super) leaf: u64,
    /// The token that opened it.
    pub(super) replay: [u8; 32],
    /// Its key, as a public key line.
    pub(super) key: String,
    /// The provider's own session, where it is known.
    pub(super) sid: Option<String>,
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
    /// Ids that may not come again: of calls that were made and of requests that were decided. No two of them are
    /// alike: calls are stored under their time, requests begin with what they are.
    pub(super) taken: HashSet<String>,
    /// By id.
    pub(super) sessions: HashMap<String, SessionFact>,
    /// Name → issuer and `sub` of the identity whose it is.
    pub(super) names: HashMap<String, (String, String)>,
    /// Request → its grant.
    pub(super) grants: HashMap<String, GrantFact>,
    /// Identities that are disabled, by [`identity_key`].
    pub(super) disabled: HashSet<String>,
    /// The name of an issuer → what it stands for, and the leaf that says so.
    pub(super) issuers: HashMap<String, (String, u64)>,
    /// By session.
    pub(super) revalidations: HashMap<String, RevalidationFact>,
    /// Events that are to be erased, by leaf.
    pub(super) erasing: HashMap<u64, ErasingFact>,
    /// The policies and inventory that are in force: their digest, and the leaf that says so.
    pub(super) rules: Option<(String, u64)>,
}

/// An event that is to be erased.
#[derive(Clone, Debug)]
pub(super) struct ErasingFact {
    pub(super) kind: String,
    /// None if it was erased before.
    pub(super) body: Option<Vec<u8>>,
    /// Whether a session's row stands on it: what opened or ended it.
    pub(super) session: bool,
}

/// What has to be looked up. Ordered, so that the same batch asks the same.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    calls: BTreeSet<String>,
    requests: BTreeSet<String>,
    sessions: BTreeSet<String>,
    names: BTreeSet<String>,
    grants: BTreeSet<String>,
    erasing: BTreeSet<u64>,
    rules: bool,
    identities: WantedIdentities,
}

impl Wanted {
    /// What these changes need. Apart from the reading, because a change must not be borrowed while that waits.
    pub(super) fn of<'a>(changes: impl Iterator<Item = &'a Change>) -> Self {
        let mut wanted = Self::default();
        for change in changes {
            wanted.identities.add(change);
            match change {
                Change::Record(_)
                | Change::RefuseSession(_)
                | Change::Restored(_)
                | Change::BindIssuer(_)
                | Change::DisableIdentity(_)
                | Change::EnableIdentity(_) => {}
                Change::LoadRules(_) => wanted.rules = true,
                Change::ReleaseLogin(release) => {
                    wanted.names.insert(release.login.to_string());
                }
                Change::LogOut(out) => {
                    wanted.calls.insert(call_key(&out.token));
                }
                Change::ClaimRevalidation(claim) => {
                    wanted.sessions.insert(claim.session.to_string());
                }
                Change::Revalidated(answered) => {
                    wanted.sessions.insert(answered.session.to_string());
                }
                Change::EraseEvent(erase) => {
                    wanted.erasing.insert(erase.leaf);
                }
                Change::OpenSession(open) => {
                    wanted.calls.insert(call_key(&open.call));
                    wanted.sessions.insert(open.session().to_string());
                    wanted.names.insert(open.name.to_string());
                    wanted.names.extend(open.login.iter().map(ToString::to_string));
                }
                Change::ExportLog(export) => {
                    wanted.sessions.insert(export.session.to_string());
                }
                Change::EndSession(end) => {
                    wanted.calls.insert(call_key(&end.call));
                    wanted.sessions.insert(end.session.to_string());
                }
                Change::DecideRequest(decide) => {
                    wanted.calls.extend(decide.call.iter().map(call_key));
                    wanted.sessions.insert(decide.session.to_string());
                    wanted.requests.insert(decide.id.to_string());
                }
                Change::IssueCertificate(issue) => {
                    wanted.sessions.insert(issue.session.to_string());
                    wanted.grants.insert(issue.request.to_string());
                }
            }
        }
        // A request decided here is not there yet.
        wanted.grants.retain(|id| !wanted.requests.contains(id));
        wanted
    }
}

const CALLS: Lookup = Lookup { text: "SELECT id FROM call_ids WHERE id {}", key: Kind::Text };
const REQUESTS: Lookup = Lookup { text: "SELECT id FROM requests WHERE id {}", key: Kind::Text };
const SESSIONS: Lookup = Lookup {
    text: "SELECT id, issuer, sub, opened, expires, ended, leaf, replay, session_key, sid \
        FROM sessions \
        WHERE id {}",
    key: Kind::Text,
};
const NAMES: Lookup =
    Lookup { text: "SELECT name, issuer, sub FROM identities WHERE name {}", key: Kind::Text };
const GRANTS: Lookup = Lookup {
    text: "SELECT id, session, grant_id, not_before, not_after \
        FROM requests \
        WHERE grant_id IS NOT NULL AND id {}",
    key: Kind::Text,
};

const EVENTS: Lookup =
    Lookup { text: "SELECT leaf, kind, body, session FROM events WHERE leaf {}", key: Kind::Int };
const SESSIONS_AT: Lookup = Lookup { text: "SELECT leaf FROM sessions WHERE leaf {}", key: Kind::Int };

impl Facts {
    /// Reads what is wanted. One look-up a table, whatever waits.
    pub(super) fn read(conn: &mut dyn Conn, wanted: Wanted) -> Result<Self, EngineError> {
        let mut facts = Self::default();
        let keys = |wanted: BTreeSet<String>| wanted.into_iter().map(Value::from).collect::<Vec<_>>();
        for (lookup, ids) in [(&CALLS, wanted.calls), (&REQUESTS, wanted.requests)] {
            for row in conn.look_up(lookup, keys(ids))? {
                facts.taken.insert(row.text(0)?.to_owned());
            }
        }
        for row in conn.look_up(&SESSIONS, keys(wanted.sessions))? {
            facts.sessions.insert(row.text(0)?.to_owned(), SessionFact::of(&row)?);
        }
        for row in conn.look_up(&NAMES, keys(wanted.names))? {
            facts.names.insert(row.text(0)?.to_owned(), (row.text(1)?.to_owned(), row.text(2)?.to_owned()));
        }
        facts.identities(conn, &wanted.identities)?;
        for row in conn.look_up(&GRANTS, keys(wanted.grants))? {
            let grant = GrantFact {
                session: row.text(1)?.to_owned(),
                grant: row.text(2)?.to_owned(),
                not_before: row.time(3)?,
                not_after: row.time(4)?,
            };
            facts.grants.insert(row.text(0)?.to_owned(), grant);
        }
        facts.erasing(conn, &wanted.erasing)?;
        if wanted.rules {
            facts.rules = rules(conn)?;
        }
        Ok(facts)
    }

    fn erasing(&mut self, conn: &mut dyn Conn, leaves: &BTreeSet<u64>) -> Result<(), EngineError> {
        if leaves.is_empty() {
            return Ok(());
        }
        let mut ended = BTreeMap::new();
        let keys = || leaves.iter().map(|leaf| Value::from(*leaf)).collect::<Vec<_>>();
        for row in conn.look_up(&EVENTS, keys())? {
            let body = row.maybe_bytes(2)?.map(<[u8]>::to_vec);
            let fact = ErasingFact { kind: row.text(1)?.to_owned(), body, session: false };
            let leaf = row.number(0)?;
            if let ("session.ended" | "session.revalidated", Some(session)) =
                (row.text(1)?, row.maybe_text(3)?)
            {
                ended.entry(session.to_owned()).or_insert_with(Vec::new).push(leaf);
            }
            self.erasing.insert(leaf, fact);
        }
        for row in conn.look_up(&SESSIONS, ended.keys().map(|id| id.clone().into()).collect())? {
            for leaf in ended.get(row.text(0)?).into_iter().flatten() {
                if let Some(fact) = self.erasing.get_mut(leaf) {
                    fact.session = true;
                }
            }
        }
        for row in conn.look_up(&SESSIONS_AT, keys())? {
            if let Some(fact) = self.erasing.get_mut(&row.number(0)?) {
                fact.session = true;
            }
        }
        Ok(())
    }
}

/// The last event of its kind; the condition on kinds is the index's own.
const RULES: &str = "SELECT leaf, body FROM events \
    WHERE kind = 'policy.loaded' AND kind NOT IN ('session.opened', 'request.decided', 'certificate.issued') \
    ORDER BY leaf DESC LIMIT 1";

/// The policies and inventory that the ledger has as the last ones. Such events are never erased; one that cannot be read
/// is of a later version, and then it is not known what they are.
fn rules(conn: &mut dyn Conn) -> Result<Option<(String, u64)>, EngineError> {
    let Some(row) = first(conn, RULES, &[])? else { return Ok(None) };
    let event = row.maybe_bytes(1)?.and_then(|body| serde_json::from_slice::<Event>(body).ok());
    Ok(match event.map(|event| event.what) {
        Some(What::PolicyLoaded(loaded)) => Some((loaded.digest, row.number(0)?)),
        Some(_) | None => None,
    })
}

impl SessionFact {
    /// Whether it is this identity's.
    pub(super) fn is_of(&self, issuer: &str, sub: &str) -> bool {
        self.issuer == issuer && self.sub == sub
    }

    fn of(row: &Row) -> Result<Self, EngineError> {
        Ok(Self {
            issuer: row.text(1)?.to_owned(),
            sub: row.text(2)?.to_owned(),
            opened: row.time(3)?,
            expires: row.time(4)?,
            ended: row.maybe_number(5)?.is_some(),
            leaf: row.number(6)?,
            replay: row.hash(7)?,
            key: row.text(8)?.to_owned(),
            sid: row.maybe_text(9)?.map(str::to_owned),
        })
    }
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
    /// After a restoration: calls that were signed, and tokens that were issued, by then may have been used in what
    /// was lost.
    pub(super) floor: Option<Timestamp>,
}

/// Reads that time. It is only ever set where no process has the database open.
pub(super) fn floor(conn: &mut dyn Conn) -> Result<Option<Timestamp>, EngineError> {
    let row = first(conn, "SELECT value FROM meta WHERE name = $1", &[Value::from(FLOOR)])?;
    row.map(|row| row.parsed(0).map(Timestamp::from_seconds)).transpose()
}

/// The row of `meta` that it is in.
pub(super) const FLOOR: &str = "floor";

impl Head {
    /// Reads it: at the start, after every transaction that failed, and in each one where others append too.
    pub(super) fn read(conn: &mut dyn Conn) -> Result<Self, EngineError> {
        let mut head = Self::default();
        if let Some(row) = last_leaf(conn)? {
            head.next_leaf = row.number(0)?.saturating_add(1);
            head.time = row.time(1)?;
        }
        for row in conn.select("SELECT authority, next FROM serials", &[])? {
            head.serials.insert(row.text(0)?.to_owned(), row.number(1)?);
        }
        Ok(head)
    }
}
