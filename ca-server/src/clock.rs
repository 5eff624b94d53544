//! The one place where the wall clock is read (invariant 12).

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jit_ssh_core::policy::{Calendar, LocalTime};
use jit_ssh_proto::Timestamp;

/// What the clocks on the wall of a zone say: what policies are told as `context.local`.
#[must_use]
pub fn local(now: Timestamp, zone: &TimeZone) -> LocalTime {
    let seconds = i64::try_from(now.seconds()).unwrap_or(i64::MAX);
    let now = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    let wall = now.to_zoned(zone.clone());
    let part = |value: i8| u8::try_from(value).unwrap_or(0);
    LocalTime {
        hour: part(wall.hour()),
        minute: part(wall.minute()),
        weekday: part(wall.weekday().to_monday_one_offset()),
        date: wall.date().to_string(),
    }
}

/// The clock on the wall of a zone, across its changes of summer and winter: what explanations look ahead by.
pub(crate) struct Zone<'a>(pub(crate) &'a TimeZone);

impl Calendar for Zone<'_> {
    fn local(&self, at: Timestamp) -> LocalTime {
        local(at, self.0)
    }

    fn zone(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

/// A clock.
pub trait Clock: Send + Sync + 'static {
    /// Now. A clock before 1970 reads as the epoch, which every check refuses.
    fn now(&self) -> Timestamp;

    /// The same in milliseconds since the epoch: for what sorts by time, and to compare clocks.
    fn milliseconds(&self) -> u64 {
        self.now().seconds().saturating_mul(1000)
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the edge where time comes in")]
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the edge where time comes in")]
    fn milliseconds(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Around the changes of summer time: an hour that is skipped is never told, one that comes twice is told twice.
    #[test]
    fn the_wall_is_read_across_every_change_of_summer_time() {
        for (zone, utc, expected) in [
            // Paris: 2026-03-29, 02:00 becomes 03:00; 2026-10-25, 03:00 becomes 02:00.
            ("Europe/Paris", "2026-03-29T00:59:59Z", "2026-03-29 7 01:59"),
            ("Europe/Paris", "2026-03-29T01:00:00Z", "2026-03-29 7 03:00"),
            ("Europe/Paris", "2026-10-25T00:30:00Z", "2026-10-25 7 02:30"),
            ("Europe/Paris", "2026-10-25T01:30:00Z", "2026-10-25 7 02:30"),
            ("Europe/Paris", "2026-10-25T02:00:00Z", "2026-10-25 7 03:00"),
            ("Europe/Paris", "2026-06-30T22:00:00Z", "2026-07-01 3 00:00"),
            ("Europe/Paris", "2026-12-31T23:00:00Z", "2027-01-01 5 00:00"),
            // New York: 2026-03-08, 02:00 becomes 03:00; 2026-11-01, 02:00 becomes 01:00.
            ("America/New_York", "2026-03-08T06:59:59Z", "2026-03-08 7 01:59"),
            ("America/New_York", "2026-03-08T07:00:00Z", "2026-03-08 7 03:00"),
            ("America/New_York", "2026-11-01T05:30:00Z", "2026-11-01 7 01:30"),
            ("America/New_York", "2026-11-01T06:30:00Z", "2026-11-01 7 01:30"),
            ("America/New_York", "2026-11-01T07:00:00Z", "2026-11-01 7 02:00"),
            ("America/New_York", "2026-11-23T04:59:59Z", "2026-11-22 7 23:59"),
            // Sydney, where summer is in January: 2026-04-05, 03:00 becomes 02:00; 2026-10-04, 02:00 becomes 03:00.
            ("Australia/Sydney", "2026-04-04T15:30:00Z", "2026-04-05 7 02:30"),
            ("Australia/Sydney", "2026-04-04T16:30:00Z", "2026-04-05 7 02:30"),
            ("Australia/Sydney", "2026-04-04T17:00:00Z", "2026-04-05 7 03:00"),
            ("Australia/Sydney", "2026-10-03T15:59:59Z", "2026-10-04 7 01:59"),
            ("Australia/Sydney", "2026-10-03T16:00:00Z", "2026-10-04 7 03:00"),
            // Lord Howe moves by half an hour.
            ("Australia/Lord_Howe", "2026-10-03T15:29:59Z", "2026-10-04 7 01:59"),
            ("Australia/Lord_Howe", "2026-10-03T15:30:00Z", "2026-10-04 7 02:30"),
            // No changes, and hours that are none of Greenwich's.
            ("UTC", "2026-03-29T01:00:00Z", "2026-03-29 7 01:00"),
            ("UTC", "2026-02-28T23:59:59Z", "2026-02-28 6 23:59"),
            ("UTC", "2028-02-29T00:00:00Z", "2028-02-29 2 00:00"),
            ("Asia/Kolkata", "2026-03-29T18:45:00Z", "2026-03-30 1 00:15"),
        ] {
            let at: jiff::Timestamp = utc.parse().unwrap();
            let at = Timestamp::from_seconds(at.as_second().try_into().unwrap());
            let wall = local(at, &TimeZone::get(zone).unwrap());
            let said = format!("{} {} {:02}:{:02}", wall.date, wall.weekday, wall.hour, wall.minute);
            assert_eq!(said, expected, "{zone} {utc}");
        }
    }

    #[test]
    fn a_time_beyond_the_calendar_is_read_as_its_end() {
        assert_eq!(local(Timestamp::MAX, &TimeZone::UTC).date, "9999-12-30");
    }
}
