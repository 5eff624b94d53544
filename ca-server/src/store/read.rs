//! The reads there are. They run beside the writer, on connections that cannot write, and decide nothing: what a
//! change depends on is read again in its transaction.

use jit_ssh_proto::event::Asked;
use jit_ssh_proto::wire::{RequestInfo, RequestState};
use jit_ssh_proto::{Code, Name, RequestId, SessionId, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;
use subtle::ConstantTimeEq;

use super::facts::{number, time};
use super::rows::int;
use super::{Store, StoreError, StoredEvent, StoredSession};

const SESSION: &str =
    "SELECT id, issuer, claims, session_key, opened, expires, ended, token_hash FROM sessions WHERE id = $1";
const REQUEST: &str =
    "SELECT id, time, asked, refused, grant_id FROM requests WHERE issuer = $1 AND sub = $2 AND id = $3";
const REQUESTS: &str = "SELECT id, time, asked, refused, grant_id \
    FROM requests \
    WHERE issuer = $1 AND sub = $2 AND id < $3 \
    ORDER BY id DESC LIMIT $4";
const EVENTS: &str = "SELECT leaf, body, salt, hash FROM events WHERE leaf >= $1 ORDER BY leaf LIMIT $2";

/// After every request id: 'r' is followed by 's'.
const AFTER_ALL_REQUESTS: &str = "s";

impl Store {
    /// The session that a bearer token names, live or not, if the token has this SHA-256.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn session_by_token(
        &self,
        id: &SessionId,
        token_hash: &[u8; 32],
    ) -> Result<Option<StoredSession>, StoreError> {
        let query = sqlx::query(SESSION).bind(id.to_string());
        let row = query.fetch_optional(&self.shared.readers).await.map_err(|e| self.failed(&e))?;
        let Some(row) = row else { return Ok(None) };
        let held = bytes(&row, 7).map_err(|e| self.failed(&e))?;
        if !bool::from(held.ct_eq(token_hash)) {
            return Ok(None);
        }
        session(&row).map(Some).map_err(|e| self.failed(&e))
    }

    /// A request of this session's identity.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn request(
        &self,
        issuer: &Name,
        sub: &str,
        id: &RequestId,
    ) -> Result<Option<RequestInfo>, StoreError> {
        let query = sqlx::query(REQUEST).bind(issuer.to_string()).bind(sub.to_owned()).bind(id.to_string());
        let row = query.fetch_optional(&self.shared.readers).await.map_err(|e| self.failed(&e))?;
        row.map(|row| request(&row)).transpose().map_err(|e| self.failed(&e))
    }

    /// Requests of this identity, newest first, at most `limit`, older than `before` if given.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn requests(
        &self,
        issuer: &Name,
        sub: &str,
        before: Option<&RequestId>,
        limit: u32,
    ) -> Result<Vec<RequestInfo>, StoreError> {
        let before = before.map_or_else(|| AFTER_ALL_REQUESTS.to_owned(), ToString::to_string);
        let query = sqlx::query(REQUESTS)
            .bind(issuer.to_string())
            .bind(sub.to_owned())
            .bind(before)
            .bind(i64::from(limit));
        let rows = query.fetch_all(&self.shared.readers).await.map_err(|e| self.failed(&e))?;
        rows.iter().map(request).collect::<Result<_, _>>().map_err(|e| self.failed(&e))
    }

    /// Events from index `from`, at most `limit`, in order.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn events(&self, from: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let query = sqlx::query(EVENTS).bind(int(from)).bind(i64::from(limit));
        let rows = query.fetch_all(&self.shared.readers).await.map_err(|e| self.failed(&e))?;
        rows.iter().map(event).collect::<Result<_, _>>().map_err(|e| self.failed(&e))
    }

    /// The time of the newest event.
    pub(super) async fn newest_time(&self) -> Result<Timestamp, StoreError> {
        let query = sqlx::query("SELECT time FROM events ORDER BY leaf DESC LIMIT 1");
        let row = query.fetch_optional(&self.shared.readers).await.map_err(|e| self.failed(&e))?;
        row.map_or(Ok(Timestamp::default()), |row| time(&row, 0)).map_err(|e| self.failed(&e))
    }

    /// Reads the least there is.
    pub(super) async fn answers(&self) -> Result<(), StoreError> {
        let query = sqlx::query("SELECT value FROM meta WHERE name = $1").bind("schema");
        query.fetch_one(&self.shared.readers).await.map(drop).map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &sqlx::Error) -> StoreError {
        self.shared.place.explain(error)
    }
}

fn session(row: &AnyRow) -> Result<StoredSession, sqlx::Error> {
    Ok(StoredSession {
        id: parsed(row, 0)?,
        issuer: parsed(row, 1)?,
        claims: serde_json::from_str(row.try_get(2)?).map_err(|e| undecodable(2, e))?,
        key: parsed(row, 3)?,
        opened: time(row, 4)?,
        expires: time(row, 5)?,
        ended: row.try_get::<Option<i64>, _>(6)?.is_some(),
    })
}

fn request(row: &AnyRow) -> Result<RequestInfo, sqlx::Error> {
    let asked: Asked = serde_json::from_str(row.try_get(2)?).map_err(|e| undecodable(2, e))?;
    let refused: Option<String> = row.try_get(3)?;
    let refused = refused.map(|code| code_of(&code)).transpose()?;
    Ok(RequestInfo {
        id: row.try_get(0)?,
        state: if refused.is_some() { RequestState::Denied } else { RequestState::Granted },
        time: time(row, 1)?,
        accounts: asked.accounts.iter().map(ToString::to_string).collect(),
        mode: asked.mode,
        modifiers: asked.modifiers,
        reason: asked.reason.to_string(),
        ticket: asked.ticket.to_string(),
        refused,
        grant: row.try_get(4)?,
    })
}

fn event(row: &AnyRow) -> Result<StoredEvent, sqlx::Error> {
    Ok(StoredEvent {
        index: number(row, 0)?,
        body: row.try_get(1)?,
        salt: bytes(row, 2)?,
        leaf: bytes(row, 3)?,
    })
}

fn code_of(text: &str) -> Result<Code, sqlx::Error> {
    let code = Code::ALL.iter().copied().find(|code| code.as_str() == text);
    code.ok_or_else(|| undecodable(3, format!("unknown code {text:?}")))
}

fn bytes(row: &AnyRow, at: usize) -> Result<[u8; 32], sqlx::Error> {
    row.try_get::<Vec<u8>, _>(at)?.try_into().map_err(|_| undecodable(at, "is not of 32 bytes"))
}

fn parsed<T>(row: &AnyRow, at: usize) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.try_get::<&str, _>(at)?.parse().map_err(|e: T::Err| undecodable(at, e))
}

fn undecodable(at: usize, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: at.to_string(), source: why.into() }
}
