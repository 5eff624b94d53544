//! Time as values: nothing here reads a clock (invariant 12).

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// A point in time: whole seconds since 1970-01-01T00:00:00Z, never negative, at most `i64::MAX`
/// (so that it fits every database and every certificate).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Timestamp(u64);

impl Timestamp {
    /// The latest time that can be written.
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    /// From seconds; values past [`Timestamp::MAX`] become it.
    #[must_use]
    pub fn from_seconds(seconds: u64) -> Self {
        Self(seconds.min(Self::MAX.0))
    }

    /// Seconds since the epoch.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// Later by `span`, stopping at [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self::from_seconds(self.0.saturating_add(span.seconds()))
    }

    /// Earlier by `span`, stopping at the epoch.
    #[must_use]
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.seconds()))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span::from_seconds(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A length of time in whole seconds, written `90s`, `30m`, `8h`, `7d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

/// Why a string is not a [`Span`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Not digits and one unit.
    #[error("is not a duration: write a whole number and a unit, as in 90s, 30m, 8h or 7d")]
    Form,
    /// Zero.
    #[error("is zero: ask for at least 1s")]
    Zero,
    /// More seconds than can be counted.
    #[error("is too long to be a duration")]
    Overflow,
}

impl Span {
    /// From seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let unit = match text.bytes().last() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => 86_400,
            _ => return Err(SpanError::Form),
        };
        let digits = text.get(..text.len().saturating_sub(1)).ok_or(SpanError::Form)?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(SpanError::Form);
        }
        let count: u64 = digits.parse().map_err(|_| SpanError::Overflow)?;
        match count.checked_mul(unit) {
            Some(0) => Err(SpanError::Zero),
            Some(seconds) if seconds <= Timestamp::MAX.0 => Ok(Self(seconds)),
            Some(_) | None => Err(SpanError::Overflow),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        alloc::format!("{span}")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.0 {
            s if s > 0 && s % 86_400 == 0 => (s / 86_400, 'd'),
            s if s > 0 && s % 3600 == 0 => (s / 3600, 'h'),
            s if s > 0 && s % 60 == 0 => (s / 60, 'm'),
            s => (s, 's'),
        };
        write!(f, "{count}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn spans() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("8h", 28_800), ("7d", 604_800)] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.seconds(), seconds);
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_span() {
        for (bad, why) in [
            ("", SpanError::Form),
            ("30", SpanError::Form),
            ("m", SpanError::Form),
            ("-5m", SpanError::Form),
            ("+5m", SpanError::Form),
            ("1.5h", SpanError::Form),
            ("1h30m", SpanError::Form),
            (" 5m", SpanError::Form),
            ("5 m", SpanError::Form),
            ("٣m", SpanError::Form),
            ("0s", SpanError::Zero),
            ("0d", SpanError::Zero),
            ("99999999999999999999s", SpanError::Overflow),
            ("18446744073709551615d", SpanError::Overflow),
        ] {
            assert_eq!(bad.parse::<Span>(), Err(why), "{bad:?}");
        }
    }
}
