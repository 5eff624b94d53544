//! What changes to identities and to others' sessions depend on.

use std::collections::BTreeSet;

use jit_ssh_proto::Timestamp;

use super::super::change::Change;
use super::super::engine::{Conn, EngineError, Kind, Lookup, Value};
use super::super::parts::parts_of_sessions;
use super::{Facts, SessionFact};

/// What a provider is asked about a session with, as far as preconditions go.
#[derive(Clone, Debug)]
pub(in crate::store) struct RevalidationFact {
    pub(in crate::store) due: Timestamp,
    pub(in crate::store) holder: String,
    pub(in crate::store) held: Timestamp,
}

/// What an identity is known by in one word: no issuer's name has a slash.
pub(in crate::store) fn identity_key(issuer: &str, sub: &str) -> String {
    format!("{issuer}/{sub}")
}

/// What has to be looked up.
#[derive(Debug, Default)]
pub(super) struct WantedIdentities {
    disabled: BTreeSet<String>,
    issuers: BTreeSet<String>,
    revalidations: BTreeSet<String>,
    /// Issuer and subject whose live sessions are meant.
    live: BTreeSet<(String, String)>,
    /// Issuer and provider's session whose live sessions are meant.
    sids: BTreeSet<(String, String)>,
    /// Issuers all of whose live sessions are meant.
    everybody: BTreeSet<String>,
    /// Names whose holders' live sessions are meant.
    holders: BTreeSet<String>,
}

impl WantedIdentities {
    pub(super) fn add(&mut self, change: &Change) {
        match change {
            Change::OpenSession(open) => {
                self.disabled.insert(identity_key(open.issuer.as_str(), &open.claims.sub));
                self.issuers.insert(open.issuer.to_string());
            }
            Change::BindIssuer(bind) => {
                self.issuers.insert(bind.issuer.to_string());
                if bind.moves {
                    self.everybody.insert(bind.issuer.to_string());
                }
            }
            Change::DisableIdentity(disable) => {
                self.disabled.insert(identity_key(disable.issuer.as_str(), &disable.sub));
                self.live.insert((disable.issuer.to_string(), disable.sub.clone()));
            }
            Change::EnableIdentity(enable) => {
                self.disabled.insert(identity_key(enable.issuer.as_str(), &enable.sub));
            }
            Change::ReleaseLogin(release) => {
                self.holders.insert(release.login.to_string());
            }
            Change::LogOut(out) => match (&out.sub, &out.sid) {
                (Some(sub), _) => {
                    self.live.insert((out.issuer.to_string(), sub.clone()));
                }
                (None, Some(sid)) => {
                    self.sids.insert((out.issuer.to_string(), sid.clone()));
                }
                (None, None) => {}
            },
            Change::ClaimRevalidation(claim) => {
                self.revalidations.insert(claim.session.to_string());
            }
            Change::Revalidated(answered) => {
                self.revalidations.insert(answered.session.to_string());
            }
            Change::Record(_)
            | Change::LoadRules(_)
            | Change::RefuseSession(_)
            | Change::EndSession(_)
            | Change::DecideRequest(_)
            | Change::IssueCertificate(_)
            | Change::ExportLog(_)
            | Change::EraseEvent(_)
            | Change::Restored(_) => {}
        }
    }
}

pub(in crate::store) const LIVE_BY_SUB: &str = concat!(
    parts_of_sessions!(),
    "SELECT id, issuer, sub, opened, expires, ended, leaf, replay, session_key, sid \
    FROM parts CROSS JOIN sessions \
    WHERE leaf / 1024 = part AND issuer = $1 AND sub = $2 AND ended IS NULL"
);
pub(in crate::store) const LIVE_BY_SID: &str = concat!(
    parts_of_sessions!(),
    "SELECT id, issuer, sub, opened, expires, ended, leaf, replay, session_key, sid \
    FROM parts CROSS JOIN sessions \
    WHERE leaf / 1024 = part AND issuer = $1 AND sid = $2 AND sid IS NOT NULL AND ended IS NULL"
);
const LIVE_BY_ISSUER: &str = "SELECT id, issuer, sub, opened, expires, ended, leaf, replay, session_key, sid \
    FROM sessions \
    WHERE issuer = $1 AND ended IS NULL";
const DISABLED: Lookup = Lookup { text: "SELECT id FROM disabled WHERE id {}", key: Kind::Text };
const ISSUERS: Lookup = Lookup { text: "SELECT name, url, leaf FROM issuers WHERE name {}", key: Kind::Text };
const REVALIDATIONS: Lookup =
    Lookup { text: "SELECT session, due, holder, held FROM revalidations WHERE session {}", key: Kind::Text };

impl Facts {
    /// Reads who may log in, and whose sessions are meant; after names, whose holders may be meant.
    pub(super) fn identities(
        &mut self,
        conn: &mut dyn Conn,
        wanted: &WantedIdentities,
    ) -> Result<(), EngineError> {
        let keys = |wanted: &BTreeSet<String>| wanted.iter().cloned().map(Value::from).collect::<Vec<_>>();
        for row in found(conn, &DISABLED, keys(&wanted.disabled))? {
            self.disabled.insert(row.text(0)?.to_owned());
        }
        for row in found(conn, &ISSUERS, keys(&wanted.issuers))? {
            self.issuers.insert(row.text(0)?.to_owned(), (row.text(1)?.to_owned(), row.number(2)?));
        }
        for row in found(conn, &REVALIDATIONS, keys(&wanted.revalidations))? {
            let fact =
                RevalidationFact { due: row.time(1)?, holder: row.text(2)?.to_owned(), held: row.time(3)? };
            self.revalidations.insert(row.text(0)?.to_owned(), fact);
        }
        let holders = wanted.holders.iter().filter_map(|name| self.names.get(name).cloned());
        let live: BTreeSet<_> = wanted.live.iter().cloned().chain(holders).collect();
        let by_sub = live.iter().map(|of| (LIVE_BY_SUB, of));
        for (text, (issuer, of)) in by_sub.chain(wanted.sids.iter().map(|of| (LIVE_BY_SID, of))) {
            for row in conn.select(text, &[issuer.clone().into(), of.clone().into()])? {
                self.sessions.insert(row.text(0)?.to_owned(), SessionFact::of(&row)?);
            }
        }
        for issuer in &wanted.everybody {
            for row in conn.select(LIVE_BY_ISSUER, &[issuer.clone().into()])? {
                self.sessions.insert(row.text(0)?.to_owned(), SessionFact::of(&row)?);
            }
        }
        Ok(())
    }
}

/// Asks for nothing where nothing is wanted: these changes are few.
fn found(
    conn: &mut dyn Conn,
    lookup: &'static Lookup,
    keys: Vec<Value>,
) -> Result<Vec<super::Row>, EngineError> {
    if keys.is_empty() { Ok(Vec::new()) } else { conn.look_up(lookup, keys) }
}
