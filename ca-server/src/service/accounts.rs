//! The accounts that somebody may get to now, page by page.

use std::net::IpAddr;

use jit_ssh_core::policy::{Circumstances, Wanted};
use jit_ssh_proto::wire::{Page, ReachableAccount};
use jit_ssh_proto::{Account, Code, Name, Place, Problem};

use super::{LiveSession, Service, refusal};
use crate::clock::Zone;

/// How many accounts a page has if nothing is said, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 200;

/// Which part of the list is wanted.
#[derive(Clone, Debug)]
pub struct AccountQuery {
    after: Option<Account>,
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
        let (mut after, mut prefix, mut limit) = (None, None, None);
        for (name, value) in parameters {
            let slot = match name {
                "cursor" => &mut after,
                "host" => &mut prefix,
                "limit" => &mut limit,
                _ => return Err(invalid("a parameter is not known: use cursor, host or limit.".to_owned())),
            };
            if slot.replace(value).is_some() {
                return Err(invalid(format!("{name} is there twice: give it once.")));
            }
        }
        let begun_anew =
            || invalid("cursor is not one that this list gave: begin again without it.".to_owned());
        let after: Option<Account> = after.map(str::parse).transpose().map_err(|_| begun_anew())?;
        if after.as_ref().is_some_and(|account| matches!(account.place, Place::Group(_))) {
            return Err(begun_anew());
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
        Ok(Self { after, prefix: prefix.unwrap_or_default().to_owned(), limit })
    }
}

impl Service {
    /// Part of the accounts that the session's identity may get to now.
    ///
    /// # Errors
    /// When the CA itself fails.
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
        // Some hundred accounts are many questions: not on a thread that answers others.
        let listed = tokio::task::spawn_blocking(move || {
            let wanted = Wanted { after: query.after.as_ref(), prefix: &query.prefix, limit: query.limit };
            rules.accounts(&identity, &key, &at, &Zone(&timezone), &wanted)
        });
        let listed = listed.await.map_err(refusal::internal)?;
        Ok(Page { items: listed.accounts, next: listed.next.map(|account| account.to_string()) })
    }
}
