//! Reads about who there is, for operators: names, whose they are, who may not log in, which sessions live.

use std::collections::HashMap;

use jit_ssh_core::identity::Claims;
use jit_ssh_proto::{Flow, Name, SessionId, Timestamp};

use super::engine::{EngineError, Row, first};
use super::parts::parts_of_sessions;
use super::{Store, StoreError};

const NAMES: &str = "SELECT i.name, i.issuer, i.sub, i.leaf, d.reason, d.time \
    FROM identities i LEFT JOIN disabled d ON d.id = i.issuer || '/' || i.sub \
    WHERE i.name > $1 ORDER BY i.name LIMIT 500";
const NAMED: &str = "SELECT issuer, sub FROM identities WHERE name = $1";
const NAMELESS: &str = "SELECT d.id, d.reason, d.time FROM disabled d \
    WHERE NOT EXISTS (SELECT 1 FROM identities i WHERE d.id = i.issuer || '/' || i.sub) ORDER BY d.id";
pub(super) const LIVE: &str = concat!(
    parts_of_sessions!(),
    "SELECT id, opened, expires, claims FROM parts CROSS JOIN sessions \
    WHERE leaf / 1024 = part AND issuer = $1 AND sub = $2 AND ended IS NULL AND expires > $3 ORDER BY leaf"
);
const COUNTS: &str = "SELECT issuer, sub, COUNT(*) FROM sessions \
    WHERE ended IS NULL AND expires > $1 GROUP BY issuer, sub";
const ISSUERS: &str = "SELECT name, url FROM issuers ORDER BY name";

/// A login or name, and whose it is.
#[derive(Clone, Debug)]
pub struct KnownName {
    /// The login or name.
    pub name: String,
    /// The issuer's alias.
    pub issuer: String,
    /// Its subject.
    pub sub: String,
    /// The event since which it is theirs.
    pub leaf: u64,
    /// Why and since when the identity may not log in, if it may not.
    pub disabled: Option<(String, Timestamp)>,
    /// How many live sessions the identity has.
    pub sessions: u64,
}

/// A live session.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// `ses_…`
    pub id: SessionId,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// How they logged in.
    pub flow: Flow,
}

impl Store {
    /// Every name, in order, with the sessions that live at `now`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn names(&self, now: Timestamp) -> Result<Vec<KnownName>, StoreError> {
        let count = |row: &Row| Ok(((row.text(0)?.to_owned(), row.text(1)?.to_owned()), row.number(2)?));
        let counts = self.read(move |conn| conn.select(COUNTS, &[now.into()])?.iter().map(count).collect());
        let counts: HashMap<_, _> = counts.await?;
        let mut all: Vec<KnownName> = Vec::new();
        loop {
            let after = all.last().map_or_else(String::new, |last| last.name.clone());
            let page =
                self.read(move |conn| conn.select(NAMES, &[after.into()])?.iter().map(known).collect());
            let page: Vec<KnownName> = page.await?;
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        for name in &mut all {
            let identity = (name.issuer.clone(), name.sub.clone());
            name.sessions = counts.get(&identity).copied().unwrap_or_default();
        }
        Ok(all)
    }

    /// Issuer and subject of the identity that has a name.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn identity_named(&self, name: &Name) -> Result<Option<(String, String)>, StoreError> {
        let name = name.to_string();
        self.read(move |conn| {
            let row = first(conn, NAMED, &[name.into()])?;
            row.map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))).transpose()
        })
        .await
    }

    /// Identities that may not log in and have no name here, as `ISSUER/SUB`, why, and since when.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn disabled_without_name(&self) -> Result<Vec<(String, String, Timestamp)>, StoreError> {
        let of = |row: &Row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.time(2)?));
        self.read(move |conn| conn.select(NAMELESS, &[])?.iter().map(of).collect()).await
    }

    /// The sessions of an identity that live at `now`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn live_sessions(
        &self,
        issuer: &str,
        sub: &str,
        now: Timestamp,
    ) -> Result<Vec<LiveSession>, StoreError> {
        let args = [issuer.to_owned().into(), sub.to_owned().into(), now.into()];
        self.read(move |conn| conn.select(LIVE, &args)?.iter().map(live).collect()).await
    }

    /// What the names of issuers stand for.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn issuers(&self) -> Result<Vec<(String, String)>, StoreError> {
        let of = |row: &Row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
        self.read(move |conn| conn.select(ISSUERS, &[])?.iter().map(of).collect()).await
    }
}

fn known(row: &Row) -> Result<KnownName, EngineError> {
    let disabled = match row.maybe_text(4)? {
        Some(reason) => Some((reason.to_owned(), row.time(5)?)),
        None => None,
    };
    Ok(KnownName {
        name: row.text(0)?.to_owned(),
        issuer: row.text(1)?.to_owned(),
        sub: row.text(2)?.to_owned(),
        leaf: row.number(3)?,
        disabled,
        sessions: 0,
    })
}

fn live(row: &Row) -> Result<LiveSession, EngineError> {
    let claims: Claims =
        serde_json::from_str(row.text(3)?).map_err(|e| EngineError::row(3, &e.to_string()))?;
    Ok(LiveSession { id: row.parsed(0)?, opened: row.time(1)?, expires: row.time(2)?, flow: claims.flow })
}
