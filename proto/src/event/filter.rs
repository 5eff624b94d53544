//! Which events a search finds. The same rules hold on the server, offline and in a client that checks what it was
//! given; they look at an event's JSON, so that they hold for kinds that this version does not know.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;
use core::str::FromStr;

use serde_json::Value;

use super::LogFilter;
use crate::Timestamp;

/// A parameter that is no filter, or not of its form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {what}")]
pub struct FilterError {
    /// The parameter.
    pub name: String,
    /// What is wrong with it, and what to write.
    pub what: String,
}

impl LogFilter {
    /// The names of the parameters, in the order of the form.
    pub const NAMES: [&str; 14] = [
        "after", "before", "since", "until", "type", "user", "host", "action", "policy", "serial", "request",
        "grant", "session", "grep",
    ];

    /// Sets one filter by its name.
    ///
    /// # Errors
    /// When there is no such filter, it is there already, or its value is not of its form.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), FilterError> {
        match name {
            "after" => put(&mut self.after, name, value, "a cursor that a search gave"),
            "before" => put(&mut self.before, name, value, "a cursor that a search gave"),
            "since" => put_time(&mut self.since, name, value),
            "until" => put_time(&mut self.until, name, value),
            "type" => put(&mut self.kind, name, value, "a type, as in certificate.issued"),
            "user" => put(&mut self.user, name, value, "a name"),
            "host" => put(&mut self.host, name, value, "the name of a host"),
            "action" => put(&mut self.action, name, value, "an action, as in shell"),
            "policy" => put(&mut self.policy, name, value, "the id of a policy"),
            "serial" => put(&mut self.serial, name, value, "a serial: a whole number"),
            "request" => put(&mut self.request, name, value, "an id of the form req_…"),
            "grant" => put(&mut self.grant, name, value, "an id of the form grt_…"),
            "session" => put(&mut self.session, name, value, "an id of the form ses_…"),
            "grep" => put(&mut self.grep, name, value, "visible text"),
            _ => Err(FilterError {
                name: name.to_string(),
                what: alloc::format!("is not a filter: use {}", Self::NAMES.join(", ")),
            }),
        }
    }

    /// The filters that are set, by name.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        fn text<T: Display>(value: &Option<T>) -> Option<String> {
            value.as_ref().map(ToString::to_string)
        }
        let values = [
            text(&self.after),
            text(&self.before),
            text(&self.since),
            text(&self.until),
            text(&self.kind),
            text(&self.user),
            text(&self.host),
            text(&self.action),
            text(&self.policy),
            text(&self.serial),
            text(&self.request),
            text(&self.grant),
            text(&self.session),
            text(&self.grep),
        ];
        Self::NAMES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Whether the leaf lies where the search looks.
    #[must_use]
    pub fn reaches(&self, index: u64) -> bool {
        self.after.is_none_or(|after| index > after) && self.before.is_none_or(|before| index < before)
    }

    /// Whether an event whose body is gone is found: only by a search for everything, since nothing else of it is
    /// left to be looked at.
    #[must_use]
    pub fn fits_erased(&self, index: u64) -> bool {
        let Self { after, before, .. } = self;
        self.reaches(index) && *self == Self { after: *after, before: *before, ..Self::default() }
    }

    /// Whether an event is found.
    #[must_use]
    pub fn fits(&self, index: u64, event: &Value) -> bool {
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let is = |name: &str, wanted: Option<String>| wanted.is_none_or(|wanted| text(name) == Some(&wanted));
        let time = event.get("time").and_then(Value::as_u64);
        let actor = event.get("actor").and_then(|actor| actor.get("name")).and_then(Value::as_str);
        self.reaches(index)
            && self.since.is_none_or(|since| time.is_some_and(|time| time >= since.seconds()))
            && self.until.is_none_or(|until| time.is_some_and(|time| time < until.seconds()))
            && is("type", self.kind.as_ref().map(ToString::to_string))
            && self.user.as_ref().is_none_or(|user| actor == Some(user.as_str()))
            && self.serial.is_none_or(|serial| event.get("serial").and_then(Value::as_u64) == Some(serial))
            && is("request", self.request.as_ref().map(ToString::to_string))
            && is("grant", self.grant.as_ref().map(ToString::to_string))
            && is("session", self.session.as_ref().map(ToString::to_string))
            && self
                .host
                .as_ref()
                .is_none_or(|host| any(event, "", &mut |name, value| names_host(name, value, host.as_str())))
            && self.action.as_ref().is_none_or(|action| {
                any(event, "", &mut |name, value| names_action(name, value, action.as_str()))
            })
            && self.policy.as_ref().is_none_or(|policy| {
                any(event, "", &mut |name, value| {
                    matches!(name, "policies" | "policy") && value == policy.as_str()
                })
            })
            && self.grep.as_ref().is_none_or(|words| {
                let words = words.as_str().to_lowercase();
                any(event, "", &mut |_, value| value.to_lowercase().contains(&words))
            })
    }
}

/// Accounts are `LOGIN@HOST`, principals `MODE[+MODIFIER…]:LOGIN@HOST`.
fn names_host(name: &str, value: &str, host: &str) -> bool {
    match name {
        "accounts" | "account" | "principals" => {
            value.rsplit_once('@').is_some_and(|(_, place)| place == host)
        }
        "host" | "hosts" => value == host,
        _ => false,
    }
}

fn names_action(name: &str, value: &str, action: &str) -> bool {
    match name {
        "mode" | "modifiers" | "actions" | "action" => value == action,
        "principals" => {
            value.split_once(':').is_some_and(|(mode, _)| mode.split('+').any(|part| part == action))
        }
        _ => false,
    }
}

/// Whether any text or number of an event is one that is looked for; `found` is told the field that it stands in.
fn any(value: &Value, name: &str, found: &mut dyn FnMut(&str, &str) -> bool) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(number) => found(name, &number.to_string()),
        Value::String(text) => found(name, text),
        Value::Array(items) => items.iter().any(|item| any(item, name, found)),
        Value::Object(fields) => fields.iter().any(|(name, value)| any(value, name, found)),
    }
}

fn put<T: FromStr>(slot: &mut Option<T>, name: &str, value: &str, form: &str) -> Result<(), FilterError> {
    let wrong = |what: String| FilterError { name: name.to_string(), what };
    if slot.is_some() {
        return Err(wrong("is there twice: give it once".into()));
    }
    *slot = Some(value.parse().map_err(|_| wrong(alloc::format!("is not {form}")))?);
    Ok(())
}

fn put_time(slot: &mut Option<Timestamp>, name: &str, value: &str) -> Result<(), FilterError> {
    let mut seconds = slot.map(Timestamp::seconds);
    put(&mut seconds, name, value, "a time in whole seconds since 1970")?;
    *slot = seconds.map(Timestamp::from_seconds);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECIDED: &str = include_str!("../../golden/events/request.decided.granted.full.json");
    const ISSUED: &str = include_str!("../../golden/events/certificate.issued.full.json");
    const LATER: &str = r#"{"v":2,"time":1795329819,"actor":{"by":"host","name":"web-9"},"type":"host.enrolled",
        "host":"web-9","n":77}"#;

    fn filter(pairs: &str) -> LogFilter {
        let mut filter = LogFilter::default();
        for pair in pairs.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            filter.set(name, value).unwrap();
        }
        filter
    }

    #[test]
    fn what_is_found() {
        for (event, finds, misses) in [
            (
                DECIDED,
                &[
                    "",
                    "type=request.decided",
                    "user=alice",
                    "host=web-1",
                    "host=web-2",
                    "action=exec",
                    "action=x11",
                    "policy=sre-everything",
                    "request=req_01m80zy0br0tt9292x4bwrp9jr",
                    "grant=grt_01m80zy0br34ba5f63vxm8x1js",
                    "session=ses_01m80zy0brb16h0tg9vyxfnhr2",
                    "since=1795329819&until=1795329820",
                    "grep=ops-7",
                    "grep=\"nginx\"",
                    "grep=été",
                    "grep=127.0.0",
                    "after=6&before=8",
                    "user=alice&host=web-1&action=agent",
                ][..],
                &[
                    "type=request",
                    "user=alic",
                    "user=dev-7f3a01",
                    "host=web",
                    "action=shell",
                    "policy=sre",
                    "serial=1",
                    "request=req_01m80zy0brfarwjt63509m53dh",
                    "since=1795329820",
                    "until=1795329819",
                    "grep=ops-8",
                    "after=7",
                    "before=7",
                    "user=alice&host=web-3",
                ][..],
            ),
            (
                ISSUED,
                &[
                    "serial=18446744073709",
                    "host=web-1",
                    "action=exec",
                    "action=agent",
                    "grep=verify-required",
                ],
                &[
                    "serial=1",
                    "host=web",
                    "action=shell",
                    "request=req_01m80zy0br0tt9292x4bwrp9jr",
                    "policy=sre-everything",
                ],
            ),
            // What this version does not know is found by what it does.
            (
                LATER,
                &["type=host.enrolled", "host=web-9", "user=web-9", "grep=77"],
                &["host=web-1", "action=shell"],
            ),
        ] {
            let event: Value = serde_json::from_str(event).unwrap();
            for (queries, expected) in [(finds, true), (misses, false)] {
                for query in queries {
                    assert_eq!(filter(query).fits(7, &event), expected, "{query} {}", event["type"]);
                }
            }
        }
    }

    #[test]
    fn erased_events_are_found_by_those_who_look_for_everything() {
        for (query, found) in [
            ("", true),
            ("after=6", true),
            ("after=7", false),
            ("before=7", false),
            ("user=alice", false),
            ("since=1", false),
            ("grep=x", false),
        ] {
            assert_eq!(filter(query).fits_erased(7), found, "{query}");
        }
    }

    #[test]
    fn filters_are_written_as_they_are_read() {
        let all = "after=1&before=99&since=5&until=6&type=a.b&user=alice&host=web-1&action=shell&policy=p.cedar:3&serial=4&\
                   request=req_01m80zy0br0tt9292x4bwrp9jr&grant=grt_01m80zy0br34ba5f63vxm8x1js&\
                   session=ses_01m80zy0brb16h0tg9vyxfnhr2&grep=OPS-7 x";
        let written: Vec<String> =
            filter(all).pairs().iter().map(|(name, value)| alloc::format!("{name}={value}")).collect();
        assert_eq!(written.join("&"), all);
        assert_eq!(filter("").pairs(), []);
    }

    #[test]
    fn what_is_no_filter_is_refused_by_name() {
        for (name, value, expected) in [
            ("host", "Web-1", "host is not the name of a host"),
            ("host", "", "host is not the name of a host"),
            ("serial", "-1", "serial is not a serial: a whole number"),
            ("since", "yesterday", "since is not a time in whole seconds since 1970"),
            ("after", "x", "after is not a cursor that a search gave"),
            ("grant", "req_01m80zy0br0tt9292x4bwrp9jr", "grant is not an id of the form grt_…"),
            ("grep", "\u{1b}[2J", "grep is not visible text"),
            ("user", "alice", "user is there twice: give it once"),
        ] {
            let mut filter = filter("user=bob");
            assert_eq!(filter.set(name, value).unwrap_err().to_string(), expected);
        }
        let unknown = LogFilter::default().set("usr", "x").unwrap_err();
        assert!(unknown.to_string().starts_with("usr is not a filter: use after, before, "), "{unknown}");
    }
}
