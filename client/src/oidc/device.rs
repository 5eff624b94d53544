//! The device grant (RFC 8628): a code is shown here and typed in at the provider, in a browser on any machine, while
//! we ask whether that has happened. What the provider says is bounded first: how often, how long, where.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jit_ssh_proto::IssuerEntry;
use openidconnect::{
    DeviceCodeErrorResponse, DeviceCodeErrorResponseType, EmptyExtraDeviceAuthorizationFields, HttpRequest,
    RequestTokenError, Scope,
};
use url::Url;

use super::complaint::{self, OauthError, lying, nobody_came, refused};
use super::discovery::{Provider, exchange};
use super::{Freshness, Proof};
use crate::error::{Error, Result};
use crate::http::{FetchError, Http, check_address};
use crate::output::{Waiting, escape, escape_short, length, note};

/// A provider's answer to a device that wants a code.
type Details = openidconnect::DeviceAuthorizationResponse<EmptyExtraDeviceAuthorizationFields>;

/// How long a person may take, whatever the provider says.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// A provider is never asked more often than this, whatever it says.
const QUICKEST: Duration = Duration::from_secs(1);
/// A provider that wants to be asked less often than this wants not to be asked.
const SLOWEST: Duration = Duration::from_secs(60);
/// The longest code that anybody types.
const LONGEST_CODE: usize = 64;

/// Logs in and returns the ID token. It carries `nonce` if the provider knows what to do with one.
pub(super) fn log_in(
    http: &Http,
    provider: &Provider<'_>,
    nonce: &str,
    freshness: Freshness,
) -> Result<Proof> {
    log_in_waiting(http, provider, nonce, freshness, std::thread::sleep)
}

/// The same with another way to wait.
fn log_in_waiting(
    http: &Http,
    provider: &Provider<'_>,
    nonce: &str,
    freshness: Freshness,
    sleep: impl Fn(Duration),
) -> Result<Proof> {
    let issuer = provider.issuer;
    let client = provider.device_client().set_device_authorization_url(provider.device_endpoint()?);
    let mut request = client.exchange_device_code().add_extra_param("nonce", nonce);
    // `openidconnect` adds openid by itself here as well.
    for scope in issuer.scopes.iter().filter(|s| s.as_str() != "openid") {
        request = request.add_scope(Scope::new(scope.clone()));
    }
    if freshness == Freshness::Anew {
        request = request.add_extra_param("prompt", "login").add_extra_param("max_age", "0");
    }
    let details: Details = {
        let _waiting = Waiting::for_(format!("asking {} for a code", escape(&issuer.name)));
        let asked: std::result::Result<Details, OauthError> =
            request.request(&|request: HttpRequest| exchange(http, request));
        asked.map_err(|e| complaint::exchange(issuer, "device endpoint", &e))?
    };
    let shown = Shown::of(issuer, &details)?;
    note(&shown.text(&issuer.name));

    let name = escape(&issuer.name);
    let said = format!("waiting for your login at {name} with the code {}", shown.code);
    let waiting = Waiting::for_(said.clone());
    let deadline = Instant::now() + shown.patience;
    let trouble: RefCell<Option<String>> = RefCell::default();
    let answer = client.exchange_device_access_token(&details).set_max_backoff_interval(SLOWEST).request(
        &|request: HttpRequest| {
            let answer = exchange(http, request);
            *trouble.borrow_mut() = answer.as_ref().err().map(ToString::to_string);
            answer
        },
        |asked: Duration| {
            let pause = pause(asked, deadline.saturating_duration_since(Instant::now()));
            match trouble.borrow().as_deref() {
                Some(why) => waiting.say(format!("{said} ({why})")),
                None if asked > shown.interval => waiting.say(format!(
                    "{said} ({name} wants to be asked only every {})",
                    length(jit_ssh_proto::Span::from_seconds(asked.as_secs()))
                )),
                None => waiting.say(said.clone()),
            }
            sleep(pause);
        },
        Some(shown.patience),
    );
    drop(waiting);
    let answer = answer.map_err(|e| ended(issuer, &shown, &e))?;
    let (token, refresh) = answer.into_tokens();
    let token = token.ok_or_else(|| lying(issuer, "its token endpoint sent no ID token"))?;
    Proof::read(token)
        .and_then(|proof| if proof.nonce.is_some() { proof.with_nonce(nonce) } else { Ok(proof) })
        .map(|proof| proof.with_refresh(issuer, refresh))
        .map_err(|why| lying(issuer, why))
}

/// How long to wait before asking again: no longer than there is time, and never not at all.
fn pause(asked: Duration, left: Duration) -> Duration {
    asked.min(left).max(QUICKEST)
}

/// What a person is shown, and what bounds the wait.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    address: Url,
    /// The address with the code in it.
    complete: Option<Url>,
    code: String,
    interval: Duration,
    patience: Duration,
}

impl Shown {
    fn of(issuer: &IssuerEntry, details: &Details) -> Result<Self> {
        let page = |what: &str, url: Url| match check_address(&url) {
            Ok(()) => Ok(url),
            Err(e) => Err(lying(issuer, &format!("its {what} {} {e}", escape_short(url.as_str(), 200)))),
        };
        let address = page("verification_uri", details.verification_uri().url().clone())?;
        let complete = match details.verification_uri_complete() {
            None => None,
            Some(text) => {
                let url = Url::parse(text.secret());
                let url = url.map_err(|_| lying(issuer, "its verification_uri_complete is no URL"))?;
                Some(page("verification_uri_complete", url)?)
            }
        };
        let code = details.user_code().secret();
        let visible = |c: char| !jit_ssh_proto::is_invisible(c);
        if code.trim().is_empty() || code.chars().count() > LONGEST_CODE || !code.chars().all(visible) {
            return Err(lying(issuer, "it gave a code that nobody can type"));
        }
        if details.interval() > SLOWEST {
            return Err(lying(
                issuer,
                &format!("it wants to be asked only every {} s", details.interval().as_secs()),
            ));
        }
        Ok(Self {
            address,
            complete,
            code: code.clone(),
            interval: details.interval(),
            patience: details.expires_in().min(PATIENCE),
        })
    }

    fn text(&self, name: &str) -> String {
        let Self { address, complete, code, .. } = self;
        let mut text = format!(
            "To log in at {}, open this address in a browser on any machine:\n\n  {address}\n\nand enter the code\n\n  \
             {code}\n",
            escape(name)
        );
        if let Some(complete) = complete {
            let _ = write!(text, "\nor open this one and see that it shows the same code:\n\n  {complete}\n");
        }
        text
    }
}

type Ended = RequestTokenError<FetchError, DeviceCodeErrorResponse>;

/// Why there is no token.
fn ended(issuer: &IssuerEntry, shown: &Shown, error: &Ended) -> Error {
    let RequestTokenError::ServerResponse(response) = error else {
        return complaint::exchange(issuer, "token endpoint", error);
    };
    match response.error() {
        DeviceCodeErrorResponseType::ExpiredToken => nobody_came(issuer, shown.patience.as_secs()),
        DeviceCodeErrorResponseType::AccessDenied => refused(
            issuer,
            "access_denied",
            response.error_description().map_or("somebody declined it in the browser", String::as_str),
        ),
        DeviceCodeErrorResponseType::AuthorizationPending
        | DeviceCodeErrorResponseType::SlowDown
        | DeviceCodeErrorResponseType::Basic(_) => complaint::exchange(issuer, "token endpoint", error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use serde_json::{Value, json};

    use super::*;
    use crate::oidc::tests::issuer;

    fn details(change: &Value) -> std::result::Result<Details, serde_json::Error> {
        let mut answer = json!({
            "device_code": "secret", "user_code": "WDJB-MJHT", "verification_uri": "https://op/device",
            "expires_in": 600,
        });
        for (name, value) in change.as_object().unwrap() {
            answer[name] = value.clone();
        }
        serde_json::from_value(answer)
    }

    fn shown(change: &Value) -> Result<Shown> {
        Shown::of(&issuer("tv", "user", "device"), &details(change).unwrap())
    }

    #[test]
    fn what_a_device_endpoint_may_say() {
        let plain = shown(&json!({})).unwrap();
        assert_eq!(plain.interval, Duration::from_secs(5), "RFC 8628, 3.2");
        let text = plain.text("tv\u{1b}[2J");
        assert!(text.contains("  https://op/device\n") && text.contains("  WDJB-MJHT\n"), "{text}");
        assert!(
            !text.contains('\u{1b}') && !text.contains("same code") && !text.contains("secret"),
            "{text}"
        );
        let complete =
            shown(&json!({ "verification_uri_complete": "https://op/device?user_code=WDJB-MJHT" }));
        assert!(complete.unwrap().text("tv").contains("  https://op/device?user_code=WDJB-MJHT\n"));
        // The name that implementations had before the RFC.
        let old = json!({ "device_code": "d", "user_code": "u", "verification_url": "https://op/d", "expires_in": 1 });
        assert!(serde_json::from_value::<Details>(old).is_ok());
    }

    #[test]
    fn a_device_endpoint_that_lies() {
        for (lie, why) in [
            (json!({ "verification_uri": "http://op/device" }), "plain http to another machine"),
            (json!({ "verification_uri": "javascript:alert(1)" }), "not an https address"),
            (json!({ "verification_uri": "file:///etc/passwd" }), "not an https address"),
            (json!({ "verification_uri": "https://me:pw@op/device" }), "password"),
            (json!({ "verification_uri_complete": "http://op/device?c" }), "plain http"),
            (json!({ "verification_uri_complete": "device?c" }), "no URL"),
            (json!({ "verification_uri_complete": "data:text/html,x" }), "not an https address"),
            (json!({ "user_code": "" }), "nobody can type"),
            (json!({ "user_code": " " }), "nobody can type"),
            (json!({ "user_code": "x".repeat(65) }), "nobody can type"),
            (json!({ "user_code": "A\u{1b}[2JB" }), "nobody can type"),
            (json!({ "user_code": "A\u{202e}B" }), "nobody can type"),
            (json!({ "user_code": "A\nopen https://evil" }), "nobody can type"),
            (json!({ "interval": 61 }), "only every 61 s"),
            (json!({ "interval": u64::MAX }), "only every"),
        ] {
            let error = shown(&lie).unwrap_err();
            assert!(error.to_string().contains(why), "{lie}: {error}");
        }
        for no_answer in [
            json!({ "expires_in": -1 }),
            json!({ "expires_in": "600" }),
            json!({ "expires_in": null }),
            json!({ "interval": -5 }),
            json!({ "interval": 0.5 }),
            json!({ "verification_uri": "" }),
            json!({ "verification_uri": null }),
            json!({ "device_code": null }),
            json!({ "user_code": 1234 }),
        ] {
            assert!(details(&no_answer).is_err(), "{no_answer}");
        }
        // What a terminal would obey is written out by the URL itself.
        let odd = shown(&json!({ "verification_uri": "https://op/\u{1b}[2J\u{202e}" })).unwrap();
        assert!(odd.text("tv").is_ascii() && !odd.text("tv").contains('\u{1b}'));
    }

    #[test]
    fn no_provider_is_hammered_or_waited_for_without_end() {
        for (expires, patience) in [(0, 0), (600, 600), (901, 900), (u64::MAX, 900)] {
            let shown = shown(&json!({ "expires_in": expires, "interval": 0 })).unwrap();
            assert_eq!(shown.patience.as_secs(), patience);
        }
        let seconds = Duration::from_secs;
        assert_eq!(pause(Duration::ZERO, seconds(600)), QUICKEST);
        assert_eq!(pause(seconds(5), seconds(600)), seconds(5));
        assert_eq!(pause(seconds(50), seconds(7)), seconds(7));
        assert_eq!(pause(seconds(50), Duration::ZERO), QUICKEST);
    }

    /// A provider on loopback that gives these answers, one after the other, and then is gone.
    fn answering(answers: Vec<(u16, Value)>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let answer = |(status, body): (u16, Value)| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                let form = loop {
                    let read = stream.read(&mut buffer).unwrap();
                    request.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let Some((head, form)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| {
                        line.to_ascii_lowercase()
                            .strip_prefix("content-length:")
                            .map(|n| n.trim().parse::<usize>().unwrap())
                    });
                    if form.len() >= length.unwrap_or(0) {
                        break form.to_owned();
                    }
                };
                let body = body.to_string();
                write!(
                    stream,
                    "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
                form
            };
            answers.into_iter().map(answer).collect()
        });
        (url, asked)
    }

    /// RFC 8628, 3.5: five seconds more with each `slow_down`, from then on.
    #[test]
    fn who_is_asked_too_often_is_asked_less_often_from_then_on() {
        let no = |error: &str| (400, json!({ "error": error }));
        let given = {
            let payload = data_encoding::BASE64URL_NOPAD.encode(b"{}");
            json!({ "access_token": "a", "token_type": "Bearer", "id_token": format!("e30.{payload}.c2ln") })
        };
        let (url, asked) = answering(vec![
            (
                200,
                json!({ "device_code": "dc", "user_code": "U", "verification_uri": "http://127.0.0.1:9/device", "expires_in": 600, "interval": 2 }),
            ),
            no("authorization_pending"),
            no("slow_down"),
            no("authorization_pending"),
            no("slow_down"),
            no("slow_down"),
            no("authorization_pending"),
            (200, given),
        ]);
        let tv = IssuerEntry { url: url.clone(), ..issuer("tv", "user", "device") };
        let more = format!(",\"device_authorization_endpoint\":\"{url}/d\"");
        let document = crate::oidc::discovery::tests::document(&url, &format!("{url}/t"), &more);
        let provider = Provider::read(&tv, document.as_bytes()).unwrap();
        let waited = RefCell::new(Vec::new());
        let sleep = |pause: Duration| waited.borrow_mut().push(pause.as_secs());
        let proof = log_in_waiting(&Http::new(vec![]), &provider, "n", Freshness::AsItIs, sleep);
        assert!(proof.is_ok());
        assert_eq!(waited.into_inner(), [2, 7, 7, 12, 17, 17]);
        let forms = asked.join().unwrap();
        assert_eq!(forms.len(), 8);
        assert!(
            forms[1..]
                .iter()
                .all(|form| form.contains("device_code=dc") && form.contains("client_id=jit-ssh"))
        );
    }

    #[test]
    fn how_it_ends_is_said() {
        let shown = shown(&json!({})).unwrap();
        for (answer, said) in [
            (json!({ "error": "expired_token" }), "nobody logged in at tv within 10 minutes"),
            (json!({ "error": "access_denied" }), "(access_denied: somebody declined it in the browser)"),
            (json!({ "error": "access_denied", "error_description": "not\u{1b} you" }), "not\\u{1b} you"),
            (json!({ "error": "invalid_client" }), "refused the login (invalid_client)"),
            (json!({ "error": "teapot" }), "refused the login (teapot)"),
        ] {
            let response: DeviceCodeErrorResponse = serde_json::from_value(answer).unwrap();
            let error = ended(&issuer("tv", "user", "device"), &shown, &Ended::ServerResponse(response));
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
