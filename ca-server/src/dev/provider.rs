//! The development identity provider: code + PKCE, and a page to pick a person in place of a password. It is for
//! `jit-ssh-ca dev` and tests on one machine: it believes whoever clicks, so it listens on loopback only and sends
//! codes to loopback only.

mod page;
mod people;
mod token;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use data_encoding::BASE64URL_NOPAD;
use jit_ssh_proto::{Span, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use url::{Host, Url, form_urlencoded};

pub use people::{PEOPLE, Person};
use token::Signer;

use crate::clock::Clock;
use crate::entropy;

/// The one client that it knows.
pub const CLIENT_ID: &str = "jit-ssh";

/// How long a page may stand open.
const PAGE_LIFE: Span = Span::from_seconds(600);
/// How long a code may be redeemed.
const CODE_LIFE: Span = Span::from_seconds(60);
/// Open pages, and codes, that are remembered; beyond that new ones are refused.
const MAX_OPEN: usize = 1000;

/// What a valid authorization request asked for.
#[derive(Clone, Debug)]
struct Asked {
    redirect: Url,
    challenge: String,
    nonce: Option<String>,
    state: Option<String>,
    until: Timestamp,
}

/// A code that was given out.
#[derive(Debug)]
struct Issued {
    asked: Asked,
    person: &'static Person,
    picked: Timestamp,
}

#[derive(Debug, Default)]
struct Open {
    pages: HashMap<String, Asked>,
    codes: HashMap<String, Issued>,
}

struct Provider {
    issuer: String,
    authority: String,
    clock: Box<dyn Clock>,
    signer: Signer,
    open: Mutex<Open>,
}

type Shared = State<Arc<Provider>>;

/// Serves the provider on `listener` until dropped; its issuer is `http://ADDRESS:PORT`.
///
/// # Errors
/// If the listener is not on loopback, or the machine gives no randomness for a key.
pub async fn serve(listener: TcpListener, clock: impl Clock) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(io::Error::other("the development identity provider serves loopback addresses only"));
    }
    let router = router(&format!("http://{address}"), clock)?;
    axum::serve(listener, router).await
}

/// The provider as a router, for the issuer `issuer_url`, with a fresh signing key.
///
/// # Errors
/// If the machine gives no randomness for a key.
pub fn router(issuer_url: &str, clock: impl Clock) -> io::Result<Router> {
    let authority = issuer_url.split_once("://").map_or(issuer_url, |(_, rest)| rest).to_owned();
    let provider = Arc::new(Provider {
        issuer: issuer_url.to_owned(),
        authority,
        clock: Box::new(clock),
        signer: Signer::generate().map_err(|_| io::Error::other("no signing key could be made"))?,
        open: Mutex::default(),
    });
    Ok(Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(jwks))
        .route("/authorize", get(ask).post(pick))
        .route("/token", post(redeem))
        .layer(from_fn_with_state(Arc::clone(&provider), own_name))
        .layer(DefaultBodyLimit::max(16 * 1024))
        .with_state(provider))
}

impl Provider {
    fn open(&self) -> MutexGuard<'_, Open> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        open.pages.retain(|_, asked| asked.until > now);
        open.codes.retain(|_, issued| issued.asked.until > now);
        open
    }
}

/// Answers only under its own name, so that no page elsewhere can reach it through a name of its own (rebinding).
async fn own_name(State(provider): Shared, request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if host == Some(provider.authority.as_str()) {
        return next.run(request).await;
    }
    StatusCode::MISDIRECTED_REQUEST.into_response()
}

fn json(status: StatusCode, value: &Value) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (status, headers, value.to_string()).into_response()
}

async fn discovery(State(provider): Shared) -> Response {
    let issuer = &provider.issuer;
    json(
        StatusCode::OK,
        &json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "scopes_supported": ["openid", "profile", "email", "groups"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": [
                "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "amr", "name", "preferred_username",
                "email", "email_verified", "groups",
            ],
            "authorization_response_iss_parameter_supported": true,
        }),
    )
}

async fn jwks(State(provider): Shared) -> Response {
    json(StatusCode::OK, &json!({"keys": [provider.signer.jwk()]}))
}

/// Form or query fields, each at most once (RFC 6749, 3.1).
fn fields(encoded: &[u8]) -> Result<HashMap<String, String>, &'static str> {
    let mut fields = HashMap::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        if fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err("a parameter is repeated");
        }
    }
    Ok(fields)
}

/// `http://127.0.0.1:PORT/callback` or `http://[::1]:PORT/callback` (RFC 8252, 7.3), and nothing else.
fn loopback_callback(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let host = match url.host()? {
        Host::Ipv4(address) => format!("{address}"),
        Host::Ipv6(address) => format!("[{address}]"),
        Host::Domain(_) => return None,
    };
    let port = url.port()?;
    let expected = format!("http://{host}:{port}/callback");
    (matches!(host.as_str(), "127.0.0.1" | "[::1]") && text == expected).then_some(url)
}

/// `GET /authorize`: shows the page, or sends the error back to where a code would have gone.
async fn ask(State(provider): Shared, uri: Uri) -> Response {
    let asked = match fields(uri.query().unwrap_or_default().as_bytes()) {
        Ok(asked) => asked,
        Err(why) => return page::refusal(why),
    };
    let field = |name: &str| asked.get(name).map(String::as_str);
    if field("client_id") != Some(CLIENT_ID) {
        return page::refusal("the client_id is not jit-ssh");
    }
    let Some(redirect) = field("redirect_uri").and_then(loopback_callback) else {
        return page::refusal(
            "the redirect_uri is not http://127.0.0.1:PORT/callback or http://[::1]:PORT/callback",
        );
    };
    let state = field("state").map(str::to_owned);
    let challenge = field("code_challenge").unwrap_or_default();
    let challenge_is_digest =
        BASE64URL_NOPAD.decode(challenge.as_bytes()).is_ok_and(|digest| digest.len() == 32);
    let wrong = if field("response_type") != Some("code") {
        Some(("unsupported_response_type", "response_type must be code"))
    } else if !field("scope").unwrap_or_default().split(' ').any(|scope| scope == "openid") {
        Some(("invalid_scope", "scope must have openid"))
    } else if field("code_challenge_method") != Some("S256") || !challenge_is_digest {
        Some(("invalid_request", "PKCE with S256 is required"))
    } else if asked.contains_key("request") || asked.contains_key("request_uri") {
        Some(("request_not_supported", "request objects are not supported"))
    } else if field("prompt") == Some("none") {
        Some(("login_required", "a person has to be picked"))
    } else {
        None
    };
    if let Some((error, description)) = wrong {
        return back(&provider, redirect, state, &[("error", error), ("error_description", description)]);
    }
    let until = provider.clock.now().plus(PAGE_LIFE);
    let asked = Asked {
        redirect,
        challenge: challenge.to_owned(),
        nonce: field("nonce").map(str::to_owned),
        state,
        until,
    };
    let ticket = BASE64URL_NOPAD.encode(&entropy::bytes::<32>());
    let shown = page::people(&ticket, &asked.redirect);
    let mut open = provider.open();
    if open.pages.len() >= MAX_OPEN {
        return page::refusal("too many pages are open");
    }
    open.pages.insert(ticket, asked);
    shown
}

/// `POST /authorize`: somebody was picked.
async fn pick(State(provider): Shared, body: Bytes) -> Response {
    let Ok(picked) = fields(&body) else {
        return page::refusal("a field is repeated");
    };
    let Some(person) = picked.get("person").and_then(|name| people::find(name)) else {
        return page::refusal("there is no such person");
    };
    let mut open = provider.open();
    let Some(mut asked) = picked.get("ticket").and_then(|ticket| open.pages.remove(ticket)) else {
        return page::refusal("this page was used or is too old: start the login again");
    };
    if open.codes.len() >= MAX_OPEN {
        return page::refusal("too many codes are waiting");
    }
    let now = provider.clock.now();
    let (redirect, state) = (asked.redirect.clone(), asked.state.take());
    asked.until = now.plus(CODE_LIFE);
    let code = BASE64URL_NOPAD.encode(&entropy::bytes::<32>());
    open.codes.insert(code.clone(), Issued { asked, person, picked: now });
    drop(open);
    back(&provider, redirect, state, &[("code", &code)])
}

/// Sends the browser back to the client (RFC 6749, 4.1.2; RFC 9207 for `iss`).
fn back(provider: &Provider, mut redirect: Url, state: Option<String>, answer: &[(&str, &str)]) -> Response {
    let mut query = redirect.query_pairs_mut();
    query.extend_pairs(answer);
    if let Some(state) = &state {
        query.append_pair("state", state);
    }
    query.append_pair("iss", &provider.issuer);
    drop(query);
    let headers = [(LOCATION, String::from(redirect)), (CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// `POST /token`: a code, once, within a minute, by who knows the verifier (RFC 6749, 4.1.3; RFC 7636, 4.6).
async fn redeem(State(provider): Shared, body: Bytes) -> Response {
    match exchange(&provider, &body) {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err((error, description)) => {
            json(StatusCode::BAD_REQUEST, &json!({"error": error, "error_description": description}))
        }
    }
}

fn exchange(provider: &Provider, body: &[u8]) -> Result<Value, (&'static str, &'static str)> {
    let sent = fields(body).map_err(|why| ("invalid_request", why))?;
    let field = |name: &str| sent.get(name).map(String::as_str).unwrap_or_default();
    if field("grant_type") != "authorization_code" {
        return Err(("unsupported_grant_type", "grant_type must be authorization_code"));
    }
    if field("client_id") != CLIENT_ID {
        return Err(("invalid_client", "the client_id is not jit-ssh"));
    }
    // Whatever follows, the code is gone.
    let issued = provider
        .open()
        .codes
        .remove(field("code"))
        .ok_or(("invalid_grant", "the code is unknown, was used, or is older than a minute"))?;
    if field("redirect_uri") != issued.asked.redirect.as_str() {
        return Err(("invalid_grant", "the redirect_uri is not the one that the code was sent to"));
    }
    let verifier = field("code_verifier");
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(43..=128).contains(&verifier.len())
        || !verifier.bytes().all(alphabet)
        || BASE64URL_NOPAD.encode(&Sha256::digest(verifier)) != issued.asked.challenge
    {
        return Err(("invalid_grant", "the code_verifier is not the one that the code was asked for with"));
    }
    let now = provider.clock.now();
    let mut claims = issued.person.claims();
    for (name, value) in [
        ("iss", json!(provider.issuer)),
        ("aud", json!(CLIENT_ID)),
        ("iat", json!(now)),
        ("exp", json!(now.plus(Span::from_seconds(300)))),
        ("auth_time", json!(issued.picked)),
        ("amr", json!(["pwd"])),
    ] {
        claims.insert(name.to_owned(), value);
    }
    if let Some(nonce) = issued.asked.nonce {
        claims.insert("nonce".to_owned(), json!(nonce));
    }
    let id_token =
        provider.signer.sign(&claims).map_err(|_| ("server_error", "the token could not be signed"))?;
    let access_token = BASE64URL_NOPAD.encode(&entropy::bytes::<32>());
    Ok(json!({"access_token": access_token, "token_type": "Bearer", "expires_in": 300, "id_token": id_token}))
}

#[cfg(test)]
mod tests;
