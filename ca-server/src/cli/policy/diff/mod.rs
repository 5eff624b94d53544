//! `jit-ssh-ca policy diff OLD NEW`: what a change gives, takes, or gives on other terms. Both sets are asked the same
//! questions: everybody of a set of identities, every account, every action, in the circumstances that policies look at.
//! A question that concerns no policy which is not the same in both is not asked. What changed and no answer shows is
//! told by name.

mod alterations;
mod circumstances;
mod people;
mod time;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, bail};
use jit_ssh_core::identity::VerifiedIdentity;
use jit_ssh_core::policy::{Alteration, Altered, Concerned, Mentioned, Verb, mentioned};
use jit_ssh_proto::{Account, Action, Code, Mode, Modifier, Name, Timestamp};

use self::alterations::Seen;
use self::circumstances::{Asking, Combination, Setting, Space};
use self::people::{Asker, Spoken, as_known, askers};
use self::told::{Change, Extent, Place};
use super::super::print;
use super::ask::{NOON, Outcome, Question, instant};
use super::case::{Answer, Case, Defaults, Who};
use super::files::{self, Files, Set};
use super::found::count;
use super::person::Person;
use super::test::{Cases, person, read};
use crate::config::Excerpt;

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
    /// Fail (1) if an answer differs, or if a policy changed and no question asked shows it
    #[arg(long)]
    exit_code: bool,
    /// Print one JSON object a difference, and one a policy that is not the same
    #[arg(long)]
    json: bool,
}

/// What is asked for, besides who and where.
const ACTIONS: [(&str, Mode, &[Modifier]); 8] = [
    ("shell", Mode::Shell, &[]),
    ("shell+agent", Mode::Shell, &[Modifier::Agent]),
    ("shell+forward", Mode::Shell, &[Modifier::Forward]),
    ("shell+x11", Mode::Shell, &[Modifier::X11]),
    ("exec", Mode::Exec, &[]),
    ("sftp", Mode::Sftp, &[]),
    ("forward", Mode::Forward, &[]),
    ("jump", Mode::Jump, &[]),
];

/// The most commands that are tried of one policy's.
const COMMANDS: usize = 24;

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
        Ok(Self {
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

    /// The accounts of both, each with those that it stands for: hosts of the same groups, labels and logins are one,
    /// unless a policy tells them apart.
    fn accounts(&self) -> Vec<(Account, BTreeSet<String>)> {
        let mut alike: BTreeMap<String, (Account, BTreeSet<String>)> = BTreeMap::new();
        let mut known: BTreeMap<Name, (String, BTreeSet<Name>)> = BTreeMap::new();
        let mut apart = Mentioned::default();
        for side in [&self.old, &self.new] {
            side.spoken.values().for_each(|spoken| apart.extend(spoken));
            for host in side.set.rules.inventory().hosts() {
                let labels: Vec<_> = host.labels().collect();
                let entry = known.entry(host.name().clone()).or_default();
                let shape = (host.groups(), labels, host.logins(), host.principals());
                entry.0.push_str(&format!("{shape:?}|"));
                entry.1.extend(host.logins().iter().cloned());
            }
        }
        for (name, (mut shape, logins)) in known {
            if apart.host_names || apart.hosts.contains(name.as_str()) {
                shape.push_str(name.as_str());
            }
            for login in logins {
                let text = format!("{login}@{name}");
                let Ok(account) = text.parse::<Account>() else { continue };
                let entry =
                    alike.entry(format!("{login}@{shape}")).or_insert_with(|| (account, BTreeSet::new()));
                entry.1.insert(text);
            }
        }
        alike.into_values().collect()
    }

    /// Every action on every account, and every verb, as far as a change can concern it.
    fn ask_for(
        &mut self,
        asker: &Asker,
        identities: &[Option<VerifiedIdentity>; 2],
        accounts: &[(Account, BTreeSet<String>)],
    ) {
        let mut questions = Vec::new();
        {
            let [was, is] = identities;
            let alike = self.alike && was == is;
            let mut add =
                |concerned: [BTreeSet<&str>; 2], what: String, case: Case, places: &BTreeSet<String>| {
                    let marked =
                        |side: &Side, ids: &BTreeSet<&str>| ids.iter().any(|id| side.marked.contains(*id));
                    let [old, new] = &concerned;
                    if !alike || marked(&self.old, old) || marked(&self.new, new) {
                        questions.push((concerned.map(owned), what, case, places.clone()));
                    }
                };
            for (account, stands_for) in accounts {
                let of = |side, who: &Option<VerifiedIdentity>| concerned(side, who, account);
                let found = [of(&self.old, was), of(&self.new, is)];
                for (what, mode, with) in ACTIONS {
                    let actions =
                        || [mode.into()].into_iter().chain(with.iter().map(|with| Action::from(*with)));
                    // What neither set has a permit for, both deny.
                    let permitted = |action: Action| {
                        [&self.old, &self.new].into_iter().zip(&found).any(|(side, found)| {
                            let ids = found.as_ref().map(|found| found.of([action])).unwrap_or_default();
                            ids.iter().any(|id| side.spoken.get(*id).is_some_and(|spoken| !spoken.forbids))
                        })
                    };
                    if !actions().all(permitted) {
                        continue;
                    }
                    let ids = found
                        .each_ref()
                        .map(|found| found.as_ref().map(|f| f.of(actions())).unwrap_or_default());
                    for (what, command) in self.commands(what, mode, &ids) {
                        let case = case(&account.to_string(), mode.as_str(), with, command);
                        add(ids.clone(), what, case, stands_for);
                    }
                }
            }
            for verb in Verb::ALL {
                let of = |side: &'_ Side, who: &Option<VerifiedIdentity>| -> BTreeSet<String> {
                    let found = who.as_ref().map(|who| side.set.rules.concerned_by(who, verb));
                    owned(found.unwrap_or_default())
                };
                let [old, new] = [of(&self.old, was), of(&self.new, is)];
                let ids = [&old, &new].map(|ids| ids.iter().map(String::as_str).collect());
                let case =
                    Case { action: Some(verb.as_str().to_owned()), ..Case::of(Who::Named(String::new())) };
                add(ids, verb.as_str().to_owned(), case, &BTreeSet::new());
            }
        }
        for (concerned, what, case, places) in questions {
            self.ask(asker, &concerned, &what, &case, &places);
        }
    }

    /// `exec` with each command that policies know whose scope fits, and with one that they do not.
    fn commands(&self, what: &str, mode: Mode, ids: &[BTreeSet<&str>; 2]) -> Vec<(String, Option<String>)> {
        if mode != Mode::Exec {
            return vec![(what.to_owned(), None)];
        }
        let spoken = self.spoken(ids.each_ref().map(|ids| ids.iter().copied()));
        let named = spoken
            .commands
            .iter()
            .take(COMMANDS)
            .map(|text| (format!("exec of {text:?}"), Some(text.clone())));
        let other = ("exec of another command".to_owned(), Some("some-other-program".to_owned()));
        named.chain([other]).collect()
    }

    /// What policies of either set speak of.
    fn spoken<'a>(&self, [old, new]: [impl Iterator<Item = &'a str>; 2]) -> Mentioned {
        let mut all = Mentioned::default();
        old.filter_map(|id| self.old.spoken.get(id)).for_each(|one| all.extend(one));
        new.filter_map(|id| self.new.spoken.get(id)).for_each(|one| all.extend(one));
        all
    }

    /// One thing, in all circumstances that count.
    fn ask(
        &mut self,
        asker: &Asker,
        concerned: &[BTreeSet<String>; 2],
        what: &str,
        case: &Case,
        places: &BTreeSet<String>,
    ) {
        let spoken = self.spoken(concerned.each_ref().map(|ids| ids.iter().map(String::as_str)));
        let login =
            case.account.as_deref().and_then(|account| account.rsplit_once('@')).map(|(login, _)| login);
        let limit = |side: &Side| side.set.excerpt.limits.duration;
        let asking = Asking {
            zones_differ: self.zones_differ,
            made_up: login.filter(|_| asker.made_up),
            longest: limit(&self.old).max(limit(&self.new)),
        };
        let space = Space::of(&spoken, &asking);
        let zone = self.zones_differ.then(|| self.new.set.excerpt.timezone.clone());
        let mut found: BTreeMap<Change, Vec<BTreeSet<Setting>>> = BTreeMap::new();
        let mut differing: BTreeMap<Combination, (Change, Option<Outcome>, Option<Outcome>)> =
            BTreeMap::new();
        let tried = space.tried();
        for combination in space.combinations() {
            let (mut case, mut person) = (case.clone(), asker.person.clone());
            combination.iter().for_each(|setting| setting.apply(&mut case, &mut person, zone.as_ref()));
            let of = |side: &Side| put(&case, &Defaults::default(), &person, side);
            let (before, after) = (of(&self.old), of(&self.new));
            if before.is_none() && after.is_none() {
                // Nobody can ask that of either.
                continue;
            }
            self.asked = self.asked.saturating_add(1);
            self.fitted(concerned);
            if let Some((was, is, by)) = self.differ(&before, &after) {
                let place = if places.is_empty() { Place::Ca } else { Place::Accounts };
                let change = Change {
                    who: asker.name.clone(),
                    what: what.to_owned(),
                    place,
                    before: was,
                    after: is,
                    by,
                };
                // For a length that somebody names it is no news if it is so without one.
                let without: Combination = combination.iter().map(Setting::without_length).collect();
                let change = match differing.get(&without) {
                    Some((same, was, is)) if is_alike(was, &before) && is_alike(is, &after) => same.clone(),
                    Some(_) | None => {
                        differing.insert(combination.clone(), (change.clone(), before, after));
                        change
                    }
                };
                let extent = found.entry(change).or_insert_with(|| vec![BTreeSet::new(); tried.len()]);
                for (values, value) in extent.iter_mut().zip(combination) {
                    values.insert(value);
                }
            }
        }
        for (change, shown) in found {
            let extent = Extent::of(&shown, &tried);
            self.changes.entry((change, extent)).or_default().extend(places.iter().cloned());
        }
    }

    fn fitted(&mut self, concerned: &[BTreeSet<String>; 2]) {
        for (side, ids) in [&self.old, &self.new].into_iter().zip(concerned) {
            self.seen.fitted.extend(ids.intersection(&side.marked).cloned());
        }
    }

    /// The cases of a file: what somebody thought worth asking.
    fn ask_cases(&mut self, cases: &Cases) {
        for case in cases.file.case.iter().map(toml::Spanned::get_ref) {
            let Ok(who) = person(&case.who, &cases.file.identity) else { continue };
            let of = |side: &Side| put(case, &cases.file.default, &who, side);
            let (before, after) = (of(&self.old), of(&self.new));
            if before.is_none() && after.is_none() {
                continue;
            }
            self.asked = self.asked.saturating_add(1);
            let ids = |outcome: &Option<Outcome>| -> BTreeSet<String> {
                outcome.iter().flat_map(|outcome| outcome.policies.iter().cloned()).collect()
            };
            self.fitted(&[ids(&before), ids(&after)]);
            if let Some((was, is, by)) = self.differ(&before, &after) {
                let places: BTreeSet<String> = case.places().unwrap_or_default().into_iter().collect();
                let name = match &case.who {
                    Who::Named(name) => name.clone(),
                    Who::Person(_) => String::new(),
                };
                let told = |(change, of): (&(Change, Extent), &BTreeSet<String>)| {
                    let (change, _) = change;
                    change.who == name
                        && (&change.before, &change.after, &change.by) == (&was, &is, &by)
                        && places.is_subset(of)
                };
                if !self.changes.iter().any(told) {
                    let change = Change {
                        who: format!("case {:?}", case.name),
                        what: case.action.clone().unwrap_or_else(|| "shell".to_owned()),
                        place: if places.is_empty() { Place::Ca } else { Place::Accounts },
                        before: was,
                        after: is,
                        by,
                    };
                    self.changes.entry((change, Extent::default())).or_default().extend(places);
                }
            }
        }
    }

    /// What was, what is, and by which policies, if the two differ. Who refuses it, and in which words, is no
    /// difference.
    fn differ(
        &mut self,
        before: &Option<Outcome>,
        after: &Option<Outcome>,
    ) -> Option<(String, String, String)> {
        let terms =
            |outcome: &Option<Outcome>| outcome.as_ref().map_or_else(|| "denied".to_owned(), Outcome::terms);
        let (was, is) = (terms(before), terms(after));
        if was == is {
            return None;
        }
        for (side, outcome) in [(&self.old, before), (&self.new, after)] {
            let ids = outcome.iter().flat_map(|outcome| &outcome.policies);
            self.seen.told.extend(ids.filter(|id| side.marked.contains(*id)).cloned());
        }
        let of =
            |outcome: &Option<Outcome>| outcome.as_ref().map(|o| o.policies.join(", ")).unwrap_or_default();
        let denied = |outcome: &Option<Outcome>| outcome.as_ref().is_none_or(|o| o.answer == Answer::Deny);
        // Who gives it now; if it is no more, who forbids it, or else who gave it.
        let by = match (of(before), of(after)) {
            (was, is) if denied(after) && is.is_empty() => format!("no more by {was}"),
            (_, is) => format!("by {is}"),
        };
        Some((was, is, by))
    }

    fn tell(&self, args: &Args, people: usize, nobody: &[String]) -> anyhow::Result<()> {
        for ((change, extent), accounts) in &self.changes {
            print(&if args.json {
                change.as_json(extent, accounts).to_string()
            } else {
                change.as_text(extent, accounts, self.new.set.rules.inventory())
            })?;
        }
        for altered in &self.altered {
            let line = alterations::line(altered, &self.seen);
            let json = || alterations::as_json(altered, &self.seen).to_string();
            (if args.json { Some(json()) } else { line }).map_or(Ok(()), |line| print(&line))?;
        }
        let mut besides: Vec<String> = nobody.to_vec();
        let rest = self.new.set.rules.changes_since(&self.old.set.rules);
        let rest = rest.iter().filter(|change| change.of != jit_ssh_proto::event::Ruled::Policies);
        besides.extend(rest.map(|change| format!("the inventory changed: {change}")));
        let excerpts = (&self.old.set.excerpt, &self.new.set.excerpt);
        let differs = |of: fn(&Excerpt) -> String| of(excerpts.0) != of(excerpts.1);
        for (what, differs) in [
            ("timezone", self.zones_differ),
            ("limits", differs(|excerpt| format!("{:?}", excerpt.limits))),
            ("issuers", differs(|excerpt| format!("{:?}", excerpt.issuers))),
        ] {
            besides.extend(differs.then(|| format!("ca.toml changed: {what}")));
        }
        if !args.json {
            besides.iter().try_for_each(|line| print(line))?;
        }
        let of = format!("{}, for {}", self.questions(), count(people, "identity"));
        let untold = alterations::untold(&self.altered, &self.seen);
        let differences = count(self.changes.len(), "difference");
        let said = match (self.changes.len(), untold) {
            (0, 0) if self.altered.is_empty() && besides.is_empty() => format!("nothing changes ({of})"),
            (0, 0) => format!("no answer changes ({of})"),
            (0, untold) => format!(
                "no answer changes, but {} changed that no question asked shows ({of})",
                count(untold, "policy")
            ),
            (_, 0) => format!("{differences} ({of})"),
            (_, untold) => format!(
                "{differences}, and {} changed that no question asked shows ({of})",
                count(untold, "policy")
            ),
        };
        if args.exit_code && (!self.changes.is_empty() || untold > 0) {
            bail!("{said}");
        }
        if !args.json {
            print(&said)?;
        }
        Ok(())
    }

    fn questions(&self) -> String {
        if self.asked == 1 { "1 question".to_owned() } else { format!("{} questions", self.asked) }
    }
}

/// Whether the one is by the same policies as the other, or is refused for its length alone.
fn is_alike(without: &Option<Outcome>, with: &Option<Outcome>) -> bool {
    match (without, with) {
        (Some(without), Some(with)) => {
            with.policies == without.policies || with.code == Some(Code::DurationDenied)
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn owned(ids: BTreeSet<&str>) -> BTreeSet<String> {
    ids.into_iter().map(ToOwned::to_owned).collect()
}

fn concerned<'a>(side: &'a Side, who: &Option<VerifiedIdentity>, account: &Account) -> Option<Concerned<'a>> {
    who.as_ref().map(|who| side.set.rules.concerned(who, account))
}

fn case(account: &str, mode: &str, with: &[Modifier], command: Option<String>) -> Case {
    Case {
        account: Some(account.to_owned()),
        action: Some(mode.to_owned()),
        with: with.to_vec(),
        command,
        ..Case::of(Who::Named(String::new()))
    }
}

/// What comes of it; none for what cannot be asked. Who is not let in by one of the two gets nothing there.
fn put(case: &Case, defaults: &Defaults, person: &Person, side: &Side) -> Option<Outcome> {
    let known = as_known(person, &side.set);
    let identity = |now: Timestamp| known.identity(&side.set.excerpt, now);
    Question::of(case, defaults, identity, &side.set).ok().map(|question| question.put(&side.set))
}
