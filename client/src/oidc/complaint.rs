//! What is said when a provider refuses, fails or lies. What it wrote itself is escaped and cut short.

use jit_ssh_proto::IssuerEntry;
use openidconnect::core::CoreErrorResponseType;
use openidconnect::{RequestTokenError, StandardErrorResponse};

use crate::error::Error;
use crate::http::FetchError;
use crate::output::{escape, escape_short};

/// A provider whose answers cannot be used.
pub(super) fn lying(issuer: &IssuerEntry, what: &str) -> Error {
    Error::Provider(format!(
        "the identity provider {} ({}) cannot be used: {what}; ask the operator of the CA to check this issuer",
        escape(&issuer.name),
        escape(&issuer.url)
    ))
}

/// A provider that cannot be asked.
pub(super) fn fetching(issuer: &IssuerEntry, error: &FetchError) -> Error {
    Error::Provider(format!("the identity provider {}: {error}", escape(&issuer.name)))
}

/// A provider that says no.
pub(super) fn refused(issuer: &IssuerEntry, error: &str, description: &str) -> Error {
    let more =
        if description.is_empty() { String::new() } else { format!(": {}", escape_short(description, 500)) };
    Error::Provider(format!(
        "the identity provider {} refused the login ({}{more}); log in again, or ask the operator of the provider",
        escape(&issuer.name),
        escape_short(error, 100)
    ))
}

/// A login that nobody finished.
pub(super) fn nobody_came(issuer: &IssuerEntry, seconds: u64) -> Error {
    let minutes = seconds.div_ceil(60);
    let s = if minutes == 1 { "" } else { "s" };
    Error::Provider(format!(
        "nobody logged in at {} within {minutes} minute{s}: run the command again",
        escape(&issuer.name)
    ))
}

/// What came of an exchange at one of its endpoints.
pub(super) fn exchange<T>(
    issuer: &IssuerEntry,
    endpoint: &str,
    error: &RequestTokenError<FetchError, StandardErrorResponse<T>>,
) -> Error
where
    T: openidconnect::ErrorResponseType + AsRef<str> + std::fmt::Display + 'static,
{
    match error {
        RequestTokenError::ServerResponse(response) => refused(
            issuer,
            response.error().as_ref(),
            response.error_description().map_or("", String::as_str),
        ),
        RequestTokenError::Request(e) => fetching(issuer, e),
        RequestTokenError::Parse(e, _) => lying(
            issuer,
            &format!("its {endpoint}'s answer is not understood ({})", escape_short(&e.to_string(), 200)),
        ),
        RequestTokenError::Other(e) => lying(issuer, &format!("its {endpoint}: {}", escape_short(e, 200))),
    }
}

/// The errors of a token endpoint and of a device endpoint.
pub(super) type OauthError = RequestTokenError<FetchError, StandardErrorResponse<CoreErrorResponseType>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::tests::issuer;

    #[test]
    fn what_a_provider_says_is_escaped() {
        let error = refused(&issuer("a", "user", "code"), "access_denied", "no\u{1b}[2J\n");
        assert!(error.to_string().contains("(access_denied: no\\u{1b}[2J\\n)"), "{error}");
    }

    #[test]
    fn minutes_are_counted_as_people_do() {
        for (seconds, text) in [(1, "1 minute:"), (60, "1 minute:"), (61, "2 minutes:"), (900, "15 minutes:")]
        {
            let error = nobody_came(&issuer("a", "user", "code"), seconds);
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
