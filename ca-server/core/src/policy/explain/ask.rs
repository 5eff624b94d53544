//! Asking again, a bounded number of times: each answer is the decision's own, for a request that is otherwise in
//! something.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use cedar_policy::PolicyId;
use jit_ssh_proto::explanation::{Approval, Terms};
use jit_ssh_proto::{Account, Action, Span, UserKey};

use super::super::Circumstances;
use super::super::decide::{Judged, Supposed, Verdict, judged, reached};
use super::change::{Change, Fact};
use super::{Calendar, DECISIONS, QUESTIONS};
use crate::identity::VerifiedIdentity;
use crate::request::AccessRequest;

/// A key in a FIDO token, of which only that it is one is ever looked at.
const FIDO_KEY: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIB2phQr2MUYVQCpR2ZCnL9q3nBcP6nHSVpSWP0HcL1JmAAAABHNzaDo=";

/// What a pair, or a request, comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Allowed(Terms),
    /// Once others agree.
    Pending(Terms),
    /// This would be the longest.
    TooLong(Span),
    /// Nothing allows it, or these forbid it.
    Denied(BTreeSet<PolicyId>),
    Failed,
}

impl Standing {
    fn of(verdict: &Verdict<'_>) -> Self {
        match (verdict, terms(verdict)) {
            (Verdict::Allowed(_), Some(terms)) => Self::Allowed(terms),
            (Verdict::NeedsApproval(..), Some(terms)) => Self::Pending(terms),
            (Verdict::TooLong(most), _) => Self::TooLong(*most),
            (Verdict::Forbidden(ids), _) => Self::Denied(ids.clone()),
            (Verdict::NoAccess(_), _) => Self::Denied(BTreeSet::new()),
            (Verdict::Failed(_) | Verdict::Allowed(_) | Verdict::NeedsApproval(..), _) => Self::Failed,
        }
    }

    /// How far it is from being allowed.
    pub(super) fn distance(&self) -> u8 {
        match self {
            Self::Allowed(_) => 0,
            Self::Pending(_) => 1,
            Self::TooLong(_) => 2,
            Self::Denied(_) => 3,
            Self::Failed => 4,
        }
    }

    /// What would be granted, now or once it is approved.
    pub(super) fn terms(&self) -> Option<&Terms> {
        match self {
            Self::Allowed(terms) | Self::Pending(terms) => Some(terms),
            Self::TooLong(_) | Self::Denied(_) | Self::Failed => None,
        }
    }
}

/// What a request comes to, and the pair that stands most in its way.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) standing: Standing,
    pub(super) account: Account,
    pub(super) action: Action,
}

/// Whoever asks.
pub(super) struct Asker<'a> {
    pub(super) supposed: Supposed<'a>,
    pub(super) calendar: &'a dyn Calendar,
    /// Every account of a host that is asked for.
    pub(super) accounts: Vec<Account>,
    fido: Option<UserKey>,
    questions: usize,
    decisions: usize,
}

impl<'a> Asker<'a> {
    pub(super) fn new(supposed: Supposed<'a>, calendar: &'a dyn Calendar, accounts: Vec<Account>) -> Self {
        Self { supposed, calendar, accounts, fido: FIDO_KEY.parse().ok(), questions: 0, decisions: 0 }
    }

    /// How many questions were put.
    pub(super) fn questions(&self) -> usize {
        self.questions
    }

    /// How many questions there are still.
    pub(super) fn left(&self) -> usize {
        QUESTIONS.saturating_sub(self.questions)
    }

    /// How often the whole was decided again.
    pub(super) fn decisions(&self) -> usize {
        self.decisions
    }

    /// What one pair comes to if this is otherwise. None once there are no questions left.
    pub(super) fn pair(&mut self, change: &Change, account: &Account, action: Action) -> Option<Standing> {
        let rules = self.supposed.rules;
        let (identity, request, at) = self.otherwise(change);
        let key = self.key(change).clone();
        let supposed = Supposed { rules, identity: &identity, request: &request, key: &key, at: &at };
        // The same pair of the request as it would be.
        let account = match &change.login {
            Some(login) => Account { login: login.clone(), place: account.place.clone() },
            None => account.clone(),
        };
        let action = if change.mode.is_some() { Action::from(request.mode()) } else { action };
        // A request without a duration is asked for each length that an offer gives, as the decision does.
        let lengths = supposed.lengths(&account);
        let mut last = None;
        for length in lengths {
            if self.left() == 0 {
                return last;
            }
            self.questions = self.questions.saturating_add(1);
            match (Standing::of(&supposed.pair(&account, action, length)), &last) {
                (standing @ (Standing::Allowed(_) | Standing::Failed), _) => return Some(standing),
                // Nothing shorter is worth more, unless nobody has to approve it.
                (
                    Standing::Pending(_) | Standing::TooLong(_) | Standing::Denied(_),
                    Some(Standing::Pending(_)),
                ) => {}
                (standing @ (Standing::Pending(_) | Standing::TooLong(_) | Standing::Denied(_)), _) => {
                    last = Some(standing);
                }
            }
        }
        last
    }

    /// What the whole request comes to if this is otherwise. None once it was decided often enough.
    pub(super) fn whole(&mut self, change: &Change) -> Option<Whole> {
        if self.decisions >= DECISIONS {
            return None;
        }
        self.decisions = self.decisions.saturating_add(1);
        let rules = self.supposed.rules;
        let (identity, request, at) = self.otherwise(change);
        let key = self.key(change);
        let supposed = Supposed { rules, identity: &identity, request: &request, key, at: &at };
        let reached = reached(supposed).ok()?;
        let (pairs, _) = judged(supposed, &reached);
        whole(&pairs)
    }

    fn otherwise(&self, change: &Change) -> (VerifiedIdentity, AccessRequest, Circumstances) {
        let Supposed { identity, request, at, .. } = self.supposed;
        let who = change.identity(identity, at).unwrap_or_else(|| identity.clone());
        (who, change.request(request), change.circumstances(at, self.calendar))
    }

    fn key(&self, change: &Change) -> &UserKey {
        self.fido.as_ref().filter(|_| change.has(Fact::FidoKey)).unwrap_or(self.supposed.key)
    }
}

/// What pairs come to together. None if there are none.
pub(super) fn whole(pairs: &[Judged<'_>]) -> Option<Whole> {
    let each = pairs.iter().map(|judged| (judged, Standing::of(&judged.verdict)));
    // Of several that are as hard, the first.
    let (judged, standing) = each.rev().max_by_key(|(_, standing)| standing.distance())?;
    let standing = match (standing.terms(), merged(pairs)) {
        (Some(_), Some(terms)) if terms.approvals.is_empty() => Standing::Allowed(terms),
        (Some(_), Some(terms)) => Standing::Pending(terms),
        (Some(_), None) | (None, _) => standing,
    };
    Some(Whole { standing, account: judged.account.clone(), action: judged.action })
}

/// The terms of one pair, if it is given.
pub(super) fn terms(verdict: &Verdict<'_>) -> Option<Terms> {
    let (terms, approvals) = match verdict {
        Verdict::Allowed(terms) => (terms, Vec::new()),
        Verdict::NeedsApproval(terms, demand) => {
            (terms, Vec::from([Approval { count: demand.count, group: demand.group.clone() }]))
        }
        Verdict::Failed(_) | Verdict::Forbidden(_) | Verdict::NoAccess(_) | Verdict::TooLong(_) => {
            return None;
        }
    };
    let (duration, offer) = (terms.time, terms.offer);
    Some(Terms { duration, pin_source: offer.pin_source, verify: offer.verify, approvals })
}

/// The terms of all pairs together, if all are given: the shortest time, every restriction, every approval.
pub(super) fn merged(pairs: &[Judged<'_>]) -> Option<Terms> {
    let mut each = pairs.iter().map(|judged| terms(&judged.verdict));
    let mut all = each.next()??;
    for terms in each {
        let Terms { duration, pin_source, verify, approvals } = terms?;
        all.duration = all.duration.min(duration);
        all.pin_source |= pin_source;
        all.verify |= verify;
        all.approvals.extend(approvals);
    }
    all.approvals.sort();
    all.approvals.dedup();
    Some(all)
}
