//! A private PostgreSQL server for a test: an instance of its own on loopback, a fresh database for each test that
//! asks, ended by process id with whoever owns it. Nothing of the system's own PostgreSQL is used but its programs.

mod programs;
pub mod psql;
mod template;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

pub use programs::{Programs, are_there};

/// How long anything here may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition that announces nothing is looked at again.
const AGAIN: Duration = Duration::from_millis(5);
/// How often another port is tried when somebody else took the one that was free.
const PORTS: usize = 5;
/// The superuser, who needs no password: only this machine's loopback reaches the server.
const USER: &str = "app";

/// A running server with a data directory of its own. Durability is as PostgreSQL ships it. Ended when dropped.
#[derive(Debug)]
pub struct Postgres {
    folder: tempfile::TempDir,
    programs: Programs,
    settings: Vec<String>,
    port: u16,
    child: Option<Child>,
    databases: AtomicU32,
}

/// A copy of a stopped server's data: what a machine has that was cut off while another went on.
#[derive(Debug)]
pub struct Copy(tempfile::TempDir);

impl Postgres {
    /// Starts a server on an empty data directory.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not come up.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// The same with settings of its own, `fsync=off` for one.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_with(settings: &[&str]) -> Result<Self> {
        let programs = Programs::find()?;
        let folder = tempfile::Builder::new().prefix("jit-ssh-postgres-").tempdir()?;
        template::copy(&template::ready(&programs)?, &folder.path().join("data"), &programs)?;
        programs.give(folder.path())?;
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let databases = AtomicU32::new(0);
        let mut server = Self { folder, programs, settings, port: 0, child: None, databases };
        for _ in 0..PORTS {
            server.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            match server.run() {
                Ok(()) => return Ok(server),
                Err(error) if server.log().contains("could not bind") => drop(error),
                Err(error) => return Err(error),
            }
        }
        bail!("no port was free for PostgreSQL, {PORTS} times\n{}", server.log())
    }

    /// Makes an empty database and returns its URL.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn database(&self) -> Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(&name))
    }

    /// The URL of a database of this server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on loopback; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL in a database (its name or its URL) and returns what `psql` prints: a line a row, columns between
    /// bars.
    ///
    /// # Errors
    /// With what `psql` said, when it fails.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let url = if database.contains(':') { database.to_owned() } else { self.url(database) };
        psql::lines(&url, sql)
    }

    /// What the server has written.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Freezes the server with everybody who is connected: it keeps its connections and says nothing.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> Result<()> {
        // First the one that starts others, so that the list of the others is complete.
        freeze(self.pid()?)?;
        self.children()?.into_iter().try_for_each(freeze)
    }

    /// Goes on after [`Postgres::pause`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<()> {
        for child in self.children()? {
            gone_is_fine(kill_process(child, Signal::CONT))?;
        }
        Ok(kill_process(self.pid()?, Signal::CONT)?)
    }

    /// Stops it in good order: who is connected is told, everything is written.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::INT)
    }

    /// Ends it at once, without writing anything more: the next start recovers from the log, as after a crash.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn kill(&mut self) -> Result<()> {
        // Every process of the server takes this signal as an order to end where it is. A SIGKILL to the first of
        // them would leave the others to notice by themselves.
        self.end(Signal::QUIT)
    }

    /// Starts it again, on the same port and data, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        if self.child.is_some() {
            self.stop()?;
        }
        self.run()
    }

    /// Copies the data of a stopped server.
    ///
    /// # Errors
    /// When it runs, or the copy fails.
    pub fn copy(&self) -> Result<Copy> {
        self.must_be_stopped()?;
        let folder = tempfile::tempdir()?;
        template::copy(&self.data(), &folder.path().join("data"), &self.programs)?;
        Ok(Copy(folder))
    }

    /// Puts such a copy in place of a stopped server's data.
    ///
    /// # Errors
    /// When it runs, or the copy fails.
    pub fn put_back(&mut self, copy: &Copy) -> Result<()> {
        self.must_be_stopped()?;
        fs::remove_dir_all(self.data())?;
        template::copy(&copy.0.path().join("data"), &self.data(), &self.programs)
    }

    fn must_be_stopped(&self) -> Result<()> {
        if self.child.is_some() {
            bail!("the server runs: stop it first");
        }
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        // What an earlier run left says nothing about this one.
        let _absent = fs::remove_file(self.data().join("postmaster.pid"));
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let mut command = self.programs.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=32MB"]);
        command.arg("-c").arg(format!("unix_socket_directories={}", self.folder.path().display()));
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        // It stays in the group of the test, so that whoever ends the test ends it too.
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("PostgreSQL cannot be started")?;
        let pid = child.id();
        self.child = Some(child);
        until("that PostgreSQL answers", || {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                self.child = None;
                bail!("PostgreSQL ended with {status}");
            }
            Ok(self.is_ready(pid))
        })
        .with_context(|| self.log())
    }

    /// PostgreSQL itself writes down when it takes connections: the eighth line of this file.
    fn is_ready(&self, pid: u32) -> bool {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines();
        lines.next() == Some(&pid.to_string()) && lines.nth(6).is_some_and(|line| line.trim() == "ready")
    }

    fn end(&mut self, how: Signal) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill_process(Pid::from_child(&child), how)?;
        let ended = until("the end of PostgreSQL", || Ok(child.try_wait()?.is_some()));
        if ended.is_err() {
            // It is not left behind.
            child.kill()?;
            child.wait()?;
        }
        ended.with_context(|| self.log())
    }

    fn pid(&self) -> Result<Pid> {
        self.child.as_ref().map(Pid::from_child).context("PostgreSQL does not run")
    }

    fn children(&self) -> Result<Vec<Pid>> {
        let pid = self.pid()?.as_raw_nonzero();
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        Ok(list.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.child.is_some() {
            // A frozen process does not see that it should end.
            let _ = self.resume();
            let _ = self.end(Signal::QUIT);
        }
    }
}

/// Looks at a condition again and again until it holds.
fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            bail!("waited {PATIENCE:?} in vain for {what}");
        }
        thread::sleep(AGAIN);
    }
    Ok(())
}

/// Stops a process, if it is there, and waits until it has stopped.
fn freeze(pid: Pid) -> Result<()> {
    gone_is_fine(kill_process(pid, Signal::STOP))?;
    until("a process to stop", || Ok(matches!(state(pid), None | Some('T' | 'Z'))))
}

/// The letter that the kernel has for what a process does; none if there is no such process.
fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A process that ended between being listed and being told is no error.
fn gone_is_fine(told: rustix::io::Result<()>) -> Result<()> {
    match told {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The `target` folder that this program was built in, or the folder for temporary files.
fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let tagged = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file();
    own.ancestors().find(tagged).map_or_else(std::env::temp_dir, Path::to_path_buf)
}

#[cfg(test)]
mod tests;
