//! What a caller could do otherwise, and a request as it would be then.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use jit_ssh_proto::explanation::Window as Told;
use jit_ssh_proto::explanation::{Advice, NearMiss, Terms};
use jit_ssh_proto::{Account, Mode, Modifier, Name, Span, Text, Timestamp};

use super::super::Circumstances;
use super::Calendar;
use super::windows::{Window, in_words};
use crate::identity::VerifiedIdentity;
use crate::request::{AccessRequest, Otherwise};

/// What stands in for what somebody would write.
const WRITTEN: &str = "because";

/// A fact about a request that is there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    Reason,
    Ticket,
    Login,
    FidoKey,
    BreakGlass,
}

impl From<Fact> for Advice {
    fn from(fact: Fact) -> Self {
        match fact {
            Fact::Reason => Self::GiveReason,
            Fact::Ticket => Self::GiveTicket,
            Fact::Login => Self::LoginAgain,
            Fact::FidoKey => Self::UseFidoKey,
            Fact::BreakGlass => Self::BreakGlass,
        }
    }
}

/// What is otherwise. Everything else is as it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) facts: Vec<Fact>,
    pub(super) length: Option<Span>,
    pub(super) window: Option<Window>,
    pub(super) login: Option<Name>,
    pub(super) mode: Option<Mode>,
    pub(super) without: BTreeSet<Modifier>,
}

impl Change {
    pub(super) fn has(&self, fact: Fact) -> bool {
        self.facts.contains(&fact)
    }

    pub(super) fn with(&self, fact: Fact) -> Self {
        let mut change = self.clone();
        if !change.has(fact) {
            change.facts.push(fact);
        }
        change
    }

    pub(super) fn but(&self, fact: Fact) -> Self {
        let mut change = self.clone();
        change.facts.retain(|other| *other != fact);
        change
    }

    pub(super) fn lasting(&self, length: Span) -> Self {
        Self { length: Some(length), ..self.clone() }
    }

    pub(super) fn during(&self, window: Window) -> Self {
        Self { window: Some(window), ..self.clone() }
    }

    /// When it would be asked.
    fn time(&self, at: &Circumstances) -> Timestamp {
        self.window.as_ref().map_or(at.now, |window| window.from)
    }

    /// The circumstances that it would be asked in.
    pub(super) fn circumstances(&self, at: &Circumstances, calendar: &dyn Calendar) -> Circumstances {
        let now = self.time(at);
        let local = if now == at.now { at.local.clone() } else { calendar.local(now) };
        Circumstances { now, local, source_ip: at.source_ip }
    }

    /// Who would ask: with a login that is as fresh then as it is now, or that is made then. None where nothing about it
    /// is known, for then nothing would be after another login either.
    pub(super) fn identity(
        &self,
        identity: &VerifiedIdentity,
        at: &Circumstances,
    ) -> Option<VerifiedIdentity> {
        let login = identity.auth_time()?;
        let time = self.time(at);
        let login = if self.has(Fact::Login) { time } else { login.plus(time.since(at.now)) };
        Some(identity.supposing_login(login))
    }

    /// What would be asked.
    pub(super) fn request(&self, request: &AccessRequest) -> AccessRequest {
        let text = |fact: Fact| if self.has(fact) { WRITTEN.parse::<Text>().ok() } else { None };
        let accounts = self.login.as_ref().map(|login| {
            let other = |account: &Account| Account { login: login.clone(), place: account.place.clone() };
            request.accounts().iter().map(other).collect()
        });
        request.supposing(Otherwise {
            accounts,
            mode: self.mode,
            without: self.without.clone(),
            duration: self.length,
            reason: text(Fact::Reason),
            ticket: text(Fact::Ticket),
            break_glass: self.has(Fact::BreakGlass),
        })
    }
}

/// A change that leads to another answer, and to these terms.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) change: Change,
    pub(super) terms: Terms,
}

impl Found {
    /// What it takes of people: that others agree, then broken glass, then waiting, then another login or mode than the one
    /// that was wanted, then how much there is to do.
    pub(super) fn cost(&self) -> (u32, bool, bool, bool, usize) {
        let Change { facts, length, window, login, mode, without } = &self.change;
        let approvals = self.terms.approvals.iter().map(|approval| u32::from(approval.count)).sum();
        let broken = self.change.has(Fact::BreakGlass);
        let other = login.is_some() || mode.is_some() || !without.is_empty();
        (
            approvals,
            broken,
            window.is_some(),
            other,
            facts.len().saturating_add(usize::from(length.is_some())),
        )
    }

    /// As the caller is told.
    pub(super) fn near_miss(self, calendar: &dyn Calendar, at: &Circumstances) -> NearMiss {
        let Change { mut facts, length, window, login, mode, without } = self.change;
        // Always in the same order, however they were found.
        facts.sort_unstable();
        let mut with: Vec<Advice> = Vec::new();
        with.extend(login.map(|login| Advice::AsLogin { login }));
        with.extend(mode.map(|mode| Advice::InMode { mode }));
        with.extend(without.into_iter().map(|modifier| Advice::Without { modifier }));
        with.extend(facts.into_iter().map(Advice::from));
        with.extend(length.map(|duration| Advice::ForAtMost { duration }));
        with.extend(window.map(|window| {
            let words = in_words(&window, calendar, at);
            Advice::Between(Told { from: window.from, until: window.until, words })
        }));
        with.extend(self.terms.approvals.iter().cloned().map(Advice::WithApproval));
        NearMiss { with, terms: self.terms }
    }
}
