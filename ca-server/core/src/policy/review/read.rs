//! Policies as they are looked through: what Cedar understood, what the annotations say, and where each stands.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};
use cedar_policy_core::ast::{self, Expr};
use jit_ssh_proto::{Action, Span};

use super::super::annotations::{self, Offer, Rule};
use super::super::scan::{self, Statement};
use super::super::verb::WORDS;
use super::evaluate::settled;
use super::{Finding, Lint, PolicySource};
use crate::position::position;

/// One policy.
pub(super) struct Read<'a> {
    source: &'a PolicySource,
    pub(super) statement: Statement<'a>,
    pub(super) policy: Policy,
    pub(super) rule: Rule,
    /// Its name in answers.
    pub(super) id: String,
    /// When it holds, besides its scope.
    condition: Option<Expr>,
}

/// Whom a policy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Anybody,
    /// One identity, as `User::"corp/alice"`.
    One(EntityUid),
    /// Those in a group, of one kind or of both.
    Group {
        name: String,
        kind: Option<String>,
    },
    /// Everybody of a kind.
    Kind(String),
}

/// Which accounts a policy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// All of them, perhaps only accounts.
    Any,
    Account(String),
    Host(String),
    HostGroup(String),
    /// What is not for logins.
    Other,
}

impl<'a> Read<'a> {
    /// Every policy that can be read; what cannot be is an error elsewhere.
    pub(super) fn all(sources: &'a [PolicySource], default_ttl: Span) -> Vec<Self> {
        let mut found = Vec::new();
        for source in sources {
            let Ok(statements) = scan::split(&source.text) else { continue };
            for (at, statement) in statements.into_iter().enumerate() {
                let Ok(policy) = Policy::parse(None, statement.text) else { continue };
                let Ok(read) = annotations::read(&policy, default_ttl) else { continue };
                let id = match read.id {
                    Some(id) => id.to_string(),
                    None => format!("{}:{}", source.file, at.saturating_add(1)),
                };
                let condition = AsRef::<ast::Policy>::as_ref(&policy).non_scope_constraints().cloned();
                // `when { true }` is none.
                let condition = condition.filter(|condition| settled(condition, None) != Some(true));
                found.push(Self { source, statement, policy, rule: read.rule, id, condition });
            }
        }
        found
    }

    pub(super) fn is_permit(&self) -> bool {
        self.policy.effect() == Effect::Permit
    }

    /// Its terms, if it is an offer.
    pub(super) fn offer(&self) -> Option<&Offer> {
        match &self.rule {
            Rule::Permit(offer) => Some(offer),
            Rule::Forbid(_) => None,
        }
    }

    /// When it holds, besides its scope; none if always.
    pub(super) fn condition(&self) -> Option<&Expr> {
        self.condition.as_ref()
    }

    pub(super) fn whom(&self) -> Whom {
        let group = |uid: EntityUid, kind| match uid.type_name().to_string().as_str() {
            "Group" => Whom::Group { name: id(&uid), kind },
            _ => Whom::One(uid),
        };
        match self.policy.principal_constraint() {
            PrincipalConstraint::Any => Whom::Anybody,
            PrincipalConstraint::Eq(uid) => Whom::One(uid),
            PrincipalConstraint::In(uid) => group(uid, None),
            PrincipalConstraint::Is(kind) => Whom::Kind(kind.to_string()),
            PrincipalConstraint::IsIn(kind, uid) => group(uid, Some(kind.to_string())),
        }
    }

    pub(super) fn which(&self) -> Which {
        let place = |uid: EntityUid| match uid.type_name().to_string().as_str() {
            "Account" => Which::Account(id(&uid)),
            "Host" => Which::Host(id(&uid)),
            "HostGroup" => Which::HostGroup(id(&uid)),
            _ => Which::Other,
        };
        match self.policy.resource_constraint() {
            ResourceConstraint::Any => Which::Any,
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
                place(uid)
            }
            ResourceConstraint::Is(kind) if kind.to_string() == "Account" => Which::Any,
            ResourceConstraint::Is(_) => Which::Other,
        }
    }

    /// The actions that it names, in its scope or its conditions; none if it is about all.
    pub(super) fn actions(&self) -> Option<BTreeSet<String>> {
        let named: Option<BTreeSet<String>> = match self.policy.action_constraint() {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(uid) => Some(BTreeSet::from([id(&uid)])),
            ActionConstraint::In(uids) => Some(uids.iter().map(id).collect()),
        };
        let Some(condition) = &self.condition else { return named };
        let may_be = |action: &&str| settled(condition, Some(action)) != Some(false);
        let every = || Action::ALL.into_iter().map(Action::as_str).chain(WORDS);
        match named {
            Some(named) => Some(named.into_iter().filter(|action| may_be(&action.as_str())).collect()),
            None if every().all(|action| may_be(&action)) => None,
            None => Some(every().filter(may_be).map(ToString::to_string).collect()),
        }
    }

    /// Whether it speaks of this action.
    pub(super) fn speaks_of(&self, action: &str) -> bool {
        self.actions().is_none_or(|actions| actions.contains(action))
    }

    /// Where an annotation stands, in bytes of the policy; the beginning if it is not there.
    pub(super) fn annotation(&self, name: &str) -> usize {
        let at = self.statement.annotations.iter().find(|(found, _)| *found == name).map(|(_, at)| *at);
        at.unwrap_or(self.statement.start).saturating_sub(self.statement.start)
    }

    /// Where its effect stands, `permit` or `forbid`: the policy as a whole.
    pub(super) fn effect(&self) -> usize {
        self.statement.effect.saturating_sub(self.statement.start)
    }

    /// Where a part of its condition stands, in bytes of the policy.
    pub(super) fn at(&self, expr: &Expr) -> usize {
        expr.source_loc().map_or(0, |loc| loc.span.offset())
    }

    /// A finding at a place of this policy, in bytes from its start.
    pub(super) fn finding(&self, lint: Lint, offset: usize, message: String, help: String) -> Finding {
        let (line, column) = position(&self.source.text, self.statement.start.saturating_add(offset));
        Finding { lint, place: Some((self.source.file.clone(), line, column)), message, help }
    }
}

/// The id of an entity, as it is meant.
pub(super) fn id(uid: &EntityUid) -> String {
    let id: &str = uid.id().as_ref();
    id.to_string()
}
