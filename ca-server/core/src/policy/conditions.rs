//! When policies match: each one's scope and conditions as one expression, put to Cedar's evaluator one by one.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use cedar_policy::{ActionConstraint, Policy, PolicyId};
use cedar_policy_core::ast::{
    self, Context, EntityUID, EntityUIDEntry, Expr, ExprKind, Literal, Request, SlotEnv, ValueKind, Var,
};
use cedar_policy_core::entities::Entities;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use jit_ssh_proto::Span;

use super::annotations::Rule;
use super::facts::Looked;
use super::index::Index;
use super::verb::{self, Scope};

/// One question to all policies.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) principal: EntityUID,
    pub(super) action: EntityUID,
    pub(super) resource: EntityUID,
    pub(super) context: Context,
}

/// Who does what to what, without the circumstances.
pub(super) type Asked<'a> = (&'a EntityUID, &'a EntityUID, &'a EntityUID);

/// A list of conditions, and which of them a question can concern.
#[derive(Debug)]
pub(super) struct Conditions {
    list: Vec<Condition>,
    /// None to ask all of them, for comparison.
    index: Option<Index>,
}

/// When a policy matches. Two are equal if they say the same, wherever they stand.
#[derive(Debug, PartialEq)]
pub(super) struct Condition {
    id: PolicyId,
    /// The actions that it speaks of, if not of all: no need to ask it about others.
    actions: Option<BTreeSet<EntityUID>>,
    /// Whom and which accounts it is about.
    scope: Expr,
    /// What else must hold.
    when: Expr,
    /// What it looks at of the context.
    looked: Looked,
    /// How long it gives, if it is an offer of access to hosts.
    gives: Option<Span>,
}

impl Condition {
    /// A policy and what its annotations say.
    pub(super) fn of(policy: &Policy, rule: &Rule) -> Self {
        let ast: &ast::Policy = policy.as_ref();
        // No action is in another here, so that what is in a list is one of it.
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(uid) => Some(BTreeSet::from([uid.into()])),
            ActionConstraint::In(uids) => Some(uids.into_iter().map(Into::into).collect()),
        };
        let scope = Expr::and(ast.principal_constraint().as_expr(), ast.resource_constraint().as_expr());
        let when = ast.non_scope_constraints().cloned().unwrap_or_else(|| Expr::val(true));
        let gives = match rule {
            Rule::Permit(offer) if verb::scope(policy) != Scope::Verbs => Some(offer.ttl),
            Rule::Permit(_) | Rule::Forbid(_) => None,
        };
        let looked = looked(&when);
        Self { id: policy.id().clone(), actions, scope, when, looked, gives }
    }

    /// The policy's id.
    pub(super) fn id(&self) -> &PolicyId {
        &self.id
    }

    /// Whether another says what this one says, under whichever id.
    pub(super) fn says_what(&self, other: &Self) -> bool {
        (&self.actions, &self.scope, &self.when) == (&other.actions, &other.scope, &other.when)
    }

    /// Whether it may match a question about this action.
    pub(super) fn speaks_of(&self, action: &EntityUID) -> bool {
        self.actions.as_ref().is_none_or(|of| of.contains(action))
    }

    /// What must hold besides its scope.
    pub(super) fn when(&self) -> &Expr {
        &self.when
    }
}

/// Which members of the context an expression may look at; everything, where it makes anything else of the context.
fn looked(expr: &Expr) -> Looked {
    let is_context = |expr: &Expr| matches!(expr.expr_kind(), ExprKind::Var(Var::Context));
    let (mut uses, mut of_members) = (0_usize, 0_usize);
    let mut members = BTreeSet::new();
    for part in expr.subexpressions() {
        uses += usize::from(is_context(part));
        let member = if let ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } =
            part.expr_kind()
            && is_context(expr)
        {
            attr
        } else if let ExprKind::ExtHasAttr { expr, attrs } = part.expr_kind()
            && is_context(expr)
        {
            attrs.first()
        } else {
            continue;
        };
        of_members += 1;
        members.insert(member.as_str().into());
    }
    if uses == of_members { Looked::At(members) } else { Looked::Everything }
}

/// Whether an expression holds. None if it fails: Cedar takes nothing for a condition but yes and no.
fn holds(expr: &Expr, evaluator: &Evaluator<'_>) -> Option<bool> {
    // No policy of ours is a template with slots to fill.
    match evaluator.interpret(expr, &SlotEnv::new()) {
        Ok(ast::Value { value: ValueKind::Lit(Literal::Bool(answer)), loc: _ }) => Some(answer),
        Ok(_) | Err(_) => None,
    }
}

impl Conditions {
    /// The conditions of policies, in the same order.
    pub(super) fn new(policies: &[Policy], list: Vec<Condition>) -> Self {
        Self { list, index: Some(Index::new(policies.iter().map(AsRef::as_ref))) }
    }

    /// Every one, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Condition> {
        self.list.iter()
    }

    /// What any of them looks at of the context.
    pub(super) fn looked(&self) -> Looked {
        let nothing = Looked::At(BTreeSet::new());
        self.list.iter().fold(nothing, |all, condition| all.and(&condition.looked))
    }

    /// Forgets which question concerns whom: each is put to all.
    #[cfg(any(test, feature = "naive"))]
    pub(super) fn forget_index(&mut self) {
        self.index = None;
    }

    /// Those that a question can concern, whatever its action.
    fn concerned(&self, (principal, _, resource): Asked<'_>, entities: &Entities) -> Vec<&Condition> {
        match &self.index {
            Some(index) => index
                .about(principal, resource, entities)
                .into_iter()
                .filter_map(|number| self.list.get(usize::try_from(number).ok()?))
                .collect(),
            None => self.list.iter().collect(),
        }
    }

    #[cfg(test)]
    pub(super) fn concerned_count(
        &self,
        principal: &EntityUID,
        resource: &EntityUID,
        entities: &Entities,
    ) -> usize {
        self.concerned((principal, principal, resource), entities).len()
    }

    /// The policies that match. Cedar's own authorizer would go on without those that fail, and say nothing of permits
    /// where something forbids.
    ///
    /// # Errors
    /// Those that failed.
    pub(super) fn matched(
        &self,
        question: Question,
        entities: &Entities,
    ) -> Result<BTreeSet<&PolicyId>, BTreeSet<PolicyId>> {
        let Question { principal, action, resource, context } = question;
        let policies = self.concerned((&principal, &action, &resource), entities);
        let policies: Vec<&Condition> =
            policies.into_iter().filter(|policy| policy.speaks_of(&action)).collect();
        let evaluator = evaluator((&principal, &action, &resource), context, entities);
        let (mut matched, mut errors) = (BTreeSet::new(), BTreeSet::new());
        for policy in policies {
            let in_scope = holds(&policy.scope, &evaluator);
            let matches = if in_scope == Some(true) { holds(&policy.when, &evaluator) } else { in_scope };
            match matches {
                Some(true) => {
                    matched.insert(&policy.id);
                }
                Some(false) => {}
                None => {
                    errors.insert(policy.id.clone());
                }
            }
        }
        if errors.is_empty() { Ok(matched) } else { Err(errors) }
    }

    /// The conditions whose scope fits, whatever else they ask and whatever the action.
    pub(super) fn in_scope(&self, asked: Asked<'_>, entities: &Entities) -> Vec<&Condition> {
        let evaluator = evaluator(asked, Context::empty(), entities);
        let mut found = self.concerned(asked, entities);
        // A scope cannot fail; were it to, it would not fit, and all that matches would be asked and denied.
        found.retain(|condition| holds(&condition.scope, &evaluator) == Some(true));
        found
    }

    /// Whether the scope of some offer fits, whatever its action and conditions.
    pub(super) fn has_offer(&self, asked: Asked<'_>, entities: &Entities) -> bool {
        self.in_scope(asked, entities).iter().any(|condition| condition.gives.is_some())
    }

    /// What decides how long: the lengths of the offers whose scope fits, and whether any policy whose scope fits looks
    /// at the length that is asked for.
    pub(super) fn lengths(&self, asked: Asked<'_>, entities: &Entities) -> (BTreeSet<Span>, bool) {
        let (_, action, _) = asked;
        let mut found = self.in_scope(asked, entities);
        found.retain(|condition| condition.speaks_of(action));
        let looked_at = found.iter().any(|condition| condition.looked.at("duration"));
        (found.iter().filter_map(|condition| condition.gives).collect(), looked_at)
    }
}

fn evaluator<'a>(
    (principal, action, resource): Asked<'_>,
    context: Context,
    entities: &'a Entities,
) -> Evaluator<'a> {
    let known = |uid: &EntityUID| EntityUIDEntry::known(uid.clone(), None);
    let request = Request::new_unchecked(known(principal), known(action), known(resource), Some(context));
    Evaluator::new(request, entities, Extensions::all_available())
}
