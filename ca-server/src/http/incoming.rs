//! A request, read whole within bounds of size and time.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, RawPathParams, Request};
use axum::http::{HeaderMap, header::ACCEPT, header::CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jit_ssh_proto::{Code, Problem, SIGNATURE_HEADER};
use serde::de::DeserializeOwned;

use super::App;
use crate::service::Call;

/// The largest body of any route: a 16 KiB token, two keys and the text that goes with them fit many times.
const MAX_BODY_BYTES: usize = 64 << 10;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A request in memory.
pub(super) struct Incoming {
    method: String,
    path: String,
    pub(super) headers: HeaderMap,
    params: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Bytes,
    source: IpAddr,
}

impl Incoming {
    pub(super) async fn read(app: &App, params: &RawPathParams, request: Request) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        // Without a peer there is no address that policy could be asked about.
        let peer =
            parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()).ok_or_else(|| {
                Problem::new(
                    Code::Internal,
                    "The CA failed: try again; if it stays so, tell the CA's operator.",
                )
            })?;
        let source = source(peer, &parts.headers, &app.trusted_proxies);
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path_and_query().map_or_else(String::new, |path| path.as_str().to_owned()),
            params: params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            body: read_body(body).await?,
            headers: parts.headers,
            source,
        })
    }

    /// The call, for the services.
    pub(super) fn call(&self) -> Call<'_> {
        let mut signatures = self.headers.get_all(SIGNATURE_HEADER).iter();
        let signature = signatures.next().and_then(|value| value.to_str().ok());
        Call {
            method: &self.method,
            path: &self.path,
            body: &self.body,
            signature: if signatures.next().is_some() { None } else { signature },
            source: self.source,
        }
    }

    /// The body as JSON of exactly this form.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let declared =
            self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if declared.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Problem::new(
                Code::BodyNotJson,
                "Send the body as JSON with Content-Type: application/json.",
            ));
        }
        serde_json::from_slice(&self.body).map_err(|e| {
            Problem::new(
                Code::BodyMalformed,
                format!("The body is not what this route takes: {e}. See /v1/openapi.json."),
            )
        })
    }

    /// The one value of this field of a form; none if the body is no form, or has it more than once or not at all.
    pub(super) fn form(&self, name: &str) -> Option<String> {
        let declared =
            self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = declared.split(';').next().map(str::trim).unwrap_or_default();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return None;
        }
        let mut values = url::form_urlencoded::parse(&self.body).filter(|(field, _)| field == name);
        let value = values.next()?.1.into_owned();
        values.next().is_none().then_some(value)
    }

    /// A parameter of the path.
    pub(super) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Every parameter of the query.
    pub(super) fn queries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the caller asks for answers of this type.
    pub(super) fn accepts(&self, content_type: &str) -> bool {
        let values = self.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .filter_map(|range| range.split(';').next())
            .any(|range| range.trim().eq_ignore_ascii_case(content_type))
    }

    /// A parameter of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

async fn read_body(body: Body) -> Result<Bytes, Problem> {
    let limited = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(BODY_TIME, limited).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(e)) if e.downcast_ref::<LengthLimitError>().is_some() => Err(Problem::new(
            Code::BodyTooLarge,
            format!("The body is larger than {MAX_BODY_BYTES} bytes: send less."),
        )),
        Ok(Err(_)) => Err(Problem::new(Code::BodyMalformed, "The body did not arrive whole: send it again.")),
        Err(_) => {
            Err(Problem::new(Code::BodyTooSlow, "The body did not arrive within 10 seconds: send it again."))
        }
    }
}

/// The caller's address: the socket's; behind a trusted proxy, the last address in `X-Forwarded-For` that is not a
/// trusted proxy's itself. What cannot be read counts as the proxy's own.
fn source(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(&peer) {
        return peer;
    }
    let mut source = peer;
    for value in headers.get_all("x-forwarded-for").iter().rev() {
        // Passing over a header that cannot be read would let who sent it choose which one counts.
        let Ok(hops) = value.to_str() else { return peer };
        for hop in hops.rsplit(',') {
            match hop.trim().parse::<IpAddr>() {
                Ok(ip) => source = ip.to_canonical(),
                Err(_) => return peer,
            }
            if !trusted.contains(&source) {
                return source;
            }
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_forwarding_header_counts_only_from_a_trusted_proxy() {
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        for (peer, header, expected) in [
            ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
            ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "203.0.113.9, 10.0.0.1", "203.0.113.9"),
            ("10.0.0.1", "rubbish", "10.0.0.1"),
            ("10.0.0.1", "203.0.113.9, rubbish", "10.0.0.1"),
            ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", header.parse().unwrap());
            assert_eq!(
                source(peer.parse().unwrap(), &headers, &[proxy]).to_string(),
                expected,
                "{peer} {header}"
            );
        }
    }

    #[test]
    fn a_header_that_cannot_be_read_does_not_make_another_count() {
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        for (values, expected) in [
            (&[&b"198.51.100.7"[..], b"203.0.113.9"][..], "203.0.113.9"),
            // The caller sent both and the proxy appended to the last.
            (&[b"198.51.100.7", b"\xff, 203.0.113.9"], "10.0.0.1"),
            (&[b"198.51.100.7", b"\xff"], "10.0.0.1"),
            (&[b"198.51.100.7", b""], "10.0.0.1"),
            (&[b"\xff", b"203.0.113.9"], "203.0.113.9"),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(value).unwrap());
            }
            assert_eq!(source(proxy, &headers, &[proxy]).to_string(), expected, "{values:?}");
        }
    }
}
