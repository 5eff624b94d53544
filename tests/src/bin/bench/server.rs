//! The release server under test: a data directory of its own, TLS, and its figures from /proc.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jit_ssh_proto::CaId;
use jit_ssh_tests::api::Issuer;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

const POLICY: &str = r#"
@id("sre") @ttl("1h")
permit (principal in Group::"sre", action in [Action::"shell", Action::"exec", Action::"sftp"], resource in HostGroup::"web")
when { resource.login == "deploy" && context.reason != "" };
@id("own") @ttl("30m")
permit (principal, action == Action::"shell", resource in HostGroup::"web")
when { principal has login && resource.login == principal.login };
@id("no-root") @message("root is not for everyday")
forbid (principal, action, resource in HostGroup::"web") when { resource.login == "root" };
"#;

const INVENTORY: &str = "[[group]]\nname = \"web\"\nlogins = [\"deploy\", \"root\"]\n[[host]]\nname = \"web-1\"\ngroups = [\"web\"]\n";

/// A data directory that servers are started on.
pub(crate) struct Prepared {
    binary: PathBuf,
    dir: PathBuf,
    passphrase: PathBuf,
    pub(crate) issuer: Issuer,
    pub(crate) ca: CaId,
    pub(crate) tls: Arc<ClientConfig>,
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) start_ms: f64,
    pub(crate) key_derivation_ms: f64,
}

impl Prepared {
    pub(crate) fn new(binary: &Path, dir: &Path) -> anyhow::Result<Self> {
        let issuer = Issuer::new("https://issuer.example.com", "bench")?;
        let passphrase = dir.with_extension("passphrase");
        fs::write(&passphrase, "bench\n")?;
        let made =
            Command::new(binary).arg("init").arg(dir).env("JIT_SSH_PASSPHRASE_FILE", &passphrase).output()?;
        if !made.status.success() {
            bail!("init failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        fs::write(dir.join("tls.pem"), signed.cert.pem())?;
        fs::write(dir.join("tls.key"), signed.signing_key.serialize_pem())?;
        fs::write(dir.join("jwks.json"), issuer.jwks())?;
        fs::write(dir.join("policies/10-starter.cedar"), POLICY)?;
        fs::write(dir.join("inventory/hosts.toml"), INVENTORY)?;
        fs::write(
            dir.join("ca.toml"),
            format!(
                "listen = \"127.0.0.1:0\"\nurl = \"https://localhost\"\n[tls]\ncert = \"tls.pem\"\nkey = \"tls.key\"\n\
                 [[issuer]]\nname = \"bench\"\nurl = \"{}\"\nclient_id = \"jit-ssh\"\nalgorithms = [\"ES256\"]\n\
                 username = \"preferred_username\"\ngroups = \"groups\"\njwks_file = \"jwks.json\"\n\
                 allowed_domains = [\"example.com\"]\n[issuer.groups_map]\n\"platform-sre\" = [\"sre\"]\n",
                issuer.url
            ),
        )?;
        let ca = fs::read_to_string(dir.join("keys/ca.id"))?.trim().parse()?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(signed.cert.der().to_vec()))?;
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            binary: binary.to_path_buf(),
            dir: dir.to_path_buf(),
            passphrase,
            issuer,
            ca,
            tls: Arc::new(tls),
        })
    }
}

impl Prepared {
    /// The database's file.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join("ca.db")
    }
}

impl Server {
    pub(crate) fn start(prepared: &Prepared) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut child = Command::new(&prepared.binary)
            .args(["serve", "--log", "json"])
            .arg(&prepared.dir)
            .env("JIT_SSH_PASSPHRASE_FILE", &prepared.passphrase)
            .env("RUST_LOG", "info,sqlx=warn")
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
        let listening = loop {
            let line = lines.next().context("the server ended before it listened")??;
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&line)
                && value.get("message").and_then(|m| m.as_str()) == Some("listening")
            {
                break value;
            }
        };
        let elapsed = began.elapsed();
        let derivation = Duration::from_micros(
            listening.get("key_derivation_us").and_then(|v| v.as_u64()).context("no key_derivation_us")?,
        );
        let address = listening.get("address").and_then(|a| a.as_str()).context("no address")?.parse()?;
        // The log goes on, and somebody has to read it.
        std::thread::spawn(move || for _ in lines.map_while(Result::ok) {});
        Ok(Self {
            child,
            address,
            start_ms: (elapsed.saturating_sub(derivation)).as_secs_f64() * 1e3,
            key_derivation_ms: derivation.as_secs_f64() * 1e3,
        })
    }

    /// Resident memory in MB (2^20 bytes).
    pub(crate) fn rss_mb(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// CPU time used so far, in microseconds, over all threads that live.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<f64> {
        let mut total = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            total += cpu_us(&task?.path())?;
        }
        Ok(total)
    }

    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }
}

/// CPU time of the thread with this directory in /proc, in microseconds.
pub(crate) fn cpu_us(thread: &Path) -> anyhow::Result<f64> {
    let text = fs::read_to_string(thread.join("schedstat"))?;
    Ok(text.split(' ').next().context("no schedstat")?.parse::<f64>()? / 1e3)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
