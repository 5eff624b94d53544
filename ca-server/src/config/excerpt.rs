//! The part of `ca.toml` that policies are decided by: the zone, the limits, the issuers. For tools that have policies
//! at hand and no CA: the file may be whole, or an excerpt without `listen` and `url`.

use std::path::Path;

use jiff::tz::TimeZone;
use jit_ssh_core::identity::IssuerRules;

use super::raw::RawConfig;
use super::toml_error::explain_after;
use super::{ConfigError, Layout, Limits, issuer, limits, zone};

/// What policies are decided by, besides themselves and the inventory.
#[derive(Clone, Debug)]
pub struct Excerpt {
    /// The zone of `context.local`.
    pub timezone: TimeZone,
    /// The limits.
    pub limits: Limits,
    /// The issuers; none if there is no `ca.toml` or no entry in it yet, and then nothing is known of them.
    pub issuers: Option<Vec<IssuerRules>>,
}

impl Excerpt {
    /// What holds without a `ca.toml`.
    ///
    /// # Errors
    /// Never: what is not written has a default.
    pub fn without_file() -> Result<Self, ConfigError> {
        Self::parse("", Path::new("ca.toml"))
    }

    /// Reads it from a file. Secrets that the file names are not read.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let table: toml::Table = toml::from_str(text).map_err(|e| explain_after(path, text, 0, &e))?;
        let mut before = String::new();
        for (key, value) in [("listen", "127.0.0.1:0"), ("url", "https://ca.invalid")] {
            if !table.contains_key(key) {
                before.push_str(&format!("{key} = {value:?}\n"));
            }
        }
        let raw: RawConfig = toml::from_str(&format!("{before}{text}"))
            .map_err(|e| explain_after(path, text, before.len(), &e))?;
        let bad = |key: &str, what: String| ConfigError::of_key(path, text, key, what);
        let layout = Layout::new(path.parent().unwrap_or(Path::new("")));
        let mut issuers = Vec::with_capacity(raw.issuer.len());
        for (nth, mut entry) in raw.issuer.into_iter().enumerate() {
            let name = entry.name.clone();
            // It is not needed to decide, and need not be where policies are written.
            entry.client_secret_file = None;
            entry.device_client_secret_file = None;
            entry.jwks_file = None;
            let issuer = issuer::parse(entry, &layout)
                .map_err(|(key, what)| ConfigError::of_issuer(path, text, (nth, &name), &key, what))?;
            issuers.push(issuer.rules);
        }
        Ok(Self {
            timezone: zone(&raw.timezone).map_err(|what| bad("timezone", what))?,
            limits: limits(&raw.limits).map_err(|(key, what)| bad(key, what))?,
            issuers: (!issuers.is_empty()).then_some(issuers),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str =
        "[[issuer]]\nname = \"corp\"\nurl = \"https://id.example.com\"\nclient_id = \"jit-ssh\"\n";

    #[test]
    fn an_excerpt_is_enough_and_a_whole_file_is_not_too_much() {
        let excerpt =
            Excerpt::parse("timezone = \"Europe/Paris\"\n[limits]\nttl = \"5m\"\n", Path::new("ca.toml"));
        let excerpt = excerpt.unwrap();
        assert_eq!((excerpt.limits.ttl.seconds(), excerpt.timezone.iana_name()), (300, Some("Europe/Paris")));
        let secret = format!("{ISSUER}client_secret_file = \"not/there\"\n");
        let whole = include_str!("../../starter/ca.toml")
            .replace("@LISTEN@", "127.0.0.1:1")
            .replace("@URL@", "https://ca.example.com")
            .replace("@STORE@", "\"sqlite:ca.db\"")
            .replace("@ISSUER@", &secret);
        let whole = Excerpt::parse(&whole, Path::new("ca.toml")).unwrap();
        assert_eq!(whole.issuers.unwrap().len(), 1);
        assert!(Excerpt::without_file().unwrap().issuers.is_none());
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_own_place() {
        for (text, says) in [
            (
                "# one\ntimezon = \"UTC\"",
                "ca.toml:2:1: the key \"timezon\" is not known: did you mean \"timezone\"?",
            ),
            ("timezone = \"Mars\"", "ca.toml:1:1: timezone \"Mars\" is not known"),
            ("[limits]\nttl = \"9h\"", "ca.toml:2:1: limits.ttl is more than"),
            ("[[issuer]]\nname = \"corp\"", "ca.toml:1:1: the key \"url\" is missing"),
            ("x", "ca.toml:1:2: "),
        ] {
            let error = Excerpt::parse(text, Path::new("ca.toml")).unwrap_err().to_string();
            assert!(error.starts_with(says), "{text}: {error}");
        }
    }

    #[test]
    fn no_line_of_the_file_is_in_an_error() {
        for text in [
            "[store]\nurl = postgres://ca:s3cret@db/ca",
            "[store]\nurl = [\"postgres://ca:s3cret@db/ca\"]",
            "[store]\nul = \"postgres://ca:s3cret@db/ca\"",
        ] {
            let error = Excerpt::parse(text, Path::new("ca.toml")).unwrap_err().to_string();
            assert!(error.starts_with("ca.toml:2:") && !error.contains("s3cret"), "{error}");
        }
    }
}
