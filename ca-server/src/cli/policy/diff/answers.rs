//! What both sets answer, and whether the two answers differ.

use std::collections::{BTreeMap, BTreeSet};

use jit_ssh_proto::{Code, Timestamp};

use super::super::ask::{Outcome, Question};
use super::super::case::{Answer, Case, Defaults, Who};
use super::super::person::Person;
use super::super::test::{Cases, person};
use super::circumstances::{Asking, Combination, Space};
use super::people::{Asker, as_known};
use super::setting::Setting;
use super::told::{Change, Extent, Place};
use super::{Comparison, Side};

impl Comparison {
    /// One thing, in all circumstances that count.
    pub(super) fn ask(
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
    pub(super) fn ask_cases(&mut self, cases: &Cases) {
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
/// What comes of it; none for what cannot be asked. Who is not let in by one of the two gets nothing there.
pub(super) fn put(case: &Case, defaults: &Defaults, person: &Person, side: &Side) -> Option<Outcome> {
    let known = as_known(person, &side.set);
    let identity = |now: Timestamp| known.identity(&side.set.excerpt, now);
    Question::of(case, defaults, identity, &side.set).ok().map(|question| question.put(&side.set))
}
