//! From policy files to what a decision needs, once, when they are loaded. All or nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use jit_ssh_proto::Span;
use miette::Diagnostic;

use super::annotations::{self, Rule};
use super::conditions::{Condition, Conditions};
use super::facts::Looked;
use super::scan::{self, Statement};
use super::verb;
use super::{PolicyError, PolicySource};
use crate::place::{one_line, position};

/// What policies may speak about: the Cedar schema, with its version in the first line, for editors too.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// Validated policies and what their annotations say.
#[derive(Debug)]
pub(super) struct Compiled {
    /// When each matches.
    pub(super) conditions: Conditions,
    /// The permits whose action scope names one of the CA's own verbs: no other counts for these.
    pub(super) verbs: BTreeSet<PolicyId>,
    /// What each policy is.
    pub(super) rules: BTreeMap<PolicyId, Rule>,
    /// What policies look at of the context.
    pub(super) looked: Looked,
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
        let conditions: Vec<Condition> = policies
            .iter()
            .filter_map(|policy| Some(Condition::of(policy, rules.get(policy.id())?)))
            .collect();
        let conditions = Conditions::new(policies, conditions);
        let names_verbs = |p: &&Policy| p.effect() == Effect::Permit && verb::scope(p).names_verbs();
        let verbs = policies.iter().filter(names_verbs).map(|policy| policy.id().clone()).collect();
        let looked = conditions.looked();
        Ok(Self { conditions, verbs, rules, looked })
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
