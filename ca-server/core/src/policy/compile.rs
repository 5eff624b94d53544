//! From policy files to what a decision needs, once, when they are loaded. All or nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::{
    ActionConstraint, Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use cedar_policy_core::ast::{
    self, Context, EntityUID, EntityUIDEntry, Expr, Literal, Request, SlotEnv, ValueKind,
};
use cedar_policy_core::entities::Entities;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use jit_ssh_proto::Span;
use miette::Diagnostic;
use serde_json::Value;

use super::annotations::{self, Rule};
use super::facts::Looked;
use super::scan::{self, Statement};
use super::verb::{self, Scope};
use super::{PolicyError, PolicySource};
use crate::place::{one_line, position};

/// What policies may speak about: the Cedar schema, with its version in the first line, for editors too.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// Validated policies and what their annotations say.
#[derive(Debug)]
pub(super) struct Compiled {
    /// Every policy.
    pub(super) all: Vec<Condition>,
    /// The permits for logins without their actions and conditions: whether somebody has any part in a host.
    pub(super) parts: Vec<Condition>,
    /// The permits whose action scope names one of the CA's own verbs: no other counts for these.
    pub(super) verbs: Vec<Condition>,
    /// What each policy is.
    pub(super) rules: BTreeMap<PolicyId, Rule>,
    /// If a policy looks at `context.duration`: every length that an offer gives, the longest first. Else empty: then
    /// the length is of no consequence for what matches.
    pub(super) lengths: Vec<Span>,
    /// What policies look at of the context.
    pub(super) looked: Looked,
}

/// When a policy matches.
#[derive(Debug)]
pub(super) struct Condition {
    id: PolicyId,
    /// The actions that it speaks of, if not of all: no need to ask it about others.
    actions: Option<BTreeSet<EntityUID>>,
    /// All else that it asks, as one expression.
    holds: Expr,
}

impl Condition {
    fn of(policy: &Policy) -> Self {
        let ast: &ast::Policy = policy.as_ref();
        // No action is in another here, so that what is in a list is one of it.
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(uid) => Some(BTreeSet::from([uid.into()])),
            ActionConstraint::In(uids) => Some(uids.into_iter().map(Into::into).collect()),
        };
        let when = ast.non_scope_constraints().cloned().unwrap_or_else(|| Expr::val(true));
        Self { id: policy.id().clone(), actions, holds: Expr::and(scope(ast), when) }
    }

    /// The same for any action and without conditions: what is left says who has a part in what.
    fn part(policy: &Policy) -> Self {
        Self { id: policy.id().clone(), actions: None, holds: scope(policy.as_ref()) }
    }
}

/// Whom and which accounts a policy is about.
fn scope(policy: &ast::Policy) -> Expr {
    Expr::and(policy.principal_constraint().as_expr(), policy.resource_constraint().as_expr())
}

/// One question to all policies.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) principal: EntityUID,
    pub(super) action: EntityUID,
    pub(super) resource: EntityUID,
    pub(super) context: Context,
}

/// Where a policy stands.
struct Origin<'a> {
    source: &'a PolicySource,
    start: usize,
}

impl Origin<'_> {
    /// `offset` counts from the start of the policy.
    fn error(&self, offset: usize, what: impl Into<String>) -> PolicyError {
        fault(self.source, self.start.saturating_add(offset), what)
    }

    fn diagnostic(&self, found: &dyn Diagnostic) -> PolicyError {
        let offset = found.labels().and_then(|mut l| l.next()).map_or(0, |label| label.offset());
        let mut what = one_line(&found.to_string());
        if let Some(help) = found.help() {
            what = format!("{what} ({})", one_line(&help.to_string()));
        }
        self.error(offset, what)
    }
}

fn fault(source: &PolicySource, offset: usize, what: impl Into<String>) -> PolicyError {
    let (line, column) = position(&source.text, offset);
    PolicyError { file: source.file.clone(), line, column, what: what.into() }
}

impl Compiled {
    /// The policies of a set that match. Cedar's own authorizer would go on without those that fail, and say nothing of
    /// permits where something forbids.
    ///
    /// # Errors
    /// Those that failed.
    pub(super) fn matched<'a>(
        policies: &'a [Condition],
        question: Question,
        entities: &Entities,
    ) -> Result<BTreeSet<&'a PolicyId>, BTreeSet<PolicyId>> {
        let Question { principal, action, resource, context } = question;
        let speaks_of = |policy: &&Condition| policy.actions.as_ref().is_none_or(|of| of.contains(&action));
        let policies: Vec<&Condition> = policies.iter().filter(speaks_of).collect();
        let known = |uid| EntityUIDEntry::known(uid, None);
        let request = Request::new_unchecked(known(principal), known(action), known(resource), Some(context));
        let evaluator = Evaluator::new(request, entities, Extensions::all_available());
        // No policy of ours is a template with slots to fill.
        let slots = SlotEnv::new();
        let (mut matched, mut errors) = (BTreeSet::new(), BTreeSet::new());
        for policy in policies {
            match evaluator.interpret(&policy.holds, &slots) {
                Ok(ast::Value { value: ValueKind::Lit(Literal::Bool(true)), loc: _ }) => {
                    matched.insert(&policy.id);
                }
                Ok(ast::Value { value: ValueKind::Lit(Literal::Bool(false)), loc: _ }) => {}
                // Cedar takes nothing for a condition but yes and no.
                Ok(_) | Err(_) => {
                    errors.insert(policy.id.clone());
                }
            }
        }
        if errors.is_empty() { Ok(matched) } else { Err(errors) }
    }

    /// Parses, names, validates.
    ///
    /// # Errors
    /// Everything that is wrong, with its place.
    pub(super) fn new(sources: &[PolicySource], default_ttl: Span) -> Result<Self, Vec<PolicyError>> {
        let mut errors = Vec::new();
        let mut origins: BTreeMap<PolicyId, Origin<'_>> = BTreeMap::new();
        let mut rules = BTreeMap::new();
        let mut policies = Vec::new();
        for source in sources {
            let statements = match scan::split(&source.text) {
                Ok(statements) => statements,
                Err(found) => {
                    errors.push(fault(source, found.offset, found.what));
                    continue;
                }
            };
            for (at, statement) in statements.iter().enumerate() {
                let origin = Origin { source, start: statement.start };
                match one(&origin, statement, at.saturating_add(1), default_ttl) {
                    Ok((policy, rule)) => match origins.get(policy.id()) {
                        Some(first) => {
                            let (line, _) = position(&first.source.text, first.start);
                            errors.push(origin.error(
                                0,
                                format!(
                                    "the id {} is already that of the policy at {}:{line}: give it another",
                                    policy.id(),
                                    first.source.file
                                ),
                            ));
                        }
                        None => {
                            origins.insert(policy.id().clone(), origin);
                            rules.insert(policy.id().clone(), rule);
                            policies.push(policy);
                        }
                    },
                    Err(found) => errors.extend(found),
                }
            }
        }
        let compiled = Self::validated(&policies, rules, &origins);
        match compiled {
            Ok(compiled) if errors.is_empty() => Ok(compiled),
            Ok(_) => Err(errors),
            Err(found) => {
                errors.extend(found);
                Err(errors)
            }
        }
    }

    fn validated(
        policies: &[Policy],
        rules: BTreeMap<PolicyId, Rule>,
        origins: &BTreeMap<PolicyId, Origin<'_>>,
    ) -> Result<Self, Vec<PolicyError>> {
        let nowhere = |what: String| {
            Vec::from([PolicyError { file: "policies".into(), line: 1, column: 1, what: one_line(&what) }])
        };
        let all = PolicySet::from_policies(policies.iter().cloned()).map_err(|e| nowhere(e.to_string()))?;
        let permits = || policies.iter().filter(|p| p.effect() == Effect::Permit);
        let verbs = permits().filter(|p| verb::scope(p).names_verbs()).map(Condition::of).collect();
        let parts = permits().filter(|p| verb::scope(p) != Scope::Verbs).map(Condition::part).collect();
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|e| nowhere(e.to_string()))?;
        let result = Validator::new(schema).validate(&all, ValidationMode::Strict);
        let place = |id: &PolicyId, found: &dyn Diagnostic| match origins.get(id) {
            Some(origin) => origin.diagnostic(found),
            None => {
                PolicyError { file: id.to_string(), line: 1, column: 1, what: one_line(&found.to_string()) }
            }
        };
        let mut errors: Vec<PolicyError> =
            result.validation_errors().map(|e| place(e.policy_id(), e)).collect();
        // A warning is a policy that can never match, or text that reads as something that it is not. It says nothing
        // new about a policy that is wrong anyway.
        let failed: BTreeSet<&PolicyId> = result.validation_errors().map(|e| e.policy_id()).collect();
        let warnings = result.validation_warnings().filter(|w| !failed.contains(w.policy_id()));
        errors.extend(warnings.map(|w| place(w.policy_id(), w)));
        if !errors.is_empty() {
            errors.sort_by(|a, b| {
                (&a.file, a.line, a.column, &a.what).cmp(&(&b.file, b.line, b.column, &b.what))
            });
            errors.dedup();
            return Err(errors);
        }
        let looked = looked(policies);
        let lengths = if looked.at("duration") { lengths(policies, &rules) } else { Vec::new() };
        let all = policies.iter().map(Condition::of).collect();
        Ok(Self { all, parts, verbs, rules, lengths, looked })
    }
}

fn one(
    origin: &Origin<'_>,
    statement: &Statement<'_>,
    position_in_file: usize,
    default_ttl: Span,
) -> Result<(Policy, Rule), Vec<PolicyError>> {
    let policy = Policy::parse(None, statement.text)
        .map_err(|errors| errors.iter().map(|e| origin.diagnostic(e)).collect::<Vec<_>>())?;
    let read = annotations::read(&policy, default_ttl).map_err(|wrong| {
        let at = statement.annotations.iter().find(|(name, _)| *name == wrong.name).map_or(0, |(_, at)| *at);
        Vec::from([fault(origin.source, at.max(origin.start), wrong.what)])
    })?;
    if let Some((name, at)) = terms_of_a_verb(&policy, statement) {
        let what = format!(
            "@{name} is a term of access to hosts and means nothing for the CA's own verbs: give them a policy of \
             their own, without it"
        );
        return Err(Vec::from([fault(origin.source, at.max(origin.start), what)]));
    }
    // A name has no ':', so that no @id can pose as a policy without one.
    let id = match &read.id {
        Some(id) => id.to_string(),
        None => format!("{}:{position_in_file}", origin.source.file),
    };
    Ok((policy.new_id(PolicyId::new(id)), read.rule))
}

/// A term on a permit that names one of the CA's own verbs, and where it stands: what it demands would not be asked.
fn terms_of_a_verb<'a>(policy: &Policy, statement: &Statement<'a>) -> Option<(&'a str, usize)> {
    if !verb::scope(policy).names_verbs() {
        return None;
    }
    let is_term = |name: &str| matches!(name, "ttl" | "approvals" | "source" | "verify" | "break_glass");
    statement.annotations.iter().find(|(name, _)| is_term(name)).copied()
}

/// The different lengths of offers, the longest first.
fn lengths(policies: &[Policy], rules: &BTreeMap<PolicyId, Rule>) -> Vec<Span> {
    let mut lengths: Vec<Span> = policies
        .iter()
        .filter(|policy| verb::scope(policy) != Scope::Verbs)
        .filter_map(|policy| match rules.get(policy.id())? {
            Rule::Permit(offer) => Some(offer.ttl),
            Rule::Forbid(_) => None,
        })
        .collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    lengths.dedup();
    lengths
}

/// What policies may look at of the context; everything on doubt.
fn looked(policies: &[Policy]) -> Looked {
    let mut members = BTreeSet::new();
    let understood =
        policies.iter().all(|policy| policy.to_json().is_ok_and(|json| collect(&json, &mut members)));
    if understood { Looked::At(members) } else { Looked::Everything }
}

/// Collects the members of the context that are named; false if that is not all that is made of it.
///
/// In Cedar's JSON form, `context.x` is `{".": {"left": {"Var": "context"}, "attr": "x"}}`, and `context has x` is the
/// same under `has`. Any other use of `context` hands it on whole.
fn collect(json: &Value, members: &mut BTreeSet<String>) -> bool {
    let is_context = |v: &Value| v.get("Var").and_then(Value::as_str) == Some("context");
    match json {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Array(items) => items.iter().all(|item| collect(item, members)),
        Value::Object(_) if is_context(json) => false,
        Value::Object(fields) => fields.iter().all(|(key, value)| {
            let of_context = matches!(key.as_str(), "." | "has") && value.get("left").is_some_and(is_context);
            if !of_context {
                return collect(value, members);
            }
            let member = value.get("attr").and_then(Value::as_str);
            member.map(|member| members.insert(member.to_string())).is_some()
        }),
    }
}
