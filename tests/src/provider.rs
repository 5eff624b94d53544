//! panva's `oidc-provider` as a child process: started on a random loopback port, ended with its owner.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

/// What its jobs know; not a secret of anybody's.
const JOB_SECRET: &str = "of-a-job-that-is-none";

/// A running provider. Its people are alice (sre, sre-leads), bob (dev), carol (contractors), dave (no groups) and eve
/// (sre, `email_verified` false); its clients `jit-ssh` (ES256), `jit-ssh-rs256`, `jit-ssh-public` and
/// `jit-ssh-device`, which may use the device grant and nothing else; the last two know people by the same `sub`.
#[derive(Debug)]
pub struct NodeProvider {
    issuer: String,
    child: Child,
    // The provider ends when this closes, even if we are killed.
    _stdin: Option<ChildStdin>,
}

impl NodeProvider {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// If its packages are not installed, `node` cannot be run, or it does not come up.
    pub fn start() -> Result<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
        if !directory.join("node_modules/oidc-provider").is_dir() {
            bail!(
                "tests/node/node_modules is missing: run `cargo xtask test`, which installs it, or `npm ci` in tests/node"
            );
        }
        let mut child = Command::new("node")
            .arg(directory.join("provider.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("node cannot be run: `cargo xtask test` installs it")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("the provider has no stdout")?;
        // From here on, dropping it ends the child.
        let mut provider = Self { issuer: String::new(), child, _stdin: stdin };
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            // Nobody listens any more if the provider was too slow.
            let _ = sender.send(read.map(|_| line));
        });
        let line = receiver
            .recv_timeout(Duration::from_secs(30))
            .context("the provider did not start in 30 s")??;
        let said: Value = serde_json::from_str(&line).context("the provider ended before it listened")?;
        provider.issuer =
            said.get("issuer").and_then(Value::as_str).context("the provider named no issuer")?.to_owned();
        Ok(provider)
    }

    /// The issuer's URL.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Replaces all its keys: the next token is signed by one that nobody has seen.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn rotate(&self) -> Result<()> {
        self.tell("rotate")
    }

    /// From now on it answers 503 to everything.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn away(&self) -> Result<()> {
        self.tell("away")
    }

    /// It answers again.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn back(&self) -> Result<()> {
        self.tell("back")
    }

    /// From now on everybody who is logged in there did so an hour earlier.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn age(&self) -> Result<()> {
        self.tell("age")
    }

    /// From now on it hears neither `prompt` nor `max_age`.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn deaf(&self) -> Result<()> {
        self.tell("deaf")
    }

    /// From now on the tokens of jobs end after two seconds.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn brief(&self) -> Result<()> {
        self.tell("brief")
    }

    /// The token that it gives to a job, `deploy` (acme/shop, refs/heads/main) or `nightly` (refs/heads/dev).
    ///
    /// # Errors
    /// If it gives none.
    pub fn job_token(&self, job: &str, audience: &str) -> Result<String> {
        let secret = data_encoding::BASE64.encode(format!("{job}:{JOB_SECRET}").as_bytes());
        let mut answer = ureq::post(format!("{}/token", self.issuer))
            .header("authorization", format!("Basic {secret}"))
            .send_form([("grant_type", "client_credentials"), ("resource", audience)])?;
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        Ok(answer.get("access_token").and_then(Value::as_str).context("no token")?.to_owned())
    }

    /// How often `path` was asked for.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn asked(&self, path: &str) -> Result<u64> {
        let mut response = ureq::get(format!("{}/test/asked", self.issuer)).call()?;
        let asked: Value = serde_json::from_str(&response.body_mut().read_to_string()?)?;
        match asked.get(path) {
            None => Ok(0),
            Some(count) => count.as_u64().ok_or_else(|| anyhow!("the provider counts strangely")),
        }
    }

    /// From now on these people have other claims, as in `{"alice":{"groups":[]}}`, or are gone: `{"bob":{"gone":true}}`.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn change(&self, people: &Value) -> Result<()> {
        let people: String = url::form_urlencoded::byte_serialize(people.to_string().as_bytes()).collect();
        self.tell(&format!("change?{}", people.replace('+', "%20")))
    }

    fn tell(&self, what: &str) -> Result<()> {
        ureq::post(format!("{}/test/{what}", self.issuer)).send_empty()?;
        Ok(())
    }
}

impl Drop for NodeProvider {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
