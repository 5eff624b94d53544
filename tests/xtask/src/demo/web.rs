//! The smallest browser that can sign in at the development identity provider: HTTP/1.1 to loopback, cookies,
//! redirects, and a page with one form a person. It is no HTML parser: it reads what `jit-ssh-ca dev` writes.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longer answers than this are none of ours.
const LARGEST: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// A place on loopback: `http://127.0.0.1:PORT/path?query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    at: SocketAddr,
    path: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let rest = text.strip_prefix("http://").with_context(|| format!("{text} is not http://"))?;
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (at, path) = rest.split_at(split);
        let at: SocketAddr = at
            .replace("localhost", "127.0.0.1")
            .parse()
            .with_context(|| format!("{text} does not name an address and a port"))?;
        if !at.ip().is_loopback() {
            bail!("{text} is not on loopback, where the demo plays");
        }
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self { at, path: format!("{slash}{path}") })
    }

    /// Where a link on this page leads.
    fn join(&self, link: &str) -> Result<Self> {
        if link.contains("://") {
            return Self::parse(link);
        }
        let page = self.path.split('?').next().unwrap_or_default();
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = match link {
            "" => self.path.clone(),
            _ if link.starts_with('/') => link.to_owned(),
            _ if link.starts_with('?') => format!("{page}{link}"),
            _ => format!("{folder}/{link}"),
        };
        Ok(Self { at: self.at, path })
    }
}

/// An answer.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) body: String,
    headers: Vec<(String, String)>,
    url: Url,
}

impl Page {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A browser: cookies, kept for each place, and nothing else.
#[derive(Default)]
pub(crate) struct Browser {
    cookies: BTreeMap<SocketAddr, BTreeMap<String, String>>,
}

impl Browser {
    /// Opens the provider's page, picks a person on it and follows where that leads: to the client's own loopback
    /// address. The answer is the page that the client shows there.
    pub(crate) fn sign_in(&mut self, authorize: &str, person: &str) -> Result<Page> {
        let page = self.open(&Url::parse(authorize)?)?;
        if page.status != 200 {
            bail!("the provider answered {} instead of its page\n{}", page.status, page.body);
        }
        let form = form_for(&page.body, person)
            .with_context(|| format!("the provider's page offers no {person}\n{}", page.body))?;
        let answer = self.send("POST", &page.url.join(&form.action)?, Some(&form.encoded()))?;
        let page = self.follow(answer)?;
        if page.status != 200 {
            bail!("signing in as {person} ended with {}\n{}", page.status, page.body);
        }
        Ok(page)
    }

    /// Gets a page, following redirects.
    pub(crate) fn open(&mut self, url: &Url) -> Result<Page> {
        let page = self.send("GET", url, None)?;
        self.follow(page)
    }

    fn follow(&mut self, mut page: Page) -> Result<Page> {
        for _ in 0..8 {
            match (page.status, page.header("location")) {
                (301..=303 | 307 | 308, Some(location)) => {
                    let next = page.url.join(location)?;
                    page = self.send("GET", &next, None)?;
                }
                _ => return Ok(page),
            }
        }
        bail!("the redirects have no end");
    }

    fn send(&mut self, method: &str, url: &Url, form: Option<&str>) -> Result<Page> {
        let mut request =
            format!("{method} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", url.path, url.at);
        if let Some(cookies) = self.cookies.get(&url.at) {
            let cookies: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        if let Some(form) = form {
            request += &format!(
                "Origin: http://{}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                url.at,
                form.len()
            );
        }
        request += "\r\n";
        request += form.unwrap_or_default();
        let answer = exchange(url.at, request.as_bytes())
            .with_context(|| format!("http://{} does not answer as a web server does", url.at))?;
        let page = read_answer(&answer, url.clone())
            .with_context(|| format!("http://{}{} gave an answer that is not HTTP/1.1", url.at, url.path))?;
        let jar = self.cookies.entry(url.at).or_default();
        for (_, cookie) in page.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                jar.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        Ok(page)
    }
}

fn exchange(at: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;
    Ok(answer)
}

fn read_answer(answer: &[u8], url: Url) -> Option<Page> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body)? } else { body.to_owned() };
    Some(Page { status, body, headers, url })
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

/// A form, filled in.
#[derive(Debug, PartialEq, Eq)]
struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

impl Form {
    fn encoded(&self) -> String {
        let pairs = self.fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// The form that signs a person in: the one with a field or button `person=NAME`, and its hidden fields.
fn form_for(html: &str, person: &str) -> Option<Form> {
    html.split("<form").skip(1).find_map(|rest| {
        let form = rest.split("</form").next()?;
        let (head, inside) = form.split_once('>')?;
        let mut fields = Vec::new();
        let mut offered = false;
        for tag in inside.split('<').skip(1) {
            let (kind, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            if kind != "input" && kind != "button" {
                continue;
            }
            let (Some(name), Some(value)) = (attribute(attributes, "name"), attribute(attributes, "value"))
            else {
                continue;
            };
            if name == "person" {
                offered |= value == person;
            } else if attribute(attributes, "type").as_deref() == Some("hidden") {
                fields.push((name, value));
            }
        }
        fields.push(("person".to_owned(), person.to_owned()));
        offered.then(|| Form { action: attribute(head, "action").unwrap_or_default(), fields })
    })
}

/// The value of an attribute in the text between a tag's name and its end.
fn attribute(tag: &str, wanted: &str) -> Option<String> {
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once('=') {
        let name = before.split_whitespace().next_back().unwrap_or_default();
        let after = after.trim_start();
        let (value, next) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => after.strip_prefix(quote)?.split_once(quote)?,
            _ => after.split_at(after.find([' ', '\t', '\n', '>']).unwrap_or(after.len())),
        };
        if name == wanted {
            return Some(unescaped(value));
        }
        rest = next;
    }
    None
}

fn unescaped(text: &str) -> String {
    let plain =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&#x27;", "'")];
    plain.iter().fold(text.to_owned(), |text, (escape, to)| text.replace(escape, to)).replace("&amp;", "&")
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn places_are_on_loopback_or_refused() {
        for (text, path) in [
            ("http://127.0.0.1:80", "/"),
            ("http://127.0.0.1:80/a?b=c#d", "/a?b=c"),
            ("http://localhost:80?b", "/?b"),
            ("http://[::1]:80/a", "/a"),
        ] {
            assert_eq!(Url::parse(text).unwrap().path, path, "{text}");
        }
        for text in [
            "https://127.0.0.1:80/",
            "http://192.0.2.1:80/",
            "http://127.0.0.1/",
            "http://example.com:80/",
            "",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn links_lead_from_their_page() {
        let page = Url::parse("http://127.0.0.1:80/a/b?c").unwrap();
        for (link, path) in [
            ("/x", "/x"),
            ("x?y", "/a/x?y"),
            ("?y", "/a/b?y"),
            ("", "/a/b?c"),
            ("http://127.0.0.1:80/z", "/z"),
        ] {
            assert_eq!(page.join(link).unwrap().path, path, "{link}");
        }
        assert!(page.join("http://192.0.2.1:80/").is_err());
    }

    const PAGE: &str = r#"<h1>Who?</h1>
        <form method="post" action="/choose?a=1&amp;b=2"><input type="hidden" name="state" value="s &amp; &quot;t&quot;">
        <button name="person" value="bob">Bob</button><button name=person value=alice>Alice</button></form>
        <form action='/other' method=post><input type='hidden' name='x' value='y'/>
        <input type="text" name="typed" value="not sent"><input name="person" value="carol"></form>"#;

    #[test]
    fn the_form_of_a_person_is_found_and_filled_in() {
        let alice = form_for(PAGE, "alice").unwrap();
        assert_eq!(alice.action, "/choose?a=1&b=2");
        assert_eq!(alice.encoded(), "state=s%20%26%20%22t%22&person=alice");
        let carol = form_for(PAGE, "carol").unwrap();
        assert_eq!((carol.action.as_str(), carol.encoded().as_str()), ("/other", "x=y&person=carol"));
        for nobody in ["mallory", "ali", "", "Alice"] {
            assert_eq!(form_for(PAGE, nobody), None, "{nobody}");
        }
    }

    #[test]
    fn answers_in_chunks_are_put_together_and_bad_ones_refused() {
        assert_eq!(unchunk("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n").as_deref(), Some("abcde"));
        for bad in ["", "3\r\nab", "zz\r\nab\r\n", "3\r\nabcX", "3\r\nabc\r\n"] {
            assert_eq!(unchunk(bad), None, "{bad:?}");
        }
        let url = Url::parse("http://127.0.0.1:80/").unwrap();
        for bad in ["", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 \r\n\r\n", "HTTP/1.1 200 OK\r\n"] {
            assert!(read_answer(bad.as_bytes(), url.clone()).is_none(), "{bad:?}");
        }
    }

    /// Serves the given answers, one a connection, and gives back the requests.
    fn fake(answers: Vec<String>) -> (SocketAddr, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let served = thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = String::new();
                let mut buffer = [0; 4096];
                while !complete(&request) {
                    let read = stream.read(&mut buffer).unwrap();
                    request.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
                }
                stream.write_all(answer.replace("{at}", &at.to_string()).as_bytes()).unwrap();
                requests.push(request);
            }
            requests
        });
        (at, served)
    }

    fn complete(request: &str) -> bool {
        let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        body.len() == length.map_or(0, |length| length.parse().unwrap())
    }

    #[test]
    fn a_person_signs_in_and_ends_at_the_callback() {
        let (at, served) = fake(vec![
            format!("HTTP/1.1 200 OK\r\nSet-Cookie: sid=1; HttpOnly\r\n\r\n{PAGE}"),
            "HTTP/1.1 302 Found\r\nLocation: http://{at}/callback?code=c&state=s\r\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nDone\r\n0\r\n\r\n".into(),
        ]);
        let page = Browser::default().sign_in(&format!("http://{at}/authorize?x=y"), "alice").unwrap();
        assert_eq!((page.status, page.body.as_str()), (200, "Done"));
        let requests = served.join().unwrap();
        assert!(requests[0].starts_with("GET /authorize?x=y HTTP/1.1\r\n"), "{}", requests[0]);
        assert!(requests[1].starts_with("POST /choose?a=1&b=2 HTTP/1.1\r\n"), "{}", requests[1]);
        assert!(requests[1].contains("Cookie: sid=1\r\n"), "{}", requests[1]);
        assert!(requests[1].ends_with("\r\n\r\nstate=s%20%26%20%22t%22&person=alice"), "{}", requests[1]);
        assert!(requests[2].starts_with("GET /callback?code=c&state=s HTTP/1.1\r\n"), "{}", requests[2]);
    }

    #[test]
    fn trouble_is_said_not_followed() {
        let page = format!("HTTP/1.1 200 OK\r\n\r\n{PAGE}");
        let around = "HTTP/1.1 302 Found\r\nLocation: /round\r\n\r\n".to_owned();
        for (answers, said) in [
            (vec!["HTTP/1.1 400 Bad Request\r\n\r\nno such client".to_owned()], "no such client"),
            (vec!["HTTP/1.1 200 OK\r\n\r\n<p>nobody here</p>".to_owned()], "offers no alice"),
            (vec![page.clone(), "HTTP/1.1 403 Forbidden\r\n\r\nwrong state".to_owned()], "ended with 403"),
            (
                vec![page, "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1:80/\r\n\r\n".to_owned()],
                "not on loopback",
            ),
            (vec![around; 9], "no end"),
            (vec!["SSH-2.0-OpenSSH_9.2\r\n".to_owned()], "not HTTP/1.1"),
        ] {
            let (at, served) = fake(answers);
            let error = Browser::default().sign_in(&format!("http://{at}/authorize"), "alice").err().unwrap();
            assert!(format!("{error:#}").contains(said), "{error:#}");
            served.join().unwrap();
        }
    }
}
