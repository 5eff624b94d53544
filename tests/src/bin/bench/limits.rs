//! The limits: what such a request costs at least on this machine, measured in the same run.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use jit_ssh_proto::{CaId, Namespace, Salt, possession_message, sign, verify};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use signature::{Signer, Verifier};

use jit_ssh_tests::api::{Issuer, Key, random};

use crate::server::cpu_us;

/// What was measured.
pub(crate) struct Limits {
    pub(crate) login_us: f64,
    pub(crate) session_us: f64,
    pub(crate) single_commit_per_s: f64,
    pub(crate) ssh_keygen_per_s: f64,
}

pub(crate) fn measure(dir: &Path) -> anyhow::Result<Limits> {
    let (session_us, token_us) = signatures()?;
    Ok(Limits {
        login_us: session_us + token_us,
        session_us,
        single_commit_per_s: single_commits(dir)?,
        ssh_keygen_per_s: ssh_keygen(dir)?,
    })
}

/// Repeats for half a second and returns microseconds of CPU time a time: like the server's, so that other work on
/// the machine raises neither.
fn repeat(mut what: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let (began, cpu_before) = (Instant::now(), own_cpu_us()?);
    let mut count = 0_u32;
    while began.elapsed() < Duration::from_millis(500) {
        for _ in 0..16 {
            what()?;
        }
        count += 16;
    }
    Ok((own_cpu_us()? - cpu_before) / f64::from(count))
}

/// CPU time that this thread has used, in microseconds.
fn own_cpu_us() -> anyhow::Result<f64> {
    // The kernel brings the figure up to date when it switches threads.
    std::thread::yield_now();
    cpu_us(Path::new("/proc/thread-self"))
}

/// (the call's and the key's possession proof, sign, verify after signing; the token's verification), on one core.
fn signatures() -> anyhow::Result<(f64, f64)> {
    let ca = CaId::from_bytes(random());
    let (session, key, authority) = (Key::new()?, Key::new()?, Key::new()?);
    let message = possession_message(&ca, &session.public, "id", &key.public);
    let proof = sign(&key.private, Namespace::Possession, &message)?;
    let possession =
        repeat(|| Ok(verify(key.public.public_key(), Namespace::Possession, &message, &proof)?))?;
    let tbs = [7_u8; 400];
    let signing = repeat(|| {
        let _: ssh_key::Signature = authority.private.try_sign(&tbs)?;
        Ok(())
    })?;
    let signature: ssh_key::Signature = authority.private.try_sign(&tbs)?;
    let checking = repeat(|| Ok(authority.public.key_data().verify(&tbs, &signature)?))?;

    let issuer = Issuer::new("https://issuer.example.com", "bench")?;
    let nonce = Salt::from_bytes(random()).to_string();
    let token = issuer.token(&issuer.claims("user-1", &["platform-sre", "everyone"], &nonce))?;
    let (input, signature) = token.rsplit_once('.').ok_or_else(|| anyhow!("not a token"))?;
    let signature =
        data_encoding::BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|e| anyhow!("{e}"))?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, issuer.public_point());
    let token_us = repeat(|| public.verify(input.as_bytes(), &signature).map_err(|e| anyhow!("{e}")))?;
    Ok((possession * 2.0 + signing + checking, token_us))
}

/// Durable commits of one small row a second, one after the other: SQLite, WAL, `synchronous = FULL`.
pub(crate) fn single_commits(dir: &Path) -> anyhow::Result<f64> {
    let path = dir.join("single.db");
    let db = rusqlite::Connection::open(path)?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE event (id INTEGER PRIMARY KEY, body BLOB)",
    )?;
    let mut insert = db.prepare("INSERT INTO event (body) VALUES ($1)")?;
    let row = vec![9_u8; 340];
    let began = Instant::now();
    let mut count = 0_u32;
    while began.elapsed() < Duration::from_secs(2) {
        insert.execute([&row])?;
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// `ssh-keygen -s`, one process a certificate.
fn ssh_keygen(dir: &Path) -> anyhow::Result<f64> {
    let run = |args: &[&str]| -> anyhow::Result<()> {
        let out = Command::new("ssh-keygen").args(args).current_dir(dir).output()?;
        if out.status.success() {
            Ok(())
        } else {
            bail!("ssh-keygen: {}", String::from_utf8_lossy(&out.stderr))
        }
    };
    run(&["-q", "-t", "ed25519", "-N", "", "-f", "limit-ca"])?;
    run(&["-q", "-t", "ed25519", "-N", "", "-f", "limit-key"])?;
    let began = Instant::now();
    let mut count = 0_u32;
    while began.elapsed() < Duration::from_secs(2) {
        run(&[
            "-q",
            "-s",
            "limit-ca",
            "-I",
            "corp/alice/grt",
            "-n",
            "shell:deploy@web-1",
            "-V",
            "+10m",
            "limit-key.pub",
        ])?;
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}
