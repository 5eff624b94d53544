//! What a mode of an account takes now: nothing of the caller, or what they can add to a request at once.

use alloc::string::ToString;
use alloc::vec::Vec;

use jit_ssh_proto::wire::ReachableMode;
use jit_ssh_proto::{Account, Action, Code, Command, Mode, Modifier, UserKey};

use super::super::annotations::Rule;
use super::super::decide::Supposed;
use super::super::{Circumstances, Rules};
use super::Calendar;
use super::ask::Asker;
use super::change::Found;
use super::looks::Looks;
use super::search::taken_now;
use crate::identity::VerifiedIdentity;
use crate::places::said_by_certificate;
use crate::request::AccessRequest;

/// How many of the commands that policies name are tried.
const COMMANDS: usize = 3;

/// A command that no policy means.
const ANY_COMMAND: &str = "true";

/// What a mode takes, and on which terms it is to be had; none if it is not.
pub(in super::super) fn needed(
    (rules, identity, key, at): (&Rules, &VerifiedIdentity, &UserKey, &Circumstances),
    calendar: &dyn Calendar,
    account: &Account,
    mode: Mode,
) -> Option<ReachableMode> {
    // 0. What no certificate can say is not to be had, and what nothing signs for not yet.
    let host = rules.inventory.account(account)?;
    let sayable = |action| host.authority().is_none() || said_by_certificate(action);
    if !sayable(Action::from(mode)) {
        return None;
    }
    // 1. Whether any permit speaks of it, which costs least to know, and of which commands.
    let request = AccessRequest::of(account.clone(), mode, None);
    let looks = looks(Supposed { rules, identity, request: &request, key, at }, account, Action::from(mode))?;
    // 2. As far as a request can be made: `exec` is for one command, any or one that a policy names.
    for command in commands(mode, &looks) {
        let request = AccessRequest::of(account.clone(), mode, command.clone());
        let supposed = Supposed { rules, identity, request: &request, key, at };
        let mut asker = Asker::new(supposed, calendar, Vec::from([account.clone()]));
        let Some(Found { change, terms }) = taken_now(&mut asker, account, Action::from(mode)) else {
            continue;
        };
        // 3. What may be added, for no more people's approval.
        let adds = |modifier: &Modifier| {
            let standing = asker.pair(&change, account, Action::from(*modifier));
            standing
                .as_ref()
                .and_then(|standing| standing.terms())
                .is_some_and(|adds| adds.approvals.iter().all(|approval| terms.approvals.contains(approval)))
        };
        let modifiers = if mode.takes_modifiers() {
            Modifier::ALL
                .into_iter()
                .filter(|modifier| sayable(Action::from(*modifier)))
                .filter(adds)
                .collect()
        } else {
            Vec::new()
        };
        let needs = change.facts.iter().copied().map(Into::into).collect();
        let command =
            command.filter(|command| command.as_str() != ANY_COMMAND).map(|command| command.to_string());
        let refused = match terms.approvals.as_slice() {
            _ if !rules.signs_for(host) => Some(Code::NotAvailable),
            [_, ..] => Some(Code::ApprovalRequired),
            [] => None,
        };
        return Some(ReachableMode { mode, modifiers, command, terms, needs, refused });
    }
    None
}

/// What the policies look at that may speak about a pair; none if no permit does.
fn looks(supposed: Supposed<'_>, account: &Account, action: Action) -> Option<Looks> {
    let Supposed { rules, .. } = supposed;
    let action = rules.vocabulary.action(action).ok()?;
    let (mut looks, mut permitted) = (Looks::default(), false);
    for condition in supposed.fitting(account)?.into_iter().filter(|condition| condition.speaks_of(&action)) {
        looks.add(condition.when());
        permitted |= match rules.compiled.rules.get(condition.id()) {
            Some(Rule::Permit(_)) => true,
            Some(Rule::Forbid(_)) | None => false,
        };
    }
    permitted.then_some(looks)
}

fn commands(mode: Mode, looks: &Looks) -> Vec<Option<Command>> {
    match mode {
        Mode::Exec => {
            let named = looks.commands.iter().map(alloc::string::String::as_str).take(COMMANDS);
            core::iter::once(ANY_COMMAND)
                .chain(named)
                .filter_map(|command| command.parse().ok())
                .map(Some)
                .collect()
        }
        Mode::Shell | Mode::Sftp | Mode::Forward | Mode::Jump => Vec::from([None]),
    }
}
