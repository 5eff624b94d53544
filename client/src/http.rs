//! HTTP as far as this program needs it: one bounded exchange, no redirects, rustls with ring and the system's
//! roots (and a file of one's own), plain HTTP to loopback only. Knows nothing of the CA or of OpenID Connect.

use std::cell::OnceCell;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use jit_ssh_proto::Timestamp;
use ureq::http::{Request, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use url::{Host, Url};

/// No answer that is read is larger.
const MAX_BODY: u64 = 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(30);

/// A client. TLS roots are read when they are first needed.
pub(crate) struct Http {
    own_roots: Vec<Certificate<'static>>,
    tls: OnceCell<ureq::Agent>,
    tls_loopback: OnceCell<ureq::Agent>,
    plain_loopback: OnceCell<ureq::Agent>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The media type, without parameters.
    pub(crate) media_type: String,
    /// The peer's clock, if it told.
    pub(crate) date: Option<Timestamp>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// An answer that has begun.
pub(crate) struct Opened {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The media type, without parameters.
    pub(crate) media_type: String,
    /// The peer's clock, if it told.
    pub(crate) date: Option<Timestamp>,
    /// The rest, as it comes.
    pub(crate) body: Box<dyn Read>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// Not an address that may be called.
    #[error("{0}")]
    Address(String),
    /// The peer cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The peer's certificate or TLS is not acceptable.
    #[error("{0}")]
    Tls(String),
    /// What came back is not acceptable HTTP.
    #[error("{0}")]
    Answer(String),
}

/// Refuses whatever is not https, or http to this machine, and what has no business in an address.
pub(crate) fn check_address(url: &Url) -> Result<(), String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name or password in it: leave them out".into());
    }
    if url.fragment().is_some() {
        return Err("has a fragment (#…): leave it out".into());
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        "http" => Err("is plain http to another machine: use https".into()),
        _ => Err("is not an https address".into()),
    }
}

/// Whether the address is this machine's own.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The certificates of a PEM file.
pub(crate) fn roots_from_pem(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => return Err("holds something besides certificates: give certificates only".into()),
            Err(_) => return Err("is not PEM: give certificates as -----BEGIN CERTIFICATE-----".into()),
        }
    }
    if certificates.is_empty() {
        Err("holds no certificate: give a PEM file of certificates".into())
    } else {
        Ok(certificates)
    }
}

impl Http {
    /// A client that trusts the system's roots and these.
    pub(crate) fn new(own_roots: Vec<Certificate<'static>>) -> Self {
        Self {
            own_roots,
            tls: OnceCell::new(),
            tls_loopback: OnceCell::new(),
            plain_loopback: OnceCell::new(),
        }
    }

    /// One exchange, whose answer is small.
    pub(crate) fn call(&self, request: Request<Vec<u8>>) -> Result<Answer, FetchError> {
        self.call_bounded(request, MAX_BODY)
    }

    /// One exchange, whose answer is no larger than that.
    pub(crate) fn call_bounded(&self, request: Request<Vec<u8>>, limit: u64) -> Result<Answer, FetchError> {
        let place = place(request.uri());
        let Opened { status, media_type, date, body } = self.open(request, Some(WHOLE))?;
        let mut bytes = Vec::new();
        let read = body.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|e| FetchError::Unreachable(format!("{place} broke off its answer ({e}): try again")))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
            return Err(FetchError::Answer(format!("{place} answers with more than is accepted")));
        }
        Ok(Answer { status, media_type, date, body: bytes })
    }

    /// Begins an exchange and leaves the answer's body to be read. `whole` bounds all of it; without, only how long
    /// the answer may take to begin.
    pub(crate) fn open(
        &self,
        request: Request<Vec<u8>>,
        whole: Option<Duration>,
    ) -> Result<Opened, FetchError> {
        let url = Url::parse(&request.uri().to_string())
            .map_err(|_| FetchError::Address("the address is not a URL".into()))?;
        check_address(&url).map_err(|e| FetchError::Address(format!("{url} {e}")))?;
        let agent = match (url.scheme(), is_loopback(&url)) {
            ("https", false) => self.tls.get_or_init(|| agent(Some(self.tls_config()), false)),
            ("https", true) => self.tls_loopback.get_or_init(|| agent(Some(self.tls_config()), true)),
            (_, _) => self.plain_loopback.get_or_init(|| agent(None, true)),
        };
        let place = place(request.uri());
        let request =
            agent.configure_request(request).timeout_global(whole).timeout_recv_response(Some(WHOLE)).build();
        let response = agent.run(request).map_err(|e| explain(&place, &e))?;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let media_type = header("content-type")
            .and_then(|v| v.split(';').next())
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let date = header("date").and_then(http_date);
        let status = response.status().as_u16();
        Ok(Opened { status, media_type, date, body: Box::new(response.into_body().into_reader()) })
    }

    fn tls_config(&self) -> TlsConfig {
        // Roots that cannot be read are missing roots: the handshake says what it misses.
        let system = rustls_native_certs::load_native_certs().certs;
        let system = system.into_iter().map(|der| Certificate::from_der(&der).to_owned());
        TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::from(system.chain(self.own_roots.iter().cloned())))
            .build()
    }
}

fn agent(tls: Option<TlsConfig>, loopback: bool) -> ureq::Agent {
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("jit-ssh/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(WHOLE));
    if let Some(tls) = tls {
        config = config.https_only(true).tls_config(tls);
    }
    if loopback {
        // A proxy has no part in talking to oneself.
        config = config.proxy(None);
    }
    config.build().new_agent()
}

fn place(uri: &Uri) -> String {
    format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |a| a.as_str()))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "ureq's errors are non-exhaustive")]
fn explain(place: &str, error: &ureq::Error) -> FetchError {
    match error {
        ureq::Error::HostNotFound => {
            FetchError::Unreachable(format!("{place} cannot be found: check the name and the network"))
        }
        ureq::Error::Timeout(_) => FetchError::Unreachable(format!(
            "{place} did not answer in time: check that it runs and the network between"
        )),
        ureq::Error::Rustls(e) => tls(place, e),
        ureq::Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => tls(place, inner),
            None => FetchError::Unreachable(format!(
                "{place} cannot be reached ({e}): check the address, that it runs, and the network between"
            )),
        },
        ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
            FetchError::Unreachable(format!(
                "{place} cannot be reached ({error}): check the network and any proxy"
            ))
        }
        ureq::Error::BodyExceedsLimit(_) => {
            FetchError::Answer(format!("{place} answers with more than is accepted"))
        }
        other => FetchError::Answer(format!("{place} does not answer as a web server should ({other})")),
    }
}

fn tls(place: &str, what: &rustls::Error) -> FetchError {
    // What answered is no TLS server at all: its certificate is not the matter.
    if matches!(what, rustls::Error::InvalidMessage(_)) {
        return FetchError::Answer(format!(
            "{place} does not speak TLS: check the port, and https or http in the address"
        ));
    }
    FetchError::Tls(format!(
        "the TLS certificate of {place} is not accepted ({what}): if it comes from a CA of your own, run jit-ssh setup \
         with --ca-cert FILE"
    ))
}

/// RFC 9110, 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    u64::try_from(time.as_second()).ok().map(Timestamp::from_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    #[test]
    fn addresses() {
        for good in
            ["https://ca.example.com", "http://127.0.0.1:8080/x", "http://[::1]:1", "http://localhost:9"]
        {
            assert_eq!(check_address(&Url::parse(good).unwrap()), Ok(()), "{good}");
        }
        for bad in [
            "http://ca.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "ftp://localhost",
            "file:///etc/passwd",
            "https://me@ca.example.com",
            "https://me:pw@ca.example.com",
            "https://ca.example.com/#x",
        ] {
            assert!(check_address(&Url::parse(bad).unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn roots() {
        for bad in ["", "x", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
            assert!(roots_from_pem(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp::from_seconds(784_111_777)));
        for bad in ["", "yesterday", "Sun, 06 Nov 1894 08:49:37 GMT"] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }

    fn answered(answer: &'static [u8]) -> Result<Answer, FetchError> {
        answered_to("http", answer)
    }

    fn answered_to(scheme: &str, answer: &'static [u8]) -> Result<Answer, FetchError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0_u8; 4096];
            let _ = stream.read(&mut buffer).unwrap();
            let _ = stream.write_all(answer);
        });
        let result = Http::new(vec![]).call(Request::get(url).body(vec![]).unwrap());
        server.join().unwrap();
        result
    }

    #[test]
    fn redirects_are_not_followed_and_statuses_are_no_errors() {
        let answer = answered(
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\ncontent-type: Text/HTML; charset=x\r\n\r\n",
        )
        .unwrap();
        assert_eq!((answer.status, answer.media_type.as_str()), (302, "text/html"));
        assert_eq!(answered(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno").unwrap().body, b"no");
    }

    #[test]
    fn what_is_no_answer() {
        assert!(matches!(
            answered(b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n"),
            Err(FetchError::Answer(_) | FetchError::Unreachable(_))
        ));
        assert!(answered(b"SSH-2.0-OpenSSH_9.2\r\n").is_err());
        assert!(answered(b"").is_err());
        let Err(FetchError::Answer(why)) = answered_to("https", b"HTTP/1.1 400 Bad Request\r\n\r\n") else {
            panic!("a server without TLS is not told from one with a wrong certificate")
        };
        assert!(why.contains("does not speak TLS"), "{why}");
        let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let request = Request::get(format!("http://{unused}/")).body(vec![]).unwrap();
        assert!(matches!(Http::new(vec![]).call(request), Err(FetchError::Unreachable(_))));
        let request = Request::get("http://ca.example.com/").body(vec![]).unwrap();
        assert!(matches!(Http::new(vec![]).call(request), Err(FetchError::Address(_))));
    }
}
