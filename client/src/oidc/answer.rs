//! What the address says that a provider sends the browser back to, however it comes here: through the loopback port
//! or pasted by hand. One set of rules for both: the state of this login, the issuer that was asked (RFC 9207), one
//! code or one error, nothing twice.

use url::form_urlencoded;

/// What came back from the provider.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum Answer {
    /// The authorization code.
    Code(String),
    /// The provider's refusal.
    Refused {
        /// OAuth's error code.
        error: String,
        /// What the provider says of it.
        description: String,
    },
    /// None: somebody else opened the page of this login, or answers it from another browser.
    SomebodyElse,
}

/// What an answer to this login has to carry.
#[derive(Clone)]
pub(super) struct Expected {
    /// The state that the provider was given.
    pub(super) state: String,
    /// The provider that was asked.
    pub(super) issuer: String,
    /// Whether this provider says that it always names itself (RFC 9207, 3).
    pub(super) issuer_is_named: bool,
}

/// Why an answer is none, as a sentence for whoever brought it. Nothing of what they brought is in it.
pub(super) type Wrong = &'static str;

impl Expected {
    /// Reads the query of the address.
    pub(super) fn read(&self, query: &str) -> Result<Answer, Wrong> {
        let one = |name: &str| -> Result<Option<String>, Wrong> {
            let mut values =
                form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n == name).map(|(_, v)| v);
            match (values.next(), values.next()) {
                (value, None) => Ok(value.map(std::borrow::Cow::into_owned)),
                (_, Some(_)) => Err("A parameter is there twice."),
            }
        };
        if one("state")?.as_deref() != Some(self.state.as_str()) {
            return Err("This answer belongs to another login. Start again from the terminal.");
        }
        match one("iss")? {
            Some(issuer) if issuer != self.issuer => {
                return Err(
                    "This answer comes from another identity provider. Start again from the terminal.",
                );
            }
            None if self.issuer_is_named => {
                return Err("This answer does not say which identity provider it comes from.");
            }
            Some(_) | None => {}
        }
        match (one("code")?, one("error")?) {
            (Some(code), None) if !code.is_empty() => Ok(Answer::Code(code)),
            (None, Some(error)) => {
                Ok(Answer::Refused { error, description: one("error_description")?.unwrap_or_default() })
            }
            (Some(_) | None, Some(_) | None) => Err("This answer has neither a code nor an error."),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn expected() -> Expected {
        Expected { state: "s1".into(), issuer: "https://op".into(), issuer_is_named: false }
    }

    #[test]
    fn answers_that_are_refused() {
        for (query, why) in [
            ("", "another login"),
            ("code=c", "another login"),
            ("code=c&state=", "another login"),
            ("code=c&state=s2", "another login"),
            ("code=c&state=s1%20", "another login"),
            ("code=c&State=s1", "another login"),
            ("error=e&state=s2", "another login"),
            ("code=c&state=s1&state=s1", "twice"),
            ("code=c&state=s1&state=s2", "twice"),
            ("code=c&code=c&state=s1", "twice"),
            ("code=c&state=s1&iss=https%3A%2F%2Fop&iss=https%3A%2F%2Fop", "twice"),
            ("error=e&error=f&state=s1", "twice"),
            ("error=e&error_description=a&error_description=b&state=s1", "twice"),
            ("code=c&state=s1&iss=https%3A%2F%2Fother", "another identity provider"),
            ("code=c&state=s1&iss=https%3A%2F%2Fop%2F", "another identity provider"),
            ("code=c&state=s1&iss=", "another identity provider"),
            ("error=e&state=s1&iss=https%3A%2F%2Fother", "another identity provider"),
            ("state=s1", "neither"),
            ("code=&state=s1", "neither"),
            ("code=c&error=e&state=s1", "neither"),
            ("access_token=t&id_token=t&state=s1", "neither"),
        ] {
            let wrong = expected().read(query).unwrap_err();
            assert!(wrong.contains(why), "{query}: {wrong}");
        }
        let named = Expected { issuer_is_named: true, ..expected() };
        assert!(named.read("code=c&state=s1").unwrap_err().contains("does not say which"));
    }

    #[test]
    fn answers_that_are_taken() {
        let named = Expected { issuer_is_named: true, ..expected() };
        for (query, answer) in [
            ("code=a%2Fb&state=s1", Answer::Code("a/b".into())),
            ("state=s1&iss=https%3A%2F%2Fop&code=c&session_state=x", Answer::Code("c".into())),
            (
                "error=access_denied&error_description=no+way&state=s1",
                Answer::Refused { error: "access_denied".into(), description: "no way".into() },
            ),
            ("error=e&state=s1", Answer::Refused { error: "e".into(), description: String::new() }),
        ] {
            assert_eq!(expected().read(query).unwrap(), answer, "{query}");
        }
        assert!(named.read("state=s1&iss=https%3A%2F%2Fop&code=c").is_ok());
    }
}
