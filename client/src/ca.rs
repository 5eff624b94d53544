//! The CA's HTTP interface as this program calls it: paths, headers, signatures, problem documents (DESIGN 9).

use std::io::{BufRead, BufReader, Read};

use jit_ssh_proto::explanation::Explanation;
use jit_ssh_proto::wire::{
    AccessRequestBody, ExplainBody, Issued, LogItem, LogPage, OpenSession, Page, ReachableAccount,
    SessionInfo, SessionOpened,
};
use jit_ssh_proto::{
    CaId, Code, Problem, SIGNATURE_HEADER, SessionId, SignedBundle, SignedRequest, Timestamp,
};
use rand::RngCore;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ssh_key::PrivateKey;
use ureq::http::{HeaderValue, Method, Request};
use url::{Url, form_urlencoded};

use crate::clock;
use crate::error::{Error, Result};
use crate::http::{Answer, FetchError, Http};
use crate::output::{escape_short, length};
use crate::session::Session;

/// The largest page of the ledger that is read: a thousand events, each of the longest.
const MAX_PAGE: u64 = 64 << 20;

/// A CA at an address.
pub(crate) struct Ca<'a> {
    /// How it is reached.
    pub(crate) http: &'a Http,
    /// Its address: scheme, host and port.
    pub(crate) url: &'a Url,
}

/// The unique id of one call: in the call's signature, and in the proof of possession that it carries.
#[derive(Clone, Copy)]
pub(crate) struct CallId([u8; 16]);

impl CallId {
    /// A fresh one.
    pub(crate) fn fresh() -> Self {
        let mut id = [0; 16];
        rand::rngs::OsRng.fill_bytes(&mut id);
        Self(id)
    }

    /// As it stands in the signature.
    pub(crate) fn text(self) -> String {
        data_encoding::BASE64URL_NOPAD.encode(&self.0)
    }
}

/// By whom a call is signed.
struct Signer<'a> {
    ca_id: &'a CaId,
    session: Option<&'a SessionId>,
    key: &'a PrivateKey,
    call: CallId,
}

impl Ca<'_> {
    /// `GET /.well-known/jit-ssh`
    pub(crate) fn bundle(&self) -> Result<SignedBundle> {
        self.call(Method::GET, "/.well-known/jit-ssh", vec![], None, None)
    }

    /// `POST /v1/sessions`
    pub(crate) fn open_session(
        &self,
        ca_id: &CaId,
        key: &PrivateKey,
        call: CallId,
        body: &OpenSession,
    ) -> Result<SessionOpened> {
        let signer = Signer { ca_id, session: None, key, call };
        self.call(Method::POST, "/v1/sessions", json(body)?, None, Some(&signer))
    }

    /// `GET /v1/sessions/current`
    pub(crate) fn current_session(&self, session: &Session) -> Result<SessionInfo> {
        self.call(Method::GET, "/v1/sessions/current", vec![], Some(session), None)
    }

    /// `DELETE /v1/sessions/current`
    pub(crate) fn end_session(&self, session: &Session) -> Result<()> {
        let answer = self.send(
            &Method::DELETE,
            "/v1/sessions/current",
            vec![],
            Some(session),
            Some(&signer(session, CallId::fresh())),
        )?;
        self.refused(&answer).map_or(Ok(()), Err)
    }

    /// `POST /v1/requests`
    pub(crate) fn request(
        &self,
        session: &Session,
        call: CallId,
        body: &AccessRequestBody,
    ) -> Result<Issued> {
        self.call(Method::POST, "/v1/requests", json(body)?, Some(session), Some(&signer(session, call)))
    }

    /// `POST /v1/explain`
    pub(crate) fn explain(&self, session: &Session, body: &ExplainBody) -> Result<Explanation> {
        self.call(Method::POST, "/v1/explain", json(body)?, Some(session), None)
    }

    /// `GET /v1/accounts`: one page.
    pub(crate) fn accounts(
        &self,
        session: &Session,
        query: &[(&str, String)],
    ) -> Result<Page<ReachableAccount>> {
        self.call(Method::GET, &with_query("/v1/accounts", query), vec![], Some(session), None)
    }

    /// `GET` of a file below `/log/`. None where there is no such file.
    pub(crate) fn log(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let answer = self.send(&Method::GET, path, vec![], None, None)?;
        if answer.status == 404 {
            return Ok(None);
        }
        self.refused(&answer).map_or(Ok(Some(answer.body)), Err)
    }

    /// What the CA says of an identity provider that is in trouble (`GET /readyz`, a line for each), if it does.
    pub(crate) fn trouble_of(&self, issuer: &str) -> Option<String> {
        let answer = self.send(&Method::GET, "/readyz", vec![], None, None).ok()?;
        let text = String::from_utf8(answer.body).ok().filter(|_| answer.status == 200)?;
        let of = text.lines().find_map(|line| line.strip_prefix(issuer)?.strip_prefix(": "));
        of.map(|said| escape_short(said.trim_end_matches('.'), 300))
    }

    /// `GET /v1/events`: one page. `wait` holds the answer back until there is something.
    pub(crate) fn events(&self, session: &Session, query: &[(&str, String)]) -> Result<LogPage> {
        let request = self.prepared(&Method::GET, &events(query), vec![], Some(session), None)?;
        let answer = self.http.call_bounded(request, MAX_PAGE).map_err(fetching)?;
        self.refused(&answer).map_or(Ok(()), Err)?;
        self.read("/v1/events", &answer.body)
    }

    /// `GET /v1/events`: everything that matches, in one stream.
    pub(crate) fn export(&self, session: &Session, query: &[(&str, String)]) -> Result<Lines<'_>> {
        let mut request = self.prepared(&Method::GET, &events(query), vec![], Some(session), None)?;
        request.headers_mut().insert("accept", HeaderValue::from_static("application/x-ndjson"));
        let opened = self.http.open(request, None).map_err(fetching)?;
        if opened.status != 200 {
            let mut body = Vec::new();
            // What broke off has no reason in it, and is told by its status.
            let _short = opened.body.take(MAX_PAGE).read_to_end(&mut body);
            let (status, media_type, date) = (opened.status, opened.media_type, opened.date);
            let answer = Answer { status, media_type, date, body };
            return Err(self.refused(&answer).unwrap_or_else(|| self.problem(&answer)));
        }
        Ok(Lines { ca: self, lines: BufReader::new(opened.body) })
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        session: Option<&Session>,
        signer: Option<&Signer<'_>>,
    ) -> Result<T> {
        let answer = self.send(&method, path, body, session, signer)?;
        if let Some(error) = self.refused(&answer) {
            return Err(error);
        }
        self.read(path, &answer.body)
    }

    fn read<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T> {
        serde_json::from_slice(body).map_err(|e| {
            Error::Untrusted(format!(
                "{}{path} answers with something else than jit-ssh would ({}): check the address, and that client and \
                 CA are of versions that fit",
                self.url.origin().ascii_serialization(),
                escape_short(&e.to_string(), 200)
            ))
        })
    }

    fn send(
        &self,
        method: &Method,
        path: &str,
        body: Vec<u8>,
        session: Option<&Session>,
        signer: Option<&Signer<'_>>,
    ) -> Result<Answer> {
        let request = self.prepared(method, path, body, session, signer)?;
        self.http.call(request).map_err(fetching)
    }

    fn prepared(
        &self,
        method: &Method,
        path: &str,
        body: Vec<u8>,
        session: Option<&Session>,
        signer: Option<&Signer<'_>>,
    ) -> Result<Request<Vec<u8>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url.origin().ascii_serialization()))
            .header("accept", "application/json, application/problem+json, */*;q=0.1");
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        if let Some(session) = session {
            request = request.header("authorization", format!("Bearer {}", session.token.as_str()));
        }
        if let Some(signer) = signer {
            let call = SignedRequest {
                ca: signer.ca_id,
                method: method.as_str(),
                path,
                session: signer.session,
                body: &body,
            };
            let signature = call.sign(signer.key, clock::now(), signer.call.0).map_err(|_| {
                Error::Local("the session's key cannot sign: run jit-ssh logout, then jit-ssh login".into())
            })?;
            request = request.header(SIGNATURE_HEADER, signature.to_string());
        }
        request.body(body).map_err(|_| {
            Error::Local(format!("{} cannot be called: run jit-ssh setup URL with a plain address", self.url))
        })
    }

    /// The error that an answer stands for, if it is one.
    fn refused(&self, answer: &Answer) -> Option<Error> {
        match answer.status {
            202 => {
                Some(Error::Pending("the request waits for approval: ask again once it is approved".into()))
            }
            200..=299 => None,
            300..=399 => Some(Error::Untrusted(format!(
                "{} redirects elsewhere (status {}), which is not followed: run jit-ssh setup with the CA's own address",
                self.url, answer.status
            ))),
            _ => Some(self.problem(answer)),
        }
    }

    fn problem(&self, answer: &Answer) -> Error {
        if let Ok(problem) = serde_json::from_slice::<Problem>(&answer.body) {
            return from_ca(problem, answer.date, clock::now());
        }
        // A code of a later version, or not the CA at all (a proxy before it).
        #[derive(Deserialize)]
        struct Loose {
            detail: String,
            code: String,
        }
        let text = match serde_json::from_slice::<Loose>(&answer.body) {
            Ok(loose) if answer.media_type == "application/problem+json" => {
                format!("{} ({})", escape_short(&loose.detail, 1000), escape_short(&loose.code, 64))
            }
            Ok(_) | Err(_) => format!(
                "{} answers with status {} and no reason: check that it is the CA and what stands before it",
                self.url, answer.status
            ),
        };
        Error::CaUnknown { status: answer.status, text }
    }
}

/// Items of the ledger as they come, one a line.
pub(crate) struct Lines<'a> {
    ca: &'a Ca<'a>,
    lines: BufReader<Box<dyn Read>>,
}

impl Iterator for Lines<'_> {
    type Item = Result<LogItem>;

    fn next(&mut self) -> Option<Result<LogItem>> {
        let mut line = String::new();
        match (&mut self.lines).take(MAX_PAGE).read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(self.ca.read("/v1/events", line.as_bytes())),
            Err(e) => Some(Err(Error::Unreachable(format!(
                "the CA broke off what it was sending ({e}): what came is not all; try again"
            )))),
        }
    }
}

fn events(query: &[(&str, String)]) -> String {
    with_query("/v1/events", query)
}

fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    encoded.extend_pairs(query);
    format!("{path}?{}", encoded.finish())
}

fn fetching(error: FetchError) -> Error {
    match error {
        FetchError::Unreachable(why) => Error::Unreachable(format!("the CA at {why}")),
        FetchError::Tls(why) => Error::Unreachable(why),
        FetchError::Address(why) | FetchError::Answer(why) => Error::Untrusted(why),
    }
}

/// The error that the CA's problem document stands for. A stale signature is about clocks, and says so.
pub(crate) fn from_ca(mut problem: Problem, date: Option<Timestamp>, now: Timestamp) -> Error {
    if problem.code == Code::SignatureStale {
        let difference = date.map(|theirs| (now.since(theirs), theirs.since(now)));
        let clock = match difference {
            Some((ahead, _)) if ahead.seconds() > 30 => format!("is {} ahead of the CA's", length(ahead)),
            Some((_, behind)) if behind.seconds() > 30 => format!("is {} behind the CA's", length(behind)),
            Some(_) | None => "and the CA's differ, or the call took too long".into(),
        };
        problem.detail =
            format!("this machine's clock {clock}: set it (timedatectl set-ntp true) and try again");
    }
    Error::Ca(Box::new(problem))
}

fn signer(session: &Session, call: CallId) -> Signer<'_> {
    Signer { ca_id: &session.ca_id, session: Some(&session.id), key: &session.key, call }
}

fn json(body: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|e| Error::Local(format!("cannot write the request: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, media_type: &str, body: &str) -> Option<Error> {
        let url = Url::parse("https://ca.example.com").unwrap();
        let http = Http::new(vec![]);
        let ca = Ca { http: &http, url: &url };
        ca.refused(&Answer { status, media_type: media_type.into(), date: None, body: body.into() })
    }

    #[test]
    fn answers_that_are_refusals() {
        let problem = |code: Code| serde_json::to_string(&Problem::new(code, "Not this time.")).unwrap();
        let later = r#"{"code":"moon_phase","detail":"Wait for the full moon\u001b[0m."}"#;
        let json = "application/problem+json";
        for (status, media_type, body, exit, text) in [
            (403, json, problem(Code::NoAccess).as_str(), 3, "Not this time (no_access)"),
            (401, json, &problem(Code::SessionExpired), 5, "(session_expired)"),
            (503, json, &problem(Code::StoreUnavailable), 6, "(store_unavailable)"),
            (403, json, later, 3, "full moon\\u{1b}[0m. (moon_phase)"),
            (403, "text/html", later, 3, "status 403"),
            (502, "text/html", "<h1>Bad Gateway</h1>", 6, "status 502"),
            (404, "", "", 1, "status 404"),
            (302, "", "", 1, "not followed"),
            (202, "application/json", "{}", 4, "approval"),
        ] {
            let error = refused(status, media_type, body).unwrap();
            assert_eq!(error.exit().code(), exit, "{status} {body}");
            assert!(error.to_string().contains(text), "{error}");
        }
        assert!(refused(200, "application/json", "{}").is_none());
        assert!(refused(204, "", "").is_none());
    }

    #[test]
    fn a_stale_signature_is_about_clocks() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let at = |seconds| Some(Timestamp::from_seconds(seconds));
        for (date, text) in [
            (at(1_790_000_000 - 300), "is 5m ahead of the CA's"),
            (at(1_790_000_000 + 90), "is 1m 30s behind the CA's"),
            (at(1_790_000_000), "differ"),
            (None, "differ"),
        ] {
            let error = from_ca(Problem::new(Code::SignatureStale, "Stale."), date, now);
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
