//! The accounts that somebody may get to now, page by page.

use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD;
use jit_ssh_core::policy::{Circumstances, Wanted};
use jit_ssh_proto::wire::{Page, ReachableAccount};
use jit_ssh_proto::{Account, Code, Name, Problem, SessionId};

use super::{LiveSession, Service, refusal};
use crate::clock::Zone;

/// How many accounts a page has if nothing is said, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 200;

/// To how many bytes what a cursor says is filled up: most accounts are shorter.
const PADDED: usize = 160;

/// Which part of the list is wanted.
#[derive(Clone, Debug)]
pub struct AccountQuery {
    cursor: Option<String>,
    prefix: String,
    limit: usize,
}

impl AccountQuery {
    /// From parameters.
    ///
    /// # Errors
    /// `field_invalid`, naming the parameter.
    pub fn parse<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, Problem> {
        let invalid = |what: String| Problem::new(Code::FieldInvalid, what);
        let (mut cursor, mut prefix, mut limit) = (None, None, None);
        for (name, value) in parameters {
            let slot = match name {
                "cursor" => &mut cursor,
                "host" => &mut prefix,
                "limit" => &mut limit,
                _ => return Err(invalid("a parameter is not known: use cursor, host or limit.".to_owned())),
            };
            if slot.replace(value).is_some() {
                return Err(invalid(format!("{name} is there twice: give it once.")));
            }
        }
        // What begins no name is no prefix of one.
        if let Some(Err(e)) = prefix.filter(|prefix| !prefix.is_empty()).map(str::parse::<Name>) {
            return Err(invalid(format!("host {e}.")));
        }
        let limit = match limit.map(str::parse) {
            None => PAGE,
            Some(Ok(limit @ 1..=MAX_PAGE)) => limit,
            Some(Ok(_) | Err(_)) => {
                return Err(invalid(format!("limit is not a number from 1 to {MAX_PAGE}.")));
            }
        };
        Ok(Self { cursor: cursor.map(str::to_owned), prefix: prefix.unwrap_or_default().to_owned(), limit })
    }
}

impl Service {
    /// Part of the accounts that the session's identity may get to now.
    ///
    /// # Errors
    /// `field_invalid` for a cursor that this list did not give to this session; when the CA itself fails.
    pub async fn accounts(
        &self,
        live: &LiveSession,
        source: IpAddr,
        query: AccountQuery,
    ) -> Result<Page<ReachableAccount>, Problem> {
        let now = self.now();
        let at = Circumstances { now, local: self.local(now), source_ip: source };
        let (rules, timezone) = (self.rules(), self.timezone.clone());
        let (identity, key) = (live.identity().clone(), live.key().clone());
        let after = query.cursor.map(|cursor| self.place(&live.id(), &cursor)).transpose()?;
        // Some hundred accounts are many questions: not on a thread that answers others.
        let listed = tokio::task::spawn_blocking(move || {
            let wanted = Wanted { after: after.as_ref(), prefix: &query.prefix, limit: query.limit };
            rules.accounts(&identity, &key, &at, &Zone(&timezone), &wanted)
        });
        let listed = listed.await.map_err(refusal::internal)?;
        let next = listed.next.map(|account| self.cursor(&live.id(), &account)).transpose()?;
        Ok(Page { items: listed.accounts, next })
    }

    /// A page ends where enough accounts were looked at, listed or not: a cursor tells nobody of one that they have no
    /// part in, nor how long its name is.
    fn cursor(&self, session: &SessionId, after: &Account) -> Result<String, Problem> {
        let sealed = self.cursors.seal(session, &format!("{:PADDED$}", after.to_string()));
        let sealed = sealed.ok_or_else(|| refusal::internal("a cursor that cannot be sealed"))?;
        Ok(BASE64URL_NOPAD.encode(&sealed))
    }

    /// The account after which a page begins.
    fn place(&self, session: &SessionId, cursor: &str) -> Result<Account, Problem> {
        let sealed = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok();
        let opened = sealed.and_then(|sealed| self.cursors.open(session, &sealed));
        opened.and_then(|account| account.trim_end().parse().ok()).ok_or_else(|| {
            let detail = "cursor is not one that this list gave to this session: begin again without it.";
            Problem::new(Code::FieldInvalid, detail)
        })
    }
}
