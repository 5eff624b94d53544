//! Points in time as people type them: `2h` (ago), `2026-11-22`, `2026-11-22 14:00`, `2026-11-22T14:00:00Z`.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jit_ssh_proto::{Span, Timestamp};

/// A point in time. Without an offset it is in `zone`; a day is its beginning; a length is that long before `now`.
pub(crate) fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(now.minus(span));
    }
    let form = || {
        format!(
            "{text:?} is not a point in time: write 2h, 7d, 2026-11-22, \"2026-11-22 14:00\" or 2026-11-22T14:00:00Z"
        )
    };
    if let Ok(exact) = text.parse::<jiff::Timestamp>() {
        return seconds(exact).ok_or_else(form);
    }
    let local = match text.parse::<Date>() {
        // A date and a time parse as a date too.
        Ok(date) if !text.contains([':', 'T']) => date.to_datetime(jiff::civil::Time::midnight()),
        Ok(_) | Err(_) => text.parse::<DateTime>().map_err(|_| form())?,
    };
    let zoned = local.to_zoned(zone.clone()).map_err(|_| form())?;
    seconds(zoned.timestamp()).ok_or_else(form)
}

fn seconds(time: jiff::Timestamp) -> Option<Timestamp> {
    u64::try_from(time.as_second()).ok().map(Timestamp::from_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::offset;

    #[test]
    fn points_in_time() {
        let now = Timestamp::from_seconds(1_795_327_543);
        let zone = TimeZone::fixed(offset(2));
        for (text, expected) in [
            ("90s", 1_795_327_453),
            ("2h", 1_795_320_343),
            ("7d", 1_794_722_743),
            ("2026-11-22", 1_795_298_400),
            ("2026-11-22 14:00", 1_795_348_800),
            ("2026-11-22T14:00", 1_795_348_800),
            ("2026-11-22 14:00:05", 1_795_348_805),
            ("2026-11-22T14:00:00Z", 1_795_356_000),
            ("2026-11-22T14:00:00+02:00", 1_795_348_800),
        ] {
            assert_eq!(parse(text, now, &zone).map(Timestamp::seconds), Ok(expected), "{text}");
        }
        for bad in
            ["", "yesterday", "2026-13-01", "14:00", "2h ago", "-2h", "1969-01-01", "2026-11-22 25:00", "0s"]
        {
            assert!(parse(bad, now, &zone).is_err(), "{bad}");
        }
    }
}
