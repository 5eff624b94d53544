//! What somebody is asked for: every action on every account, and every verb. A question that concerns no policy which
//! is not the same in both sets is left out: that is decided here, and nowhere else.

use std::collections::BTreeSet;

use jit_ssh_core::identity::VerifiedIdentity;
use jit_ssh_core::policy::{Concerned, Verb};
use jit_ssh_proto::{Account, Action, Mode, Modifier};

use super::super::case::{Case, Who};
use super::people::Asker;
use super::{Comparison, Side};

/// What is asked for, besides who and where.
pub(super) const ACTIONS: [(&str, Mode, &[Modifier]); 8] = [
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

impl Comparison {
    /// Every action on every account, and every verb, as far as a change can concern it.
    pub(super) fn ask_for(
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
