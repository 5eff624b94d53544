//! What conditions look at: chains of attributes, by their path.

use alloc::format;
use alloc::string::{String, ToString};

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Var};

use super::super::names::{is_var, member};
use super::Mentioned;

impl Mentioned {
    pub(super) fn look(&mut self, expr: &Expr) {
        match expr.expr_kind() {
            ExprKind::GetAttr { .. } => self.looks.extend(path(expr)),
            ExprKind::HasAttr { expr, attr } => {
                self.looks.extend(path(expr).map(|of| format!("{of}.{attr}")));
            }
            ExprKind::ExtHasAttr { expr, attrs } => {
                let mut of = path(expr);
                for attr in attrs.iter() {
                    of = of.map(|of| format!("{of}.{attr}"));
                    self.looks.extend(of.clone());
                }
            }
            // Handed on whole.
            ExprKind::Set(items) => self.whole(items.iter()),
            ExprKind::Record(members) => self.whole(members.values()),
            ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } => {
                self.whole([arg1, arg2].map(AsRef::as_ref).into_iter())
            }
            ExprKind::If { then_expr, else_expr, .. } => {
                self.whole([then_expr, else_expr].map(AsRef::as_ref).into_iter());
            }
            ExprKind::Lit(_)
            | ExprKind::Var(_)
            | ExprKind::Slot(_)
            | ExprKind::Unknown(_)
            | ExprKind::And { .. }
            | ExprKind::Or { .. }
            | ExprKind::UnaryApp { .. }
            | ExprKind::BinaryApp { .. }
            | ExprKind::ExtensionFunctionApp { .. }
            | ExprKind::Like { .. }
            | ExprKind::Is { .. } => {}
        }
    }

    fn whole<'a>(&mut self, mut exprs: impl Iterator<Item = &'a Expr>) {
        if exprs.any(|expr| is_var(expr, Var::Context)) {
            self.looks.insert("context".to_string());
        }
    }
}

/// `context.local.hour`, of a chain of attributes that begins with a variable.
pub(super) fn path(expr: &Expr) -> Option<String> {
    if let ExprKind::Var(var) = expr.expr_kind() {
        return Some(var.to_string());
    }
    let (of, name) = member(expr)?;
    path(of).map(|of| format!("{of}.{name}"))
}
