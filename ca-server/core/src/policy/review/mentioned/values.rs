//! What something is compared with: numbers, texts, and extension functions of texts.

use alloc::string::{String, ToString};

use cedar_policy_core::ast::{Expr, ExprKind, Literal, Pattern, PatternElem};

/// What something is compared with.
pub(super) enum Value<'a> {
    Number(i64),
    Text(&'a str),
    /// An extension function of a text: `duration`, `datetime`, `ip`.
    Of(String, &'a str),
}
pub(super) fn text(expr: &Expr) -> Option<&str> {
    if let ExprKind::Lit(Literal::String(text)) = expr.expr_kind() { Some(text) } else { None }
}

pub(super) fn value(expr: &Expr) -> Option<Value<'_>> {
    if let ExprKind::Lit(Literal::Long(number)) = expr.expr_kind() {
        Some(Value::Number(*number))
    } else if let ExprKind::ExtensionFunctionApp { fn_name, args } = expr.expr_kind()
        && let [one] = args.as_slice()
    {
        text(one).map(|text| Value::Of(fn_name.to_string(), text))
    } else {
        text(expr).map(Value::Text)
    }
}

/// A text that fits the pattern.
pub(super) fn sample(pattern: &Pattern) -> String {
    let fits = |elem: &PatternElem| match elem {
        PatternElem::Char(c) => *c,
        PatternElem::Wildcard => 'x',
    };
    pattern.get_elems().iter().map(fits).collect()
}

/// The whole seconds of a `duration` as Cedar writes it: `1d2h3m4s5ms`.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits)?;
        let unit = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit)?;
        let factor = match unit {
            "d" => 86_400,
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            "ms" => 0,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = after;
    }
    Some(total)
}
