//! Where the demo plays: one folder, and every process that it started. Whatever ends the demo (its end, an error,
//! Ctrl-C), the processes are stopped by their ids and the folder goes.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use crate::shell;

/// How often a condition is looked at again.
pub(crate) const AGAIN: Duration = Duration::from_millis(20);
/// How long a process may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that must not outlive the demo.
struct Props {
    running: BTreeMap<u32, Child>,
    folder: Option<TempDir>,
    patience: Duration,
    over: bool,
}

impl Props {
    /// Asks every process to end, ends those that don't, removes the folder. Doing it twice does nothing.
    fn clear(&mut self) {
        self.over = true;
        for child in self.running.values() {
            signal(child, Signal::TERM);
        }
        let patience = Instant::now() + self.patience;
        for (_, mut child) in std::mem::take(&mut self.running) {
            while matches!(child.try_wait(), Ok(None)) {
                if Instant::now() > patience {
                    signal(&child, Signal::KILL);
                }
                thread::sleep(AGAIN);
            }
            // What a program forked and left behind (the session of an sshd) is in its group still.
            signal(&child, Signal::KILL);
        }
        self.folder.take();
    }
}

/// A child leads a process group of its own, so the group's id is the child's.
fn signal(child: &Child, signal: Signal) {
    // The error that counts, "no such process", is what we want anyway.
    let _ = kill_process_group(Pid::from_child(child), signal);
}

/// The folder and the processes.
pub(crate) struct Stage {
    folder: PathBuf,
    props: Arc<Mutex<Props>>,
}

impl Stage {
    /// A new folder below the system's temporary one, and a watch for Ctrl-C and requests to end.
    pub(crate) fn set() -> Result<Self> {
        let stage = Self::unwatched()?;
        let props = Arc::clone(&stage.props);
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("signals cannot be watched")?;
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                eprintln!("\nstopping what the demo started");
                locked(&props).clear();
                std::process::exit(128 + signal);
            }
        });
        Ok(stage)
    }

    /// The same without the watch, which is one for the whole process.
    fn unwatched() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("jit-ssh-demo-")
            .tempdir()
            .context("no folder could be made for the demo")?;
        // sshd reads principals files as the login they are for: the way there must be open to all. What is
        // secret lies in folders of its own.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let path = folder.path().canonicalize()?;
        let props = Props { running: BTreeMap::new(), folder: Some(folder), patience: PATIENCE, over: false };
        Ok(Self { folder: path, props: Arc::new(Mutex::new(props)) })
    }

    /// The demo's folder, absolute.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A new folder inside, for its owner only.
    pub(crate) fn private(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder).with_context(|| format!("{} could not be made", folder.display()))?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        Ok(folder)
    }

    /// Starts a program, its output read line by line.
    pub(crate) fn start(&self, command: &mut Command) -> Result<Running> {
        let typed = shell::typed(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut props = locked(&self.props);
        if props.over {
            bail!("the demo is being stopped");
        }
        let mut child = command.spawn().with_context(|| format!("`{typed}` could not be started"))?;
        let (say, lines) = channel();
        if let Some(out) = child.stdout.take() {
            listen(out, Source::Out, say.clone());
        }
        if let Some(err) = child.stderr.take() {
            listen(err, Source::Err, say);
        }
        let id = child.id();
        props.running.insert(id, child);
        Ok(Running {
            id,
            typed,
            lines,
            props: Arc::clone(&self.props),
            out: String::new(),
            err: String::new(),
        })
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, command: &mut Command) -> Result<Finished> {
        self.start(command)?.finish(Duration::from_secs(60))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        locked(&self.props).clear();
    }
}

fn locked(props: &Mutex<Props>) -> MutexGuard<'_, Props> {
    // Nothing that holds the lock can leave half a change behind, so a poisoned one is as good.
    props.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a program said something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Out,
    Err,
}

type Line = (Source, String);

/// Reads what a program says to its end, whoever still listens: a full pipe would stop it.
fn listen(from: impl Read + Send + 'static, source: Source, say: Sender<Line>) {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let _ = say.send((source, String::from_utf8_lossy(&line).into_owned()));
            line.clear();
        }
    });
}

/// A program that runs.
pub(crate) struct Running {
    id: u32,
    typed: String,
    lines: Receiver<Line>,
    props: Arc<Mutex<Props>>,
    out: String,
    err: String,
}

impl Running {
    /// The first line that means something to `find`; none if the program says no more.
    pub(crate) fn line<T>(
        &mut self,
        within: Duration,
        mut find: impl FnMut(Source, &str) -> Option<T>,
    ) -> Result<Option<T>> {
        let deadline = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((source, line)) => {
                    let found = find(source, line.trim_end());
                    self.hear(source, &line);
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => bail!("{} kept us waiting\n{}", self.typed, self.said()),
            }
        }
    }

    /// Waits for the end of the program.
    pub(crate) fn finish(mut self, within: Duration) -> Result<Finished> {
        let deadline = Instant::now() + within;
        self.line(within, |_, _| None::<()>)?;
        let status = loop {
            if let Some(status) = self.ended()? {
                break status;
            }
            if Instant::now() > deadline {
                bail!("`{}` did not end\n{}", self.typed, self.said());
            }
            thread::sleep(AGAIN);
        };
        Ok(Finished { typed: self.typed, status, out: self.out, err: self.err })
    }

    /// How the program ended, if it has.
    pub(crate) fn ended(&self) -> Result<Option<ExitStatus>> {
        let mut props = locked(&self.props);
        let Some(child) = props.running.get_mut(&self.id) else {
            bail!("`{}` was stopped", self.typed);
        };
        let status = child.try_wait().with_context(|| format!("`{}` was lost", self.typed))?;
        if status.is_some() {
            props.running.remove(&self.id);
        }
        Ok(status)
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    fn hear(&mut self, source: Source, line: &str) {
        match source {
            Source::Out => self.out.push_str(line),
            Source::Err => self.err.push_str(line),
        }
    }
}

/// What a program that ended has said.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) typed: String,
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// The exit code; none if a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Everything it said, for an error's text.
    pub(crate) fn said(&self) -> String {
        format!("`{}` ended with {}\n{}{}", self.typed, self.status, self.out, self.err)
    }
}

/// Looks at a condition again and again until it holds.
pub(crate) fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("after {} s there is still no sign of this: {what}", within.as_secs());
        }
        thread::sleep(AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(id: u32) -> bool {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn what_runs_is_stopped_with_its_children_and_the_folder_goes() {
        let stage = Stage::unwatched().unwrap();
        let folder = stage.folder().to_path_buf();
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; sleep 600 & echo $!; wait"]);
        // Both ignore the request to end, and are ended all the same.
        locked(&stage.props).patience = AGAIN;
        let mut running = stage.start(&mut command).unwrap();
        let grandchild: u32 = running.line(PATIENCE, |_, line| line.parse().ok()).unwrap().unwrap();
        let id = running.id;
        assert!(alive(id) && alive(grandchild));
        drop(stage);
        until("both are gone", PATIENCE, || Ok((!alive(id) && !alive(grandchild)).then_some(()))).unwrap();
        assert!(!folder.exists());
        assert!(running.ended().unwrap_err().to_string().contains("was stopped"));
    }

    #[test]
    fn nothing_starts_once_the_end_has_begun() {
        let stage = Stage::unwatched().unwrap();
        locked(&stage.props).clear();
        assert!(stage.start(&mut Command::new("true")).is_err());
    }

    #[test]
    fn both_streams_and_the_exit_code_are_kept() {
        let stage = Stage::unwatched().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; printf unfinished; exit 3"]);
        let finished = stage.run(&mut command).unwrap();
        assert_eq!((finished.code(), finished.err.as_str()), (Some(3), "err\n"));
        assert_eq!(finished.out, "out\nunfinished");
        assert!(locked(&stage.props).running.is_empty());
    }

    #[test]
    fn a_program_that_is_silent_too_long_is_an_error_that_says_what_it_said() {
        let stage = Stage::unwatched().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo something else; exec sleep 600"]);
        let mut running = stage.start(&mut command).unwrap();
        running.line(PATIENCE, |_, line| line.contains("something").then_some(())).unwrap();
        let error = running.line(AGAIN, |_, _| None::<()>).unwrap_err().to_string();
        assert!(error.contains("kept us waiting") && error.contains("something else"), "{error}");
    }

    #[test]
    fn what_is_private_is_for_its_owner_only() {
        let stage = Stage::unwatched().unwrap();
        let mode = fs::metadata(stage.private("keys").unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
