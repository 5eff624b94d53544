//! A browser without a screen: cookies, redirects and HTML forms, enough to log somebody in at the providers of the
//! tests the way a person would, and to arrive at the client's loopback callback.

use anyhow::{Context, Result, bail};
use ureq::http::Response;
use ureq::{Agent, Body};
use url::Url;

/// More steps than any login takes.
const MAX_STEPS: usize = 20;

/// Follows `authorize_url` as `person` through sign-in, consent or person pages until the loopback callback has
/// answered.
///
/// # Errors
/// If a step fails, a page cannot be understood, or the provider sends an error to the callback (which is delivered
/// there first).
pub fn log_in(authorize_url: &str, person: &str) -> Result<()> {
    Browser::new().log_in(authorize_url, person)
}

/// Agrees to the code of a device as `person`: `address` has the code in it.
///
/// # Errors
/// If a step fails, or the last page does not say that it worked.
pub fn approve(address: &str, person: &str) -> Result<()> {
    match Browser::new().walk(address, person, None)? {
        End::Callback(to) => bail!("a device's login ends at {to}"),
        End::Said(text) if text.contains("Success") => Ok(()),
        End::Said(text) => bail!("the login ended with: {text}"),
    }
}

/// How a walk through a provider's pages ended.
enum End {
    /// At the client's callback, not yet visited.
    Callback(Url),
    /// With a page that has nothing to fill in.
    Said(String),
}

/// The client's callback is the first place that is not the provider's.
fn is_callback(provider: &Url, to: &Url) -> bool {
    to.path() == "/callback" && to.origin() != provider.origin()
}

enum Page {
    Moved(Url),
    Html(Url, String),
}

#[derive(Debug)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
}

/// A browser of somebody's own: who has logged in at a provider with it is known there.
#[derive(Debug)]
pub struct Browser {
    agent: Agent,
    cookies: Vec<Cookie>,
    /// How many forms with a password it has sent.
    passwords: usize,
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Browser {
    /// One that nobody has used.
    #[must_use]
    pub fn new() -> Self {
        let config = Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(std::time::Duration::from_secs(30)))
            .build();
        Self { agent: config.into(), cookies: Vec::new(), passwords: 0 }
    }

    /// Like [`log_in`], as whoever has used this browser before.
    ///
    /// # Errors
    /// The same.
    pub fn log_in(&mut self, authorize_url: &str, person: &str) -> Result<()> {
        let callback = self.redirected(authorize_url, person)?;
        self.arrive(&callback)
    }

    /// Goes as far as the address of the callback and does not open it: it is on another machine.
    ///
    /// # Errors
    /// If a step fails, or there is no such address.
    pub fn redirected(&mut self, authorize_url: &str, person: &str) -> Result<Url> {
        let start = Url::parse(authorize_url).context("the authorization URL is not a URL")?;
        match self.walk(authorize_url, person, Some(&start))? {
            End::Callback(to) => Ok(to),
            End::Said(text) => bail!("the page has no form: {text}"),
        }
    }

    /// How often it was asked for a password.
    #[must_use]
    pub fn passwords(&self) -> usize {
        self.passwords
    }

    /// Through sign-in, consent and person pages, to the callback of `provider` or to a page with nothing to fill in.
    fn walk(&mut self, start: &str, person: &str, provider: Option<&Url>) -> Result<End> {
        let start = Url::parse(start).context("the address is not a URL")?;
        let mut page = self.get(&start)?;
        for _ in 0..MAX_STEPS {
            page = match page {
                Page::Moved(to) if provider.is_some_and(|provider| is_callback(provider, &to)) => {
                    return Ok(End::Callback(to));
                }
                Page::Moved(to) => self.get(&to)?,
                Page::Html(at, html) => match Form::find(&html) {
                    Some(form) => self.submit(&at, &form, person)?,
                    None => return Ok(End::Said(format!("{}: {}", at.path(), text_of(&html)))),
                },
            };
        }
        bail!("the login did not end after {MAX_STEPS} steps")
    }

    fn get(&mut self, url: &Url) -> Result<Page> {
        let request = self.agent.get(url.as_str()).header("cookie", self.cookies_for(url));
        let response = request.call().with_context(|| format!("{url} does not answer"))?;
        self.read(url, response)
    }

    fn submit(&mut self, at: &Url, form: &Form, person: &str) -> Result<Page> {
        let url = at.join(&form.action).context("a form goes nowhere")?;
        let fields = form.filled_for(person)?;
        self.passwords += usize::from(form.fields.iter().any(|field| field.kind == "password"));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self
            .agent
            .post(url.as_str())
            .header("cookie", self.cookies_for(&url))
            .header("content-type", "application/x-www-form-urlencoded");
        let response = request.send(body).with_context(|| format!("{url} does not answer"))?;
        self.read(&url, response)
    }

    /// Delivers the answer to the client.
    fn arrive(&mut self, callback: &Url) -> Result<()> {
        let status = self
            .agent
            .get(callback.as_str())
            .call()
            .context("the client's callback does not answer")?
            .status();
        if let Some((_, error)) = callback.query_pairs().find(|(name, _)| name == "error") {
            bail!("the provider answered {error:?}");
        }
        if !status.is_success() && !status.is_redirection() {
            bail!("the client's callback answered {status}");
        }
        Ok(())
    }

    fn read(&mut self, url: &Url, mut response: Response<Body>) -> Result<Page> {
        for set in response.headers().get_all("set-cookie") {
            self.remember(url, set.to_str().context("a cookie is not text")?);
        }
        if let Some(location) = response.headers().get("location") {
            let location = location.to_str().context("a redirect is not text")?;
            return Ok(Page::Moved(url.join(location).context("a redirect goes nowhere")?));
        }
        let status = response.status();
        let html = response.body_mut().read_to_string()?;
        if !status.is_success() {
            bail!("{} answered {status}: {}", url.path(), text_of(&html));
        }
        Ok(Page::Html(url.clone(), html))
    }

    fn remember(&mut self, url: &Url, set: &str) {
        let mut parts = set.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let (mut path, mut gone) = ("/", value.is_empty());
        for attribute in parts {
            match attribute.split_once('=') {
                Some((key, value)) if key.eq_ignore_ascii_case("path") => path = value,
                Some((key, value)) if key.eq_ignore_ascii_case("max-age") => gone = value == "0",
                Some(_) | None => {}
            }
        }
        let host = url.host_str().unwrap_or_default();
        self.cookies
            .retain(|old| (old.host.as_str(), old.path.as_str(), old.name.as_str()) != (host, path, name));
        if !gone {
            let [host, path, name, value] = [host, path, name, value].map(str::to_owned);
            self.cookies.push(Cookie { host, path, name, value });
        }
    }

    fn cookies_for(&self, url: &Url) -> String {
        let fits = |cookie: &&Cookie| {
            let rest = url.path().strip_prefix(cookie.path.as_str());
            Some(cookie.host.as_str()) == url.host_str()
                && rest.is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('/') || cookie.path.ends_with('/')
                })
        };
        let pairs: Vec<_> = self
            .cookies
            .iter()
            .filter(fits)
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        pairs.join("; ")
    }
}

/// A form and what is in it.
#[derive(Debug, PartialEq)]
struct Form {
    action: String,
    fields: Vec<Field>,
}

#[derive(Debug, PartialEq)]
struct Field {
    button: bool,
    kind: String,
    name: String,
    value: String,
}

impl Form {
    /// The first form of a page.
    fn find(html: &str) -> Option<Self> {
        let (_, rest) = html.split_once("<form")?;
        let (inside, _) = rest.split_once("</form>")?;
        let (attributes, mut inside) = inside.split_once('>')?;
        let action = attribute(attributes, "action")?;
        let mut fields = Vec::new();
        while let Some((_, tag)) = inside.split_once('<') {
            let (tag, rest) = tag.split_once('>')?;
            inside = rest;
            let (element, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            let button = element == "button";
            if let (true, Some(name)) = (button || element == "input", attribute(attributes, "name")) {
                fields.push(Field {
                    button,
                    kind: attribute(attributes, "type").unwrap_or_default(),
                    name,
                    value: attribute(attributes, "value").unwrap_or_default(),
                });
            }
        }
        Some(Self { action, fields })
    }

    /// The fields as a person sends them: their name where there is room for one, or their own button.
    fn filled_for(&self, person: &str) -> Result<Vec<(&str, String)>> {
        let mut filled: Vec<(&str, String)> = Vec::new();
        for field in self.fields.iter().filter(|field| !field.button) {
            let value = match field.kind.as_str() {
                "hidden" => field.value.clone(),
                "password" => "any password".to_owned(),
                _ => person.to_owned(),
            };
            filled.push((&field.name, value));
        }
        let buttons: Vec<_> = self.fields.iter().filter(|field| field.button).collect();
        match buttons.iter().find(|button| button.value == person) {
            Some(button) => filled.push((&button.name, button.value.clone())),
            None if buttons.is_empty() => {}
            None => bail!("the page has no button for {person}"),
        }
        Ok(filled)
    }
}

/// The value of one attribute of a tag, in double quotes.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        if before.rsplit(char::is_whitespace).next() == Some(name) {
            return Some(unescape(value));
        }
        rest = after;
    }
    None
}

fn unescape(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    plain.replace("&amp;", "&")
}

/// What a page says, for an error message.
fn text_of(html: &str) -> String {
    let mut text = String::new();
    let body = html.split_once("<body").map_or(html, |(_, body)| body);
    for piece in body.split('<').skip(1) {
        let (_, said) = piece.split_once('>').unwrap_or_default();
        if !said.trim().is_empty() {
            text.push_str(said.trim());
            text.push(' ');
        }
    }
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use data_encoding::BASE64URL_NOPAD;
    use serde_json::Value;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::provider::NodeProvider;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    #[test]
    fn a_form_is_read_as_it_is_written() {
        let html = "<p>x</p><form autocomplete=\"off\" action=\"/a?b=1&amp;c=2\" method=\"post\">\
                    <input type=\"hidden\" name=\"ticket\" value=\"&lt;t&gt;\"/> <input required type=\"text\" name=\"login\" >\
                    <button name=\"person\" value=\"alice\"><strong>Alice</strong></button></form>";
        let form = Form::find(html).unwrap();
        assert_eq!(form.action, "/a?b=1&c=2");
        let fields = form.filled_for("alice").unwrap();
        let wanted = [("ticket", "<t>"), ("login", "alice"), ("person", "alice")];
        assert_eq!(fields, wanted.map(|(name, value)| (name, value.to_owned())));
        assert!(form.filled_for("mallory").is_err());
        assert!(Form::find("<p>nothing</p>").is_none());
    }

    /// What a native client does, and the query that its callback got.
    fn authorize(issuer: &str, client: &str, person: &str) -> (Result<()>, Url, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let callback = format!("http://{}/callback", listener.local_addr().unwrap());
        let got = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            line.split(' ').nth(1).unwrap().to_owned()
        });
        let mut discovery = ureq::get(format!("{issuer}/.well-known/openid-configuration")).call().unwrap();
        let discovery: Value = serde_json::from_str(&discovery.body_mut().read_to_string().unwrap()).unwrap();
        let mut url = Url::parse(discovery["authorization_endpoint"].as_str().unwrap()).unwrap();
        let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(VERIFIER));
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", &callback),
            ("scope", "openid profile email groups"),
            ("state", "s"),
            ("nonce", "n"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let result = log_in(url.as_str(), person);
        if result.is_err() {
            // Let the listener go.
            let _ = ureq::get(&callback).call();
        }
        (result, Url::parse(&callback).unwrap(), got.join().unwrap())
    }

    /// The header and claims of the token that a whole login gives.
    fn token(issuer: &str, client: &str, person: &str) -> (Value, Value) {
        let (result, callback, got) = authorize(issuer, client, person);
        result.unwrap();
        let got = callback.join(&got).unwrap();
        let code = got.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("redirect_uri", callback.as_str()),
            ("code", &code),
            ("code_verifier", VERIFIER),
        ];
        let mut answer = ureq::post(format!("{issuer}/token")).send_form(form).unwrap();
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        let parts: Vec<_> = answer["id_token"].as_str().unwrap().split('.').collect();
        let json =
            |part: &str| serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap();
        (json(parts[0]), json(parts[1]))
    }

    #[test]
    fn people_log_in_at_a_certified_provider_and_its_keys_rotate() {
        let provider = NodeProvider::start().unwrap();
        let (header, claims) = token(provider.issuer(), "jit-ssh", "alice");
        assert_eq!(header["alg"], "ES256");
        assert_eq!((&claims["iss"], &claims["aud"]), (&provider.issuer().into(), &"jit-ssh".into()));
        assert_eq!((&claims["sub"], &claims["nonce"]), (&"panva-alice".into(), &"n".into()));
        assert_eq!(
            (&claims["email_verified"], &claims["preferred_username"]),
            (&true.into(), &"alice".into())
        );
        assert_eq!(claims["groups"], serde_json::json!(["sre", "sre-leads"]));
        assert!(claims["auth_time"].is_u64(), "{claims}");

        assert_eq!(token(provider.issuer(), "jit-ssh", "eve").1["email_verified"], false);
        assert_eq!(token(provider.issuer(), "jit-ssh-rs256", "bob").0["alg"], "RS256");

        provider.rotate().unwrap();
        assert_ne!(token(provider.issuer(), "jit-ssh", "alice").0["kid"], header["kid"]);

        let before = provider.asked("/jwks").unwrap();
        provider.away().unwrap();
        assert!(ureq::get(format!("{}/jwks", provider.issuer())).call().is_err());
        provider.back().unwrap();
        assert!(ureq::get(format!("{}/jwks", provider.issuer())).call().is_ok());
        assert_eq!(provider.asked("/jwks").unwrap(), before + 2);
    }

    #[test]
    fn somebody_unknown_does_not_get_in() {
        let provider = NodeProvider::start().unwrap();
        let (result, _, got) = authorize(provider.issuer(), "jit-ssh", "mallory");
        assert!(result.is_err());
        assert!(!got.contains("code="), "{got}");
    }
}
