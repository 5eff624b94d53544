//! Reading what any version wrote, later ones too: an event of an unknown type or version is not an error. It has its
//! common fields, and the rest as JSON.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Actor, EVENT_VERSION, Event};
use crate::Timestamp;

/// A stored event as this version reads it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// A type and version that it knows.
    Known(Box<Event>),
    /// Another: to be kept, shown and searched as it stands.
    Unknown(Common, Map<String, Value>),
}

/// What every event of every version has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    /// The version of the form.
    pub v: u32,
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who did it, if that is written as this version writes it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_actor")]
    pub actor: Option<Actor>,
    /// The caller's address, if there was a call.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_text")]
    pub source: Option<String>,
}

/// Not an event of any version: no JSON object with `v`, `time` and `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an event: the record is damaged")]
pub struct Unreadable;

impl Reading {
    /// Reads a canonical event.
    ///
    /// # Errors
    /// [`Unreadable`] when it is not an event of any version.
    pub fn of(canonical: &[u8]) -> Result<Self, Unreadable> {
        let common: Common = serde_json::from_slice(canonical).map_err(|_| Unreadable)?;
        if common.v == EVENT_VERSION
            && let Ok(event) = serde_json::from_slice(canonical)
        {
            return Ok(Self::Known(Box::new(event)));
        }
        let fields = serde_json::from_slice(canonical).map_err(|_| Unreadable)?;
        Ok(Self::Unknown(common, fields))
    }

    /// The common fields.
    #[must_use]
    pub fn common(&self) -> Common {
        match self {
            Self::Known(event) => Common {
                v: event.v,
                time: event.time,
                kind: event.what.kind().to_owned(),
                actor: Some(event.actor.clone()),
                source: event.source.clone(),
            },
            Self::Unknown(common, _) => common.clone(),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity { issuer, name, .. } => write!(f, "{issuer}/{name}"),
            Self::Operator => f.write_str("operator"),
            Self::Ca => f.write_str("ca"),
        }
    }
}

fn known_actor<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Actor>, D::Error> {
    // A kind of actor that is not known yet is none that can be named.
    Value::deserialize(from).map(|value| serde_json::from_value(value).ok())
}

fn known_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Value::deserialize(from).map(|value| value.as_str().map(ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn what_later_versions_write_is_read_as_far_as_it_goes() {
        for (written, kind, actor, source) in [
            // A type that is not known.
            (
                r#"{"v":1,"time":7,"actor":{"by":"operator"},"type":"lock.placed","lock":{"on":"key"}}"#,
                "lock.placed",
                "operator",
                "",
            ),
            // A known type in a version that is not.
            (
                r#"{"v":2,"time":7,"actor":{"by":"ca"},"source":"::1","type":"session.ended"}"#,
                "session.ended",
                "ca",
                "::1",
            ),
            // An actor of a kind that is not known; a source that is not text.
            (
                r#"{"v":3,"time":7,"actor":{"by":"host","name":"web-1"},"source":4,"type":"host.enrolled"}"#,
                "host.enrolled",
                "",
                "",
            ),
            // A known type of this version whose values are not known: a mode, say.
            (
                r#"{"v":1,"time":7,"actor":{"by":"ca"},"type":"session.refused","code":"new_code"}"#,
                "session.refused",
                "ca",
                "",
            ),
        ] {
            let Reading::Unknown(common, fields) = Reading::of(written.as_bytes()).unwrap() else {
                panic!("{written} is known")
            };
            assert_eq!((common.kind.as_str(), common.time.seconds()), (kind, 7), "{written}");
            assert_eq!(common.actor.map_or_else(String::new, |a| a.to_string()), actor, "{written}");
            assert_eq!(common.source.unwrap_or_default(), source, "{written}");
            assert_eq!(Value::Object(fields), serde_json::from_str::<Value>(written).unwrap());
        }
    }

    #[test]
    fn fields_that_later_versions_add_do_not_make_a_known_event_unknown() {
        let written =
            r#"{"v":1,"time":7,"actor":{"by":"ca"},"type":"config.changed","after":"00","by_whom":"x"}"#;
        assert!(matches!(Reading::of(written.as_bytes()), Ok(Reading::Known(_))));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for written in [
            "",
            "7",
            "[]",
            "{}",
            r#"{"v":1,"time":7}"#,
            r#"{"v":1,"type":"x"}"#,
            r#"{"v":"1","time":7,"type":"x"}"#,
            r#"{"v":1,"time":-7,"type":"x"}"#,
            r#"{"v":1,"time":7,"type":"x"} "x""#,
            "{\"v\":1,\"time\":7,\"type\":\"\u{0}\"}",
        ] {
            assert_eq!(Reading::of(written.as_bytes()), Err(Unreadable), "{written}");
        }
    }
}
