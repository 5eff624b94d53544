//! What stands in conditions: patterns that let more in than they seem to, and what a comparison of two sets has to
//! try so that it sees what either looks at.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, PatternElem, UnaryOp, Var};
use jit_ssh_proto::Command;

use super::literals::literals;
use super::names::{is_var, member};
use super::read::Read;
use super::{Finding, Lint, Surroundings};
use crate::policy::PolicySource;

pub(super) fn review(policies: &[Read<'_>], around: &Surroundings<'_>, findings: &mut Vec<Finding>) {
    for policy in policies {
        if let Some(condition) = policy.condition() {
            // What a permit needs gives; what a forbid needs takes.
            open_likes(condition, policy.is_permit(), &mut |expr, of_command, pattern| {
                let offset = expr.source_loc().map_or(0, |loc| loc.span.offset());
                let (message, help) = if of_command {
                    (
                        format!("{pattern:?} lets every argument through that comes after it"),
                        "list the whole commands: [\"…\", \"…\"].contains(context.command)",
                    )
                } else {
                    (
                        format!("{pattern:?} matches whatever begins like this, today's and tomorrow's"),
                        "compare the whole text, or use a group or a label",
                    )
                };
                findings.push(policy.finding(Lint::OpenLike, offset, message, help.to_string()));
            });
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

/// Every `like` that ends in `*` and whose holding lets somebody in.
fn open_likes(expr: &Expr, gives: bool, found: &mut dyn FnMut(&Expr, bool, &str)) {
    match expr.expr_kind() {
        ExprKind::Like { expr: of, pattern } => {
            // What the asker writes freely is a matter of form anyway.
            let free = member(of)
                .is_some_and(|(of, name)| is_var(of, Var::Context) && matches!(name, "reason" | "ticket"));
            if gives && !free && matches!(pattern.get_elems().last(), Some(PatternElem::Wildcard)) {
                found(expr, looks_at_the_command(of), &pattern.to_string());
            }
        }
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => open_likes(arg, !gives, found),
        ExprKind::And { left, right } | ExprKind::Or { left, right } => {
            open_likes(left, gives, found);
            open_likes(right, gives, found);
        }
        ExprKind::If { test_expr, then_expr, else_expr } => {
            open_likes(test_expr, gives, found);
            open_likes(then_expr, gives, found);
            open_likes(else_expr, gives, found);
        }
        ExprKind::UnaryApp { .. }
        | ExprKind::Lit(_)
        | ExprKind::Var(_)
        | ExprKind::Slot(_)
        | ExprKind::Unknown(_)
        | ExprKind::BinaryApp { .. }
        | ExprKind::ExtensionFunctionApp { .. }
        | ExprKind::GetAttr { .. }
        | ExprKind::HasAttr { .. }
        | ExprKind::ExtHasAttr { .. }
        | ExprKind::Is { .. }
        | ExprKind::Set(_)
        | ExprKind::Record(_) => {}
    }
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

/// What policies speak of by name or number: what has to be tried to see what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentioned {
    /// Whole commands.
    pub commands: BTreeSet<String>,
    /// Hours of the day that `context.local.hour` is compared with.
    pub hours: BTreeSet<u8>,
    /// Hosts.
    pub hosts: BTreeSet<String>,
    /// Groups of people.
    pub groups: BTreeSet<String>,
    /// Whether hosts are told apart by their names.
    pub host_names: bool,
}

/// Collects what policies speak of. What does not parse is left out.
#[must_use]
pub fn mentioned(sources: &[PolicySource]) -> Mentioned {
    let mut found = Mentioned::default();
    for policy in Read::all(sources, jit_ssh_proto::Span::from_seconds(60)) {
        for literal in literals(policy.statement.text) {
            let id = || literal.id.to_string();
            match literal.kind {
                "Host" => drop(found.hosts.insert(id())),
                "Account" => {
                    found.hosts.extend(literal.id.rsplit_once('@').map(|(_, host)| host.to_string()))
                }
                "Group" => drop(found.groups.insert(id())),
                _ => {}
            }
        }
        for expr in policy.condition().into_iter().flat_map(Expr::subexpressions) {
            collect(expr, &mut found);
        }
    }
    found
}

fn collect(expr: &Expr, found: &mut Mentioned) {
    if let Some((of, "name")) = member(expr)
        && member(of).is_some_and(|(_, name)| name == "host")
    {
        found.host_names = true;
    }
    let ExprKind::BinaryApp { op, arg1, arg2 } = expr.expr_kind() else { return };
    match op {
        BinaryOp::Eq | BinaryOp::Less | BinaryOp::LessEq => {
            for (one, other) in [(arg1, arg2), (arg2, arg1)] {
                match (member(one), other.expr_kind()) {
                    (Some((_, "hour")), ExprKind::Lit(Literal::Long(hour))) => {
                        found.hours.extend(u8::try_from(*hour).ok().filter(|hour| *hour < 24));
                    }
                    (Some(_), ExprKind::Lit(Literal::String(text))) if is_command(one) => {
                        found.commands.extend(command(text));
                    }
                    _ => {}
                }
            }
        }
        BinaryOp::Contains => {
            if let (ExprKind::Set(items), true) = (arg1.expr_kind(), is_command(arg2)) {
                for item in items.iter() {
                    if let ExprKind::Lit(Literal::String(text)) = item.expr_kind() {
                        found.commands.extend(command(text));
                    }
                }
            }
        }
        BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::In
        | BinaryOp::ContainsAll
        | BinaryOp::ContainsAny
        | BinaryOp::GetTag
        | BinaryOp::HasTag => {}
    }
}

/// The text, if it can be asked for.
fn command(text: &str) -> Option<String> {
    text.parse::<Command>().is_ok().then(|| text.to_string())
}
