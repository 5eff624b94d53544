//! Requests of a live session: making one, and reading one's own.

use jit_ssh_proto::wire::{Issued, Page, RequestInfo};
use jit_ssh_proto::{Code, Problem, RequestId};

use super::issue::{Ask, Opening};
use super::{LiveSession, Service, SignedCall, refusal};

/// The most items of a page.
const PAGE: u32 = 100;

impl Service {
    /// Asks for access and, if it is allowed at once, issues the certificate.
    ///
    /// # Errors
    /// Why it is denied.
    pub async fn request_access(
        &self,
        live: &LiveSession,
        call: SignedCall,
        ask: Ask,
    ) -> Result<Issued, Problem> {
        let who = live.who(&call);
        self.issue(call.coming, who, ask, Opening::Call(call.id)).await?.issued
    }

    /// One request of the session's identity.
    ///
    /// # Errors
    /// `not_found` for what is not there and for what is another's alike.
    pub async fn request(&self, live: &LiveSession, id: &str) -> Result<RequestInfo, Problem> {
        let not_found =
            || Problem::new(Code::NotFound, "There is no such request of yours: see GET /v1/requests.");
        let id: RequestId = id.parse().map_err(|_| not_found())?;
        let identity = live.identity();
        let found =
            self.store.request(identity.issuer(), identity.sub(), &id).await.map_err(refusal::store)?;
        found.ok_or_else(not_found)
    }

    /// Requests of the session's identity, newest first.
    ///
    /// # Errors
    /// When the cursor is not one, or the store fails.
    pub async fn requests(
        &self,
        live: &LiveSession,
        cursor: Option<&str>,
    ) -> Result<Page<RequestInfo>, Problem> {
        let before: Option<RequestId> = cursor.map(str::parse).transpose().map_err(|_| {
            Problem::new(Code::FieldInvalid, "cursor is not one that this list gave: begin again without it.")
        })?;
        let identity = live.identity();
        let items = self
            .store
            .requests(identity.issuer(), identity.sub(), before.as_ref(), PAGE)
            .await
            .map_err(refusal::store)?;
        let full = u32::try_from(items.len()).is_ok_and(|n| n == PAGE);
        let next = if full { items.last().map(|last| last.id.clone()) } else { None };
        Ok(Page { items, next })
    }
}
