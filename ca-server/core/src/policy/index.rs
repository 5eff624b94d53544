//! Which policies a question can concern at all, by what their scopes name: so that a decision costs what it is about,
//! not what else there is.
//!
//! A scope that names somebody or something else is false without looking at anything further, and no error can come of
//! it: to leave such a policy out changes no answer (a property test holds it against asking all of them).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cedar_policy_core::ast::{EntityReference, EntityType, EntityUID, Policy, PrincipalOrResourceConstraint};
use cedar_policy_core::entities::{Dereference, Entities};

/// Numbers of policies by whom they are about, then by what they are about.
#[derive(Debug, Default)]
pub(super) struct Index(By<By<Vec<u32>>>);

/// Something for each that a scope may name.
#[derive(Debug)]
struct By<T> {
    /// The scope names nobody in particular.
    any: T,
    /// It names a type.
    kinds: BTreeMap<EntityType, T>,
    /// It names one, or whoever is in it.
    named: BTreeMap<EntityUID, T>,
}

impl<T: Default> Default for By<T> {
    fn default() -> Self {
        Self { any: T::default(), kinds: BTreeMap::new(), named: BTreeMap::new() }
    }
}

impl<T: Default> By<T> {
    fn of(&mut self, scope: &PrincipalOrResourceConstraint) -> &mut T {
        match scope {
            PrincipalOrResourceConstraint::Any => &mut self.any,
            PrincipalOrResourceConstraint::Is(kind) => self.kinds.entry(kind.as_ref().clone()).or_default(),
            PrincipalOrResourceConstraint::In(whom)
            | PrincipalOrResourceConstraint::Eq(whom)
            | PrincipalOrResourceConstraint::IsIn(_, whom) => match whom {
                EntityReference::EUID(uid) => self.named.entry(uid.as_ref().clone()).or_default(),
                // Nothing here is a template; were it one, it would be asked about everybody.
                EntityReference::Slot(_) => &mut self.any,
            },
        }
    }

    /// What may be about somebody: those who name nobody, their type, themselves, or what they are in.
    fn about<'a>(&'a self, whom: &'a [&EntityUID]) -> impl Iterator<Item = &'a T> {
        let kind = whom.first().and_then(|uid| self.kinds.get(uid.entity_type()));
        // Where nothing is named there is nothing to look up.
        let whom = if self.named.is_empty() { &[] } else { whom };
        core::iter::once(&self.any).chain(kind).chain(whom.iter().filter_map(|uid| self.named.get(*uid)))
    }
}

/// Somebody or something, itself first, and all that it is in.
fn lineage<'a>(uid: &'a EntityUID, entities: &'a Entities) -> Vec<&'a EntityUID> {
    let mut all = Vec::from([uid]);
    match entities.entity(uid) {
        Dereference::Data(entity) => all.extend(entity.ancestors()),
        Dereference::NoSuchEntity | Dereference::Residual(_) => {}
    }
    all
}

impl Index {
    /// Indexes policies by their place in the list.
    pub(super) fn new<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let mut by: By<By<Vec<u32>>> = By::default();
        for (number, policy) in (0..).zip(policies) {
            let (who, what) = (policy.principal_constraint(), policy.resource_constraint());
            by.of(who.as_inner()).of(what.as_inner()).push(number);
        }
        Self(by)
    }

    /// The policies that can be about this principal and this resource, in order, each once.
    pub(super) fn about(&self, principal: &EntityUID, resource: &EntityUID, entities: &Entities) -> Vec<u32> {
        let (who, what) = (lineage(principal, entities), lineage(resource, entities));
        let found = self.0.about(&who).flat_map(|places| places.about(&what)).flatten();
        let mut numbers: Vec<u32> = found.copied().collect();
        numbers.sort_unstable();
        // An entity may be in another both directly and by way of a third.
        numbers.dedup();
        numbers
    }
}
