//! Following the ledger: page after page from a cursor on, and then whatever comes. A CA that is away for a while is
//! asked again; no event is missed, since the cursor says where to go on.

use std::time::Duration;

use super::entry::Entry;
use crate::client::Client;
use crate::error::{Error, Exit, Result};
use crate::output::note;
use crate::session::Session;

/// How long the CA holds an answer back if there is nothing yet.
const WAIT: &str = "20";
/// How many events a page has at most.
const PAGE: &str = "500";
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
        let mut pause = PAUSE;
        loop {
            match self.page() {
                Ok(entries) if entries.is_empty() => pause = PAUSE,
                Ok(entries) => return Ok(entries),
                Err(error) if error.exit() == Exit::Unreachable => {
                    note(&format!("{error}; trying again"));
                    std::thread::sleep(pause);
                    pause = LONGEST_PAUSE.min(pause.saturating_mul(2));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn page(&mut self) -> Result<Vec<Entry>> {
        let mut query = self.query.clone();
        query.push(("limit", PAGE.to_owned()));
        query.push(("wait", WAIT.to_owned()));
        query.extend(self.after.iter().map(|after| ("after", after.clone())));
        let page = self.client.ca().events(self.session, &query)?;
        let entries = page.items.into_iter().map(Entry::new).collect::<Result<Vec<_>>>()?;
        let stands_still = page.more && page.next == self.after;
        if stands_still {
            return Err(Error::Untrusted(
                "the CA says that there is more of its ledger and gives none: tell its operator".into(),
            ));
        }
        self.after = page.next.or_else(|| self.after.take());
        Ok(entries)
    }
}

/// The cursor behind the newest event, whatever it is. None where there is none.
pub(super) fn newest(client: &Client, session: &Session) -> Result<Option<String>> {
    let page = client.ca().events(session, &[("order", "desc".to_owned()), ("limit", "1".to_owned())])?;
    Ok(page.items.first().map(|item| item.index.to_string()))
}
