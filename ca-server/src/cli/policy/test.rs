//! `jit-ssh-ca policy test`: the cases beside the policies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::bail;
use jit_ssh_core::identity::VerifiedIdentity;
use jit_ssh_core::position::closest;
use jit_ssh_proto::{Code, Span, Timestamp};
use serde_json::{Value, json};

use super::super::print;
use super::ask::{Outcome, Question};
use super::case::{Answer, Case, CaseFile, Who};
use super::files::{self, Set, Where};
use super::found::count;
use super::person::Person;
use crate::config::{explain_shown, position, shown};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    at: Where,
    /// Only cases whose name has this in it
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Fail if a policy took part in no case
    #[arg(long)]
    deny_untested: bool,
    /// Print one JSON object a case, and one about them all
    #[arg(long)]
    json: bool,
}

/// A file of cases, read.
pub(super) struct Cases {
    path: PathBuf,
    text: String,
    pub(super) file: CaseFile,
}

impl Cases {
    /// Every file of them.
    ///
    /// # Errors
    /// The first that cannot be read, with its place.
    pub(super) fn all(files: &files::Files) -> anyhow::Result<Vec<Self>> {
        let read = |(path, text): (PathBuf, String)| {
            let file = toml::from_str(&text).map_err(|e| explain_shown(&path, &text, &e))?;
            Ok(Self { path, text, file })
        };
        files.cases()?.into_iter().map(read).collect()
    }
}

/// The person that is meant.
///
/// # Errors
/// What is wrong, as one sentence without an end.
pub(super) fn person(who: &Who, known: &BTreeMap<String, Person>) -> Result<Person, String> {
    let named = |name: &str| {
        known.get(name).cloned().ok_or_else(|| match closest(name, known.keys().map(String::as_str)) {
            Some(meant) => format!("there is no [identity.{name}]: did you mean {meant:?}?"),
            None => format!("there is no [identity.{name}]: add one"),
        })
    };
    // One that is like another, which may be like a third.
    let mut changes = Vec::new();
    let mut next = match who {
        Who::Named(name) => named(name)?,
        Who::Person(person) => Person::clone(person),
    };
    while let Some(name) = next.like.clone() {
        if changes.len() > known.len() {
            return Err(format!("[identity.{name}] is like itself"));
        }
        changes.push(next);
        next = named(&name)?;
    }
    Ok(changes.into_iter().rev().fold(next, Person::changed_by))
}

/// What differs, what was expected of it, and what came.
type Difference = (&'static str, String, String);

/// What is wrong with an outcome: each line what was expected and what came.
fn differences(case: &Case, got: &Outcome) -> Result<Vec<Difference>, String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &'static str, expected: String, got: String| {
        if expected != got {
            wrong.push((what, expected, got));
        }
    };
    compare("expect", case.expect.as_str().to_owned(), got.answer.as_str().to_owned());
    if let Some(ttl) = &case.ttl {
        let ttl: Span = ttl.parse().map_err(|e| format!("ttl {e}"))?;
        compare("ttl", ttl.to_string(), got.ttl.map_or_else(|| "none".to_owned(), |ttl| ttl.to_string()));
    }
    if let Some(policy) = &case.policy {
        let expected: BTreeSet<&str> = policy.all().into_iter().collect();
        let came: BTreeSet<&str> = got.policies.iter().map(String::as_str).collect();
        let listed = |ids: BTreeSet<&str>| ids.into_iter().collect::<Vec<_>>().join(", ");
        compare("policy", listed(expected), listed(came));
    }
    if let Some(code) = &case.code {
        let known = Code::ALL.iter().any(|known| known.as_str() == code);
        if !known {
            let meant = closest(code, Code::ALL.iter().map(|code| code.as_str()));
            return Err(format!(
                "code {code:?} is none: {}",
                meant.map_or("write another".into(), |m| format!("did you mean {m:?}?"))
            ));
        }
        compare("code", code.clone(), got.code.map_or_else(|| "none".to_owned(), |code| code.to_string()));
    }
    for (what, expected, got) in [("pinned", case.pinned, got.pinned), ("verify", case.verify, got.verify)] {
        if let Some(expected) = expected {
            compare(what, expected.to_string(), got.to_string());
        }
    }
    if let Some(part) = &case.message
        && !got.message.contains(part)
    {
        wrong.push(("message", format!("… {part} …"), got.message.clone()));
    }
    Ok(wrong)
}

/// One case, run.
struct Ran<'a> {
    cases: &'a Cases,
    case: &'a Case,
    line: usize,
    result: Result<(Outcome, Vec<Difference>), String>,
}

impl Ran<'_> {
    fn passed(&self) -> bool {
        self.result.as_ref().is_ok_and(|(_, wrong)| wrong.is_empty())
    }

    fn as_text(&self) -> String {
        let name = &self.case.name;
        let place = format!("{}:{}", self.cases.path.display(), self.line);
        match &self.result {
            Ok((outcome, wrong)) if wrong.is_empty() => format!("ok    {name}: {outcome}"),
            Ok((outcome, wrong)) => {
                let mut text = format!("FAIL  {name}\n      {place}: {outcome}");
                for (what, expected, got) in wrong {
                    text.push_str(&format!("\n      - {what} = {expected}\n      + {what} = {got}"));
                }
                if outcome.answer != Answer::Allow {
                    text.push_str(&format!("\n      they read: {}", outcome.message));
                }
                text
            }
            Err(what) => {
                format!("FAIL  {name}\n      {place}: {what}{}", shown(&self.cases.text, self.line, 1))
            }
        }
    }

    fn as_json(&self) -> Value {
        let (got, wrong, error) = match &self.result {
            Ok((outcome, wrong)) => {
                let got = outcome.as_json();
                let line = |(what, expected, got): &Difference| json!({ "what": what, "expected": expected, "got": got });
                (got, wrong.iter().map(line).collect(), Value::Null)
            }
            Err(what) => (Value::Null, Vec::new(), json!(what)),
        };
        json!({
            "file": self.cases.path.display().to_string(),
            "line": self.line,
            "name": self.case.name,
            "passed": self.passed(),
            "got": got,
            "wrong": wrong,
            "error": error,
        })
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let files = args.at.files();
    let set = files::read(&files)?;
    let all = Cases::all(&files)?;
    let mut ran = Vec::new();
    for cases in &all {
        for spanned in &cases.file.case {
            let case = spanned.get_ref();
            if case.name.contains(&args.only) {
                let (line, _) = position(&cases.text, spanned.span().start);
                let result = one(case, &cases.file, &set);
                ran.push(Ran { cases, case, line, result });
            }
        }
    }
    if ran.is_empty() {
        let folder = files.policies.display();
        bail!("there are no cases: write some into {folder}/NAME.test.toml (docs/POLICY.md has examples)");
    }
    let took_part: BTreeSet<&str> = ran
        .iter()
        .filter_map(|ran| ran.result.as_ref().ok())
        .flat_map(|(outcome, _)| outcome.policies.iter().map(String::as_str))
        .collect();
    let untested: Vec<&str> = set.rules.ids().filter(|id| !took_part.contains(id)).collect();
    let failed = ran.iter().filter(|ran| !ran.passed()).count();
    for ran in &ran {
        print(&if args.json { ran.as_json().to_string() } else { ran.as_text() })?;
    }
    let held = set.excerpt.issuers.is_some();
    summary(args, (ran.len(), failed), set.rules.len(), &untested, held)?;
    if failed > 0 {
        bail!("{} of {} failed", failed, count(ran.len(), "case"));
    }
    if args.deny_untested && !untested.is_empty() {
        bail!("no case is about {}: add some", untested.join(", "));
    }
    Ok(())
}

fn summary(
    args: &Args,
    (cases, failed): (usize, usize),
    policies: usize,
    untested: &[&str],
    issuers_are_known: bool,
) -> anyhow::Result<()> {
    if args.json {
        let about = json!({
            "cases": cases,
            "passed": cases.saturating_sub(failed),
            "failed": failed,
            "policies": policies,
            "untested": untested,
            "groups_checked": issuers_are_known,
        });
        return Ok(print(&about.to_string())?);
    }
    let passed = cases.saturating_sub(failed);
    print(&format!("{}: {passed} passed, {failed} failed", count(cases, "case")))?;
    if !issuers_are_known {
        print(
            "no [[issuer]] is known, so nothing says that anybody can be in these groups: name a ca.toml (--config)",
        )?;
    }
    if untested.is_empty() {
        return Ok(print(&format!("every policy took part in a case ({policies})"))?);
    }
    let tested = policies.saturating_sub(untested.len());
    Ok(print(&format!(
        "{tested} of {} took part in a case; untested: {}",
        count(policies, "policy"),
        untested.join(", ")
    ))?)
}

fn one(case: &Case, file: &CaseFile, set: &Set) -> Result<(Outcome, Vec<Difference>), String> {
    let who = |now: Timestamp| identity(&case.who, file, set, now);
    let question = Question::of(case, &file.default, who, set)?;
    let outcome = question.put(set);
    // A slip in a name is answered like a refusal; a case that expects one must not pass for it.
    let meant = case.code.as_deref() == Some(Code::NoAccess.as_str());
    if let (Some(unknown), false) = (question.unknown(set).first(), meant) {
        return Err(format!("{unknown} (say code = \"no_access\" if that is what the case is about)"));
    }
    let wrong = differences(case, &outcome)?;
    Ok((outcome, wrong))
}

fn identity(who: &Who, file: &CaseFile, set: &Set, now: Timestamp) -> Result<VerifiedIdentity, String> {
    let name = match who {
        Who::Named(name) => format!("identity {name}"),
        Who::Person(_) => "who".to_owned(),
    };
    person(who, &file.identity)?.identity(&set.excerpt, now).map_err(|what| format!("{name} {what}"))
}

/// The file of cases that is at this path.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(path: &Path) -> anyhow::Result<CaseFile> {
    use anyhow::Context;
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(toml::from_str(&text).map_err(|e| explain_shown(path, &text, &e))?)
}
