//! What conditions look at: which circumstances could change their answer at all, and at which values. It says what is
//! worth asking and nothing about the answer, which is Cedar's.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Var};
use jit_ssh_proto::{Span, Timestamp};

use super::super::LocalTime;

/// Where a number is compared with others: between two edges every value is like the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edges {
    at: BTreeSet<i64>,
    /// It is used in another way than compared with a number: each value may be unlike all others.
    each: bool,
}

impl Edges {
    /// Values of one class are alike to the conditions.
    pub(super) fn class(&self, value: i64) -> i64 {
        if self.each {
            return value;
        }
        i64::try_from(self.at.range(..=value).count()).unwrap_or(i64::MAX)
    }

    /// The edges between two times.
    pub(super) fn between(&self, after: Timestamp, before: Timestamp) -> impl Iterator<Item = Timestamp> {
        let times = self.at.iter().filter_map(|at| u64::try_from(*at).ok()).map(Timestamp::from_seconds);
        times.filter(move |time| *time > after && *time < before)
    }

    /// Whether the value matters at all.
    pub(super) fn matter(&self) -> bool {
        self.each || !self.at.is_empty()
    }

    /// `subject OP literal`, or the other way round.
    fn compared(&mut self, op: BinaryOp, literal: i64, literal_first: bool) -> bool {
        let next = literal.saturating_add(1);
        match op {
            BinaryOp::Eq => self.at.extend([literal, next]),
            BinaryOp::Less => drop(self.at.insert(if literal_first { next } else { literal })),
            BinaryOp::LessEq => drop(self.at.insert(if literal_first { literal } else { next })),
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::In
            | BinaryOp::Contains
            | BinaryOp::ContainsAll
            | BinaryOp::ContainsAny
            | BinaryOp::GetTag
            | BinaryOp::HasTag => return false,
        }
        true
    }
}

/// What some conditions look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Looks {
    /// The members of the context.
    members: BTreeSet<String>,
    /// The context is handed on whole.
    whole: bool,
    /// `context.local.hour`
    pub(super) hours: Edges,
    /// `context.local.minute`
    pub(super) minutes: Edges,
    /// `context.local.weekday`
    pub(super) weekdays: Edges,
    /// `context.now`, in seconds.
    pub(super) instants: Edges,
    /// `context.local.date`
    dates: BTreeSet<String>,
    each_date: bool,
    /// Lengths that may be the longest that do.
    pub(super) lengths: BTreeSet<Span>,
    /// What commands and programs are compared with.
    pub(super) commands: Vec<String>,
}

impl Looks {
    /// Whether the conditions may look at this member of the context.
    pub(super) fn at(&self, member: &str) -> bool {
        self.whole || self.members.contains(member)
    }

    /// Times of one class are alike to the conditions.
    pub(super) fn class(&self, at: Timestamp, local: &LocalTime) -> Class {
        Class {
            hour: self.hours.class(i64::from(local.hour)),
            minute: self.minutes.class(i64::from(local.minute)),
            weekday: self.weekdays.class(i64::from(local.weekday)),
            instant: self.instants.class(i64::try_from(at.seconds()).unwrap_or(i64::MAX)),
            date: if self.each_date || self.dates.contains(&local.date) {
                local.date.clone()
            } else {
                String::new()
            },
        }
    }

    /// Whether one day is like the next.
    pub(super) fn daily(&self) -> bool {
        !self.weekdays.matter() && !self.instants.matter() && self.dates.is_empty() && !self.each_date
    }

    /// Takes a condition in.
    pub(super) fn add(&mut self, condition: &Expr) {
        // How often a member of `local`, or `now`, is there at all, and how often in a comparison that is understood.
        let (mut seen, mut understood) = (Seen::default(), Seen::default());
        let (mut contexts, mut of_context) = (0_usize, 0_usize);
        for expr in condition.subexpressions() {
            if matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) {
                contexts = contexts.saturating_add(1);
            }
            if let Some(member) = member(expr) {
                self.members.insert(member.to_string());
                of_context = of_context.saturating_add(1);
            }
            if let Some(field) = Field::of(expr) {
                seen.count(field);
            }
            if let ExprKind::BinaryApp { op, arg1, arg2 } = expr.expr_kind() {
                self.comparison(*op, arg1, arg2, false, &mut understood);
                self.comparison(*op, arg2, arg1, true, &mut understood);
            }
        }
        self.whole |= contexts > of_context;
        self.hours.each |= seen.hour > understood.hour;
        self.minutes.each |= seen.minute > understood.minute;
        self.weekdays.each |= seen.weekday > understood.weekday;
        self.each_date |= seen.date > understood.date;
        // Of `now`, only whole hours are looked at where it is not simply compared.
        self.hours.each |= seen.now > understood.now;
    }

    fn comparison(
        &mut self,
        op: BinaryOp,
        subject: &Expr,
        with: &Expr,
        swapped: bool,
        understood: &mut Seen,
    ) {
        let literals = literals(op, with, swapped);
        if literals.is_empty() {
            return;
        }
        match member_or_program(subject) {
            Some("duration") => self.lengths.extend(literals.iter().flat_map(|with| longest(op, with))),
            Some("command" | "program") => {
                self.commands
                    .extend(literals.iter().filter_map(|with| string(with)).map(ToString::to_string));
            }
            Some(_) | None => {}
        }
        let Some(field) = Field::of(subject) else { return };
        let op = if op == BinaryOp::Contains { BinaryOp::Eq } else { op };
        let all = literals.iter().all(|with| match field {
            Field::Hour => number(with).is_some_and(|n| self.hours.compared(op, n, swapped)),
            Field::Minute => number(with).is_some_and(|n| self.minutes.compared(op, n, swapped)),
            Field::Weekday => number(with).is_some_and(|n| self.weekdays.compared(op, n, swapped)),
            Field::Now => instant(with).is_some_and(|n| self.instants.compared(op, n, swapped)),
            Field::Date => string(with).is_some_and(|date| {
                self.dates.insert(date.to_string());
                op == BinaryOp::Eq
            }),
        });
        if all {
            understood.count(field);
        }
    }
}

/// A part of the time.
#[derive(Clone, Copy)]
enum Field {
    Hour,
    Minute,
    Weekday,
    Date,
    Now,
}

impl Field {
    fn of(expr: &Expr) -> Option<Self> {
        if member(expr) == Some("now") {
            return Some(Self::Now);
        }
        let ExprKind::GetAttr { expr, attr } = expr.expr_kind() else { return None };
        if member(expr) != Some("local") {
            return None;
        }
        match attr.as_str() {
            "hour" => Some(Self::Hour),
            "minute" => Some(Self::Minute),
            "weekday" => Some(Self::Weekday),
            "date" => Some(Self::Date),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Seen {
    hour: u32,
    minute: u32,
    weekday: u32,
    date: u32,
    now: u32,
}

impl Seen {
    fn count(&mut self, field: Field) {
        let of = match field {
            Field::Hour => &mut self.hour,
            Field::Minute => &mut self.minute,
            Field::Weekday => &mut self.weekday,
            Field::Date => &mut self.date,
            Field::Now => &mut self.now,
        };
        *of = of.saturating_add(1);
    }
}

/// The member of the context that an expression takes or asks for.
fn member(expr: &Expr) -> Option<&str> {
    let is_context = |expr: &Expr| matches!(expr.expr_kind(), ExprKind::Var(Var::Context));
    if let ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } = expr.expr_kind() {
        return is_context(expr).then_some(attr.as_str());
    }
    let ExprKind::ExtHasAttr { expr, attrs } = expr.expr_kind() else { return None };
    is_context(expr).then_some(attrs.first().as_str())
}

/// The member of the context, or `program` for `context.argv.program`.
fn member_or_program(expr: &Expr) -> Option<&str> {
    if let ExprKind::GetAttr { expr: of, attr } = expr.expr_kind() {
        return if member(of) == Some("argv") && attr == "program" { Some("program") } else { member(expr) };
    }
    None
}

/// What a subject is compared with: one literal, or each of a set of them.
fn literals(op: BinaryOp, with: &Expr, swapped: bool) -> Vec<&Expr> {
    let kind = with.expr_kind();
    if op != BinaryOp::Contains {
        let is_one = matches!(kind, ExprKind::Lit(_) | ExprKind::ExtensionFunctionApp { .. });
        return if is_one { Vec::from([with]) } else { Vec::new() };
    }
    // `[1, 2].contains(subject)`: the set comes first.
    if let (ExprKind::Set(items), true) = (kind, swapped) { items.iter().collect() } else { Vec::new() }
}

fn number(expr: &Expr) -> Option<i64> {
    if let ExprKind::Lit(Literal::Long(number)) = expr.expr_kind() { Some(*number) } else { None }
}

fn string(expr: &Expr) -> Option<&str> {
    if let ExprKind::Lit(Literal::String(text)) = expr.expr_kind() { Some(text) } else { None }
}

/// The text that an extension function of this name is applied to.
fn applied<'a>(expr: &'a Expr, function: &str) -> Option<&'a str> {
    let ExprKind::ExtensionFunctionApp { fn_name, args } = expr.expr_kind() else { return None };
    match args.as_slice() {
        [argument] if fn_name.to_string() == function => string(argument),
        _ => None,
    }
}

/// The lengths that may be the longest that fit a comparison with this one.
fn longest(op: BinaryOp, with: &Expr) -> Vec<Span> {
    let Some(seconds) = applied(with, "duration").and_then(seconds) else { return Vec::new() };
    let lengths = if op == BinaryOp::Less || op == BinaryOp::LessEq || op == BinaryOp::Eq {
        [seconds, seconds.saturating_sub(1)].map(Span::from_seconds).into()
    } else {
        Vec::new()
    };
    lengths.into_iter().filter(|length| length.seconds() > 0).collect()
}

/// The whole seconds of a `duration` as Cedar writes it: `1d2h3m4s5ms`.
fn seconds(text: &str) -> Option<u64> {
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        let unit = after.bytes().take_while(u8::is_ascii_lowercase).count();
        let (unit, after) = after.split_at_checked(unit)?;
        let number: u64 = number.parse().ok()?;
        let factor = match unit {
            "d" => 86_400,
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            "ms" => 0,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = after;
    }
    Some(total)
}

/// The second of a `datetime` as Cedar writes it; none for what is not of the plain forms.
fn instant(expr: &Expr) -> Option<i64> {
    let text = applied(expr, "datetime")?;
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, time.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let numbers = |text: &str, by: char| -> Option<[i64; 3]> {
        let parts: Option<Vec<i64>> = text.split(by).map(|part| part.parse().ok()).collect();
        parts?.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time.split('.').next()?, ':')?;
    let day_is_one = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !day_is_one || [hour, minute, second].iter().any(|part| !(0..=60).contains(part)) {
        return None;
    }
    // Days since 1970-01-01, of a year that starts in March, so that a leap day is its last day.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    (0..=i64::MAX).contains(&seconds).then_some(seconds)
}

/// What conditions see of a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class {
    hour: i64,
    minute: i64,
    weekday: i64,
    instant: i64,
    date: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(when: &str) -> Looks {
        let text = alloc::format!("permit (principal, action, resource) when {{ {when} }};");
        let policy: cedar_policy::Policy = text.parse().unwrap();
        let ast: &cedar_policy_core::ast::Policy = policy.as_ref();
        let mut looks = Looks::default();
        looks.add(ast.non_scope_constraints().unwrap());
        looks
    }

    fn edges(edges: &Edges) -> Vec<i64> {
        assert!(!edges.each);
        edges.at.iter().copied().collect()
    }

    #[test]
    fn comparisons_have_edges() {
        for (when, expected) in [
            ("context.local.hour >= 8 && context.local.hour < 20", &[8, 20][..]),
            ("context.local.hour > 7 && context.local.hour <= 19", &[8, 20]),
            ("8 <= context.local.hour && 20 > context.local.hour", &[8, 20]),
            ("7 < context.local.hour", &[8]),
            ("context.local.hour == 3", &[3, 4]),
            ("!(context.local.hour != 3)", &[3, 4]),
            ("[3, 22].contains(context.local.hour)", &[3, 4, 22, 23]),
            ("context.reason != \"\"", &[]),
        ] {
            assert_eq!(edges(&looks(when).hours), expected, "{when}");
        }
        assert_eq!(edges(&looks("context.local.weekday <= 5").weekdays), [6]);
        let now =
            "context.now >= datetime(\"2026-11-28T22:30:00Z\") && context.now < datetime(\"2026-11-29\")";
        assert_eq!(edges(&looks(now).instants), [1_795_905_000, 1_795_910_400]);
    }

    #[test]
    fn what_is_not_understood_may_be_anything() {
        for when in [
            "context.local.hour * 60 + context.local.minute >= 510",
            "context.local.hour < context.local.weekday",
            "[context.local.hour].contains(8)",
            "context.now.toTime() > duration(\"8h\")",
        ] {
            assert!(looks(when).hours.each, "{when}");
        }
        assert!(looks("context.local.date like \"2026-12-*\"").each_date);
        assert!(!looks("context.local.date == \"2026-12-24\"").each_date);
        assert!(looks("{ c: context }.c.reason == \"\"").at("ticket"));
        assert!(!looks("context.reason == \"\"").at("ticket"));
        assert!(looks("context has argv && context.argv.program == \"uptime\"").at("argv"));
    }

    #[test]
    fn days_are_alike_unless_something_names_them() {
        for (when, daily) in [
            ("context.local.hour >= 8", true),
            ("context.local.minute == 3", true),
            ("context.local.weekday == 1", false),
            ("context.local.date == \"2026-12-24\"", false),
            ("context.now < datetime(\"2026-12-24\")", false),
        ] {
            assert_eq!(looks(when).daily(), daily, "{when}");
        }
    }

    #[test]
    fn lengths_and_commands() {
        let lengths = |when: &str| looks(when).lengths.iter().map(|s| s.seconds()).collect::<Vec<_>>();
        assert_eq!(lengths("context.duration <= duration(\"1h30m\")"), [5399, 5400]);
        assert_eq!(lengths("context.duration < duration(\"1d\")"), [86_399, 86_400]);
        assert!(lengths("context.duration < duration(\"-1h\")").is_empty());
        assert_eq!(
            looks("context has command && [\"df -h\", \"uptime\"].contains(context.command)").commands,
            ["df -h", "uptime"]
        );
        assert_eq!(looks("context has argv && context.argv.program == \"id\"").commands, ["id"]);
        for (text, expected) in [("1d2h3m4s5ms", Some(93_784)), ("x", None), ("5", None), ("", Some(0))] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
