//! What stands in conditions: patterns that let more in than they seem to, forbids that are walked around, and times
//! that never come.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, PatternElem, UnaryOp, Var};

use super::evaluate::parts;
use super::names::{is_var, member};
use super::read::Read;
use super::{Finding, Lint, Surroundings};

pub(super) fn review(policies: &[Read<'_>], around: &Surroundings<'_>, findings: &mut Vec<Finding>) {
    for policy in policies {
        if let Some(condition) = policy.condition() {
            // What a permit needs gives; what a forbid needs takes.
            parts(condition, policy.is_permit(), &mut |expr, gives| {
                findings.extend(like(policy, expr, gives));
                findings.extend(evadable(policy, expr, gives));
            });
            findings.extend(clocks(policy, condition));
        }
        if let Some(offer) = policy.offer()
            && offer.ttl > around.max_duration
        {
            let message =
                format!("@ttl is {}, but nothing lasts longer than {}", offer.ttl, around.max_duration);
            let help = "shorten it, or raise limits.duration in ca.toml".to_string();
            findings.push(policy.finding(Lint::TtlAboveMaximum, policy.annotation("ttl"), message, help));
        }
    }
}

/// A `like` whose holding lets somebody in, and that more fits than it seems to.
fn like(policy: &Read<'_>, expr: &Expr, gives: bool) -> Option<Finding> {
    let ExprKind::Like { expr: of, pattern } = expr.expr_kind() else { return None };
    let wild = |elem: &PatternElem| matches!(elem, PatternElem::Wildcard);
    let elems = pattern.get_elems();
    let (ends_open, open) = (elems.last().is_some_and(wild), elems.iter().any(wild));
    let of_context =
        |name: &str| member(of).is_some_and(|(of, found)| is_var(of, Var::Context) && found == name);
    let said = |message: String, help: &str| {
        Some(policy.finding(Lint::OpenLike, policy.at(expr), message, help.to_string()))
    };
    if of_context("raw_command") {
        let message = format!(
            "{:?} is compared with text that a shell reads: no pattern holds `;`, quotes or $() in",
            pattern.to_string()
        );
        return said(message, "compare context.command, which is plain words, or raw_command whole with ==");
    }
    if !gives || !open || of_context("reason") || of_context("ticket") {
        // What the asker writes freely is a matter of form anyway.
        return None;
    }
    let pattern = pattern.to_string();
    if looks_at_the_command(of) {
        let (what, where_) =
            if ends_open { ("argument", "that comes after it") } else { ("word", "in place of the `*`") };
        let message = format!("{pattern:?} lets every {what} through {where_}");
        return said(message, "list the whole commands: [\"…\", \"…\"].contains(context.command)");
    }
    // A whole domain is what is meant by the addresses of it.
    let email = member(of).is_some_and(|(_, name)| name == "email");
    if email && pattern.starts_with("*@") && pattern.matches('*').count() == 1 {
        return None;
    }
    let how =
        if ends_open { "begins like this" } else { "ends like this, whatever stands in place of the `*`" };
    said(
        format!("{pattern:?} matches whatever {how}, today's and tomorrow's"),
        "compare the whole text, or use a group or a label",
    )
}

/// A forbid of certain commands: another way to write one is no plain command, or another one.
fn evadable(policy: &Read<'_>, expr: &Expr, gives: bool) -> Option<Finding> {
    let compares = matches!(expr.expr_kind(), ExprKind::BinaryApp { .. } | ExprKind::Like { .. });
    if policy.is_permit() || gives || !compares || !looks_at_the_command(expr) {
        return None;
    }
    let message =
        "quotes, a path or another program get past a forbid of commands, and so does a shell".to_string();
    let help = "permit the commands that may be run and no others, or forbid all others: \
                unless { context has command && [\"…\"].contains(context.command) }";
    Some(policy.finding(Lint::EvadableForbid, policy.at(expr), message, help.to_string()))
}

/// Comparisons with an hour, minute or day of the week that there is not.
fn clocks(policy: &Read<'_>, condition: &Expr) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Cedar reads `a >= b` as `!(a < b)`: told of the whole, it is not told of the part.
    let mut told: Vec<*const Expr> = Vec::new();
    for expr in condition.subexpressions() {
        let (part, negated) = if let ExprKind::UnaryApp { op: UnaryOp::Not, arg } = expr.expr_kind() {
            (arg.as_ref(), true)
        } else {
            (expr, false)
        };
        if told.contains(&core::ptr::from_ref(part)) {
            continue;
        }
        told.push(part);
        findings.extend(clock(policy, part, negated));
    }
    findings
}

fn clock(policy: &Read<'_>, expr: &Expr, negated: bool) -> Option<Finding> {
    let ExprKind::BinaryApp { op, arg1, arg2 } = expr.expr_kind() else { return None };
    let swapped = unit(arg1).is_none();
    let (subject, other) = if swapped { (arg2, arg1) } else { (arg1, arg2) };
    let (name, first, last) = unit(subject)?;
    let items: &[Expr] = match (op, other.expr_kind()) {
        (BinaryOp::Contains, ExprKind::Set(items)) => items,
        _ => core::slice::from_ref(other),
    };
    let holds = |x: i64, value: i64| match (op, swapped) {
        (BinaryOp::Eq, _) | (BinaryOp::Contains, true) => Some(x == value),
        (BinaryOp::Less, false) => Some(x < value),
        (BinaryOp::Less, true) => Some(value < x),
        (BinaryOp::LessEq, false) => Some(x <= value),
        (BinaryOp::LessEq, true) => Some(value <= x),
        _ => None,
    };
    for item in items {
        let Some(value) = number(item) else { continue };
        let answers: Option<Vec<bool>> = (first..=last).map(|x| Some(holds(x, value)? != negated)).collect();
        let answers = answers?;
        // That something is from the first to the last is said for clarity; that it is equal to neither of them is not.
        let is_edge = (first.saturating_sub(1)..=first).contains(&value)
            || (last..=last.saturating_add(1)).contains(&value);
        let what = if !answers.contains(&true) {
            "this never holds"
        } else if !answers.contains(&false) && !is_edge {
            "this always holds"
        } else {
            continue;
        };
        let message = format!("context.local.{name} goes from {first} to {last}: {what}");
        let help = match (name, value) {
            ("weekday", 0) => "Monday is 1, Sunday is 7",
            ("hour", 24) => "midnight is 0",
            _ => "correct the number",
        };
        return Some(policy.finding(Lint::OutOfRange, policy.at(item), message, help.to_string()));
    }
    None
}

/// `context.local.hour` and its like, with the first and the last value that it has.
fn unit(expr: &Expr) -> Option<(&str, i64, i64)> {
    let (of, name) = member(expr)?;
    let is_local = member(of).is_some_and(|(of, name)| name == "local" && is_var(of, Var::Context));
    let (first, last) = match name {
        "hour" => (0, 23),
        "minute" => (0, 59),
        "weekday" => (1, 7),
        _ => return None,
    };
    is_local.then_some((name, first, last))
}

fn number(expr: &Expr) -> Option<i64> {
    if let ExprKind::Lit(Literal::Long(number)) = expr.expr_kind() { Some(*number) } else { None }
}

/// Whether a condition says anything about the command.
pub(super) fn looks_at_the_command(expr: &Expr) -> bool {
    expr.subexpressions().any(is_command)
}

/// `context.command`, `context.argv` or `context.raw_command`.
fn is_command(expr: &Expr) -> bool {
    member(expr).is_some_and(|(of, name)| {
        is_var(of, Var::Context) && matches!(name, "command" | "argv" | "raw_command")
    })
}
