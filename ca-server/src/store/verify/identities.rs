//! Who may log in, what names stand for, and whose they were: what events say of it, and the rows that have to say
//! the same.

use std::collections::BTreeMap;

use jit_ssh_proto::event::{Event, Reading, What};

use super::Pass;
use crate::store::engine::{EngineError, Row};
use crate::store::facts::identity_key;

const RELEASES: &str = "SELECT leaf, body FROM events WHERE kind = 'login.released' ORDER BY leaf";
const DISABLED: &str = "SELECT id, reason, time, leaf FROM disabled ORDER BY id";
const ISSUERS: &str = "SELECT name, url, leaf FROM issuers ORDER BY name";

/// What events have told of identities. All of it is written by operators, so it is little.
#[derive(Default)]
pub(super) struct Identities {
    /// Name → the last leaf that released it. Read before the pass: what was taken before that has no row any more.
    released: BTreeMap<String, u64>,
    /// Whose a name was that is to be released.
    past: BTreeMap<String, (String, String)>,
    /// Identity → reason, time and leaf.
    disabled: BTreeMap<String, (String, u64, u64)>,
    /// Issuer's name → URL and leaf.
    issuers: BTreeMap<String, (String, u64)>,
}

impl Identities {
    /// Whether whoever had this name at that leaf lost it later.
    pub(super) fn is_over(&self, name: &str, leaf: u64) -> bool {
        self.released.get(name).is_some_and(|released| *released > leaf)
    }
}

impl Pass<'_> {
    /// Reads which names were released. That these rows are what their leaves are of is seen in the pass.
    pub(super) fn releases(&mut self) -> Result<(), EngineError> {
        for row in self.conn.select(RELEASES, &[])? {
            let reading = row.maybe_bytes(1)?.map(Reading::of);
            if let Some(Ok(Reading::Known(event))) = reading
                && let What::LoginReleased(released) = event.what
            {
                self.told.identities.released.insert(released.login.to_string(), row.number(0)?);
            }
        }
        Ok(())
    }

    /// A name was somebody's before it was released: all that time the same one's.
    pub(super) fn past_owner(&mut self, at: &str, name: &str, issuer: &str, sub: &str) {
        let owner = (issuer.to_owned(), sub.to_owned());
        let first = self.told.identities.past.entry(name.to_owned()).or_insert_with(|| owner.clone());
        if *first != owner {
            self.report.find(at, format!("it has the name {name}, which was another's"));
        }
    }

    /// What an event says of identities.
    pub(super) fn identity_event(&mut self, leaf: u64, at: &str, event: &Event) {
        let told = &mut self.told.identities;
        let fault = match &event.what {
            What::IdentityDisabled(e) => {
                let entry = (e.reason.to_string(), event.time.seconds(), leaf);
                let before = told.disabled.insert(identity_key(e.issuer.as_str(), &e.sub), entry);
                before.map(|(_, _, first)| format!("it disables an identity that leaf {first} had disabled"))
            }
            What::IdentityEnabled(e) => {
                let before = told.disabled.remove(&identity_key(e.issuer.as_str(), &e.sub));
                before.is_none().then(|| "it enables an identity that was not disabled".to_owned())
            }
            What::LoginReleased(e) => {
                let owner = told.past.remove(e.login.as_str());
                (owner != Some((e.issuer.to_string(), e.sub.clone())))
                    .then(|| format!("it releases {}, which was not that identity's", e.login))
            }
            What::IssuerBound(e) => {
                let before = told.issuers.insert(e.issuer.to_string(), (e.url.clone(), leaf));
                let before = before.map(|(url, _)| url);
                (before != e.previous).then(|| format!("it says that {} was another issuer before", e.issuer))
            }
            What::CaInitialised(_)
            | What::PolicyLoaded(_)
            | What::SessionOpened(_)
            | What::SessionRefused(_)
            | What::SessionEnded(_)
            | What::SessionRevalidated(_)
            | What::RequestDecided(_)
            | What::CertificateIssued(_)
            | What::CertificateRevoked(_)
            | What::KeyUsed(_)
            | What::KeyAdded(_)
            | What::ConfigChanged(_)
            | What::LogExported(_)
            | What::EventErased(_)
            | What::StoreRestored(_)
            | What::StoreMoved(_) => None,
        };
        if let Some(fault) = fault {
            self.report.find(at, fault);
        }
    }

    /// The rows that say who may log in, and what issuers' names stand for, are what the events say: no more, no fewer.
    pub(super) fn identities(&mut self) -> Result<(), EngineError> {
        let told = std::mem::take(&mut self.told.identities);
        let disabled = told.disabled.into_iter().map(|(id, (reason, time, leaf))| {
            (id, vec![("reason", reason), ("time", time.to_string()), ("leaf", leaf.to_string())])
        });
        self.same_rows("disabled", DISABLED, disabled.collect())?;
        let issuers = told.issuers.into_iter();
        let issuers =
            issuers.map(|(name, (url, leaf))| (name, vec![("url", url), ("leaf", leaf.to_string())]));
        self.same_rows("issuers", ISSUERS, issuers.collect())
    }

    fn same_rows(
        &mut self,
        table: &str,
        text: &str,
        mut expected: BTreeMap<String, Vec<(&'static str, String)>>,
    ) -> Result<(), EngineError> {
        for row in self.conn.select(text, &[])? {
            let id = row.text(0)?;
            let at = format!("{table} row {id}");
            self.report.rows = self.report.rows.saturating_add(1);
            let Some(columns) = expected.remove(id) else {
                self.report.find(at, "no event says so");
                continue;
            };
            for (place, (column, wanted)) in (1..).zip(columns) {
                let found = said(&row, place);
                if found != wanted {
                    self.report
                        .find(&at, format!("its column {column} says {found}, but the events say {wanted}"));
                }
            }
        }
        for id in expected.into_keys() {
            self.report.find(format!("{table} row {id}"), "it is missing, though an event says so");
        }
        Ok(())
    }
}

/// A column as it is compared.
fn said(row: &Row, at: usize) -> String {
    match (row.maybe_text(at), row.maybe_number(at)) {
        (Ok(Some(text)), _) => text.to_owned(),
        (_, Ok(Some(number))) => number.to_string(),
        (_, _) => "nothing".to_owned(),
    }
}
