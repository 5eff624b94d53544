//! The pass over the ledger: each leaf by itself, the order of them, the tree over them, and the rows of state that an
//! event demands to be there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jit_ssh_proto::event::{Actor, Event, Outcome, Reading, What};
use jit_ssh_proto::{CaId, Salt, Timestamp};

use super::identities::Identities;
use super::{KEPT_AT_LEAST, Known, PAGE, Pass, Progress, Verify, differences};
use crate::store::engine::{EngineError, Kind, Lookup, Row, Value};
use crate::store::event_row::{INDEX_COLUMNS, index_cells};
use crate::store::tree::{NewTile, Tree};

const EVENTS: &str = "SELECT leaf, time, kind, issuer, sub, name, session, request, grant_id, authority, serial, \
    body, salt, hash \
    FROM events WHERE leaf >= $1 ORDER BY leaf LIMIT $2";
const BEFORE_ALL: &str = "SELECT leaf FROM events WHERE leaf < $1 ORDER BY leaf LIMIT $2";
const TILES: &str = "SELECT idx, hash FROM tiles WHERE level = $1 AND idx >= $2 AND idx <= $3 ORDER BY idx";
const SURPLUS_TILES: &str =
    "SELECT idx FROM tiles WHERE level = $1 AND (idx < $4 OR idx >= $2) ORDER BY idx LIMIT $3";
const OTHER_TILES: &str =
    "SELECT level, idx FROM tiles WHERE level < $1 OR level > $2 ORDER BY level, idx LIMIT $3";

const SESSIONS: Lookup = Lookup { text: "SELECT id FROM sessions WHERE id {}", key: Kind::Text };
const REQUESTS: Lookup = Lookup { text: "SELECT id FROM requests WHERE id {}", key: Kind::Text };
const NAMES: Lookup =
    Lookup { text: "SELECT name, issuer, sub, leaf FROM identities WHERE name {}", key: Kind::Text };
const CERTIFICATES: &str =
    "SELECT serial FROM certificates WHERE authority = $1 AND serial >= $2 AND serial <= $3";

/// The highest level of tiles: 256^8 leaves.
const LEVELS: u64 = 8;

/// Where the columns are.
const INDEX_AT: usize = 3;
const BODY_AT: usize = 11;
const SALT_AT: usize = 12;
const HASH_AT: usize = 13;

/// What the events up to here have told, as far as rows of state depend on it.
pub(super) struct Told {
    ca: CaId,
    /// The time of the last event: what is kept is judged by it.
    pub(super) now: Timestamp,
    time: Timestamp,
    tree: Tree,
    /// Whether no leaf was missing so far.
    whole: bool,
    /// Leaves without a body for which no event has given a reason yet.
    erased: BTreeSet<u64>,
    /// Authority → its next serial.
    pub(super) serials: BTreeMap<String, u64>,
    /// Of sessions that still have a row: when they ended.
    pub(super) ended: HashMap<String, Timestamp>,
    /// Of sessions that still have a row: the hash of their claims, where these changed.
    pub(super) claims: HashMap<String, String>,
    /// Leaf and time of each restoration.
    pub(super) restored: Vec<(u64, Timestamp)>,
    /// Certificates that were revoked.
    pub(super) revoked: Vec<Revoked>,
    /// Who may log in, and what became of names.
    pub(super) identities: Identities,
}

/// Serials that were revoked.
pub(super) struct Revoked {
    pub(super) leaf: u64,
    pub(super) authority: String,
    pub(super) from: u64,
    pub(super) through: u64,
    pub(super) reason: String,
}

impl Told {
    pub(super) fn new(ca: CaId, now: Timestamp) -> Self {
        Self {
            ca,
            now,
            time: Timestamp::default(),
            tree: Tree::default(),
            whole: true,
            erased: BTreeSet::new(),
            serials: BTreeMap::new(),
            ended: HashMap::new(),
            claims: HashMap::new(),
            restored: Vec::new(),
            revoked: Vec::new(),
            identities: Identities::default(),
        }
    }
}

/// The rows that the events of one page demand or change.
#[derive(Default)]
struct Demands {
    /// Session or request → its leaf.
    sessions: BTreeMap<String, u64>,
    requests: BTreeMap<String, u64>,
    /// Authority and serial → its leaf.
    certificates: BTreeMap<String, BTreeMap<u64, u64>>,
    /// Name → issuer, `sub` and leaf of the first of the page that has it.
    names: BTreeMap<String, (String, String, u64)>,
    /// Sessions that ended.
    ended: BTreeMap<String, Timestamp>,
    /// Sessions whose claims changed: the hash of those from then on.
    claims: BTreeMap<String, String>,
    tiles: Vec<NewTile>,
}

impl Pass<'_> {
    /// Reads the whole ledger.
    pub(super) fn events(
        &mut self,
        size: u64,
        verify: &Verify,
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        self.releases()?;
        for row in self.conn.select(BEFORE_ALL, &[Value::Int(0), Value::from(PAGE)])? {
            self.report.find(format!("leaf {}", super::shown(row.0.first())), "no leaf has such an index");
        }
        let mut known = verify.known.clone();
        known.sort_by_key(|known| known.head.size);
        let mut known = known.into_iter().peekable();
        self.agree(&mut known)?;
        let mut next = 0;
        loop {
            let rows = self.conn.select(EVENTS, &[Value::from(next), Value::from(PAGE)])?;
            if rows.is_empty() {
                break;
            }
            let mut demands = Demands::default();
            for row in &rows {
                let leaf = row.number(0)?;
                if leaf > next {
                    self.told.whole = false;
                    let last = leaf.saturating_sub(1);
                    if last == next {
                        self.report.find(format!("leaf {next}"), "is missing");
                    } else {
                        self.report.find(format!("leaves {next} to {last}"), "are missing");
                    }
                }
                next = leaf.saturating_add(1);
                self.leaf(leaf, row, &mut demands);
                self.agree(&mut known)?;
            }
            self.meet(demands)?;
            progress(next, size);
        }
        self.report.leaves = next;
        self.end(known)
    }

    /// One leaf by itself.
    fn leaf(&mut self, leaf: u64, row: &Row, demands: &mut Demands) {
        let at = format!("leaf {leaf}");
        match row.time(1) {
            Ok(time) if time >= self.told.time => self.told.time = time,
            Ok(time) => self.report.find(
                &at,
                format!(
                    "its time is {}, before the {} of an earlier one",
                    time.seconds(),
                    self.told.time.seconds()
                ),
            ),
            Err(e) => self.report.find(&at, format!("its time {e}")),
        }
        let hash = match row.hash(HASH_AT) {
            Ok(hash) => hash,
            Err(e) => {
                self.report.find(&at, format!("its hash: {e}"));
                self.told.whole = false;
                return;
            }
        };
        if self.told.whole {
            self.told.tree.push(&hash, &mut demands.tiles);
        }
        match (row.maybe_bytes(BODY_AT), row.maybe_bytes(SALT_AT)) {
            (Ok(Some(body)), Ok(Some(salt))) => match salt.try_into() {
                Ok(salt) if Event::leaf(&Salt::from_bytes(salt), body) == hash => {
                    self.body(leaf, &at, row, body, demands);
                }
                Ok(_) | Err(_) => self.report.find(&at, "its body and salt are not what its hash is of"),
            },
            (Ok(None), Ok(None)) => self.erased(leaf, &at, row),
            (Ok(None), Ok(Some(_))) => self.report.find(&at, "its body is gone, but its salt is there"),
            (Ok(Some(_)), Ok(None)) => self.report.find(&at, "its salt is gone, but its body is there"),
            (Err(e), _) | (_, Err(e)) => self.report.find(&at, format!("its body or salt: {e}")),
        }
    }

    /// An event whose bytes are what the leaf is of.
    fn body(&mut self, leaf: u64, at: &str, row: &Row, body: &[u8], demands: &mut Demands) {
        let reading = match Reading::of(body) {
            Ok(reading) => reading,
            Err(e) => return self.report.find(at, format!("its body {e}")),
        };
        let common = reading.common();
        let mut wanted = vec![("time", Value::from(common.time)), ("kind", Value::from(common.kind))];
        match reading {
            Reading::Known(event) => {
                if event.canonical().ok().as_deref() != Some(body) {
                    self.report.find(at, "its body is not in canonical form");
                }
                wanted.extend(INDEX_COLUMNS.into_iter().zip(index_cells(&event)));
                self.event(leaf, at, &event, demands);
            }
            Reading::Unknown(..) => self.report.unknown = self.report.unknown.saturating_add(1),
        }
        for difference in differences(row, 1, &wanted, "its body says") {
            self.report.find(at, difference);
        }
    }

    /// What is left of an erased event tells nobody's name, and keeps its place among the serials.
    fn erased(&mut self, leaf: u64, at: &str, row: &Row) {
        self.report.erased = self.report.erased.saturating_add(1);
        self.told.erased.insert(leaf);
        // Authority and serial stay: serials are counted, and tell of nobody.
        for (column, value) in INDEX_COLUMNS.into_iter().zip(row.0.iter().skip(INDEX_AT)).take(6) {
            if *value != Value::Null {
                self.report.find(at, format!("it is erased, but its column {column} still says something"));
            }
        }
        if row.text(2) == Ok("certificate.issued") {
            match (row.text(9), row.number(10)) {
                (Ok(authority), Ok(serial)) => self.serial(at, authority.to_owned(), serial),
                (Err(e), _) | (_, Err(e)) => self.report.find(at, format!("its serial: {e}")),
            }
        }
    }

    /// Serials are given one after the other.
    fn serial(&mut self, at: &str, authority: String, serial: u64) {
        let next = self.told.serials.get(&authority).copied().unwrap_or(1);
        if serial != next {
            self.report
                .find(at, format!("it has the serial {serial} of {authority}, where {next} comes next"));
        }
        self.told.serials.insert(authority, next.max(serial.saturating_add(1)));
    }

    /// What an event does to the state.
    fn event(&mut self, leaf: u64, at: &str, event: &Event, demands: &mut Demands) {
        match &event.what {
            What::CaInitialised(made) if made.ca_id != self.told.ca => {
                self.report.find(at, format!("it is of another CA, {}", made.ca_id));
            }
            What::SessionOpened(opened) => {
                if let Actor::Identity { issuer, sub, name } = &event.actor {
                    for name in std::iter::once(name).chain(&opened.login) {
                        if self.told.identities.is_over(name.as_str(), leaf) {
                            self.past_owner(at, name.as_str(), issuer.as_str(), sub);
                            continue;
                        }
                        let owner = (issuer.to_string(), sub.clone(), leaf);
                        demands.names.entry(name.to_string()).or_insert(owner);
                    }
                }
                if self.must_be_there(opened.expires) {
                    demands.sessions.insert(opened.session.to_string(), leaf);
                }
            }
            What::SessionEnded(ended) => {
                demands.ended.insert(ended.session.to_string(), event.time);
            }
            What::SessionRevalidated(now) => {
                demands.claims.insert(now.session.to_string(), now.claims.clone());
            }
            What::IdentityDisabled(_)
            | What::IdentityEnabled(_)
            | What::LoginReleased(_)
            | What::IssuerBound(_) => self.identity_event(leaf, at, event),
            What::RequestDecided(decided) => {
                let until = match &decided.outcome {
                    Outcome::Granted { not_after, .. } => event.time.max(*not_after),
                    Outcome::Denied { .. } => event.time,
                };
                if self.must_be_there(until) {
                    demands.requests.insert(decided.request.to_string(), leaf);
                }
            }
            What::CertificateIssued(issued) => {
                self.serial(at, issued.authority.to_string(), issued.serial);
                if self.must_be_there(issued.valid_before) {
                    let of = demands.certificates.entry(issued.authority.to_string()).or_default();
                    of.insert(issued.serial, leaf);
                }
            }
            What::CertificateRevoked(revoked) => self.told.revoked.push(Revoked {
                leaf,
                authority: revoked.authority.to_string(),
                from: revoked.serial,
                through: revoked.through.unwrap_or(revoked.serial),
                reason: revoked.reason.to_string(),
            }),
            What::EventErased(erased) => {
                if !self.told.erased.remove(&erased.leaf) {
                    self.report
                        .find(at, format!("it says that leaf {} was erased, which it was not", erased.leaf));
                }
            }
            What::StoreRestored(restored) => {
                for jump in &restored.serials {
                    let authority = jump.authority.to_string();
                    let next = self.told.serials.get(&authority).copied().unwrap_or(1);
                    if jump.from != next || jump.to < next {
                        self.report.find(
                            at,
                            format!(
                                "it has {authority} jump from {} to {}, where {next} comes next",
                                jump.from, jump.to
                            ),
                        );
                    }
                    self.told.serials.insert(authority, next.max(jump.to));
                }
                self.told.restored.push((leaf, event.time));
            }
            What::CaInitialised(_)
            | What::PolicyLoaded(_)
            | What::SessionRefused(_)
            | What::KeyUsed(_)
            | What::KeyAdded(_)
            | What::ConfigChanged(_)
            | What::LogExported(_)
            | What::StoreMoved(_) => {}
        }
    }

    /// Compares the tree with what is known of it at its present size.
    fn agree(
        &mut self,
        known: &mut std::iter::Peekable<impl Iterator<Item = Known>>,
    ) -> Result<(), EngineError> {
        while self.told.whole
            && let Some(known) = known.next_if(|known| known.head.size == self.told.tree.size())
        {
            let head = self.told.tree.head()?;
            if head.root != known.head.root {
                self.report.find(
                    known.from,
                    format!("another history: of the first {} leaves it has another root", head.size),
                );
            }
        }
        Ok(())
    }

    /// After the last leaf.
    fn end(&mut self, known: impl Iterator<Item = Known>) -> Result<(), EngineError> {
        for leaf in std::mem::take(&mut self.told.erased) {
            self.report
                .find(format!("leaf {leaf}"), "its body is gone, and no event says that it was erased");
        }
        for known in known {
            if self.told.whole && known.reached {
                let there = self.report.leaves;
                let what = format!("it has {} leaves, but only {there} are there", known.head.size);
                self.report.find(known.from, what);
            }
        }
        if !self.told.whole {
            self.report.find(
                "ledger",
                "it has no root while leaves are missing: tiles and checkpoints were not compared",
            );
            return Ok(());
        }
        self.report.head = Some(self.told.tree.head()?);
        self.surplus_tiles()
    }

    /// Tiles that no leaves are there for.
    fn surplus_tiles(&mut self) -> Result<(), EngineError> {
        let size = self.told.tree.size();
        let limit = Value::from(PAGE);
        for level in 1..=LEVELS {
            let complete =
                size.checked_shr(u32::try_from(level.saturating_mul(8)).unwrap_or(u32::MAX)).unwrap_or(0);
            let args = [Value::from(level), Value::from(complete), limit.clone(), Value::Int(0)];
            for row in self.conn.select(SURPLUS_TILES, &args)? {
                let at = format!("tile {level}/{}", super::shown(row.0.first()));
                self.report.find(at, "it is there, but not all of its leaves are");
            }
        }
        for row in self.conn.select(OTHER_TILES, &[Value::Int(1), Value::from(LEVELS), limit])? {
            let at = format!("tile {}/{}", super::shown(row.0.first()), super::shown(row.0.get(1)));
            self.report.find(at, "no tree has such a tile");
        }
        Ok(())
    }

    /// Sees that the rows which a page of events demands are there.
    fn meet(&mut self, demands: Demands) -> Result<(), EngineError> {
        self.tiles(&demands.tiles)?;
        let why = "it is missing, though its event (leaf";
        let kept = format!("is too new for it to be gone (rows are kept for {KEPT_AT_LEAST} at least)");
        for (table, lookup, wanted) in
            [("sessions", &SESSIONS, &demands.sessions), ("requests", &REQUESTS, &demands.requests)]
        {
            let there = self.ids(lookup, wanted.keys())?;
            for (id, leaf) in wanted.iter().filter(|(id, _)| !there.contains(*id)) {
                self.report.find(format!("{table} row {id}"), format!("{why} {leaf}) {kept}"));
            }
        }
        for (authority, wanted) in &demands.certificates {
            let (Some((first, _)), Some((last, _))) = (wanted.first_key_value(), wanted.last_key_value())
            else {
                continue;
            };
            let args = [authority.clone().into(), Value::from(*first), Value::from(*last)];
            let rows = self.conn.select(CERTIFICATES, &args)?;
            let there = rows.iter().map(|row| row.number(0)).collect::<Result<BTreeSet<_>, _>>()?;
            for (serial, leaf) in wanted.iter().filter(|(serial, _)| !there.contains(serial)) {
                let at = format!("certificates row {authority}/{serial}");
                self.report.find(at, format!("{why} {leaf}) {kept}"));
            }
        }
        let there = self.ids(&SESSIONS, demands.ended.keys().chain(demands.claims.keys()))?;
        self.told.ended.extend(demands.ended.into_iter().filter(|(id, _)| there.contains(id)));
        self.told.claims.extend(demands.claims.into_iter().filter(|(id, _)| there.contains(id)));
        self.names(&demands.names)
    }

    /// Names stay whose they were first.
    fn names(&mut self, wanted: &BTreeMap<String, (String, String, u64)>) -> Result<(), EngineError> {
        let keys = wanted.keys().map(|name| name.clone().into()).collect();
        let mut there = BTreeMap::new();
        for row in self.conn.look_up(&NAMES, keys)? {
            let owner = (row.text(1)?.to_owned(), row.text(2)?.to_owned());
            there.insert(row.text(0)?.to_owned(), (owner, row.number(3)?));
        }
        for (name, (issuer, sub, leaf)) in wanted {
            let at = format!("identities row {name}");
            match there.get(name) {
                None => self
                    .report
                    .find(at, format!("it is missing, though leaf {leaf} made it somebody's for ever")),
                Some((owner, first)) if owner.0 != *issuer || owner.1 != *sub || first > leaf => {
                    self.report.find(at, format!("leaf {leaf} has the name as another's"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn ids<'b>(
        &mut self,
        lookup: &'static Lookup,
        keys: impl Iterator<Item = &'b String>,
    ) -> Result<BTreeSet<String>, EngineError> {
        let keys: Vec<Value> = keys.map(|key| key.clone().into()).collect();
        let rows = self.conn.look_up(lookup, keys)?;
        rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
    }

    /// Compares stored tiles with what the leaves make.
    fn tiles(&mut self, made: &[NewTile]) -> Result<(), EngineError> {
        let mut levels: BTreeMap<u64, BTreeMap<u64, [u8; 32]>> = BTreeMap::new();
        for tile in made {
            levels.entry(tile.level).or_default().insert(tile.index, tile.hash);
        }
        for (level, made) in levels {
            let (Some((first, _)), Some((last, _))) = (made.first_key_value(), made.last_key_value()) else {
                continue;
            };
            let args = [Value::from(level), Value::from(*first), Value::from(*last)];
            let mut stored = BTreeMap::new();
            for row in self.conn.select(TILES, &args)? {
                stored.insert(row.number(0)?, row.hash(1).ok());
            }
            for (index, hash) in made {
                let at = format!("tile {level}/{index}");
                match stored.get(&index) {
                    Some(Some(stored)) if *stored == hash => {}
                    Some(_) => self.report.find(at, "its hash is not that of its leaves"),
                    None => self.report.find(at, "it is missing"),
                }
            }
        }
        Ok(())
    }
}
