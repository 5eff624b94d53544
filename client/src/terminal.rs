//! Lines that a person pastes and that nobody else is to see: read from a terminal without showing them, and without
//! the limit of 4096 characters that a terminal has for a line it edits itself; from anything else as they come.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcsetattr};
use zeroize::{Zeroize, Zeroizing};

/// No line that is of use is longer.
const MAX_LINE: usize = 16 * 1024;

/// What came of waiting for a line.
pub(crate) enum Typed {
    /// A line, without its end.
    Line(Zeroizing<String>),
    /// Nothing yet.
    Nothing,
    /// There is nothing more to come.
    End,
    /// The person wants to stop.
    Interrupted,
}

/// A terminal, or whatever is in its place, that shows nothing of what is typed until this is dropped.
pub(crate) struct Unseen<F: AsFd> {
    input: F,
    /// How the terminal was, if it is one.
    before: Option<Termios>,
    line: Vec<u8>,
    too_long: bool,
    /// Read already, and not yet looked at.
    ahead: Vec<u8>,
}

impl<F: AsFd> Unseen<F> {
    /// Begins to read.
    ///
    /// # Errors
    /// When the terminal cannot be told to show nothing.
    pub(crate) fn begin(input: F) -> io::Result<Self> {
        let before = if isatty(&input) {
            let before = tcgetattr(&input)?;
            let mut quiet = before.clone();
            // The keys that stop a program are read as well, so that the terminal is put right before it ends.
            quiet
                .local_modes
                .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
            quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
            quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(&input, OptionalActions::Now, &quiet)?;
            Some(before)
        } else {
            None
        };
        Ok(Self { input, before, line: Vec::new(), too_long: false, ahead: Vec::new() })
    }

    /// Waits for a line, no longer than that.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub(crate) fn next(&mut self, patience: Duration) -> io::Result<Typed> {
        if let Some(typed) = self.look() {
            return Ok(typed);
        }
        let patience = Timespec::try_from(patience).unwrap_or_default();
        let mut waiting = [PollFd::new(&self.input, PollFlags::IN)];
        match poll(&mut waiting, Some(&patience)) {
            Ok(0) | Err(Errno::INTR) => return Ok(Typed::Nothing),
            Ok(_) => {}
            Err(e) => return Err(e.into()),
        }
        let mut buffer = Zeroizing::new([0_u8; 4096]);
        match rustix::io::read(&self.input, buffer.as_mut_slice()) {
            Ok(0) => Ok(self.end()),
            Ok(read) => {
                self.ahead.extend_from_slice(buffer.get(..read).unwrap_or_default());
                Ok(self.look().unwrap_or(Typed::Nothing))
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(Typed::Nothing),
            Err(e) => Err(e.into()),
        }
    }

    /// A line among what was read, if there is a whole one.
    fn look(&mut self) -> Option<Typed> {
        let ahead = Zeroizing::new(std::mem::take(&mut self.ahead));
        for (at, byte) in ahead.iter().enumerate() {
            let typed = match (*byte, self.before.is_some()) {
                (b'\n' | b'\r', _) => Some(self.take()),
                (0x03 | 0x1c, true) => Some(Typed::Interrupted),
                (0x04, true) => self.line.is_empty().then_some(Typed::End),
                (0x08 | 0x7f, true) => {
                    self.line.pop();
                    None
                }
                // Ctrl-U
                (0x15, true) => {
                    self.forget();
                    None
                }
                (byte, _) => {
                    if self.line.len() < MAX_LINE {
                        self.line.push(byte);
                    } else {
                        self.too_long = true;
                    }
                    None
                }
            };
            if typed.is_some() {
                self.ahead = ahead.get(at.saturating_add(1)..).unwrap_or_default().to_vec();
                return typed;
            }
        }
        None
    }

    /// The line so far. One that is too long, or no text, is an empty one: it is of no use to anybody.
    fn take(&mut self) -> Typed {
        let line = if self.too_long { "" } else { std::str::from_utf8(&self.line).unwrap_or_default() };
        let line = Zeroizing::new(line.to_owned());
        self.forget();
        Typed::Line(line)
    }

    fn end(&mut self) -> Typed {
        if self.line.is_empty() { Typed::End } else { self.take() }
    }

    fn forget(&mut self) {
        self.line.zeroize();
        self.too_long = false;
    }
}

impl<F: AsFd> Drop for Unseen<F> {
    fn drop(&mut self) {
        self.line.zeroize();
        self.ahead.zeroize();
        if let Some(before) = &self.before {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(&self.input, OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn lines(input: &[u8]) -> Vec<String> {
        let (reader, mut writer) = io::pipe().unwrap();
        let input = input.to_vec();
        let writing = std::thread::spawn(move || writer.write_all(&input));
        let mut unseen = Unseen::begin(reader).unwrap();
        let mut lines = Vec::new();
        loop {
            match unseen.next(SOON).unwrap() {
                Typed::Line(line) => lines.push(line.as_str().to_owned()),
                Typed::Nothing => {}
                Typed::End => break,
                Typed::Interrupted => panic!("a pipe has no keys"),
            }
        }
        writing.join().unwrap().unwrap();
        lines
    }

    #[test]
    fn lines_as_they_come() {
        for (input, expected) in [
            (&b""[..], &[][..]),
            (b"one\ntwo\r\n", &["one", "two", ""]),
            (b"one\n\nthree", &["one", "", "three"]),
            (b"\xff\xfe\nx\n", &["", "x"]),
            // What would be a key at a terminal is a byte here.
            (b"a\x03\x7fb\n", &["a\x03\x7fb"]),
        ] {
            assert_eq!(lines(input), expected, "{input:?}");
        }
    }

    #[test]
    fn a_line_longer_than_a_terminal_takes_is_whole_and_one_beyond_use_is_none() {
        let long = "x".repeat(MAX_LINE);
        assert_eq!(lines(format!("{long}\n").as_bytes()), [long.as_str()]);
        assert_eq!(lines(format!("{long}y\nz\n").as_bytes()), ["", "z"]);
    }

    #[test]
    fn nothing_yet_is_no_end() {
        let (reader, writer) = io::pipe().unwrap();
        let mut unseen = Unseen::begin(reader).unwrap();
        assert!(matches!(unseen.next(Duration::ZERO).unwrap(), Typed::Nothing));
        drop(writer);
        assert!(matches!(unseen.next(SOON).unwrap(), Typed::End));
    }
}
