//! From policy files to what a decision needs, once, when they are loaded. All or nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use jit_ssh_proto::{Action, Span};
use miette::Diagnostic;

use super::aims::Aims;
use super::annotations::{self, Rule};
use super::conditions::{Condition, Conditions};
use super::facts::Looked;
use super::scan::{self, Statement};
use super::verb::{self, Scope};
use super::{PolicyError, PolicySource};
use crate::position::{closest, one_line, position};

/// What policies may speak about: the Cedar schema, with its version in the first line, for editors too.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// Validated policies and what their annotations say.
#[derive(Debug)]
pub(super) struct Compiled {
    /// When each matches.
    pub(super) conditions: Conditions,
    /// Whom the permits for logins are for, and where they lead.
    pub(super) aims: Aims,
    /// The permits whose action scope names one of the CA's own verbs: no other counts for these.
    pub(super) verbs: BTreeSet<PolicyId>,
    /// What each policy is.
    pub(super) rules: BTreeMap<PolicyId, Rule>,
    /// What policies look at of the context.
    pub(super) looked: Looked,
}

/// Where a policy stands.
#[derive(Clone, Copy, Debug)]
struct Origin<'a> {
    source: &'a PolicySource,
    start: usize,
}

impl Origin<'_> {
    /// `offset` counts from the start of the policy.
    fn error(&self, offset: usize, what: impl Into<String>) -> PolicyError {
        fault(self.source, self.start.saturating_add(offset), what)
    }

    /// The same for what may be said of the policy as a whole.
    fn whole(&self, statement: &Statement<'_>, offset: usize, what: &str) -> PolicyError {
        let at = match (offset, statement.condition) {
            (0, Some(condition)) if what.contains(IMPOSSIBLE) => condition,
            (0, _) => statement.effect,
            (offset, _) => self.start.saturating_add(offset),
        };
        fault(self.source, at, what)
    }

    fn diagnostic(&self, found: &dyn Diagnostic) -> PolicyError {
        let (offset, what) = told(found);
        self.error(offset, what)
    }
}

/// Where something is wrong, and what.
pub(super) fn told(found: &dyn Diagnostic) -> (usize, String) {
    let offset = found.labels().and_then(|mut l| l.next()).map_or(0, |label| label.offset());
    let mut what = one_line(&found.to_string());
    let help = action_meant(&what).or_else(|| about_requests(&what));
    let help = help.or_else(|| Some(one_line(&found.help()?.to_string())));
    if let Some(help) = help {
        what = format!("{what} ({help})");
    }
    (offset, what)
}

fn fault(source: &PolicySource, offset: usize, what: impl Into<String>) -> PolicyError {
    let (line, column) = position(&source.text, offset);
    PolicyError { file: source.file.clone(), line, column, what: what.into() }
}

/// What to do where a policy for every action means accounts: the CA's own verbs are done to something else.
fn about_requests(what: &str) -> Option<String> {
    what.contains("on entity type `Request` not found").then(|| {
        "a policy without an action is about the CA's own verbs too: write `resource is Account` in place of `resource`"
            .into()
    })
}

/// What is wrong with a policy as a whole is shown at what makes it so, not at its first annotation.
const IMPOSSIBLE: &str = "policy is impossible";
const NO_ACTION: &str = "unable to find an applicable action";

/// Which action was meant by one that there is not. Cedar's own guess is another one each time.
fn action_meant(what: &str) -> Option<String> {
    let (_, rest) = what.split_once("unrecognized action `Action::\"")?;
    let (word, _) = rest.split_once('"')?;
    let known: Vec<&str> = Action::ALL.into_iter().map(Action::as_str).chain(verb::WORDS).collect();
    Some(match closest(word, known.iter().copied()) {
        Some(meant) => format!("did you mean `Action::\"{meant}\"`?"),
        None => format!("there are {}", known.join(", ")),
    })
}

/// Policy files, split into policies that can be read apart from one another: large sets are read by several threads.
#[derive(Debug)]
pub struct Draft<'a> {
    sources: &'a [PolicySource],
    default_ttl: Span,
    /// Each with its number in its file.
    statements: Vec<(Origin<'a>, Statement<'a>, usize)>,
    errors: Vec<PolicyError>,
}

/// Some of the policies of a [`Draft`].
#[derive(Debug)]
pub struct Chunk<'a> {
    statements: &'a [(Origin<'a>, Statement<'a>, usize)],
    default_ttl: Span,
}

/// Policies of a [`Chunk`], read and validated.
#[derive(Debug)]
pub struct ReadChunk(Vec<Result<(Policy, Rule, Condition), Vec<PolicyError>>>);

/// Every policy, read and validated, without an inventory.
#[derive(Debug)]
pub struct Policies<'a> {
    pub(super) compiled: Compiled,
    pub(super) sources: &'a [PolicySource],
    pub(super) default_ttl: Span,
}

impl<'a> Draft<'a> {
    /// Splits files into policies.
    #[must_use]
    pub fn new(sources: &'a [PolicySource], default_ttl: Span) -> Self {
        let (mut statements, mut errors) = (Vec::new(), Vec::new());
        for source in sources {
            match scan::split(&source.text) {
                Ok(found) => {
                    let origin = |statement: &Statement<'_>| Origin { source, start: statement.start };
                    let found = found.into_iter().zip(1..);
                    statements.extend(found.map(|(statement, at)| (origin(&statement), statement, at)));
                }
                Err(found) => errors.push(fault(source, found.offset, found.what)),
            }
        }
        Self { sources, default_ttl, statements, errors }
    }

    /// All policies in so many parts, or fewer, in order.
    pub fn chunks(&self, count: usize) -> impl Iterator<Item = Chunk<'_>> {
        let size = self.statements.len().div_ceil(count.max(1)).max(1);
        self.statements.chunks(size).map(|statements| Chunk { statements, default_ttl: self.default_ttl })
    }

    /// Puts together what was read: all chunks, in order.
    ///
    /// # Errors
    /// Everything that is wrong, with its place.
    pub fn policies(
        self,
        chunks: impl IntoIterator<Item = ReadChunk>,
    ) -> Result<Policies<'a>, Vec<PolicyError>> {
        let mut errors = self.errors;
        let mut origins: BTreeMap<PolicyId, Origin<'_>> = BTreeMap::new();
        let mut rules = BTreeMap::new();
        let (mut policies, mut conditions) = (Vec::new(), Vec::new());
        let read = chunks.into_iter().flat_map(|chunk| chunk.0);
        for ((origin, statement, _), read) in self.statements.into_iter().zip(read) {
            match read {
                Ok((policy, rule, condition)) => {
                    if let Some(first) = origins.get(policy.id()) {
                        let (line, _) = position(&first.source.text, first.start);
                        let (id, file) = (policy.id(), &first.source.file);
                        let what = format!(
                            "the id {id} is already that of the policy at {file}:{line}: give it another"
                        );
                        let at = statement.annotations.iter().find(|(name, _)| *name == "id");
                        errors.push(fault(origin.source, at.map_or(origin.start, |(_, at)| *at), what));
                        continue;
                    }
                    origins.insert(policy.id().clone(), origin);
                    rules.insert(policy.id().clone(), rule);
                    policies.push(policy);
                    conditions.push(condition);
                }
                Err(found) => errors.extend(found),
            }
        }
        if !errors.is_empty() {
            errors.sort_by(|a, b| {
                (&a.file, a.line, a.column, &a.what).cmp(&(&b.file, b.line, b.column, &b.what))
            });
            errors.dedup();
            return Err(errors);
        }
        let conditions = Conditions::new(&policies, conditions);
        let names_verbs = |p: &&Policy| p.effect() == Effect::Permit && verb::scope(p).names_verbs();
        let verbs = policies.iter().filter(names_verbs).map(|policy| policy.id().clone()).collect();
        let leads = |p: &&Policy| p.effect() == Effect::Permit && verb::scope(p) != Scope::Verbs;
        let aims = Aims::of(policies.iter().filter(leads));
        let looked = conditions.looked();
        let compiled = Compiled { conditions, aims, verbs, rules, looked };
        Ok(Policies { compiled, sources: self.sources, default_ttl: self.default_ttl })
    }
}

impl Chunk<'_> {
    /// Parses, names and validates. Cedar's parser recurses: call it on a thread with a large stack (16 MiB).
    #[must_use]
    pub fn read(self) -> ReadChunk {
        let mut read: Vec<Result<(Policy, Rule), Vec<PolicyError>>> = self
            .statements
            .iter()
            .map(|(origin, statement, at)| one(origin, statement, *at, self.default_ttl))
            .collect();
        // No policy of ours depends on another, so that each can be validated with whichever others.
        let mut wrong = validate(&read);
        for (read, (origin, statement, _)) in read.iter_mut().zip(self.statements) {
            let found = read.as_ref().ok().and_then(|(policy, _)| wrong.remove(policy.id()));
            if let Some(mut found) = found {
                // Where no action fits, nothing else that is said of the whole is news.
                if found.iter().any(|(_, what)| what.contains(NO_ACTION)) {
                    found.retain(|(_, what)| !what.contains(IMPOSSIBLE));
                }
                *read = Err(found.iter().map(|(at, what)| origin.whole(statement, *at, what)).collect());
            }
        }
        let with_condition = |(policy, rule): (Policy, Rule)| {
            let condition = Condition::of(&policy, &rule);
            (policy, rule, condition)
        };
        ReadChunk(read.into_iter().map(|read| read.map(with_condition)).collect())
    }
}

/// What is wrong with which policies, each with its place from the policy's start.
fn validate(read: &[Result<(Policy, Rule), Vec<PolicyError>>]) -> BTreeMap<PolicyId, Vec<(usize, String)>> {
    let mut ids = BTreeSet::new();
    // Of two policies with one name, the second is an error anyway.
    let named = read.iter().filter_map(|read| Some(&read.as_ref().ok()?.0));
    let policies = named.clone().filter(|policy| ids.insert(policy.id().clone())).cloned();
    let checked = PolicySet::from_policies(policies).map_err(|e| e.to_string()).and_then(|all| {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|e| e.to_string())?;
        Ok(Validator::new(schema).validate(&all, ValidationMode::Strict))
    });
    let mut wrong: BTreeMap<PolicyId, Vec<(usize, String)>> = BTreeMap::new();
    match checked {
        Ok(result) => {
            for error in result.validation_errors() {
                wrong.entry(error.policy_id().clone()).or_default().push(told(error));
            }
            // A warning is a policy that can never match, or text that reads as something that it is not. It says
            // nothing new about a policy that is wrong anyway.
            let failed: BTreeSet<PolicyId> = wrong.keys().cloned().collect();
            let warnings =
                result.validation_warnings().filter(|warning| !failed.contains(warning.policy_id()));
            for warning in warnings {
                wrong.entry(warning.policy_id().clone()).or_default().push(told(warning));
            }
        }
        // Nothing that is not validated gets in force.
        Err(what) => {
            wrong.extend(named.map(|policy| (policy.id().clone(), Vec::from([(0, one_line(&what))]))))
        }
    }
    wrong
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
