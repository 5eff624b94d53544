//! What Cedar is told of the circumstances: built for each decision, of no more than policies look at. Whom and what
//! a question is about is in `entities`.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

// The public constructors evaluate an expression for each value and parse the names of extension functions anew, which
// costs more than all the rest of a decision; these are the values themselves.
use cedar_policy_core::ast::{Context, Name as ExtensionName, RestrictedExpr, Value};
use cedar_policy_core::evaluator::RestrictedEvaluator;
use cedar_policy_core::extensions::Extensions;
use jit_ssh_proto::{Action, Command, Span, Timestamp, UserKey};

use super::Circumstances;
use crate::identity::VerifiedIdentity;
use crate::request::AccessRequest;

/// How far a provider's clock may be ahead before its `auth_time` is not believed.
const CLOCK_SKEW: Span = Span::from_seconds(60);

/// The fact could not be told to Cedar (a time past the year 9999, say): the decision is no.
#[derive(Debug)]
pub(super) struct Untold;

/// Which members of the context policies look at. What none looks at need not be told: it can change no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// A policy hands the context on whole.
    Everything,
    /// These members and no others.
    At(BTreeSet<String>),
}

impl Looked {
    /// What either looks at.
    pub(super) fn and(self, other: &Self) -> Self {
        match (self, other) {
            (Self::At(mut members), Self::At(others)) => {
                members.extend(others.iter().cloned());
                Self::At(members)
            }
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
        }
    }

    /// Whether a policy may look at this member.
    pub(super) fn at(&self, member: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::At(members) => members.contains(member),
        }
    }
}

/// The extension functions, by names that were parsed once.
#[derive(Debug)]
pub(super) struct Functions {
    datetime: ExtensionName,
    duration: ExtensionName,
    ip: ExtensionName,
}

impl Functions {
    pub(super) fn new() -> Result<Self, Untold> {
        let name = |name: &str| name.parse::<ExtensionName>().map_err(|_| Untold);
        Ok(Self { datetime: name("datetime")?, duration: name("duration")?, ip: name("ip")? })
    }

    fn span(&self, value: Span) -> Result<Value, Untold> {
        call(&self.duration, &format!("{}s", value.seconds()))
    }

    fn instant(&self, value: Timestamp) -> Result<Value, Untold> {
        call(&self.datetime, &instant(value).ok_or(Untold)?)
    }

    /// An IPv4 caller on an IPv6 socket is an IPv4 caller.
    fn address(&self, value: IpAddr) -> Result<Value, Untold> {
        call(&self.ip, &value.to_canonical().to_string())
    }
}

fn call(function: &ExtensionName, argument: &str) -> Result<Value, Untold> {
    let call = RestrictedExpr::call_extension_fn(function.clone(), [RestrictedExpr::val(argument)]);
    RestrictedEvaluator::new(Extensions::all_available()).interpret(call.as_borrowed()).map_err(|_| Untold)
}

/// The longest that Cedar can count: it counts milliseconds.
const LONGEST: u64 = i64::MAX.unsigned_abs() / 1000;

type Member = (&'static str, Value);

fn record(members: Vec<Member>) -> Value {
    Value::record(members, None)
}

/// What a request says for itself: nothing, for the CA's own verbs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asking<'a> {
    pub(super) reason: &'a str,
    pub(super) ticket: &'a str,
    pub(super) command: Option<&'a Command>,
    pub(super) starts_in: Span,
    pub(super) break_glass: bool,
}

impl<'a> Asking<'a> {
    /// One action of a request: `exec` is told the command, no other action is.
    pub(super) fn of(request: &'a AccessRequest, action: Action) -> Self {
        let command = if action == Action::Exec { request.command() } else { None };
        Self {
            reason: request.reason().as_str(),
            ticket: request.ticket().as_str(),
            command,
            starts_in: request.starts_in(),
            break_glass: request.break_glass(),
        }
    }
}

/// The context of one question, of what policies look at.
///
/// # Errors
/// When the time or the duration cannot be told, whether or not a policy looks at it.
pub(super) fn context(
    (functions, looked): (&Functions, &Looked),
    identity: &VerifiedIdentity,
    asking: &Asking<'_>,
    duration: Span,
    key: &UserKey,
    at: &Circumstances,
) -> Result<Context, Untold> {
    if at.now.seconds() > LAST_INSTANT || duration.max(asking.starts_in).seconds() > LONGEST {
        return Err(Untold);
    }
    let mut members: Vec<Member> = Vec::new();
    let mut tell = |name: &'static str, value: &dyn Fn() -> Result<Value, Untold>| {
        if looked.at(name) {
            members.push((name, value()?));
        }
        Ok::<(), Untold>(())
    };
    tell("now", &|| functions.instant(at.now))?;
    tell("local", &|| {
        Ok(record(Vec::from([
            ("hour", i64::from(at.local.hour).into()),
            ("minute", i64::from(at.local.minute).into()),
            ("weekday", i64::from(at.local.weekday).into()),
            ("date", at.local.date.as_str().into()),
        ])))
    })?;
    tell("source_ip", &|| functions.address(at.source_ip))?;
    tell("reason", &|| Ok(asking.reason.into()))?;
    tell("ticket", &|| Ok(asking.ticket.into()))?;
    tell("duration", &|| functions.span(duration))?;
    tell("starts_in", &|| functions.span(asking.starts_in))?;
    tell("break_glass", &|| Ok(asking.break_glass.into()))?;
    tell("auth", &|| auth(functions, identity, at.now))?;
    tell("key", &|| Ok(record(Vec::from([("type", key.algorithm().as_str().into())]))))?;
    if let Some(command) = asking.command {
        let facts = command_facts(command)?;
        members.extend(facts.into_iter().filter(|(name, _)| looked.at(name)));
    }
    Ok(Context::Value(Arc::new(members.into_iter().map(|(name, value)| (name.into(), value)).collect())))
}

fn auth(functions: &Functions, identity: &VerifiedIdentity, now: Timestamp) -> Result<Value, Untold> {
    let methods = identity.methods().iter().map(|m| Value::from(m.as_str()));
    let mut members = Vec::from([
        ("methods", Value::set(methods, None)),
        ("flow", identity.flow().as_str().into()),
        ("issuer", identity.issuer().as_str().into()),
    ]);
    members.extend(identity.level().map(|level| ("level", level.into())));
    // A login that lies ahead would read as fresh for as long as it does.
    if let Some(time) = identity.auth_time().filter(|time| *time <= now.plus(CLOCK_SKEW)) {
        members.push(("age", functions.span(now.since(time))?));
    }
    Ok(record(members))
}

/// What the words of a plain command are called.
const WORDS: [&str; 10] = ["program", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"];

fn command_facts(command: &Command) -> Result<Vec<Member>, Untold> {
    let Some(plain) = command.plain() else {
        return Ok(Vec::from([("raw_command", command.as_str().into())]));
    };
    let count = i64::try_from(plain.words().len()).map_err(|_| Untold)?;
    let mut argv: Vec<Member> = Vec::from([("count", count.into())]);
    argv.extend(WORDS.into_iter().zip(plain.words()).map(|(name, word)| (name, Value::from(*word))));
    Ok(Vec::from([("argv", record(argv)), ("command", command.as_str().into())]))
}

/// The last second of the year 9999, past which Cedar has no `datetime`.
const LAST_INSTANT: u64 = 253_402_300_799;

/// `2026-11-22T06:05:43Z`: the form that Cedar's `datetime` takes. None past the year 9999.
pub(super) fn instant(time: Timestamp) -> Option<String> {
    let days = i64::try_from(time.seconds() / 86_400).ok()?;
    let seconds = time.seconds() % 86_400;
    // Days since 0000-03-01, in eras of 400 years (146,097 days); a year here starts in March, so that a leap day is
    // its last day.
    let days = days.checked_add(719_468)?;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    (year <= 9999).then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants() {
        for (seconds, expected) in [
            (0, Some("1970-01-01T00:00:00Z")),
            (951_782_399, Some("2000-02-28T23:59:59Z")),
            (951_782_400, Some("2000-02-29T00:00:00Z")),
            (951_868_800, Some("2000-03-01T00:00:00Z")),
            (1_709_251_199, Some("2024-02-29T23:59:59Z")),
            (1_795_327_543, Some("2026-11-22T06:05:43Z")),
            (4_107_542_400, Some("2100-03-01T00:00:00Z")),
            (253_402_300_799, Some("9999-12-31T23:59:59Z")),
            (253_402_300_800, None),
            (u64::MAX, None),
        ] {
            assert_eq!(instant(Timestamp::from_seconds(seconds)).as_deref(), expected, "{seconds}");
        }
    }
}
