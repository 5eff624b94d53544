//! The process that removes private keys at their end: started detached when a key is written to a file, one for
//! each runtime folder, gone when nothing is left to wait for.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::clock;
use crate::error::{Error, Result};
use crate::held;
use crate::paths::Paths;

/// The hidden command.
pub(crate) const COMMAND: &str = "sweep-at-expiry";
/// The longest nap: a clock may be set, a laptop may sleep, the folder may be gone.
const NAP: Duration = Duration::from_secs(5);

/// Starts one, unless one is at work.
pub(crate) fn start(paths: &Paths) -> Result<()> {
    let failed = |e: std::io::Error| {
        Error::Local(format!(
            "cannot start the process that removes the key at its end: {e}; run jit-ssh logout when done"
        ))
    };
    let program = std::env::current_exe().map_err(failed)?;
    Command::new(program)
        .arg(COMMAND)
        .env("JIT_SSH_RUNTIME_DIR", paths.runtime()?)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(|_| ())
        .map_err(failed)
}

/// Waits and removes until no private key is left.
pub(crate) fn run() -> Result<()> {
    // A session of our own: closing the terminal does not end us. It fails only if we lead one already.
    let _ = rustix::process::setsid();
    let paths = Paths::from_env()?;
    if !paths.runtime_exists() {
        return Ok(());
    }
    let path = paths.runtime()?.join("sweeper.lock");
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|e| Error::io("open", &path, &e))?;
    loop {
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            // Another is at work, and sees what is new within a nap.
            return Ok(());
        }
        while paths.runtime_exists()
            && let Some(next) = held::sweep(&paths, clock::now())?
        {
            let left = Duration::from_secs(next.since(clock::now()).seconds());
            std::thread::sleep(left.clamp(Duration::from_millis(200), NAP));
        }
        // A key written between the last look and the unlocking would have nobody: look once more after it.
        let _ = flock(&lock, FlockOperation::Unlock);
        if !paths.runtime_exists() || held::sweep(&paths, clock::now())?.is_none() {
            return Ok(());
        }
    }
}
