//! At which times both sets are asked.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jit_ssh_core::policy::Mentioned;

/// A week that is like all others, from Monday.
const WEEK: [(&str, &str); 7] = [
    ("Monday", "2026-01-12"),
    ("Tuesday", "2026-01-13"),
    ("Wednesday", "2026-01-14"),
    ("Thursday", "2026-01-15"),
    ("Friday", "2026-01-16"),
    ("Saturday", "2026-01-17"),
    ("Sunday", "2026-01-18"),
];
const WEDNESDAY: u8 = 3;
const SATURDAY: u8 = 6;

/// Days of the week from 1, hours or minutes that no policy tells apart, and the one that is asked for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stretch {
    first: u8,
    last: u8,
    asked: u8,
}

/// A time that is tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Time {
    /// Days of the week, hour and minute.
    Weekly(Stretch, u8, u8),
    /// A day that policies name, at half past twelve.
    On(String),
    /// A moment that policies name, as RFC 3339 in UTC.
    Moment(String),
}

impl Time {
    fn days(&self) -> Option<Stretch> {
        match self {
            Self::Weekly(days, ..) => Some(*days),
            Self::On(_) | Self::Moment(_) => None,
        }
    }

    /// Whether it is the time at which things are asked that nobody looks at the clock for.
    pub(super) fn is_usual(&self) -> bool {
        matches!(self, Self::Weekly(Stretch { asked: WEDNESDAY, .. }, 12, 30))
    }

    /// As a case says it; where two sets have zones of their own, for both the moment that it is in this one.
    pub(super) fn written(&self, zone: Option<&TimeZone>) -> String {
        let text = match self {
            Self::Weekly(days, hour, minute) => {
                let (_, date) = weekday(days.asked);
                format!("{date}T{hour:02}:{minute:02}")
            }
            Self::On(date) => format!("{date}T12:30"),
            Self::Moment(text) => return text.clone(),
        };
        let Some(zone) = zone else { return text };
        let moment = text.parse().ok().and_then(|at| zone.to_ambiguous_timestamp(at).compatible().ok());
        moment.map_or(text, |at| at.to_string())
    }

    /// In words; the days only where they differ, the hours only where there are several.
    pub(super) fn told(times: &BTreeSet<&Self>, tried: &BTreeSet<&Self>) -> String {
        let clock = |time: &Self| match time {
            Self::Weekly(_, hour, minute) => Some(format!("{hour:02}:{minute:02}")),
            Self::On(_) | Self::Moment(_) => None,
        };
        let of = |set: &BTreeSet<&Self>, days: Stretch| -> Vec<String> {
            set.iter().filter(|t| t.days() == Some(days)).filter_map(|t| clock(t)).collect()
        };
        let days: BTreeSet<Stretch> = tried.iter().filter_map(|time| time.days()).collect();
        let clocks: BTreeSet<String> = tried.iter().filter_map(|time| clock(time)).collect();
        // Neighbours at the same hours are told as one.
        let mut stretches: Vec<(Stretch, Vec<String>)> = Vec::new();
        for next in days {
            let hours = of(times, next);
            match stretches.last_mut() {
                Some((days, same)) if *same == hours && days.last.saturating_add(1) == next.first => {
                    days.last = next.last;
                }
                Some(_) | None => stretches.push((next, hours)),
            }
        }
        let mut parts = Vec::new();
        match stretches.as_slice() {
            [(_, hours)] if !hours.is_empty() => parts.push(format!("at {}", hours.join(", "))),
            several => {
                for (days, hours) in several.iter().filter(|(_, hours)| !hours.is_empty()) {
                    let (days, several) = (days.told(), days.last.saturating_sub(days.first) > 1);
                    parts.push(match (clocks.len(), several) {
                        (0 | 1, true) => format!("from {days}"),
                        (0 | 1, false) => format!("on {days}"),
                        (_, _) => format!("{days} at {}", hours.join(", ")),
                    });
                }
            }
        }
        for time in times {
            match time {
                Self::Weekly(..) => {}
                Self::On(date) => parts.push(format!("on {date}")),
                Self::Moment(text) => parts.push(format!("at {text}")),
            }
        }
        parts.join("; ")
    }
}

impl Stretch {
    /// `Monday`, `Saturday and Sunday`, `Monday to Friday`
    fn told(self) -> String {
        let ((first, _), (last, _)) = (weekday(self.first), weekday(self.last));
        match self.last.saturating_sub(self.first) {
            0 => first.to_owned(),
            1 => format!("{first} and {last}"),
            _ => format!("{first} to {last}"),
        }
    }
}

/// The name of a day from 1, and one of its dates.
fn weekday(day: u8) -> (&'static str, &'static str) {
    let found = usize::from(day).checked_sub(1).and_then(|at| WEEK.get(at));
    found.copied().unwrap_or_default()
}

/// Telling times: one of each stretch of hours, minutes and days that policies tell apart, and the days and moments that
/// they name. Where none looks at the clock, one.
pub(super) fn times(spoken: &Mentioned, every_hour: bool) -> BTreeSet<Time> {
    let hours = if spoken.each_hour || every_hour {
        (0..24).collect()
    } else {
        of_each(&spoken.hours, 0..=23, &[12, 3])
    };
    let minutes = of_each(&spoken.minutes, 0..=59, &[30]);
    // Where hours are not those of the other set, the weekend may begin within them.
    let edges = spoken.weekdays.iter().copied().chain(every_hour.then_some(SATURDAY)).collect();
    let days = stretches(&edges, 1..=7, &[WEDNESDAY, SATURDAY]);
    let mut times = BTreeSet::new();
    for day in &days {
        for hour in &hours {
            times.extend(minutes.iter().map(|minute| Time::Weekly(*day, *hour, *minute)));
        }
    }
    let is_date = |text: &&String| text.parse::<jiff::civil::Date>().is_ok();
    times.extend(spoken.dates.iter().filter(is_date).map(|date| Time::On(date.clone())));
    for moment in spoken.instants.iter().filter_map(|text| moment(text)) {
        let before = moment.checked_sub(jiff::Span::new().seconds(1)).ok();
        times.extend([Some(moment), before].into_iter().flatten().map(|at| Time::Moment(at.to_string())));
    }
    times
}

/// One of each stretch: one of these if it is in it, or else its first.
fn of_each(edges: &BTreeSet<u8>, all: std::ops::RangeInclusive<u8>, usual: &[u8]) -> BTreeSet<u8> {
    stretches(edges, all, usual).into_iter().map(|stretch| stretch.asked).collect()
}

/// The stretches between edges, each with the one that is asked.
fn stretches(edges: &BTreeSet<u8>, all: std::ops::RangeInclusive<u8>, usual: &[u8]) -> BTreeSet<Stretch> {
    let firsts = all.clone().filter(|value| value == all.start() || edges.contains(value));
    let stretch = |first: u8| {
        let within =
            all.clone().filter(move |value| *value > first).take_while(|value| !edges.contains(value));
        let last = within.last().unwrap_or(first);
        let asked = usual.iter().copied().find(|value| (first..=last).contains(value)).unwrap_or(first);
        Stretch { first, last, asked }
    };
    firsts.map(stretch).collect()
}

/// A `datetime` of Cedar's: a day, or a moment with `Z` or an offset like `+0100`.
fn moment(text: &str) -> Option<jiff::Timestamp> {
    let text = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use jit_ssh_core::policy::{PolicySource, mentioned};
    use jit_ssh_proto::Span;

    use super::*;

    fn of(when: &str) -> BTreeSet<Time> {
        let text = format!("permit (principal, action, resource) when {{ {when} }};");
        let spoken = mentioned(&[PolicySource { file: "p".into(), text }], Span::from_seconds(60));
        times(&spoken["p:1"], false)
    }

    #[test]
    fn telling_times() {
        for (when, expected) in [
            ("context.reason == \"\"", "2026-01-14T12:30"),
            (
                "context.local.hour >= 8 && context.local.hour < 20",
                "2026-01-14T03:30 2026-01-14T12:30 2026-01-14T20:30",
            ),
            ("context.local.hour == 8", "2026-01-14T03:30 2026-01-14T08:30 2026-01-14T12:30"),
            ("context.local.hour >= 0", "2026-01-14T12:30"),
            ("context.local.weekday <= 5", "2026-01-14T12:30 2026-01-17T12:30"),
            ("context.local.weekday == 1", "2026-01-12T12:30 2026-01-14T12:30"),
            ("context.local.minute < 15", "2026-01-14T12:00 2026-01-14T12:30"),
            ("context.local.date == \"2026-12-24\"", "2026-01-14T12:30 2026-12-24T12:30"),
            ("context.local.date like \"2026-*\"", "2026-01-14T12:30"),
            (
                "context.now < datetime(\"2026-12-01\")",
                "2026-01-14T12:30 2026-11-30T23:59:59Z 2026-12-01T00:00:00Z",
            ),
        ] {
            let found: Vec<String> = of(when).iter().map(|time| time.written(None)).collect();
            assert_eq!(found.join(" "), expected, "{when}");
        }
        let hours = of("context.local.hour * 60 + context.local.minute >= 510");
        assert_eq!(hours.len(), 24);
    }

    #[test]
    fn days_are_told_where_they_differ() {
        // From which day to which, and at which hour.
        let weekly = |times: &[(u8, u8, u8)]| -> BTreeSet<Time> {
            let time = |(first, last, hour): &(u8, u8, u8)| {
                Time::Weekly(Stretch { first: *first, last: *last, asked: *first }, *hour, 30)
            };
            times.iter().map(time).collect()
        };
        let hours = weekly(&[(1, 5, 3), (1, 5, 12), (6, 7, 3), (6, 7, 12)]);
        let days = weekly(&[(1, 5, 12), (6, 6, 12), (7, 7, 12)]);
        let each = weekly(&[(1, 1, 3), (1, 1, 12), (2, 2, 3), (2, 2, 12), (3, 7, 3), (3, 7, 12)]);
        for (tried, times, expected) in [
            (&hours, weekly(&[(1, 5, 3), (6, 7, 3)]), "at 03:30"),
            (&hours, weekly(&[(6, 7, 3), (6, 7, 12)]), "Saturday and Sunday at 03:30, 12:30"),
            (&hours, weekly(&[(1, 5, 3)]), "Monday to Friday at 03:30"),
            (
                &hours,
                weekly(&[(1, 5, 3), (6, 7, 12)]),
                "Monday to Friday at 03:30; Saturday and Sunday at 12:30",
            ),
            (&days, weekly(&[(6, 6, 12), (7, 7, 12)]), "on Saturday and Sunday"),
            (&days, weekly(&[(7, 7, 12)]), "on Sunday"),
            (&days, weekly(&[(1, 5, 12)]), "from Monday to Friday"),
            (&each, weekly(&[(2, 2, 3), (3, 7, 3)]), "Tuesday to Sunday at 03:30"),
            (&each, weekly(&[(1, 1, 3), (3, 7, 3)]), "Monday at 03:30; Wednesday to Sunday at 03:30"),
        ] {
            assert_eq!(Time::told(&times.iter().collect(), &tried.iter().collect()), expected);
        }
    }

    #[test]
    fn zones_of_their_own_are_asked_at_the_same_moment() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        assert_eq!(
            Time::Weekly(Stretch { first: 3, last: 3, asked: 3 }, 12, 30).written(Some(&paris)),
            "2026-01-14T11:30:00Z"
        );
    }
}
