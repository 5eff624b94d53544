//! The loopback redirect (RFC 8252, 7.3): a listener on 127.0.0.1, on a random port unless the provider knows one only,
//! that takes one callback with the right state. Whatever else comes is refused and the wait goes on: other programs and pages can reach the port too.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::answer::{Answer, Expected};
use super::start::{Start, Visit};
use crate::error::{Error, Result};
use crate::output::escape;

/// A request line with headers is at most this long.
const MAX_REQUEST: usize = 16 * 1024;
/// Where the provider sends the browser back to.
pub(super) const PATH: &str = "/callback";
/// How long one connection may take to say what it wants.
const SLOWEST: Duration = Duration::from_secs(10);

/// A port of ours on 127.0.0.1.
pub(super) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// On a random port, or on the one that the provider of this name takes.
    pub(super) fn bind(port: Option<u16>, issuer: &str) -> Result<Self> {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
        let bound =
            bound.and_then(|listener| listener.local_addr().map(|address| Self { listener, address }));
        bound.map_err(|e| {
            Error::Local(match port {
                None => format!("cannot listen on 127.0.0.1 for the browser's answer: {e}"),
                Some(port) => format!(
                    "cannot listen on 127.0.0.1:{port}, the one place to which {} sends the browser back: {e}; end the \
                     program that has that port (another login may be waiting there), or log in with --paste",
                    escape(issuer)
                ),
            })
        })
    }

    /// The port's address, `127.0.0.1:PORT`.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends the first answer that is one to `sender`, for as long as this program runs. Browsers open connections
    /// ahead of need, so each is served on a thread of its own.
    pub(super) fn listen(self, expected: Expected, start: Arc<Start>, sender: Sender<Answer>) {
        let port = Port { host: self.address.to_string(), expected, start, taken: Arc::default() };
        std::thread::spawn(move || accept(&self.listener, &port, &sender));
    }
}

/// `http://127.0.0.1:PORT/callback`
pub(super) fn redirect_uri(address: SocketAddr) -> String {
    format!("http://{address}{PATH}")
}

/// What is known to each connection.
#[derive(Clone)]
struct Port {
    host: String,
    expected: Expected,
    start: Arc<Start>,
    /// Set by the first answer that is taken: there is no second.
    taken: Arc<AtomicBool>,
}

fn accept(listener: &TcpListener, port: &Port, sender: &Sender<Answer>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let (port, sender) = (port.clone(), sender.clone());
        // Where no thread can be had, because somebody opens connections without end, this one is dropped: the next may do.
        let _lost = std::thread::Builder::new().spawn(move || serve(stream, &port, &sender));
    }
}

fn serve(mut stream: TcpStream, port: &Port, sender: &Sender<Answer>) {
    let Some(head) = read_head(&mut stream) else { return };
    let first = || !port.taken.swap(true, Ordering::SeqCst);
    let mut more = String::new();
    let (status, page, answer) = match judge(&head, &port.host, &port.expected, &port.start) {
        Ok(Judged::SentOn(to, cookie)) => {
            more = format!("location: {to}\r\nset-cookie: {cookie}\r\n");
            ("303 See Other", "You are sent on to log in.".to_owned(), None)
        }
        // It is said whether or not there was an answer before.
        Ok(Judged::Answer(Answer::SomebodyElse)) => {
            ("403 Forbidden", WARNING.to_owned(), first().then_some(Answer::SomebodyElse))
        }
        Ok(Judged::Answer(_)) if !first() => (BAD, "This answer has come before.".to_owned(), None),
        Ok(Judged::Answer(answer)) => {
            let page = match &answer {
                Answer::Code(_) => {
                    "Your answer has reached jit-ssh. Close this window and go back to the terminal.".into()
                }
                Answer::Refused { error, description } => {
                    format!("The login was refused: {error}. {description}")
                }
                Answer::SomebodyElse => WARNING.to_owned(),
            };
            ("200 OK", page, Some(answer))
        }
        Err((status, why)) => (status, why.to_owned(), None),
    };
    let html = page_html(&page);
    // The browser may be gone; the answer counts all the same.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         content-security-policy: default-src 'none'\r\nreferrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\n\
         {more}connection: close\r\n\r\n{html}",
        html.len()
    )
    .and_then(|()| stream.flush());
    if let Some(answer) = answer {
        let _ = sender.send(answer);
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
const WARNING: &str = "This login was opened before, or in another browser: by you, or by somebody else on this machine who \
                       wants you to work under their name. It is ended. Close this window and go back to the terminal.";

/// What a visit comes to.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
enum Judged {
    /// The browser goes on to this address, with this cookie.
    SentOn(String, String),
    /// An answer, or the end of the wait for one.
    Answer(Answer),
}

/// Only a browser that was sent here by itself, as a page of its own, has business here: no script, frame or picture
/// of another page (their browsers say so, Fetch Metadata), and no name that a page made resolve to this machine.
fn judge(
    head: &[u8],
    host: &str,
    expected: &Expected,
    start: &Start,
) -> std::result::Result<Judged, Refusal> {
    let head = std::str::from_utf8(head).map_err(|_| (BAD, "This is not a request."))?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err((BAD, "This is not a request."));
    };
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |wanted: &str| -> Vec<&str> {
        let named = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| value.trim()).collect()
    };
    if header("host") != [host] {
        return Err((BAD, "This address is for jit-ssh only."));
    }
    let is_none_or = |name: &str, only: &str| header(name).iter().all(|value| *value == only);
    if !is_none_or("sec-fetch-mode", "navigate")
        || !is_none_or("sec-fetch-dest", "document")
        || !header("origin").is_empty()
    {
        return Err(("403 Forbidden", "Another page has no business here."));
    }
    // A browser that only looks ahead is not yet there.
    if !header("sec-purpose").is_empty() || !header("purpose").is_empty() {
        return Err(("403 Forbidden", "There is nothing to see ahead."));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if start.is_at(target) && method == "GET" {
        return match start.visit() {
            Visit::SentOn(to, cookie) => Ok(Judged::SentOn(to, cookie)),
            Visit::Again => Ok(Judged::Answer(Answer::SomebodyElse)),
            Visit::Nothing => Err(("404 Not Found", "There is nothing here.")),
        };
    }
    if path != PATH && !start.is_at(path) {
        return Err(("404 Not Found", "There is nothing here."));
    }
    if method != "GET" {
        return Err(("405 Method Not Allowed", "Only GET is understood here."));
    }
    if path != PATH {
        return Err(("404 Not Found", "There is nothing here."));
    }
    let answer = expected.read(query).map_err(|wrong| (BAD, wrong))?;
    // It has the state of this login, and so has whoever read it somewhere.
    Ok(Judged::Answer(if start.admits(&header("cookie")) { answer } else { Answer::SomebodyElse }))
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
    use std::sync::mpsc::channel;

    use super::super::answer::tests::expected;
    use super::super::start::tests::start;
    use super::*;

    const HOST: &str = "127.0.0.1:9";

    #[test]
    fn what_is_refused() {
        let host = "Host: 127.0.0.1:9";
        let good = "GET /callback?code=c&state=s1 HTTP/1.1";
        let with = |more: &str| format!("{host}\r\n{more}");
        for (line, headers, status) in [
            ("GET /callback?code=c&state=s2 HTTP/1.1", host, 400),
            ("GET /callback?code=c HTTP/1.1", host, 400),
            ("GET /callback?state=s1 HTTP/1.1", host, 400),
            ("GET /callback?code=c&state=s1&iss=https%3A%2F%2Fother HTTP/1.1", host, 400),
            ("GET /callback#code=c&state=s1 HTTP/1.1", host, 404),
            ("GET /?code=c&state=s1 HTTP/1.1", host, 404),
            ("GET /callback/?code=c&state=s1 HTTP/1.1", host, 404),
            ("GET //callback?code=c&state=s1 HTTP/1.1", host, 404),
            ("GET http://127.0.0.1:9/callback?code=c&state=s1 HTTP/1.1", host, 404),
            ("GET /favicon.ico HTTP/1.1", host, 404),
            ("POST /callback?code=c&state=s1 HTTP/1.1", host, 405),
            ("HEAD /callback?code=c&state=s1 HTTP/1.1", host, 405),
            ("OPTIONS /callback?code=c&state=s1 HTTP/1.1", host, 405),
            // A name that a page made resolve to this machine.
            (good, "Host: evil.example:9", 400),
            (good, "Host: 127.0.0.1:9\r\nhost: evil", 400),
            (good, "Host: localhost:9", 400),
            (good, "X: y", 400),
            ("GET /callback?code=c&state=s1", host, 400),
            ("GET  /callback?code=c&state=s1 HTTP/1.1", host, 400),
            ("GET /callback?code=c&state=s1 HTTP/2", host, 400),
            ("", host, 400),
            // Another page: its script, its picture, its frame, its form.
            (good, &with("Origin: https://evil.example"), 403),
            (good, &with("Origin: null"), 403),
            (good, &with("Origin: http://127.0.0.1:9"), 403),
            (good, &with("Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty"), 403),
            (good, &with("Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image"), 403),
            (good, &with("Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe"), 403),
            (good, &with("Sec-Fetch-Mode: navigate\r\nSec-Fetch-Mode: cors"), 403),
            ("POST /callback?code=c&state=s1 HTTP/1.1", &with("Origin: https://evil.example"), 403),
        ] {
            let head = format!("{line}\r\n{headers}\r\n\r\n");
            let (got, _) = judge(head.as_bytes(), HOST, &expected(), &start(9)).unwrap_err();
            assert!(got.starts_with(&status.to_string()), "{head}: {got}");
        }
        assert!(judge(b"\xff\xff\r\n\r\n", HOST, &expected(), &start(9)).is_err());
    }

    #[test]
    fn what_is_taken() {
        for more in [
            "",
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
            "Referer: https://op/\r\nCookie: a=b\r\n",
        ] {
            let head = format!("GET /callback?code=a%2Fb&state=s1 HTTP/1.1\r\nhost: {HOST}\r\n{more}\r\n");
            let judged = judge(head.as_bytes(), HOST, &expected(), &start(9));
            assert!(judged.unwrap() == Judged::Answer(Answer::Code("a/b".into())));
        }
    }

    #[test]
    fn the_start_page_takes_one_visitor_and_the_answer_is_theirs() {
        let page = start(9);
        let path = page.address().strip_prefix("http://127.0.0.1:9").unwrap().to_owned();
        let judged = |line: &str, more: &str| {
            let head = format!("{line} HTTP/1.1\r\nhost: {HOST}\r\n{more}\r\n");
            judge(head.as_bytes(), HOST, &expected(), &page)
        };
        let visit = format!("GET {path}");
        let answer = "GET /callback?code=c&state=s1";
        let somebody_else = Judged::Answer(Answer::SomebodyElse);
        assert!(judged(&visit, "").is_err(), "not offered");
        page.offer();
        // What is no visit spoils none.
        for (line, more, status) in [
            (format!("HEAD {path}"), "", 405),
            (format!("POST {path}"), "", 405),
            (format!("{visit}?x=y"), "", 404),
            (format!("{visit}/"), "", 404),
            ("GET /start/".to_owned(), "", 404),
            (format!("GET /start/{}", "A".repeat(43)), "", 404),
            (visit.clone(), "Origin: https://evil.example\r\n", 403),
            (visit.clone(), "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n", 403),
            (visit.clone(), "Sec-Purpose: prefetch\r\n", 403),
            (visit.clone(), "Purpose: prefetch\r\n", 403),
            (visit.clone(), "Host: evil.example\r\n", 400),
        ] {
            let (got, _) = judged(&line, more).unwrap_err();
            assert!(got.starts_with(&status.to_string()), "{line}: {got}");
        }
        // Whoever has the state from elsewhere, before and after the visit.
        assert!(judged(answer, "").unwrap() == somebody_else);
        let Judged::SentOn(to, set) = judged(&visit, "Sec-Fetch-Mode: navigate\r\n").unwrap() else {
            panic!("the first visit")
        };
        assert_eq!(to, "https://op/authorize?state=s1");
        let cookie = set.split(';').next().unwrap();
        for more in [String::new(), "Cookie: jit-ssh-9=guess\r\n".into(), format!("Cookie: x{cookie}\r\n")] {
            assert!(judged(answer, &more).unwrap() == somebody_else, "{more}");
        }
        assert!(judged("GET /callback?code=c&state=s2", "").is_err(), "without the state it is nobody's");
        assert!(
            judged(answer, &format!("Cookie: a=b; {cookie}\r\n")).unwrap()
                == Judged::Answer(Answer::Code("c".into()))
        );
        assert!(judged(&visit, "").unwrap() == somebody_else, "a second visit");
    }

    #[test]
    fn somebody_else_is_warned_of_and_ends_the_wait() {
        let listener = Listener::bind(None, "corp").unwrap();
        let address = listener.address();
        let page = Arc::new(start(address.port()));
        page.offer();
        let (sender, answers) = channel();
        listener.listen(expected(), Arc::clone(&page), sender);
        let path = page.address().strip_prefix(&format!("http://{address}")).unwrap().to_owned();
        let sent_on = get(address, &path);
        assert!(sent_on.starts_with("HTTP/1.1 303"), "{sent_on}");
        assert!(
            sent_on.contains("\r\nlocation: https://op/authorize?state=s1\r\nset-cookie: jit-ssh-"),
            "{sent_on}"
        );
        assert!(answers.try_recv().is_err());
        let again = get(address, &path);
        assert!(
            again.starts_with("HTTP/1.1 403") && again.contains("somebody else on this machine"),
            "{again}"
        );
        assert!(!again.contains("op/authorize") && !again.contains("set-cookie"), "{again}");
        assert!(answers.recv().unwrap() == Answer::SomebodyElse);
        // Whatever comes now is too late.
        assert!(get(address, "/callback?code=c&state=s1").starts_with("HTTP/1.1 403"));
        assert!(answers.try_recv().is_err());
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
        let listener = Listener::bind(None, "corp").unwrap();
        let address = listener.address();
        let (sender, answers) = channel();
        listener.listen(expected(), Arc::new(start(address.port())), sender);
        let _idle = TcpStream::connect(address).unwrap();
        // Whoever else is on this machine may try: without the state it is nobody's answer.
        for (target, status) in [
            ("/callback?code=stolen&state=guess", "400"),
            ("/callback?error=access_denied&state=guess", "400"),
            ("/favicon.ico", "404"),
        ] {
            let page = get(address, target);
            assert!(page.starts_with(&format!("HTTP/1.1 {status}")), "{page}");
            assert!(!page.contains("s1") && !page.contains("stolen"), "{page}");
        }
        assert!(answers.try_recv().is_err());
        let page = get(address, "/callback?code=secret-code&state=s1");
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        for secret in ["secret-code", "s1"] {
            assert!(!page.contains(secret), "{page}");
        }
        let kept_away = "cache-control: no-store\r\ncontent-security-policy: default-src 'none'\r\nreferrer-policy: no-referrer";
        assert!(page.contains(kept_away), "{page}");
        assert!(answers.recv().unwrap() == Answer::Code("secret-code".into()));
        // The port is still ours, and takes no second answer, not even another one.
        for target in ["/callback?code=secret-code&state=s1", "/callback?error=e&state=s1"] {
            assert!(get(address, target).starts_with("HTTP/1.1 400"));
        }
        assert!(answers.try_recv().is_err());
    }

    /// Other users of this machine can reach the port too: they keep connections open, guess, and are never taken for the
    /// browser; of those who know the state, the first alone is taken.
    #[test]
    fn of_many_who_race_for_the_callback_one_is_taken_and_the_others_hear_no() {
        let listener = Listener::bind(None, "corp").unwrap();
        let address = listener.address();
        let (sender, answers) = channel();
        listener.listen(expected(), Arc::new(start(address.port())), sender);
        let idle: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
        let guessing = std::thread::spawn(move || {
            let guess = |n: usize| get(address, &format!("/callback?code=stolen&state=guess-{n}"));
            (0..100).map(guess).all(|page| page.starts_with("HTTP/1.1 400"))
        });
        let racing: Vec<_> = (0..16)
            .map(|n| std::thread::spawn(move || get(address, &format!("/callback?code=c{n}&state=s1"))))
            .collect();
        let pages: Vec<String> = racing.into_iter().map(|one| one.join().unwrap()).collect();
        let taken: Vec<usize> = (0..16).filter(|n| pages[*n].starts_with("HTTP/1.1 200")).collect();
        assert_eq!(taken.len(), 1, "{pages:?}");
        assert!(pages.iter().filter(|page| page.contains("has come before")).count() == 15, "{pages:?}");
        assert!(answers.recv().unwrap() == Answer::Code(format!("c{}", taken[0])));
        assert!(guessing.join().unwrap());
        assert!(answers.try_recv().is_err());
        drop(idle);
    }

    #[test]
    fn a_refusal_is_shown_escaped_and_ends_the_wait() {
        let listener = Listener::bind(None, "corp").unwrap();
        let address = listener.address();
        let (sender, answers) = channel();
        listener.listen(expected(), Arc::new(start(address.port())), sender);
        let page = get(address, "/callback?error=%3Cscript%3E&error_description=%26%22%27&state=s1");
        assert!(page.contains("refused: &lt;script&gt;. &amp;&quot;&#39;</p>"), "{page}");
        assert!(
            answers.recv().unwrap()
                == Answer::Refused { error: "<script>".into(), description: "&\"'".into() }
        );
    }

    #[test]
    fn a_port_that_another_program_has_is_not_ours() {
        let theirs = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = theirs.local_addr().unwrap().port();
        let ours = Listener::bind(None, "corp").unwrap();
        assert_ne!(ours.address().port(), port);
        // Where the provider knows one port only, it is that one or none.
        let refused = Listener::bind(Some(port), "co\u{1b}rp").map(drop).unwrap_err().to_string();
        for said in [&format!("127.0.0.1:{port}"), "another login may be waiting", "--paste", "co\\u{1b}rp"] {
            assert!(refused.contains(said), "{refused}");
        }
        drop(theirs);
        assert_eq!(Listener::bind(Some(port), "corp").unwrap().address().port(), port);
        // Nor can another program have ours while we listen.
        assert!(TcpListener::bind(ours.address()).is_err());
    }
}
