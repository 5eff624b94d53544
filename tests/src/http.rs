//! HTTP/1.1 in the clear to loopback, one connection a call: sends exactly what a test wrote, well-formed or not.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, anyhow};
use jit_ssh_proto::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::Call;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The body as `T`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body).with_context(|| format!("{} {}", self.status, self.text()))
    }

    /// The problem document.
    ///
    /// # Errors
    /// When it is none.
    pub fn problem(&self) -> anyhow::Result<Problem> {
        self.json()
    }

    /// `200`, or `400 body_malformed` for a problem.
    #[must_use]
    pub fn outcome(&self) -> String {
        let code = serde_json::from_slice::<Value>(&self.body).ok();
        match code.as_ref().and_then(|value| value.get("code")?.as_str()) {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// Sends a call and reads its answer.
///
/// # Errors
/// When the server hangs up, says nothing in time or something that is not HTTP.
pub fn send(address: SocketAddr, call: &Call) -> anyhow::Result<Answer> {
    let mut bytes = format!("{} {} HTTP/1.1\r\nhost: {address}\r\n", call.method, call.path).into_bytes();
    for (name, value) in &call.headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(
        format!("content-length: {}\r\nconnection: close\r\n\r\n", call.body.len()).as_bytes(),
    );
    bytes.extend_from_slice(&call.body);
    let mut stream = connect(address)?;
    // A server that refuses early may close before it has read everything: its answer counts.
    let written = stream.write_all(&bytes);
    read(&mut stream).with_context(|| format!("{} {} ({written:?})", call.method, call.path))
}

/// Sends a call and reads until the server has closed: an answer in chunks, put together. One that was cut off is an
/// error.
///
/// # Errors
/// As [`send`].
pub fn send_to_the_end(address: SocketAddr, call: &Call) -> anyhow::Result<Answer> {
    let mut head =
        format!("{} {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n", call.method, call.path);
    for (name, value) in &call.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = connect(address)?;
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let mut answer = parse(&bytes)?.context("no answer")?;
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = joined(&answer.body)?;
    }
    Ok(answer)
}

/// What chunks carry (RFC 9112, 7.1).
fn joined(mut rest: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").context("a chunk without a length")?;
        let (length, body) = rest.split_at(end);
        let length = usize::from_str_radix(std::str::from_utf8(length)?, 16)?;
        if length == 0 {
            return Ok(whole);
        }
        whole.extend_from_slice(body.get(2..length + 2).context("a chunk was cut off")?);
        rest = body.get(length + 4..).context("a chunk was cut off")?;
    }
}

/// Sends these bytes, keeps the connection open, and reads what comes.
///
/// # Errors
/// As [`send`].
pub fn send_raw(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<Answer> {
    let mut stream = connect(address)?;
    stream.write_all(bytes)?;
    let answer = read(&mut stream);
    // The server may have gone first.
    let _ = stream.shutdown(Shutdown::Both);
    answer
}

fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("{address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn read(stream: &mut TcpStream) -> anyhow::Result<Answer> {
    let mut buffer = Vec::new();
    let mut chunk = [0_u8; 8192];
    loop {
        if let Some(answer) = parse(&buffer)? {
            return Ok(answer);
        }
        let count = stream.read(&mut chunk).context("no answer")?;
        if count == 0 {
            return Err(anyhow!("the server hung up: {:?}", String::from_utf8_lossy(&buffer)));
        }
        buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
}

/// An answer, once it is whole.
fn parse(buffer: &[u8]) -> anyhow::Result<Option<Answer>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(buffer.get(..end).unwrap_or_default())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let status = status
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .with_context(|| format!("not HTTP: {status:?}"))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(Ok(0), |(_, value)| value.parse())?;
    let body = buffer.get(end + 4..).unwrap_or_default();
    Ok((body.len() >= length).then(|| Answer { status, headers, body: body.to_vec() }))
}
