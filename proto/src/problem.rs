//! Every way in which the CA says no: one enum of codes, carried in RFC 9457 problem documents.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::Span;
use crate::explanation::NearMiss;

/// Whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The call is wrong: changing it helps.
    Caller,
    /// The caller has to log in (again).
    Login,
    /// Policy or rules say no.
    Denied,
    /// The identity provider is in trouble.
    Provider,
    /// The CA is in trouble: the same call may work later.
    Server,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $status:literal, $blame:ident, $title:literal;)+) => {
        /// What went wrong. The text form is stable: programs may rely on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum Code { $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable text.
            #[must_use]
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => $text),+ } }

            /// The HTTP status it is sent with.
            #[must_use]
            pub fn status(self) -> u16 { match self { $(Self::$name => $status),+ } }

            /// Whose move it is.
            #[must_use]
            pub fn blame(self) -> Blame { match self { $(Self::$name => Blame::$blame),+ } }

            /// A short summary, the same for every occurrence.
            #[must_use]
            pub fn title(self) -> &'static str { match self { $(Self::$name => $title),+ } }
        }
    };
}

codes! {
    /// The body is not the JSON that the route takes, or has fields it does not know.
    BodyMalformed = "body_malformed", 400, Caller, "The request body is not understood";
    /// The body is larger than the route takes.
    BodyTooLarge = "body_too_large", 413, Caller, "The request body is too large";
    /// The request did not arrive in time.
    BodyTooSlow = "body_too_slow", 408, Caller, "The request arrived too slowly";
    /// The body is not declared as JSON.
    BodyNotJson = "body_not_json", 415, Caller, "The request body must be JSON";
    /// No such route or object, or not this caller's.
    NotFound = "not_found", 404, Caller, "Not found";
    /// The route has no such method.
    MethodNotAllowed = "method_not_allowed", 405, Caller, "Method not allowed";
    /// A field's value is wrong; `detail` names it.
    FieldInvalid = "field_invalid", 400, Caller, "A field is invalid";
    /// The duration is not a positive length of time.
    DurationInvalid = "duration_invalid", 400, Caller, "The duration is invalid";
    /// The duration is beyond what the CA ever grants.
    DurationTooLong = "duration_too_long", 400, Caller, "The duration is beyond the maximum";
    /// An account is not LOGIN@HOST in the alphabet of names.
    AccountInvalid = "account_invalid", 400, Caller, "An account is invalid";
    /// The command is missing, unwanted, or not one visible line.
    CommandInvalid = "command_invalid", 400, Caller, "The command is invalid";
    /// The text has control, bidirectional or format characters, or is too long.
    TextInvalid = "text_invalid", 400, Caller, "A text is invalid";
    /// Not a public key.
    KeyMalformed = "key_malformed", 400, Caller, "The key is not understood";
    /// A certificate was given as a key.
    KeyIsCertificate = "key_is_certificate", 400, Caller, "A certificate was given in place of a key";
    /// The key's algorithm is not accepted.
    KeyAlgorithm = "key_algorithm", 400, Caller, "The key's algorithm is not accepted";
    /// The key is too short.
    KeyTooWeak = "key_too_weak", 400, Caller, "The key is too weak";
    /// Possession of the certificate's key was not proved.
    PossessionInvalid = "possession_invalid", 400, Caller, "Possession of the key was not proved";
    /// The inventory or this version cannot do what was asked.
    NotAvailable = "not_available", 422, Caller, "Not available";

    /// No session token, or none that the CA knows.
    NotLoggedIn = "not_logged_in", 401, Login, "Not logged in";
    /// The session is past its end.
    SessionExpired = "session_expired", 401, Login, "The session has expired";
    /// The session was ended.
    SessionEnded = "session_ended", 401, Login, "The session was ended";
    /// The call must be signed and is not.
    SignatureMissing = "signature_missing", 401, Caller, "The call is not signed";
    /// The signature header is not of its form.
    SignatureMalformed = "signature_malformed", 400, Caller, "The call's signature is not understood";
    /// The signature is not by the session's key over this call.
    SignatureInvalid = "signature_invalid", 401, Caller, "The call's signature does not verify";
    /// The signature's time is more than a minute from the CA's clock.
    SignatureStale = "signature_stale", 401, Caller, "The call's signature is too old or too new";
    /// The call was made before.
    SignatureReplayed = "signature_replayed", 409, Caller, "The call was already made";

    /// Not one compact JWS.
    TokenMalformed = "token_malformed", 401, Login, "The ID token is not understood";
    /// No configured issuer is the token's.
    TokenIssuer = "token_issuer", 401, Login, "The ID token's issuer is not configured";
    /// The token is not signed.
    TokenUnsigned = "token_unsigned", 401, Login, "The ID token is not signed";
    /// The algorithm is not on the issuer's list.
    TokenAlgorithm = "token_algorithm", 401, Login, "The ID token's algorithm is not allowed";
    /// A header parameter that must not be there (`crit`, `jku`, `jwk`, `x5u`, `b64` …).
    TokenHeader = "token_header", 401, Login, "The ID token's header is not allowed";
    /// No key of the issuer fits.
    TokenKey = "token_key", 401, Login, "The ID token was signed by an unknown key";
    /// The signature is wrong.
    TokenSignature = "token_signature", 401, Login, "The ID token's signature does not verify";
    /// A claim is missing or of the wrong shape.
    TokenClaims = "token_claims", 401, Login, "The ID token's claims are not understood";
    /// `sub` is missing, empty or too long.
    TokenSubject = "token_subject", 401, Login, "The ID token names no subject";
    /// The token is for somebody else.
    TokenAudience = "token_audience", 401, Login, "The ID token is for another audience";
    /// `azp` is missing where it is needed, or another's.
    TokenAuthorizedParty = "token_azp", 401, Login, "The ID token was issued to another client";
    /// `exp` has passed.
    TokenExpired = "token_expired", 401, Login, "The ID token has expired";
    /// `nbf` lies ahead.
    TokenNotYetValid = "token_not_yet_valid", 401, Login, "The ID token is not valid yet";
    /// `iat` lies ahead.
    TokenFromTheFuture = "token_from_the_future", 401, Login, "The ID token was issued in the future";
    /// `iat` is too long ago.
    TokenTooOld = "token_too_old", 401, Login, "The ID token was issued too long ago";
    /// No `nonce`.
    TokenNonceMissing = "token_nonce_missing", 401, Login, "The ID token has no nonce";
    /// The nonce is not this session key's at this CA.
    TokenNonce = "token_nonce", 401, Login, "The ID token is bound to another key or CA";
    /// The token opened another key's session.
    TokenUsed = "token_used", 401, Login, "The ID token was already used";
    /// The issuer's entry does not take tokens that were obtained in this way.
    FlowNotAllowed = "flow_not_allowed", 403, Denied, "This way to log in is not allowed";
    /// A job's token, where people log in.
    TokenOfAJob = "token_of_a_job", 403, Denied, "The ID token is a job's, not a person's";
    /// The session comes from a way to log in that may not approve, administer or break glass.
    LoginNotPrivileged = "login_not_privileged", 403, Denied, "This login may not do that";
    /// The token only says where the groups could be asked for.
    TokenGroupsElsewhere = "token_groups_elsewhere", 403, Denied, "The ID token does not carry the groups";
    /// `email_verified` is not literally true.
    EmailNotVerified = "email_not_verified", 403, Denied, "The e-mail address is not verified";
    /// The e-mail address is of no allowed domain.
    DomainNotAllowed = "domain_not_allowed", 403, Denied, "The e-mail domain is not allowed";
    /// The operator of the CA disabled the identity.
    IdentityDisabled = "identity_disabled", 403, Denied, "The identity is disabled";
    /// The login name is another identity's.
    LoginTaken = "login_taken", 403, Denied, "The login name belongs to another identity";
    /// The issuer's name stands for another provider in the CA's records.
    IssuerMoved = "issuer_moved", 503, Server, "The identity provider's name belongs to another one";
    /// The logout token is not one that this provider may end sessions with.
    LogoutTokenInvalid = "logout_token_invalid", 400, Caller, "The logout token is not acceptable";
    /// The issuer's keys could not be fetched.
    ProviderUnreachable = "provider_unreachable", 503, Provider, "The identity provider cannot be reached";
    /// The provider's answers contradict its configuration here.
    ProviderInvalid = "provider_invalid", 502, Provider, "The identity provider's answers are not acceptable";

    /// No policy allows it, or there is no such account: one answer for both.
    NoAccess = "no_access", 403, Denied, "No access";
    /// A `forbid` policy denies it; `detail` has its message.
    Forbidden = "forbidden", 403, Denied, "Forbidden by policy";
    /// The caller is a guest whose last day is over.
    GuestEnded = "guest_ended", 403, Denied, "The guest's time has ended";
    /// A policy failed while it was evaluated, which denies.
    PolicyError = "policy_error", 403, Denied, "A policy could not be evaluated";
    /// A policy allows it only after approval.
    ApprovalRequired = "approval_required", 403, Denied, "Approval is required";
    /// Policy allows it, but not for that long.
    DurationDenied = "duration_denied", 403, Denied, "Not for that long";
    /// Policy allows it, but one certificate cannot say so many hosts; `detail` says what to ask for instead.
    TooManyHosts = "too_many_hosts", 422, Caller, "Too many hosts in one request";
    /// Policy allows it, but hosts of several authorities are in it: each needs a certificate of its own.
    AskSeparately = "ask_separately", 422, Caller, "These hosts need separate requests";

    /// The database does not answer.
    StoreUnavailable = "store_unavailable", 503, Server, "The store is unavailable";
    /// The database cannot be written: disk full or read-only.
    StoreReadOnly = "store_read_only", 503, Server, "The store cannot be written";
    /// The clock is behind the ledger.
    ClockBehind = "clock_behind", 503, Server, "The CA's clock is behind its own records";
    /// The server's clock and its database's do not agree.
    ClockOff = "clock_off", 503, Server, "The CA's clock is off its database's";
    /// The signer failed, or signed something else.
    SignerFailed = "signer_failed", 503, Server, "The signer failed";
    /// One session was refused too often; the time to wait is in `Retry-After`.
    TooManyRequests = "too_many_requests", 429, Caller, "Too many refused requests";
    /// Too much at once.
    Overloaded = "overloaded", 503, Server, "The CA is overloaded";
    /// Anything else; the log has the cause.
    Internal = "internal", 500, Server, "Internal error";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An RFC 9457 problem document. `detail` is one or two sentences for the caller: what is wrong and what to do
/// next. Never an internal text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:jit-ssh:problem:CODE`
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's title.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The code.
    pub code: Code,
    /// What is wrong here and what to do next.
    pub detail: String,
    /// What would change the answer, the easiest first: for what policy denies, where anything is known to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<NearMiss>,
    /// How long to wait before the same is worth another try, where that is known: the header `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<Span>,
}

impl Problem {
    /// A problem with its sentence.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: alloc::format!("urn:jit-ssh:problem:{code}"),
            title: code.title().to_string(),
            status: code.status(),
            code,
            detail: detail.into(),
            advice: Vec::new(),
            retry_after: None,
        }
    }

    /// The same problem with what would change the answer.
    #[must_use]
    pub fn advising(self, advice: Vec<NearMiss>) -> Self {
        Self { advice, ..self }
    }

    /// The same problem with how long to wait.
    #[must_use]
    pub fn retrying_after(self, wait: Span) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

impl core::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_serialise_as_their_text() {
        for (at, code) in Code::ALL.iter().enumerate() {
            assert_eq!(serde_json::to_string(code).unwrap(), alloc::format!("\"{code}\""));
            assert!(Code::ALL.iter().skip(at + 1).all(|other| other.as_str() != code.as_str()));
        }
    }
}
