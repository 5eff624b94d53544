//! `jit-ssh-ca dev`, started for the demo, and the trust bundle that it publishes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::narrator::Narrator;
use super::server::Plan;
use super::stage::{Running, Source, Stage};
use super::web::{Browser, Url};

/// A debug build derives the keys' passphrase slowly.
const PATIENCE: Duration = Duration::from_secs(60);

/// A development CA that answers.
pub(crate) struct DevCa {
    pub(crate) url: String,
    pub(crate) trust: String,
    pub(crate) data: PathBuf,
    running: Running,
}

impl DevCa {
    /// Starts it for these servers and logins, and waits until it says that it is ready.
    pub(crate) fn start(
        stage: &Stage,
        narrator: &Narrator,
        program: &Path,
        servers: &[&Plan],
        logins: &[&str],
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("dev").arg("--dir").arg(stage.folder().join("ca"));
        for server in servers {
            command.arg("--host").arg(format!("{}=127.0.0.1:{}", server.name, server.port));
        }
        for login in logins {
            command.args(["--login", login]);
        }
        command.arg("--json");
        super::person::forget_surroundings(&mut command);
        narrator.command(&command);
        let mut running = stage.start(&mut command)?;
        // Its log goes to the other stream.
        let ready = running.line(PATIENCE, |source, line| match source {
            Source::Out => serde_json::from_str::<Value>(line).ok(),
            Source::Err => None,
        })?;
        let Some(ready) = ready else {
            bail!("jit-ssh-ca dev ended before it was ready\n{}", running.said());
        };
        narrator.output(&ready.to_string());
        let text = |key: &str| {
            let value = ready.get(key).and_then(Value::as_str).map(str::to_owned);
            value.with_context(|| format!("jit-ssh-ca dev did not say its {key}: {ready}"))
        };
        Ok(Self { url: text("url")?, trust: text("trust")?, data: PathBuf::from(text("dir")?), running })
    }

    /// Fetches the trust bundle into a file, as an operator of hosts would.
    pub(crate) fn save_bundle(&self, narrator: &Narrator, file: &Path) -> Result<()> {
        let url = format!("{}/.well-known/jit-ssh", self.url);
        narrator.typed(&format!("curl -s {url} > {}", file.display()));
        let page = Browser::default().open(&Url::parse(&url)?)?;
        if page.status != 200 {
            bail!("{url} answered {}\n{}", page.status, page.body);
        }
        fs::write(file, page.body).with_context(|| format!("{} could not be written", file.display()))
    }

    /// An error once the CA has ended.
    pub(crate) fn still_runs(&self) -> Result<()> {
        match self.running.ended()? {
            None => Ok(()),
            Some(status) => bail!("jit-ssh-ca dev ended with {status}\n{}", self.running.said()),
        }
    }
}
