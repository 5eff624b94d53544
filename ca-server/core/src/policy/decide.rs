//! The decision itself: each account × action on its own, offers never mixed, any `forbid` or error denies.

use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use cedar_policy::PolicyId;
use cedar_policy_core::ast::{Context, EntityUID};
use cedar_policy_core::entities::Entities;
use jit_ssh_proto::{Account, Action, Code, Span, UserKey};

use super::annotations::{Approvals, Offer, Rule};
use super::conditions::{Condition, Question as Put};
use super::facts::{self, Asking, Untold};
use super::reach::{Reached, reach};
use super::{Allowed, Circumstances, Decision, Denial, Rules, refusal};
use crate::identity::VerifiedIdentity;
use crate::inventory::Host;
use crate::places::Places;
use crate::request::AccessRequest;

/// A pair of account and action, and what it comes to.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    pub(super) account: &'a Account,
    pub(super) action: Action,
    pub(super) verdict: Verdict<'a>,
}

/// What one pair of account and action comes to.
#[derive(Debug)]
pub(super) enum Verdict<'a> {
    /// Policies failed (none if the question itself could not be put).
    Failed(BTreeSet<PolicyId>),
    /// These forbid what another would have allowed.
    Forbidden(BTreeSet<PolicyId>),
    /// Nothing to be had. Policies that failed, about an account that the caller has no part in: the ledger names them,
    /// and the caller is told what they are told of any other account.
    NoAccess(BTreeSet<PolicyId>),
    /// The longest that would do.
    TooLong(Span),
    /// Only with the consent of others.
    NeedsApproval(Terms<'a>, &'a Approvals),
    Allowed(Terms<'a>),
}

/// An offer that may be taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) id: &'a PolicyId,
    pub(super) offer: &'a Offer,
    pub(super) time: Span,
}

/// Permits that the caller can take.
type Offers<'a> = Vec<(&'a PolicyId, &'a Offer)>;

/// Everything about a request that is the same for each of its pairs.
struct Question<'a> {
    rules: &'a Rules,
    identity: &'a VerifiedIdentity,
    request: &'a AccessRequest,
    key: &'a UserKey,
    at: &'a Circumstances,
    accounts: Vec<(&'a Account, Host<'a>)>,
    principal: EntityUID,
    entities: Entities,
}

impl From<Untold> for Verdict<'_> {
    fn from(_: Untold) -> Self {
        Self::Failed(BTreeSet::new())
    }
}

/// Decides a request.
pub(super) fn decide(
    rules: &Rules,
    identity: &VerifiedIdentity,
    request: &AccessRequest,
    key: &UserKey,
    at: &Circumstances,
) -> Decision {
    let supposed = Supposed { rules, identity, request, key, at };
    match reached(supposed) {
        Ok(reached) => judged(supposed, &reached).1,
        Err(denial) => Decision::Denied(denial),
    }
}

/// The hosts that a request comes to, before any policy is asked.
///
/// # Errors
/// Why none is to be asked.
pub(super) fn reached(supposed: Supposed<'_>) -> Result<Reached<'_>, Denial> {
    let Supposed { rules, identity, request, at, .. } = supposed;
    // 0. Not every way to log in may break glass, whatever policy says.
    if request.break_glass() && !identity.is_privileged() {
        return Err(refusal::not_privileged(identity, "break glass"));
    }
    // Nor are guests asked about any more when their last day is over.
    if let Some(denial) = rules.ended(identity, at) {
        return Err(denial);
    }
    // 1. What the inventory does not offer does not exist.
    reach(&rules.inventory, request.accounts(), &rules.limits).ok_or_else(refusal::no_access)
}

/// Decides a request, and says what each of its pairs comes to, as far as it came to that.
pub(super) fn judged<'a>(supposed: Supposed<'a>, reached: &'a Reached<'a>) -> (Vec<Judged<'a>>, Decision) {
    let Supposed { rules, identity, request, key, at } = supposed;
    let accounts: Vec<(&Account, Host<'_>)> = reached.accounts.iter().map(|(a, host)| (a, *host)).collect();
    let Ok(entities) = rules.vocabulary.entities(identity, accounts.iter().copied()) else {
        return (Vec::new(), Decision::Denied(refusal::failed(&BTreeSet::new())));
    };
    let principal = rules.vocabulary.principal(identity);
    let question = Question { rules, identity, request, key, at, accounts, principal, entities };

    // 2. How long: what was asked, or what the offers give.
    match request.duration() {
        Some(asked) => question.decide(Some(asked), reached),
        None => question.longest(reached),
    }
}

impl<'a> Question<'a> {
    /// Where policies look at the duration, a request without one is asked for each length that an offer gives, the
    /// longest first, as though it had named it: so that no policy is told of another length than the one that is
    /// given. Only policies whose scope fits count, for what they look at and for what they give.
    fn longest(&self, reached: &Reached<'_>) -> (Vec<Judged<'a>>, Decision) {
        let Ok(lengths) = self.lengths() else {
            return (Vec::new(), Decision::Denied(refusal::failed(&BTreeSet::new())));
        };
        let mut last = None;
        for length in lengths.into_iter().rev() {
            let (pairs, decision) = self.decide(Some(length), reached);
            match &decision {
                // Where nothing is to be had alone, what policy gives all the same is: the longest.
                Decision::Denied(denial) if denial.code != Code::PolicyError => {
                    if !matches!(&last, Some((_, Decision::Denied(last))) if given(last.code)) {
                        last = Some((pairs, decision));
                    }
                }
                Decision::Allowed(_) | Decision::Denied(_) => return (pairs, decision),
            }
        }
        last.unwrap_or_else(|| self.decide(None, reached))
    }

    /// The lengths that a request without one is decided for; none if the length is of no consequence for what
    /// matches.
    fn lengths(&self) -> Result<BTreeSet<Span>, Untold> {
        let (mut lengths, mut looked_at) = (BTreeSet::new(), false);
        let Rules { vocabulary, compiled, .. } = self.rules;
        // Most sets have no such policy at all.
        if !compiled.looked.at("duration") {
            return Ok(lengths);
        }
        for (account, _) in &self.accounts {
            for action in self.request.actions() {
                let asked = (&self.principal, &vocabulary.action(action)?, &vocabulary.account(account));
                let (given, looks) = compiled.conditions.lengths(asked, &self.entities);
                lengths.extend(given.into_iter().map(|says| self.rules.given_for(says)));
                looked_at |= looks;
            }
        }
        Ok(if looked_at { lengths } else { BTreeSet::new() })
    }

    fn decide(&self, asked: Option<Span>, reached: &Reached<'_>) -> (Vec<Judged<'a>>, Decision) {
        // 3. Every pair on its own.
        let mut verdicts = Vec::new();
        let mut contexts = BTreeMap::new();
        for (account, _) in &self.accounts {
            for action in self.request.actions() {
                let verdict = self.pair(account, action, asked, &mut contexts);
                verdicts.push(Judged { account, action, verdict });
            }
        }
        // 4. One answer for all.
        let refused = refusal::of(&verdicts, &self.rules.compiled);
        if let Some(denial) = refused.as_ref().filter(|denial| !given(denial.code)) {
            return (verdicts, Decision::Denied(denial.clone()));
        }
        // 5. What policy gives may still be more than one certificate can say, and then nobody's approval helps.
        let decision = match (reached.places(self.request, self.rules), refused) {
            (Err(denial), _) | (Ok(_), Some(denial)) => Decision::Denied(denial),
            (Ok(places), None) => self.allow(&verdicts, places),
        };
        (verdicts, decision)
    }

    /// One account and one action. Only `exec` is told the command, so there are two contexts at most.
    fn pair(
        &self,
        account: &Account,
        action: Action,
        asked: Option<Span>,
        contexts: &mut BTreeMap<bool, Context>,
    ) -> Verdict<'a> {
        let context = match contexts.entry(action == Action::Exec) {
            Entry::Occupied(made) => made.get().clone(),
            Entry::Vacant(space) => match self.context(action, asked) {
                Ok(context) => space.insert(context).clone(),
                Err(untold) => return untold.into(),
            },
        };
        match self.ask(account, action, context) {
            Ok(offers) => choose(self.rules, offers, asked),
            Err(verdict) => verdict,
        }
    }

    fn context(&self, action: Action, asked: Option<Span>) -> Result<Context, Untold> {
        // Without a length here, no policy looks at it.
        let length = asked.unwrap_or(self.rules.default_ttl);
        let asking = Asking::of(self.request, action);
        facts::context(self.rules.telling(), self.identity, &asking, length, self.key, self.at)
    }

    /// The policies that match one account and one action.
    fn matched(
        &self,
        account: &Account,
        action: Action,
        context: Context,
    ) -> Result<BTreeSet<&'a PolicyId>, Verdict<'a>> {
        let vocabulary = &self.rules.vocabulary;
        let question = Put {
            principal: self.principal.clone(),
            action: vocabulary.action(action)?,
            resource: vocabulary.account(account),
            context,
        };
        self.rules.compiled.conditions.matched(question, &self.entities).map_err(Verdict::Failed)
    }

    /// Puts one question to Cedar. Any error in any policy is a no, also where Cedar alone would go on without it.
    fn ask(&self, account: &Account, action: Action, context: Context) -> Result<Offers<'a>, Verdict<'a>> {
        let matched = match self.matched(account, action, context) {
            Err(Verdict::Failed(ids)) if !ids.is_empty() && !self.has_part(account, action)? => {
                return Err(Verdict::NoAccess(ids));
            }
            matched => matched?,
        };
        let is_forbid = |id: &&&PolicyId| match self.rules.compiled.rules.get(**id) {
            Some(Rule::Permit(_)) => false,
            Some(Rule::Forbid(_)) | None => true,
        };
        let forbids: BTreeSet<PolicyId> = matched.iter().filter(is_forbid).map(|id| (*id).clone()).collect();
        if forbids.is_empty() {
            return Ok(self.offers(&matched));
        }
        // Somebody without any part in the host is told what they are told of every other: nothing.
        Err(if self.has_part(account, action)? { Verdict::Forbidden(forbids) } else { nothing() })
    }

    /// Whether some permit is for this caller and for any login of the account's host, whatever its action and
    /// conditions.
    fn has_part(&self, account: &Account, action: Action) -> Result<bool, Verdict<'a>> {
        let Rules { vocabulary, compiled, inventory, .. } = self.rules;
        let Some(host) = inventory.account(account) else { return Ok(false) };
        let logins: Vec<Account> = host
            .logins()
            .iter()
            .map(|login| Account { login: login.clone(), place: account.place.clone() })
            .collect();
        let accounts = logins.iter().map(|account| (account, host));
        let entities = vocabulary.entities(self.identity, accounts)?;
        for login in &logins {
            let asked = (&self.principal, &vocabulary.action(action)?, &vocabulary.account(login));
            if compiled.conditions.has_offer(asked, &entities) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The permits among what matched that this caller can take: under break-glass those for it, else the others.
    fn offers(&self, matched: &BTreeSet<&'a PolicyId>) -> Offers<'a> {
        matched
            .iter()
            .filter_map(|id| match self.rules.compiled.rules.get_key_value(id)? {
                (id, Rule::Permit(offer)) => Some((id, offer)),
                (_, Rule::Forbid(_)) => None,
            })
            .filter(|(_, offer)| {
                offer.break_glass == self.request.break_glass() && (!offer.verify || self.key.is_fido())
            })
            .collect()
    }

    /// Every pair is allowed: the shortest time and every restriction.
    fn allow(&self, verdicts: &[Judged<'_>], places: Places) -> Decision {
        let mut duration: Option<Span> = None;
        let (mut pin_source, mut verify_required) = (false, false);
        let mut policies = BTreeSet::new();
        for judged in verdicts {
            match &judged.verdict {
                Verdict::Allowed(terms) => {
                    duration = Some(duration.map_or(terms.time, |d| d.min(terms.time)));
                    pin_source |= terms.offer.pin_source;
                    verify_required |= terms.offer.verify;
                    policies.insert(terms.id.to_string());
                }
                // `refusal` has seen to these; were it wrong, the answer is still no.
                Verdict::Failed(_)
                | Verdict::Forbidden(_)
                | Verdict::NoAccess(_)
                | Verdict::TooLong(_)
                | Verdict::NeedsApproval(..) => return Decision::Denied(refusal::no_access()),
            }
        }
        match duration {
            Some(duration) => Decision::Allowed(Allowed {
                places: Arc::new(places),
                issuer: self.identity.issuer().clone(),
                name: self.identity.name().clone(),
                request: self.request.clone(),
                duration,
                pin_source,
                verify_required,
                policies: policies.into_iter().collect(),
                digest: self.rules.digest.clone(),
            }),
            None => Decision::Denied(refusal::no_access()),
        }
    }
}

/// What is asked: by whom, of whom, and in which circumstances. Also of what is only supposed, to explain an answer.
#[derive(Clone, Copy)]
pub(super) struct Supposed<'a> {
    pub(super) rules: &'a Rules,
    pub(super) identity: &'a VerifiedIdentity,
    pub(super) request: &'a AccessRequest,
    pub(super) key: &'a UserKey,
    pub(super) at: &'a Circumstances,
}

impl<'a> Supposed<'a> {
    /// The question about one account only. None if it is unknown.
    fn question(self, account: &'a Account) -> Option<Result<Question<'a>, Untold>> {
        let Self { rules, identity, request, key, at } = self;
        let accounts = Vec::from([(account, rules.inventory.account(account)?)]);
        let entities = rules.vocabulary.entities(identity, accounts.iter().copied());
        let principal = rules.vocabulary.principal(identity);
        let question =
            |entities| Question { rules, identity, request, key, at, accounts, principal, entities };
        Some(entities.map(question))
    }

    /// The lengths that one account and one action are decided for, as the decision takes them: the longest first.
    pub(super) fn lengths(self, account: &'a Account) -> Vec<Option<Span>> {
        if let Some(asked) = self.request.duration() {
            return Vec::from([Some(asked)]);
        }
        let lengths = self.question(account).and_then(|question| question.ok()?.lengths().ok());
        let lengths: Vec<Option<Span>> = lengths.unwrap_or_default().into_iter().rev().map(Some).collect();
        if lengths.is_empty() { Vec::from([None]) } else { lengths }
    }

    /// What one account and one action come to, for that long.
    pub(super) fn pair(self, account: &'a Account, action: Action, asked: Option<Span>) -> Verdict<'a> {
        if self.rules.ended(self.identity, self.at).is_some() {
            return nothing();
        }
        match self.question(account) {
            None => nothing(),
            Some(Err(untold)) => untold.into(),
            Some(Ok(question)) => question.pair(account, action, asked, &mut BTreeMap::new()),
        }
    }

    /// The policies whose scope fits the caller and this account, whatever their actions and conditions. None if there
    /// is no such account, or no permit of the caller's for any login of its host.
    pub(super) fn parts(self, account: &'a Account) -> Option<Vec<&'a Condition>> {
        let question = self.question(account)?.ok()?;
        let action = Action::from(self.request.mode());
        if question.has_part(account, action).ok()? { self.fitting(account) } else { None }
    }

    /// The same, of this login alone. None if there is no such account.
    pub(super) fn fitting(self, account: &'a Account) -> Option<Vec<&'a Condition>> {
        let question = self.question(account)?.ok()?;
        let Rules { vocabulary, compiled, .. } = self.rules;
        // The action is of no consequence to a scope.
        let action = vocabulary.action(Action::from(self.request.mode())).ok()?;
        let asked = (&question.principal, &action, &vocabulary.account(account));
        Some(compiled.conditions.in_scope(asked, &question.entities))
    }
}

/// Whether what is refused so is given by policy: with the approval of others, or for other places.
fn given(code: Code) -> bool {
    matches!(code, Code::ApprovalRequired | Code::TooManyHosts | Code::AskSeparately | Code::NotAvailable)
}

/// What one pair comes to before anything is made of it: the policies that match, or those that fail.
#[cfg(test)]
pub(super) fn judge(
    rules: &Rules,
    (identity, request, key, at): (&VerifiedIdentity, &AccessRequest, &UserKey, &Circumstances),
    account: &Account,
    action: Action,
) -> Result<BTreeSet<alloc::string::String>, BTreeSet<alloc::string::String>> {
    let names = |ids: BTreeSet<&PolicyId>| ids.into_iter().map(ToString::to_string).collect();
    let reached = reach(&rules.inventory, request.accounts(), &rules.limits).unwrap();
    let accounts: Vec<_> = reached.accounts.iter().map(|(a, host)| (a, *host)).collect();
    let entities = rules.vocabulary.entities(identity, accounts.iter().copied()).unwrap();
    let principal = rules.vocabulary.principal(identity);
    let question = Question { rules, identity, request, key, at, accounts, principal, entities };
    let context = question.context(action, request.duration()).unwrap();
    match question.matched(account, action, context) {
        Ok(matched) => Ok(names(matched)),
        Err(Verdict::Failed(errors)) => Err(names(errors.iter().collect())),
        Err(other) => panic!("{other:?}"),
    }
}

/// Nothing to be had, and nothing went wrong.
fn nothing<'a>() -> Verdict<'a> {
    Verdict::NoAccess(BTreeSet::new())
}

/// The cheapest offer that is long enough: no approval before approval, fewer approvals, longer time, policy id.
fn choose<'a>(rules: &Rules, offers: Offers<'a>, asked: Option<Span>) -> Verdict<'a> {
    let time = |offer: &Offer| rules.given_for(offer.ttl);
    let cost = |(id, offer): &(&'a PolicyId, &'a Offer)| {
        (offer.approvals.as_ref().map_or(0, |a| a.count), core::cmp::Reverse(time(offer)), *id)
    };
    let long_enough = |offer: &Offer| asked.is_none_or(|asked| time(offer) >= asked);
    match offers.iter().filter(|(_, offer)| long_enough(offer)).copied().min_by_key(cost) {
        Some((id, offer)) => {
            let terms = Terms { id, offer, time: asked.unwrap_or_else(|| time(offer)) };
            match &offer.approvals {
                None => Verdict::Allowed(terms),
                Some(approvals) => Verdict::NeedsApproval(terms, approvals),
            }
        }
        // The cheapest of those that are too short: without approval, then the longest.
        None => {
            offers.into_iter().min_by_key(cost).map_or(nothing(), |(_, offer)| Verdict::TooLong(time(offer)))
        }
    }
}
