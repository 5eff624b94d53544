//! Logging in at an OpenID Connect provider: discovery, authorization code with PKCE over a loopback redirect
//! (RFC 8252), and the ID token as it came. The CA verifies the token; here only the nonce is compared, so that a
//! provider that drops it is named early.

mod callback;
mod response;

use std::time::{Duration, Instant};

use jit_ssh_proto::IssuerEntry;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreProviderMetadata,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
};
use openidconnect::{
    AuthType, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EmptyAdditionalClaims,
    EndpointNotSet, HttpRequest, HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    RedirectUrl, RequestTokenError, Scope, StandardErrorResponse,
};
use serde::Deserialize;
use url::Url;

use crate::error::{Error, Result};
use crate::http::{FetchError, Http, check_address};
use crate::output::{Waiting, escape, escape_short, note};
use callback::{Callback, Listener};
use response::RawTokenResponse;

/// How long a person may take in the browser.
const PATIENCE: Duration = Duration::from_secs(300);

/// `CoreClient` with a token response that keeps the ID token as text.
type OidcClient = Client<
    EmptyAdditionalClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    RawTokenResponse,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
>;

/// What a login at a provider brings. Tokens are secrets: it cannot be printed.
pub(crate) struct LoggedIn {
    /// The ID token, as it came.
    pub(crate) id_token: String,
    /// The refresh token, where the CA wants one and the provider gave it.
    pub(crate) refresh_token: Option<String>,
}

/// Logs in at `issuer` and returns the ID token, which carries `nonce`.
pub(crate) fn log_in(http: &Http, issuer: &IssuerEntry, nonce: &str, open_browser: bool) -> Result<LoggedIn> {
    let provider = {
        let _waiting = Waiting::for_(format!("asking {} how to log in", escape(&issuer.url)));
        discover(http, issuer)?
    };
    let listener = Listener::bind()?;
    let redirect = RedirectUrl::new(listener.redirect_uri())
        .map_err(|e| Error::Local(format!("cannot make a redirect address: {e}")))?;
    let token_endpoint = provider
        .token_endpoint()
        .cloned()
        .ok_or_else(|| lying(issuer, "its discovery document names no token endpoint"))?;
    for endpoint in [provider.authorization_endpoint().url(), token_endpoint.url()] {
        check_address(endpoint)
            .map_err(|e| lying(issuer, &format!("its endpoint {} {e}", escape(endpoint.as_str()))))?;
    }
    let secret = issuer.client_secret.clone().map(ClientSecret::new);
    let client = OidcClient::new(
        ClientId::new(issuer.client_id.clone()),
        provider.issuer().clone(),
        provider.jwks().clone(),
    );
    let client = match secret {
        Some(secret) => client.set_client_secret(secret),
        None => client,
    };
    let client = client
        .set_auth_uri(provider.authorization_endpoint().clone())
        .set_token_uri(token_endpoint)
        .set_redirect_uri(redirect)
        .set_auth_type(auth_type(&provider));

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let committed = Nonce::new(nonce.to_owned());
    let mut request =
        client.authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, move || {
            committed.clone()
        });
    for scope in issuer.scopes.iter().filter(|s| s.as_str() != "openid") {
        request = request.add_scope(Scope::new(scope.clone()));
    }
    if issuer.scopes.iter().any(|scope| scope == "offline_access") {
        // Without it providers leave out the refresh token (OpenID Connect Core 1.0, 11).
        request = request.add_prompt(CoreAuthPrompt::Consent);
    }
    let (url, state, _) = request.set_pkce_challenge(challenge).url();

    note(&format!(
        "To log in at {}, open this address in a browser on this machine:\n\n  {url}\n",
        escape(&issuer.name)
    ));
    if open_browser && let Err(e) = webbrowser::open(url.as_str()) {
        note(&format!("(no browser could be opened: {e})"));
    }
    let callback = {
        let _waiting =
            Waiting::for_(format!("waiting for your login at {} in the browser", escape(&issuer.name)));
        listener.wait(state.secret(), &issuer.url, Instant::now() + PATIENCE)
    };
    let code = match callback {
        Some(Callback::Code(code)) => AuthorizationCode::new(code),
        Some(Callback::Refused { error, description }) => return Err(refused(issuer, &error, &description)),
        None => {
            return Err(Error::Provider(format!(
                "nobody logged in at {} within {} minutes: run the command again",
                escape(&issuer.name),
                PATIENCE.as_secs() / 60
            )));
        }
    };
    let _waiting = Waiting::for_(format!("fetching the ID token from {}", escape(&issuer.name)));
    let answer = client
        .exchange_code(code)
        .set_pkce_verifier(verifier)
        .request(&|request: HttpRequest| exchange(http, request))
        .map_err(|e| token_error(issuer, &e))?;
    let _ = answer.access_token();
    let (token, refresh_token) = answer.into_tokens();
    let id_token = token.ok_or_else(|| lying(issuer, "its token endpoint sent no ID token"))?;
    check_nonce(&id_token, nonce).map_err(|why| lying(issuer, why))?;
    Ok(LoggedIn { id_token, refresh_token: refresh_token.filter(|_| issuer.revalidate) })
}

/// OpenID Connect Discovery 1.0, 4. The issuer inside must be the one asked for, to the letter.
fn discover(http: &Http, issuer: &IssuerEntry) -> Result<CoreProviderMetadata> {
    let expected = IssuerUrl::new(issuer.url.clone())
        .map_err(|_| lying(issuer, "its address in the CA's trust bundle is no URL"))?;
    let url = format!("{}/.well-known/openid-configuration", issuer.url.trim_end_matches('/'));
    let request = openidconnect::http::Request::get(&url)
        .header("accept", "application/json")
        .body(Vec::new())
        .map_err(|_| lying(issuer, "its address in the CA's trust bundle is no URL"))?;
    let answer = http.call(request).map_err(|e| fetch_error(issuer, &e))?;
    if answer.status != 200 {
        return Err(lying(
            issuer,
            &format!("its discovery document is answered with status {}", answer.status),
        ));
    }
    read_metadata(issuer, &expected, &answer.body)
}

fn read_metadata(issuer: &IssuerEntry, expected: &IssuerUrl, body: &[u8]) -> Result<CoreProviderMetadata> {
    let metadata: CoreProviderMetadata = serde_json::from_slice(body).map_err(|e| {
        lying(
            issuer,
            &format!("its discovery document is not understood ({})", escape_short(&e.to_string(), 200)),
        )
    })?;
    if metadata.issuer() != expected {
        return Err(lying(
            issuer,
            &format!(
                "it calls itself {} in its discovery document",
                escape_short(metadata.issuer().as_str(), 200)
            ),
        ));
    }
    Ok(metadata)
}

/// OpenID Connect Core, 9: `client_secret_basic` unless the provider says that it takes only the other.
fn auth_type(provider: &CoreProviderMetadata) -> AuthType {
    match provider.token_endpoint_auth_methods_supported() {
        Some(methods)
            if methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic) =>
        {
            AuthType::RequestBody
        }
        Some(_) | None => AuthType::BasicAuth,
    }
}

/// One exchange for `openidconnect`, on our HTTP client and its bounds.
fn exchange(http: &Http, request: HttpRequest) -> std::result::Result<HttpResponse, FetchError> {
    let answer = http.call(request)?;
    openidconnect::http::Response::builder()
        .status(answer.status)
        .header("content-type", answer.media_type)
        .body(answer.body)
        .map_err(|_| FetchError::Answer("the answer has a malformed header".into()))
}

/// The nonce in the token's payload, read without verifying anything.
fn check_nonce(token: &str, nonce: &str) -> std::result::Result<(), &'static str> {
    #[derive(Deserialize)]
    struct Payload {
        nonce: Option<String>,
    }
    let payload =
        token.split('.').nth(1).and_then(|p| data_encoding::BASE64URL_NOPAD.decode(p.as_bytes()).ok());
    let payload: Option<Payload> = payload.and_then(|p| serde_json::from_slice(&p).ok());
    match payload.map(|p| p.nonce) {
        None => Err("its ID token is not a signed JWT"),
        Some(None) => Err("its ID token has no nonce, without which it is bound to nothing"),
        Some(Some(found)) if found == nonce => Ok(()),
        Some(Some(_)) => Err("its ID token has the nonce of another login"),
    }
}

fn lying(issuer: &IssuerEntry, what: &str) -> Error {
    Error::Provider(format!(
        "the identity provider {} ({}) cannot be used: {what}; ask the operator of the CA to check this issuer",
        escape(&issuer.name),
        escape(&issuer.url)
    ))
}

fn fetch_error(issuer: &IssuerEntry, error: &FetchError) -> Error {
    Error::Provider(format!("the identity provider {}: {error}", escape(&issuer.name)))
}

fn refused(issuer: &IssuerEntry, error: &str, description: &str) -> Error {
    let more =
        if description.is_empty() { String::new() } else { format!(": {}", escape_short(description, 500)) };
    Error::Provider(format!(
        "the identity provider {} refused the login ({}{more}); log in again, or ask the operator of the provider",
        escape(&issuer.name),
        escape_short(error, 100)
    ))
}

type TokenError = RequestTokenError<FetchError, StandardErrorResponse<CoreErrorResponseType>>;

fn token_error(issuer: &IssuerEntry, error: &TokenError) -> Error {
    match error {
        RequestTokenError::ServerResponse(response) => refused(
            issuer,
            response.error().as_ref(),
            response.error_description().map_or("", String::as_str),
        ),
        RequestTokenError::Request(e) => fetch_error(issuer, e),
        RequestTokenError::Parse(e, _) => lying(
            issuer,
            &format!("its token endpoint's answer is not understood ({})", escape_short(&e.to_string(), 200)),
        ),
        RequestTokenError::Other(e) => {
            lying(issuer, &format!("its token endpoint: {}", escape_short(e, 200)))
        }
    }
}

/// Chooses the provider: the named one, or the only one that people log in at with a browser.
pub(crate) fn choose<'a>(issuers: &'a [IssuerEntry], name: Option<&str>) -> Result<&'a IssuerEntry> {
    let usable: Vec<&IssuerEntry> =
        issuers.iter().filter(|i| i.kind == "user" && i.flows.iter().any(|f| f == "code")).collect();
    let names = || usable.iter().map(|i| escape(&i.name)).collect::<Vec<_>>().join(", ");
    match (name, usable.as_slice()) {
        (_, []) => Err(Error::Local(
            "the CA has no identity provider that people log in at with a browser: ask its operator to add one".into(),
        )),
        (None, [only]) => Ok(only),
        (None, _) => Err(Error::Usage(format!("say which identity provider with --issuer NAME: {}", names()))),
        (Some(name), usable) => usable.iter().find(|i| i.name == name).copied().ok_or_else(|| {
            Error::Usage(format!("--issuer {} is no identity provider of this CA: use {}", escape(name), names()))
        }),
    }
}

/// Whether the address of an issuer may be used at all: shown at setup.
pub(crate) fn check_issuer(issuer: &IssuerEntry) -> std::result::Result<(), String> {
    Url::parse(&issuer.url).map_err(|_| "is no URL".to_owned()).and_then(|url| check_address(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(name: &str, kind: &str, flow: &str) -> IssuerEntry {
        IssuerEntry {
            name: name.into(),
            url: format!("https://{name}.example.com"),
            client_id: "jit-ssh".into(),
            client_secret: None,
            kind: kind.into(),
            flows: vec![flow.into()],
            scopes: vec!["openid".into()],
            revalidate: false,
        }
    }

    #[test]
    fn which_provider() {
        let (a, b) = (issuer("a", "user", "code"), issuer("b", "user", "code"));
        let (ci, device) = (issuer("ci", "workload", "token"), issuer("tv", "user", "device"));
        for (issuers, name, chosen) in [
            (vec![], None, Err(1)),
            (vec![ci.clone(), device.clone()], None, Err(1)),
            (vec![a.clone(), ci.clone()], None, Ok("a")),
            (vec![a.clone(), b.clone()], None, Err(2)),
            (vec![a.clone(), b.clone()], Some("b"), Ok("b")),
            (vec![a.clone(), ci.clone()], Some("ci"), Err(2)),
            (vec![a, b], Some("c"), Err(2)),
        ] {
            let result = choose(&issuers, name).map(|i| i.name.as_str()).map_err(|e| e.exit().code());
            assert_eq!(result, chosen, "{name:?}");
        }
    }

    #[test]
    fn nonces() {
        let token =
            |payload: &str| format!("e30.{}.c2ln", data_encoding::BASE64URL_NOPAD.encode(payload.as_bytes()));
        assert_eq!(check_nonce(&token(r#"{"nonce":"n","groups":"x"}"#), "n"), Ok(()));
        for (bad, why) in [
            (token(r#"{"nonce":"m"}"#), "another login"),
            (token("{}"), "no nonce"),
            (token(r#"{"nonce":null}"#), "no nonce"),
            (token(r#"{"nonce":1}"#), "not a signed JWT"),
            (token("x"), "not a signed JWT"),
            ("x".into(), "not a signed JWT"),
            ("a.b.c.d.e".into(), "not a signed JWT"),
        ] {
            assert!(check_nonce(&bad, "n").unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn discovery_documents_that_are_refused() {
        let a = issuer("a", "user", "code");
        let expected = IssuerUrl::new(a.url.clone()).unwrap();
        let document = |issuer: &str| {
            format!(
                r#"{{"issuer":"{issuer}","authorization_endpoint":"https://x/a","token_endpoint":"https://x/t","jwks_uri":"https://x/k",
                "response_types_supported":["code"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}}"#
            )
        };
        assert!(read_metadata(&a, &expected, document("https://a.example.com").as_bytes()).is_ok());
        for (bad, why) in [
            (document("https://b.example.com"), "calls itself https://b"),
            (document("https://a.example.com/"), "calls itself"),
            ("{}".into(), "not understood"),
            ("<html>".into(), "not understood"),
        ] {
            let error = read_metadata(&a, &expected, bad.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn what_a_provider_says_is_escaped() {
        let error = refused(&issuer("a", "user", "code"), "access_denied", "no\u{1b}[2J\n");
        assert!(error.to_string().contains("(access_denied: no\\u{1b}[2J\\n)"), "{error}");
    }
}
