//! What differs, in words and for programs.

use std::collections::BTreeSet;

use jit_ssh_core::inventory::Inventory;
use jit_ssh_proto::Name;
use serde_json::{Value, json};

use super::super::found::count;
use super::manner::Manner;
use super::setting::Setting;
use super::time::Time;

/// The most accounts that a line names.
const NAMED: usize = 4;

/// What is the same of many questions: these are told in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub(super) who: String,
    pub(super) what: String,
    pub(super) place: Place,
    pub(super) before: String,
    pub(super) after: String,
    pub(super) by: String,
}

/// What it is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Accounts.
    Accounts,
    /// The CA itself.
    Ca,
}

/// In which circumstances a change shows, of those that were tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extent {
    /// None if it shows at all times.
    times: Option<Vec<String>>,
    manners: Vec<String>,
    /// Others that it depends on, each with its values.
    others: Vec<(&'static str, Vec<String>)>,
    /// The same in words, where it does not show in all.
    lines: Vec<String>,
}

impl Extent {
    /// Of the values at which it shows, and all that were tried.
    pub(super) fn of(shown: &[BTreeSet<Setting>], tried: &[BTreeSet<Setting>]) -> Self {
        let mut extent = Self::default();
        let (mut manners, mut times, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (shown, tried) in shown.iter().zip(tried) {
            let all = shown.len() == tried.len();
            let words: Vec<String> = shown.iter().map(Setting::told).collect();
            match tried.iter().find(|setting| **setting != Setting::Usual) {
                Some(Setting::At(_)) if all => {}
                Some(Setting::At(_)) => {
                    times.push(Time::told(&clocks(shown), &clocks(tried)));
                    extent.times = Some(words);
                }
                Some(Setting::Manner(_)) => {
                    manners.extend(by_manner(shown, tried));
                    extent.manners = words;
                }
                Some(setting) => {
                    if let (Some(kind), false) = (setting.kind(), all) {
                        others.push(Setting::all_told(shown, tried));
                        extent.others.push((kind, words));
                    }
                }
                None => {}
            }
        }
        extent.lines = [manners, times, others].concat();
        extent
    }
}

fn clocks(settings: &BTreeSet<Setting>) -> BTreeSet<&Time> {
    settings
        .iter()
        .filter_map(|setting| if let Setting::At(time) = setting { Some(time) } else { None })
        .collect()
}

/// How it has to be asked, unless it shows however one asks daily. That it shows under break-glass too is said.
fn by_manner(shown: &BTreeSet<Setting>, tried: &BTreeSet<Setting>) -> Option<String> {
    let split = |settings: &BTreeSet<Setting>| -> (BTreeSet<Manner>, BTreeSet<Manner>) {
        let manner = |setting: &Setting| {
            if let Setting::Manner(manner) = setting { Some(manner.clone()) } else { None }
        };
        settings.iter().filter_map(manner).partition(Manner::is_break_glass)
    };
    let ((glass, shown), (tried_glass, tried)) = (split(shown), split(tried));
    let daily = shown == tried;
    let plain = if daily { Vec::new() } else { Manner::all_told(&shown, &tried) };
    let told = [plain, Manner::all_told(&glass, &tried_glass)].concat();
    let too = if daily && !told.is_empty() { " too" } else { "" };
    (!told.is_empty()).then(|| format!("{}{too}", told.join(", ")))
}

impl Change {
    pub(super) fn as_json(&self, extent: &Extent, accounts: &BTreeSet<String>) -> Value {
        let others: serde_json::Map<String, Value> =
            extent.others.iter().map(|(kind, values)| ((*kind).to_owned(), json!(values))).collect();
        json!({
            "who": self.who,
            "action": self.what,
            "accounts": accounts,
            "before": self.before,
            "after": self.after,
            "by": self.by,
            "times": extent.times,
            "manners": extent.manners,
            "circumstances": others,
        })
    }

    pub(super) fn as_text(
        &self,
        extent: &Extent,
        accounts: &BTreeSet<String>,
        inventory: &Inventory,
    ) -> String {
        let on = match self.place {
            Place::Accounts => format!(" on {}", place(accounts, inventory)),
            Place::Ca => String::new(),
        };
        let mut line =
            format!("{}: {}{on}: {} -> {} ({})", self.who, self.what, self.before, self.after, self.by);
        for more in &extent.lines {
            line.push_str(&format!("\n    {more}"));
        }
        line
    }
}

/// The accounts by name if they are few, else how many there are and which groups all of them are in.
fn place(accounts: &BTreeSet<String>, inventory: &Inventory) -> String {
    if accounts.len() <= NAMED {
        return accounts.iter().cloned().collect::<Vec<_>>().join(", ");
    }
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
