//! The loopback redirect (RFC 8252, 7.3): a listener on a random port of 127.0.0.1 that takes one callback with the
//! right state. Whatever else comes is refused and the wait goes on: other programs and pages can reach the port too.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use url::form_urlencoded;

use crate::error::{Error, Result};

/// A request line with headers is at most this long.
const MAX_REQUEST: usize = 16 * 1024;
/// How long one connection may take to say what it wants.
const SLOWEST: Duration = Duration::from_secs(10);

/// What came back from the provider.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Callback {
    /// The authorization code.
    Code(String),
    /// The provider's refusal.
    Refused {
        /// OAuth's error code.
        error: String,
        /// What the provider says of it.
        description: String,
    },
}

/// A port of ours on 127.0.0.1.
pub(super) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// On a random port.
    pub(super) fn bind() -> Result<Self> {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let bound =
            bound.and_then(|listener| listener.local_addr().map(|address| Self { listener, address }));
        bound.map_err(|e| Error::Local(format!("cannot listen on 127.0.0.1 for the browser's answer: {e}")))
    }

    /// `http://127.0.0.1:PORT/callback`
    pub(super) fn redirect_uri(&self) -> String {
        format!("http://{}/callback", self.address)
    }

    /// Waits for the callback with this state until `deadline`; none if it does not come. Browsers open connections
    /// ahead of need, so each is served on a thread of its own.
    pub(super) fn wait(self, state: &str, issuer: &str, deadline: Instant) -> Option<Callback> {
        let (sender, receiver) = channel();
        let expected = Expected {
            host: self.address.to_string(),
            state: state.to_owned(),
            issuer: issuer.to_owned(),
            taken: Arc::default(),
        };
        std::thread::spawn(move || accept(&self.listener, &expected, &sender));
        receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }
}

/// What a callback must carry.
#[derive(Clone)]
struct Expected {
    host: String,
    state: String,
    issuer: String,
    /// Set by the first callback that is taken: there is no second.
    taken: Arc<AtomicBool>,
}

fn accept(listener: &TcpListener, expected: &Expected, sender: &Sender<Callback>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let (expected, sender) = (expected.clone(), sender.clone());
        std::thread::spawn(move || serve(stream, &expected, &sender));
    }
}

fn serve(mut stream: TcpStream, expected: &Expected, sender: &Sender<Callback>) {
    let Some(head) = read_head(&mut stream) else { return };
    let judged = judge(&head, expected).and_then(|callback| {
        let first = !expected.taken.swap(true, Ordering::SeqCst);
        if first { Ok(callback) } else { Err((BAD, "This answer has come before.")) }
    });
    let (status, page, callback) = match judged {
        Ok(callback) => {
            let page = match &callback {
                Callback::Code(_) => {
                    "Your answer has reached jit-ssh. Close this window and go back to the terminal.".into()
                }
                Callback::Refused { error, description } => {
                    format!("The login was refused: {error}. {description}")
                }
            };
            ("200 OK", page, Some(callback))
        }
        Err((status, why)) => (status, why.to_owned(), None),
    };
    let html = page_html(&page);
    // The browser may be gone; the answer counts all the same.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         content-security-policy: default-src 'none'\r\nreferrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\n\
         connection: close\r\n\r\n{html}",
        html.len()
    )
    .and_then(|()| stream.flush());
    if let Some(callback) = callback {
        let _ = sender.send(callback);
    }
}

fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let deadline = Instant::now() + SLOWEST;
    stream.set_write_timeout(Some(SLOWEST)).ok()?;
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        let left = deadline.checked_duration_since(Instant::now()).filter(|d| !d.is_zero())?;
        stream.set_read_timeout(Some(left)).ok()?;
        let read = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        head.extend_from_slice(buffer.get(..read)?);
        if head.len() > MAX_REQUEST {
            return None;
        }
    }
    Some(head)
}

type Refusal = (&'static str, &'static str);
const BAD: &str = "400 Bad Request";

fn judge(head: &[u8], expected: &Expected) -> std::result::Result<Callback, Refusal> {
    let head = std::str::from_utf8(head).map_err(|_| (BAD, "This is not a request."))?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err((BAD, "This is not a request."));
    };
    // A page that made its own name resolve to this machine must not get through.
    let hosts: Vec<&str> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim())
        .collect();
    if hosts != [expected.host.as_str()] {
        return Err((BAD, "This address is for jit-ssh only."));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != "/callback" {
        return Err(("404 Not Found", "There is nothing here."));
    }
    if method != "GET" {
        return Err(("405 Method Not Allowed", "Only GET is understood here."));
    }
    let one = |name: &str| -> std::result::Result<Option<String>, Refusal> {
        let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n == name).map(|(_, v)| v);
        match (values.next(), values.next()) {
            (value, None) => Ok(value.map(std::borrow::Cow::into_owned)),
            (_, Some(_)) => Err((BAD, "A parameter is there twice.")),
        }
    };
    if one("state")?.as_deref() != Some(expected.state.as_str()) {
        return Err((BAD, "This answer belongs to another login. Start again from the terminal."));
    }
    // RFC 9207: a provider that names itself must be the one that was asked.
    if one("iss")?.is_some_and(|iss| iss != expected.issuer) {
        return Err((
            BAD,
            "This answer comes from another identity provider. Start again from the terminal.",
        ));
    }
    match (one("code")?, one("error")?) {
        (Some(code), None) if !code.is_empty() => Ok(Callback::Code(code)),
        (None, Some(error)) => {
            Ok(Callback::Refused { error, description: one("error_description")?.unwrap_or_default() })
        }
        (Some(_) | None, Some(_) | None) => Err((BAD, "This answer has neither a code nor an error.")),
    }
}

fn page_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().take(1000) {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>jit-ssh</title><p>{escaped}</p></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected {
            host: "127.0.0.1:9".into(),
            state: "s1".into(),
            issuer: "https://op".into(),
            taken: Arc::default(),
        }
    }

    #[test]
    fn what_is_refused() {
        let host = "Host: 127.0.0.1:9";
        for (line, headers, status) in [
            ("GET /callback?code=c&state=s2 HTTP/1.1", host, 400),
            ("GET /callback?code=c HTTP/1.1", host, 400),
            ("GET /callback?code=c&state=s1&state=s1 HTTP/1.1", host, 400),
            ("GET /callback?code=c&state=s1&state=s2 HTTP/1.1", host, 400),
            ("GET /callback?code=c&code=d&state=s1 HTTP/1.1", host, 400),
            ("GET /callback?code=c&error=e&state=s1 HTTP/1.1", host, 400),
            ("GET /callback?code=&state=s1 HTTP/1.1", host, 400),
            ("GET /callback?state=s1 HTTP/1.1", host, 400),
            ("GET /callback?code=c&state=s1&iss=https%3A%2F%2Fother HTTP/1.1", host, 400),
            ("GET /callback?error=e&state=s2 HTTP/1.1", host, 400),
            ("GET /?code=c&state=s1 HTTP/1.1", host, 404),
            ("GET /callback/?code=c&state=s1 HTTP/1.1", host, 404),
            ("GET /favicon.ico HTTP/1.1", host, 404),
            ("POST /callback?code=c&state=s1 HTTP/1.1", host, 405),
            ("GET /callback?code=c&state=s1 HTTP/1.1", "Host: evil.example:9", 400),
            ("GET /callback?code=c&state=s1 HTTP/1.1", "Host: 127.0.0.1:9\r\nhost: evil", 400),
            ("GET /callback?code=c&state=s1 HTTP/1.1", "X: y", 400),
            ("GET /callback?code=c&state=s1", host, 400),
            ("", host, 400),
        ] {
            let head = format!("{line}\r\n{headers}\r\n\r\n");
            let (got, _) = judge(head.as_bytes(), &expected()).unwrap_err();
            assert!(got.starts_with(&status.to_string()), "{head}: {got}");
        }
        assert!(judge(b"\xff\xff\r\n\r\n", &expected()).is_err());
    }

    #[test]
    fn what_is_taken() {
        let taken = |query: &str| {
            let head = format!("GET /callback?{query} HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\r\n");
            judge(head.as_bytes(), &expected()).unwrap()
        };
        assert_eq!(taken("code=a%2Fb&state=s1"), Callback::Code("a/b".into()));
        assert_eq!(taken("state=s1&iss=https%3A%2F%2Fop&code=c"), Callback::Code("c".into()));
        assert_eq!(
            taken("error=access_denied&error_description=no+way&state=s1"),
            Callback::Refused { error: "access_denied".into(), description: "no way".into() }
        );
    }

    #[test]
    fn pages_are_escaped() {
        let page = page_html("<script>alert('x')</script>&\"");
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"), "{page}");
    }

    fn get(address: SocketAddr, query: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {query} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn wrong_answers_do_not_end_the_wait_and_idle_connections_do_not_block_it() {
        let listener = Listener::bind().unwrap();
        let address = listener.address;
        let browser = std::thread::spawn(move || {
            let _idle = TcpStream::connect(address).unwrap();
            assert!(get(address, "/callback?code=stolen&state=guess").starts_with("HTTP/1.1 400"));
            assert!(get(address, "/favicon.ico").starts_with("HTTP/1.1 404"));
            let page = get(address, "/callback?code=secret-code&state=s1");
            assert!(page.starts_with("HTTP/1.1 200") && !page.contains("secret-code"), "{page}");
        });
        let callback = listener.wait("s1", "https://op", Instant::now() + Duration::from_secs(60));
        assert_eq!(callback, Some(Callback::Code("secret-code".into())));
        browser.join().unwrap();
        // The port is still ours, and takes no second answer.
        assert!(get(address, "/callback?code=secret-code&state=s1").starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn nobody_comes() {
        assert_eq!(Listener::bind().unwrap().wait("s", "i", Instant::now()), None);
    }
}
