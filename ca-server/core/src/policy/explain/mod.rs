//! Why a request is allowed or refused, and what would change the answer (DESIGN 5): found by asking again with what
//! the caller controls changed. What is advised was decided on; nothing here ever grants.
//!
//! Nobody learns of what they have no part in: where an account is unknown, or its host is not theirs in any way, the
//! answer is that for an unknown account, and nothing more is asked.

mod ask;
mod change;
mod looks;
mod needed;
mod search;
mod windows;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jit_ssh_proto::explanation::{Answer, Explanation, Pair, Terms};
use jit_ssh_proto::{Code, Timestamp};

use self::ask::{Asker, Standing};
use self::change::Found;
pub(super) use self::needed::needed;
use super::decide::{Judged, Supposed, Verdict, judged, reached};
use super::{Decision, Denial, LocalTime, refusal};

/// The wall clock of the configured zone, for times that are not now.
pub trait Calendar {
    /// That time there.
    fn local(&self, at: Timestamp) -> LocalTime;

    /// The zone's name, for people.
    fn zone(&self) -> &str;
}

/// How often Cedar is asked again about a pair of account and action, at most, for one explanation.
pub const QUESTIONS: usize = 16;

/// How often a request of several pairs is decided again as a whole, at most, for one explanation.
pub const DECISIONS: usize = 4;

/// How many ways out are told.
const TOLD: usize = 4;

/// An explanation, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// What the caller is told.
    pub told: Explanation,
    /// The policies that forbid it or demand approval, as a denial has them.
    pub policies: Vec<String>,
    /// How often Cedar was asked again about a pair: at most [`QUESTIONS`] times.
    pub questions: usize,
    /// How often the whole was decided again: at most [`DECISIONS`] times.
    pub decisions: usize,
}

/// Explains the answer that a request would get.
pub(super) fn explain(supposed: Supposed<'_>, calendar: &dyn Calendar) -> Explained {
    let at = supposed.at;
    // 1. The answer, as every request gets it.
    let reached = match reached(supposed) {
        Ok(reached) => reached,
        Err(denial) => return denied(denial),
    };
    let (pairs, decision) = judged(supposed, &reached);
    let denial = match decision {
        Decision::Allowed(_) => return allowed(&pairs),
        Decision::Denied(denial) => denial,
    };
    // 2. Where somebody has no part in a host, and where a policy fails, there is nothing to be found.
    let unknown = |judged: &Judged<'_>| {
        matches!(judged.verdict, Verdict::NoAccess(_)) && supposed.parts(judged.account).is_none()
    };
    if denial.code == Code::NoAccess && pairs.iter().any(unknown) {
        return denied(refusal::no_access());
    }
    let mut explained = denied(denial);
    let Some(whole) = ask::whole(&pairs) else { return explained };
    match &whole.standing {
        // Allowed by policy and yet not to be had: nothing that the caller does helps.
        Standing::Allowed(_) | Standing::Failed => return explained,
        // Nor does anybody's approval.
        Standing::Pending(_) if explained.told.code != Some(Code::ApprovalRequired) => return explained,
        Standing::Pending(terms) => {
            explained.told.answer = Answer::Pending;
            explained.told.terms = Some(terms.clone());
            explained.told.pairs = given(&pairs);
        }
        Standing::TooLong(_) | Standing::Denied(_) => {}
    }
    // 3. What would change it: nothing where nothing signs.
    if !reached.signed(supposed.rules) {
        return explained;
    }
    let accounts = reached.accounts.iter().map(|(account, _)| account.clone()).collect();
    let mut asker = Asker::new(supposed, calendar, accounts);
    let mut found = search::ways_out(&mut asker, whole, pairs.len());
    found.sort_by_key(Found::cost);
    found.truncate(TOLD);
    if explained.told.code == Some(Code::NoAccess) && !found.is_empty() {
        explained.told.detail = "No policy gives you this as you ask for it.".into();
    }
    explained.told.advice = found.into_iter().map(|found| found.near_miss(calendar, at)).collect();
    explained.questions = asker.questions();
    explained.decisions = asker.decisions();
    explained
}

fn allowed(pairs: &[Judged<'_>]) -> Explained {
    let terms = ask::merged(pairs);
    let detail = match &terms {
        Some(Terms { duration, .. }) => alloc::format!("Policy allows this, for {duration}."),
        None => "Policy allows this.".into(),
    };
    let pairs = given(pairs);
    let told = Explanation { answer: Answer::Allowed, code: None, detail, terms, pairs, advice: Vec::new() };
    Explained { told, policies: Vec::new(), questions: 0, decisions: 0 }
}

fn denied(denial: Denial) -> Explained {
    let Denial { code, detail, policies } = denial;
    let (terms, pairs, advice) = (None, Vec::new(), Vec::new());
    let told = Explanation { answer: Answer::Denied, code: Some(code), detail, terms, pairs, advice };
    Explained { told, policies, questions: 0, decisions: 0 }
}

/// By which policy each pair is given; none unless all are.
fn given(pairs: &[Judged<'_>]) -> Vec<Pair> {
    let pair = |judged: &Judged<'_>| {
        let policy = match &judged.verdict {
            Verdict::Allowed(terms) => terms.id,
            Verdict::NeedsApproval(terms, _) => terms.id,
            Verdict::Failed(_) | Verdict::Forbidden(_) | Verdict::NoAccess(_) | Verdict::TooLong(_) => {
                return None;
            }
        };
        Some(Pair {
            account: judged.account.to_string(),
            action: judged.action.to_string(),
            policy: policy.to_string(),
            terms: ask::terms(&judged.verdict)?,
        })
    };
    pairs.iter().map(pair).collect::<Option<Vec<Pair>>>().unwrap_or_default()
}
