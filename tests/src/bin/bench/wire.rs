//! HTTP/1.1 over TLS with as little as a load generator needs, so that it takes little from the server's cores.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use jit_ssh_tests::api::Call;

/// A kept-alive connection.
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr, config: &Arc<ClientConfig>) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(address)?;
        tcp.set_nodelay(true)?;
        let client = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?;
        Ok(Self { stream: StreamOwned::new(client, tcp), buffer: Vec::with_capacity(16 << 10) })
    }

    /// Sends a call and returns status and body.
    pub(crate) fn send(&mut self, call: &Call) -> anyhow::Result<(u16, &[u8])> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n",
            call.method,
            call.path,
            call.body.len()
        );
        for (name, value) in &call.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&call.body);
        self.stream.write_all(&bytes)?;
        self.stream.flush()?;
        self.receive()
    }

    fn receive(&mut self) -> anyhow::Result<(u16, &[u8])> {
        self.buffer.clear();
        let mut chunk = [0_u8; 8192];
        loop {
            let n = self.stream.read(&mut chunk)?;
            if n == 0 {
                bail!("the server closed the connection");
            }
            self.buffer.extend_from_slice(chunk.get(..n).unwrap_or_default());
            let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(self.buffer.get(..end).unwrap_or_default())?.to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .context("no content-length")?
                .trim()
                .parse()?;
            let status: u16 = head.split(' ').nth(1).context("no status")?.parse()?;
            if self.buffer.len() >= end + 4 + length {
                return Ok((status, self.buffer.get(end + 4..end + 4 + length).unwrap_or_default()));
            }
        }
    }
}
