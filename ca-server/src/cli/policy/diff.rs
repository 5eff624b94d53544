//! `jit-ssh-ca policy diff OLD NEW`: what a change gives, takes, or gives on other terms. Both sets are asked the same
//! questions: everybody of a set of identities, every account, every action, at telling hours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, bail};
use jit_ssh_core::policy::{Mentioned, PolicySource, mentioned};
use jit_ssh_proto::{Modifier, Name};
use serde_json::{Value, json};

use super::super::print;
use super::ask::{Outcome, Question};
use super::case::{Answer, Case, Defaults, Who};
use super::files::{self, Files, Set};
use super::found::count;
use super::person::Person;
use super::test::{Cases, person, read};

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
    /// Fail if anything differs
    #[arg(long)]
    exit_code: bool,
    /// Print one JSON object a difference
    #[arg(long)]
    json: bool,
}

/// What is asked for, besides who and where.
const ACTIONS: [(&str, &[Modifier]); 8] = [
    ("shell", &[]),
    ("shell+agent", &[Modifier::Agent]),
    ("shell+forward", &[Modifier::Forward]),
    ("shell+x11", &[Modifier::X11]),
    ("exec", &[]),
    ("sftp", &[]),
    ("forward", &[]),
    ("jump", &[]),
];

/// The most commands that are tried, and the most accounts that a line names.
const COMMANDS: usize = 24;
const NAMED: usize = 4;

/// A Wednesday and a Saturday.
const DAYS: [(&str, &str); 2] = [("Wednesday", "2026-01-14"), ("Saturday", "2026-01-17")];

/// How somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Manner {
    Plain,
    WithReason,
    BreakGlass,
}

/// A time that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Time {
    /// In [`DAYS`].
    day: usize,
    hour: u8,
}

impl Manner {
    const ALL: [Self; 3] = [Self::Plain, Self::WithReason, Self::BreakGlass];

    fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "without a reason",
            Self::WithReason => "with reason and ticket",
            Self::BreakGlass => "under break-glass",
        }
    }

    /// In words, where a change does not show in the two daily manners. That it shows under break-glass too goes
    /// without saying only where it shows in no other.
    fn told(manners: &BTreeSet<Self>) -> Option<String> {
        let daily = manners.contains(&Self::Plain) && manners.contains(&Self::WithReason);
        let others: Vec<&str> = manners
            .iter()
            .filter(|manner| !daily || **manner == Self::BreakGlass)
            .map(|m| m.as_str())
            .collect();
        let too = if daily && !others.is_empty() { " too" } else { "" };
        (!others.is_empty()).then(|| format!("{}{too}", others.join(", ")))
    }
}

impl Time {
    fn written(self) -> String {
        let (_, date) = DAYS.get(self.day).copied().unwrap_or_default();
        format!("{date}T{:02}:30", self.hour)
    }

    /// In words; the days only where they differ.
    fn told(times: &BTreeSet<Self>) -> String {
        let of = |day: usize| -> Vec<String> {
            let hours = times.iter().filter(|time| time.day == day);
            hours.map(|time| format!("{:02}:30", time.hour)).collect()
        };
        let days: Vec<Vec<String>> = (0..DAYS.len()).map(of).collect();
        match days.first() {
            Some(first) if days.iter().all(|day| day == first) => format!("at {}", first.join(", ")),
            Some(_) | None => {
                let days = days.iter().zip(DAYS).filter(|(hours, _)| !hours.is_empty());
                let days = days.map(|(hours, (name, _))| format!("{name} at {}", hours.join(", ")));
                days.collect::<Vec<_>>().join("; ")
            }
        }
    }
}

/// What is the same of many questions: these are told in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    who: String,
    what: String,
    before: String,
    after: String,
    by: String,
}

/// Where, when and how a change shows.
#[derive(Default)]
struct Extent {
    accounts: BTreeSet<String>,
    times: BTreeSet<Time>,
    manners: BTreeSet<Manner>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (old_files, new_files) = (side(&args.old)?, side(&args.new)?);
    let (old, new) = (read_side(&old_files, &args.old)?, read_side(&new_files, &args.new)?);
    let people = people(args, &old_files, &new_files, &old, &new)?;
    let both: Vec<PolicySource> = old.sources.iter().chain(&new.sources).cloned().collect();
    let spoken_of = mentioned(&both);
    let accounts = accounts(&old, &new, &spoken_of);
    let times = times(&spoken_of);
    let mut changes: BTreeMap<Change, Extent> = BTreeMap::new();
    let mut asked: u64 = 0;
    for (name, person) in &people {
        for (account, stands_for) in &accounts {
            for (what, case) in cases(account, &spoken_of) {
                for time in &times {
                    for manner in Manner::ALL {
                        asked = asked.saturating_add(1);
                        let case = in_manner(&case, manner, &time.written());
                        let (before, after) = (put(&case, person, &old), put(&case, person, &new));
                        if let Some((was, is, by)) = differ(&before, &after) {
                            let change =
                                Change { who: name.clone(), what: what.clone(), before: was, after: is, by };
                            let extent = changes.entry(change).or_default();
                            extent.accounts.extend(stands_for.iter().cloned());
                            extent.times.insert(*time);
                            extent.manners.insert(manner);
                        }
                    }
                }
            }
        }
    }
    for (change, extent) in &changes {
        print(&told(args, change, extent, &new, times.len()))?;
    }
    let of = format!("{asked} questions, for {}", count(people.len(), "identity"));
    if changes.is_empty() {
        if !args.json {
            print(&format!("nothing changes ({of})"))?;
        }
        return Ok(());
    }
    if args.exit_code {
        bail!("{} ({of})", count(changes.len(), "difference"));
    }
    if !args.json {
        print(&format!("{} ({of})", count(changes.len(), "difference")))?;
    }
    Ok(())
}

fn side(dir: &std::path::Path) -> anyhow::Result<Files> {
    if !dir.join("policies").is_dir() {
        bail!("{} has no policies/: name a data directory, or a folder like one", dir.display());
    }
    Ok(Files::of(dir))
}

fn read_side(files: &Files, dir: &std::path::Path) -> anyhow::Result<Set> {
    files::read(files).with_context(|| format!("{} does not load", dir.display()))
}

/// Who asks: those of a file, or of the cases, or else one of each group that is mapped and of each two.
fn people(
    args: &Args,
    old_files: &Files,
    new_files: &Files,
    old: &Set,
    new: &Set,
) -> anyhow::Result<Vec<(String, Person)>> {
    let mut known: BTreeMap<String, Person> = BTreeMap::new();
    match &args.identities {
        Some(file) => known.extend(read(file)?.identity),
        None => {
            for files in [old_files, new_files] {
                for cases in Cases::all(files)? {
                    known.extend(cases.file.identity);
                }
            }
        }
    }
    let mut people = Vec::new();
    for name in known.keys() {
        let one = person(&Who::Named(name.clone()), &known).map_err(|what| anyhow::anyhow!(what))?;
        people.push((name.clone(), one));
    }
    if people.is_empty() {
        people = invented(old, new);
    }
    if people.is_empty() {
        bail!("there is nobody to ask for: name a file with [identity.NAME]s (--identities FILE)");
    }
    Ok(people)
}

/// One member of each group that an issuer of both maps, one of each two, and one of none.
fn invented(old: &Set, new: &Set) -> Vec<(String, Person)> {
    let mut people = Vec::new();
    for entry in new.excerpt.issuers.iter().flatten() {
        let groups_of = |set: &Set| -> BTreeSet<Name> {
            let same = set.excerpt.issuers.iter().flatten().find(|issuer| issuer.name == entry.name);
            same.into_iter().flat_map(|issuer| issuer.groups_map.values().flatten().cloned()).collect()
        };
        let groups: Vec<Name> = groups_of(old).intersection(&groups_of(new)).cloned().collect();
        let mut sets = vec![Vec::new()];
        for (at, one) in groups.iter().enumerate() {
            sets.push(vec![one]);
            sets.extend(groups.iter().skip(at + 1).map(|other| vec![one, other]));
        }
        for set in sets {
            let names: Vec<String> = set.iter().map(ToString::to_string).collect();
            let who = if names.is_empty() {
                format!("{}: somebody in no group", entry.name)
            } else {
                format!("{}: members of {}", entry.name, names.join(" and "))
            };
            let (name, sub) = match entry.username {
                Some(_) => (Some("somebody".to_owned()), None),
                None => (None, Some("somebody".to_owned())),
            };
            let issuer = Some(entry.name.to_string());
            people.push((who, Person { issuer, name, sub, groups: Some(names), ..Person::default() }));
        }
    }
    people
}

/// The accounts of both, each with those that it stands for: hosts of the same groups, labels and logins are one, unless
/// a policy tells them apart.
fn accounts(old: &Set, new: &Set, spoken_of: &Mentioned) -> Vec<(String, BTreeSet<String>)> {
    let mut alike: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut known: BTreeMap<Name, (String, BTreeSet<Name>)> = BTreeMap::new();
    for set in [old, new] {
        for host in set.rules.inventory().hosts() {
            let labels: Vec<_> = host.labels().collect();
            let entry = known.entry(host.name().clone()).or_default();
            let shape = (host.groups(), labels, host.logins(), host.principals());
            entry.0.push_str(&format!("{shape:?}|"));
            entry.1.extend(host.logins().iter().cloned());
        }
    }
    for (name, (mut shape, logins)) in known {
        if spoken_of.host_names || spoken_of.hosts.contains(name.as_str()) {
            shape.push_str(name.as_str());
        }
        for login in logins {
            let account = format!("{login}@{name}");
            let entry =
                alike.entry(format!("{login}@{shape}")).or_insert_with(|| (account.clone(), BTreeSet::new()));
            entry.1.insert(account);
        }
    }
    alike.into_values().collect()
}

/// Telling hours: those that policies compare with, and those before them, on a Wednesday and a Saturday.
fn times(spoken_of: &Mentioned) -> Vec<Time> {
    let mut hours: BTreeSet<u8> = BTreeSet::from([3, 12]);
    for hour in &spoken_of.hours {
        hours.extend([*hour, hour.checked_sub(1).unwrap_or(23)]);
    }
    let of = |day| hours.iter().map(move |hour| Time { day, hour: *hour });
    (0..DAYS.len()).flat_map(of).collect()
}

/// Every action on an account; `exec` with each command that policies know, and with one that they do not.
fn cases(account: &str, spoken_of: &Mentioned) -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    for (what, with) in ACTIONS {
        let mode = what.split('+').next().unwrap_or(what);
        if mode != "exec" {
            cases.push((what.to_owned(), case(account, mode, with, None)));
            continue;
        }
        let other = ("exec of another command".to_owned(), "some-other-program".to_owned());
        let named =
            spoken_of.commands.iter().take(COMMANDS).map(|text| (format!("exec of {text:?}"), text.clone()));
        for (what, command) in named.chain([other]) {
            cases.push((what, case(account, mode, with, Some(command))));
        }
    }
    cases
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

fn in_manner(case: &Case, manner: Manner, at: &str) -> Case {
    let said = |text: &str| (manner != Manner::Plain).then(|| text.to_owned());
    Case {
        at: Some(at.to_owned()),
        reason: said("OPS-1 a reason"),
        ticket: said("OPS-1"),
        break_glass: manner == Manner::BreakGlass,
        ..case.clone()
    }
}

fn put(case: &Case, person: &Person, set: &Set) -> Option<Outcome> {
    let identity = |now| person.identity(&set.excerpt, now).map_err(|what| format!("who asks {what}"));
    // Who is not let in by one of the two, or is in a group that it does not know, gets nothing there; nor does who asks
    // for what cannot be asked for yet.
    Question::of(case, &Defaults::default(), identity, set).ok().map(|question| question.put(set))
}

/// What was, what is, and by which policies, if the two differ. Who refuses it, and in which words, is no difference.
fn differ(before: &Option<Outcome>, after: &Option<Outcome>) -> Option<(String, String, String)> {
    let terms =
        |outcome: &Option<Outcome>| outcome.as_ref().map_or_else(|| "denied".to_owned(), Outcome::terms);
    let (was, is) = (terms(before), terms(after));
    if was == is {
        return None;
    }
    let of = |outcome: &Option<Outcome>| outcome.as_ref().map(|o| o.policies.join(", ")).unwrap_or_default();
    let denied = |outcome: &Option<Outcome>| outcome.as_ref().is_none_or(|o| o.answer == Answer::Deny);
    // Who gives it now; if it is no more, who forbids it, or else who gave it.
    let by = match (of(before), of(after)) {
        (was, is) if denied(after) && is.is_empty() => format!("no more by {was}"),
        (_, is) => format!("by {is}"),
    };
    Some((was, is, by))
}

fn told(args: &Args, change: &Change, extent: &Extent, new: &Set, times: usize) -> String {
    if args.json {
        let written: Vec<String> = extent.times.iter().map(|time| time.written()).collect();
        return json!({
            "who": change.who,
            "action": change.what,
            "accounts": extent.accounts,
            "before": change.before,
            "after": change.after,
            "by": change.by,
            "times": if extent.times.len() == times { Value::Null } else { json!(written) },
            "manners": extent.manners.iter().map(|manner| manner.as_str()).collect::<Vec<_>>(),
        })
        .to_string();
    }
    let mut line = format!(
        "{}: {} on {}: {} -> {} ({})",
        change.who,
        change.what,
        place(&extent.accounts, new),
        change.before,
        change.after,
        change.by
    );
    if let Some(manners) = Manner::told(&extent.manners) {
        line.push_str(&format!("\n    {manners}"));
    }
    if extent.times.len() < times {
        line.push_str(&format!("\n    {}", Time::told(&extent.times)));
    }
    line
}

/// The accounts by name if they are few, else how many there are and which groups all of them are in.
fn place(accounts: &BTreeSet<String>, set: &Set) -> String {
    if accounts.len() <= NAMED {
        return accounts.iter().cloned().collect::<Vec<_>>().join(", ");
    }
    let inventory = set.rules.inventory();
    let groups = accounts.iter().map(|account| {
        let host = account.rsplit_once('@').and_then(|(_, host)| host.parse().ok());
        let host = host.and_then(|name: Name| inventory.host(&name).map(|host| host.groups().clone()));
        host.unwrap_or_default()
    });
    let shared = groups.reduce(|all, one| all.intersection(&one).cloned().collect()).unwrap_or_default();
    let logins: BTreeSet<&str> = accounts.iter().filter_map(|a| Some(a.rsplit_once('@')?.0)).collect();
    let logins: Vec<&str> = logins.into_iter().collect();
    let of = shared.first().map(|group| format!(" of group {group}")).unwrap_or_default();
    format!("{} ({}){of}", count(accounts.len(), "account"), logins.join(", "))
}
