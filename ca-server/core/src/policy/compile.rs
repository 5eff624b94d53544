//! From policy files to what a decision needs, once, when they are loaded. All or nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::{
    ActionConstraint, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use cedar_policy_core::ast::Expr;
use jit_ssh_proto::{Action, Span};
use miette::Diagnostic;
use serde_json::Value;

use super::annotations::{self, Rule};
use super::facts::Looked;
use super::scan::{self, Statement, position};
use super::{PolicyError, PolicySource};

/// The schema, as `docs/` shows it.
pub(super) const SCHEMA: &str = include_str!("schema.cedarschema");

/// Validated policies and what their annotations say.
#[derive(Debug)]
pub(super) struct Compiled {
    /// What each policy asks.
    pub(super) conditions: Vec<Condition>,
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
    pub(super) id: PolicyId,
    /// Of which actions it speaks: no need to ask it about others.
    pub(super) actions: BTreeSet<Action>,
    /// All else that it asks, as one expression.
    pub(super) holds: Expr,
}

impl Condition {
    fn of(policy: &Policy) -> Self {
        // No action is in a group of actions here, so that what is in a list is one of it.
        let named = |uid: &EntityUid, action: &Action| *uid.id().unescaped() == *action.as_str();
        let constraint = policy.action_constraint();
        let speaks_of = |action: &Action| match &constraint {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => named(uid, action),
            ActionConstraint::In(uids) => uids.iter().any(|uid| named(uid, action)),
        };
        let of: &cedar_policy_core::ast::Policy = policy.as_ref();
        let when = of.non_scope_constraints().cloned().unwrap_or_else(|| Expr::val(true));
        let holds = Expr::and(
            of.principal_constraint().as_expr(),
            Expr::and(of.resource_constraint().as_expr(), when),
        );
        Self { id: policy.id().clone(), actions: Action::ALL.into_iter().filter(speaks_of).collect(), holds }
    }
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

/// One visible line, whatever the policy has in it.
fn one_line(text: &str) -> String {
    let escape = |c: char| if c.is_ascii_graphic() { String::from(c) } else { c.escape_debug().to_string() };
    text.split_whitespace().map(|word| word.chars().map(escape).collect()).collect::<Vec<String>>().join(" ")
}

impl Compiled {
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
        let lengths = if looked.at("duration") { lengths(&rules) } else { Vec::new() };
        let conditions = policies.iter().map(Condition::of).collect();
        Ok(Self { conditions, rules, lengths, looked })
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
    // A name has no ':', so that no @id can pose as a policy without one.
    let id = match &read.id {
        Some(id) => id.to_string(),
        None => format!("{}:{position_in_file}", origin.source.file),
    };
    Ok((policy.new_id(PolicyId::new(id)), read.rule))
}

/// The different lengths of offers, the longest first.
fn lengths(rules: &BTreeMap<PolicyId, Rule>) -> Vec<Span> {
    let mut lengths: Vec<Span> = rules
        .values()
        .filter_map(|rule| match rule {
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
