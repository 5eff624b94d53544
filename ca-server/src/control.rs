//! The control socket of a running server, in its data directory: how the operator's commands reach the process that
//! has the database (docs/decisions/0031-control-socket.md). Whoever may write the data directory may use it, and nobody
//! else: it is the CA's own console. One command a connection, a line of JSON each way.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::http::App;
use crate::identities::{self, Command, Done};

/// The longest command, and the longest answer.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// How long one exchange may take, the append included.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Done(Done),
    Refused(String),
}

/// A socket that is taken away with its server.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        // It may have been taken away already.
        let _gone = std::fs::remove_file(&self.path);
    }
}

impl Control {
    /// Listens, in place of a server that left its socket behind.
    ///
    /// # Errors
    /// When another server listens there, or the path is no place for a socket.
    pub(crate) fn listen(path: &Path) -> io::Result<Self> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
        let control = Self { listener: UnixListener::bind(path)?, path: path.to_owned() };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(control)
    }

    /// Runs what comes, one command after the other; never returns.
    pub(crate) async fn serve(self, app: Arc<App>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Whoever went away has no answer to get.
                    let _gone = tokio::time::timeout(PATIENCE, exchange(stream, &app)).await;
                }
                Err(error) => {
                    tracing::error!(%error, "the control socket");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn exchange(stream: UnixStream, app: &App) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    BufReader::new(read.take(MAX_LINE_BYTES)).read_until(b'\n', &mut line).await?;
    let answer = match serde_json::from_slice::<Command>(&line) {
        Ok(command) => {
            tracing::info!(?command, "the operator's command");
            let held = app.service.held(identities::whose(&app.service.store, &command).await).await;
            match identities::run(&app.service.store, app.service.clock.now(), command).await {
                Ok(done) => {
                    done.ended.iter().for_each(|session| app.service.sessions.forget_session(session));
                    held.of_ended(&done.ended).give_back();
                    Answer::Done(done)
                }
                Err(why) => Answer::Refused(why),
            }
        }
        Err(e) => {
            Answer::Refused(format!("the server does not know this command ({e}): use its own jit-ssh-ca"))
        }
    };
    write.write_all(&serde_json::to_vec(&answer)?).await?;
    write.write_all(b"\n").await?;
    write.shutdown().await
}

/// Has the server of a data directory run a command. None if no server is there.
///
/// # Errors
/// Why it did not, in one sentence.
pub(crate) async fn ask(path: &Path, command: &Command) -> anyhow::Result<Option<Done>> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        // No server can have one there: the path is too long for a socket.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Ok(None),
        Err(e) => anyhow::bail!("{} cannot be used: run this as the CA's user ({e})", path.display()),
    };
    let exchange = async {
        let (read, mut write) = stream.into_split();
        write.write_all(&serde_json::to_vec(command)?).await?;
        write.write_all(b"\n").await?;
        let mut line = Vec::new();
        BufReader::new(read.take(MAX_LINE_BYTES)).read_until(b'\n', &mut line).await?;
        anyhow::Ok(serde_json::from_slice::<Answer>(&line)?)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(Answer::Done(done))) => Ok(Some(done)),
        Ok(Ok(Answer::Refused(why))) => anyhow::bail!("{why}"),
        Ok(Err(e)) => Err(e.context("the running server did not answer: look at its log and run this again")),
        Err(_) => {
            anyhow::bail!("the running server did not answer in time: look at its log and run this again")
        }
    }
}
