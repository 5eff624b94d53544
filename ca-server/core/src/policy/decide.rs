//! The decision itself: each account × action on its own, offers never mixed, any `forbid` or error denies.

use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;

use cedar_policy::{Context, Entities, PolicyId, PolicySet, Request};
use jit_ssh_proto::{Account, Action, Span, UserKey};

use super::annotations::{Approvals, Offer, Rule};
use super::facts::{self, Untold};
use super::{Allowed, Circumstances, Decision, Rules, refusal};
use crate::identity::VerifiedIdentity;
use crate::inventory::{Host, PrincipalStyle};
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
    NoAccess,
    /// The longest that would do.
    TooLong(Span),
    /// Only with the consent of others.
    NeedsApproval(&'a PolicyId, &'a Approvals),
    Allowed(Terms<'a>),
}

/// The offer that was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    id: &'a PolicyId,
    offer: &'a Offer,
    time: Span,
}

/// What Cedar says to one question.
struct Answer<'a> {
    offers: Vec<(&'a PolicyId, &'a Offer)>,
    forbids: BTreeSet<PolicyId>,
}

/// Everything about a request that is the same for each of its pairs.
struct Question<'a> {
    rules: &'a Rules,
    identity: &'a VerifiedIdentity,
    request: &'a AccessRequest,
    key: &'a UserKey,
    at: &'a Circumstances,
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
    // 1. What the inventory does not offer does not exist.
    let mut accounts: Vec<(&Account, &Host)> = Vec::new();
    for account in request.accounts() {
        match rules.inventory.account(account) {
            Some(host) => accounts.push((account, host)),
            None => return Decision::Denied(refusal::no_access()),
        }
    }
    let Ok(entities) = rules.vocabulary.entities(identity, accounts.iter().copied(), &rules.inventory, None)
    else {
        return Decision::Denied(refusal::failed(&BTreeSet::new()));
    };
    let question = Question { rules, identity, request, key, at, entities };

    // 2. Every pair on its own.
    let mut verdicts = question.verdicts(&accounts, request.duration());

    // 3. Without a duration the shortest offer sets it. Where policies look at the duration, they are asked about the
    //    one that all pairs would get.
    if request.duration().is_none() && !rules.compiled.lengths.is_empty() {
        let times: BTreeSet<Span> = verdicts.iter().filter_map(|judged| judged.verdict.time()).collect();
        if let (Some(shortest), true) = (times.first(), times.len() > 1) {
            verdicts = question.verdicts(&accounts, Some(*shortest));
        }
    }

    // 4. One answer.
    if let Some(denial) = refusal::of(&verdicts, &rules.compiled) {
        return Decision::Denied(denial);
    }
    // 5. What is allowed may still be beyond this version.
    match accounts.iter().find(|(_, host)| host.principals == PrincipalStyle::Login) {
        Some((_, host)) => Decision::Denied(refusal::login_style(&host.name)),
        None => grant(rules, &verdicts),
    }
}

impl<'a> Question<'a> {
    fn verdicts(&self, accounts: &[(&'a Account, &'a Host)], asked: Option<Span>) -> Vec<Judged<'a>> {
        let mut verdicts = Vec::new();
        let mut contexts = BTreeMap::new();
        for (account, _) in accounts {
            for action in self.request.actions() {
                let verdict = self.pair(account, action, asked, &mut contexts);
                verdicts.push(Judged { account, action, verdict });
            }
        }
        verdicts
    }

    /// One account and one action.
    fn pair(
        &self,
        account: &Account,
        action: Action,
        asked: Option<Span>,
        contexts: &mut BTreeMap<(bool, Span), Context>,
    ) -> Verdict<'a> {
        // Without a duration, each length that an offer gives is a question of its own, if policies look at it.
        let lengths = &self.rules.compiled.lengths;
        let candidates: Vec<(Span, Option<Span>)> = match asked {
            Some(asked) => Vec::from([(asked, None)]),
            None if lengths.is_empty() => Vec::from([(self.rules.default_ttl, None)]),
            None => lengths.iter().map(|length| (*length, Some(*length))).collect(),
        };
        let mut offers = Vec::new();
        let mut forbids = BTreeSet::new();
        for (length, only) in candidates {
            let context = match contexts.entry((action == Action::Exec, length)) {
                Entry::Occupied(made) => made.get().clone(),
                Entry::Vacant(space) => {
                    match facts::context(self.identity, self.request, action, length, self.key, self.at) {
                        Ok(context) => space.insert(context).clone(),
                        Err(untold) => return untold.into(),
                    }
                }
            };
            let answer = match self.ask(account, action, context) {
                Ok(answer) => answer,
                Err(verdict) => return verdict,
            };
            offers
                .extend(answer.offers.into_iter().filter(|(_, o)| only.is_none_or(|length| o.ttl == length)));
            forbids.extend(answer.forbids);
        }
        if offers.is_empty() && !forbids.is_empty() {
            return Verdict::Forbidden(forbids);
        }
        choose(offers, asked)
    }

    /// Puts one question to Cedar. Any error in any policy is a no, also where Cedar alone would go on without it.
    fn ask(&self, account: &Account, action: Action, context: Context) -> Result<Answer<'a>, Verdict<'a>> {
        let vocabulary = &self.rules.vocabulary;
        let principal = vocabulary.principal(self.identity);
        let request =
            Request::new(principal, vocabulary.action(action)?, vocabulary.account(account), context, None)
                .map_err(|_| Untold)?;
        let compiled = &self.rules.compiled;
        let matched = self.matched(&request, &compiled.all)?;
        let forbids: BTreeSet<PolicyId> = matched
            .iter()
            .filter(|id| matches!(compiled.rules.get(*id), Some(Rule::Forbid(_)) | None))
            .cloned()
            .collect();
        if forbids.is_empty() {
            return Ok(Answer { offers: self.offers(&matched), forbids });
        }
        // Somebody without any part in the account is told what they are told of every other: nothing.
        let part = self.offers(&self.matched(&request, &compiled.permits)?);
        Ok(Answer { offers: Vec::new(), forbids: if part.is_empty() { BTreeSet::new() } else { forbids } })
    }

    fn matched(&self, request: &Request, policies: &PolicySet) -> Result<BTreeSet<PolicyId>, Verdict<'a>> {
        let response = self.rules.compiled.authorizer.is_authorized(request, policies, &self.entities);
        let errors: BTreeSet<PolicyId> = response
            .diagnostics()
            .errors()
            .map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(e) => e.policy_id().clone(),
            })
            .collect();
        if errors.is_empty() {
            Ok(response.diagnostics().reason().cloned().collect())
        } else {
            Err(Verdict::Failed(errors))
        }
    }

    /// The permits among what matched that this caller can take.
    fn offers(&self, matched: &BTreeSet<PolicyId>) -> Vec<(&'a PolicyId, &'a Offer)> {
        matched
            .iter()
            .filter_map(|id| match self.rules.compiled.rules.get_key_value(id)? {
                (id, Rule::Permit(offer)) => Some((id, offer)),
                (_, Rule::Forbid(_)) => None,
            })
            .filter(|(_, offer)| !offer.break_glass && (!offer.verify || self.key.is_fido()))
            .collect()
    }
}

/// The cheapest offer that is long enough: no approval before approval, fewer approvals, longer time, policy id.
fn choose<'a>(offers: Vec<(&'a PolicyId, &'a Offer)>, asked: Option<Span>) -> Verdict<'a> {
    let cost = |(id, offer): &(&'a PolicyId, &'a Offer)| {
        (offer.approvals.as_ref().map_or(0, |a| a.count), core::cmp::Reverse(offer.ttl), *id)
    };
    let long_enough = |offer: &Offer| asked.is_none_or(|asked| offer.ttl >= asked);
    match offers.iter().filter(|(_, offer)| long_enough(offer)).copied().min_by_key(cost) {
        Some((id, offer)) => match &offer.approvals {
            None => Verdict::Allowed(Terms { id, offer, time: asked.unwrap_or(offer.ttl) }),
            Some(approvals) => Verdict::NeedsApproval(id, approvals),
        },
        // The cheapest of those that are too short: without approval, then the longest.
        None => {
            offers.into_iter().min_by_key(cost).map_or(Verdict::NoAccess, |(_, o)| Verdict::TooLong(o.ttl))
        }
    }
}

impl Verdict<'_> {
    fn time(&self) -> Option<Span> {
        match self {
            Self::Allowed(terms) => Some(terms.time),
            Self::Failed(_)
            | Self::Forbidden(_)
            | Self::NoAccess
            | Self::TooLong(_)
            | Self::NeedsApproval(..) => None,
        }
    }
}

/// Every pair is allowed: the shortest time and every restriction.
fn grant(rules: &Rules, verdicts: &[Judged<'_>]) -> Decision {
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
            | Verdict::NoAccess
            | Verdict::TooLong(_)
            | Verdict::NeedsApproval(..) => return Decision::Denied(refusal::no_access()),
        }
    }
    match duration {
        Some(duration) => Decision::Allowed(Allowed {
            duration,
            pin_source,
            verify_required,
            policies: policies.into_iter().collect(),
            digest: rules.digest.clone(),
        }),
        None => Decision::Denied(refusal::no_access()),
    }
}
