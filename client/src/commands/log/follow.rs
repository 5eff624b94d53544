//! Following the ledger: page after page from a cursor on, and then whatever comes. A CA that is away for a while is
//! asked again; no event is missed, since the cursor says where to go on.

use std::time::Duration;

use jit_ssh_proto::wire::{LogItem, LogPage};

use super::entry::Entry;
use crate::client::Client;
use crate::error::{Error, Exit, Result};
use crate::output::note;
use crate::session::Session;

/// How long the CA holds an answer back if there is nothing yet.
const WAIT: Duration = Duration::from_secs(20);
/// How many events a page has at most.
const PAGE: usize = 500;
/// How long to leave a CA alone that cannot be reached: the first time, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The ledger from a cursor on.
pub(super) struct Follower<'a> {
    client: &'a Client,
    session: &'a Session,
    query: Vec<(&'static str, String)>,
    after: Option<String>,
}

impl<'a> Follower<'a> {
    /// What fits `query`, from behind the leaf `after`.
    pub(super) fn new(
        client: &'a Client,
        session: &'a Session,
        query: Vec<(&'static str, String)>,
        after: Option<String>,
    ) -> Self {
        Self { client, session, query, after }
    }

    /// The next events: waits until there are some. The CA being away does not end it; everything else does.
    pub(super) fn next(&mut self) -> Result<Vec<Entry>> {
        loop {
            let page =
                patiently(|| page(self.client, self.session, &self.query, self.after.as_deref(), WAIT))?;
            let stands_still = page.more && page.next == self.after;
            if stands_still {
                return Err(Error::Untrusted(
                    "the CA says that there is more of its ledger and gives none: tell its operator".into(),
                ));
            }
            let entries = page.items.into_iter().map(Entry::new).collect::<Result<Vec<_>>>()?;
            self.after = page.next.or_else(|| self.after.take());
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
    }
}

/// The next page behind the leaf `after`, as the CA gives it; an empty one after `wait`.
pub(super) fn page(
    client: &Client,
    session: &Session,
    query: &[(&'static str, String)],
    after: Option<&str>,
    wait: Duration,
) -> Result<LogPage> {
    let mut query = query.to_vec();
    query.push(("limit", PAGE.to_string()));
    query.push(("wait", wait.as_secs().to_string()));
    query.extend(after.map(|after| ("after", after.to_owned())));
    client.ca().events(session, &query)
}

/// One event, whatever it is. None where the CA gives none.
pub(super) fn one(client: &Client, session: &Session, index: u64) -> Result<Option<LogItem>> {
    let mut query = vec![("before", index.saturating_add(1).to_string()), ("limit", "1".to_owned())];
    query.extend(index.checked_sub(1).map(|after| ("after", after.to_string())));
    let page = client.ca().events(session, &query)?;
    Ok(page.items.into_iter().find(|item| item.index == index))
}

/// Tries again for as long as the CA is away: a server that restarts ends nobody's watch.
pub(super) fn patiently<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut pause = PAUSE;
    loop {
        match attempt() {
            Err(error) if error.exit() == Exit::Unreachable => {
                note(&format!("{error}; trying again"));
                std::thread::sleep(pause);
                pause = LONGEST_PAUSE.min(pause.saturating_mul(2));
            }
            done => return done,
        }
    }
}

/// The cursor behind the newest event, whatever it is. None where there is none.
pub(super) fn newest(client: &Client, session: &Session) -> Result<Option<String>> {
    let page = client.ca().events(session, &[("order", "desc".to_owned()), ("limit", "1".to_owned())])?;
    Ok(page.items.first().map(|item| item.index.to_string()))
}
