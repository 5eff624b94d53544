//! Tags: what policy may ask about somebody besides name, address and groups. Each is one claim that the issuer's entry
//! names (`tags = { ref = "ref", namespace = "/kubernetes.io/namespace" }`); no other claim reaches policy.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use jit_ssh_proto::{Code, Problem, Text};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The most tags that one issuer's entry may take.
pub const MAX_TAGS: usize = 32;
/// The longest value of a tag.
const MAX_VALUE_BYTES: usize = 1024;

/// Where a tag's value stands in a token: a claim by its name, or a place inside one (`/a/b`, RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimPath(String);

/// Not a claim's name and not a JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a claim: write its name, or a JSON pointer such as /kubernetes.io/namespace (RFC 6901)")]
pub struct ClaimPathError;

impl FromStr for ClaimPath {
    type Err = ClaimPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let visible = text.parse::<Text>().is_ok() && !text.trim().is_empty();
        // `~` stands for itself only as `~0`, and for `/` as `~1`.
        let escapes = |part: &str| part.is_empty() || part.starts_with(['0', '1']);
        let pointer = !text.starts_with('/') || text.split('~').skip(1).all(|p| !p.is_empty() && escapes(p));
        if visible && pointer && text != "/" { Ok(Self(text.into())) } else { Err(ClaimPathError) }
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ClaimPath {
    fn find<'a>(&self, payload: &'a Map<String, Value>) -> Option<&'a Value> {
        let Some(pointer) = self.0.strip_prefix('/') else { return payload.get(&self.0) };
        let (first, rest) = match pointer.find('/') {
            Some(at) => pointer.split_at(at),
            None => (pointer, ""),
        };
        let first = first.replace("~1", "/").replace("~0", "~");
        payload.get(&first)?.pointer(rest)
    }
}

/// The tags that a payload has. A claim that is not there, or `null`, is no tag; so absent facts never satisfy.
///
/// # Errors
/// `token_claims` for a value that is no text, number or truth value, or that is too long or has invisible characters.
pub(super) fn pick(
    wanted: &BTreeMap<String, ClaimPath>,
    payload: &Map<String, Value>,
) -> Result<BTreeMap<String, String>, Problem> {
    let mut tags = BTreeMap::new();
    for (tag, path) in wanted {
        let value = match path.find(payload) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(yes)) => yes.to_string(),
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string(),
            Some(Value::Number(_) | Value::Array(_) | Value::Object(_)) => return Err(wrong(path)),
        };
        if value.len() > MAX_VALUE_BYTES || value.parse::<Text>().is_err() {
            return Err(wrong(path));
        }
        tags.insert(tag.clone(), value);
    }
    Ok(tags)
}

fn wrong(path: &ClaimPath) -> Problem {
    Problem::new(
        Code::TokenClaims,
        format!(
            "The claim {:?} is not a visible text of at most {MAX_VALUE_BYTES} bytes, a whole number or a truth value: correct what the identity provider sends.",
            path.0
        ),
    )
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use serde_json::json;

    use super::*;

    fn picked(path: &str, payload: &Value) -> Result<Option<String>, Code> {
        let wanted = BTreeMap::from([("t".to_string(), path.parse().unwrap())]);
        pick(&wanted, payload.as_object().unwrap()).map(|tags| tags.get("t").cloned()).map_err(|p| p.code)
    }

    #[test]
    fn what_is_there_as_text() {
        let payload = json!({
            "ref": "refs/heads/main", "n": 7, "neg": -1, "yes": true, "none": null, "": "empty",
            "kubernetes.io": { "namespace": "prod", "serviceaccount": { "name": "deployer" }, "a/b": "slash", "x~y": "tilde" },
            "https://example.com/team": "infra",
        });
        for (path, expected) in [
            ("ref", Some("refs/heads/main")),
            ("n", Some("7")),
            ("neg", Some("-1")),
            ("yes", Some("true")),
            ("none", None),
            ("absent", None),
            ("/ref", Some("refs/heads/main")),
            ("/kubernetes.io/namespace", Some("prod")),
            ("/kubernetes.io/serviceaccount/name", Some("deployer")),
            ("/kubernetes.io/a~1b", Some("slash")),
            ("/kubernetes.io/x~0y", Some("tilde")),
            ("/kubernetes.io/absent/name", None),
            ("/ref/deeper", None),
            // A claim's name may have a slash in it, as long as it does not begin with one.
            ("https://example.com/team", Some("infra")),
        ] {
            assert_eq!(picked(path, &payload), Ok(expected.map(Into::into)), "{path}");
        }
    }

    #[test]
    fn what_is_refused() {
        for value in [
            json!(["main"]),
            json!({ "a": 1 }),
            json!(1.5),
            json!("a\u{202e}b"),
            json!("a\nb"),
            json!("a\u{0}"),
            json!("x".repeat(1025)),
        ] {
            assert_eq!(picked("ref", &json!({ "ref": value.clone() })), Err(Code::TokenClaims), "{value}");
        }
    }

    #[test]
    fn paths_that_are_none() {
        let bad: Vec<&str> = ["", " ", "/", "/a~", "/a~2b", "a\u{7}"]
            .into_iter()
            .filter(|p| p.parse::<ClaimPath>().is_ok())
            .collect();
        assert_eq!(bad, [""; 0]);
    }
}
