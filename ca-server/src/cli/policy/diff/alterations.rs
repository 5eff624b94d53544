//! Which policies are not the same in both sets, and whether any answer shows it: what shows nowhere is told by name, so
//! that silence never reads as "nothing changes".

use std::collections::BTreeSet;

use jit_ssh_core::policy::{Alteration, Altered};
use serde_json::{Value, json};

/// What was seen of the policies that are not the same.
#[derive(Default)]
pub(super) struct Seen {
    /// Those whose scope fitted a question.
    pub(super) fitted: BTreeSet<String>,
    /// Those that an answer is by which is another in the two sets.
    pub(super) told: BTreeSet<String>,
}

/// How much is known of a policy that is not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// An answer shows it.
    Told,
    /// It gives and takes what it did.
    Alike,
    /// Its scope fits questions, and no answer shows it.
    Untold,
    /// Its scope fits no question.
    Unasked,
}

fn known(altered: &Altered, seen: &Seen) -> Known {
    match altered.how {
        Alteration::Renamed(_) | Alteration::Reworded => Known::Alike,
        Alteration::Added | Alteration::Removed | Alteration::Changed => {
            if seen.told.contains(&altered.id) {
                Known::Told
            } else if seen.fitted.contains(&altered.id) {
                Known::Untold
            } else {
                Known::Unasked
            }
        }
    }
}

/// How many no answer shows.
pub(super) fn untold(all: &[Altered], seen: &Seen) -> usize {
    untold_of(all, seen).count()
}

/// The ids of those that no answer shows.
pub(super) fn untold_of<'a>(all: &'a [Altered], seen: &Seen) -> impl Iterator<Item = &'a str> {
    let is_untold = |one: &&Altered| matches!(known(one, seen), Known::Untold | Known::Unasked);
    all.iter().filter(is_untold).map(|one| one.id.as_str())
}

/// What is to be said of one; nothing where the answers have said it.
pub(super) fn line(altered: &Altered, seen: &Seen) -> Option<String> {
    let id = &altered.id;
    let what = match &altered.how {
        Alteration::Renamed(old) => {
            return Some(format!("policy {old} is now called {id}, and says the same"));
        }
        Alteration::Reworded => return Some(format!("policy {id}: only what people are told of it changed")),
        Alteration::Added => "is new",
        Alteration::Removed => "is gone",
        Alteration::Changed => "changed",
    };
    let why = match known(altered, seen) {
        Known::Told | Known::Alike => return None,
        Known::Untold => {
            "no question asked tells the two apart: add a case to policies/NAME.test.toml that it decides"
        }
        Known::Unasked => {
            "nobody and nothing that was asked for is in its scope: add an [identity] and a case to \
             policies/NAME.test.toml; `policy check` says if there can be none"
        }
    };
    Some(format!("policy {id} {what}, and {why}"))
}

/// The same for programs, of every one.
pub(super) fn as_json(altered: &Altered, seen: &Seen) -> Value {
    let (how, old) = match &altered.how {
        Alteration::Added => ("added", None),
        Alteration::Removed => ("removed", None),
        Alteration::Changed => ("changed", None),
        Alteration::Renamed(old) => ("renamed", Some(old)),
        Alteration::Reworded => ("reworded", None),
    };
    let told = match known(altered, seen) {
        Known::Told => "yes",
        Known::Alike => "alike",
        Known::Untold => "no",
        Known::Unasked => "unasked",
    };
    json!({ "policy": altered.id, "alteration": how, "old_id": old, "told": told })
}
