//! From the text of inventory files to their entries. Hosts that say the same of groups, logins and principals share
//! one kind, and those that say the same of labels and fronts one tail: of a million hosts there are few of each.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::Name;
use serde::Deserialize;

use super::entry::{FileEntries, GroupEntry, GuestEntry, HostEntry, PrincipalStyle};
use super::error::{At, Faults};
use super::plain::{self, Plain};
use super::{InventorySource, address};
use crate::position::{closest, of_key, one_line};

/// What a host says of itself that many others say too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) groups: Vec<Name>,
    pub(super) logins: Vec<Name>,
    pub(super) principals: Option<PrincipalStyle>,
}

/// What a host says of itself that only policy and bastions look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tail {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) fronts: Vec<Name>,
}

/// A part of [`Entries::addresses`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// A `[[host]]`.
#[derive(Clone, Debug)]
pub(super) struct HostAt {
    pub(super) name: Name,
    pub(super) kind: u32,
    pub(super) tail: u32,
    /// Empty for none.
    pub(super) address: Part,
    pub(super) at: At,
}

/// Everything that stands in the files.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) hosts: Vec<HostAt>,
    /// Each with the first host of it.
    pub(super) kinds: Vec<(Kind, usize)>,
    /// Each with the first host of it.
    pub(super) tails: Vec<(Tail, usize)>,
    /// The addresses of all hosts, one after the other.
    pub(super) addresses: String,
    pub(super) groups: Vec<(GroupEntry, At)>,
    pub(super) guests: Vec<(GuestEntry, At)>,
}

/// Numbers things that are equal alike.
#[derive(Debug)]
struct Shared<T>(BTreeMap<T, u32>);

impl<T: Ord + Clone> Shared<T> {
    fn number(&mut self, thing: T, first: usize, all: &mut Vec<(T, usize)>) -> Option<u32> {
        if let Some(known) = self.0.get(&thing) {
            return Some(*known);
        }
        let new = u32::try_from(all.len()).ok()?;
        all.push((thing.clone(), first));
        self.0.insert(thing, new);
        Some(new)
    }
}

/// The largest inventory file, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 30;

/// Reads files.
pub(super) fn entries<'a>(sources: &'a [InventorySource], faults: &mut Faults<'a>) -> Entries {
    if let Some(entries) = Reader::new().plain(sources, faults) {
        return entries;
    }
    // Something is wrong or odd: where, the TOML reader says of whole files.
    *faults = Faults::new(sources);
    let mut reader = Reader::new();
    for (file, source) in (0..).zip(sources) {
        reader.whole(file, source, faults);
    }
    reader.entries
}

/// What a host says besides its name and address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rest {
    #[serde(default)]
    groups: Vec<Name>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    logins: Vec<Name>,
    #[serde(default)]
    principals: Option<PrincipalStyle>,
    #[serde(default)]
    fronts: Vec<Name>,
}

struct Reader {
    entries: Entries,
    kinds: Shared<Kind>,
    tails: Shared<Tail>,
    /// Kind and tail of hosts whose other lines are these.
    known: BTreeMap<String, (u32, u32)>,
}

impl Reader {
    fn new() -> Self {
        Self {
            entries: Entries::default(),
            kinds: Shared(BTreeMap::new()),
            tails: Shared(BTreeMap::new()),
            known: BTreeMap::new(),
        }
    }

    /// Reads files entry by entry, and host by host by lines where that is enough; none if something is wrong.
    fn plain(mut self, sources: &[InventorySource], faults: &mut Faults<'_>) -> Option<Entries> {
        let mut rest = String::new();
        for (file, source) in (0..).zip(sources) {
            let pieces = if source.text.len() > MAX_FILE_BYTES { None } else { plain::pieces(&source.text) };
            let Some(pieces) = pieces else {
                self.whole(file, source, faults);
                continue;
            };
            self.entries.hosts.reserve(pieces.len());
            for piece in pieces {
                let host = if piece.is_host { plain::host(piece, &mut rest) } else { None };
                let at = At { file, offset: u32::try_from(piece.offset).ok()? };
                match host {
                    Some(host) => self.plain_host(host, &rest, at, faults)?,
                    None => {
                        let found = toml::from_str::<FileEntries>(piece.text).ok()?;
                        self.file(at, found, faults)?;
                    }
                }
            }
        }
        Some(self.entries)
    }

    fn plain_host(&mut self, host: Plain<'_>, rest: &str, at: At, faults: &mut Faults<'_>) -> Option<()> {
        let name: Name = host.name.parse().ok()?;
        let (kind, tail) = match self.known.get(rest) {
            Some(known) => *known,
            None => {
                let Rest { groups, labels, logins, principals, fronts } = toml::from_str(rest).ok()?;
                let said = self.said(Kind { groups, logins, principals }, Tail { labels, fronts })?;
                self.known.insert(rest.into(), said);
                said
            }
        };
        let address = self.address(&name, host.address, at, faults)?;
        self.entries.hosts.push(HostAt { name, kind, tail, address, at });
        Some(())
    }

    /// Reads a whole file.
    fn whole(&mut self, file: u32, source: &InventorySource, faults: &mut Faults<'_>) {
        let InventorySource { file: name, text } = source;
        if text.len() > MAX_FILE_BYTES {
            let what = format!("the file has more than {MAX_FILE_BYTES} bytes: split it into several files");
            faults.at(name, "", 0, what);
            return;
        }
        match toml::from_str::<FileEntries>(text) {
            Ok(found) => {
                if self.file(At { file, offset: 0 }, found, faults).is_none() {
                    faults.at(name, "", 0, "the inventory is too large".into());
                }
            }
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                faults.at(name, text, offset, of_key(text, offset, &understood(error.message())));
            }
        }
    }

    fn said(&mut self, kind: Kind, tail: Tail) -> Option<(u32, u32)> {
        let first = self.entries.hosts.len();
        let kind = self.kinds.number(kind, first, &mut self.entries.kinds)?;
        let tail = self.tails.number(tail, first, &mut self.entries.tails)?;
        Some((kind, tail))
    }

    /// Takes what stands in one file from `from` on; none if there is no counting it.
    fn file(&mut self, from: At, found: FileEntries, faults: &mut Faults<'_>) -> Option<()> {
        let at = |start: usize| {
            let offset = from.offset.checked_add(u32::try_from(start).ok()?)?;
            Some(At { offset, ..from })
        };
        for entry in found.host {
            let at = at(entry.span().start)?;
            self.host(entry.into_inner(), at, faults)?;
        }
        for entry in found.group {
            let at = at(entry.span().start)?;
            self.entries.groups.push((entry.into_inner(), at));
        }
        for entry in found.guest {
            let at = at(entry.span().start)?;
            self.entries.guests.push((entry.into_inner(), at));
        }
        Some(())
    }

    fn host(&mut self, entry: HostEntry, at: At, faults: &mut Faults<'_>) -> Option<()> {
        let HostEntry { name, groups, labels, logins, principals, address, fronts } = entry;
        let (kind, tail) = self.said(Kind { groups, logins, principals }, Tail { labels, fronts })?;
        let address = self.address(&name, address.as_deref(), at, faults)?;
        self.entries.hosts.push(HostAt { name, kind, tail, address, at });
        Some(())
    }

    fn address(&mut self, host: &Name, text: Option<&str>, at: At, faults: &mut Faults<'_>) -> Option<Part> {
        let Some(text) = text else { return Some(Part::default()) };
        if let Err(what) = address::check(text) {
            faults.add(at, text, || format!("host {host}: address {text:?} {what}"));
        }
        let start = u32::try_from(self.entries.addresses.len()).ok()?;
        self.entries.addresses.push_str(text);
        Some(Part { start, len: u32::try_from(text.len()).ok()? })
    }
}

/// What the `toml` crate says, with the closest key for one that is not known.
fn understood(message: &str) -> String {
    let message = message.trim_end();
    let Some(rest) = message.strip_prefix("unknown field ") else { return one_line(message) };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let unknown = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    match closest(unknown, known.iter().copied()) {
        Some(meant) => format!("the key {unknown:?} is not known: did you mean {meant:?}?"),
        None => format!("the key {unknown:?} is not known here: known are {}", known.join(", ")),
    }
}
