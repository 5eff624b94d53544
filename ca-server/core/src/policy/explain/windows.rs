//! Another hour: the time ahead cut into slices in which conditions see no difference, by the configured zone's own
//! clock, and such a slice in words.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jit_ssh_proto::{Span, Timestamp};

use super::super::{Circumstances, LocalTime};
use super::Calendar;
use super::looks::Looks;

/// How far ahead is looked.
const AHEAD: Span = Span::from_seconds(7 * 86_400);

/// Where an hour or a day may begin: zones are whole quarters of an hour from each other.
const QUARTER: u64 = 900;
const MINUTE: u64 = 60;

/// A time in which it would be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The first second.
    pub(super) from: Timestamp,
    /// The first that is no longer in it, if that was seen.
    pub(super) until: Option<Timestamp>,
    /// Whether it is the same every day.
    pub(super) daily: bool,
}

/// Part of the time ahead in which nothing changes that the conditions look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) from: Timestamp,
    /// Slices of one class are alike.
    pub(super) class: usize,
}

/// The time ahead, the slice that is now first. `otherwise` tells apart what conditions cannot.
pub(super) fn slices(
    looks: &Looks,
    at: &Circumstances,
    calendar: &dyn Calendar,
    otherwise: impl Fn(&Circumstances) -> bool,
) -> Vec<Slice> {
    let step = if looks.minutes.matter() { MINUTE } else { QUARTER };
    let (now, end) = (at.now, at.now.plus(AHEAD));
    let first = now.seconds().checked_div(step).unwrap_or_default().saturating_add(1).saturating_mul(step);
    let clock = (0..).map(|n: u64| first.saturating_add(n.saturating_mul(step)));
    let mut times: Vec<Timestamp> =
        clock.take_while(|time| *time < end.seconds()).map(Timestamp::from_seconds).collect();
    times.extend(looks.instants.between(now, end));
    times.sort_unstable();
    let mut classes = Vec::from([(looks.class(now, &at.local), otherwise(at))]);
    let mut slices = Vec::from([Slice { from: now, class: 0 }]);
    for time in times {
        let then = Circumstances { now: time, local: calendar.local(time), source_ip: at.source_ip };
        let class = (looks.class(time, &then.local), otherwise(&then));
        let known = classes.iter().position(|known| *known == class);
        let class = known.unwrap_or_else(|| {
            classes.push(class);
            classes.len().saturating_sub(1)
        });
        if slices.last().is_none_or(|last| last.class != class) {
            slices.push(Slice { from: time, class });
        }
    }
    slices
}

/// The day of the week, 1 = Monday.
fn day(weekday: u8) -> &'static str {
    match weekday {
        1 => "Monday",
        2 => "Tuesday",
        3 => "Wednesday",
        4 => "Thursday",
        5 => "Friday",
        6 => "Saturday",
        _ => "Sunday",
    }
}

fn clock(local: &LocalTime) -> String {
    format!("{:02}:{:02}", local.hour, local.minute)
}

/// `between 08:00 and 20:00 Europe/Paris`, with the day if it is not today and not the same every day.
pub(super) fn in_words(window: &Window, calendar: &dyn Calendar, at: &Circumstances) -> String {
    let (from, zone) = (calendar.local(window.from), calendar.zone());
    let today = window.daily || from.date == at.local.date;
    let Some(until) = window.until else {
        let day = if today { String::new() } else { format!("{} ", day(from.weekday)) };
        return format!("from {day}{} on, {zone} time", clock(&from));
    };
    let until = calendar.local(until);
    // The midnight at the end of a day is that day's.
    let midnight = (until.hour, until.minute) == (0, 0) && until.weekday == from.weekday % 7 + 1;
    let closes = if midnight { "24:00".into() } else { clock(&until) };
    if until.date == from.date || midnight || window.daily {
        let day = if today { String::new() } else { format!("on {} ", day(from.weekday)) };
        format!("{day}between {} and {closes} {zone}", clock(&from))
    } else {
        format!(
            "between {} {} and {} {} {zone}",
            day(from.weekday),
            clock(&from),
            day(until.weekday),
            clock(&until)
        )
    }
}
