//! The claims that say whom a token is from and for, and when: invariant 5, one code for each rule.
//! openidconnect checks some of them again; `azp`, `nbf` and the age of `iat` it leaves to us.

use jit_ssh_proto::{Code, Flow, Problem, Span, Timestamp};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

/// How far the provider's clock may be from ours.
pub(crate) const LEEWAY: Span = Span::from_seconds(60);

/// The end of the year 9999: later times are mistakes, or somebody's milliseconds.
pub(crate) const LATEST: u64 = 253_402_300_799;

/// The longest `sub` (OpenID Connect Core, 2).
const MAX_SUB_BYTES: usize = 255;

/// What an issuer's tokens must say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    /// `iss`, exactly.
    pub(crate) issuer: &'a str,
    /// Our client there.
    pub(crate) client_id: &'a str,
    /// The audience that must be named.
    pub(crate) audience: &'a str,
    /// Our client for another flow, whose tokens are none of this one.
    pub(crate) other_client: Option<&'a str>,
    /// The oldest `iat`.
    pub(crate) max_age: Span,
}

/// The times of a token that passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
}

/// Checks every rule that concerns the CA, not the person.
///
/// # Errors
/// `token_claims`, `token_issuer`, `token_subject`, `token_audience`, `token_azp`, `flow_not_allowed`, `token_expired`,
/// `token_not_yet_valid`, `token_from_the_future`, `token_too_old`, `token_nonce_missing`, `token_nonce`.
pub(crate) fn check(
    claims: &Map<String, Value>,
    expected: &Expected<'_>,
    flow: Flow,
    nonce: Bound<'_>,
    now: Timestamp,
) -> Result<Times, Problem> {
    issuer(claims, expected)?;
    if claims.contains_key("events") {
        // A logout token of a provider that does not type them would otherwise do where no nonce is asked for.
        return Err(Problem::new(
            Code::TokenClaims,
            "The token has events, so it is no ID token: log in again with `jit-ssh login`.",
        ));
    }
    subject(claims)?;
    audience(claims, expected, flow)?;
    let times = times(claims, expected, now)?;
    match nonce {
        Bound::To(nonce) => check_nonce(claims, flow, nonce)?,
        Bound::ByTheProvider => {}
    }
    Ok(times)
}

/// What the nonce of a token must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound<'a> {
    /// The one for this session key at this CA.
    To(&'a str),
    /// A token that came straight from the provider in answer to the CA itself (OpenID Connect Core 1.0, 12.2): what it
    /// is bound to was judged at the login.
    ByTheProvider,
}

pub(super) fn malformed(name: &str, must: &str) -> Problem {
    Problem::new(
        Code::TokenClaims,
        format!("The ID token's {name} must be {must}: the identity provider has to send it so."),
    )
}

/// A claim that must be there, as a string.
pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, Problem> {
    claims.get(name).and_then(Value::as_str).ok_or_else(|| malformed(name, "a string"))
}

pub(super) fn issuer(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Problem> {
    if text(claims, "iss")? == expected.issuer {
        return Ok(());
    }
    Err(Problem::new(
        Code::TokenIssuer,
        "The ID token is from another issuer than the one it was presented for; run `jit-ssh login` again.",
    ))
}

pub(super) fn subject(claims: &Map<String, Value>) -> Result<(), Problem> {
    let usable =
        |sub: &str| !sub.is_empty() && sub.len() <= MAX_SUB_BYTES && !sub.chars().any(char::is_control);
    if claims.get("sub").and_then(Value::as_str).is_some_and(usable) {
        return Ok(());
    }
    Err(Problem::new(
        Code::TokenSubject,
        "The ID token's sub must be 1 to 255 bytes of visible text: the identity provider has to name a subject.",
    ))
}

/// OpenID Connect Core 3.1.3.7, points 3 to 5, where "should" is read as "must".
fn audience(claims: &Map<String, Value>, expected: &Expected<'_>, flow: Flow) -> Result<(), Problem> {
    let form = || malformed("aud", "a string or a list of strings");
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => {
            many.iter().map(|one| one.as_str().ok_or_else(form)).collect::<Result<Vec<_>, _>>()?
        }
        None | Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return Err(form()),
    };
    let party = claims.get("azp").and_then(Value::as_str);
    if let Some(other) = expected.other_client {
        // How somebody logged in is what the provider says, by the client that it gave the token to, and never what the
        // caller says: a code that somebody was talked into typing would else pass for their own login in a browser.
        if party == Some(other) || audiences.contains(&other) {
            return Err(other_flow(flow));
        }
    }
    let ours = |audience: &&str| *audience == expected.audience || *audience == expected.client_id;
    if !audiences.contains(&expected.audience) || !audiences.iter().all(ours) {
        return Err(Problem::new(
            Code::TokenAudience,
            "The ID token's aud must name this CA's client and nobody else: check `client_id` and `audience` in the \
             issuer's entry against the identity provider.",
        ));
    }
    let foreign = || {
        Problem::new(
            Code::TokenAuthorizedParty,
            "The ID token's azp must be this CA's client: the token was issued to another application.",
        )
    };
    match claims.get("azp") {
        None if audiences.len() > 1 => Err(foreign()),
        // Where two clients share an audience, the token has to say which of them it is.
        None if expected.other_client.is_some() && !audiences.contains(&expected.client_id) => Err(foreign()),
        None => Ok(()),
        Some(Value::String(party)) if party == expected.client_id => Ok(()),
        Some(_) => Err(foreign()),
    }
}

fn other_flow(flow: Flow) -> Problem {
    let (is, said) = match flow {
        Flow::Device => ("a browser", "the device grant"),
        Flow::Code | Flow::Token => ("the device grant", "a browser"),
    };
    Problem::new(
        Code::FlowNotAllowed,
        format!(
            "The ID token is of a login by {is} and was presented as one by {said}: log in again with `jit-ssh login`, \
             or `jit-ssh login --device`; if that says the same, jit-ssh is older than the CA and has to be updated."
        ),
    )
}

/// A NumericDate (RFC 7519, 2) of whole seconds.
pub(super) fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Problem> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(seconds) if seconds <= LATEST => Ok(Some(Timestamp::from_seconds(seconds))),
            Some(_) | None => Err(malformed(name, "whole seconds since 1970")),
        },
    }
}

fn times(claims: &Map<String, Value>, expected: &Expected<'_>, now: Timestamp) -> Result<Times, Problem> {
    let required = |name| time(claims, name)?.ok_or_else(|| malformed(name, "whole seconds since 1970"));
    let expires = required("exp")?;
    let issued = required("iat")?;
    let not_before = time(claims, "nbf")?;
    let refused = |code, what: &str| {
        Err(Problem::new(
            code,
            format!("The ID token {what}; log in again, and if it stays so compare the clocks."),
        ))
    };
    if expires.plus(LEEWAY) <= now {
        return refused(Code::TokenExpired, "has expired");
    }
    if not_before.is_some_and(|not_before| not_before > now.plus(LEEWAY)) {
        return refused(Code::TokenNotYetValid, "is not valid yet");
    }
    if issued > now.plus(LEEWAY) {
        return refused(Code::TokenFromTheFuture, "was issued in the future");
    }
    if issued.plus(expected.max_age) < now {
        return refused(Code::TokenTooOld, "was issued too long ago");
    }
    Ok(Times { issued, expires })
}

/// A flow that has no nonce may do without; a nonce that is there is the one for this key whatever the flow is said to
/// be, or a token of the browser could be passed off as one of a device.
fn check_nonce(claims: &Map<String, Value>, flow: Flow, nonce: &str) -> Result<(), Problem> {
    match claims.get("nonce") {
        None if !flow.has_nonce() => Ok(()),
        None => Err(Problem::new(
            Code::TokenNonceMissing,
            "The ID token has no nonce, so it is bound to no key: log in with `jit-ssh login`.",
        )),
        Some(Value::String(theirs)) if bool::from(theirs.as_bytes().ct_eq(nonce.as_bytes())) => Ok(()),
        Some(Value::String(_)) => Err(Problem::new(
            Code::TokenNonce,
            "The ID token's nonce is not the one for this session key at this CA: log in again with `jit-ssh login`.",
        )),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(malformed("nonce", "a string"))
        }
    }
}
