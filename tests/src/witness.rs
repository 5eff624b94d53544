//! A witness for a test (C2SP tlog-witness): takes checkpoints of one log, demands the proof that each extends the last,
//! verified by an implementation of RFC 6962 that is not ours, and cosigns.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use ct_merkle::{ConsistencyProof, RootHash};
use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

const NAME: &str = "witness.example/w1";

/// A witness on loopback. It ends with the test's process.
#[derive(Debug)]
pub struct Witness {
    address: SocketAddr,
    key: SigningKey,
    seen: Arc<Mutex<Seen>>,
}

/// What it cosigned last, and what it refused.
#[derive(Debug, Default)]
struct Seen {
    size: u64,
    root: [u8; 32],
    cosigned: Vec<u64>,
    refused: Vec<String>,
}

impl Witness {
    /// Starts one that has seen nothing.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, key) = (listener.local_addr()?, SigningKey::from_bytes(&[9; 32]));
        let seen = Arc::<Mutex<Seen>>::default();
        let (at, by) = (Arc::clone(&seen), key.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _gone = serve(stream, &by, &at);
            }
        });
        Ok(Self { address, key, seen })
    }

    /// Its `[[witness]]` entry.
    #[must_use]
    pub fn entry(&self) -> String {
        format!("[[witness]]\nurl = \"http://{}/w1\"\nkey = {:?}\n", self.address, self.vkey())
    }

    /// Its public key, as C2SP tools write it.
    #[must_use]
    pub fn vkey(&self) -> String {
        let bytes = public(&self.key);
        format!("{NAME}+{:08x}+{}", u32::from_be_bytes(id(&bytes)), BASE64.encode(&bytes))
    }

    /// The sizes that it cosigned.
    #[must_use]
    pub fn cosigned(&self) -> Vec<u64> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).cosigned.clone()
    }

    /// Why it refused what it refused.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }
}

fn public(key: &SigningKey) -> Vec<u8> {
    [&[4_u8], key.verifying_key().as_bytes().as_slice()].concat()
}

/// The key id of C2SP signed-note: SHA-256(name ‖ newline ‖ type and key), its first four bytes.
fn id(public: &[u8]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(NAME).chain_update("\n").chain_update(public).finalize();
    hash.first_chunk().copied().unwrap_or_default()
}

fn serve(stream: TcpStream, key: &SigningKey, seen: &Mutex<Seen>) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((_, value)) =
            line.split_once(':').filter(|(k, _)| k.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, answer) = if path == "/w1/add-checkpoint" {
        answer(std::str::from_utf8(&body)?, key, &mut seen)
    } else {
        ("404 Not Found", String::new())
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes())?;
    stream.write_all(answer.as_bytes())?;
    Ok(())
}

fn answer(body: &str, key: &SigningKey, seen: &mut Seen) -> (&'static str, String) {
    let old = body.strip_prefix("old ").and_then(|rest| rest.split('\n').next()?.parse().ok());
    if old != Some(seen.size) {
        return ("409 Conflict", format!("{}\n", seen.size));
    }
    match cosign(body, key, seen) {
        Ok(line) => ("200 OK", line),
        Err(error) => {
            seen.refused.push(error.to_string());
            ("422 Unprocessable Entity", String::new())
        }
    }
}

fn cosign(body: &str, key: &SigningKey, seen: &mut Seen) -> Result<String> {
    let (head, note) = body.split_once("\n\n").context("no empty line")?;
    let hashes = head.lines().skip(1).map(|line| BASE64.decode(line.as_bytes()).ok());
    let proof = hashes.collect::<Option<Vec<_>>>().context("no base64")?;
    let (text, _) = note.split_once("\n\n").context("no signature")?;
    let mut lines = text.lines().skip(1);
    let size: u64 = lines.next().context("no size")?.parse()?;
    let root = lines.next().and_then(|line| BASE64.decode(line.as_bytes()).ok());
    let root: [u8; 32] = root.and_then(|root| root.try_into().ok()).context("no root")?;
    if seen.size == size {
        ensure!(seen.root == root, "another tree of {size} leaves");
    } else if seen.size > 0 {
        let (new, old) =
            (RootHash::<Sha256>::new(root.into(), size), RootHash::new(seen.root.into(), seen.size));
        let proof = ConsistencyProof::try_from_bytes(proof.concat()).ok().context("no proof")?;
        if new.verify_consistency(&old, &proof).is_err() {
            bail!("{size} does not extend {}", seen.size);
        }
    }
    (seen.size, seen.root) = (size, root);
    seen.cosigned.push(size);
    let time: u64 = 1_790_000_000;
    let signature = key.sign(format!("cosignature/v1\ntime {time}\n{text}\n").as_bytes()).to_bytes();
    let bytes = [id(&public(key)).as_slice(), &time.to_be_bytes(), &signature].concat();
    Ok(format!("— {NAME} {}\n", BASE64.encode(&bytes)))
}
