//! The ledger for those who may audit: who that is, searching it page by page, and handing it out whole.

use std::net::IpAddr;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jit_ssh_core::policy::{Circumstances, Leave, Verb};
use jit_ssh_proto::event::LogFilter;
use jit_ssh_proto::wire::{LogItem, LogPage};
use jit_ssh_proto::{Code, Problem};
use serde_json::value::RawValue;

use super::{LiveSession, Service, refusal};
use crate::store::{Change, ExportLog, Found, Search, Store, StoredEvent};

/// How many items a page has if nothing is said, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// How long one call waits at most. Below what proxies take for a dead connection.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How many items of a stream are in memory at once.
const PART: usize = 200;

/// Somebody whom policy lets audit, now. Made by [`Service::auditor`] and nothing else.
#[derive(Clone, Debug)]
pub struct Auditor {
    live: LiveSession,
    source: IpAddr,
}

/// What is looked for, and how it is to be given.
#[derive(Clone, Debug)]
pub struct EventQuery {
    filter: LogFilter,
    newest_first: bool,
    limit: Option<usize>,
    wait: Option<Duration>,
}

impl EventQuery {
    /// From parameters.
    ///
    /// # Errors
    /// `field_invalid`, naming the parameter.
    pub fn parse<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, Problem> {
        let invalid = |what: String| Problem::new(Code::FieldInvalid, what);
        let (mut filter, mut order, mut limit, mut wait) = (LogFilter::default(), None, None, None);
        let once = |slot: &mut Option<String>, name: &str, value: &str| match slot.replace(value.to_owned()) {
            None => Ok(()),
            Some(_) => Err(invalid(format!("{name} is there twice: give it once."))),
        };
        for (name, value) in parameters {
            match name {
                "order" => once(&mut order, name, value)?,
                "limit" => once(&mut limit, name, value)?,
                "wait" => once(&mut wait, name, value)?,
                _ => filter.set(name, value).map_err(|e| invalid(format!("{e}.")))?,
            }
        }
        let newest_first = match order.as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(invalid("order is not asc or desc.".to_owned())),
        };
        let limit: Option<usize> = limit
            .map(|text| text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit)))
            .map(|limit| limit.ok_or_else(|| invalid(format!("limit is not a number from 1 to {MAX_PAGE}."))))
            .transpose()?;
        let wait = wait
            .map(|text| text.parse().ok().map(Duration::from_secs).filter(|wait| *wait <= MAX_WAIT))
            .map(|wait| {
                wait.ok_or_else(|| {
                    invalid(format!("wait is not a number of seconds up to {}.", MAX_WAIT.as_secs()))
                })
            })
            .transpose()?;
        if wait.is_some() && newest_first {
            return Err(invalid("wait is for order=asc: what comes later comes last.".to_owned()));
        }
        Ok(Self { filter, newest_first, limit, wait })
    }

    /// How long to wait if nothing is there yet.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.wait.unwrap_or_default()
    }

    fn search(&self, limit: usize) -> Search {
        Search { filter: self.filter.clone(), newest_first: self.newest_first, limit }
    }
}

/// Everything that a search finds, part by part.
#[derive(Debug)]
pub struct Export {
    store: Store,
    search: Search,
    /// How many more items, if not all.
    left: Option<usize>,
    more: bool,
}

impl Service {
    /// The live session of a bearer token, if policy lets its identity audit.
    ///
    /// # Errors
    /// As [`Service::session`]; and what policy says.
    pub async fn auditor(&self, bearer: Option<&str>, source: IpAddr) -> Result<Auditor, Problem> {
        let live = self.session(bearer).await?;
        let now = self.now();
        let at = Circumstances { now, local: self.local(now), source_ip: source };
        match self.rules().may(live.identity(), Verb::Audit, live.key(), &at) {
            Leave::Given(_) => Ok(Auditor { live, source }),
            Leave::Denied(denial) => {
                tracing::info!(name = %live.identity().name(), code = %denial.code, policies = ?denial.policies, "audit denied");
                Err(Problem::new(denial.code, denial.detail))
            }
        }
    }

    /// One page of the ledger. Where nothing fits yet, the first that comes before `over`: what was looked through is
    /// not looked through again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn events(
        &self,
        mut query: EventQuery,
        over: impl Future<Output = ()>,
    ) -> Result<LogPage, Problem> {
        tokio::pin!(over);
        loop {
            let search = query.search(query.limit.unwrap_or(PAGE));
            let found = self.store.search(search).await.map_err(refusal::store)?;
            let looked_at = found.next.map_or(0, |next| next.saturating_add(1)).max(found.size);
            let waits = query.wait.is_some() && found.events.is_empty() && !found.more;
            query.filter.after = query.filter.after.max(found.next);
            let page = page(found);
            if !waits {
                return Ok(page);
            }
            tokio::select! {
                grown = self.store.grown(looked_at) => grown.map_err(refusal::store)?,
                () = &mut over => return Ok(page),
            }
        }
    }

    /// Records that everything that matches is about to be given out, and begins. What is given ends before that
    /// record.
    ///
    /// # Errors
    /// `field_invalid` for a query that waits; `session_…` when the session is over; when the store fails.
    pub async fn export(&self, auditor: &Auditor, query: EventQuery) -> Result<Export, Problem> {
        if query.wait.is_some() {
            return Err(Problem::new(
                Code::FieldInvalid,
                "wait is not for a stream: follow page by page with Accept: application/json.",
            ));
        }
        let record = ExportLog {
            session: auditor.live.id(),
            actor: super::actor(auditor.live.identity()),
            source: auditor.source.to_string(),
            filter: query.filter.clone(),
        };
        let recorded = self.apply_one(Change::ExportLog(record)).await?;
        tracing::info!(name = %auditor.live.identity().name(), leaf = recorded.leaf, "log exported");
        let mut search = query.search(PART);
        search.filter.before = Some(search.filter.before.map_or(recorded.leaf, |b| b.min(recorded.leaf)));
        Ok(Export { store: self.store.clone(), search, left: query.limit, more: true })
    }
}

impl Export {
    /// The next lines, each one item in JSON; none at the end.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next(&mut self) -> Result<Option<String>, Problem> {
        while self.more {
            if let Some(left) = self.left {
                self.search.limit = left.min(PART);
            }
            let found = self.store.search(self.search.clone()).await.map_err(refusal::store)?;
            self.left = self.left.map(|left| left.saturating_sub(found.events.len()));
            self.more = found.more && found.next.is_some() && self.left != Some(0);
            if self.search.newest_first {
                self.search.filter.before = found.next;
            } else {
                self.search.filter.after = found.next;
            }
            if !found.events.is_empty() {
                return lines(found.events).map(Some);
            }
        }
        Ok(None)
    }
}

fn page(found: Found) -> LogPage {
    let next = found.next.map(|next| next.to_string());
    LogPage { items: found.events.into_iter().map(item).collect(), next, more: found.more }
}

fn lines(events: Vec<StoredEvent>) -> Result<String, Problem> {
    let mut lines = String::new();
    for event in events {
        lines.push_str(&serde_json::to_string(&item(event)).map_err(refusal::internal)?);
        lines.push('\n');
    }
    Ok(lines)
}

/// A leaf as it is given out, its event byte for byte.
fn item(stored: StoredEvent) -> LogItem {
    let (index, leaf) = (stored.index, HEXLOWER.encode(&stored.leaf));
    let erased = stored.content.is_none();
    let salt = stored.content.as_ref().map(|content| BASE64URL_NOPAD.encode(&content.salt));
    let event = stored.content.and_then(|content| {
        let text = String::from_utf8(content.body).ok();
        let raw = text.and_then(|text| RawValue::from_string(text).ok());
        if raw.is_none() {
            tracing::error!(leaf = index, "an event is damaged: run `jit-ssh-ca log verify`");
        }
        raw
    });
    LogItem { index, leaf, salt, event, erased }
}
