//! The pass over the state: every row stands on an event, which says the same as the row.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use jit_ssh_core::identity::Claims;
use jit_ssh_proto::event::{Actor, Event, Outcome, Reading, What};
use jit_ssh_proto::{MAX_CLOCK_SKEW_SECONDS, Salt, Span, Timestamp, UserKey};
use sha2::{Digest, Sha256};

use super::events::{Revoked, Told};
use super::{PAGE, Pass, differences};
use crate::store::engine::{EngineError, Kind, Lookup, Row, Value, first};

const STANDS_ON: Lookup = Lookup {
    text: "SELECT leaf, kind, body, authority, serial, salt, hash FROM events WHERE leaf {}",
    key: Kind::Int,
};

const SESSIONS: &str = "SELECT leaf, id, issuer, sub, replay, opened, expires, ended, session_key, claims, keep_until, sid \
    FROM sessions WHERE leaf > $1 ORDER BY leaf LIMIT $2";
const REQUESTS: &str = "SELECT leaf, id, session, issuer, sub, time, asked, refused, grant_id, not_before, not_after, \
    policy_digest \
    FROM requests WHERE id > $1 ORDER BY id LIMIT $2";
const CERTIFICATES: &str = "SELECT leaf, authority, serial, grant_id, session, fingerprint, tbs_sha256, valid_after, \
    valid_before, revoked, request \
    FROM certificates WHERE authority = $1 AND serial > $2 ORDER BY serial LIMIT $3";
const NEXT_AUTHORITY: &str =
    "SELECT authority FROM certificates WHERE authority > $1 ORDER BY authority LIMIT $2";
const IDENTITIES: &str =
    "SELECT leaf, name, issuer, sub FROM identities WHERE name > $1 ORDER BY name LIMIT $2";
const GRANTS: Lookup = Lookup { text: "SELECT id, grant_id FROM requests WHERE id {}", key: Kind::Text };
const SERIALS: &str = "SELECT authority, next FROM serials";
const FLOOR: &str = "SELECT value FROM meta WHERE name = 'floor'";

/// What a row stands on.
enum Ground {
    /// This event.
    Event(Box<Event>),
    /// An erased one, of this kind, with authority and serial if it was a certificate's.
    Erased(String, Option<(String, u64)>),
    /// One that says nothing that could be compared: of a later version, or changed, which was found before.
    Unreadable,
}

type Grounds = HashMap<u64, Ground>;

/// How a kind of row is read and compared.
struct Table {
    name: &'static str,
    /// The kind of event that its rows stand on.
    kind: &'static str,
    /// What names a row, for messages.
    key: fn(&Row) -> String,
    compare: fn(&Told, &Row, u64, &Event) -> Option<Vec<String>>,
}

const SESSION: Table =
    Table { name: "sessions", kind: "session.opened", key: |row| text(row, 1), compare: Told::session };
const REQUEST: Table =
    Table { name: "requests", kind: "request.decided", key: |row| text(row, 1), compare: Told::request };
const CERTIFICATE: Table = Table {
    name: "certificates",
    kind: "certificate.issued",
    key: |row| format!("{}/{}", text(row, 1), super::shown(row.0.get(2))),
    compare: Told::certificate,
};
const IDENTITY: Table =
    Table { name: "identities", kind: "session.opened", key: |row| text(row, 1), compare: Told::identity };

impl Pass<'_> {
    /// Reads every table of state.
    pub(super) fn state(&mut self) -> Result<(), EngineError> {
        let page = || Value::from(PAGE);
        let mut after = Value::Int(-1);
        while let Some(last) = self.page(&SESSION, SESSIONS, &[after.clone(), page()], 0)? {
            after = last;
        }
        for (table, text) in [(&REQUEST, REQUESTS), (&IDENTITY, IDENTITIES)] {
            let mut after = Value::from("");
            while let Some(last) = self.page(table, text, &[after.clone(), page()], 1)? {
                after = last;
            }
        }
        let mut authority = String::new();
        while let Some(row) = first(self.conn, NEXT_AUTHORITY, &[authority.clone().into(), Value::Int(1)])? {
            authority = row.text(0)?.to_owned();
            let mut after = Value::Int(-1);
            let of = || Value::from(authority.clone());
            while let Some(last) = self.page(&CERTIFICATE, CERTIFICATES, &[of(), after.clone(), page()], 2)? {
                after = last;
            }
        }
        self.serials()?;
        self.identities()?;
        self.floor()
    }

    /// One page of a table; the last row's key, unless there are no rows.
    fn page(
        &mut self,
        table: &Table,
        text: &str,
        args: &[Value],
        key: usize,
    ) -> Result<Option<Value>, EngineError> {
        let rows = self.conn.select(text, args)?;
        let grounds = self.grounds(&rows)?;
        for row in &rows {
            let at = format!("{} row {}", table.name, (table.key)(row));
            let Ok(leaf) = row.number(0) else {
                self.report.find(at, "it stands on no leaf");
                continue;
            };
            let differences = match grounds.get(&leaf) {
                None => Some(vec![format!("it stands on leaf {leaf}, which is not there")]),
                Some(Ground::Unreadable) => Some(Vec::new()),
                Some(Ground::Erased(kind, certificate)) => {
                    let same = match certificate {
                        Some((authority, serial)) => {
                            text_is(row, 1, authority) && row.number(2) == Ok(*serial)
                        }
                        None => true,
                    };
                    if kind == table.kind && same { Some(Vec::new()) } else { None }
                }
                Some(Ground::Event(event)) => (table.compare)(&self.told, row, leaf, event),
            };
            let differences = differences
                .unwrap_or_else(|| vec![format!("it stands on leaf {leaf}, which is no event of it")]);
            for difference in differences {
                self.report.find(&at, difference);
            }
            self.report.rows = self.report.rows.saturating_add(1);
        }
        if table.kind == CERTIFICATE.kind {
            self.requests_of(&rows, &grounds)?;
        }
        Ok(rows.last().and_then(|row| row.0.get(key)).cloned())
    }

    /// The events that these rows stand on.
    fn grounds(&mut self, rows: &[Row]) -> Result<Grounds, EngineError> {
        let mut leaves: Vec<u64> = rows.iter().filter_map(|row| row.number(0).ok()).collect();
        leaves.sort_unstable();
        leaves.dedup();
        let mut grounds = Grounds::new();
        for row in self.conn.look_up(&STANDS_ON, leaves.into_iter().map(Value::from).collect())? {
            let ground = match row.maybe_bytes(2) {
                Ok(Some(body)) if is_whole(&row, body) => match Reading::of(body) {
                    Ok(Reading::Known(event)) => Ground::Event(event),
                    Ok(Reading::Unknown(..)) | Err(_) => Ground::Unreadable,
                },
                Ok(Some(_)) | Err(_) => Ground::Unreadable,
                Ok(None) => {
                    let certificate = row.maybe_text(3)?.map(str::to_owned).zip(row.maybe_number(4)?);
                    Ground::Erased(row.text(1)?.to_owned(), certificate)
                }
            };
            grounds.insert(row.number(0)?, ground);
        }
        Ok(grounds)
    }

    /// The request of a certificate is not in its event, but its grant is, and the request says whose grant that is.
    fn requests_of(&mut self, rows: &[Row], grounds: &Grounds) -> Result<(), EngineError> {
        let mut ids: Vec<String> = rows.iter().map(|row| text(row, 10)).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut grants = HashMap::new();
        for row in self.conn.look_up(&GRANTS, ids.into_iter().map(Value::from).collect())? {
            grants.insert(row.text(0)?.to_owned(), row.maybe_text(1)?.map(str::to_owned));
        }
        for row in rows {
            let Some(Ground::Event(event)) = row.number(0).ok().and_then(|leaf| grounds.get(&leaf)) else {
                continue;
            };
            let What::CertificateIssued(issued) = &event.what else { continue };
            let request = text(row, 10);
            // A request that has gone was one of the grant when it was written.
            if let Some(grant) = grants.get(&request)
                && grant.as_deref() != Some(issued.grant.to_string().as_str())
            {
                let at = format!("certificates row {}", (CERTIFICATE.key)(row));
                self.report.find(at, format!("its request {request} is not the one of its grant"));
            }
        }
        Ok(())
    }

    /// The next serials are those after the last given.
    fn serials(&mut self) -> Result<(), EngineError> {
        let mut expected = std::mem::take(&mut self.told.serials);
        for row in self.conn.select(SERIALS, &[])? {
            let authority = row.text(0)?;
            let at = format!("serials row {authority}");
            let expected = expected.remove(authority).unwrap_or(1);
            if row.number(1) != Ok(expected) {
                let found = super::shown(row.0.get(1));
                self.report.find(at, format!("its column next says {found}, but the events say {expected}"));
            }
            self.report.rows = self.report.rows.saturating_add(1);
        }
        for (authority, next) in expected {
            self.report.find(
                format!("serials row {authority}"),
                format!("it is missing, but the events say {next}"),
            );
        }
        Ok(())
    }

    /// Calls and tokens from before the last restoration stay refused.
    fn floor(&mut self) -> Result<(), EngineError> {
        let expected = self.told.restored.last().map(|(_, time)| floor_of(*time).seconds().to_string());
        let found = first(self.conn, FLOOR, &[])?.map(|row| text(&row, 0));
        if found != expected {
            let shown = |floor: Option<String>| floor.unwrap_or_else(|| "nothing".to_owned());
            self.report.find(
                "meta row floor",
                format!("it says {}, but the events say {}", shown(found), shown(expected)),
            );
        }
        Ok(())
    }
}

impl Told {
    fn session(&self, row: &Row, leaf: u64, event: &Event) -> Option<Vec<String>> {
        let (Actor::Identity { issuer, sub, name: _ }, What::SessionOpened(opened)) =
            (&event.actor, &event.what)
        else {
            return None;
        };
        let id = opened.session.to_string();
        let restored = self.restored.iter().find(|(restored, _)| *restored > leaf).map(|(_, time)| *time);
        let ended = self.ended.get(&id).copied().or(restored);
        let mut wanted = vec![
            ("id", id.into()),
            ("issuer", issuer.to_string().into()),
            ("sub", sub.clone().into()),
            ("replay", HEXLOWER.decode(opened.token.as_bytes()).unwrap_or_default().into()),
            ("opened", event.time.into()),
            ("expires", opened.expires.into()),
        ];
        wanted.push(("ended", ended.into()));
        let mut differences = said(row, leaf, &wanted);
        match row.parsed::<UserKey>(8) {
            Ok(key) if key.fingerprint() == opened.key => {}
            Ok(key) => differences.push(format!(
                "its column session_key has the fingerprint {}, but leaf {leaf} says {}",
                key.fingerprint(),
                opened.key
            )),
            Err(e) => differences.push(format!("its session_key: {e}")),
        }
        // Events of before there was this field say nothing about it.
        let kept = row.text(9).unwrap_or_default();
        let claims = HEXLOWER.encode(&Sha256::digest(kept));
        let recorded = self.claims.get(&opened.session.to_string()).or(opened.claims.as_ref());
        if recorded.is_some_and(|recorded| *recorded != claims) {
            differences.push(format!(
                "its column claims is not what leaf {leaf}, or the last session.revalidated of it, has the hash of"
            ));
        }
        let sid = serde_json::from_str::<Claims>(kept).ok().and_then(|claims| claims.sid);
        if row.maybe_text(11).ok() != Some(sid.as_deref()) {
            differences.push("its column sid is not what its claims say".to_owned());
        }
        if row.time(10).is_ok_and(|keep| keep < opened.expires) || row.time(10).is_err() {
            differences.push("its column keep_until lets it go before it expires".to_owned());
        }
        Some(differences)
    }

    fn request(&self, row: &Row, leaf: u64, event: &Event) -> Option<Vec<String>> {
        let (Actor::Identity { issuer, sub, name: _ }, What::RequestDecided(decided)) =
            (&event.actor, &event.what)
        else {
            return None;
        };
        let (refused, grant, from, to) = match &decided.outcome {
            Outcome::Granted { grant, not_before, not_after, policies: _ } => {
                (None, Some(grant.to_string()), Some(*not_before), Some(*not_after))
            }
            Outcome::Denied { code, policies: _ } => (Some(code.as_str()), None, None, None),
        };
        let wanted = [
            ("id", decided.request.to_string().into()),
            ("session", decided.session.to_string().into()),
            ("issuer", issuer.to_string().into()),
            ("sub", sub.clone().into()),
            ("time", event.time.into()),
            ("asked", serde_json::to_string(&decided.asked).unwrap_or_default().into()),
            ("refused", refused.into()),
            ("grant_id", grant.into()),
            ("not_before", from.into()),
            ("not_after", to.into()),
            ("policy_digest", decided.policy_digest.clone().into()),
        ];
        Some(said(row, leaf, &wanted))
    }

    fn certificate(&self, row: &Row, leaf: u64, event: &Event) -> Option<Vec<String>> {
        let What::CertificateIssued(issued) = &event.what else { return None };
        let authority = issued.authority.to_string();
        let covers = |revoked: &&Revoked| {
            revoked.leaf > leaf
                && revoked.authority == authority
                && (revoked.from..=revoked.through).contains(&issued.serial)
        };
        let revoked = self.revoked.iter().find(covers).map(|revoked| revoked.reason.clone());
        let wanted = [
            ("authority", authority.clone().into()),
            ("serial", issued.serial.into()),
            ("grant_id", issued.grant.to_string().into()),
            ("session", issued.session.to_string().into()),
            ("fingerprint", issued.key.fingerprint().into()),
            ("tbs_sha256", issued.tbs_sha256.clone().into()),
            ("valid_after", issued.valid_after.into()),
            ("valid_before", issued.valid_before.into()),
            ("revoked", revoked.into()),
        ];
        Some(said(row, leaf, &wanted))
    }

    fn identity(&self, row: &Row, leaf: u64, event: &Event) -> Option<Vec<String>> {
        let (Actor::Identity { issuer, sub, name }, What::SessionOpened(opened)) =
            (&event.actor, &event.what)
        else {
            return None;
        };
        let its = |said: &jit_ssh_proto::Name| text_is(row, 1, said.as_str());
        if !its(name) && !opened.login.as_ref().is_some_and(its) {
            return None;
        }
        let wanted = [
            ("name", row.0.get(1).cloned().unwrap_or(Value::Null)),
            ("issuer", issuer.to_string().into()),
            ("sub", sub.clone().into()),
        ];
        let mut differences = said(row, leaf, &wanted);
        if self.identities.is_over(row.text(1).unwrap_or_default(), leaf) {
            differences.push(format!("it stands on leaf {leaf}, after which it was released"));
        }
        Some(differences)
    }
}

/// Until when calls and tokens are refused after a restoration: what was signed before it may have been used up in
/// what was lost, by a clock that was ahead as far as it may be.
pub(in crate::store) fn floor_of(restored: Timestamp) -> Timestamp {
    restored.plus(Span::from_seconds(MAX_CLOCK_SKEW_SECONDS))
}

/// Whether an event is what its leaf is of.
fn is_whole(row: &Row, body: &[u8]) -> bool {
    match (row.hash(5), row.hash(6)) {
        (Ok(salt), Ok(hash)) => Event::leaf(&Salt::from_bytes(salt), body) == hash,
        (Err(_), _) | (_, Err(_)) => false,
    }
}

fn said(row: &Row, leaf: u64, wanted: &[(&'static str, Value)]) -> Vec<String> {
    differences(row, 1, wanted, &format!("leaf {leaf} says"))
}

fn text(row: &Row, at: usize) -> String {
    row.text(at).unwrap_or_default().to_owned()
}

fn text_is(row: &Row, at: usize, wanted: &str) -> bool {
    row.text(at) == Ok(wanted)
}
