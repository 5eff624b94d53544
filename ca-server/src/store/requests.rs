//! Reads of requests that were decided, by whose they are.

use jit_ssh_proto::event::Asked;
use jit_ssh_proto::wire::{RequestInfo, RequestState};
use jit_ssh_proto::{Code, Name, RequestId, Span};

use super::engine::{Conn, EngineError, Row, Value, first};
use super::parts::{PART, Reach, parts_of_leaves};
use super::read::size;
use super::search::first_since;
use super::{Store, StoreError};

const REQUEST: &str =
    "SELECT id, time, asked, refused, grant_id FROM requests WHERE issuer = $1 AND sub = $2 AND id = $3";
pub(super) const REQUESTS: &str = concat!(
    parts_of_leaves!(),
    "SELECT id, time, asked, refused, grant_id, leaf \
    FROM parts CROSS JOIN requests \
    WHERE leaf / 1024 = part AND leaf >= $1 AND leaf < $2 AND issuer = $3 AND sub = $4 \
    ORDER BY leaf DESC LIMIT $5"
);
const REQUEST_AT: &str = "SELECT leaf FROM requests WHERE id = $1";
pub(super) const OLDEST_PART: &str = "SELECT leaf / 1024 FROM requests ORDER BY leaf / 1024 LIMIT 1";

impl Store {
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
        let args = [issuer.to_string().into(), sub.to_owned().into(), id.to_string().into()];
        self.read(move |conn| first(conn, REQUEST, &args)?.map(|row| request(&row)).transpose()).await
    }

    /// Requests of this identity, newest first as the ledger has them, at most `limit`, older than `before` if given.
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
        let (issuer, sub, before) = (issuer.to_string(), sub.to_owned(), before.copied());
        self.read(move |conn| {
            let Some(oldest) = first(conn, OLDEST_PART, &[])? else { return Ok(Vec::new()) };
            let low = oldest.number(0)?.saturating_mul(PART);
            let mut high = match before {
                Some(id) => leaf_of(conn, &id)?,
                None => size(conn)?,
            };
            let most = usize::try_from(limit).unwrap_or(usize::MAX);
            let (mut requests, mut reach) = (Vec::new(), Reach::new());
            while low < high && requests.len() < most {
                let (from, to) = reach.of((low, high), true);
                let left = most.saturating_sub(requests.len());
                let args: [Value; 5] = [
                    from.into(),
                    to.into(),
                    issuer.clone().into(),
                    sub.clone().into(),
                    u64::try_from(left).unwrap_or(u64::MAX).into(),
                ];
                let rows = conn.select(REQUESTS, &args)?;
                reach.adapt(rows.len(), most);
                for row in &rows {
                    requests.push(request(row)?);
                }
                high = from;
            }
            Ok(requests)
        })
        .await
    }
}

/// The leaf of a request. Where it is gone, the first of the second after the one that it was made in.
fn leaf_of(conn: &mut dyn Conn, id: &RequestId) -> Result<u64, EngineError> {
    match first(conn, REQUEST_AT, &[id.to_string().into()])? {
        Some(row) => row.number(0),
        None => {
            let size = size(conn)?;
            first_since(conn, id.time().plus(Span::from_seconds(1)), size)
        }
    }
}

fn request(row: &Row) -> Result<RequestInfo, EngineError> {
    let asked: Asked = serde_json::from_str(row.text(2)?).map_err(|e| EngineError::row(2, &e.to_string()))?;
    let refused = row.maybe_text(3)?.map(code_of).transpose()?;
    Ok(RequestInfo {
        id: row.text(0)?.to_owned(),
        state: if refused.is_some() { RequestState::Denied } else { RequestState::Granted },
        time: row.time(1)?,
        accounts: asked.accounts.iter().map(ToString::to_string).collect(),
        mode: asked.mode,
        modifiers: asked.modifiers,
        reason: asked.reason.to_string(),
        ticket: asked.ticket.to_string(),
        refused,
        grant: row.maybe_text(4)?.map(str::to_owned),
    })
}

fn code_of(text: &str) -> Result<Code, EngineError> {
    let code = Code::ALL.iter().copied().find(|code| code.as_str() == text);
    code.ok_or_else(|| EngineError::row(3, &format!("is the unknown code {text:?}")))
}
