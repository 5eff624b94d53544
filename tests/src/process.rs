//! Programs that tests run: the ones of this tree, found beside the test, and stopped by process id with whoever owns
//! them. What they say is read as they say it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long anything here may take before the test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition that announces nothing is looked at again.
const AGAIN: Duration = Duration::from_millis(10);

/// The file of one of this tree's programs: `jit-ssh`, `jit-ssh-ca` or `jit-ssh-host`.
///
/// Test runners do not build programs of other packages; `cargo xtask test` does, first.
///
/// # Errors
/// When it has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    // target/debug/deps/e2e-0123 → target/debug; a program of this crate stands there itself.
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    beside.into_iter().find(|file| file.is_file()).with_context(|| {
        format!("{name} is not built: run `cargo xtask test`, or `cargo build --workspace` before this test")
    })
}

/// A command that knows nothing of whoever runs the tests: no agent, no configuration, no browser.
#[must_use]
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in
        ["SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "RUST_LOG"]
    {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("JIT_SSH_")) {
            command.env_remove(name);
        }
    }
    command
}

/// What a program that ended has said.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Output {
    /// The output if the program succeeded.
    ///
    /// # Errors
    /// With everything that it said, if it did not.
    pub fn ok(self) -> Result<Self> {
        self.code(0)
    }

    /// The output if the program ended with this code.
    ///
    /// # Errors
    /// With everything that it said, if it did not.
    pub fn code(self, wanted: i32) -> Result<Self> {
        if self.code != Some(wanted) {
            bail!("exit code {:?} instead of {wanted}\n{}{}", self.code, self.out, self.err);
        }
        Ok(self)
    }

    /// Standard output as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.out).with_context(|| format!("not JSON: {}{}", self.out, self.err))
    }
}

#[derive(Debug, Default)]
struct Said {
    out: String,
    err: String,
    /// How many of the two streams are still open.
    open: u8,
}

impl Said {
    fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A program that runs, in a process group of its own; killed, with all of the group, when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    said: Arc<(Mutex<Said>, Condvar)>,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts it, without input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        Self::spawn(command.stdin(Stdio::null()))
    }

    /// Starts it, with its standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_typing(command: &mut Command) -> Result<(Self, ChildStdin)> {
        let mut process = Self::spawn(command.stdin(Stdio::piped()))?;
        let input = process.child.stdin.take().context("no stdin")?;
        Ok((process, input))
    }

    fn spawn(command: &mut Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", command.get_program().display()))?;
        let said = Arc::new((Mutex::new(Said { open: 2, ..Said::default() }), Condvar::new()));
        let (out, err) = (child.stdout.take(), child.stderr.take());
        // From here on, dropping it ends the child.
        let process = Self { child, said, ended: None };
        listen(out.context("no stdout")?, Stream::Out, &process.said);
        listen(err.context("no stderr")?, Stream::Err, &process.said);
        Ok(process)
    }

    /// The process id, which is also the id of its group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        locked(&self.said.0).text()
    }

    /// Waits for a line that means something to `find`, on one stream; lines said before count too.
    ///
    /// # Errors
    /// When the program closes the stream without such a line, or says none in time.
    pub fn line<T>(&self, stream: Stream, what: &str, find: impl FnMut(&str) -> Option<T>) -> Result<T> {
        self.line_within(PATIENCE, stream, what, find)
    }

    fn line_within<T>(
        &self,
        patience: Duration,
        stream: Stream,
        what: &str,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        let (said, news) = &*self.said;
        let mut said = locked(said);
        loop {
            let text = match stream {
                Stream::Out => &said.out,
                Stream::Err => &said.err,
            };
            if let Some(found) = text.lines().find_map(&mut find) {
                return Ok(found);
            }
            if said.open == 0 {
                bail!("it ended without {what}\n{}", said.text());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("it did not say {what} in {patience:?}\n{}", said.text());
            }
            said = news.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Waits for its end, and for the end of what it says.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait(mut self) -> Result<Output> {
        let status = self.wait_for_end()?;
        let deadline = Instant::now() + PATIENCE;
        let (said, news) = &*self.said;
        let mut said = locked(said);
        while said.open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("it ended, and something that it started did not\n{}", said.text());
            }
            said = news.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(Output { code: status.code(), out: said.out.clone(), err: said.err.clone() })
    }

    /// Waits until the program itself has ended.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus> {
        until("its end", || self.ended())
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn terminate(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::TERM)?)
    }

    /// Sends it SIGHUP.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn hang_up(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::HUP)?)
    }

    /// Asks it to end, and whatever it has started.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn terminate_all(&self) -> Result<()> {
        Ok(kill_process_group(Pid::from_child(&self.child), Signal::TERM)?)
    }

    /// Freezes it: it keeps what it holds and does nothing.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn pause(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::STOP)?)
    }

    /// Goes on after [`Process::pause`].
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn resume(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// Ends it at once, as a power cut would.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn kill(&mut self) -> Result<()> {
        if self.ended()?.is_none() {
            self.child.kill()?;
            self.ended = Some(self.child.wait()?);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group has the child's id for as long as anything in it lives, reaped or not.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started or does not end in time.
pub fn run(command: &mut Command) -> Result<Output> {
    Process::start(command)?.wait()
}

/// Looks at a condition again and again until it holds.
///
/// # Errors
/// When it does not in time, or looking fails.
pub fn until<T>(what: impl AsRef<OsStr>, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {PATIENCE:?} in vain for {}", what.as_ref().display());
        }
        thread::sleep(AGAIN);
    }
}

fn locked(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a stream to its end, so that the program never waits for a reader.
fn listen(from: impl Read + Send + 'static, stream: Stream, said: &Arc<(Mutex<Said>, Condvar)>) {
    let said = Arc::clone(said);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            let mut said_so_far = locked(&said.0);
            match stream {
                Stream::Out => said_so_far.out.push_str(&text),
                Stream::Err => said_so_far.err.push_str(&text),
            }
            drop(said_so_far);
            said.1.notify_all();
            line.clear();
        }
        locked(&said.0).open -= 1;
        said.1.notify_all();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = command(Path::new("/bin/sh"));
        command.args(["-c", script]);
        command
    }

    fn alive(id: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn both_streams_and_the_exit_code_are_kept() {
        let output = run(&mut sh("echo '{\"a\": 1}'; echo err >&2; exit 3")).unwrap();
        assert_eq!((output.code, output.err.as_str()), (Some(3), "err\n"));
        assert_eq!(output.json().unwrap()["a"], 1);
        assert!(output.clone().code(3).is_ok());
        let error = output.ok().unwrap_err().to_string();
        assert!(error.contains("exit code Some(3) instead of 0") && error.contains("err\n"), "{error}");
    }

    #[test]
    fn a_line_is_waited_for_on_its_own_stream_and_counts_when_said_before() {
        let process = Process::start(&mut sh("echo one; echo two >&2; exec sleep 600")).unwrap();
        let said = |wanted: &'static str| move |line: &str| (line == wanted).then_some(());
        process.line(Stream::Err, "two", said("two")).unwrap();
        process.line(Stream::Out, "one", said("one")).unwrap();
        process.line(Stream::Out, "one", said("one")).unwrap();
        let error = process.line_within(AGAIN, Stream::Out, "two", said("two")).unwrap_err().to_string();
        assert!(error.contains("did not say two"), "{error}");
    }

    #[test]
    fn a_program_that_ends_without_the_line_is_an_error_with_what_it_said() {
        let process = Process::start(&mut sh("echo trouble >&2; exit 1")).unwrap();
        let error = process.line(Stream::Out, "its address", |_| None::<()>).unwrap_err().to_string();
        assert!(error.contains("without its address") && error.contains("trouble"), "{error}");
    }

    #[test]
    fn what_is_dropped_ends_with_its_children() {
        let process = Process::start(&mut sh("sleep 600 & echo $!; wait")).unwrap();
        let grandchild: u32 = process.line(Stream::Out, "an id", |line| line.parse().ok()).unwrap();
        let id = process.id();
        assert!(alive(id) && alive(grandchild));
        drop(process);
        until("the end of both", || Ok((!alive(id) && !alive(grandchild)).then_some(()))).unwrap();
    }

    #[test]
    fn asking_and_killing_both_end_it() {
        let mut asked = Process::start(&mut sh("exec sleep 600")).unwrap();
        asked.terminate().unwrap();
        assert_eq!(asked.wait_for_end().unwrap().code(), None);
        let mut killed = Process::start(&mut sh("trap '' TERM; exec sleep 600")).unwrap();
        killed.kill().unwrap();
        killed.kill().unwrap();
        assert!(killed.ended().unwrap().is_some());
    }

    #[test]
    fn a_program_that_is_not_built_is_an_error_that_says_what_to_do() {
        let error = program("no-such-program").unwrap_err().to_string();
        assert!(
            error.contains("no-such-program is not built") && error.contains("cargo xtask test"),
            "{error}"
        );
    }
}
