//! `jit-ssh-ca policy diff OLD NEW`: what a change gives, takes, or gives on other terms. Both sets are asked the same
//! questions: everybody of a set of identities, every account, every action, in the circumstances that policies look at.
//! A question that concerns no policy which is not the same in both is not asked. What changed and no answer shows is
//! told by name.

mod accounts;
mod alterations;
mod answers;
mod circumstances;
mod entries;
mod manner;
mod people;
#[cfg(test)]
mod pruning;
mod questions;
mod setting;
mod summary;
mod time;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, bail};
use jit_ssh_core::identity::VerifiedIdentity;
use jit_ssh_core::policy::{Alteration, Altered, Mentioned, mentioned};

use self::alterations::Seen;
use self::people::{Asker, Spoken, as_known, askers};
use self::told::{Change, Extent};
use super::ask::{NOON, instant};
use super::files::{self, Files, Set};
use super::person::Person;
use super::test::{Cases, read};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A folder with policies/, inventory/ and perhaps ca.toml in it: as it is
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The same, as it is to be
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// A file with the [identity.NAME]s to ask for, in place of those of the cases beside the policies
    #[arg(long, value_name = "FILE")]
    identities: Option<PathBuf>,
    /// Fail (1) if an answer differs, if a policy changed and no question asked shows it, or if the entry of an issuer or a
    /// guest changed
    #[arg(long)]
    exit_code: bool,
    /// Print one JSON object a difference, one a policy that is not the same, and one a change of issuers and guests
    #[arg(long)]
    json: bool,
}
/// One of the two.
struct Side {
    set: Set,
    files: Files,
    /// What each policy speaks of, by id.
    spoken: BTreeMap<String, Mentioned>,
    /// The policies that the other does not have so.
    marked: BTreeSet<String>,
}

/// Both, and what came of asking.
struct Comparison {
    old: Side,
    new: Side,
    /// Whether all but the policies is the same.
    alike: bool,
    zones_differ: bool,
    altered: Vec<Altered>,
    /// What changed in the entries of issuers and guests.
    entries: Vec<entries::Alteration>,
    changes: BTreeMap<(Change, Extent), BTreeSet<String>>,
    seen: Seen,
    asked: u64,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut both = Comparison::read(args)?;
    let (known, cases) = match &args.identities {
        Some(file) => (read(file)?.identity, None),
        None => {
            let cases = [Cases::all(&both.old.files)?, Cases::all(&both.new.files)?];
            let known = cases.iter().flatten().flat_map(|cases| cases.file.identity.clone()).collect();
            (known, Some(cases))
        }
    };
    let askers = both.askers(&known)?;
    if askers.is_empty() && both.altered.is_empty() {
        bail!("there is nobody to ask for: name a file with [identity.NAME]s (--identities FILE)");
    }
    let accounts = both.accounts();
    let mut nobody = Vec::new();
    let mut people: usize = 0;
    for asker in &askers {
        match both.identities(asker) {
            Ok(identities) => {
                people = people.saturating_add(1);
                both.ask_for(asker, &identities, &accounts);
            }
            Err(what) => nobody.push(format!("nobody was asked for as {}: who asks {what}", asker.name)),
        }
    }
    for cases in cases.iter().flatten().flatten() {
        both.ask_cases(cases);
    }
    both.tell(args, people, &nobody)
}

fn read_side(dir: &std::path::Path) -> anyhow::Result<(Files, Set)> {
    if !dir.join("policies").is_dir() {
        bail!("{} has no policies/: name a data directory, or a folder like one", dir.display());
    }
    let files = Files::of(dir);
    let set = files::read(&files).with_context(|| format!("{} does not load", dir.display()))?;
    Ok((files, set))
}

impl Comparison {
    fn read(args: &Args) -> anyhow::Result<Self> {
        let ((old_files, old), (new_files, new)) = (read_side(&args.old)?, read_side(&args.new)?);
        let altered = new.rules.altered_since(&old.rules);
        let marked = |which: &[Alteration]| -> BTreeSet<String> {
            altered.iter().filter(|one| which.contains(&one.how)).map(|one| one.id.clone()).collect()
        };
        let zones_differ = old.excerpt.timezone != new.excerpt.timezone;
        let limits = |set: &Set| format!("{:?}", set.excerpt.limits);
        let alike = !zones_differ
            && limits(&old) == limits(&new)
            && new.rules.inventory().changes_since(old.rules.inventory()).is_empty();
        let spoken = |set: &Set| mentioned(&set.sources, set.excerpt.limits.ttl);
        let side = |files, set: Set, marked| Side { spoken: spoken(&set), files, set, marked };
        let (was, is) = (
            marked(&[Alteration::Removed, Alteration::Changed]),
            marked(&[Alteration::Added, Alteration::Changed]),
        );
        let entries = entries::altered(&old, &new);
        Ok(Self {
            entries,
            old: side(old_files, old, was),
            new: side(new_files, new, is),
            alike,
            zones_differ,
            altered,
            changes: BTreeMap::new(),
            seen: Seen::default(),
            asked: 0,
        })
    }

    fn askers(&self, known: &BTreeMap<String, Person>) -> anyhow::Result<Vec<Asker>> {
        let sides = [&self.old, &self.new];
        let spoken = Spoken {
            all: sides.iter().flat_map(|side| side.spoken.values()).collect(),
            altered: sides
                .iter()
                .flat_map(|side| side.spoken.iter().filter(|(id, _)| side.marked.contains(*id)))
                .map(|(_, spoken)| spoken)
                .collect(),
        };
        askers(known, &spoken, [&self.old.set, &self.new.set]).map_err(|what| anyhow::anyhow!(what))
    }

    /// Who somebody is to either set; none where they are not let in.
    fn identities(&self, asker: &Asker) -> Result<[Option<VerifiedIdentity>; 2], String> {
        let in_side = |side: &Side| {
            let noon = instant(NOON, &side.set.excerpt.timezone)?;
            as_known(&asker.person, &side.set).identity(&side.set.excerpt, noon)
        };
        match (in_side(&self.old), in_side(&self.new)) {
            (Err(_), Err(what)) => Err(what),
            (old, new) => Ok([old.ok(), new.ok()]),
        }
    }

    /// What policies of either set speak of.
    fn spoken<'a>(&self, [old, new]: [impl Iterator<Item = &'a str>; 2]) -> Mentioned {
        let mut all = Mentioned::default();
        old.filter_map(|id| self.old.spoken.get(id)).for_each(|one| all.extend(one));
        new.filter_map(|id| self.new.spoken.get(id)).for_each(|one| all.extend(one));
        all
    }
}
