//! What can be said of a condition without asking anybody: whether it holds always or never, and what stands in it on
//! the side that lets in and on the side that keeps out.

use cedar_policy_core::ast::{BinaryOp, EntityUID, Expr, ExprKind, Literal, UnaryOp, Var};

use super::names::is_var;

/// Whether a condition holds for this action, as far as the action alone says it. Without an action: whatever is asked.
pub(super) fn settled(expr: &Expr, action: Option<&str>) -> Option<bool> {
    let of = |expr: &Expr| settled(expr, action);
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Bool(answer)) => Some(*answer),
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => of(arg).map(|answer| !answer),
        ExprKind::And { left, right } => match (of(left), of(right)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            (Some(true) | None, None) | (None, Some(true)) => None,
        },
        ExprKind::Or { left, right } => match (of(left), of(right)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            (Some(false) | None, None) | (None, Some(false)) => None,
        },
        ExprKind::If { test_expr, then_expr, else_expr } => match of(test_expr) {
            Some(true) => of(then_expr),
            Some(false) => of(else_expr),
            None => of(then_expr).filter(|answer| of(else_expr) == Some(*answer)),
        },
        ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } => {
            let other = if is_var(arg1, Var::Action) { arg2 } else { arg1 };
            let about = is_var(arg1, Var::Action) || is_var(arg2, Var::Action);
            Some(names(other, action?)?).filter(|_| about)
        }
        ExprKind::BinaryApp { op: BinaryOp::In, arg1, arg2 } if is_var(arg1, Var::Action) => {
            one_of(arg2, action?)
        }
        ExprKind::BinaryApp { op: BinaryOp::Contains, arg1, arg2 } if is_var(arg2, Var::Action) => {
            one_of(arg1, action?)
        }
        ExprKind::Lit(_)
        | ExprKind::Var(_)
        | ExprKind::Slot(_)
        | ExprKind::Unknown(_)
        | ExprKind::UnaryApp { .. }
        | ExprKind::BinaryApp { .. }
        | ExprKind::ExtensionFunctionApp { .. }
        | ExprKind::GetAttr { .. }
        | ExprKind::HasAttr { .. }
        | ExprKind::ExtHasAttr { .. }
        | ExprKind::Like { .. }
        | ExprKind::Is { .. }
        | ExprKind::Set(_)
        | ExprKind::Record(_) => None,
    }
}

/// Whether a literal is this action.
fn names(expr: &Expr, action: &str) -> Option<bool> {
    if let ExprKind::Lit(Literal::EntityUID(uid)) = expr.expr_kind() {
        let uid: &EntityUID = uid;
        let id: &str = uid.eid().as_ref();
        return Some(id == action);
    }
    None
}

/// Whether one of several literals is; no action is in another.
fn one_of(expr: &Expr, action: &str) -> Option<bool> {
    let ExprKind::Set(items) = expr.expr_kind() else { return names(expr, action) };
    let all: Option<alloc::vec::Vec<bool>> = items.iter().map(|item| names(item, action)).collect();
    all.map(|all| all.contains(&true))
}

/// Every part of a condition that is no `&&`, `||`, `!` or `if`, and whether its holding makes the whole more likely to
/// hold (`gives` at first).
pub(super) fn parts<'a>(expr: &'a Expr, gives: bool, found: &mut dyn FnMut(&'a Expr, bool)) {
    match expr.expr_kind() {
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => parts(arg, !gives, found),
        ExprKind::And { left, right } | ExprKind::Or { left, right } => {
            parts(left, gives, found);
            parts(right, gives, found);
        }
        ExprKind::If { test_expr, then_expr, else_expr } => {
            parts(test_expr, gives, found);
            parts(then_expr, gives, found);
            parts(else_expr, gives, found);
        }
        ExprKind::Lit(_)
        | ExprKind::Var(_)
        | ExprKind::Slot(_)
        | ExprKind::Unknown(_)
        | ExprKind::UnaryApp { .. }
        | ExprKind::BinaryApp { .. }
        | ExprKind::ExtensionFunctionApp { .. }
        | ExprKind::GetAttr { .. }
        | ExprKind::HasAttr { .. }
        | ExprKind::ExtHasAttr { .. }
        | ExprKind::Like { .. }
        | ExprKind::Is { .. }
        | ExprKind::Set(_)
        | ExprKind::Record(_) => found(expr, gives),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_without_asking() {
        for (when, action, expected) in [
            ("true", None, Some(true)),
            ("true && !false", None, Some(true)),
            ("context.reason == \"\" || true", None, Some(true)),
            ("context.reason == \"\" && false", None, Some(false)),
            ("if context.reason == \"\" then true else true", None, Some(true)),
            ("if true then context.reason == \"\" else true", None, None),
            ("context.reason == \"\"", None, None),
            ("action == Action::\"shell\"", None, None),
            ("action == Action::\"shell\"", Some("shell"), Some(true)),
            ("Action::\"shell\" == action", Some("exec"), Some(false)),
            ("!(action in [Action::\"shell\", Action::\"exec\"])", Some("exec"), Some(false)),
            ("[Action::\"shell\"].contains(action)", Some("exec"), Some(false)),
            ("action == Action::\"shell\" && context.reason == \"\"", Some("shell"), None),
            ("action == Action::\"shell\" && context.reason == \"\"", Some("exec"), Some(false)),
            ("resource.login == \"shell\"", Some("shell"), None),
        ] {
            let expr: Expr = when.parse().unwrap();
            assert_eq!(settled(&expr, action), expected, "{when} {action:?}");
        }
    }
}
