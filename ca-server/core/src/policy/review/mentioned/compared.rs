//! What conditions compare with what they look at, and where another answer may begin.

use alloc::string::{String, ToString};

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Var};
use jit_ssh_proto::Command;

use super::super::names::is_var;
use super::Mentioned;
use super::looks::path;
use super::values::{Value, sample, seconds, text, value};

impl Mentioned {
    pub(super) fn compare(&mut self, expr: &Expr) {
        if let ExprKind::BinaryApp { op, arg1, arg2 } = expr.expr_kind() {
            self.binary(*op, arg1, arg2);
        } else if let ExprKind::Like { expr: of, pattern } = expr.expr_kind()
            && let Some(of) = path(of)
        {
            self.take(&of, 1, &Value::Text(&sample(pattern)));
        } else if let ExprKind::ExtensionFunctionApp { fn_name, args } = expr.expr_kind()
            && fn_name.to_string() == "isInRange"
            && let [of, range] = args.as_slice()
            && let (Some(of), Some(range)) = (path(of), value(range))
        {
            self.take(&of, 1, &range);
        }
    }

    fn binary(&mut self, op: BinaryOp, arg1: &Expr, arg2: &Expr) {
        match op {
            BinaryOp::Eq | BinaryOp::Less | BinaryOp::LessEq => {
                for (one, other, swapped) in [(arg1, arg2, false), (arg2, arg1, true)] {
                    if let (Some((of, factor)), Some(value)) = (measured(one), value(other)) {
                        self.take(&of, factor, &value);
                        if let Value::Number(number) = value {
                            self.edges(&of, op, number, swapped);
                        }
                    }
                    if let (Some(tag), Some(Value::Text(text))) = (tag(one), value(other)) {
                        self.tags.entry(tag.to_string()).or_default().insert(text.to_string());
                    }
                    let own = path(other);
                    self.own_login |= path(one).as_deref() == Some("resource.login")
                        && matches!(own.as_deref(), Some("principal.login" | "principal.name"));
                }
            }
            BinaryOp::Contains | BinaryOp::ContainsAll | BinaryOp::ContainsAny => {
                // `[…].contains(subject)`, or `subject.contains(…)`.
                for (one, other) in [(arg1, arg2), (arg2, arg1)] {
                    let items =
                        if let ExprKind::Set(items) = other.expr_kind() { items.as_slice() } else { &[] };
                    let one_value = core::slice::from_ref(other).iter().chain(items);
                    for value in one_value.filter_map(value) {
                        if let Some((of, factor)) = measured(one) {
                            self.take(&of, factor, &value);
                            if let Value::Number(number) = &value {
                                self.edges(&of, BinaryOp::Eq, *number, false);
                            }
                        }
                        if let (Some(tag), Value::Text(text)) = (tag(one), &value) {
                            self.tags.entry(tag.to_string()).or_default().insert((*text).to_string());
                        }
                    }
                }
            }
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => {
                let hour = |expr: &Expr| path(expr).as_deref() == Some("context.local.hour");
                self.each_hour |= hour(arg1) || hour(arg2);
            }
            BinaryOp::In | BinaryOp::GetTag | BinaryOp::HasTag => {}
        }
        for expr in [arg1, arg2] {
            self.host_names |= path(expr).as_deref() == Some("resource.host.name");
        }
    }

    /// `subject OP number`, or the other way round: where what holds may be another than just before.
    fn edges(&mut self, of: &str, op: BinaryOp, number: i64, swapped: bool) {
        let (edges, last) = match of {
            "context.local.hour" => (&mut self.hours, 23),
            "context.local.minute" => (&mut self.minutes, 59),
            "context.local.weekday" => (&mut self.weekdays, 7),
            _ => return,
        };
        let next = number.saturating_add(1);
        let found = match (op, swapped) {
            (BinaryOp::Less, false) | (BinaryOp::LessEq, true) => [number, number],
            (BinaryOp::Less, true) | (BinaryOp::LessEq, false) => [next, next],
            _ => [number, next],
        };
        edges.extend(found.iter().filter_map(|edge| u8::try_from(*edge).ok()).filter(|edge| *edge <= last));
    }

    fn take(&mut self, of: &str, factor: u64, value: &Value<'_>) {
        match (of, value) {
            ("context.local.hour" | "context.local.minute" | "context.local.weekday", _) => {}
            ("context.local.date", Value::Text(text)) => drop(self.dates.insert((*text).to_string())),
            ("context.now", Value::Of(_, text)) => drop(self.instants.insert((*text).to_string())),
            ("context.source_ip", Value::Of(_, text)) => drop(self.sources.insert((*text).to_string())),
            ("context.command" | "context.raw_command" | "context.argv.program", Value::Text(text)) => {
                // What nobody can ask for need not be tried.
                self.commands.extend(text.parse::<Command>().is_ok().then(|| (*text).to_string()));
            }
            ("resource.host.name", Value::Text(_)) => self.host_names = true,
            (_, Value::Text(text)) => {
                self.texts.entry(of.to_string()).or_default().insert((*text).to_string());
            }
            (_, Value::Number(number)) => {
                let seconds = u64::try_from(*number).ok().and_then(|n| n.checked_mul(factor));
                self.lengths.entry(of.to_string()).or_default().extend(seconds);
            }
            (_, Value::Of(function, text)) if function == "duration" => {
                self.lengths.entry(of.to_string()).or_default().extend(seconds(text));
            }
            (_, Value::Of(..)) => {}
        }
    }
}

/// The same, or how many of a unit there are of it: then a number of them is so many seconds.
fn measured(expr: &Expr) -> Option<(String, u64)> {
    let ExprKind::ExtensionFunctionApp { fn_name, args } = expr.expr_kind() else {
        return path(expr).map(|of| (of, 1));
    };
    let factor = match fn_name.to_string().as_str() {
        "toSeconds" => 1,
        "toMinutes" => 60,
        "toHours" => 3600,
        "toDays" => 86_400,
        _ => return None,
    };
    args.first().and_then(path).map(|of| (of, factor))
}

/// `principal.getTag("ref")`
fn tag(expr: &Expr) -> Option<&str> {
    let ExprKind::BinaryApp { op: BinaryOp::GetTag, arg1, arg2 } = expr.expr_kind() else { return None };
    text(arg2).filter(|_| is_var(arg1, Var::Principal))
}
